//! NOTE and NOTE_NLP of the OMOP Common Data Model, version 5.4 (<https://ohdsi.github.io/CommonDataModel/cdm54.html>), as files for
//! COPY.
//!
//! In: notes and what was found in them. Out, in the folder, once the run is finished: `note.csv` and `note_nlp.csv` with the
//! specification's columns in its order; `note_stillroom.csv` and `note_nlp_stillroom.csv` with what those cannot hold; `omop.sql` with
//! the four tables, each column explained. Positions are code points. A note that came again in a later revision is in them once, as it
//! came last.
//!
//! State: 60 to 100 bytes for each note and each patient, and 16 for each concept of a vocabulary that was given.

mod concepts;
mod ids;
mod rows;
mod sheet;
mod table;
#[cfg(test)]
mod tests;
mod text;

use crate::files::{Unfinished, claim_folder};
use crate::positions::in_code_points;
use crate::{FormatError, Writer};
use concepts::{ConceptIds, Concepts};
use ids::{Fresh, Ids};
use rows::Mention;
use sheet::{Ends, Sheet};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use stillroom_schemas::{Extraction, Note};
use text::CodePoints;
use time::{Date, OffsetDateTime, UtcOffset};

/// What the tables need that notes do not say.
#[derive(Clone, Debug)]
pub struct OmopConfig {
    /// When the notes are read: `nlp_datetime`, in UTC.
    pub processed_at: OffsetDateTime,
    /// Which person each patient is: CSV with the columns `patient_id` and `person_id`. Without it a hash stands for the patient.
    pub persons: Option<PathBuf>,
    /// Which number each note has: CSV with the columns `note_id` and `omop_note_id`. Without it a hash stands for the note.
    pub notes: Option<PathBuf>,
    /// CONCEPT.csv of an Athena download. Without it every concept is 0.
    pub concepts: Option<PathBuf>,
    /// CONCEPT_RELATIONSHIP.csv of the same download, for concepts that are not standard; of several that one maps to, the lowest.
    pub relationships: Option<PathBuf>,
    /// Numbers count from here on in place of hashes, which need columns of 64 bits.
    pub first_id: Option<u32>,
    /// The date of notes that have none, which NOTE must have. Without it such a note is an error.
    pub undated: Option<Date>,
}

impl OmopConfig {
    /// Without files, at `processed_at`.
    pub fn at(processed_at: OffsetDateTime) -> OmopConfig {
        let (persons, notes, concepts, relationships) = (None, None, None, None);
        OmopConfig { processed_at, persons, notes, concepts, relationships, first_id: None, undated: None }
    }
}

/// Writes NOTE and NOTE_NLP.
pub struct OmopWriter {
    note: Sheet,
    note_nlp: Sheet,
    note_beside: Sheet,
    note_nlp_beside: Sheet,
    ends: Ends<4>,
    /// The last write of each note, by its number, and the writes that another has replaced.
    written: HashMap<i64, u64>,
    replaced: HashSet<u64>,
    ids: Ids,
    concepts: Concepts,
    processed_at: OffsetDateTime,
    undated: Option<Date>,
    ddl: (PathBuf, String),
}

impl OmopWriter {
    /// Into the folder `path`, which is made where it is missing.
    ///
    /// # Errors
    /// When a file of `config` cannot be read or is wrong, or the folder cannot be made or holds something.
    pub fn create(path: &Path, config: &OmopConfig) -> Result<OmopWriter, FormatError> {
        let fresh = config.first_id.map_or(Fresh::Hashed, |first| Fresh::Counted(first.into()));
        let ids = Ids::load(config.persons.as_deref(), config.notes.as_deref(), fresh)?;
        let concepts = match &config.concepts {
            Some(concepts) => Concepts::load(concepts, config.relationships.as_deref())?,
            None => Concepts::default(),
        };
        claim_folder(path)?;
        Ok(OmopWriter {
            note: Sheet::create(path.join("note.csv"), &rows::NOTE)?,
            note_nlp: Sheet::create(path.join("note_nlp.csv"), &rows::NOTE_NLP)?,
            note_beside: Sheet::create(path.join("note_stillroom.csv"), &rows::NOTE_STILLROOM)?,
            note_nlp_beside: Sheet::create(path.join("note_nlp_stillroom.csv"), &rows::NOTE_NLP_STILLROOM)?,
            ends: Ends::create(path)?,
            written: HashMap::new(),
            replaced: HashSet::new(),
            ids,
            concepts,
            processed_at: config.processed_at.to_offset(UtcOffset::UTC),
            undated: config.undated,
            ddl: (path.join("omop.sql"), ddl(fresh)),
        })
    }
}

/// The tables, with numbers as wide as they may be.
fn ddl(fresh: Fresh) -> String {
    let (id, said) = match fresh {
        Fresh::Counted(_) => ("integer", "Types are those of the specification."),
        Fresh::Hashed => (
            "bigint",
            "Types are those of the specification, but for the ids of persons,\n-- notes and mentions, which are hashes of 63 bits and need bigint where the specification says integer.",
        ),
    };
    include_str!("omop/omop.sql").replace("{ids}", said).replace("{id}", id)
}

impl Writer for OmopWriter {
    fn write(&mut self, note: &Note, extraction: &Extraction) -> Result<(), FormatError> {
        let when = rows::when(extraction, self.undated).ok_or_else(|| FormatError::Note {
            note_id: note.note_id.clone(),
            reason: "has no date in signed_at, which NOTE must have; give it one, or say by --omop-undated which date such notes get"
                .to_owned(),
        })?;
        let entities = in_code_points(&note.text, extraction)?;
        let note_id = self.ids.note(&note.note_id)?;
        let person_id = self.ids.person(extraction.patient_id.as_deref(), &note.note_id)?;
        let mentions = self.ids.mentions(&note.note_id, note_id, entities.len())?;
        self.note.row(&rows::note(note, [note_id, person_id], when))?;
        self.note_beside.row(&rows::note_beside(extraction, note_id))?;
        let text = CodePoints::of(&note.text);
        for (entity, note_nlp_id) in entities.iter().zip(mentions) {
            let concepts = entity.concept.as_ref().map_or(ConceptIds::default(), |it| self.concepts.of(&it.code));
            let mention = Mention { note_nlp_id, note_id, entity, text: &text, concepts, model: &extraction.model.0 };
            self.note_nlp.row(&rows::mention(&mention, self.processed_at))?;
            self.note_nlp_beside.row(&rows::mention_beside(&mention))?;
        }
        let sheets = [&self.note, &self.note_nlp, &self.note_beside, &self.note_nlp_beside];
        let write = self.ends.push(sheets.map(Sheet::bytes))?;
        self.replaced.extend(self.written.insert(note_id, write));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), FormatError> {
        let OmopWriter { note, note_nlp, note_beside, note_nlp_beside, mut ends, replaced, ddl: (path, ddl), .. } =
            *self;
        for (index, sheet) in [note, note_nlp, note_beside, note_nlp_beside].into_iter().enumerate() {
            sheet.complete(ends.of(index)?, &replaced)?;
        }
        let unfinished = Unfinished::new(path);
        fs::write(unfinished.beside(), ddl).map_err(FormatError::file("write", unfinished.beside()))?;
        unfinished.complete()
    }
}
