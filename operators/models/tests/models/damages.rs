//! Every way in which a student in the registry can be other than it was added.

use crate::support::{FILES, LARGE, Site, listed, shown};
use std::fs;
use std::path::Path;
use stillroom_models::Entry;
use stillroom_schemas::ModelId;

/// Damages a stored file, and asks for the student in every way; then mends it.
fn check(site: &Site, (model, file): (&ModelId, &str), damage: impl Fn(&Path), expected: &str) {
    let (registry, path) = (site.open(), site.stored(model, file));
    let before = fs::read(&path).unwrap();
    let whole = registry.verify(model).unwrap();
    damage(&path);
    for refused in [shown(registry.verify(model)), shown(registry.folder(model))] {
        let names_it = refused.contains(&format!("{}/{file} ", model.0));
        assert!(names_it && refused.contains(expected), "{} {file}: {refused}", site.kind);
    }
    // Nothing of a student that is not whole is left where it could be taken for one.
    assert!(!site.cached(model, file).exists(), "{} {file}", site.kind);
    assert!(!site.cached(model, "entry.json").exists(), "{} {file}", site.kind);
    fs::write(&path, before).unwrap();
    assert_eq!(registry.verify(model).unwrap(), whole);
}

#[test]
fn a_file_that_is_not_what_its_entry_says_is_refused_and_named() {
    for site in Site::both() {
        let student = site.student("mine", 100);
        student.add(&site.open()).unwrap();
        for file in FILES {
            let at = (student.id(), file);
            let cut = |path: &Path| fs::write(path, &fs::read(path).unwrap()[1..]).unwrap();
            check(&site, at, cut, " bytes, and its entry says ");
            let alter = |path: &Path| {
                let mut bytes = fs::read(path).unwrap();
                bytes[3] ^= 1;
                fs::write(path, bytes).unwrap();
            };
            check(&site, at, alter, "has the SHA-256 ");
            check(&site, at, |path| fs::remove_file(path).unwrap(), "is missing; restore it from a copy");
        }
    }
}

#[test]
fn one_file_is_read_without_the_others_and_held_to_its_entry() {
    for site in Site::both() {
        let (registry, student) = (site.open(), site.student("mine", LARGE));
        let mut entry = student.add(&registry).unwrap();
        fs::remove_file(site.stored(student.id(), "model.safetensors")).unwrap();
        let stored = site.stored(student.id(), "manifest.json");
        let whole = fs::read(&stored).unwrap();
        assert_eq!(registry.read(&entry, "manifest.json").unwrap(), whole, "{}", site.kind);
        assert!(!site.config.cache.exists(), "{}", site.kind);
        let check = |entry: &Entry, name: &str, expected: &str| {
            let refused = shown(registry.read(entry, name));
            assert!(refused.contains(expected), "{} {name}: {refused}", site.kind);
        };
        fs::write(&stored, "altered").unwrap();
        check(&entry, "manifest.json", "manifest.json has 7 bytes, and its entry says ");
        fs::remove_file(&stored).unwrap();
        check(&entry, "manifest.json", "manifest.json is missing");
        entry.files.remove("manifest.json");
        check(&entry, "manifest.json", "names no manifest.json");
        check(&entry, "../id", "names no ../id");
    }
}

#[test]
fn an_entry_that_is_none_is_refused_and_left_out_of_the_list() {
    for site in Site::both() {
        let (registry, student, other) = (site.open(), site.student("mine", 100), site.student("other", 100));
        student.add(&registry).unwrap();
        other.add(&registry).unwrap();
        let text = fs::read_to_string(site.stored(student.id(), "entry.json")).unwrap();
        let others = fs::read_to_string(site.stored(other.id(), "entry.json")).unwrap();
        let hash = &student.entry.weights_hash;
        for (damaged, expected) in [
            (text[..text.len() / 2].to_owned(), "is not an entry: "),
            (String::new(), "is not an entry: "),
            ("x".repeat((1 << 20) + 1), "has 1048577 bytes, and may have 1048576 at most"),
            (others, "is that of \"other@"),
            (
                text.replace("golden.json", "../golden.json"),
                "names the file \"../golden.json\", which may lie elsewhere",
            ),
            (text.replace("golden.json", "/etc/passwd"), "names the file \"/etc/passwd\", which may lie elsewhere"),
            (text.replace("golden.json", "entry.json"), "names the file \"entry.json\", which may lie elsewhere"),
            (text.replace("model.safetensors", "model.bin"), "names no model.safetensors"),
            (text.replacen(hash, &"0".repeat(64), 1), "has another hash for model.safetensors than for the weights"),
            (text.replace(hash, &"0".repeat(64)), "has weights of another version than the student's"),
            (text.replace(hash, "none"), "has no SHA-256 of model.safetensors"),
            (text.replace("2026-01-02T", "yesterday "), "has \"yesterday 03:04:05Z\" as added_at, which is no time"),
        ] {
            assert_ne!(damaged, text, "{expected}");
            check(&site, (student.id(), "entry.json"), |path| fs::write(path, &damaged).unwrap(), expected);
            fs::write(site.stored(student.id(), "entry.json"), damaged).unwrap();
            assert_eq!(listed(&registry), [other.id().clone()], "{expected}");
            assert!(shown(registry.find(&student.id().0)).contains(expected));
            assert!(shown(student.add(&registry)).contains(expected));
            fs::write(site.stored(student.id(), "entry.json"), &text).unwrap();
        }
    }
}
