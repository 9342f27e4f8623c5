//! What the driver does at a look.

mod histories;
mod starting;

use super::*;
use crate::retraining::live::tests::log;
use stillroom_connectors::Appended;
use stillroom_schemas::{Activation, ActivationCause, ModelId};

#[test]
fn a_rollback_that_a_kill_left_uncounted_is_counted_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    (config.retraining.dir, config.log.dir) = (folder.path().join("retraining"), folder.path().join("log"));
    let log: Arc<dyn Log> = Arc::new(log(&config, &[]));
    let stop = Arc::new(AtomicBool::new(false));
    // Whether a process that looks takes it that a run has ended or a student was rolled back lately.
    let waits = || {
        let mut driver = Driver::open(&config, Arc::clone(&log), &stop).unwrap();
        let mut tell = |_: Told<'_>| -> Result<()> { panic!("nothing came to pass") };
        driver.act(&mut Followed::default(), &mut None, &mut tell).unwrap();
        driver.place.state.history.is_within(&config.retraining, now())
    };
    assert!(!waits(), "a promotion is no rollback");
    let rolled_back = Activation {
        model: ModelId("r@1".to_owned()),
        weights_hash: String::new(),
        previous: ModelId("s@1".to_owned()),
        cause: ActivationCause::Rollback,
        activated_at: String::new(),
    };
    let value = Some(serde_json::to_vec(&rolled_back).unwrap());
    let record = Appended { key: Some(b"r@1".to_vec()), value, partition: Some(0), ..Appended::default() };
    log.append(&config.engine.topics.models, &[record]).unwrap();
    assert!(waits());
}
