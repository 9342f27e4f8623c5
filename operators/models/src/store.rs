//! Files of a folder or of a bucket, by student and name.

use crate::config::Place;
use crate::contents::{BLOCK, Contents, EachBlock};
use crate::error::StoreError;
use crate::{ModelsConfig, ModelsError, StoredFile};
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, ClientOptions, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
    WriteMultipart,
};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stillroom_schemas::ModelId;
use tokio::runtime::Runtime;

/// Files up to this length are written in one request, larger ones in parts of it.
pub(crate) const PART: usize = 8 << 20;

/// Parts of a file that are on their way at a time.
const PARTS_MAX: usize = 4;

/// The longest file that is held in memory, in bytes.
const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// Attempts at a request after the first.
const RETRIES_MAX: usize = 4;

/// The first pause between two attempts, and the longest.
const BACKOFF: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// The time for a request with its body; a body that takes longer is asked for again from where it broke off.
const REQUEST_MAX: Duration = Duration::from_secs(120);

/// What AWS's own tools take credentials from, by object_store's names for it.
const CREDENTIALS: [&str; 9] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// A file of a student.
#[derive(Clone, Copy)]
pub(crate) struct FileOf<'a>(pub(crate) &'a ModelId, pub(crate) &'a str);

/// A folder or a bucket, whose files are below a prefix: `<prefix>/<model id>/<name>`.
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    place: String,
    folder: Option<PathBuf>,
    // One thread, the caller's, as requests come one after the other; only the parts of a file overlap.
    runtime: Runtime,
}

impl Store {
    /// The store that a configuration names. A folder is created; of a bucket nothing is asked.
    ///
    /// # Errors
    /// When a setting cannot be used, a file of keys cannot be read, or the folder cannot be made.
    pub(crate) fn open(config: &ModelsConfig) -> Result<Store, ModelsError> {
        config.check()?;
        let place = config.registry.trim_end_matches('/').to_owned();
        let client = |source| ModelsError::Client { place: place.clone(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| client(source.into()))?;
        let prefix = ObjectPath::default();
        match config.place()? {
            Place::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(ModelsError::file("create", folder))?;
                let objects = LocalFileSystem::new_with_prefix(folder).map_err(|source| client(source.into()))?;
                Ok(Store { objects: Arc::new(objects), prefix, place, folder: Some(folder.to_owned()), runtime })
            }
            Place::Bucket(bucket, below) => {
                let objects = s3(config, bucket)?.build().map_err(|source| client(source.into()))?;
                Ok(Store { objects: Arc::new(objects), prefix: below.into(), place, folder: None, runtime })
            }
        }
    }

    /// Where it is: a folder, or the address of a bucket.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The folder of a student, unless the store is a bucket.
    pub(crate) fn folder(&self, model: &ModelId) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(&model.0))
    }

    /// The folders directly below the prefix.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) fn folders(&self) -> Result<Vec<String>, ModelsError> {
        let found = self.runtime.block_on(self.objects.list_with_delimiter(Some(&self.prefix)));
        let found = found.map_err(|error| self.failed("list", "students", error))?;
        Ok(found.common_prefixes.iter().filter_map(|path| path.filename()).map(str::to_owned).collect())
    }

    /// A small file; nothing if it is not there.
    ///
    /// # Errors
    /// When the store does not answer, or the file is longer than a small one.
    pub(crate) fn read(&self, file: FileOf<'_>) -> Result<Option<Vec<u8>>, ModelsError> {
        let mut bytes = Vec::new();
        let found = self.blocks(file, &mut |block| {
            if bytes.len() + block.len() > WHOLE_BYTES_MAX as usize {
                let reason = format!("is longer than {WHOLE_BYTES_MAX} bytes");
                return Err(self.damaged(file, reason));
            }
            bytes.extend_from_slice(block);
            Ok(())
        })?;
        Ok(found.then_some(bytes))
    }

    /// The length and the hash of a file; nothing if it is not there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) fn measure(&self, file: FileOf<'_>) -> Result<Option<StoredFile>, ModelsError> {
        let mut contents = Contents::default();
        let found = self.blocks(file, &mut |block| {
            contents.update(block);
            Ok(())
        })?;
        Ok(found.then(|| contents.finish()))
    }

    /// Gives a file block by block; whether it is there.
    ///
    /// # Errors
    /// When the store does not answer, and what `each` fails with.
    pub(crate) fn blocks(&self, file: FileOf<'_>, each: EachBlock<'_>) -> Result<bool, ModelsError> {
        let failed = |error| self.failed("read", file.1, error);
        self.runtime.block_on(async {
            let found = match self.objects.get(&self.path(file)).await {
                Err(error @ object_store::Error::NotFound { .. }) => {
                    return match self.failed("read", file.1, error) {
                        error @ ModelsError::NoBucket { .. } => Err(error),
                        _ => Ok(false),
                    };
                }
                found => found.map_err(failed)?,
            };
            match found.payload {
                GetResultPayload::File(mut from, path) => {
                    let mut block = vec![0; BLOCK];
                    loop {
                        match from.read(&mut block).map_err(ModelsError::file("read", &path))? {
                            0 => return Ok(true),
                            read => each(&block[..read])?,
                        }
                    }
                }
                GetResultPayload::Stream(mut blocks) => {
                    while let Some(block) = blocks.try_next().await.map_err(failed)? {
                        each(&block)?;
                    }
                    Ok(true)
                }
            }
        })
    }

    /// Writes a file in one request, unless there is one; whether it did.
    ///
    /// # Errors
    /// When the store does not take it.
    pub(crate) fn create(&self, file: FileOf<'_>, bytes: Vec<u8>) -> Result<bool, ModelsError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.runtime.block_on(self.objects.put_opts(&self.path(file), bytes.into(), options)) {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            done => {
                done.map_err(|error| self.failed("write", file.1, error))?;
                self.sync(file).map(|()| true)
            }
        }
    }

    /// Writes a file in parts, if it is still what was `expected`; whether it was. Nothing of it is seen before its last part is there.
    ///
    /// # Errors
    /// When `from` cannot be read, or the store does not take it.
    pub(crate) fn upload(&self, file: FileOf<'_>, from: &Path, expected: &StoredFile) -> Result<bool, ModelsError> {
        let failed = |error| self.failed("write", file.1, error);
        let unread = |source| ModelsError::File { action: "read", path: from.to_owned(), source };
        let mut source = File::open(from).map_err(unread)?;
        let is_whole = self.runtime.block_on(async {
            let upload = self.objects.put_multipart(&self.path(file)).await.map_err(failed)?;
            let mut writer = WriteMultipart::new_with_chunk_size(upload, PART);
            let mut contents = Contents::default();
            loop {
                let mut block = Vec::with_capacity(BLOCK);
                let read = source.by_ref().take(BLOCK as u64).read_to_end(&mut block);
                if read.map_err(unread)? == 0 {
                    break;
                }
                contents.update(&block);
                writer.wait_for_capacity(PARTS_MAX).await.map_err(failed)?;
                writer.put(block.into());
            }
            let is_whole = contents.finish() == *expected;
            match is_whole {
                true => writer.finish().await.map(|_| ()).map_err(failed)?,
                false => writer.abort().await.map_err(failed)?,
            }
            Ok(is_whole)
        })?;
        if is_whole {
            self.sync(file)?;
        }
        Ok(is_whole)
    }

    /// Refuses a file that is not what its entry says.
    ///
    /// # Errors
    /// Names the file, and says what it has and what it should have.
    pub(crate) fn compare(
        &self,
        file: FileOf<'_>,
        found: Option<StoredFile>,
        expected: &StoredFile,
    ) -> Result<(), ModelsError> {
        let reason = match found {
            Some(found) if found == *expected => return Ok(()),
            None => "is missing".to_owned(),
            Some(found) if found.bytes != expected.bytes => {
                format!("has {} bytes, and its entry says {}", found.bytes, expected.bytes)
            }
            Some(found) => format!("has the SHA-256 {}, and its entry says {}", found.sha256, expected.sha256),
        };
        Err(self.damaged(file, reason))
    }

    fn damaged(&self, FileOf(model, file): FileOf<'_>, reason: String) -> ModelsError {
        let (place, model, file) = (self.place.clone(), model.0.clone(), file.to_owned());
        ModelsError::Damaged { place, model, file, reason }
    }

    /// Brings a file of a folder to the disk: an entry must not outlive, in a loss of power, the files that it names.
    fn sync(&self, FileOf(model, file): FileOf<'_>) -> Result<(), ModelsError> {
        let Some(folder) = self.folder(model) else { return Ok(()) };
        let path = folder.join(file);
        File::open(&path).and_then(|file| file.sync_all()).map_err(ModelsError::file("sync", &path))
    }

    fn path(&self, FileOf(model, file): FileOf<'_>) -> ObjectPath {
        self.prefix.clone().join(model.0.as_str()).join(file)
    }

    fn failed(&self, action: &'static str, object: &str, error: object_store::Error) -> ModelsError {
        let (place, object, text) = (self.place.clone(), object.to_owned(), error.to_string());
        let code = code_in(&text);
        if code == Some(NO_BUCKET) {
            return ModelsError::NoBucket { place };
        }
        // Of a list that is refused, object_store says so in its text alone.
        if self.folder.is_none() && ["status code: 401", "status code: 403"].iter().any(|status| text.contains(status))
        {
            // The answer of the server is left out: it may have the key's id in it.
            return ModelsError::Denied { place, action, object, code: code.unwrap_or("no reason given").to_owned() };
        }
        let remedy = match self.folder {
            Some(_) => "see to it that this user may read and write the folder",
            None => "check the network, models.endpoint and models.region",
        };
        ModelsError::Store { action, object, place, remedy, source: StoreError(error) }
    }
}

/// What S3 says of a bucket that is not there.
const NO_BUCKET: &str = "NoSuchBucket";

/// The code in an answer of S3, which object_store has only as text.
fn code_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code)
}

/// The client of a bucket.
fn s3(config: &ModelsConfig, bucket: &str) -> Result<AmazonS3Builder, ModelsError> {
    let [init_backoff, max_backoff] = BACKOFF;
    let backoff = BackoffConfig { init_backoff, max_backoff, ..BackoffConfig::default() };
    let retry = RetryConfig { backoff, max_retries: RETRIES_MAX, ..RetryConfig::default() };
    let client = ClientOptions::new().with_timeout(REQUEST_MAX).with_allow_http(config.allow_http);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&config.region)
        .with_client_options(client)
        .with_retry(retry);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(keys) = config.read_keys()? {
        return Ok(builder.with_access_key_id(keys.id).with_secret_access_key(keys.secret));
    }
    // Nothing but credentials: an endpoint from the environment would be a setting that no origin is shown of.
    for name in CREDENTIALS {
        if let (Ok(value), Ok(key)) = (std::env::var(name), name.to_ascii_lowercase().parse()) {
            builder = builder.with_config(key, value);
        }
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::aws::AmazonS3ConfigKey;

    #[test]
    fn ids_are_names_of_folders_as_they_are() {
        let path = ObjectPath::from("a/b").join("stillroom-minilm-l6@ec1b4f7b7286").join("a_B-c+d.json");
        assert_eq!(path.as_ref(), "a/b/stillroom-minilm-l6@ec1b4f7b7286/a_B-c+d.json");
    }

    #[test]
    fn credentials_of_the_environment_are_all_known() {
        for name in CREDENTIALS {
            assert!(name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().is_ok(), "{name}");
        }
    }
}
