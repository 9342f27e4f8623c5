//! A run as the driver has it: where its documents come from, and what is still to be done.

use crate::config::Config;
use crate::retraining::documents::{self, NotesTopic};
use crate::retraining::origin::Origin;
use crate::retraining::place::UnderWay;
use crate::retraining::run::{self, Report};
use crate::retraining::run_folder::RunFolder;
use crate::retraining::snapshot::{Choice, LeftOut, Snapshot};
use crate::wire::Wire;
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use stillroom_connectors::Log;
use stillroom_models::TaskExamples;
use stillroom_schemas::Task;

/// A run to be done, and where its documents come from.
pub(crate) struct Job {
    /// The run.
    pub(crate) work: Work,
    /// What is to be written or is there.
    pub(crate) documents: Documents,
}

/// A run.
#[derive(Clone)]
pub(crate) struct Work {
    /// What is remembered of it.
    pub(crate) under_way: UnderWay,
    /// Where it is.
    pub(crate) folder: RunFolder,
}

/// Where the documents of a run come from.
pub(crate) enum Documents {
    /// Their texts are to be read, at the places where notes stood when the topics were read so far.
    Chosen(Choice, Origin),
    /// They are in the folder.
    Written(Snapshot),
}

/// A run on a thread of its own.
pub(crate) struct Running {
    /// The run.
    pub(crate) work: Work,
    /// What comes of it.
    pub(crate) thread: JoinHandle<Result<Option<Report>>>,
}

impl Work {
    /// Does what is still to be done; nothing when it is stopped.
    ///
    /// # Errors
    /// When its documents cannot be had, and as those of [`run::complete`].
    pub(crate) fn complete(
        &self,
        documents: Documents,
        config: &Config,
        (log, stop): (&Arc<dyn Log>, &AtomicBool),
    ) -> Result<Option<Report>> {
        let snapshot = match documents {
            Documents::Written(snapshot) => snapshot,
            Documents::Chosen(choice, origin) => {
                let wire = Wire::open(config)?;
                let name = &config.engine.topics.notes;
                let topic = (NotesTopic { log: log.as_ref(), wire: &wire, name }, config.retraining.text_bytes_max);
                let Some(snapshot) = documents::write(choice, &origin, topic, (&self.folder, stop))? else {
                    return Ok(None);
                };
                snapshot
            }
        };
        eprintln!("{}", described(&snapshot));
        run::complete(&self.under_way, snapshot, config, (&self.folder, stop))
    }
}

/// For people: what is learned from, chosen by and measured by.
fn described(snapshot: &Snapshot) -> String {
    let Snapshot { training, notes, left_out, .. } = snapshot;
    let of_task = |(task, examples): (&Task, &TaskExamples)| {
        let TaskExamples { human, teachers, mentions, held_out, .. } = examples;
        format!(
            "\n  {}: {human} by people and {teachers} by teachers, {mentions} mentions in them, {held_out} held out",
            task.name()
        )
    };
    let LeftOut { same_text, too_many, gone, outside } = left_out;
    format!(
        "snapshot {}: {} notes to learn from, {} to choose by, {} held out to measure by{}\n  left out: \
         {same_text} with a text of another part, {too_many} beyond notes_max or text_bytes_max, {gone} that are gone \
         or have changed, {outside} with mentions outside of their texts",
        training.snapshot.as_deref().unwrap_or_default(),
        notes.train,
        notes.dev,
        notes.held_out,
        training.tasks.iter().map(of_task).collect::<String>()
    )
}
