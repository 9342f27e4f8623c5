//! Whose notes students are measured by, and never learn from.

use sha2::{Digest, Sha256};

/// The patients who are held out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldOut {
    /// Their share of all patients, from 0 to 1.
    pub share: f64,
}

impl HeldOut {
    /// Whether a patient is held out: when the first 53 bits of the SHA-256 of the patient's id, as a fraction of 2^53,
    /// are below the share. Where no patient is known, or an empty id stands for that, the note's id takes its place.
    ///
    /// Nothing else counts, so all notes of a patient fall on one side, on every machine and in every run, and a
    /// greater share holds out the patients of a smaller one and more.
    ///
    /// ```
    /// use stillroom_dataflow::HeldOut;
    ///
    /// let (fifth, all) = (HeldOut { share: 0.2 }, HeldOut { share: 1.0 });
    /// let held_out = (0..1000).filter(|patient| fifth.is_held_out(Some(&patient.to_string()), "any note")).count();
    /// assert!((150..250).contains(&held_out), "{held_out}");
    /// assert!(all.is_held_out(None, "n1") && !HeldOut { share: 0.0 }.is_held_out(None, "n1"));
    /// ```
    pub fn is_held_out(&self, patient_id: Option<&str>, note_id: &str) -> bool {
        let whose = patient_id.filter(|patient_id| !patient_id.is_empty()).unwrap_or(note_id);
        let digest = Sha256::digest(whose.as_bytes());
        let leading = u64::from_be_bytes(std::array::from_fn(|byte| digest[byte]));
        // As many bits as a double holds exactly: the fraction is then below 1, and a share of 1 holds out everybody.
        let fraction = (leading >> 11) as f64 / (1u64 << 53) as f64;
        fraction < self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_is_on_one_side_whatever_the_note() {
        let half = HeldOut { share: 0.5 };
        for patient in (0..200).map(|number| format!("patient {number}")) {
            let of_notes: Vec<bool> = ["n1", "n2", ""].map(|note| half.is_held_out(Some(&patient), note)).into();
            assert!(of_notes.iter().all(|side| *side == of_notes[0]), "{patient}");
        }
        let mut sides = ["n1", "n2", "n3", "n4", "n5", "n6"].map(|note| half.is_held_out(None, note));
        let of_empty = ["n1", "n2", "n3", "n4", "n5", "n6"].map(|note| half.is_held_out(Some(""), note));
        assert_eq!(sides, of_empty, "an empty id is nobody's");
        sides.sort();
        assert_ne!(sides[0], sides[5], "without a patient the note decides");
    }

    #[test]
    fn a_greater_share_holds_out_the_same_patients_and_more() {
        let at = |share: f64, patient: &str| HeldOut { share }.is_held_out(Some(patient), "n1");
        let shares = [0.0, 0.1, 0.3, 0.7, 1.0];
        let mut counts = [0; 5];
        for patient in (0..2000).map(|number| number.to_string()) {
            let sides = shares.map(|share| at(share, &patient));
            assert!(sides.is_sorted(), "{patient}: {sides:?}");
            counts.iter_mut().zip(sides).for_each(|(count, side)| *count += usize::from(side));
        }
        assert_eq!((counts[0], counts[4]), (0, 2000));
        for (share, count) in shares.iter().zip(counts) {
            // Five standard deviations of a binomial count.
            let (mean, deviation) = (2000.0 * share, (2000.0 * share * (1.0 - share)).sqrt());
            assert!((count as f64 - mean).abs() <= 5.0 * deviation, "{count} at {share}");
        }
    }
}
