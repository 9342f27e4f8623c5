//! Soft labels: of each word the share of the teachers that take it for a mention, in place of yes and no.
//!
//! Where teachers disagree a student that learns the share is told so, and one that learns the merged label is not. What can be
//! learned from disagreement is surveyed by Uma et al., Learning from Disagreement, JAIR 72 (2021).

use crate::Words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use stillroom_schemas::Task;

/// A share above 0 and at most 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f32", into = "f32")]
pub struct Share(
    /// The bits of the number: those of numbers above 0 have the order of the numbers, and have equality and a hash besides.
    u32,
);

impl Share {
    /// The share, if it is one.
    ///
    /// ```
    /// use stillroom_dataflow::Share;
    ///
    /// assert_eq!(Share::new(0.25).map(Share::get), Some(0.25));
    /// assert!([0.0, -0.5, 1.5, f32::NAN].into_iter().all(|number| Share::new(number).is_none()));
    /// ```
    pub fn new(share: f32) -> Option<Share> {
        (share > 0.0 && share <= 1.0).then(|| Share(share.to_bits()))
    }

    /// As a number.
    pub fn get(self) -> f32 {
        f32::from_bits(self.0)
    }
}

impl From<Share> for f32 {
    fn from(share: Share) -> f32 {
        share.get()
    }
}

impl TryFrom<f32> for Share {
    type Error = &'static str;

    fn try_from(share: f32) -> Result<Share, &'static str> {
        Share::new(share).ok_or("a share is above 0 and at most 1")
    }
}

/// Words that stand together and that the same share of teachers takes for a mention. `start` and `end` are code points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SoftSpan {
    /// Where the first word begins.
    pub start: u32,
    /// Where the last word ends.
    pub end: u32,
    /// Of the teachers, at each of these words.
    pub share: Share,
}

/// The soft labels of a text: of each task the words that any share takes for a mention, by position. A task that is not there
/// has none; one that is there without a span has a share of 0 at every word.
pub type SoftSpans = BTreeMap<Task, Vec<SoftSpan>>;

impl Words {
    /// Of each word the share of the span over it, of several the greatest; 0 where there is none.
    pub fn shares(&self, spans: &[SoftSpan]) -> Vec<f32> {
        let mut shares = vec![0.0f32; self.len()];
        for span in spans {
            for share in &mut shares[self.overlapping(span.start, span.end)] {
                *share = share.max(span.share.get());
            }
        }
        shares
    }

    /// The inverse: the runs of words of one share. Of each word there is one; without a share it is in no span.
    pub(crate) fn soft_spans(&self, shares: impl Iterator<Item = Option<Share>>) -> Vec<SoftSpan> {
        let words: Vec<_> = self.0.iter().zip(shares).collect();
        let span = |run: &[(&std::ops::Range<u32>, Option<Share>)]| {
            let ((first, share), (last, _)) = (run.first()?, run.last()?);
            Some(SoftSpan { start: first.start, end: last.end, share: (*share)? })
        };
        words.chunk_by(|(_, share), (_, next)| share == next).filter_map(span).collect()
    }
}
