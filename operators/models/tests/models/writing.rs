//! Students that are added, once and again, by one writer or two, to the end or not.

use crate::support::{FILES, LARGE, Site, listed, names, shown};
use std::fs;
use std::sync::Barrier;
use stillroom_models::{ModelsError, NewEntry};
use stillroom_schemas::ModelId;

#[test]
fn what_is_added_is_listed_verified_and_had_as_it_was() {
    for site in Site::both() {
        let (registry, large, small) = (site.open(), site.student("large", LARGE), site.student("small", 100));
        for student in [&large, &small] {
            let added = student.add(&registry).unwrap();
            assert_eq!(added.files.keys().map(String::as_str).collect::<Vec<_>>(), FILES);
            assert_eq!(registry.verify(student.id()).unwrap(), added);
            assert_eq!(registry.find(&student.id().0).unwrap(), added);
            let folder = registry.folder(student.id()).unwrap();
            for file in FILES {
                let [had, was] = [&folder, &student.folder].map(|folder| fs::read(folder.join(file)).unwrap());
                assert!(had == was, "{} {file}", site.kind);
            }
        }
        assert_eq!(listed(&site.open()), [large.id().clone(), small.id().clone()], "{}", site.kind);
    }
}

/// Asked from another working directory, a relative folder is another one: to make it would hide that.
#[test]
fn a_folder_that_is_not_there_is_made_by_who_adds_and_missed_by_who_reads() {
    let site = Site::folder();
    let (registry, student) = (site.open(), site.student("mine", 100));
    for refused in [
        shown(registry.list()),
        shown(registry.find("mine")),
        shown(registry.find(&student.id().0)),
        shown(registry.folder(student.id())),
        shown(registry.verify(student.id())),
    ] {
        let expected = format!("there is no registry in {}; add a student", site.config.registry);
        assert!(refused.starts_with(&expected), "{refused}");
    }
    assert_eq!(registry.get(student.id()).unwrap(), None);
    assert!(!site.root.exists());
    let added = student.add(&registry).unwrap();
    assert_eq!(registry.get(student.id()).unwrap(), Some(added));
    assert_eq!(listed(&registry), [student.id().clone()]);
    assert_eq!(listed(&Site::bucket().open()), [], "an empty bucket is a registry");
}

#[test]
fn the_same_again_changes_nothing_and_another_is_refused() {
    for site in Site::both() {
        let (registry, student) = (site.open(), site.student("mine", LARGE));
        let first = student.add(&registry).unwrap();
        let later = NewEntry { added_at: "2027-01-01T00:00:00Z".to_owned(), ..student.entry.clone() };
        let files = FILES.map(str::to_owned);
        assert_eq!(registry.add(&student.folder, &files, later.clone()).unwrap(), first);
        fs::write(student.folder.join("golden.json"), "other notes").unwrap();
        let refused = shown(registry.add(&student.folder, &files, later.clone()));
        assert!(refused.contains("already, with another golden.json"), "{refused}");
        let refused = shown(registry.add(&student.folder, &files[2..], later));
        assert!(refused.contains("already, with another config.json"), "{refused}");
        assert_eq!(registry.verify(student.id()).unwrap(), first, "{}", site.kind);
    }
}

#[test]
fn what_cannot_be_an_entry_is_not_added() {
    let site = Site::folder();
    let (registry, student) = (site.open(), site.student("mine", 100));
    let check = |files: &[&str], change: &dyn Fn(&mut NewEntry), expected: &str| {
        let mut entry = student.entry.clone();
        change(&mut entry);
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        let refused = shown(registry.add(&student.folder, &files, entry));
        assert!(refused.contains(expected), "{refused}");
        assert!(!site.root.exists(), "{refused}");
    };
    let as_it_is = |_: &mut NewEntry| {};
    let with_id = |id: &'static str| move |entry: &mut NewEntry| entry.model = ModelId(id.to_owned());
    check(&[], &as_it_is, "names no model.safetensors");
    check(&["config.json"], &as_it_is, "names no model.safetensors");
    check(&["model.safetensors", "vocab.txt"], &as_it_is, "cannot read");
    check(&["model.safetensors", "../x"], &as_it_is, "names the file \"../x\", which may lie elsewhere");
    check(&["model.safetensors", "entry.json"], &as_it_is, "names the file \"entry.json\"");
    check(&FILES, &with_id("mine"), "\"mine\" cannot be a student of a registry");
    check(&FILES, &with_id("../mine@0123"), "\"../mine@0123\" cannot be a student of a registry");
    check(&FILES, &with_id("mine@0123456789ab"), "has weights of another version than the student's");
    check(&FILES, &|entry| entry.weights_hash = "0".repeat(64), "has another hash for model.safetensors");
    check(&FILES, &|entry| entry.added_at = "today".to_owned(), "has \"today\" as added_at, which is no time");
}

#[test]
fn a_write_that_was_cut_off_added_nothing_and_can_be_done_again() {
    for site in Site::both() {
        let (registry, student) = (site.open(), site.student("mine", LARGE));
        let whole = student.add(&registry).unwrap();
        // Files are written in the order of their names, and the entry at last: each beginning of this order may be all there is.
        for there in (0..=FILES.len()).rev() {
            for file in FILES[there..].iter().chain(&["entry.json"]) {
                let _ = fs::remove_file(site.stored(student.id(), file));
            }
            assert_eq!(listed(&registry), [], "{} {there}", site.kind);
            for refused in [
                shown(registry.find("mine")),
                shown(registry.find(&student.id().0)),
                shown(registry.folder(student.id())),
                shown(registry.verify(student.id())),
            ] {
                assert!(refused.contains("has no student") && refused.contains("it has none yet"), "{refused}");
            }
            assert_eq!(student.add(&registry).unwrap(), whole, "{} {there}", site.kind);
            assert_eq!(registry.verify(student.id()).unwrap(), whole, "{} {there}", site.kind);
        }
    }
}

#[test]
fn what_another_write_left_is_not_taken_for_ones_own() {
    for site in Site::both() {
        let (registry, student) = (site.open(), site.student("mine", LARGE));
        student.add(&registry).unwrap();
        fs::remove_file(site.stored(student.id(), "entry.json")).unwrap();
        for file in ["golden.json", "model.safetensors"] {
            let path = site.stored(student.id(), file);
            let before = fs::read(&path).unwrap();
            fs::write(&path, "of somebody else").unwrap();
            let refused = shown(student.add(&registry));
            assert!(refused.contains(&format!("has another {file} of mine@")), "{refused}");
            assert_eq!(fs::read_to_string(&path).unwrap(), "of somebody else");
            fs::write(&path, before).unwrap();
        }
        student.add(&registry).unwrap();
    }
}

#[test]
fn two_writers_at_once_make_one_entry() {
    for round in 0..20 {
        let site = Site::folder();
        // In even rounds both add the same, in odd ones two students of one id.
        let one = site.student("mine", if round % 4 < 2 { 100 } else { LARGE });
        let other = one.folder.with_file_name("other");
        fs::create_dir(&other).unwrap();
        for file in FILES {
            fs::copy(one.folder.join(file), other.join(file)).unwrap();
        }
        if round % 2 == 1 {
            fs::write(other.join("golden.json"), "other notes").unwrap();
        }
        let (start, files) = (Barrier::new(2), FILES.map(str::to_owned));
        let [first, second] = std::thread::scope(|scope| {
            let add = |folder| {
                let (site, start, files, entry) = (&site, &start, &files, one.entry.clone());
                move || {
                    let registry = site.open();
                    start.wait();
                    registry.add(folder, files, entry)
                }
            };
            [&one.folder, &other].map(|folder| scope.spawn(add(folder))).map(|writer| writer.join().unwrap())
        });
        let entry = site.open().verify(one.id()).unwrap();
        match round % 2 {
            0 => assert_eq!([first.unwrap(), second.unwrap()], [entry.clone(), entry]),
            _ => {
                let (Ok(winner), Err(refused)) = (match first {
                    Ok(_) => (first, second),
                    Err(_) => (second, first),
                }) else {
                    panic!("one of two is added")
                };
                assert_eq!(winner, entry);
                assert!(matches!(refused, ModelsError::Taken { .. } | ModelsError::Leftover { .. }), "{refused}");
            }
        }
        let mut expected = [FILES.as_slice(), &["entry.json"]].concat();
        expected.sort_unstable();
        assert_eq!(names(&site.root.join(&one.id().0)), expected);
    }
}
