//! Asks teachers about annotated documents, and counts every subset of them under every rule: what `teachers select` and `study`
//! share.

use crate::teaching::labels::{TEXTS_OPEN_MAX, label_by, usd};
use crate::teaching::tallies::Tallies;
use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stillroom_connectors::GoldDocument;
use stillroom_dataflow::ensemble::{NoteVotes, members};
use stillroom_dataflow::{Bootstrap, TokenizeText};
use stillroom_schemas::{Span, Task, TaskSet};
use stillroom_teachers::ensemble::{Candidate, Chosen, Votes};
use stillroom_teachers::{Found, Labeled, Labeler};

/// What one teacher said of one text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Said {
    /// The mentions; absent where there is no useful answer.
    pub(crate) spans: Option<Vec<Span>>,
    /// Why there is no answer, where another run may get one.
    pub(crate) unanswered: Option<String>,
    /// Dollars; absent where its model has no price.
    pub(crate) usd: Option<f64>,
    /// Seconds from the first request to the last answer.
    pub(crate) seconds: f64,
}

impl Said {
    fn new(label: Option<Labeled>) -> Said {
        match label {
            Some(Labeled::Answered { answer, .. }) => Said {
                unanswered: None,
                usd: answer.cost_nano_usd.map(usd),
                seconds: answer.seconds,
                spans: match answer.found {
                    Found::Spans { spans, .. } => Some(spans),
                    Found::Failed { .. } => None,
                },
            },
            Some(Labeled::Unanswered { reason }) => Said { unanswered: Some(reason), ..Said::default() },
            Some(Labeled::Ended) | None => Said::default(),
        }
    }
}

/// What some teachers say of each text, for its tasks: a row a text, in the order of the teachers.
///
/// # Errors
/// When what was answered before cannot be read, or the answer not kept. That a teacher does not answer is no error.
pub(crate) async fn ask_all(
    labeler: &Arc<Labeler>,
    teachers: &[usize],
    texts: Vec<(&str, TaskSet)>,
    tallies: &mut Tallies,
) -> Result<Vec<Vec<Said>>> {
    let mut said = Vec::with_capacity(texts.len());
    let ask = |(text, tasks): (&str, TaskSet)| label_by(Arc::clone(labeler), teachers.to_vec(), text.to_owned(), tasks);
    let mut labelled = stream::iter(texts).map(ask).buffered(TEXTS_OPEN_MAX);
    while let Some(labels) = labelled.try_next().await? {
        for (&teacher, label) in teachers.iter().zip(&labels) {
            if let Some(label) = label {
                tallies.add(&labeler.teachers()[teacher], label);
            }
        }
        said.push(labels.into_iter().map(Said::new).collect());
    }
    Ok(said)
}

/// What some teachers said of documents, for one task.
pub(crate) struct OfTask<'a> {
    task: Task,
    /// Positions in what was said, and names.
    teachers: Vec<(usize, String)>,
    /// Those with a useful answer of every teacher.
    documents: Vec<(&'a GoldDocument, &'a [Said])>,
    /// How many lack an answer.
    pub(crate) left_out: usize,
}

impl<'a> OfTask<'a> {
    /// Of documents that were annotated for `task`, and what was said of each.
    pub(crate) fn new(
        task: Task,
        teachers: Vec<(usize, String)>,
        documents: impl Iterator<Item = (&'a GoldDocument, &'a [Said])>,
    ) -> OfTask<'a> {
        let (whole, partial): (Vec<_>, Vec<_>) = documents
            .filter(|(document, _)| document.tasks.contains(&task))
            .partition(|(_, said)| teachers.iter().all(|(at, _)| said[*at].spans.is_some()));
        OfTask { task, teachers, documents: whole, left_out: partial.len() }
    }

    /// Whether there is nothing to count.
    pub(crate) fn is_empty(&self) -> bool {
        self.teachers.is_empty() || self.documents.is_empty()
    }

    /// Which patterns of teachers stand at the words of the documents.
    ///
    /// # Errors
    /// When a text cannot be cut into words.
    pub(crate) fn votes(&self, tokenize: &TokenizeText) -> Result<Votes> {
        let count = |(document, said): &(&GoldDocument, &[Said])| {
            let words = tokenize(&document.text)?.words;
            let of_teacher = |(at, _): &(usize, String)| said[*at].spans.as_deref().unwrap_or_default();
            let labels: Vec<&[Span]> = self.teachers.iter().map(of_teacher).collect();
            Ok(NoteVotes::count(&words, self.task, &labels, &document.spans))
        };
        let notes = self.documents.iter().map(count).collect::<Result<_>>()?;
        Ok(Votes::new(self.teachers.iter().map(|(_, name)| name.clone()).collect(), notes))
    }

    /// A candidate with its interval and its costs.
    pub(crate) fn scored(&self, votes: &Votes, candidate: &Candidate, bootstrap: Bootstrap) -> Scored {
        let interval = votes.interval(candidate, bootstrap);
        let (usd, seconds) = self.cost(candidate);
        Scored { task: self.task, interval, usd, seconds, candidate: candidate.clone() }
    }

    /// Dollars a note, over all teachers of a candidate, and seconds a note, of the slowest, as they are asked at once.
    fn cost(&self, candidate: &Candidate) -> (f64, f64) {
        let members = members(candidate.subset, self.teachers.len());
        let members: Vec<usize> = members.into_iter().map(|member| self.teachers[member].0).collect();
        let (mut dollars, mut seconds) = (0.0, 0.0);
        for (_, said) in &self.documents {
            dollars += members.iter().map(|member| said[*member].usd.unwrap_or(0.0)).sum::<f64>();
            seconds += members.iter().map(|member| said[*member].seconds).fold(0.0, f64::max);
        }
        let notes = self.documents.len() as f64;
        (dollars / notes, seconds / notes)
    }
}

/// A subset of teachers under a rule, and how well it does for how much.
pub(crate) struct Scored {
    /// The task.
    pub(crate) task: Task,
    /// The interval of its F1.
    pub(crate) interval: (f64, f64),
    /// Dollars a note.
    pub(crate) usd: f64,
    /// Seconds a note.
    pub(crate) seconds: f64,
    /// The subset, the rule and the counts of words.
    pub(crate) candidate: Candidate,
}

impl Scored {
    /// It, as the choice.
    pub(crate) fn chosen(&self) -> Chosen {
        let Candidate { ensemble, counts, .. } = &self.candidate;
        Chosen { f1: counts.f1(), interval: self.interval, documents: counts.notes, ensemble: ensemble.clone() }
    }
}
