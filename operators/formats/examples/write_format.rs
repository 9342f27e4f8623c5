//! Writes notes and what was found in them, both JSON Lines in the same order, in a format:
//!
//! ```text
//! cargo run -p stillroom-formats --example write_format -- parquet notes.jsonl extractions.jsonl out
//! ```
//!
//! `omop` takes the first id as one more argument; without it ids are hashes. `fhir` takes the system of patients, and holds the texts
//! and the time of the run then.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use stillroom_formats::{
    BratWriter, FhirConfig, FhirWriter, HtmlWriter, OmopConfig, OmopWriter, ParquetWriter, PubtatorWriter, Writer,
};
use stillroom_schemas::{Extraction, Note};
use time::macros::{date, datetime};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [format, notes, extractions, output, more @ ..] = &arguments[..] else {
        return Err("name a format, the notes, the extractions, and where to write".into());
    };
    let mut writer = writer(format, Path::new(output), more)?;
    let lines = |path: &String| File::open(path).map(|file| BufReader::new(file).lines());
    for (note, extraction) in lines(notes)?.zip(lines(extractions)?) {
        let (note, extraction): (Note, Extraction) =
            (serde_json::from_str(&note?)?, serde_json::from_str(&extraction?)?);
        writer.write(&note, &extraction)?;
    }
    Ok(writer.finish()?)
}

/// The writer of `format` to `output`.
fn writer(format: &str, output: &Path, more: &[String]) -> Result<Box<dyn Writer>, Box<dyn Error>> {
    let writer: Box<dyn Writer> = match format {
        "parquet" => Box::new(ParquetWriter::create(output)?),
        "omop" => {
            let mut config = OmopConfig::at(datetime!(2026-12-01 01:30 +02:00));
            config.undated = Some(date!(1970 - 01 - 01));
            config.first_id = more.first().map(|first| first.parse()).transpose()?;
            Box::new(OmopWriter::create(output, &config)?)
        }
        "fhir" => match more.first() {
            None => Box::new(FhirWriter::create(output)?),
            Some(system) => {
                let (patient_system, recorded) = (Some(system.clone()), Some("2026-12-01T01:30:00+02:00".to_owned()));
                let config = FhirConfig { patient_system, recorded, with_text: true, ..FhirConfig::default() };
                Box::new(FhirWriter::with(output, config)?)
            }
        },
        "brat" => Box::new(BratWriter::create(output)?),
        "pubtator" => Box::new(PubtatorWriter::create(output)?),
        "html" => Box::new(HtmlWriter::create(output)?),
        other => return Err(format!("{other} is none of parquet, omop, fhir, brat, pubtator and html").into()),
    };
    Ok(writer)
}
