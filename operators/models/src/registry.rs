//! Students of a registry: added, listed, found, verified, and brought to this machine.

use crate::cache::Cache;
use crate::contents::Contents;
use crate::entry::{DIGITS_MIN, ENTRY, is_file_name, version_of};
use crate::store::{FileOf, PART, Store};
use crate::{Entry, ModelsConfig, ModelsError, NewEntry, StoredFile};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use stillroom_schemas::ModelId;

/// Students that an error names at most.
const NAMED_MAX: usize = 5;

/// A registry of students. Its calls block, and must not be made from within a task of tokio.
pub struct Registry {
    store: Store,
    cache: Cache,
}

impl Registry {
    /// The registry of a configuration. A folder that is not there is made by the first [`Registry::add`]; of a bucket nothing is
    /// asked yet.
    ///
    /// # Errors
    /// When a setting cannot be used, or a file of keys cannot be read.
    pub fn open(config: &ModelsConfig) -> Result<Registry, ModelsError> {
        Ok(Registry { store: Store::open(config)?, cache: Cache::new(&config.cache, config.cache_bytes_max) })
    }

    /// Where it is: a folder, or the address of a bucket.
    pub fn place(&self) -> String {
        self.store.place().to_owned()
    }

    /// All students, the oldest first. One whose entry is damaged is left out, with a warning in the log.
    ///
    /// # Errors
    /// When the registry is a folder that is not there, or does not answer.
    pub fn list(&self) -> Result<Vec<Entry>, ModelsError> {
        let mut entries = Vec::new();
        for folder in self.store.folders()? {
            let model = ModelId(folder);
            if version_of(&model).is_none() {
                continue;
            }
            match self.get(&model) {
                Ok(entry) => entries.extend(entry),
                Err(error @ (ModelsError::Entry { .. } | ModelsError::Damaged { .. })) => {
                    tracing::warn!(%error, "the student is left out");
                }
                Err(error) => return Err(error),
            }
        }
        entries.sort_by_key(|entry| (entry.moment(), entry.model.clone()));
        Ok(entries)
    }

    /// The one student that is called `name`: by its full id, by its name if there is one version of it, or by the beginning of its
    /// version, four digits or more, alone or after the name and an `@`.
    ///
    /// # Errors
    /// When there is none, and names the nearest; when there are several, and names them; when its entry is damaged, or the registry
    /// does not answer.
    pub fn find(&self, name: &str) -> Result<Entry, ModelsError> {
        let full = ModelId(name.to_owned());
        if version_of(&full).is_some()
            && let Some(entry) = self.get(&full)?
        {
            return Ok(entry);
        }
        let entries = self.list()?;
        let mut found = entries.iter().filter(|entry| is_called(&entry.model, name));
        match (found.next(), found.next()) {
            (Some(entry), None) => Ok(entry.clone()),
            (None, _) => Err(self.unknown(name, &entries)),
            (Some(one), Some(other)) => {
                let all = [one, other].into_iter().chain(found);
                let candidates = all.take(NAMED_MAX).map(|entry| entry.model.0.as_str()).collect::<Vec<_>>().join(", ");
                Err(ModelsError::Ambiguous { place: self.place(), name: name.to_owned(), candidates })
            }
        }
    }

    /// The student of this full id, if the registry has it. A folder that is not there has none.
    ///
    /// # Errors
    /// When the id is none, the entry is damaged, or the registry does not answer.
    pub fn get(&self, model: &ModelId) -> Result<Option<Entry>, ModelsError> {
        if version_of(model).is_none() {
            return Err(ModelsError::Id { model: model.0.clone() });
        }
        if !self.store.is_there() {
            return Ok(None);
        }
        let Some(bytes) = self.store.read(FileOf(model, ENTRY))? else { return Ok(None) };
        let (place, name) = (self.place(), model.0.clone());
        Entry::parse(&bytes, model).map(Some).map_err(|reason| ModelsError::Entry { place, model: name, reason })
    }

    /// Adds a student: those of the `files` of its folder, and then its entry. Adding the same again changes nothing. A registry in a
    /// folder that is not there is made.
    ///
    /// # Errors
    /// When the id is none, or not that of the weights; a file cannot be read, or changes; there is another student of this id, or
    /// what is left of a write that was cut off; or the registry does not answer. The student is then not in the registry.
    pub fn add(&self, folder: &Path, files: &[String], entry: NewEntry) -> Result<Entry, ModelsError> {
        let entry = self.describe(folder, files, entry)?;
        self.store.make()?;
        if let Some(present) = self.get(&entry.model)? {
            return self.same(present, &entry);
        }
        for (name, expected) in &entry.files {
            self.put(&folder.join(name), FileOf(&entry.model, name), expected)?;
        }
        match self.store.create(FileOf(&entry.model, ENTRY), entry.text())? {
            true => Ok(entry),
            // Another process added it in between.
            false => self.same(self.entry(&entry.model)?, &entry),
        }
    }

    /// One small file of a student, 1 MiB at most, past the cache.
    ///
    /// # Errors
    /// When the entry names no such file, the file is not what it says, or the registry does not answer.
    pub fn read(&self, entry: &Entry, name: &str) -> Result<Vec<u8>, ModelsError> {
        let file = FileOf(&entry.model, name);
        let Some(expected) = entry.files.get(name) else {
            let (place, model) = (self.place(), entry.model.0.clone());
            return Err(ModelsError::Entry { place, model, reason: format!("names no {name}") });
        };
        let bytes = self.store.read(file)?;
        self.store.compare(file, bytes.as_deref().map(Contents::of), expected)?;
        Ok(bytes.unwrap_or_default())
    }

    /// A student's files as a folder of this machine, every one verified. Those of a bucket are fetched into the cache first, where a
    /// file that is whole is kept; a student that is complete there is had without any request. What a folder was given for stays in
    /// the cache for as long as this registry is open, unless another process needs the room.
    ///
    /// # Errors
    /// When there is no such student, a file is not what its entry says, the cache cannot be written, or the registry does not answer.
    pub fn folder(&self, model: &ModelId) -> Result<PathBuf, ModelsError> {
        if version_of(model).is_none() {
            return Err(ModelsError::Id { model: model.0.clone() });
        }
        if let Some(folder) = self.store.folder(model) {
            return self.verify(model).map(|_| folder);
        }
        match self.cache.complete(model) {
            Some(folder) => Ok(folder),
            None => self.cache.fetch(&self.store, &self.entry(model)?),
        }
    }

    /// Reads all of a student's files from the registry, past the cache, and compares them with its entry. A student that was added
    /// anew, with other files beside the same weights, is no longer had from the cache as it was: the next [`Registry::folder`] fetches
    /// what differs.
    ///
    /// # Errors
    /// When there is no such student, a file is not what its entry says, the cache cannot be written, or the registry does not answer.
    pub fn verify(&self, model: &ModelId) -> Result<Entry, ModelsError> {
        let entry = self.entry(model)?;
        for (name, expected) in &entry.files {
            let file = FileOf(model, name);
            self.store.compare(file, self.store.measure(file)?, expected)?;
        }
        self.cache.forget_other(&entry)?;
        Ok(entry)
    }

    /// The entry of a student that must be there.
    fn entry(&self, model: &ModelId) -> Result<Entry, ModelsError> {
        match self.get(model)? {
            Some(entry) => Ok(entry),
            None => Err(self.unknown(&model.0, &self.list()?)),
        }
    }

    /// The entry that files of a folder would have.
    fn describe(&self, folder: &Path, files: &[String], entry: NewEntry) -> Result<Entry, ModelsError> {
        if version_of(&entry.model).is_none() {
            return Err(ModelsError::Id { model: entry.model.0 });
        }
        let model = entry.model.0.clone();
        let not_addable = |reason| ModelsError::NotAddable { model, folder: folder.to_owned(), reason };
        if let Some(name) = files.iter().find(|name| !is_file_name(name)) {
            return Err(not_addable(format!("names the file {name:?}, which may lie elsewhere")));
        }
        let mut described = BTreeMap::new();
        for name in files {
            let path = folder.join(name);
            described.insert(name.clone(), Contents::of_file(&path).map_err(ModelsError::file("read", &path))?);
        }
        let entry = entry.with(described);
        match entry.check() {
            Ok(()) => Ok(entry),
            Err(reason) => Err(not_addable(reason)),
        }
    }

    /// Writes one file, unless it is there.
    fn put(&self, from: &Path, file: FileOf<'_>, expected: &StoredFile) -> Result<(), ModelsError> {
        let changed = || Err(ModelsError::Changed { path: from.to_owned() });
        // Only small files can be written on the condition that there is none. Large ones are the weights, whose hash is the id.
        if expected.bytes <= PART as u64 {
            let bytes = fs::read(from).map_err(ModelsError::file("read", from))?;
            if Contents::of(&bytes) != *expected {
                return changed();
            }
            if self.store.create(file, bytes)? {
                return Ok(());
            }
        }
        match self.store.measure(file)? {
            Some(found) if found == *expected => Ok(()),
            Some(_) => {
                Err(ModelsError::Leftover { place: self.place(), model: file.0.0.clone(), file: file.1.to_owned() })
            }
            None => match self.store.upload(file, from, expected)? {
                true => Ok(()),
                false => changed(),
            },
        }
    }

    /// The entry that is there, if it is that of the same files.
    fn same(&self, present: Entry, added: &Entry) -> Result<Entry, ModelsError> {
        let names = || present.files.keys().chain(added.files.keys());
        let differing = names().find(|name| present.files.get(*name) != added.files.get(*name)).cloned();
        match differing {
            None => Ok(present),
            Some(what) => Err(ModelsError::Taken { place: self.place(), model: added.model.0.clone(), what }),
        }
    }

    fn unknown(&self, name: &str, entries: &[Entry]) -> ModelsError {
        let distance = |model: &ModelId| {
            let short = model.0.split('@').next().unwrap_or_default();
            [model.0.as_str(), short].map(|known| strsim::damerau_levenshtein(known, name)).into_iter().min()
        };
        let mut nearest: Vec<&ModelId> = entries.iter().map(|entry| &entry.model).collect();
        nearest.sort_by_cached_key(|model| (distance(model), (*model).clone()));
        let nearest: Vec<&str> = nearest.into_iter().take(NAMED_MAX).map(|model| model.0.as_str()).collect();
        let remedy = match nearest[..] {
            [] => "it has none yet: add one with stillroom models add".to_owned(),
            _ => format!("the nearest are {}", nearest.join(", ")),
        };
        ModelsError::Unknown { place: self.place(), name: name.to_owned(), remedy }
    }
}

/// Whether `called` may mean this student.
fn is_called(model: &ModelId, called: &str) -> bool {
    let (name, version) = model.0.split_once('@').unwrap_or((&model.0, ""));
    let begins = |digits: &str| digits.len() >= DIGITS_MIN && version.starts_with(digits);
    match called.split_once('@') {
        Some((before, digits)) => before == name && begins(digits),
        None => called == name || begins(called),
    }
}
