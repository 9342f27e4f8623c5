//! What is known of words: singular and plural, salts, and which letters abbreviate which.
//!
//! The teacher that looks for names in texts and the index that looks up names share these, so that one finds what the other knows.

/// Salts that a drug's name may end with.
pub const SALTS: [&str; 26] = [
    "acetate",
    "besylate",
    "bromide",
    "calcium",
    "chloride",
    "citrate",
    "dihydrate",
    "dihydrochloride",
    "disodium",
    "fumarate",
    "gluconate",
    "hemihydrate",
    "hydrobromide",
    "hydrochloride",
    "lactate",
    "maleate",
    "mesylate",
    "monohydrate",
    "nitrate",
    "phosphate",
    "potassium",
    "sodium",
    "succinate",
    "sulfate",
    "tartrate",
    "tosylate",
];

fn is_word(word: &str) -> bool {
    word.chars().count() > 1 && word.chars().all(char::is_alphabetic)
}

fn ends(word: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| word.ends_with(ending))
}

/// What `word`, in lower case, may be the plural of; none where it does not look like one.
pub fn singular(word: &str) -> Option<String> {
    let stem = |count: usize| &word[..word.len() - count];
    match () {
        () if !is_word(word) => None,
        () if word.len() > 4 && word.ends_with("ies") => Some(format!("{}y", stem(3))),
        () if word.len() > 4 && ends(word, &["sses", "xes", "zes", "ches", "shes"]) && !word.ends_with("aches") => {
            Some(stem(2).to_owned())
        }
        () if word.len() > 3 && word.ends_with('s') && !ends(word, &["ss", "us", "is"]) => Some(stem(1).to_owned()),
        () => None,
    }
}

/// The plurals that `word`, a singular in lower case, may have.
pub fn plurals(word: &str) -> Vec<String> {
    if !is_word(word) {
        return Vec::new();
    }
    let stem = |count: usize| &word[..word.len() - count];
    let mut plurals = match () {
        () if word.ends_with('y') && !ends(word, &["ay", "ey", "oy", "uy"]) => vec![format!("{}ies", stem(1))],
        () if ends(word, &["s", "x", "z", "ch", "sh"]) => vec![format!("{word}es")],
        () => vec![format!("{word}s")],
    };
    if word.ends_with("sis") {
        plurals.push(format!("{}es", stem(2)));
    }
    if word.ends_with("oma") {
        plurals.push(format!("{word}ta"));
    }
    plurals
}

/// Whether `short` may stand for the words whose letters these are: they begin with its first letter and have the others in their
/// order (Schwartz and Hearst, 2003). Both in lower case.
pub fn abbreviates(short: &str, mut letters: impl Iterator<Item = char>) -> bool {
    let mut short = short.chars();
    short.next() == letters.next() && short.all(|wanted| letters.any(|letter| letter == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singulars_of_plurals_alone() {
        let check = |word: &str, expected: Option<&str>| assert_eq!(singular(word).as_deref(), expected, "{word}");
        check("allergies", Some("allergy"));
        check("abscesses", Some("abscess"));
        check("headaches", Some("headache"));
        check("rashes", Some("rash"));
        check("tablets", Some("tablet"));
        check("virus", None);
        check("stress", None);
        check("arthritis", None);
        check("gas", None);
        check("b12s", None);
    }

    #[test]
    fn a_plural_leads_back() {
        for word in ["allergy", "abscess", "headache", "rash", "tablet", "reflex", "kidney"] {
            assert!(plurals(word).iter().any(|plural| singular(plural).as_deref() == Some(word)), "{word}");
        }
        assert_eq!(plurals("metastasis"), ["metastasises", "metastases"]);
        assert_eq!(plurals("lipoma"), ["lipomas", "lipomata"]);
        assert!(plurals("7").is_empty());
    }

    #[test]
    fn abbreviations_have_the_letters_in_order() {
        let check = |short: &str, long: &str| abbreviates(short, long.chars());
        assert!(check("copd", "chronic obstructive pulmonary disease"));
        assert!(check("t2dm", "type 2 diabetes mellitus"));
        assert!(!check("copd", "obstructive pulmonary disease"));
        assert!(!check("htn", "high pressure"));
    }
}
