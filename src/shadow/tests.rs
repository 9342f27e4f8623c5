mod along;

use super::*;
use crate::engine::QualityBook;
use std::collections::BTreeSet;
use stillroom_dataflow::{
    DecodeConfig, PlainJson, Position, Probabilities, Sampling, Tagger, TaggerError, TaggerFactory, TaggerPool,
    TeacherPanel, TokenizedText, TokenizerError, Window, Words, reference_key,
};
use stillroom_schemas::{
    Comparison, Counts, Level, ModelId, OffsetUnit, Prediction, Quality, QualityKey, Reference, Span, Task, TextHash,
};

const CANDIDATE: &str = "candidate@1";
const SERVING: &str = "serving@1";

/// Tags every word that begins with f as a disease.
struct Spotter(ModelId);

impl Tagger for Spotter {
    fn model(&self) -> &ModelId {
        &self.0
    }

    fn thresholds(&self) -> [f32; 3] {
        [0.5; 3]
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        let say = |window: &&Window| window.ids.iter().map(|id| [*id as f32, 0.0, 0.0]).collect();
        Ok(windows.iter().map(say).collect())
    }
}

/// A window of all words, each of one piece.
fn tokenize(text: &str) -> Result<TokenizedText, TokenizerError> {
    let (mut words, mut ids, mut at) = (Vec::new(), Vec::new(), 0);
    for word in text.split(' ') {
        words.push(at..at + word.len() as u32);
        ids.push(u32::from(word.starts_with('f')));
        at += word.len() as u32 + 1;
    }
    let (count, pieces) = (words.len(), (0..=words.len() as u16).collect());
    let windows = vec![Window { ids, words: 0..count, pieces }];
    Ok(TokenizedText { words: Words(words), word_pieces: count as u32, windows })
}

fn spotter() -> TaggerFactory {
    Box::new(|| Ok(Box::new(Spotter(ModelId(CANDIDATE.to_owned())))))
}

/// A shadow of a share of the notes by this candidate.
fn parts(share: f64, candidate: TaggerFactory) -> ShadowParts {
    ShadowParts {
        decode: DecodeConfig {
            notes: "notes".into(),
            labels: "labels".into(),
            models: "models".into(),
            note_bytes_max: 10_000,
            wire: Arc::new(PlainJson),
        },
        share,
        tokenize: Arc::new(tokenize),
        candidate: Students::only(TaggerPool::start(vec![candidate], 2).unwrap()),
        tag: TagConfig { tokens_max: 16, linger_max: Duration::ZERO, activation_epochs: 1 },
        extract: ExtractConfig::of_mentions(OffsetUnit::CodePoint, 1_000_000),
        serving: ModelId(SERVING.to_owned()),
        panel: TeacherPanel::default(),
    }
}

/// What somebody says of a note: its first word is a disease.
fn reference(note: &str, text: &str) -> Reference {
    Reference {
        note_id: note.to_owned(),
        annotator: "dr".to_owned(),
        text_hash: TextHash::of(text),
        tasks: [Task::Disease].into(),
        spans: vec![Span { task: Task::Disease, start: 0, end: text.find(' ').unwrap() as u32 }],
    }
}

/// What a student said of a note.
fn state_by(model: &str, note: &str, (revision, offset): (u64, u64), (text, found): (&str, &[Span])) -> NoteState {
    let prediction = Prediction {
        model: ModelId(model.to_owned()),
        text_hash: TextHash::of(text),
        note_type: None,
        site: None,
        words: tokenize(text).unwrap().words.to_bytes(),
        spans: found.to_vec(),
    };
    NoteState {
        note_id: note.to_owned(),
        revision,
        offset,
        prediction: Some(prediction),
        interpretation: None,
        facts: None,
        dead_lettered: None,
    }
}

/// The figure of a student in words, over all notes.
fn row(model: &str) -> QualityKey {
    QualityKey {
        task: Task::Disease,
        level: Level::Word,
        comparison: Comparison::StudentReference,
        model: ModelId(model.to_owned()),
        reference: "dr".to_owned(),
        note_type: None,
        site: None,
        rollup: true,
    }
}

/// A shadow without a log.
struct Bench {
    inputs: InputHandleVec<Epoch, Input>,
    states: InputHandleVec<Epoch, (u32, NoteState)>,
    probe: ProbeHandle<Epoch>,
    changes: Rc<RefCell<Changes>>,
    worker: Worker,
    offset: u64,
    /// What the serving student finds in every note.
    found: Vec<Span>,
    ledger: Ledger,
    rows: BTreeMap<QualityKey, Quality>,
    book: QualityBook,
}

impl Bench {
    fn new(share: f64) -> Bench {
        let parts = parts(share, spotter());
        let mut worker = Worker::new(worker_config(), Allocator::Thread(Thread::default()), Some(Instant::now()));
        let changes = Rc::new(RefCell::new(Changes::default()));
        let (inputs, states, probe) = install(&mut worker, parts, &changes);
        let (ledger, rows, book) = (Ledger::default(), BTreeMap::new(), QualityBook::default());
        Bench { inputs, states, probe, changes, worker, offset: 0, found: Vec::new(), ledger, rows, book }
    }

    fn send(&mut self, topic: &str, key: Vec<u8>, value: Option<serde_json::Value>) -> u64 {
        let position = Position { partition: 0, offset: self.offset };
        self.offset += 1;
        let value = value.map(|value| value.to_string().into_bytes());
        self.inputs.send(Input::Record(Record {
            topic: topic.into(),
            position,
            key: Some(key),
            value,
            ..Record::default()
        }));
        position.offset
    }

    /// The candidate reads a note, and somebody says that its first word is a disease.
    fn note(&mut self, note: &str, revision: u64, text: &str) -> u64 {
        let reference = reference(note, text);
        self.send("references", reference_key(note, "dr"), Some(serde_json::to_value(reference).unwrap()));
        let value = serde_json::json!({ "note_id": note, "revision": revision, "text": text });
        self.send("notes", note.as_bytes().to_vec(), Some(value))
    }

    /// Another student has read a note.
    fn state(&mut self, note: &str, model: &str, (revision, offset): (u64, u64), text: &str) {
        let state = state_by(model, note, (revision, offset), (text, &self.found));
        self.states.send((0, state));
    }

    /// Completes an epoch; the notes that each student was measured on in words, by what is published and by the ledger.
    fn settle(&mut self) -> [i64; 2] {
        let epoch = *self.inputs.time() + 1;
        self.inputs.advance_to(epoch);
        self.states.advance_to(epoch);
        while self.probe.less_than(&epoch) {
            self.worker.step_or_park(Some(WAIT));
        }
        let Changes { pairs, references, quality } = self.changes.take();
        self.ledger.apply(pairs, references);
        for (key, quality) in self.book.apply(&quality) {
            match quality {
                Some(quality) => drop(self.rows.insert(key, quality)),
                None => drop(self.rows.remove(&key)),
            }
        }
        let figures = serde_json::to_value(self.ledger.figures(&[Task::Disease].into())).unwrap();
        [("candidate", CANDIDATE), ("serving", SERVING)].map(|(side, model)| {
            let counts = self.counts(model);
            let by_ledger = &figures["references"]["dr"][0][side];
            match by_ledger.is_null() {
                true => assert_eq!(counts, Counts::default()),
                false => assert_eq!(*by_ledger, serde_json::to_value(counts).unwrap(), "{side}"),
            }
            counts.notes
        })
    }

    /// What is published of a student in words, over all notes.
    fn counts(&self, model: &str) -> Counts {
        self.rows.get(&row(model)).map(|quality| quality.counts).unwrap_or_default()
    }

    fn withdraw(&mut self, note: &str) {
        self.send("notes", note.as_bytes().to_vec(), None);
    }
}

#[test]
fn both_students_are_measured_on_the_same_notes_only() {
    let mut bench = Bench::new(1.0);
    let text = "fever and flu";
    let notes = ["both", "unserved", "other", "amended", "withdrawn"];
    let offsets = notes.map(|note| bench.note(note, 1, text));
    assert_eq!(bench.settle(), [0, 0], "the serving student has read nothing");

    bench.state("both", SERVING, (1, offsets[0]), text);
    bench.state("other", "another@1", (1, offsets[2]), text);
    bench.state("amended", SERVING, (1, offsets[3]), text);
    bench.state("withdrawn", SERVING, (1, offsets[4]), text);
    bench.state("unread", SERVING, (1, 99), text);
    assert_eq!(bench.settle(), [3, 3]);
    assert_eq!(bench.ledger.notes(), 3);
    // Of each note the candidate finds the one that is there and one too many, and the other nothing.
    let (candidate, serving) = (bench.counts(CANDIDATE), bench.counts(SERVING));
    assert_eq!((candidate.tp, candidate.fp, candidate.fn_), (3, 3, 0));
    assert_eq!((serving.tp, serving.fp, serving.fn_), (0, 0, 3));

    let amended = bench.note("amended", 2, "flu alone");
    bench.withdraw("withdrawn");
    assert_eq!(bench.settle(), [1, 1], "the serving student has not read the amendment");
    bench.state("amended", SERVING, (2, amended), "flu alone");
    assert_eq!(bench.settle(), [2, 2]);
    // Read again by another student.
    bench.state("both", "another@1", (1, offsets[0]), text);
    assert_eq!(bench.settle(), [1, 1]);
}

#[test]
fn a_share_of_the_notes_is_drawn_by_their_ids() {
    let mut bench = Bench::new(0.3);
    let names: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
    for note in &names {
        let offset = bench.note(note, 1, "fever and flu");
        bench.state(note, SERVING, (1, offset), "fever and flu");
    }
    let sampling = Sampling { rate: 0.3, ..Sampling::default() };
    let drawn: BTreeSet<&String> = names.iter().filter(|note| sampling.draws(note, None, 0.0)).collect();
    assert!((30..90).contains(&drawn.len()), "{}", drawn.len());
    assert_eq!(bench.settle(), [drawn.len() as i64; 2]);
}

#[test]
fn a_candidate_that_is_worse_by_enough_references_is_refused() {
    let check = |notes: usize, found: &[Span], is_refused: bool| {
        let mut bench = Bench::new(1.0);
        bench.found = found.to_vec();
        for note in (0..notes).map(|number| number.to_string()) {
            let offset = bench.note(&note, 1, "fever and flu");
            bench.state(&note, SERVING, (1, offset), "fever and flu");
        }
        bench.settle();
        let figures = bench.ledger.figures(&[Task::Disease].into());
        assert_eq!(figures.refusal().is_some(), is_refused, "{figures:#?}");
        assert_eq!(figures.undecided().is_none(), notes >= crate::gate::DOCUMENTS_MIN, "{figures:#?}");
    };
    // The candidate finds one word too many in every note.
    let right = Span { task: Task::Disease, start: 0, end: 5 };
    check(20, &[right], true);
    check(19, &[right], false);
    check(20, &[], false);
}

#[test]
fn without_references_nothing_is_decided() {
    let figures = Ledger::default().figures(&[Task::Disease].into());
    assert_eq!(figures.undecided().as_deref(), Some("there are no references to compare by"));
    assert_eq!(figures.refusal(), None);
}
