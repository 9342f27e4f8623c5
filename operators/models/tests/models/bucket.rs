//! What only a bucket can do: refuse keys, be away, and be kept on this machine.

use crate::support::{FILES, LARGE, Site, Student, names, shown};
use std::fs::{self, File};
use std::time::{Duration, SystemTime};
use stillroom_models::{ModelsError, Registry};

#[test]
fn a_complete_student_is_had_from_the_cache_without_the_bucket() {
    let mut site = Site::bucket();
    let (registry, student) = (site.open(), site.student("mine", LARGE));
    student.add(&registry).unwrap();
    let folder = registry.folder(student.id()).unwrap();
    assert_eq!(folder, site.config.cache.join(&student.id().0));
    let mut expected = [FILES.as_slice(), &["entry.json"]].concat();
    expected.sort_unstable();
    assert_eq!(names(&folder), expected);
    drop(site.server.take());
    for registry in [registry, site.open()] {
        assert_eq!(registry.folder(student.id()).unwrap(), folder);
    }
    // One that is not whole needs the bucket.
    fs::write(folder.join("golden.json"), "altered").unwrap();
    let refused = site.open().folder(student.id());
    assert!(matches!(refused, Err(ModelsError::Store { .. })), "{refused:?}");
    let refused = shown(refused);
    assert!(refused.contains("check the network, models.endpoint and models.region"), "{refused}");
}

#[test]
fn what_is_damaged_in_the_cache_is_fetched_anew_and_the_rest_is_kept() {
    let site = Site::bucket();
    let (registry, student) = (site.open(), site.student("mine", 100));
    student.add(&registry).unwrap();
    let folder = registry.folder(student.id()).unwrap();
    for damaged in FILES {
        let whole = fs::read(student.folder.join(damaged)).unwrap();
        let mut altered = whole.clone();
        altered[3] ^= 1;
        for bytes in [&whole[1..], &altered] {
            fs::write(folder.join(damaged), bytes).unwrap();
            assert_eq!(registry.folder(student.id()).unwrap(), folder);
            assert_eq!(fs::read(folder.join(damaged)).unwrap(), whole);
        }
    }
    // As after a fetch that was cut off: one file is whole, and not asked for again, as the bucket no longer has it.
    fs::write(folder.join("entry.json"), "{").unwrap();
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let kept = site.stored(student.id(), "config.json");
    let config = fs::read(&kept).unwrap();
    fs::remove_file(&kept).unwrap();
    assert_eq!(registry.folder(student.id()).unwrap(), folder);
    // The whole registry is what verifying is about, whatever the cache has.
    assert!(shown(registry.verify(student.id())).contains("config.json is missing"));
    fs::write(&kept, config).unwrap();
    registry.verify(student.id()).unwrap();
}

#[test]
fn a_fetch_that_fails_leaves_what_was_whole_and_nothing_else() {
    let site = Site::bucket();
    let (registry, student) = (site.open(), site.student("mine", LARGE));
    student.add(&registry).unwrap();
    let weights = site.stored(student.id(), "model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 1]).unwrap();
    assert!(shown(registry.folder(student.id())).contains("model.safetensors has "));
    let folder = site.config.cache.join(&student.id().0);
    assert_eq!(names(&folder), ["config.json", "golden.json", "manifest.json"]);
    fs::write(&weights, bytes).unwrap();
    assert_eq!(registry.folder(student.id()).unwrap(), folder);
}

/// Marks a student as used so many seconds after the beginning of time.
fn use_at(site: &Site, student: &Student, seconds: u64) {
    for file in names(&site.config.cache.join(&student.id().0)) {
        let file = File::open(site.cached(student.id(), &file)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }
}

/// Adds students and has them one after the other, with this many bytes of cache; who is in it then.
fn kept(cache_bytes_max: u64, then: impl Fn(&mut Site, [&Student; 3])) -> Vec<String> {
    let mut site = Site::bucket();
    let students = ["a", "b", "c"].map(|name| site.student(name, 1_000));
    for (student, seconds) in students.iter().zip(1..) {
        student.add(&site.open()).unwrap();
        site.open().folder(student.id()).unwrap();
        use_at(&site, student, seconds);
    }
    fs::create_dir(site.config.cache.join("notes")).unwrap();
    fs::write(site.config.cache.join("notes/large"), [0; 10_000]).unwrap();
    site.config.cache_bytes_max = cache_bytes_max;
    then(&mut site, students.each_ref());
    let kept = names(&site.config.cache).into_iter().filter(|name| name != "notes");
    assert!(site.config.cache.join("notes/large").exists(), "what is no student is somebody else's");
    kept.map(|name| name[..1].to_owned()).collect()
}

#[test]
fn before_a_student_is_fetched_those_go_that_were_used_least_lately() {
    let fetch = |site: &mut Site, _: [&Student; 3]| {
        let student = site.student("d", 1_000);
        student.add(&site.open()).unwrap();
        let folder = site.open().folder(student.id()).unwrap();
        assert!(folder.join("model.safetensors").exists());
    };
    assert_eq!(kept(1, fetch), ["d"], "who is fetched is there, however small the cache");
    let of_one: u64 = {
        let site = Site::bucket();
        let student = site.student("d", 1_000);
        student.add(&site.open()).unwrap();
        let folder = site.open().folder(student.id()).unwrap();
        let sizes = names(&folder).into_iter().map(|name| fs::metadata(folder.join(name)).unwrap().len());
        sizes.sum()
    };
    assert_eq!(kept(4 * of_one, fetch), ["a", "b", "c", "d"]);
    assert_eq!(kept(4 * of_one - 1, fetch), ["b", "c", "d"]);
    assert_eq!(kept(3 * of_one, fetch), ["b", "c", "d"]);
    assert_eq!(kept(2 * of_one, fetch), ["c", "d"]);
    // A use counts, and not only a fetch.
    let use_and_fetch = |site: &mut Site, [a, b, c]: [&Student; 3]| {
        site.open().folder(a.id()).unwrap();
        fetch(site, [a, b, c]);
    };
    assert_eq!(kept(3 * of_one, use_and_fetch), ["a", "c", "d"]);
    // Two that are compared are both there, and whoever was had from the same registry stays.
    let together = |site: &mut Site, students: [&Student; 3]| {
        let registry = site.open();
        let had = students.map(|student| registry.folder(student.id()).unwrap());
        let student = site.student("d", 1_000);
        student.add(&registry).unwrap();
        registry.folder(student.id()).unwrap();
        assert!(had.iter().all(|folder| folder.join("model.safetensors").exists()));
    };
    assert_eq!(kept(1, together), ["a", "b", "c", "d"]);
}

/// As after `calibrate`: other thresholds in the manifest, and the same weights, so the same id.
#[test]
fn who_was_added_anew_is_had_as_it_is_now_once_it_was_verified() {
    let site = Site::bucket();
    let (registry, student) = (site.open(), site.student("mine", 100));
    student.add(&registry).unwrap();
    let folder = registry.folder(student.id()).unwrap();
    registry.verify(student.id()).unwrap();
    assert!(site.cached(student.id(), "entry.json").exists(), "what is the same is not forgotten");
    fs::remove_dir_all(site.root.join(&student.id().0)).unwrap();
    fs::write(student.folder.join("manifest.json"), "other thresholds").unwrap();
    let added = student.add(&registry).unwrap();
    assert_eq!(registry.verify(student.id()).unwrap(), added);
    assert_eq!(registry.folder(student.id()).unwrap(), folder);
    assert_eq!(fs::read_to_string(folder.join("manifest.json")).unwrap(), "other thresholds");
    // A cache whose entry cannot be read is no reason not to verify.
    fs::write(folder.join("entry.json"), "{").unwrap();
    assert_eq!(registry.verify(student.id()).unwrap(), added);
}

#[test]
fn keys_that_are_wrong_are_named_and_never_shown() {
    let site = Site::bucket();
    let student = site.student("mine", 100);
    student.add(&site.open()).unwrap();
    // AWS calls the first InvalidAccessKeyId.
    for (file, wrong, code) in [("id", "wrong-id", "NotSignedUp"), ("secret", "wrong-key", "SignatureDoesNotMatch")] {
        site.write(file, wrong);
        let registry = site.open();
        for refused in [
            shown(registry.list()),
            shown(registry.find("mine")),
            shown(registry.folder(student.id())),
            shown(registry.verify(student.id())),
            shown(student.add(&registry)),
        ] {
            let names_it = refused.contains(code) && refused.contains("correct models.access_key_id_file");
            assert!(names_it && !refused.contains(wrong), "{refused}");
        }
        site.write("id", crate::server::KEY_ID);
        site.write("secret", crate::server::SECRET);
    }
    assert_eq!(site.open().list().unwrap().len(), 1);
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let mut site = Site::bucket();
    site.config.registry = "s3://none/of/mine".to_owned();
    let (registry, student) = (site.open(), site.student("mine", 100));
    assert_eq!(registry.place(), "s3://none/of/mine");
    for refused in [shown(registry.list()), shown(registry.find("mine")), shown(registry.verify(student.id()))] {
        assert!(refused.contains("there is no bucket for the registry s3://none/of/mine"), "{refused}");
    }
    site.config.endpoint = Some("minio:9000".to_owned());
    assert!(shown(Registry::open(&site.config)).starts_with("endpoint is \"minio:9000\""));
}
