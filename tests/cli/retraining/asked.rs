//! A run that is asked for beside a process that follows the log.

use super::Ward;
use crate::support::{stderr, stdout};

#[test]
fn who_asks_for_a_run_that_no_run_can_be_made_of_is_told_why() {
    let ward = Ward::without_notes("");
    let mut following = ward.follow(&[]);
    following.hear("0 examples to learn from");
    let refused = ward.run(&["retrain"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{}", stderr(&refused));
    let expected = "no run begins there: there are 0 notes with references or labels to learn from";
    assert!(stderr(&refused).contains(expected), "{}", stderr(&refused));
    assert!(!ward.site.path("retraining/request.json").exists(), "it is asked for no more");
    following.hear("the run fails: there are 0 notes");
    assert_eq!(stdout(&following.terminate()), "");
}
