//! The length and the hash of what goes by, block by block.

use crate::{ModelsError, StoredFile};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes that are read at a time.
pub(crate) const BLOCK: usize = 1 << 20;

/// Who takes the blocks of a file, in order.
pub(crate) type EachBlock<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), ModelsError>;

/// What has gone by.
#[derive(Default)]
pub(crate) struct Contents {
    bytes: u64,
    hash: Sha256,
}

impl Contents {
    /// Adds a block.
    pub(crate) fn update(&mut self, block: &[u8]) {
        self.bytes += block.len() as u64;
        self.hash.update(block);
    }

    /// The length and the hash of all blocks.
    pub(crate) fn finish(self) -> StoredFile {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        StoredFile { bytes: self.bytes, sha256 }
    }

    /// The length and the hash of some bytes.
    pub(crate) fn of(bytes: &[u8]) -> StoredFile {
        let mut contents = Contents::default();
        contents.update(bytes);
        contents.finish()
    }

    /// The length and the hash of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn of_file(path: &Path) -> io::Result<StoredFile> {
        let (mut file, mut contents) = (File::open(path)?, Contents::default());
        let mut block = vec![0; BLOCK];
        loop {
            match file.read(&mut block)? {
                0 => return Ok(contents.finish()),
                read => contents.update(&block[..read]),
            }
        }
    }
}
