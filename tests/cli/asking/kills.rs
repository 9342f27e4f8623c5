//! Kills while teachers answer.

use super::{labelled, labels_read, put};
use crate::site::{Committed, Kills, Site, Source};
use crate::support::stderr;
use crate::vendor::{ANSWER_USD, OPEN_MAX, Reply, Vendor, spent_today};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stillroom_schemas::{Comparison, Quality, TextHash};

const KILLS: usize = 6;

/// Texts that the program has under way at once.
const TEXTS_OPEN_MAX: usize = 64;

/// What must be the same whether teachers are asked or not.
fn without_teachers(site: &Site) -> Committed {
    let mut committed = site.committed();
    committed.quality.retain(|_, value| {
        let quality: Quality = serde_json::from_slice(value).unwrap();
        quality.key.comparison == Comparison::StudentReference
    });
    committed
}

fn labelled_texts(site: &Site) -> BTreeSet<TextHash> {
    labelled(site).into_iter().map(|(_, _, text)| text).collect()
}

/// Asked and answered long after all others.
const LAST: &str = "Note last: fever.";

#[test]
fn kills_cost_what_was_under_way_and_nothing_that_was_committed() {
    let mut random = SmallRng::seed_from_u64(9);
    let vendor = Vendor::start(|_| {
        // Slower than the stream, as vendors are.
        std::thread::sleep(Duration::from_millis(20));
        Reply::Fever("stop")
    });
    let (mut site, mut source) = (Site::with_events(&[]), Source::new());
    site.extra = vendor.teachers(site.folder.path(), "ask = ['mine']");
    // What is labelled, and how often that had been asked about when it was.
    let (mut kept, mut asked) = (BTreeSet::new(), BTreeMap::new());
    let mut kills = Kills::default();
    while kills.counted < KILLS {
        let running = site.start(1 + kills.all() % 2);
        let (answered, read) = (vendor.answered(), labels_read(&site, &site.progress()));
        site.wait(|progress| {
            source.keep_ahead(&site, progress);
            vendor.answered() > answered + 8 && labels_read(&site, progress) > read
        });
        // At some moment of asking, answering, keeping and writing.
        std::thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
        running.kill();
        kills.count(&site);
        let labelled = labelled(&site);
        assert!(labelled.is_superset(&kept), "kill {}: a label that was there is gone", kills.all());
        kept = labelled;
        for (text, times) in vendor.asked() {
            if kept.iter().any(|(_, _, hash)| *hash == TextHash::of(&text)) {
                asked.entry(text).or_insert(times);
            }
        }
    }
    // What the killed run had asked is answered to nobody, some of it only now.
    site.wait(|_| vendor.asked().values().sum::<u64>() == vendor.answered());
    let before = vendor.answers();
    let running = site.start(2);
    site.wait(|progress| site.is_done(progress));
    // What came before it has had its turn when it is labelled.
    put(&site, "last", 0, LAST);
    site.wait(|_| labelled_texts(&site).contains(&TextHash::of(LAST)));
    let output = running.terminate();
    assert!(output.status.success(), "{}", stderr(&output));
    let spent = spent_today(&stderr(&output));
    // Labels that were written when nothing was read any more come with the next run.
    let mut running = site.start(1);
    running.hear("running on");
    let written: u64 = site.log.ends(&site.topics.labels).unwrap().values().sum();
    site.wait(|progress| labels_read(&site, progress) == written);
    assert!(running.terminate().status.success());

    let whole = Site::with_events(&source.put);
    put(&whole, "last", 0, LAST);
    whole.finish(1);
    assert_eq!(without_teachers(&site), without_teachers(&whole));
    let of_end = vendor.asked();
    for (text, times) in asked {
        assert_eq!(of_end[&text], times, "what is labelled is not asked about again");
    }
    let repeats = of_end.values().sum::<u64>() - of_end.len() as u64;
    assert!(repeats <= (kills.all() * OPEN_MAX) as u64, "{repeats} questions were asked again");
    let labelled = labelled_texts(&site);
    let texts = vendor.answers().into_iter().filter(|(text, times)| before.get(text) != Some(times));
    let since: BTreeSet<TextHash> = texts.map(|(text, _)| TextHash::of(&text)).collect();
    assert!(since.len() > 20, "{} answers came after the last kill: give the runs more to do", since.len());
    assert!(labelled.is_superset(&since), "an answer that nothing interrupted is lost");
    let lost = before.keys().filter(|text| !labelled.contains(&TextHash::of(text))).count();
    assert!(lost <= kills.all() * TEXTS_OPEN_MAX, "{lost} answers are in the store alone");
    assert!(spent >= vendor.answered() as f64 * ANSWER_USD - 1e-6, "{spent} USD for {} answers", vendor.answered());
}
