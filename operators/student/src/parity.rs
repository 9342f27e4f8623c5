//! Agreement with the reference implementation, Hugging Face's transformers on PyTorch, and of 8 bits with `f32`.

use crate::bert::padded::{DropoutRates, Padded, PaddedBert, Shape, padded_length};
use crate::{Device, Precision, Student};
use burn::backend::Flex;
use burn::tensor::FloatDType;
use serde::Deserialize;
use std::path::Path;
use stillroom_encoder::{Kernel, Scratch};

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

/// `model` is a student's folder; `logits.json` in `reference` holds texts with their word pieces and the reference's logits, which 8
/// bits move by up to `moved`: with random weights by some 3 % of the largest, as weights are rounded to 8 bits then.
fn check(model: &str, reference: &str, moved: f32) {
    let at = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let student = Student::load(&at(model)).unwrap();
    let reference: Reference = crate::files::read_json(&at(reference).join("logits.json")).unwrap();
    for case in &reference.cases {
        let tokenized = student.tokenizer().tokenize(&case.text).unwrap();
        assert_eq!(tokenized.windows[0].ids, case.ids, "{model}: word pieces of {:?}", case.text);
    }
    let texts: Vec<&[u32]> = reference.cases.iter().map(|case| case.ids.as_slice()).collect();
    for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::Int8, moved)] {
        let alone: Vec<Vec<f32>> =
            texts.iter().map(|text| student.logits(&[text], precision).unwrap().remove(0)).collect();
        assert_near(&format!("{model} in {precision}"), &alone, &reference.cases, tolerance);
        let together = student.logits(&texts, precision).unwrap();
        assert_eq!(together, alone, "{model} in {precision}: a batch is not the same as its texts one by one");
    }
    for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
        let (encoder, mut scratch) = (student.encoder().unwrap().with_kernel(kernel), Scratch::default());
        let ours: Vec<Vec<f32>> =
            texts.iter().map(|text| encoder.logits(text, &mut scratch).unwrap().to_vec()).collect();
        assert_near(&format!("{model} by {kernel:?}"), &ours, &reference.cases, moved);
    }
    check_padded(model, &student, &reference.cases);
}

/// That logits of each text are those of the reference.
fn assert_near(about: &str, ours: &[Vec<f32>], cases: &[Case], tolerance: f32) {
    for (ours, case) in ours.iter().zip(cases) {
        assert_eq!(ours.len(), case.logits.len() * case.logits[0].len(), "{about}");
        let differences = ours.iter().zip(case.logits.iter().flatten()).map(|(ours, theirs)| (ours - theirs).abs());
        let worst = differences.fold(0.0, f32::max);
        assert!(worst < tolerance, "{about}: logits of {:?} differ by up to {worst}", case.text);
    }
}

/// That the log odds of class I, padded as in training on a GPU, are those of the reference but for the rounding to the bits of a
/// precision: 11 of a mantissa in `f16` and 8 in `bf16`, over up to six layers, of log odds of up to 11.
fn check_padded(model: &str, student: &Student, cases: &[Case]) {
    let (device, tasks) = (Default::default(), student.tasks().len());
    let network = student.network::<Flex>(&device).unwrap();
    for (precision, tolerance) in [(FloatDType::F32, 2e-4), (FloatDType::F16, 0.06), (FloatDType::BF16, 0.4)] {
        let network = PaddedBert::new(&network, tasks, precision);
        for case in cases {
            let shape = Shape { rows: 1, length: padded_length(case.ids.len()) };
            let mut ids: Vec<i32> = case.ids.iter().map(|&id| id as i32).collect();
            // What is behind a text's end is a piece that is in no text, so that reading it would show.
            ids.resize(shape.pieces(), 1);
            let texts = Padded::new(shape, ids, vec![case.ids.len() as i32], &device);
            let ours = network.log_odds(&texts, DropoutRates::default()).into_data().into_vec::<f32>().unwrap();
            let of_piece = |logits: &Vec<f32>| -> Vec<f32> {
                logits.as_chunks::<2>().0.iter().map(|[outside, inside]| inside - outside).collect()
            };
            let theirs: Vec<f32> = case.logits.iter().flat_map(of_piece).collect();
            let worst = ours.iter().zip(&theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max);
            assert!(
                worst < tolerance,
                "{model}, padded, in {precision:?}: log odds of {:?} differ by up to {worst}",
                case.text
            );
        }
    }
}

#[test]
fn logits_of_random_weights_are_those_of_the_reference() {
    check("tests/tiny", "tests/tiny", 0.2);
}

#[test]
fn logits_of_the_student_in_models_are_those_of_the_reference() {
    check("../../models/stillroom-minilm-l6", "tests/default", 0.1);
}

/// Of every layout that bases are published in; `tests/bases/make.py` says which is which.
#[test]
fn logits_of_every_layout_are_those_of_the_reference() {
    for layout in ["prefixed", "bare", "cased", "distilbert", "archive", "legacy"] {
        let folder = format!("tests/bases/{layout}");
        check(&folder, &folder, 0.2);
    }
}

#[test]
fn a_text_longer_than_the_positions_is_refused() {
    let student = Student::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny")).unwrap();
    let long = vec![0u32; 513];
    for precision in [Precision::F32, Precision::Int8] {
        let refused = student.logits(&[&long[..2], &long], precision).unwrap_err().to_string();
        assert!(refused.contains("a text has 513 word pieces, and it has 512 positions; cut the text"), "{refused}");
        student.logits(&[&long[1..]], precision).unwrap();
    }
}

/// Texts in the manner of notes, made up, of one to several windows.
const NOTES: [&str; 6] = [
    "Mr. Alder is a 71 y/o man with type 2 diabetes mellitus, hypertension and COPD who presents with three days of worsening \
     shortness of breath, productive cough and fever to 38.9. He denies chest pain. Home medications: metformin 1000 mg BID, \
     lisinopril 20 mg daily, tiotropium inhaler, albuterol PRN.",
    "ASSESSMENT/PLAN: 1) community-acquired pneumonia - ceftriaxone and azithromycin, day 2/5; 2) acute on chronic kidney injury, \
     likely prerenal - hold lisinopril, gentle fluids; 3) a-fib w/ RVR - rate controlled on metoprolol, continue apixaban.",
    "Pt c/o severe headache, photophobia & nausea since last night. No neck stiffness. Mother had migraine. Given sumatriptan \
     6 mg SC and ondansetron with relief of symptoms.",
    "Carbamazepine-induced Stevens-Johnson syndrome was suspected after the rash, oral ulcers and malaise began on day 12; the \
     drug was stopped and prednisolone started. Hepatitis resolved within three weeks.",
    "Discharge diagnosis: NSTEMI s/p PCI to LAD. Aspirin 81 mg, ticagrelor 90 mg bid, atorvastatin 80 mg qhs. Return for chest \
     pain, dizziness, syncope, bleeding or black stools.",
    "Follow-up in clinic. No complaints.",
];

/// What a student's taggers of a precision say of each word of a text.
fn probabilities(student: &Student, precision: Precision, text: &str) -> Vec<[f32; 3]> {
    let mut tagger = Student::taggers(std::slice::from_ref(student), Device::Cpu(precision), 1).unwrap().remove(0);
    let windows = student.tokenizer().tokenize(text).unwrap().windows;
    tagger.tag(&windows.iter().collect::<Vec<_>>()).unwrap().concat()
}

/// The weights are the same 8 bits in both, so that only activations are rounded, each by up to 1/8190 of its token's range. Over
/// six layers that comes to some hundredths of a logit at worst, and a probability moves by up to a quarter of it.
#[test]
fn eight_bits_hardly_move_what_the_student_in_models_says() {
    let student =
        Student::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/stillroom-minilm-l6")).unwrap();
    let thresholds = student.thresholds();
    let (mut words, mut changed, mut sum, mut worst) = (0, 0, 0.0, 0f32);
    let long = NOTES.join(" ").repeat(4);
    for text in NOTES.into_iter().chain([long.as_str()]) {
        let [exact, ours] = [Precision::F32, Precision::Int8].map(|precision| probabilities(&student, precision, text));
        assert_eq!(ours.len(), exact.len());
        for (ours, exact) in ours.iter().zip(&exact) {
            words += 1;
            for task in 0..thresholds.len() {
                let difference = (ours[task] - exact[task]).abs();
                (sum, worst) = (sum + difference, worst.max(difference));
                changed += usize::from((ours[task] >= thresholds[task]) != (exact[task] >= thresholds[task]));
            }
        }
    }
    let mean = sum / (words * thresholds.len()) as f32;
    let about = format!("of {words} words {changed} tags change; probabilities are off by {mean}, at most {worst}");
    assert!(words > 1000 && mean < 0.0003 && worst < 0.02 && changed * 1000 <= words, "{about}");
}
