//! Settings that are refused before the log is touched.

use super::{put, text};
use crate::running::Running;
use crate::site::Site;
use crate::support::{stderr, stillroom};
use crate::vendor::{Reply, Vendor};
use std::fs;

/// Every note.
const ALL: &str = "rate = 1.0";

/// With these settings of `[teachers]` and of its sampling, `run` and `check` say this.
fn check((settings, sampling): (&str, &str), change: impl Fn(&Site), expected: &str) {
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let mut site = Site::new(1);
    put(&site, "n", 0, &text(1));
    site.extra = vendor.teachers(site.folder.path(), settings).replace(ALL, sampling);
    change(&site);
    let mut running = Running::start(site.command(1));
    running.hear(expected);
    let refused = running.wait();
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    assert!(site.log.ends(&site.topics.labels).is_err(), "{expected}: the log has been prepared");
    assert_eq!(site.progress(), Default::default(), "{expected}");

    let checked = stillroom().arg("check").arg("-c").arg(site.config(1)).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.code() == Some(1) && said.contains("FAIL") && said.contains(expected), "{said}");
    assert!(vendor.asked().is_empty(), "{expected}");
}

#[test]
fn a_teacher_that_may_not_see_patients() {
    let forbids = |site: &Site| {
        let path = site.folder.path().join("teachers/mine.toml");
        let profile = fs::read_to_string(&path).unwrap();
        fs::write(&path, profile.replace("phi_allowed = true", "phi_allowed = false")).unwrap();
    };
    let expected = "the teacher mine may not see notes of real patients; add it to [teachers] phi_allowed";
    check(("ask = ['names', 'mine']", ALL), forbids, expected);
}

#[test]
fn settings_that_cannot_be() {
    let refused = |settings: &str, sampling: &str, expected: &str| check((settings, sampling), |_| {}, expected);
    let six = "ask = ['a', 'b', 'c', 'd', 'e', 'f']";
    refused(six, ALL, "teachers.ask names 6 teachers; name 5 at most");
    refused("ask = ['mine', 'mine']", ALL, "[teachers] ask: the teacher mine is named twice");
    refused("ask = ['nobody']", ALL, "[teachers] ask: there is no teacher nobody; name one of ");
    refused("ask = ['mine']", "rate = 1.5", "teachers.sampling.rate is 1.5; choose a share from 0 to 1");
    refused("ask = ['mine']\nwaiting_bytes_max = 1", ALL, "teachers.waiting_bytes_max");
    refused(
        "ask = ['mine']\nensemble = '/nowhere/ensemble.toml'",
        ALL,
        "[teachers] ensemble: cannot read /nowhere/ensemble.toml",
    );
}

#[test]
fn ensembles_that_cannot_be() {
    let with = |text: &'static str, expected: &str| {
        let path = tempfile::NamedTempFile::new().unwrap();
        fs::write(path.path(), text).unwrap();
        let settings = format!("ask = ['mine']\nensemble = {:?}", path.path());
        check((&settings, ALL), |_| {}, expected);
    };
    let of =
        "[symptom]\nf1 = 0.5\ninterval = [0.4, 0.6]\ndocuments = 9\nrule = 'union'\nteachers = ['mine', 'names']\n";
    with(of, "have the teacher names, which is not asked; add it to [teachers] ask");
    with("[symptom]\n", "[teachers] ensemble: the choice ");
}
