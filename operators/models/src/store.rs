//! Files of a folder or of a bucket, by student and name.

use crate::config::Place;
use crate::contents::{BLOCK, Contents, EachBlock};
use crate::error::StoreError;
use crate::{ModelsConfig, ModelsError, StoredFile};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, WriteMultipart,
};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stillroom_schemas::ModelId;
use tokio::runtime::Runtime;

/// Files up to this length are written and read in one request, larger ones in parts of it.
pub(crate) const PART: usize = 8 << 20;

/// Parts of a file that are on their way at a time.
const PARTS_MAX: usize = 4;

/// The longest file that is held in memory, in bytes.
const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// Attempts at a request after the first.
const RETRIES_MAX: usize = 4;

/// The first pause between two attempts, and the longest.
const BACKOFF: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// The time for a request with its body, a part at most.
const REQUEST_MAX: Duration = Duration::from_secs(60);

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
    /// Not there before a folder is.
    objects: OnceLock<Arc<dyn ObjectStore>>,
    prefix: ObjectPath,
    place: String,
    folder: Option<PathBuf>,
    // One thread, the caller's, as requests come one after the other; only the parts of a file overlap.
    runtime: Runtime,
}

impl Store {
    /// The store that a configuration names. A folder need not be there, and of a bucket nothing is asked.
    ///
    /// # Errors
    /// When a setting cannot be used, or a file of keys cannot be read.
    pub(crate) fn open(config: &ModelsConfig) -> Result<Store, ModelsError> {
        config.check()?;
        let place = config.registry.trim_end_matches('/').to_owned();
        let client = |source| ModelsError::Client { place: place.clone(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| client(source.into()))?;
        match config.place()? {
            Place::Folder(folder) => {
                let (objects, prefix) = (OnceLock::new(), ObjectPath::default());
                Ok(Store { objects, prefix, place, folder: Some(folder.to_owned()), runtime })
            }
            Place::Bucket(bucket, below) => {
                let objects = s3(config, bucket, |name| std::env::var(name).ok())?
                    .build()
                    .map_err(|source| client(source.into()))?;
                let objects = OnceLock::from(Arc::new(objects) as Arc<dyn ObjectStore>);
                Ok(Store { objects, prefix: below.into(), place, folder: None, runtime })
            }
        }
    }

    /// Makes the folder, if the store is one and it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make(&self) -> Result<(), ModelsError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        std::fs::create_dir_all(folder).map_err(ModelsError::file("create", folder))
    }

    /// Whether there is something to read from: always true of a bucket, which nothing is asked of.
    pub(crate) fn is_there(&self) -> bool {
        self.folder.as_ref().is_none_or(|folder| folder.is_dir())
    }

    /// What has the files. Who only reads makes no folder: an empty one in the wrong place would look like a registry.
    fn objects(&self) -> Result<&dyn ObjectStore, ModelsError> {
        if let Some(objects) = self.objects.get() {
            return Ok(objects.as_ref());
        }
        let (place, folder) = (self.place.clone(), self.folder.as_ref().filter(|folder| folder.is_dir()));
        let Some(folder) = folder else { return Err(ModelsError::NoFolder { place }) };
        let objects = LocalFileSystem::new_with_prefix(folder)
            .map_err(|source| ModelsError::Client { place, source: source.into() })?;
        Ok(self.objects.get_or_init(|| Arc::new(objects)).as_ref())
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
        let found = self.runtime.block_on(self.objects()?.list_with_delimiter(Some(&self.prefix)));
        let found = found.map_err(|error| self.failed("list", "students", error))?;
        Ok(found.common_prefixes.iter().filter_map(|path| path.filename()).map(str::to_owned).collect())
    }

    /// A small file; nothing if it is not there.
    ///
    /// # Errors
    /// When the store does not answer, or the file is longer than a small one.
    pub(crate) fn read(&self, file: FileOf<'_>) -> Result<Option<Vec<u8>>, ModelsError> {
        let objects = self.objects()?;
        let found = self.runtime.block_on(async {
            let found = objects.get(&self.path(file)).await?;
            match found.meta.size {
                0..=WHOLE_BYTES_MAX => found.bytes().await.map(Ok),
                bytes => Ok(Err(bytes)),
            }
        });
        match self.if_there(file, found)? {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes.into())),
            Some(Err(bytes)) => {
                Err(self.damaged(file, format!("has {bytes} bytes, and may have {WHOLE_BYTES_MAX} at most")))
            }
        }
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

    /// Gives a file block by block, each by a request of its own, so that one that breaks off is no large loss; whether it is there.
    ///
    /// # Errors
    /// When the store does not answer, and what `each` fails with.
    pub(crate) fn blocks(&self, file: FileOf<'_>, each: EachBlock<'_>) -> Result<bool, ModelsError> {
        let (objects, path) = (self.objects()?, self.path(file));
        let head = self.runtime.block_on(objects.head(&path));
        let Some(head) = self.if_there(file, head)? else { return Ok(false) };
        for start in (0..head.size).step_by(PART) {
            let range = start..head.size.min(start + PART as u64);
            let block = self.runtime.block_on(objects.get_range(&path, range));
            each(&block.map_err(|error| self.failed("read", file.1, error))?)?;
        }
        Ok(true)
    }

    /// Writes a file in one request, unless there is one; whether it did.
    ///
    /// # Errors
    /// When the store does not take it.
    pub(crate) fn create(&self, file: FileOf<'_>, bytes: Vec<u8>) -> Result<bool, ModelsError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.runtime.block_on(self.objects()?.put_opts(&self.path(file), bytes.into(), options)) {
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
        let (objects, mut source) = (self.objects()?, File::open(from).map_err(unread)?);
        let is_whole = self.runtime.block_on(async {
            let upload = objects.put_multipart(&self.path(file)).await.map_err(failed)?;
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

    /// What was found, or nothing if there is no such file.
    fn if_there<T>(&self, file: FileOf<'_>, found: object_store::Result<T>) -> Result<Option<T>, ModelsError> {
        let is_missing = matches!(found, Err(object_store::Error::NotFound { .. }));
        match found.map_err(|error| self.failed("read", file.1, error)) {
            Ok(found) => Ok(Some(found)),
            Err(ModelsError::Store { .. }) if is_missing => Ok(None),
            Err(error) => Err(error),
        }
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
        ModelsError::Store { action, object, place, remedy, source: StoreError(error.into()) }
    }
}

/// What S3 says of a bucket that is not there.
const NO_BUCKET: &str = "NoSuchBucket";

/// The code in an answer of S3, which object_store has only as text.
fn code_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code)
}

/// The client of a bucket; `variable` is the environment.
fn s3(
    config: &ModelsConfig,
    bucket: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<AmazonS3Builder, ModelsError> {
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
        if let (Some(value), Ok(key)) = (variable(name), name.to_ascii_lowercase().parse()) {
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
    fn the_environment_gives_credentials_and_nothing_else_and_files_go_before_it() {
        let environment = |name: &str| Some(format!("value of {name}"));
        let builder = s3(&ModelsConfig::default(), "models", environment).unwrap();
        for name in CREDENTIALS {
            let key: AmazonS3ConfigKey = name.to_ascii_lowercase().parse().unwrap();
            assert_eq!(builder.get_config_value(&key), environment(name), "{name}");
        }
        assert_eq!(builder.get_config_value(&AmazonS3ConfigKey::Endpoint), None);
        assert_eq!(builder.get_config_value(&AmazonS3ConfigKey::Region).as_deref(), Some("us-east-1"));
        let folder = tempfile::tempdir().unwrap();
        let [id, secret] = ["id", "secret"].map(|name| {
            std::fs::write(folder.path().join(name), format!("{name}\n")).unwrap();
            Some(folder.path().join(name))
        });
        let config = ModelsConfig { access_key_id_file: id, secret_access_key_file: secret, ..ModelsConfig::default() };
        let builder = s3(&config, "models", environment).unwrap();
        for (key, value) in [
            (AmazonS3ConfigKey::AccessKeyId, Some("id")),
            (AmazonS3ConfigKey::SecretAccessKey, Some("secret")),
            (AmazonS3ConfigKey::Token, None),
        ] {
            assert_eq!(builder.get_config_value(&key).as_deref(), value);
        }
    }

    #[test]
    fn a_file_that_changed_on_its_way_is_not_written() {
        let home = tempfile::tempdir().unwrap();
        let [from, registry] = ["weights", "registry"].map(|name| home.path().join(name));
        std::fs::write(&from, vec![7; PART + 1]).unwrap();
        let config = ModelsConfig { registry: registry.to_str().unwrap().to_owned(), ..ModelsConfig::default() };
        let (store, model) = (Store::open(&config).unwrap(), ModelId("mine@0123".to_owned()));
        store.make().unwrap();
        let (file, was) = (FileOf(&model, "weights"), Contents::of(&[8; PART + 1]));
        assert!(!store.upload(file, &from, &was).unwrap());
        assert_eq!(store.measure(file).unwrap(), None);
        assert_eq!(std::fs::read_dir(registry.join(&model.0)).unwrap().count(), 0);
        let is = Contents::of_file(&from).unwrap();
        assert!(store.upload(file, &from, &is).unwrap());
        assert_eq!(store.measure(file).unwrap(), Some(is));
    }
}
