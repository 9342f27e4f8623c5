//! From a text and its entities to pieces that can be drawn inside one another.

use crate::places::Placed;
use std::cmp::Reverse;
use stillroom_schemas::Entity;

/// A piece of a note.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// Words of the note.
    Words(&'a str),
    /// A part of an entity: all of it, unless it crosses another.
    Part(Part<'a>),
}

/// A part of an entity.
#[derive(Debug)]
pub(super) struct Part<'a> {
    /// Of this one.
    pub(super) entity: &'a Entity,
    /// Whether it begins here.
    pub(super) is_first: bool,
    /// Whether it ends here.
    pub(super) is_last: bool,
    /// What it holds.
    pub(super) pieces: Vec<Piece<'a>>,
}

/// The pieces of `text`, in its order. An entity that lies in another is a piece of it; of two that cross, the one that begins later goes
/// on in a part of its own where the other ends.
pub(super) fn pieces<'a>(text: &'a str, placed: &'a [Placed]) -> Vec<Piece<'a>> {
    let mut ordered: Vec<&Placed> = placed.iter().collect();
    ordered.sort_by_key(|placed| (placed.bytes.start, Reverse(placed.bytes.end), placed.entity.task));
    let mut cuts: Vec<usize> = placed.iter().flat_map(|placed| [placed.bytes.start, placed.bytes.end]).collect();
    cuts.push(text.len());
    cuts.sort_unstable();
    cuts.dedup();
    let (mut nest, mut next, mut at) = (Nest::default(), ordered.into_iter().peekable(), 0);
    for cut in cuts {
        if at < cut {
            nest.innermost().push(Piece::Words(&text[at..cut]));
        }
        at = cut;
        nest.close(cut);
        while let Some(placed) = next.next_if(|placed| placed.bytes.start == cut) {
            nest.open(placed.bytes.end, &placed.entity, true);
        }
    }
    nest.pieces
}

/// What has been gone through, and the parts that are open, each in the one before, with the byte at which its entity ends.
#[derive(Default)]
struct Nest<'a> {
    pieces: Vec<Piece<'a>>,
    open: Vec<(usize, Part<'a>)>,
}

impl<'a> Nest<'a> {
    fn innermost(&mut self) -> &mut Vec<Piece<'a>> {
        match self.open.last_mut() {
            Some((_, part)) => &mut part.pieces,
            None => &mut self.pieces,
        }
    }

    fn open(&mut self, end: usize, entity: &'a Entity, is_first: bool) {
        self.open.push((end, Part { entity, is_first, is_last: false, pieces: Vec::new() }));
    }

    /// Closes what ends at `at`. What was opened within and goes on is cut.
    fn close(&mut self, at: usize) {
        let Some(outermost) = self.open.iter().position(|(end, _)| *end == at) else { return };
        let mut cut = Vec::new();
        while self.open.len() > outermost {
            let Some((end, mut part)) = self.open.pop() else { break };
            part.is_last = end == at;
            if end > at {
                cut.push((end, part.entity));
            }
            self.innermost().push(Piece::Part(part));
        }
        for (end, entity) in cut.into_iter().rev() {
            self.open(end, entity, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::place;
    use crate::testing;
    use proptest::prelude::*;
    use stillroom_schemas::Task;

    /// Entities at these places of `text`.
    fn placed(text: &str, spans: &[(Task, u32, u32)]) -> Vec<Placed> {
        let entity = |&(task, start, end): &(Task, u32, u32)| {
            let words: String = text.chars().skip(start as usize).take((end - start) as usize).collect();
            testing::entity(task, [start, end], &words)
        };
        let note = testing::note("n1", text);
        place(&note, &testing::extraction(&note, spans.iter().map(entity).collect())).unwrap()
    }

    /// The pieces, a part in brackets after the first letter of its task; a dot is where a part was cut.
    fn shown(pieces: &[Piece<'_>]) -> String {
        let piece = |piece: &Piece<'_>| match piece {
            Piece::Words(words) => (*words).to_owned(),
            Piece::Part(part) => {
                let (task, held) = (&part.entity.task.name()[..1], shown(&part.pieces));
                let [begin, end] = [part.is_first, part.is_last].map(|is_whole| if is_whole { "" } else { "." });
                format!("{task}[{begin}{held}{end}]")
            }
        };
        pieces.iter().map(piece).collect()
    }

    fn check(text: &str, spans: &[(Task, u32, u32)], expected: &str) {
        assert_eq!(shown(&pieces(text, &placed(text, spans))), expected);
    }

    #[test]
    fn entities_lie_in_one_another() {
        use Task::{Disease, Medication, Symptom};
        check("", &[], "");
        check("no", &[], "no");
        check("ab", &[(Disease, 0, 2)], "d[ab]");
        check("abcd", &[(Symptom, 1, 2), (Disease, 0, 4)], "d[as[b]cd]");
        check("abcd", &[(Symptom, 0, 4), (Disease, 0, 4), (Medication, 0, 1)], "d[s[m[a]bcd]]");
        check("abcd", &[(Symptom, 0, 2), (Disease, 2, 4)], "s[ab]d[cd]");
        check("abcd", &[(Disease, 0, 3), (Symptom, 1, 4)], "d[as[bc.]]s[.d]");
        check("abcd", &[(Disease, 0, 2), (Symptom, 1, 3), (Medication, 1, 4)], "d[am[s[b.].]]m[.s[.c]d]");
        check("\u{1f912}\u{e9}x", &[(Symptom, 0, 1), (Disease, 1, 2)], "s[\u{1f912}]d[\u{e9}]x");
    }

    /// The words of the pieces, each with the entities that it lies in.
    fn words<'a>(pieces: &[Piece<'a>], within: &[*const Entity]) -> Vec<(char, Vec<*const Entity>)> {
        let piece = |piece: &Piece<'a>| match piece {
            Piece::Words(words) => words.chars().map(|c| (c, within.to_vec())).collect::<Vec<_>>(),
            Piece::Part(part) => words(&part.pieces, &[within, &[std::ptr::from_ref(part.entity)]].concat()),
        };
        pieces.iter().flat_map(piece).collect()
    }

    proptest! {
        /// Whatever crosses what, each character lies in the entities that stand there, once each.
        #[test]
        fn every_character_lies_in_its_entities(spans in prop::collection::vec((0..3_usize, 0..12_u32, 1..8_u32), 0..8)) {
            let text = "a\u{1f912}b\u{e9}cdefghijklmnopqrs";
            let spans: Vec<_> = spans.iter().map(|&(task, at, long)| (Task::ALL[task], at, at + long)).collect();
            let placed = placed(text, &spans);
            let found = words(&pieces(text, &placed), &[]);
            prop_assert_eq!(found.len(), text.chars().count());
            for (at, (character, mut within)) in (0_u32..).zip(found) {
                prop_assert_eq!(Some(character), text.chars().nth(at as usize));
                let here = |placed: &&Placed| (placed.entity.start..placed.entity.end).contains(&at);
                let mut expected: Vec<*const Entity> =
                    placed.iter().filter(here).map(|placed| std::ptr::from_ref(&placed.entity)).collect();
                within.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(within, expected);
            }
        }
    }
}
