//! A note as sentences. In flow its words, out flow ranges of words, each with the section that it stands in.
//!
//! Every line is looked at with the one before it, and nothing else, so that what stands elsewhere changes no boundary:
//!
//! - a blank line, a heading, and an item of a list begin a sentence;
//! - a line that ends with a stop ends a sentence where the stop would within a line;
//! - any other line goes on in the next where it was wrapped: its last word or sign wants more (`chills or`), or the
//!   next begins with a word that joins (`or cough`), or with a small letter and it is of some length, or it is long,
//!   and the next line's first word had no room on it.
//!
//! Within a line, a stop ends a sentence unless it belongs to an abbreviation (`Dr.`, `e.g.`), to one that goes on
//! (`q.d. for`), or to a number (`No. 5`); boxes and numbers such as `2)` begin items.
//!
//! What ends with its line and a colon (`Denies:`) leads to the items behind it, up to a blank line, a heading, or a
//! line that begins no item.

mod stops;

use crate::headings::{Headings, Look, Place, Section, look};
use crate::lists::{behind_marks, box_at, inline_number_at};
use crate::note::Note;
use std::ops::Range;
use stops::{behind_closers, continues, ends_at, is_stop};

/// A sentence, an item of a list, or a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) words: Range<usize>,
    /// The heading of its section.
    pub(crate) section: Option<Section>,
    /// The words of the sentence that leads to the list that it is an item of.
    pub(crate) lead: Option<Range<usize>>,
}

/// The sentences of a note; every word is in one.
pub(crate) fn sentences(note: &Note<'_>, headings: &Headings) -> Vec<Sentence> {
    let mut cutter = Cutter {
        note,
        headings,
        cuts: Vec::new(),
        section: None,
        is_by_parts: false,
        is_behind_heading: true,
        lead: None,
    };
    let mut before = None;
    let mut start = 0;
    while start < note.words.len() {
        let goes_on = |word: &usize| note.words.get(*word).breaks == 0;
        let end = start + 1 + (start + 1..note.words.len()).take_while(goes_on).count();
        cutter.line(before, start..end);
        (before, start) = (Some(start..end), end);
    }
    cutter.sentences()
}

/// Where a sentence begins, the section that begins with it, and which cut leads to it.
struct Cut {
    at: usize,
    section: Option<Option<Section>>,
    lead: Option<usize>,
}

struct Cutter<'a> {
    note: &'a Note<'a>,
    headings: &'a Headings,
    /// By position, one a word.
    cuts: Vec<Cut>,
    /// The heading of the section that is read.
    section: Option<Section>,
    /// Whether its paragraph is ordered by headings that would end it: a family's history by body systems.
    is_by_parts: bool,
    /// Whether the line before is a heading alone, or ends with a colon.
    is_behind_heading: bool,
    /// The cut that leads to the items of the next lines.
    lead: Option<usize>,
}

impl Cutter<'_> {
    fn cut(&mut self, at: usize, section: Option<Option<Section>>) {
        if let Some(section) = section {
            (self.section, self.is_by_parts) = (section, false);
        }
        match self.cuts.last_mut() {
            Some(last) if last.at == at => last.section = section.or(last.section),
            _ => self.cuts.push(Cut { at, section, lead: None }),
        }
    }

    fn line(&mut self, before: Option<Range<usize>>, line: Range<usize>) {
        let note = self.note;
        let words = &note.words;
        let mut text = behind_marks(words, line.clone());
        let heading = self.headings.at(note, text..line.end, Place::Line);
        let heading = heading.filter(|heading| text == line.start || !is_named_item(note, line.start, *heading));
        let is_paragraph = before.is_none() || words.get(line.start).breaks >= 2;
        let heading = heading.filter(|heading| self.begins_section(*heading, is_paragraph));
        let look = match heading {
            None if is_paragraph => look(note, text..line.end),
            _ => Look::Text,
        };
        let section = match (heading, look) {
            (Some(heading), _) => Some(Some(heading)),
            (None, Look::Text) => None,
            (None, _) => Some(None),
        };
        let is_start = is_paragraph || text > line.start || section.is_some() || self.is_behind_heading;
        let starts = is_start || before.is_some_and(|before| !continues(words, before, line.clone()));
        let last_is_colon = words.folded(line.end - 1) == ":";
        self.is_behind_heading = match heading {
            Some(heading) => heading.behind == line.end,
            None => last_is_colon || look == Look::Alone,
        };
        if starts {
            let is_item = text > line.start && !is_paragraph && section.is_none();
            self.lead = self.lead.filter(|_| is_item);
            self.cut(line.start, section);
            if let Some(cut) = self.cuts.last_mut() {
                cut.lead = self.lead;
            }
        }
        if let Some(heading) = heading {
            text = heading.behind;
            if text < line.end {
                self.cut(text, None);
                text = behind_marks(words, text..line.end);
            }
        }
        self.within(text..line.end);
        if last_is_colon && heading.is_none_or(|heading| heading.behind < line.end) {
            self.lead = self.cuts.len().checked_sub(1);
        }
    }

    /// Whether a heading begins a section at the beginning of a line. One that ends some sections alone does so in these, with a
    /// colon, unless their text begins with such a heading right below their own.
    fn begins_section(&mut self, heading: Section, is_paragraph: bool) -> bool {
        let headings = self.headings;
        let ends = &headings.get(heading).ends;
        if ends.is_empty() {
            return true;
        }
        let is_within = self.section.is_some_and(|section| ends.contains(&headings.get(section).section));
        if !is_within || self.note.words.folded(heading.behind - 1) != ":" {
            return false;
        }
        self.is_by_parts = !is_paragraph && (self.is_by_parts || self.is_behind_heading);
        !self.is_by_parts
    }

    /// Cuts a line behind its marks and its heading.
    fn within(&mut self, line: Range<usize>) {
        let note = self.note;
        let words = &note.words;
        let (mut at, mut depth) = (line.start, 0_u32);
        while at < line.end {
            let rest = at..line.end;
            let sign = if words.get(at).is_word { "" } else { words.folded(at) };
            match sign {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
            let item = match sign {
                // `(x)` and `( )` may be anything within a line.
                "(" => None,
                _ => box_at(words, rest.clone()).filter(|behind| !is_answer_of_box(note, *behind..line.end)),
            };
            let number = if depth == 0 { inline_number_at(words, rest) } else { None };
            if let Some(behind) = item.or(number) {
                if at > line.start {
                    self.cut(at, None);
                }
                at = behind;
            } else if is_stop(sign) && at + 1 < line.end && ends_at(words, at) {
                (at, depth) = (self.sentence(behind_closers(words, at)..line.end), 0);
            } else {
                at += 1;
            }
        }
    }

    /// Begins a sentence within a line, and passes its heading if it has one.
    fn sentence(&mut self, rest: Range<usize>) -> usize {
        if rest.is_empty() {
            return rest.end;
        }
        let heading = self.headings.at(self.note, rest.clone(), Place::Sentence);
        let heading = heading.filter(|heading| self.headings.get(*heading).ends.is_empty());
        self.cut(rest.start, heading.map(Some));
        let Some(heading) = heading else { return rest.start };
        if heading.behind < rest.end {
            self.cut(heading.behind, None);
        }
        heading.behind
    }

    fn sentences(self) -> Vec<Sentence> {
        let ends = self.cuts.iter().skip(1).map(|cut| cut.at).chain([self.note.words.len()]);
        let words: Vec<Range<usize>> = self.cuts.iter().zip(ends).map(|(cut, end)| cut.at..end).collect();
        let mut section = None;
        let sentence = |(cut, of): (&Cut, &Range<usize>)| {
            section = cut.section.unwrap_or(section);
            Sentence { words: of.clone(), section, lead: cut.lead.map(|lead| words[lead].clone()) }
        };
        self.cuts.iter().zip(&words).map(sentence).collect()
    }
}

/// Whether what is called as a section, alone on its line behind the mark of a list, is an item of this: `2. Allergies`, but
/// neither `ALLERGIES` nor `## Allergies`.
fn is_named_item(note: &Note<'_>, mark: usize, heading: Section) -> bool {
    let words = &note.words;
    let is_markdown = words.folded(mark).starts_with('#') && !words.get(mark).is_word;
    let is_alone = heading.behind == heading.end;
    let is_capitals = !(heading.first..heading.end).any(|word| words.raw(word).contains(char::is_lowercase));
    is_alone && !is_markdown && !is_capitals
}

/// Whether a box is ticked for yes or no, and so belongs to the question before it.
fn is_answer_of_box(note: &Note<'_>, behind: Range<usize>) -> bool {
    !behind.is_empty() && matches!(note.words.folded(behind.start), "yes" | "no" | "y" | "n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lexicon;

    /// The sentences of a text, a line each, with their section before them.
    fn check(text: &str, expected: &[&str]) {
        let headings = Headings::new(Lexicon::shipped().headings);
        let note = Note::of(text, &[]);
        let characters: Vec<char> = text.chars().collect();
        let show = |sentence: &Sentence| {
            let Range { start, end } = sentence.words;
            let (start, end) = (note.words.get(start).points.start, note.words.get(end - 1).points.end);
            let words: String = characters[start as usize..end as usize].iter().collect();
            let section = sentence.section.map_or("", |section| headings.get(section).section.as_str());
            format!("{section}|{}", words.replace('\n', "/"))
        };
        let found: Vec<String> = sentences(&note, &headings).iter().map(show).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn abbreviations_and_numbers_end_nothing() {
        check("Seen by Dr. Smith. No fever.", &["|Seen by Dr. Smith.", "|No fever."]);
        check("ASA 81 mg q.d. for CAD, b.i.d. Denies pain.", &["|ASA 81 mg q.d. for CAD, b.i.d.", "|Denies pain."]);
        check("Rash vs. hives, e.g. Urticaria.", &["|Rash vs. hives, e.g. Urticaria."]);
        check("Lab No. 5 is 2.5 mg. Fever? No. Cough? Yes.", &["|Lab No. 5 is 2.5 mg.", "|Fever? No.", "|Cough? Yes."]);
        check("E. coli grew. Pt. is well.", &["|E. coli grew.", "|Pt. is well."]);
        check("(No fever.) Cough.", &["|(No fever.)", "|Cough."]);
    }

    #[test]
    fn careless_stops_end_sentences() {
        check("no fever. cough. denies pain", &["|no fever.", "|cough.", "|denies pain"]);
        check("No wheezing.Cough persists.", &["|No wheezing.", "|Cough persists."]);
        check("No distress !\nTachypnea", &["|No distress !", "|Tachypnea"]);
    }

    #[test]
    fn wrapped_lines_go_on() {
        check("Denies fever, chills or\ncough.", &["|Denies fever, chills or/cough."]);
        check("no fever, nausea\nor cough", &["|no fever, nausea/or cough"]);
        check("The patient was seen today and has\nno fever.", &["|The patient was seen today and has/no fever."]);
        let wrapped =
            "The patient is a 70-year-old man who was seen in the clinic today and denies recent\nLyme disease.";
        check(wrapped, &[&format!("|{}", wrapped.replace('\n', "/"))]);
    }

    #[test]
    fn lines_that_were_not_wrapped_end() {
        check("no fever\nchills\ncough", &["|no fever", "|chills", "|cough"]);
        check("No fever\n\nHeadache", &["|No fever", "|Headache"]);
        check("Constitutional: no fever\nLungs: cough", &["|Constitutional: no fever", "|Lungs: cough"]);
    }

    #[test]
    fn items_of_lists_are_sentences() {
        check("- no fever\n- chills", &["|- no fever", "|- chills"]);
        check("1. No pain\n2. Edema\n(3) Gout", &["|1. No pain", "|2. Edema", "|(3) Gout"]);
        check("1) Bronchitis 2) Tobacco use", &["|1) Bronchitis", "|2) Tobacco use"]);
        check("[ ] fever  [x] cough", &["|[ ] fever", "|[x] cough"]);
        check(
            "Pain: [ ] Yes [x] No\n\u{2610} gout \u{2612} HTN",
            &["|Pain: [ ] Yes [x] No", "|\u{2610} gout", "|\u{2612} HTN"],
        );
    }

    #[test]
    fn sections_go_from_heading_to_heading() {
        check(
            "FAMILY HISTORY: gout.\n\nNone else.\nPlan:\n1. Rest",
            &[
                "family_history|FAMILY HISTORY:",
                "family_history|gout.",
                "family_history|None else.",
                "plan|Plan:",
                "plan|1. Rest",
            ],
        );
        check(
            "Allergies\nSulfa\nMeds: none. SOCIAL HISTORY: lives alone.",
            &[
                "allergies|Allergies",
                "allergies|Sulfa",
                "medications|Meds:",
                "medications|none.",
                "social_history|SOCIAL HISTORY:",
                "social_history|lives alone.",
            ],
        );
        check("**Plan:** rest", &["plan|**Plan:", "plan|** rest"]);
        check("his plan: rest", &["|his plan: rest"]);
    }

    #[test]
    fn headings_that_are_not_known_end_sections() {
        check(
            "Allergies: sulfa\n\nTRAVEL: none\nno fever",
            &["allergies|Allergies:", "allergies|sulfa", "|TRAVEL: none", "|no fever"],
        );
        check(
            "PMH: gout\n\nCode status:\nFull",
            &["past_medical_history|PMH:", "past_medical_history|gout", "|Code status:", "|Full"],
        );
    }
}
