//! The program: command line, configuration, and the wiring of engine, log and student.
//!
//! It is a library so that the benches can drive the [`engine`] as the program does, on the notes of the [`generator`]; what
//! users call is the binary.

mod clock;
mod cohorts;
mod commands;
mod config;
mod corpora;
pub mod engine;
mod estimate;
mod evaluation;
mod export;
#[cfg(test)]
mod flaky;
mod gate;
pub mod generator;
mod golden;
mod held_out;
mod highlight;
mod inputs;
mod interpreter;
mod log;
mod offline;
mod promotion;
mod reading;
mod recipe;
mod refused;
mod retraining;
mod review;
mod runtime;
mod serving;
mod shadow;
mod students;
mod study;
mod teaching;
mod training;
mod wire;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The version, with the commit that this is built from where that is known: `0.1.0+59ee1401a2b3`.
pub(crate) const VERSION: &str = env!("STILLROOM_VERSION");

/// Clinical entities from streams of notes, by distilled students, with live quality.
#[derive(Parser)]
#[command(version = VERSION, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stream synthetic notes through the extraction topology and watch entities and F1 change.
    Demo(commands::demo::Demo),
    /// Extract entities from files and folders of notes.
    Extract(commands::extract::Extract),
    /// Measure a student, or given predictions, against gold annotations.
    Eval(commands::eval::Eval),
    /// See how sentences mean their entities (negated, uncertain, historical, of relatives …), and measure it.
    #[command(subcommand)]
    Assert(commands::assert::AssertCommand),
    /// Train a student on annotated documents, and on notes that teachers labelled.
    Train(Box<commands::train::Train>),
    /// Fit a student's probabilities and thresholds to annotated documents.
    Calibrate(commands::calibrate::Calibrate),
    /// Look at corpora in their publishers' formats, and convert them.
    #[command(subcommand)]
    Corpus(commands::corpus::CorpusCommand),
    /// Ask teachers, language models and vocabularies, what is in notes.
    Label(commands::label::LabelNotes),
    /// Look at teachers, and choose those that label best together.
    #[command(subcommand)]
    Teachers(commands::teachers::Teachers),
    /// Run the published experiment on datasets of one's own, and write its report.
    Study(commands::study::Study),
    /// Send notes of files to the stream, from text, JSON Lines, CSV, Parquet, FHIR or HL7.
    Send(commands::send::SendNotes),
    /// Write what is extracted on the stream as Parquet, OMOP, FHIR, brat, PubTator, HTML or JSON Lines: a folder of parts.
    Export(Box<commands::export::Export>),
    /// Run the extraction topology, or beside it the retraining topology, on a log until SIGTERM or Ctrl-C.
    Run(commands::run::Run),
    /// Tell whether everything that `run` needs is there, and what to do if not.
    Check(commands::check::Check),
    /// Look at the registry of students, and choose which of them serves.
    #[command(subcommand)]
    Models(commands::models::Models),
    /// Train a student on what labels and references there are, and let it serve if it is better.
    Retrain(commands::retrain::Retrain),
    /// Look at words on which the student and the ensemble disagree, and turn verdicts on them into references.
    #[command(subcommand)]
    Review(commands::review::Review),
    /// Look words up in vocabularies.
    #[command(subcommand)]
    Concepts(commands::concepts::ConceptsCommand),
    /// Print the live figures of students and teachers, side by side.
    Quality(commands::quality::ShowQuality),
    /// Define cohorts, and look at who is in them and why.
    #[command(subcommand)]
    Cohorts(commands::cohorts::CohortsCommand),
    /// Look at dead letters, and send them once more.
    #[command(subcommand)]
    Dlq(commands::dlq::Dlq),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
}

/// The program, from its arguments to its exit code.
pub fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("STILLROOM_LOG").unwrap_or_else(|_| "warn".into());
    // At its finest level the tokenizer logs the text that it normalises, a character a line.
    let filter = match "tokenizers=off".parse() {
        Ok(silence) => filter.add_directive(silence),
        Err(_) => unreachable!("the directive is well-formed"),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done = match Cli::parse().command {
        Command::Demo(command) => command.run(),
        Command::Extract(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Assert(command) => command.run(),
        Command::Train(command) => command.run(),
        Command::Calibrate(command) => command.run(),
        Command::Corpus(command) => command.run(),
        Command::Label(command) => command.run(),
        Command::Teachers(command) => command.run(),
        Command::Study(command) => command.run(),
        Command::Send(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Models(command) => command.run(),
        Command::Retrain(command) => command.run(),
        Command::Review(command) => command.run(),
        Command::Concepts(command) => command.run(),
        Command::Quality(command) => command.run(),
        Command::Cohorts(command) => command.run(),
        Command::Dlq(command) => command.run(),
        Command::Config(command) => command.run(),
    };
    done.unwrap_or_else(|error| {
        if commands::is_closed_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
