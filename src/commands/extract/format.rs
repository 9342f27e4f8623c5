//! What entities may be written as.

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use stillroom_formats::{
    BratWriter, FhirConfig, FhirWriter, HtmlWriter, OmopConfig, OmopWriter, ParquetWriter, PubtatorWriter, Writer,
};
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// What `--format` may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line of JSON a note, in input order
    Jsonl,
    /// Tables of entities and notes for DuckDB, Arrow and Spark: a folder
    Parquet,
    /// NOTE and NOTE_NLP of OMOP, as CSV: a folder
    Omop,
    /// FHIR R4
    Fhir,
    /// Texts and annotations of brat: a folder
    Brat,
    /// Abstracts and annotations as in PubTator
    Pubtator,
    /// A page of its own with the entities in colour
    Html,
}

impl Format {
    /// The writer of the format to `output`; none for lines, which are written as they come.
    pub(crate) fn writer(self, output: &Path, omop: &OmopArgs, fhir: &FhirArgs) -> Result<Option<Box<dyn Writer>>> {
        let writer: Box<dyn Writer> = match self {
            Format::Jsonl => return Ok(None),
            Format::Parquet => Box::new(ParquetWriter::create(output)?),
            Format::Omop => Box::new(OmopWriter::create(output, &omop.config())?),
            Format::Fhir => Box::new(FhirWriter::with(output, fhir.config()?)?),
            Format::Brat => Box::new(BratWriter::create(output)?),
            Format::Pubtator => Box::new(PubtatorWriter::create(output)?),
            Format::Html => Box::new(HtmlWriter::create(output)?),
        };
        Ok(Some(writer))
    }

    /// What the format is called, and the file or folder that it makes of a part of an export.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Format::Jsonl => ("jsonl", "extractions.jsonl"),
            Format::Parquet => ("parquet", "parquet"),
            Format::Omop => ("omop", "omop"),
            Format::Fhir => ("fhir", "bundles.ndjson"),
            Format::Brat => ("brat", "brat"),
            Format::Pubtator => ("pubtator", "notes.pubtator"),
            Format::Html => ("html", "notes.html"),
        }
    }

    /// Refuses what does not go together, before anything is read.
    pub(crate) fn check(self, output: &Path, omop: &OmopArgs, fhir: &FhirArgs) -> Result<()> {
        ensure!(
            self == Format::Jsonl || output != Path::new("-"),
            "of all formats only jsonl can be written to stdout; say by -o where to write the others"
        );
        ensure!(
            self == Format::Omop || !omop.is_given(),
            "the options --omop-… are for --format omop; add it, or leave them out"
        );
        ensure!(
            self == Format::Fhir || fhir.fhir_config.is_none(),
            "--fhir-config is for --format fhir; add it, or leave this out"
        );
        Ok(())
    }
}

/// What the tables of OMOP need that notes do not say.
#[derive(Args)]
#[command(next_help_heading = "With --format omop")]
pub(crate) struct OmopArgs {
    /// Which person each patient is: CSV with the columns patient_id and person_id; a hash of the patient's id when absent.
    #[arg(long, value_name = "FILE")]
    omop_persons: Option<PathBuf>,
    /// Which number each note has: CSV with the columns note_id and omop_note_id; a hash of the note's id when absent.
    #[arg(long, value_name = "FILE")]
    omop_notes: Option<PathBuf>,
    /// CONCEPT.csv of a download from Athena; every concept is 0 when absent.
    #[arg(long, value_name = "FILE")]
    omop_concepts: Option<PathBuf>,
    /// CONCEPT_RELATIONSHIP.csv of the same download, for codes whose concept is not a standard one.
    #[arg(long, value_name = "FILE", requires = "omop_concepts")]
    omop_relationships: Option<PathBuf>,
    /// Count ids from this one on in place of hashes, so that they fit columns of 32 bits.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    omop_first_id: Option<u32>,
    /// The date of notes that have none, such as 1970-01-01; such a note ends the run when absent.
    #[arg(long, value_name = "DATE", value_parser = date)]
    omop_undated: Option<Date>,
}

impl OmopArgs {
    fn is_given(&self) -> bool {
        let files = [&self.omop_persons, &self.omop_notes, &self.omop_concepts, &self.omop_relationships];
        files.into_iter().any(Option::is_some) || self.omop_first_id.is_some() || self.omop_undated.is_some()
    }

    /// Whether ids are counted, and so are others in every run.
    pub(crate) fn counts_ids(&self) -> bool {
        self.omop_first_id.is_some()
    }

    fn config(&self) -> OmopConfig {
        OmopConfig {
            persons: self.omop_persons.clone(),
            notes: self.omop_notes.clone(),
            concepts: self.omop_concepts.clone(),
            relationships: self.omop_relationships.clone(),
            first_id: self.omop_first_id,
            undated: self.omop_undated,
            ..OmopConfig::at(OffsetDateTime::now_utc())
        }
    }
}

/// What resources of FHIR need that notes do not say.
#[derive(Args)]
#[command(next_help_heading = "With --format fhir")]
pub(crate) struct FhirArgs {
    /// TOML with the systems of identifiers, and whether texts are held: patient_system, note_system, systems, with_text, recorded.
    #[arg(long, value_name = "FILE")]
    fhir_config: Option<PathBuf>,
}

impl FhirArgs {
    fn config(&self) -> Result<FhirConfig> {
        let Some(path) = &self.fhir_config else { return Ok(FhirConfig::default()) };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is no configuration of FHIR; correct it", path.display()))
    }
}

fn date(text: &str) -> Result<Date, String> {
    let format = format_description!("[year]-[month]-[day]");
    let parsed = Date::parse(text, &format);
    parsed.ok().filter(|date| date.year() > 0).ok_or_else(|| "write it as 1970-01-01".to_owned())
}
