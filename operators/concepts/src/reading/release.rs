//! Which release of a vocabulary a file is.

use super::{Lines, Reading, VOCABULARY, VocabularyFormat, obo, snomed};
use crate::ConceptError;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of a hash that a version shows.
const HASH_BYTES: usize = 6;

/// Digits of a date.
const DATE_DIGITS: usize = 8;

impl Reading {
    /// The release as its publisher names it: of RxNorm by `RXNSAB.RRF` beside the file or by the date in its folder's name, of SNOMED
    /// CT by the date in the file's name or else the latest `effectiveTime`, of OBO by `data-version`. Where none of these is there, and
    /// of TSV, the beginning of the file's SHA-256.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn release(&self) -> Result<String, ConceptError> {
        let told = match self.format {
            VocabularyFormat::Rxnorm => match beside(&self.path, "rxnsab.") {
                Some(path) => rxnorm_release(&path)?.or_else(|| date_of_folder(&self.path)),
                None => date_of_folder(&self.path),
            },
            VocabularyFormat::Snomed => match date_of_name(&self.path) {
                Some(date) => Some(date),
                None => snomed::latest_time(&self.path)?,
            },
            VocabularyFormat::Obo => obo::data_version(&self.path)?,
            VocabularyFormat::Tsv => None,
        };
        match told {
            Some(release) => Ok(release),
            None => hash_of(&self.path),
        }
    }
}

/// The file beside `path` whose name begins with `prefix`, in lower case; the last in the order of names where there are several.
pub(crate) fn beside(path: &Path, prefix: &str) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let begins = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        name.starts_with(prefix) && path.is_file()
    };
    std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(begins).max()
}

/// The version of RxNorm itself in the file of sources (RxNorm technical documentation, section 12.8): its seventh field.
fn rxnorm_release(path: &Path) -> Result<Option<String>, ConceptError> {
    let mut lines = Lines::open(path, VOCABULARY)?;
    while let Some(line) = lines.next_line()? {
        let fields: Vec<&str> = line.split('|').collect();
        if let [_, _, _, "RXNORM", _, _, version, ..] = fields[..]
            && !version.is_empty()
        {
            return Ok(Some(version.to_owned()));
        }
    }
    Ok(None)
}

/// The date in the name of a folder of RxNorm's, `RxNorm_full_01062025`, year first.
fn date_of_folder(path: &Path) -> Option<String> {
    path.components().rev().find_map(|part| {
        let name = part.as_os_str().to_str()?;
        let date = last_digits(name).filter(|_| name.to_lowercase().starts_with("rxnorm"))?;
        Some(format!("{}-{}-{}", &date[4..], &date[..2], &date[2..4]))
    })
}

/// The date at the end of a file's name, `…_INT_20250101.txt`.
fn date_of_name(path: &Path) -> Option<String> {
    last_digits(path.file_stem()?.to_str()?).map(str::to_owned)
}

/// The digits of a date behind the last underscore.
fn last_digits(name: &str) -> Option<&str> {
    let (_, digits) = name.rsplit_once('_')?;
    (digits.len() == DATE_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit())).then_some(digits)
}

fn hash_of(path: &Path) -> Result<String, ConceptError> {
    let failed = |source| ConceptError::File { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let digits: String = hash.finalize().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The release of a file in a folder of a new one.
    fn check(file: &str, text: &str, beside: &[(&str, &str)], expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        for (name, text) in beside {
            std::fs::write(path.with_file_name(name), text).unwrap();
        }
        let format = VocabularyFormat::of(&path).unwrap();
        let (kinds, tags) = (Vec::new(), Vec::new());
        let reading = Reading { path, format, kinds, tags, products: false, concepts: None };
        assert_eq!(reading.release().unwrap(), expected, "{file}");
    }

    #[test]
    fn publishers_name_their_releases() {
        let sources = "C1|C2|MTHSPL_2025|MTHSPL|x|MTHSPL|2025_08|\n\
            C3|C4|RXNORM_20AA_251006F|RXNORM|RxNorm Vocabulary|RXNORM|20AA_251006F|||||";
        check("rrf/RXNCONSO.RRF", "x", &[("RXNSAB.RRF", sources)], "20AA_251006F");
        check("RxNorm_full_prescribe_10062025/rrf/RXNCONSO.RRF", "x", &[], "2025-10-06");
        check("sct2_Description_Snapshot-en_INT_20250101.txt", "x", &[], "20250101");
        let rows = "id\teffectiveTime\n1\t20240901\n2\t20250301\n3\t20020131\n";
        check("sct2_Description_Snapshot-en.txt", rows, &[], "20250301");
        check(
            "doid.obo",
            "format-version: 1.2\ndata-version: releases/2025-06-27\n\n[Term]\n",
            &[],
            "releases/2025-06-27",
        );
    }

    #[test]
    fn a_file_that_names_none_is_told_by_its_hash() {
        // The SHA-256 of "abc" (FIPS 180-2, appendix B.1).
        check("names.tsv", "abc", &[], "sha256:ba7816bf8f01");
        check("RXNCONSO.RRF", "abc", &[], "sha256:ba7816bf8f01");
        check("a.obo", "abc", &[], "sha256:ba7816bf8f01");
    }

    #[test]
    fn neighbours_are_found_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a_1.txt", "A_2.txt", "b_3.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(beside(&folder.path().join("b_3.txt"), "a_"), Some(folder.path().join("a_1.txt")));
        assert_eq!(beside(&folder.path().join("b_3.txt"), "c_"), None);
        assert_eq!(beside(Path::new("no/such/file"), "c_"), None);
    }
}
