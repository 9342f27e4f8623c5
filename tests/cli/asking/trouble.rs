//! Teachers that give no labels: the stream goes on without them, and ends when it is told to.

use super::{labelled, put, text};
use crate::running::{DEADLINE, Running};
use crate::site::Site;
use crate::support::stderr;
use crate::vendor::{ANSWER_USD, OPEN_MAX, Reply, Vendor, spent_today};
use std::fs;
use std::time::{Duration, Instant};

const NOTES: usize = 150;

/// Longer than answers are waited for, and than a busy machine takes to end.
const STOP_MAX: Duration = Duration::from_secs(10 + 20);

/// A site whose `run` asks the vendor, with these lines more in the profile and in `[teachers]`, about notes of one length.
fn site(vendor: &Vendor, (profile, settings): (&str, &str), pad: usize) -> Site {
    let mut site = Site::new(2);
    site.extra = vendor.teachers(site.folder.path(), &format!("ask = ['mine']\n{settings}"));
    let path = site.folder.path().join("teachers/mine.toml");
    fs::write(&path, fs::read_to_string(&path).unwrap() + profile).unwrap();
    for number in 0..NOTES {
        put(&site, &format!("n{number}"), 0, &format!("{:pad$}", text(number)));
    }
    site
}

/// Runs until all notes are committed and what has to happen beside has, and stops; what was said.
fn run(site: &Site, has_happened: impl FnOnce(&mut Running)) -> String {
    let mut running = site.start(2);
    site.wait(|progress| site.is_done(progress));
    has_happened(&mut running);
    let began = Instant::now();
    let output = running.terminate();
    assert!(began.elapsed() < STOP_MAX, "a stop took {:?}", began.elapsed());
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(site.progress().totals.extracted, NOTES as u64);
    assert!(!said.contains("zebrastripe"), "no text of a note");
    said
}

fn wait_until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < DEADLINE, "the vendor is not asked");
        std::thread::yield_now();
    }
}

/// The numbers of a teacher's line: labels, kept, failed, no reply.
fn row(said: &str) -> [u64; 4] {
    let line =
        said.lines().find(|line| line.starts_with("mine  ")).unwrap_or_else(|| panic!("no line of mine: {said}"));
    let numbers: Vec<u64> = line.split_whitespace().skip(1).take(4).map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// The number that a line begins with that goes on like this.
fn number(said: &str, rest: &str) -> u64 {
    let line = said.lines().find_map(|line| line.split_once(rest)).unwrap_or_else(|| panic!("no {rest}: {said}"));
    line.0.parse().unwrap()
}

const WITHOUT: &str = " notes that were drawn are without labels of mine";

#[test]
fn a_vendor_that_hangs() {
    let vendor = Vendor::start(|_| Reply::Nothing);
    let site = site(&vendor, ("", ""), 0);
    let said = run(&site, |_| wait_until(|| vendor.asked().len() == OPEN_MAX));
    assert_eq!(number(&said, WITHOUT), NOTES as u64, "{said}");
    assert!(labelled(&site).is_empty());
    assert_eq!(vendor.asked().len(), OPEN_MAX, "no more requests than its profile allows");
    // What was under way may be billed.
    assert!(spent_today(&said) >= vendor.worst_usd().iter().sum::<f64>() - 1e-6, "{said}");
}

#[test]
fn a_vendor_that_fails_at_everything() {
    let vendor = Vendor::start(|_| Reply::Status(500));
    let asked = || vendor.asked().values().sum::<u64>();
    let site = site(&vendor, ("attempts_max = 1\n", ""), 0);
    let said = run(&site, |_| wait_until(|| asked() >= 16));
    assert!(said.contains("mine: mine gave no answer after 1 attempts (status 500)"), "{said}");
    let [labels, kept, failed, unanswered] = row(&said);
    assert_eq!((labels, kept, failed, unanswered), (0, 0, 0, asked()));
    assert_eq!(unanswered + number(&said, WITHOUT), NOTES as u64, "{said}");
    assert!(labelled(&site).is_empty());
    assert!(asked() < 16 + OPEN_MAX as u64, "it is left alone after {} failures", asked());
}

#[test]
fn a_budget_of_a_day_that_is_spent() {
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let site = site(&vendor, ("", "usd_a_day_max = 0.01"), 0);
    let said = run(&site, |running| running.hear("the teacher mine is not asked until tomorrow"));
    assert!(said.contains("mine: the budget of 0.01 USD for a day has"), "{said}");
    let [labels, kept, failed, unanswered] = row(&said);
    assert_eq!((labels, kept, failed), (vendor.answered(), 0, 0));
    assert_eq!(labels + unanswered, NOTES as u64);
    let spent = spent_today(&said);
    assert!(labels > 0 && spent <= 0.01 && (spent - labels as f64 * ANSWER_USD).abs() < 1e-6, "{said}");
    assert!(!said.contains(WITHOUT), "{said}");
}

#[test]
fn more_notes_than_may_wait() {
    const BYTES: usize = 1 << 10;
    const WAITING: usize = 64 << 10;
    let vendor = Vendor::start(|_| Reply::Nothing);
    let site = site(&vendor, ("", &format!("waiting_bytes_max = {WAITING}")), BYTES);
    let said = run(&site, |_| {});
    let waited = number(&said, WITHOUT);
    // A question is its text and what stands around it.
    let expected = (WAITING / (BYTES + 512)) as u64..=(WAITING / BYTES) as u64;
    assert!(expected.contains(&waited), "{said}");
    let skipped =
        " notes that were drawn were not shown to mine, as too many were waiting: raise [teachers] waiting_bytes_max";
    assert_eq!(number(&said, skipped), NOTES as u64 - waited, "{said}");
    assert!(labelled(&site).is_empty());
}
