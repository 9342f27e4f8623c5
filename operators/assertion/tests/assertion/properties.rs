//! What holds of any text.

use crate::CONTEXT;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::LazyLock;
use stillroom_assertion::{Asserted, Context, Example, shipped_examples};
use stillroom_schemas::{Span, Task};

/// A text and an entity in it.
#[derive(Clone, Debug)]
struct Piece {
    text: String,
    span: Span,
}

impl Piece {
    fn of(example: &Example) -> Piece {
        Piece { text: example.sentence.clone(), span: example.span().unwrap() }
    }

    /// The number of its code points.
    fn length(&self) -> u32 {
        self.text.chars().count() as u32
    }
}

/// Sentences of the program that begin with a capital, end with a stop, stand on one line and have no heading.
static SENTENCES: LazyLock<Vec<Piece>> = LazyLock::new(|| {
    let is_plain = |example: &Example| {
        let text = &example.sentence;
        text.starts_with(char::is_uppercase) && text.ends_with('.') && !text.contains('\n')
    };
    let pieces: Vec<Piece> = shipped_examples().iter().filter(|example| is_plain(example)).map(Piece::of).collect();
    pieces.into_iter().filter(has_no_heading).collect()
});

/// Whether what stands behind it stands in no section.
fn has_no_heading(piece: &Piece) -> bool {
    let length = piece.length();
    let span = Span { task: Task::Disease, start: length + 1, end: length + 5 };
    CONTEXT.assert(&format!("{} Gout.", piece.text), &[span])[0].section.is_none()
}

/// Texts one behind the other, with the entities where they stand then.
fn joined<'a>(pieces: impl Iterator<Item = (&'a Piece, &'a str)>) -> (String, Vec<Span>) {
    let (mut text, mut spans, mut length) = (String::new(), Vec::new(), 0);
    for (piece, behind) in pieces {
        let Span { task, start, end } = piece.span;
        spans.push(Span { task, start: start + length, end: end + length });
        text.push_str(&piece.text);
        text.push_str(behind);
        length += piece.length() + behind.chars().count() as u32;
    }
    (text, spans)
}

/// The same decision so many code points earlier.
fn shifted(mut asserted: Asserted, by: u32) -> Asserted {
    for cue in &mut asserted.assertion.cues {
        (cue.start, cue.end) = (cue.start - by, cue.end - by);
    }
    asserted
}

fn separator() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(" "), Just("  "), Just("\n"), Just("\n\n")]
}

/// A document that begins with a heading, as what it has before its first one depends on what is before it.
fn document() -> impl Strategy<Value = Piece> {
    let heading = prop_oneof![Just("Hospital course:"), Just("FAMILY HISTORY"), Just("Plan:"), Just("Allergies:")];
    let text = prop_oneof![
        any::<Index>().prop_map(|index| index.get(&shipped_examples()).sentence.clone()),
        vec(any::<Index>(), 1..12).prop_map(|words| words.iter().map(|word| *word.get(&WORDS)).collect::<String>()),
        "\\PC{1,60}",
    ];
    (heading, text, any::<(Index, Index)>()).prop_map(|(heading, body, (one, other))| {
        let (before, length) = (heading.chars().count() as u32 + 1, body.chars().count());
        let (one, other) = (one.index(length) as u32, other.index(length) as u32);
        let (start, end) = (before + one.min(other), before + one.max(other) + 1);
        Piece { text: format!("{heading}\n{body}"), span: Span { task: Task::Symptom, start, end } }
    })
}

/// What notes are made of.
const WORDS: [&str; 40] = [
    "no ",
    "No ",
    "denies ",
    "Denies ",
    "history of ",
    "fever",
    "cough ",
    "chills",
    "gout ",
    ", ",
    " or ",
    " and ",
    "but ",
    "; ",
    ". ",
    ".",
    ": ",
    "\n",
    "\n- ",
    "\n1. ",
    "was excluded",
    "in 2010 ",
    "3 years ago ",
    "if ",
    "mother ",
    "(-) ",
    "[ ] ",
    "[x] ",
    "? ",
    "possible ",
    "FAMILY HISTORY: ",
    "Plan:\n",
    "PMH",
    "doesn\u{2019}t have ",
    "follow-up ",
    "\u{e9}t\u{e9} ",
    "e.g. ",
    "b.i.d. ",
    "likely ",
    "vs. ",
];

proptest! {
    #[test]
    fn an_inserted_sentence_changes_no_decision(
        picked in vec((any::<Index>(), separator()), 1..8),
        inserted in (any::<Index>(), separator()),
        place in any::<Index>(),
    ) {
        let at = |(index, behind): &(Index, &'static str)| (index.get(&SENTENCES), *behind);
        let before: Vec<(&Piece, &str)> = picked.iter().map(at).collect();
        let place = place.index(before.len() + 1);
        let mut after = before.clone();
        after.insert(place, at(&inserted));
        let (text, spans) = joined(before.into_iter());
        let (longer, longer_spans) = joined(after.clone().into_iter());
        let by = after[place].0.length() + after[place].1.chars().count() as u32;
        let mut found = CONTEXT.assert(&longer, &longer_spans);
        found.remove(place);
        let shift = |(index, asserted): (usize, Asserted)| shifted(asserted, if index >= place { by } else { 0 });
        let found: Vec<Asserted> = found.into_iter().enumerate().map(shift).collect();
        prop_assert_eq!(found, CONTEXT.assert(&text, &spans), "{:?} at {}", longer, place);
    }

    #[test]
    fn documents_joined_by_blank_lines_decide_as_alone(documents in vec(document(), 1..5)) {
        let (text, spans) = joined(documents.iter().map(|document| (document, "\n\n")));
        let together = CONTEXT.assert(&text, &spans);
        for ((document, span), asserted) in documents.iter().zip(&spans).zip(together) {
            let alone = CONTEXT.assert(&document.text, &[document.span]).remove(0);
            prop_assert_eq!(shifted(asserted, span.start - document.span.start), alone, "{:?}", text);
        }
    }

    #[test]
    fn decisions_are_the_same_each_time_and_on_each_thread(document in document()) {
        let decide = |context: &Context| context.assert(&document.text, &[document.span]);
        let here = decide(&CONTEXT);
        let there = std::thread::scope(|scope| scope.spawn(|| decide(&CONTEXT)).join().unwrap());
        prop_assert_eq!(here, there);
    }
}
