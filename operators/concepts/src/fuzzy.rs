//! Names that are nearly the words of an entity.
//!
//! The distance is the least number of letters to add, leave out, replace or swap with their neighbour (optimal string alignment), and
//! the score `1 - distance / letters of the name`. A name may be [`DISTANCE_MAX`] away, and no farther than the least score allows.
//!
//! Candidates come from pieces, as in Li et al., PASS-JOIN (PVLDB 5(3), 2011): of a name that may be `d` away, cut into `2 d + 1`
//! pieces, one piece at least is untouched, as a swap touches two and all else one, and stands in the entity's words at most so much
//! to the left or right as letters can have been left out or added before it. So a few dozen look-ups find all that can be near.
//!
//! What is near in letters may be far in meaning. Words that differ must be words, of four letters or more on either side and with the
//! same first letter, so that `type 1` never is `type 2`, `hepatitis A` never `hepatitis B`, `atypical` never `typical`; and of opposite
//! prefixes (`hyper`, `hypo`), parts of the body (`ureter`, `urethra`) and others that differ by a letter or two one never stands for
//! the other.

use crate::hashes::Hashes;
use crate::keys::Keys;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;

/// The farthest that a name may be.
pub(crate) const DISTANCE_MAX: usize = 2;

/// The least score that may be asked for: with less, names would be too short for their pieces.
pub(crate) const SCORE_MIN: f64 = 0.7;

/// Longer names are not looked for by letters.
const CHARACTERS_MAX: usize = 100;

/// Letters of words that differ, at the least.
const WORD_LETTERS_MIN: usize = 4;

/// Beginnings of words that turn the meaning of the rest round, or are those of other parts of the body or of other diseases,
/// one letter or two away: a name that has the other one is none of the entity, however near it is.
const OPPOSED: [(&str, &str); 18] = [
    ("hyper", "hypo"),
    ("inter", "intra"),
    ("inter", "infra"),
    ("intra", "infra"),
    ("macro", "micro"),
    ("ante", "anti"),
    ("abduct", "adduct"),
    ("arter", "arthr"),
    ("brachi", "branchi"),
    ("brachi", "bronchi"),
    ("branchi", "bronchi"),
    ("dysphag", "dysphas"),
    ("hypophosphatas", "hypophosphatem"),
    ("ile", "ili"),
    ("metacarp", "metatars"),
    ("perine", "perone"),
    ("prostat", "prostrat"),
    ("ureter", "urethr"),
];

/// The pieces of all names.
#[derive(Debug)]
pub(crate) struct Fuzzy {
    pieces: Hashes,
    score_min: f64,
}

/// Collects pieces.
#[derive(Debug)]
pub(crate) struct Builder {
    entries: Vec<(u32, u32)>,
    score_min: f64,
}

impl Builder {
    pub(crate) fn new(score_min: f64) -> Builder {
        Builder { entries: Vec::new(), score_min }
    }

    /// Adds a name in its loose form.
    pub(crate) fn add(&mut self, loose: &str, number: u32) {
        let letters: Vec<char> = loose.chars().collect();
        let budget = budget(letters.len(), self.score_min);
        if let Some(&first) = letters.first()
            && budget > 0
        {
            let entry = |(nth, at): (usize, Range<usize>)| (hash(letters.len(), nth, first, &letters[at]), number);
            self.entries.extend(pieces(letters.len(), budget).enumerate().map(entry));
        }
    }

    pub(crate) fn build(self) -> Fuzzy {
        Fuzzy { pieces: Hashes::new(self.entries), score_min: self.score_min }
    }
}

impl Fuzzy {
    /// The numbers of all names that can be near, each once, and of some others.
    pub(crate) fn candidates(&self, loose: &str) -> Vec<u32> {
        let letters: Vec<char> = loose.chars().collect();
        let mut found = Vec::new();
        let Some(&first) = letters.first().filter(|_| letters.len() <= CHARACTERS_MAX + DISTANCE_MAX) else {
            return found;
        };
        for length in letters.len().saturating_sub(DISTANCE_MAX)..=letters.len() + DISTANCE_MAX {
            let budget = budget(length, self.score_min);
            let longer = letters.len() as i64 - length as i64;
            if budget == 0 || longer.unsigned_abs() > budget as u64 {
                continue;
            }
            // Of the letters that were added less those that were left out, so many can stand before a piece that the rest can stand
            // behind it.
            let (least, most) = ((longer - budget as i64 + 1).div_euclid(2), (longer + budget as i64).div_euclid(2));
            for (nth, piece) in pieces(length, budget).enumerate() {
                for shift in least..=most {
                    let start = usize::try_from(piece.start as i64 + shift).ok();
                    if let Some(letters) = start.and_then(|start| letters.get(start..start + piece.len())) {
                        found.extend(self.pieces.of(hash(length, nth, first, letters)));
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The score of a name by its words; none where it is too far or means something else.
    pub(crate) fn score(&self, asked: &Keys, name: &[String]) -> Option<f64> {
        if !may_stand_for(&asked.words, name) {
            return None;
        }
        let loose = name.join(" ");
        let length = loose.chars().count();
        let distance = strsim::osa_distance(&asked.loose, &loose);
        (distance <= budget(length, self.score_min)).then(|| score(distance, length))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.pieces.bytes()
    }
}

fn score(distance: usize, length: usize) -> f64 {
    1.0 - distance as f64 / length as f64
}

/// How far a name of so many letters may be.
fn budget(length: usize, score_min: f64) -> usize {
    let is_allowed = |distance: &usize| score(*distance, length) >= score_min;
    let mut distances = (1..=DISTANCE_MAX).rev().filter(|_| (1..=CHARACTERS_MAX).contains(&length));
    distances.find(is_allowed).unwrap_or(0)
}

/// Where the pieces of a name stand.
fn pieces(length: usize, budget: usize) -> impl Iterator<Item = Range<usize>> {
    let count = 2 * budget + 1;
    (0..count).map(move |nth| nth * length / count..(nth + 1) * length / count)
}

/// The first letter stands in it too: it is never another one, and tells many names apart.
fn hash(length: usize, nth: usize, first: char, piece: &[char]) -> u32 {
    let mut hasher = DefaultHasher::new();
    hasher.write_usize(length);
    hasher.write_usize(nth);
    hasher.write_u32(first.into());
    piece.iter().for_each(|&letter| hasher.write_u32(letter.into()));
    hasher.finish() as u32
}

/// Whether nothing speaks against these words being a misspelling of those.
fn may_stand_for(asked: &[String], name: &[String]) -> bool {
    let same = asked.iter().zip(name).take_while(|(one, other)| one == other).count();
    let (asked, name) = (&asked[same..], &name[same..]);
    let same = asked.iter().rev().zip(name.iter().rev()).take_while(|(one, other)| one == other).count();
    let (asked, name) = (&asked[..asked.len() - same], &name[..name.len() - same]);
    let is_word = |word: &String| word.chars().count() >= WORD_LETTERS_MIN && word.chars().all(char::is_alphabetic);
    let begin_alike = |(one, other): (&String, &String)| one.chars().next() == other.chars().next();
    // Where a space was added or left out only the first words stand for each other.
    let pairs = if asked.len() == name.len() { asked.len() } else { 1 };
    !asked.is_empty()
        && !name.is_empty()
        && asked.iter().chain(name).all(is_word)
        && asked.iter().zip(name).take(pairs).all(begin_alike)
        && !asked.iter().any(|one| name.iter().any(|other| are_opposed(one, other)))
}

fn are_opposed(one: &str, other: &str) -> bool {
    let begin = |this: &str, that: &str| one.starts_with(this) && other.starts_with(that);
    OPPOSED.iter().any(|(this, that)| begin(this, that) || begin(that, this))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::loose_words;
    use proptest::prelude::*;
    use proptest::sample;

    /// An index of these names, and their words.
    fn index(names: &[String], score_min: f64) -> (Fuzzy, Vec<Vec<String>>) {
        let words: Vec<Vec<String>> = names.iter().map(|name| loose_words(name)).collect();
        let mut builder = Builder::new(score_min);
        (0..).zip(&words).for_each(|(number, words)| builder.add(&words.join(" "), number));
        (builder.build(), words)
    }

    /// What is found of one name, to four decimals.
    fn check(asked: &str, name: &str, expected: Option<&str>) {
        let (fuzzy, words) = index(&[name.to_owned()], 0.85);
        let asked = Keys::of(asked);
        let found = fuzzy.candidates(&asked.loose).first().and_then(|_| fuzzy.score(&asked, &words[0]));
        assert_eq!(found.map(|score| format!("{score:.4}")).as_deref(), expected, "{asked:?} {name}");
    }

    #[test]
    fn letters_are_added_left_out_replaced_and_swapped() {
        check("metforman", "metformin", Some("0.8889"));
        check("metfornin", "metformin", Some("0.8889"));
        check("metfomin", "metformin", Some("0.8889"));
        check("mettformin", "metformin", Some("0.8889"));
        check("metofrmin", "metformin", Some("0.8889"));
        check("hydroclorothiazid", "hydrochlorothiazide", Some("0.8947"));
        check("posttraumatic stress", "post traumatic stress", Some("0.9524"));
        check("metphormin", "metformin", None);
        check("lasiks", "lasix", None);
    }

    #[test]
    fn what_means_something_else_is_far() {
        check("type 1 diabetes mellitus", "type 2 diabetes mellitus", None);
        check("hepatitis A virus", "hepatitis B virus", None);
        check("hepatitis", "hepatitis B", None);
        check("atypical pneumonia", "typical pneumonia", None);
        check("hyperthyroidism", "hypothyroidism", None);
        check("macrocytic anemia", "microcytic anemia", None);
        check("dysphagia", "dysphasia", None);
        check("arteritis", "arthritis", None);
        check("ureteral stricture", "urethral stricture", None);
        check("metacarpal fracture", "metatarsal fracture", None);
        check("bronchial cyst", "branchial cyst", None);
        check("fracture of the ileum", "fracture of the ilium", None);
        check("arthritys", "arthritis", Some("0.8889"));
        check("hepatits A virus", "hepatitis A virus", Some("0.9412"));
    }

    /// A text after some edits.
    fn edited(text: &str, edits: &[(u8, usize, char)]) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        for &(kind, at, letter) in edits {
            let at = at % letters.len().max(1);
            match kind {
                0 => letters.insert(at, letter),
                1 if at < letters.len() => {
                    letters.remove(at);
                }
                2 if at < letters.len() => letters[at] = letter,
                _ if at + 1 < letters.len() => letters.swap(at, at + 1),
                _ => {}
            }
        }
        letters.into_iter().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn agrees_with_a_look_at_every_name(
            names in proptest::collection::vec("[ab][a-c]{3,8}( [a-c]{1,5}){0,3}", 1..20),
            picked in 0usize..20,
            edits in proptest::collection::vec((0u8..4, 0usize..40, sample::select(vec!['a', 'b', 'c', ' '])), 0..4),
            score_min in sample::select(vec![0.7, 0.8, 0.85, 0.9]),
        ) {
            let (fuzzy, words) = index(&names, score_min);
            let asked = Keys::of(&edited(&names[picked % names.len()], &edits));
            let near = |number: &u32| fuzzy.score(&asked, &words[*number as usize]).is_some();
            let found: Vec<u32> = fuzzy.candidates(&asked.loose).into_iter().filter(near).collect();
            // Beside the meaning, which has cases of its own, this is the definition.
            let is_near = |words: &Vec<String>| {
                let name = words.join(" ");
                let (distance, letters) = (strsim::osa_distance(&asked.loose, &name), name.chars().count());
                distance <= DISTANCE_MAX
                    && 1.0 - distance as f64 / letters as f64 >= score_min
                    && may_stand_for(&asked.words, words)
            };
            let expected: Vec<u32> = (0..).zip(&words).filter(|&(_, words)| is_near(words)).map(|(at, _)| at).collect();
            prop_assert_eq!(found, expected, "{:?} {:?}", asked, names);
        }
    }
}
