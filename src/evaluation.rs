//! Gold documents through the extraction topology: what `eval` and `study` measure a student by.

use crate::engine::{Committed, EngineConfig, Observer, Topics};
use crate::offline;
use crate::runtime::{Runtime, StudentConfig};
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stillroom_connectors::{GoldDocument, LogError, Source};
use stillroom_dataflow::{Output, Position, Record, TokenizeText};
use stillroom_schemas::{Entity, Note};

/// The topic on which gold documents enter the topology.
const GOLD_TOPIC: &str = "gold";

/// What a student found in gold documents.
pub(crate) struct Extracted {
    /// How it cuts words.
    pub(crate) tokenize: TokenizeText,
    /// Of each document, in their order; positions are code points.
    pub(crate) entities: Vec<Vec<Entity>>,
    /// Seconds from the first document to the last entity, without loading the student.
    pub(crate) seconds: f64,
}

/// Reads documents by the student, through the extraction topology.
///
/// # Errors
/// When the student cannot be loaded, or a document not be read.
pub(crate) fn extract_gold(student: &StudentConfig, documents: &[GoldDocument]) -> Result<Extracted> {
    let config = engine_config(student);
    let runtime = student.start(&config)?;
    let tokenize = Arc::clone(&runtime.tokenize);
    let began = Instant::now();
    let entities = run(runtime, &config, documents)?;
    Ok(Extracted { tokenize, entities, seconds: began.elapsed().as_secs_f64() })
}

/// Of a run over gold documents. They are not notes that came from anywhere, so none is too large.
fn engine_config(student: &StudentConfig) -> EngineConfig {
    let topics = Topics { notes: GOLD_TOPIC.to_owned(), ..Topics::default() };
    EngineConfig { topics, note_bytes_max: 1 << 30, ..student.engine() }
}

fn run(runtime: Runtime, config: &EngineConfig, documents: &[GoldDocument]) -> Result<Vec<Vec<Entity>>> {
    let found = Arc::new(Mutex::new(vec![None; documents.len()]));
    let source = Box::new(Gold::new(documents)?);
    let totals = offline::extract(runtime, config, offline::Input::whole(source), Box::new(Found(Arc::clone(&found))))?;
    let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    let missing = || format!("{} of {} documents were not extracted", totals.notes - totals.extracted, documents.len());
    found.into_iter().collect::<Option<_>>().with_context(missing)
}

struct Found(Arc<Mutex<Vec<Option<Vec<Entity>>>>>);

impl Observer for Found {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for output in committed.outputs {
            match output {
                Output::Extracted { position, extraction, .. } => {
                    found[position.offset as usize] = Some(extraction.entities.clone());
                }
                Output::DeadLettered { letter, .. } => {
                    bail!("document {} cannot be read: {}", letter.offset + 1, letter.error)
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Gold documents as notes, each under its number, as ids need not be unique over several files.
struct Gold {
    records: VecDeque<Record>,
    is_paused: bool,
}

impl Gold {
    fn new(documents: &[GoldDocument]) -> Result<Gold> {
        let record = |(offset, document): (usize, &GoldDocument)| -> Result<Record> {
            let note_id = offset.to_string();
            let note = Note {
                note_id: note_id.clone(),
                patient_id: None,
                revision: 0,
                note_type: None,
                site: None,
                signed_at: None,
                text: document.text.clone(),
            };
            let position = Position { partition: 0, offset: offset as u64 };
            let value = Some(serde_json::to_vec(&note)?);
            Ok(Record {
                topic: GOLD_TOPIC.into(),
                position,
                key: Some(note_id.into_bytes()),
                value,
                headers: Vec::new(),
            })
        };
        let records = documents.iter().enumerate().map(record).collect::<Result<_>>()?;
        Ok(Gold { records, is_paused: false })
    }
}

impl Source for Gold {
    fn partitions(&mut self, _topic: &str) -> Result<u32, LogError> {
        Ok(1)
    }
    fn assign(&mut self, _topic: &str, _partition: u32, _next: u64) -> Result<(), LogError> {
        Ok(())
    }
    fn poll(&mut self, bytes_max: usize, _wait: Duration) -> Result<Vec<Record>, LogError> {
        let (mut bytes, mut batch) = (0, Vec::new());
        while let Some(record) = self.records.front().filter(|_| !self.is_paused) {
            bytes += record.value.as_ref().map_or(0, Vec::len);
            if bytes > bytes_max && !batch.is_empty() {
                break;
            }
            batch.extend(self.records.pop_front());
        }
        Ok(batch)
    }
    fn pause(&mut self) {
        self.is_paused = true;
    }
    fn resume(&mut self) {
        self.is_paused = false;
    }
    fn is_finished(&self) -> bool {
        self.records.is_empty()
    }
}
