//! What students are called by.

use crate::support::{FILES, Site, listed};
use std::fs;
use stillroom_models::NewEntry;
use stillroom_schemas::ModelId;

#[test]
fn a_student_is_found_by_what_only_it_is_called() {
    let site = Site::folder();
    let (registry, one) = (site.open(), site.student("one", 100));
    one.add(&registry).unwrap();
    // Another version of the same name: other weights.
    let mut newer = site.student("two", 100);
    newer.entry.model = ModelId(newer.entry.model.0.replace("two@", "one@"));
    let alone = site.student("alone", 100);
    // A folder that is no student's is none.
    fs::create_dir_all(site.root.join("lost+found")).unwrap();
    let check = |name: &str, expected: &str| {
        let found = match registry.find(name) {
            Ok(entry) => entry.model.0,
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expected), "{name}: {found}");
    };
    check("one", &one.id().0);
    for student in [&newer, &alone] {
        student.add(&registry).unwrap();
    }
    for student in [&one, &newer, &alone] {
        let (name, version) = student.id().0.split_once('@').unwrap();
        check(&student.id().0, &student.id().0);
        check(version, &student.id().0);
        check(&version[..4], &student.id().0);
        check(&format!("{name}@{}", &version[..4]), &student.id().0);
        check(&version[..3], "has no student");
        check(&format!("{version}0"), "has no student");
    }
    check("alone", &alone.id().0);
    check("one", "\"one\" may be one@");
    check("one", "write more of the version");
    check("", "has no student \"\"");
    check("../one", "has no student \"../one\"");
    check("lost+found", "has no student");
    check("alnoe", &format!("the nearest are {}", alone.id().0));
}

#[test]
fn the_oldest_comes_first_whatever_the_name_and_the_zone() {
    for site in Site::both() {
        let registry = site.open();
        let times =
            ["2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00+03:00", "2025-12-31T23:59:59Z"];
        let students = ["a", "b", "c", "d"].map(|name| site.student(name, 100));
        for (student, added_at) in students.iter().zip(times) {
            let entry = NewEntry { added_at: added_at.to_owned(), ..student.entry.clone() };
            registry.add(&student.folder, &FILES.map(str::to_owned), entry).unwrap();
        }
        let [a, b, c, d] = students.map(|student| student.entry.model);
        assert_eq!(listed(&registry), [c, d, b, a], "{}", site.kind);
    }
}
