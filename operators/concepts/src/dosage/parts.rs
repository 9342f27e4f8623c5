//! What a run of tokens says of how a medication is to be taken. Each function here tells where the run that begins at a token ends.

use super::amounts::{COUNTED, FORM_MODIFIERS, FORMS, MASSES, MICROGRAMS, NUMBERS, PER_AMOUNT, SCALES, UNITS, VOLUMES};
use super::manner::{
    DAYS, DURATIONS, EVERY, FOR_FILLERS, FREQUENCIES, HOURS, MINUTES, MORE, ONCE_OR_TWICE, PAST, PERIODS, Q_WORDS,
    ROUTES,
};
use super::tokens::{Kind, Token};
use std::ops::Range;

/// Amounts that a mass may be given per, one after the other.
const PER_MAX: usize = 3;

/// What an amount measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// A mass: `500 mg`.
    Mass,
    /// What is in something: `10 mg/5 mL`, `2 %`.
    Content,
    /// What is taken: `2 tablets`, `20 units`, `5 mL`, `15 mg/kg`.
    Taken,
}

/// An amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) end: usize,
    pub(super) measure: Measure,
    /// Where it counts a form.
    pub(super) form: Option<Range<usize>>,
}

/// A part of a prescription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Amount(Amount),
    Form(usize),
    Route(usize),
    Frequency(usize),
    Duration(usize),
}

impl Part {
    /// One past the last token.
    pub(super) fn end(&self) -> usize {
        match self {
            Part::Amount(amount) => amount.end,
            Part::Form(end) | Part::Route(end) | Part::Frequency(end) | Part::Duration(end) => *end,
        }
    }
}

/// The part that begins at a token. Spans of time go before frequencies, and these before amounts: `x 3 days`, `x 3`, `3 tablets`.
pub(super) fn part(tokens: &[Token], at: usize) -> Option<Part> {
    duration(tokens, at)
        .map(Part::Duration)
        .or_else(|| frequency(tokens, at).map(Part::Frequency))
        .or_else(|| amount(tokens, at).map(Part::Amount))
        .or_else(|| form(tokens, at).map(Part::Form))
        .or_else(|| route(tokens, at).map(Part::Route))
        .or_else(|| bare_number(tokens, at))
}

pub(super) fn is_word(tokens: &[Token], at: usize, words: &[&str]) -> bool {
    tokens.get(at).is_some_and(|token| token.kind == Kind::Word && words.contains(&token.text.as_str()))
}

pub(super) fn is_sign(tokens: &[Token], at: usize, signs: &[&str]) -> bool {
    tokens.get(at).is_some_and(|token| token.kind == Kind::Sign && signs.contains(&token.text.as_str()))
}

const HALVES_OF_DAYS: &[&str] = &["am", "pm"];

const DASHES: &[&str] = &["-", "\u{2010}", "\u{2011}", "\u{2013}", "\u{2014}"];

/// Passes over what may stand between the words of a phrase.
fn after_dash(tokens: &[Token], at: usize) -> usize {
    if is_sign(tokens, at, DASHES) { at + 1 } else { at }
}

fn phrase(tokens: &[Token], at: usize, phrase: &str) -> Option<usize> {
    let mut end = at;
    for word in phrase.split(' ') {
        let next = if end > at { after_dash(tokens, end) } else { end };
        if tokens.get(next)?.text != word {
            return None;
        }
        end = next + 1;
    }
    Some(end)
}

/// The longest of these phrases.
fn longest(tokens: &[Token], at: usize, phrases: &[&str]) -> Option<usize> {
    phrases.iter().filter_map(|words| phrase(tokens, at, words)).max()
}

/// A number, once more in brackets where it is written twice: `one (1)`.
fn one_number(tokens: &[Token], at: usize) -> Option<usize> {
    let is_number = |at: usize| tokens.get(at).is_some_and(|token| token.kind == Kind::Number);
    let end = if is_number(at) { at + 1 } else { longest(tokens, at, NUMBERS)? };
    let again = |at: usize| if is_number(at) { Some(at + 1) } else { longest(tokens, at, NUMBERS) };
    match again(end + 1).filter(|_| is_sign(tokens, end, &["("])) {
        Some(closing) if is_sign(tokens, closing, &[")"]) => Some(closing + 1),
        _ => Some(end),
    }
}

/// A number or a range of them.
fn number(tokens: &[Token], at: usize) -> Option<usize> {
    let end = one_number(tokens, at)?;
    let is_range = is_sign(tokens, end, DASHES) || is_word(tokens, end, &["to", "or"]);
    Some(if is_range { one_number(tokens, end + 1).unwrap_or(end) } else { end })
}

/// A number that is taken: no unit follows, but how.
fn bare_number(tokens: &[Token], at: usize) -> Option<Part> {
    let end = number(tokens, at)?;
    // A number with two bars is a date.
    let is_date = tokens[at..end].iter().any(|token| token.text.matches('/').count() > 1);
    let is_time_of_day = is_word(tokens, end, HALVES_OF_DAYS);
    let is_taken = !is_time_of_day && (route(tokens, end).is_some() || frequency(tokens, end).is_some());
    (is_taken && !is_date).then_some(Part::Amount(Amount { end, measure: Measure::Taken, form: None }))
}

/// What a mass is given per.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Per {
    Amount,
    Hour,
    /// A day or a minute, a kilogram or a square metre of body.
    Taken,
}

fn per(tokens: &[Token], at: usize) -> Option<(usize, Per)> {
    if !is_sign(tokens, at, &["/"]) && !is_word(tokens, at, &["per"]) {
        return None;
    }
    let unit = one_number(tokens, at + 1).unwrap_or(at + 1);
    match () {
        () if is_word(tokens, unit, &["kg"]) => Some((unit + 1, Per::Taken)),
        // A square metre: the letter and the number are two tokens.
        () if is_word(tokens, unit, &["m"]) && tokens.get(unit + 1).is_some_and(|token| token.text == "2") => {
            Some((unit + 2, Per::Taken))
        }
        () if is_word(tokens, unit, HOURS) => Some((unit + 1, Per::Hour)),
        () if is_word(tokens, unit, MINUTES) || is_word(tokens, unit, DAYS) => Some((unit + 1, Per::Taken)),
        () if is_word(tokens, unit, PER_AMOUNT) => Some((unit + 1, Per::Amount)),
        () => None,
    }
}

/// All that a unit is given per: where it ends, and what the whole measures, `base` where it is alone.
fn pers(tokens: &[Token], at: usize, base: Measure) -> (usize, Measure) {
    let (mut end, mut all) = (at, Vec::new());
    while let Some((next, kind)) = per(tokens, end).filter(|_| all.len() < PER_MAX) {
        all.push(kind);
        end = next;
    }
    // A patch is named by what it gives in an hour; a dose a kilogram, `15 mg/kg/dose`, is taken.
    let is_patch = at > 0 && is_word(tokens, at - 1, MICROGRAMS) && all == [Per::Hour];
    let measure = match () {
        () if all.is_empty() => base,
        () if is_patch || all.iter().all(|kind| *kind == Per::Amount) => Measure::Content,
        () => Measure::Taken,
    };
    (end, measure)
}

/// A number and what it counts.
pub(super) fn amount(tokens: &[Token], at: usize) -> Option<Amount> {
    let end = number(tokens, at)?;
    let end = if is_word(tokens, end, SCALES) { end + 1 } else { end };
    let unit = after_dash(tokens, end);
    let measured = |end: usize, measure: Measure| Some(Amount { end, measure, form: None });
    if let Some(end) = form(tokens, unit) {
        return Some(Amount { end, measure: Measure::Taken, form: Some(unit..end) });
    }
    match () {
        () if is_word(tokens, unit, MASSES) => {
            let (mut end, measure) = pers(tokens, unit + 1, Measure::Mass);
            // The masses of several ingredients: `5 mg-325 mg`.
            while is_sign(tokens, end, DASHES) || is_sign(tokens, end, &["/"]) {
                match number(tokens, end + 1) {
                    Some(next) if is_word(tokens, next, MASSES) => end = next + 1,
                    _ => break,
                }
            }
            measured(end, measure)
        }
        () if is_sign(tokens, unit, &["%"]) || is_word(tokens, unit, &["percent"]) => {
            measured(unit + 1, Measure::Content)
        }
        () => {
            let after = longest(tokens, unit, UNITS).or_else(|| longest(tokens, unit, VOLUMES));
            let after = after.or_else(|| longest(tokens, unit, COUNTED))?;
            let (end, measure) = pers(tokens, after, Measure::Taken);
            measured(end, measure)
        }
    }
}

fn modifiers(tokens: &[Token], at: usize) -> usize {
    let mut end = at;
    while let Some(next) = modifier(tokens, if end > at { after_dash(tokens, end) } else { at }) {
        end = next;
    }
    end
}

/// A form with what modifies it: `extended-release tablet`, `Tablet, Chewable`.
fn form(tokens: &[Token], at: usize) -> Option<usize> {
    let mut end = longest(tokens, modifiers(tokens, at), FORMS)?;
    // `tablet(s)`
    if is_sign(tokens, end, &["("]) && is_word(tokens, end + 1, &["s"]) && is_sign(tokens, end + 2, &[")"]) {
        end += 3;
    }
    let modified = modifiers(tokens, end + 1);
    Some(if is_sign(tokens, end, &[","]) && modified > end + 1 { modified } else { end })
}

/// A modifier of a form that is not there: `metoprolol ER 50 mg`.
pub(super) fn modifier(tokens: &[Token], at: usize) -> Option<usize> {
    longest(tokens, at, FORM_MODIFIERS)
}

pub(super) fn route(tokens: &[Token], at: usize) -> Option<usize> {
    longest(tokens, at, ROUTES)
}

/// How often.
pub(super) fn frequency(tokens: &[Token], at: usize) -> Option<usize> {
    let named = longest(tokens, at, FREQUENCIES);
    let told = [named, every(tokens, at), times(tokens, at), repeats(tokens, at), clock(tokens, at)];
    told.into_iter().flatten().max()
}

/// `at 8 am`, `at 8:00 pm`.
fn clock(tokens: &[Token], at: usize) -> Option<usize> {
    let hour = number(tokens, at + 1).filter(|_| is_word(tokens, at, &["at"]))?;
    let end = if is_sign(tokens, hour, &[":"]) { hour + 2 } else { hour };
    is_word(tokens, end, HALVES_OF_DAYS).then_some(end + 1)
}

fn is_time(tokens: &[Token], at: usize) -> bool {
    [HOURS, MINUTES, DAYS].iter().any(|units| is_word(tokens, at, units))
}

/// A number and a unit of time.
fn time(tokens: &[Token], at: usize) -> Option<usize> {
    let unit = after_dash(tokens, number(tokens, at)?);
    is_time(tokens, unit).then_some(unit + 1)
}

/// `q8h`, `every 4 to 6 hours`, `every other day`.
fn every(tokens: &[Token], at: usize) -> Option<usize> {
    if is_word(tokens, at, &["q"]) {
        return time(tokens, at + 1).or_else(|| longest(tokens, at + 1, Q_WORDS));
    }
    let is_every = is_word(tokens, at, &["every", "each"]);
    let other = if is_word(tokens, at + 1, &["other", "second", "third"]) { at + 2 } else { at + 1 };
    let named = || longest(tokens, other, EVERY);
    is_every.then(|| time(tokens, at + 1).or_else(named))?
}

/// `3 times a day`, `3 days a week`, `twice daily`, `2x/week`, `once every 2 weeks`, `/day`.
fn times(tokens: &[Token], at: usize) -> Option<usize> {
    let is_period = |at: usize| is_word(tokens, at, PERIODS);
    if is_sign(tokens, at, &["/"]) && is_period(at + 1) && !is_word(tokens, at + 1, &["daily", "nightly", "weekly"]) {
        return Some(at + 2);
    }
    let end = match number(tokens, at) {
        _ if is_word(tokens, at, ONCE_OR_TWICE) => at + 1,
        Some(end) if is_word(tokens, end, &["times", "time", "x", "days"]) => end + 1,
        _ => return None,
    };
    if let Some(end) = every(tokens, end) {
        return Some(end);
    }
    let joined = is_word(tokens, end, &["a", "an", "per"]) || is_sign(tokens, end, &["/", "-"]);
    let period = if joined { end + 1 } else { end };
    is_period(period).then_some(period + 1)
}

fn is_times(tokens: &[Token], at: usize) -> bool {
    is_word(tokens, at, &["x"]) || is_sign(tokens, at, &["\u{d7}"])
}

/// `x 2`.
fn repeats(tokens: &[Token], at: usize) -> Option<usize> {
    number(tokens, at + 1).filter(|_| is_times(tokens, at))
}

/// For how long.
fn duration(tokens: &[Token], at: usize) -> Option<usize> {
    let named = longest(tokens, at, DURATIONS);
    named.or_else(|| told_duration(tokens, at)).or_else(|| plain_duration(tokens, at))
}

/// `for 7 days`, `x 3 doses`, `for the next two weeks`, `for a month`, `over 30 minutes`.
fn told_duration(tokens: &[Token], at: usize) -> Option<usize> {
    if !is_times(tokens, at) && !is_word(tokens, at, &["for", "over"]) {
        return None;
    }
    let mut from = at + 1;
    while is_word(tokens, from, FOR_FILLERS) {
        from += 1;
    }
    if from > at + 1 && is_time(tokens, from) {
        return Some(from + 1);
    }
    let unit = after_dash(tokens, after_more(tokens, number(tokens, from)?));
    (is_time(tokens, unit) || is_word(tokens, unit, &["dose", "doses"])).then_some(unit + 1)
}

fn after_more(tokens: &[Token], at: usize) -> usize {
    if is_word(tokens, at, MORE) { at + 1 } else { at }
}

/// `7-day course`, `5 days`: neither hours, which are said of how often, nor days that have passed.
fn plain_duration(tokens: &[Token], at: usize) -> Option<usize> {
    let unit = after_dash(tokens, after_more(tokens, number(tokens, at)?));
    let end = if is_word(tokens, unit + 1, &["course"]) { unit + 2 } else { unit + 1 };
    let is_often = is_word(tokens, end, &["a", "per", "each"]) || is_sign(tokens, end, &["/"]);
    (is_word(tokens, unit, DAYS) && !is_often && !is_word(tokens, end, PAST)).then_some(end)
}
