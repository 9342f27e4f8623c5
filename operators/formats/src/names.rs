//! The names of a record's values, as they stand in its JSON.

use stillroom_schemas::{Certainty, Experiencer, OffsetUnit, Temporality, Tier};

pub(crate) fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Affirmed => "affirmed",
        Certainty::Uncertain => "uncertain",
        Certainty::Negated => "negated",
    }
}

pub(crate) fn temporality(temporality: Temporality) -> &'static str {
    match temporality {
        Temporality::Recent => "recent",
        Temporality::Historical => "historical",
        Temporality::Hypothetical => "hypothetical",
    }
}

pub(crate) fn experiencer(experiencer: Experiencer) -> &'static str {
    match experiencer {
        Experiencer::Patient => "patient",
        Experiencer::Family => "family",
        Experiencer::Other => "other",
    }
}

pub(crate) fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Exact => "exact",
        Tier::Normalised => "normalised",
        Tier::Abbreviation => "abbreviation",
        Tier::Fuzzy => "fuzzy",
    }
}

pub(crate) fn offset_unit(unit: OffsetUnit) -> &'static str {
    match unit {
        OffsetUnit::CodePoint => "code_point",
        OffsetUnit::Byte => "byte",
        OffsetUnit::Utf16 => "utf16",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    fn check<T: Serialize + Copy>(name: impl Fn(T) -> &'static str, all: &[T]) {
        for value in all {
            assert_eq!(serde_json::to_value(value).unwrap(), name(*value));
        }
    }

    #[test]
    fn the_names_are_those_of_the_records() {
        check(certainty, &[Certainty::Affirmed, Certainty::Uncertain, Certainty::Negated]);
        check(temporality, &[Temporality::Recent, Temporality::Historical, Temporality::Hypothetical]);
        check(experiencer, &[Experiencer::Patient, Experiencer::Family, Experiencer::Other]);
        check(tier, &[Tier::Exact, Tier::Normalised, Tier::Abbreviation, Tier::Fuzzy]);
        check(offset_unit, &[OffsetUnit::CodePoint, OffsetUnit::Byte, OffsetUnit::Utf16]);
    }
}
