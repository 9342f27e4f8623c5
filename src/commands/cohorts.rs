//! `stillroom cohorts`: which cohorts there are, who is in them and why.

use crate::cohorts::{CohortsLog, NoteKey, cohort_of, hierarchy};
use crate::commands::run::{LogRun, StopNotes, stop_on_signal};
use crate::commands::{ConfigArgs, print_line};
use crate::engine::{Committed, Observer, today};
use crate::highlight::plain;
use crate::interpreter::{Named, load_concepts};
use crate::log::open_log;
use anyhow::{Context, Result};
use clap::Subcommand;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stillroom_concepts::ConceptsConfig;
use stillroom_dataflow::{CriterionFound, Output, explain_cohort};
use stillroom_schemas::{Cohort, EvidenceNote, Membership};

/// What to do with cohorts.
#[derive(Subcommand)]
pub(crate) enum CohortsCommand {
    /// Define the cohorts of files in TOML, one each, or define them anew: a running `run` takes them up at once.
    Add {
        #[command(flatten)]
        config: ConfigArgs,
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Remove a cohort: all of its members leave.
    Remove {
        #[command(flatten)]
        config: ConfigArgs,
        /// Its name.
        name: String,
    },
    /// Print the cohorts, and how many members each has.
    List {
        #[command(flatten)]
        config: ConfigArgs,
        /// Print the definitions as lines of JSON, `cohort.v1`.
        #[arg(long)]
        json: bool,
    },
    /// Print which notes of a patient meet which criteria of a cohort.
    Explain {
        #[command(flatten)]
        config: ConfigArgs,
        /// The patient.
        patient: String,
        /// The cohort.
        cohort: String,
    },
    /// Run until every live note that was extracted before cohorts were kept is read again, so that it counts.
    Backfill {
        #[command(flatten)]
        config: ConfigArgs,
        /// Notes a second, 1 to 100000; live notes go before.
        #[arg(long, value_name = "N", default_value_t = 100)]
        rate: u64,
    },
}

impl CohortsCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            CohortsCommand::Add { config, files } => add(&config, &files),
            CohortsCommand::Remove { config, name } => remove(&config, &name),
            CohortsCommand::List { config, json } => list(&config, json),
            CohortsCommand::Explain { config, patient, cohort } => explain(&config, &patient, &cohort),
            CohortsCommand::Backfill { config, rate } => backfill(&config, rate),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn add(config: &ConfigArgs, files: &[PathBuf]) -> Result<()> {
    let cohorts = files.iter().map(|file| cohort_of(file)).collect::<Result<Vec<_>>>()?;
    let config = config.load()?.config;
    CohortsLog::open(&config)?.define(&cohorts)?;
    for cohort in &cohorts {
        for vocabulary in unknown_vocabularies(cohort, &config.concepts) {
            let (cohort, vocabulary) = (plain(&cohort.name), plain(vocabulary));
            eprintln!("{cohort}: no [[concepts.vocabularies]] is called {vocabulary}, so that no entity has its codes");
        }
    }
    cohorts.iter().try_for_each(|cohort| print_line(format!("{} {}", plain(&cohort.name), cohort.definition())))
}

/// The vocabularies that a cohort names and the configuration has not. A criterion of `none` with a misspelt one excludes nobody.
fn unknown_vocabularies<'c>(cohort: &'c Cohort, known: &ConceptsConfig) -> BTreeSet<&'c str> {
    let is_known = |name: &&str| known.vocabularies.iter().any(|vocabulary| vocabulary.name == **name);
    let concepts = cohort.criteria().flat_map(|(_, _, criterion)| &criterion.concepts);
    concepts.map(|code| code.vocabulary.as_str()).filter(|name| !is_known(name)).collect()
}

fn remove(config: &ConfigArgs, name: &str) -> Result<()> {
    let log = CohortsLog::open(&config.load()?.config)?;
    log.definitions()?.get(name).with_context(|| no_cohort(name))?;
    log.remove(name)
}

fn list(config: &ConfigArgs, is_json: bool) -> Result<()> {
    let log = CohortsLog::open(&config.load()?.config)?;
    let (definitions, sizes) = (log.definitions()?, log.sizes()?);
    if is_json {
        return definitions.values().try_for_each(|cohort| print_line(serde_json::to_string(cohort)?));
    }
    print_line(row("cohort", "members", "definition", "title"))?;
    for (name, cohort) in &definitions {
        let members = sizes.get(name).copied().unwrap_or(0).to_string();
        let title = plain(cohort.title.as_deref().unwrap_or_default());
        print_line(row(&plain(name), &members, &cohort.definition(), &title))?;
    }
    let lacking = log.lacking()?.len();
    if lacking > 0 {
        eprintln!(
            "{lacking} live notes were extracted before cohorts were kept, and count nowhere: see `stillroom cohorts backfill`"
        );
    }
    Ok(())
}

fn row(cohort: &str, members: &str, definition: &str, title: &str) -> String {
    format!("{cohort:<36} {members:>9} {definition:<12} {title}").trim_end().to_owned()
}

fn no_cohort(name: &str) -> String {
    format!("there is no cohort {}; `stillroom cohorts list` prints those that there are", plain(name))
}

fn explain(config: &ConfigArgs, patient: &str, name: &str) -> Result<()> {
    let config = config.load()?.config;
    let log = CohortsLog::open(&config)?;
    let cohort = log.definitions()?.remove(name).with_context(|| no_cohort(name))?;
    let today = today(config.engine.cohorts_trust_dates);
    let (membership, known) = (log.membership(name, patient)?, log.notes_of(patient, today)?);
    let notes = known.notes.len();
    let concepts = load_concepts(&config.concepts)?.map(Named::into_arc);
    let found = explain_cohort(&cohort, known.notes, known.day, hierarchy(concepts).as_ref());
    print_line(heading((patient, name), membership.as_ref()))?;
    let day = known.day.map_or_else(|| "no day".to_owned(), |day| day.to_string());
    print_line(format!("{notes} live notes, as of {day} by the dates of notes"))?;
    lines_of(&found).into_iter().try_for_each(print_line)
}

/// Whether the patient is in the cohort, as it is published.
fn heading((patient, cohort): (&str, &str), membership: Option<&Membership>) -> String {
    let (patient, cohort) = (plain(patient), plain(cohort));
    match membership {
        None => format!("{patient} is not in {cohort}"),
        Some(Membership { since: None, .. }) => format!("{patient} is in {cohort}"),
        Some(Membership { since: Some(day), .. }) => format!("{patient} is in {cohort} since {day}"),
    }
}

/// A line for each criterion, with those of its notes below it.
fn lines_of(found: &[CriterionFound]) -> Vec<String> {
    let mut lines = Vec::new();
    for criterion in found {
        let CriterionFound { list, index, count, notes, on_other_days } = criterion;
        let is = if criterion.is_met() { "met" } else { "not met" };
        lines.push(format!("{}[{index}] {is}: {} notes of {count}", list.name(), notes.len()));
        lines.extend(notes.iter().map(|note| format!("  {}", note_line(note))));
        lines.extend(on_other_days.iter().map(|note| format!("  {} (not within the days)", note_line(note))));
    }
    lines
}

fn note_line(note: &EvidenceNote) -> String {
    let EvidenceNote { note_id, revision, signed_on, task, start, end, code, .. } = note;
    let day = signed_on.map_or_else(|| "no date".to_owned(), |day| day.to_string());
    let code = code.as_ref().map(|code| format!(" {} {}", plain(&code.vocabulary), plain(&code.code)));
    let (note_id, code) = (plain(note_id), code.unwrap_or_default());
    format!("{note_id} revision {revision}, {day}: {} at {start} to {end}{code}", task.name())
}

fn backfill(config: &ConfigArgs, rate: u64) -> Result<()> {
    let mut config = config.load()?.config;
    config.engine.retag_notes_per_second = rate.max(1);
    config.engine.check()?;
    let lacking = CohortsLog::open(&config)?.lacking()?;
    let notes = lacking.len();
    if notes == 0 {
        return print_line("every live note counts already");
    }
    eprintln!(
        "{notes} live notes are read again; what the topic of notes has no more stays as it is: then stop with Ctrl-C"
    );
    let stop = stop_on_signal(StopNotes::default())?;
    let observer = Backfill { lacking, stop: Arc::clone(&stop) };
    let progress = LogRun::open(&config, open_log(&config)?, None)?.run(Box::new(observer), stop)?;
    print_line(serde_json::to_string(&progress.totals)?)?;
    let left = CohortsLog::open(&config)?.lacking()?.len();
    print_line(format!("{} of {notes} live notes count now", notes.saturating_sub(left)))
}

/// Stops the run when every note has come.
struct Backfill {
    lacking: HashMap<NoteKey, u64>,
    stop: Arc<AtomicBool>,
}

impl Observer for Backfill {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        for output in committed.outputs {
            if let (Some(partition), Some(state)) = (output.partition(), output.state()) {
                self.lacking.remove(&(partition, state.note_id.clone()));
            } else if let Output::DeadLettered { letter, .. } = output {
                // One that cannot be read again keeps what was said of it.
                self.lacking
                    .retain(|(partition, _), offset| (*partition, *offset) != (letter.partition, letter.offset));
            }
        }
        if self.lacking.is_empty() {
            self.stop.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_concepts::VocabularyConfig;
    use stillroom_schemas::{Code, CriterionList, Day, Task};

    #[test]
    fn vocabularies_that_are_not_there_are_told() {
        let cohort = r#"{"name": "c", "all": [{"concepts": [{"vocabulary": "rxnorm", "code": "1"}]}],
            "none": [{"concepts": [{"vocabulary": "rxnrom", "code": "1"}, {"vocabulary": "rxnrom", "code": "2"}]}]}"#;
        let vocabularies = vec![VocabularyConfig::new("rxnorm", Task::Medication, "RXNCONSO.RRF")];
        let known = ConceptsConfig { vocabularies, ..ConceptsConfig::default() };
        let cohort: Cohort = serde_json::from_str(cohort).unwrap();
        assert_eq!(unknown_vocabularies(&cohort, &known), BTreeSet::from(["rxnrom"]));
    }

    #[test]
    fn criteria_are_told_with_their_notes() {
        let note = |id: &str, signed_on, code| EvidenceNote {
            note_id: id.to_owned(),
            partition: 0,
            revision: 2,
            signed_on,
            task: Task::Disease,
            start: 4,
            end: 9,
            code,
        };
        let code = Code { vocabulary: "snomed_ct".to_owned(), code: "44054006".to_owned() };
        let found = |list, count, notes, on_other_days| CriterionFound { list, index: 1, count, notes, on_other_days };
        let old = note("n\u{1b}[2J", Some(Day::from_number(20_000)), None);
        let criteria = [
            found(CriterionList::All, 2, vec![note("a", None, Some(code))], vec![old]),
            found(CriterionList::None, 1, vec![note("b", None, None)], Vec::new()),
        ];
        let expected = [
            "all[1] not met: 1 notes of 2",
            "  a revision 2, no date: disease at 4 to 9 snomed_ct 44054006",
            "  n [2J revision 2, 2024-10-04: disease at 4 to 9 (not within the days)",
            "none[1] met: 1 notes of 1",
            "  b revision 2, no date: disease at 4 to 9",
        ];
        assert_eq!(lines_of(&criteria), expected);
        assert_eq!(heading(("p\n", "c"), None), "p  is not in c");
    }
}
