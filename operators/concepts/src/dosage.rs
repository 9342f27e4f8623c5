//! What stands beside a medication of how it is to be taken.
//!
//! In flow a text and where a medication stands in it, out flow the words of dose, strength, form, route, frequency and duration. They are
//! looked for behind the medication, as far as words are those of a prescription: up to the end of the sentence, to the next
//! medication, or to a word that says something else. Before it they are taken where they lead to it: `40 mg of`, `given 1 g IV`.
//! What its own words end with of these (`Lipitor 20 mg`) is read as what stands behind it. The first of each kind
//! counts. What is written of a dose that changes (`from 10 to 20 mg`) is what it changes to; of one that tapers what it begins with.

mod amounts;
mod fillers;
mod manner;
mod parts;
mod tail;
mod tokens;

pub(crate) use tail::bare;

use crate::words::SALTS;
use fillers::{FILLER_SIGNS, FILLERS, LEADS};
use parts::{Amount, Measure, Part, amount, frequency, is_sign, is_word, modifier, part, route};
use std::ops::Range;
use stillroom_schemas::{Dosage, Span, Stated};
use tail::tail;
use tokens::{Kind, Token, tokens};

/// Characters behind a medication that are looked at.
const BEHIND_MAX: usize = 300;

/// Characters before a medication that are looked at.
const BEFORE_MAX: usize = 60;

/// Words in a row that say nothing of the dosage.
const FILLERS_MAX: usize = 6;

/// Tokens of another name in brackets behind a medication: `lisinopril (Zestril)`.
const ALIAS_TOKENS_MAX: usize = 8;

/// Tokens of an amount or a route before a medication.
const PART_TOKENS_MAX: usize = 8;

/// What stands beside a medication, or at the end of its own words, of how it is to be taken, in code points; none where nothing does.
/// `next` is where the next medication begins, if there is one.
///
/// Numbers with units of mass are the strength, a second one the dose, as are counted forms, units of effect and volumes.
///
/// ```
/// use stillroom_schemas::{Span, Task};
///
/// let medication = Span { task: Task::Medication, start: 0, end: 9 };
/// let dosage = stillroom_concepts::dosage("metformin 500 mg PO BID", &medication, None).unwrap();
/// assert_eq!(dosage.strength.unwrap().text, "500 mg");
/// assert_eq!((dosage.route.unwrap().text, dosage.frequency.unwrap().start), ("PO".to_owned(), 20));
/// ```
pub fn dosage(text: &str, medication: &Span, next: Option<u32>) -> Option<Dosage> {
    let (start, end) = (medication.start as usize, medication.end as usize);
    let words: Vec<char> = text.chars().skip(start).take(end.saturating_sub(start)).collect();
    // What the words of the medication end with is read with what stands behind them.
    let own = tail(&words).map_or(0, |name| words.len() - name);
    let base = end - own;
    let mut behind: Vec<char> = text.chars().skip(base).take(own + BEHIND_MAX).collect();
    let room = next.and_then(|next| (next as usize).checked_sub(end)).map(|room| own + room);
    let room = room.filter(|room| *room < behind.len());
    // In brackets stands another name of the same medication.
    let room = room.filter(|room| !behind[own..*room].iter().filter(|it| !it.is_whitespace()).eq(&['(']));
    behind.truncate(room.unwrap_or(behind.len()));
    let mut dosage = Dosage::default();
    let mut behind = Side { own, ..Side::new(behind, base) };
    let sentence = behind.tokens.iter().position(|token| token.kind == Kind::End);
    behind.tokens.truncate(sentence.unwrap_or(behind.tokens.len()));
    behind.read_behind(room.is_some() && sentence.is_none(), &mut dosage);
    let from = start.saturating_sub(BEFORE_MAX);
    let before: Vec<char> = text.chars().skip(from).take(start - from).collect();
    // A line of its own is an item of its own.
    let line = before.iter().rposition(|character| *character == '\n').map_or(0, |end| end + 1);
    let mut before = Side::new(before[line..].to_vec(), from + line);
    if let Some(end) = before.tokens.iter().rposition(|token| token.kind == Kind::End) {
        before.tokens.drain(..=end);
    }
    before.read_before(&mut dosage);
    (dosage != Dosage::default()).then_some(dosage)
}

/// The text on one side of a medication.
struct Side {
    text: Vec<char>,
    /// Where it begins in the whole text.
    base: usize,
    /// Characters at its beginning that belong to the medication's own words.
    own: usize,
    tokens: Vec<Token>,
}

impl Side {
    fn new(text: Vec<char>, base: usize) -> Side {
        Side { tokens: tokens(&text), text, base, own: 0 }
    }

    /// The words under some tokens.
    fn stated(&self, of: Range<usize>) -> Stated {
        let (start, end) = (self.tokens[of.start].start, self.tokens[of.end - 1].end);
        let text = self.text[start..end].iter().collect();
        Stated { start: (self.base + start) as u32, end: (self.base + end) as u32, text }
    }

    /// Whether some tokens begin a line that goes on to the end of the text.
    fn begin_last_line(&self, of: Range<usize>) -> bool {
        let from = of.start.checked_sub(1).map_or(0, |before| self.tokens[before].end);
        let begins_line = self.text[from..self.tokens[of.start].start].contains(&'\n');
        begins_line && !self.text[self.tokens[of.end - 1].end..].contains(&'\n')
    }

    /// Takes an amount that begins at a token, as what it can still be.
    fn take(&self, at: usize, amount: &Amount, dosage: &mut Dosage) {
        let place = match amount.measure {
            Measure::Mass if dosage.strength.is_some() => &mut dosage.dose,
            Measure::Mass | Measure::Content => &mut dosage.strength,
            Measure::Taken => &mut dosage.dose,
        };
        first(place, || self.stated(at..amount.end));
        if let Some(form) = &amount.form {
            first(&mut dosage.form, || self.stated(form.clone()));
        }
    }

    /// Reads what stands behind a medication; `is_next` says that another one is where the tokens end.
    fn read_behind(&self, is_next: bool, dosage: &mut Dosage) {
        let tokens = &self.tokens;
        let mut at = after_alias(tokens);
        let (mut last, mut fillers, mut often) = (at, 0, None::<Range<usize>>);
        while at < tokens.len() {
            if let Some(part) = part(tokens, at) {
                let of = at..part.end();
                let is_own = tokens[of.end - 1].end <= self.own;
                let is_apart = || at != last || self.begin_last_line(of.clone());
                if is_next && !is_own && is_of_next(tokens, is_apart(), &part) {
                    break;
                }
                // A second mass behind how often or how long is what comes later, and not the dose beside the strength.
                let is_told = often.is_some() || dosage.duration.is_some();
                if is_told && dosage.strength.is_some() && is_mass(&part) {
                    break;
                }
                match &part {
                    Part::Amount(amount) => self.take(at, amount, dosage),
                    Part::Form(_) => first(&mut dosage.form, || self.stated(of)),
                    Part::Route(_) => first(&mut dosage.route, || self.stated(of)),
                    Part::Duration(_) => first(&mut dosage.duration, || self.stated(of)),
                    Part::Frequency(_) => often = Some(together(tokens, often, of)),
                }
                (at, last, fillers) = (part.end(), part.end(), 0);
            } else if let Some(end) = filler(tokens, at, last, often.as_ref()).filter(|_| fillers < FILLERS_MAX) {
                (at, fillers) = (end, fillers + 1);
            } else {
                break;
            }
        }
        dosage.frequency = often.map(|often| self.stated(often));
    }

    /// Reads what leads to a medication, as far as nothing is known from behind it.
    fn read_before(&self, dosage: &mut Dosage) {
        let tokens = &self.tokens;
        let is_known = dosage.strength.is_some() || dosage.dose.is_some();
        let begins = |end: usize, run: &dyn Fn(usize) -> Option<usize>| {
            (end.saturating_sub(PART_TOKENS_MAX)..end).find(|&at| run(at) == Some(end))
        };
        let amount_end = |at: usize| amount(tokens, at).map(|amount| amount.end);
        let is_of = tokens.last().is_some_and(|token| token.text == "of");
        let end = tokens.len() - usize::from(is_of);
        let way = if is_of { None } else { begins(end, &|at: usize| route(tokens, at)) };
        let from = way.unwrap_or(end);
        // Where it begins the line, behind a mark of a list or not, or a word leads to it.
        let begins_line = |at: usize| at == 0 || (at == 1 && is_sign(tokens, 0, &["-", "*"]));
        let is_led = |at: usize| is_word(tokens, at - 1, LEADS) || is_sign(tokens, at - 1, &[":"]);
        let leads = |at: &usize| is_of || begins_line(*at) || is_led(*at);
        let much = begins(from, &amount_end).filter(leads);
        if let Some(at) = much
            && let Some(amount) = amount(tokens, at)
            && (is_of || !is_known)
        {
            self.take(at, &amount, dosage);
        }
        let is_apart = || begins(from, &|at: usize| part(tokens, at).map(|part| part.end())).is_none();
        if let Some(at) = way
            && (much.is_some() || is_apart())
        {
            first(&mut dosage.route, || self.stated(at..end));
        }
    }
}

fn is_mass(part: &Part) -> bool {
    matches!(part, Part::Amount(Amount { measure: Measure::Mass, .. }))
}

/// The first of a kind counts.
fn first(place: &mut Option<Stated>, stated: impl FnOnce() -> Stated) {
    if place.is_none() {
        *place = Some(stated());
    }
}

/// Where the tokens go on behind another name in brackets.
fn after_alias(tokens: &[Token]) -> usize {
    let end = (1..=ALIAS_TOKENS_MAX).find(|&at| is_sign(tokens, at, &[")"])).filter(|_| is_sign(tokens, 0, &["("]));
    match end {
        Some(end) if !(1..end).any(|at| part(tokens, at).is_some()) => end + 1,
        _ => 0,
    }
}

/// Whether a part leads to the next medication: nothing stands between them, and it is apart from what is before it.
fn is_of_next(tokens: &[Token], is_apart: bool, part: &Part) -> bool {
    let rest = &tokens[part.end()..];
    let is_of = rest.len() == 1 && rest[0].text == "of";
    matches!(part, Part::Amount(_) | Part::Route(_)) && (is_of || (rest.is_empty() && is_apart))
}

/// A frequency with one that follows it: `q6h as needed`, `daily (at bedtime)`. One that stands apart is left out.
fn together(tokens: &[Token], before: Option<Range<usize>>, next: Range<usize>) -> Range<usize> {
    let Some(before) = before else { return next };
    let joins = |at: usize| is_sign(tokens, at, &[",", "(", ")", "/", "-"]) || is_word(tokens, at, &["and", "or"]);
    if !(before.end..next.start).all(joins) {
        return before;
    }
    let count = |sign: &str, of: Range<usize>| of.filter(|&at| is_sign(tokens, at, &[sign])).count();
    let both = before.start..next.end;
    let (opening, closing) = (count("(", both.clone()), count(")", both.clone()));
    match opening.checked_sub(closing) {
        Some(0) => both,
        Some(1) if is_sign(tokens, next.end, &[")"]) => both.start..both.end + 1,
        _ => before,
    }
}

/// Passes over a token or more that say nothing of the dosage; `last` is where the last part ended.
fn filler(tokens: &[Token], at: usize, last: usize, often: Option<&Range<usize>>) -> Option<usize> {
    match () {
        () if is_sign(tokens, at, FILLER_SIGNS) => Some(at + 1),
        // How many are dispensed.
        () if is_sign(tokens, at, &["#"]) && tokens.get(at + 1).is_some_and(|token| token.kind == Kind::Number) => {
            Some(at + 2)
        }
        () if is_word(tokens, at, FILLERS) || is_word(tokens, at, &SALTS) => Some(at + 1),
        () if is_word(tokens, at, &["from"]) => amount(tokens, at + 1).map(|amount| amount.end),
        () if is_word(tokens, at, &["and", "or"]) => {
            let is_frequency = often.is_some_and(|often| often.end == last) && frequency(tokens, at + 1).is_some();
            (is_frequency && at == last).then_some(at + 1)
        }
        () => modifier(tokens, at),
    }
}
