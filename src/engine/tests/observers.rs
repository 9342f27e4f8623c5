//! Observers that get in the way of a run.

use super::*;

struct Failing;

impl Observer for Failing {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        assert!(committed.outputs.iter().all(|output| matches!(output, Output::Extracted { .. })));
        anyhow::bail!("the pipe is closed")
    }
}

#[test]
fn an_observer_that_fails_ends_the_run() {
    let log = empty_log();
    append_note(&log, "n", "xxx");
    let parts = Parts {
        sources: vec![log.source(0, false, usize::MAX)],
        history: log.source(0, true, usize::MAX),
        role: Role::Commits { committer: log.committer(Fault::None), observer: Box::new(Failing) },
        wire: Arc::new(PlainJson),
        tokenize: Arc::new(tokenize),
        students: Students::only(TaggerPool::start(vec![by_length()], 1).unwrap()),
        interpret: None,
        cluster: None,
        ask: None,
        panel: TeacherPanel::default(),
        retag: None,
        cohorts: CohortParts::default(),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let error = run(&config(1, 0), parts, Arc::clone(&stop)).unwrap_err();
    assert_eq!(error.to_string(), "the pipe is closed");
    assert!(!stop.load(Ordering::SeqCst) && log.progress().totals.extracted == 1);
}
