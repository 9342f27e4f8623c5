//! What the hub calls a file's `ETag`: the SHA-256 of a large file's bytes, or the id of a small one as a blob of Git.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes that are hashed at a time.
const BLOCK: usize = 1 << 20;

/// A file's checksum, which names its blob in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    /// Lower-case hexadecimal digits: 64 of a SHA-256, 40 of a blob's SHA-1.
    digits: String,
}

impl Digest {
    /// The checksum in an `ETag`, if it is one.
    pub(crate) fn parse(etag: &str) -> Option<Digest> {
        let digits = etag.trim().trim_start_matches("W/").trim_matches('"');
        let is_digest = matches!(digits.len(), 40 | 64) && is_lower_hex(digits);
        is_digest.then(|| Digest { digits: digits.to_owned() })
    }

    /// Its digits.
    pub(crate) fn digits(&self) -> &str {
        &self.digits
    }

    /// The digits that a file would have to have, by the same rule.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn of_file(&self, path: &Path) -> io::Result<String> {
        let mut file = File::open(path)?;
        match self.digits.len() {
            64 => digits(Sha256::new(), &mut file),
            // `git hash-object`: a header with the length goes before the bytes.
            _ => {
                let header = format!("blob {}\0", file.metadata()?.len());
                digits(Sha1::new_with_prefix(header), &mut file)
            }
        }
    }
}

/// Whether all are digits of a lower-case hexadecimal number.
pub(crate) fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn digits<D: sha2::Digest>(mut hash: D, file: &mut File) -> io::Result<String> {
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hash.update(&block[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digits are those of `git hash-object` and `sha256sum` for these six bytes.
    #[test]
    fn digests_are_those_of_git_and_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello");
        std::fs::write(&path, "hello\n").unwrap();
        for digits in [
            "ce013625030ba8dba906f756967f9e9ca394464a",
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        ] {
            let digest = Digest::parse(&format!("W/\"{digits}\"")).unwrap();
            assert_eq!(digest.of_file(&path).unwrap(), digits);
        }
        for none in
            ["", "\"abc\"", "\"Ce013625030ba8dba906f756967f9e9ca394464a\"", "../../../../../../../../../../../../../x"]
        {
            assert_eq!(Digest::parse(none), None);
        }
    }
}
