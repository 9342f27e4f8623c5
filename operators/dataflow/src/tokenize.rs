//! From texts to words and windows of word pieces.
//!
//! In: notes. Out: notes with their words and windows, and dead letters. State: none. Emits at once.

use crate::output::{Fork, Forked, dead_letter, fork, letter_of_again};
use crate::{Epoch, NoteRecord, Output, TokenizedText, TokenizerError};
use std::sync::Arc;
use stillroom_schemas::{NoteState, Stage};
use timely::dataflow::StreamVec;

/// How a text is cut; shared by all workers.
pub type TokenizeText = Arc<dyn Fn(&str) -> Result<TokenizedText, TokenizerError> + Send + Sync>;

/// A note as the student reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizedNote {
    /// The note.
    pub note: Box<NoteRecord>,
    /// Its words and windows.
    pub tokenized: TokenizedText,
}

/// Cuts notes into words and windows.
pub trait Tokenize<'scope> {
    /// Cuts every note with `tokenize`; a note that cannot be cut leaves as a dead letter. An empty note has no windows.
    ///
    /// ```
    /// use stillroom_dataflow::{NoteRecord, Position, Record, Tokenize, TokenizedText, Words};
    /// use stillroom_schemas::{Note, TextHash};
    /// use timely::dataflow::operators::{Capture, ToStream, capture::Extract, vec::Map};
    ///
    /// let words = timely::execute_directly(|worker| {
    ///     worker.dataflow::<u64, _, _>(|scope| {
    ///         let note = serde_json::json!({"note_id": "n1", "text": "fever"});
    ///         let note: Note = serde_json::from_value(note).unwrap();
    ///         let position = Position { partition: 0, offset: 0 };
    ///         let record = Record { topic: "notes".into(), position, ..Record::default() };
    ///         let text_hash = TextHash::of(&note.text);
    ///         let note = Box::new(NoteRecord { note, text_hash, record: record.into(), is_again: false });
    ///         let one_word = |text: &str| {
    ///             let words = Words(vec![0..text.len() as u32]);
    ///             Ok(TokenizedText { words, word_pieces: 1, windows: vec![] })
    ///         };
    ///         let (tokenized, _letters) =
    ///             [note].to_stream(scope).container::<Vec<_>>().tokenize(std::sync::Arc::new(one_word));
    ///         tokenized.map(|note| note.tokenized.words.len()).capture()
    ///     })
    /// });
    /// assert_eq!(words.extract(), [(0, vec![1])]);
    /// ```
    fn tokenize(self, tokenize: TokenizeText) -> Forked<'scope, TokenizedNote, Output>;
}

impl<'scope> Tokenize<'scope> for StreamVec<'scope, Epoch, Box<NoteRecord>> {
    fn tokenize(self, tokenize: TokenizeText) -> Forked<'scope, TokenizedNote, Output> {
        fork(self, "Tokenize", move |note| match tokenize(&note.note.text) {
            Ok(tokenized) => Fork::On(TokenizedNote { note, tokenized }),
            Err(error) => Fork::Off(note.into_dead_letter(Stage::Tokenize, error.to_string())),
        })
    }
}

impl NoteRecord {
    /// The note as a dead letter. It was the latest revision, so the one before it is no longer what is known of the note; if it is
    /// read again, what an earlier student said of it stays.
    pub(crate) fn into_dead_letter(self, stage: Stage, error: String) -> Output {
        if self.is_again {
            return letter_of_again(&self.record, stage, error);
        }
        let letter = dead_letter(&self.record, stage, error);
        let state = NoteState {
            note_id: self.note.note_id,
            revision: self.note.revision,
            offset: self.record.position.offset,
            prediction: None,
            interpretation: None,
            facts: None,
            dead_lettered: Some(self.text_hash),
        };
        Output::DeadLettered { letter, is_note: true, state: Some(state) }
    }
}
