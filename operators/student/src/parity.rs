//! Agreement with the reference implementation, Hugging Face's transformers on PyTorch.

use crate::Student;
use crate::bert::Packed;
use crate::dropout::Dropout;
use burn::backend::Flex;
use serde::Deserialize;
use std::path::Path;

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

/// `model` is a student's folder; `logits.json` in `reference` holds texts with their word pieces and the reference's logits.
fn check(model: &str, reference: &str) {
    let at = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let student = Student::load(&at(model)).unwrap();
    let reference: Reference = crate::files::read_json(&at(reference).join("logits.json")).unwrap();
    let device = Default::default();
    let network = student.network::<Flex>(&device).unwrap();
    let logits = |texts: &[&[u32]]| {
        let packed = Packed::new(texts.iter().copied());
        network.forward(&packed, &device, &Dropout::none()).into_data().into_vec::<f32>().unwrap()
    };
    let mut alone = Vec::new();
    for case in &reference.cases {
        let tokenized = student.tokenizer().tokenize(&case.text).unwrap();
        assert_eq!(tokenized.windows[0].ids, case.ids, "word pieces of {:?}", case.text);
        let ours = logits(&[&case.ids]);
        let worst = ours
            .iter()
            .zip(case.logits.iter().flatten())
            .map(|(ours, theirs)| (ours - theirs).abs())
            .fold(0.0, f32::max);
        assert_eq!(ours.len(), case.logits.len() * case.logits[0].len());
        assert!(worst < 1e-4, "logits of {:?} differ by up to {worst}", case.text);
        alone.extend(ours);
    }
    let texts: Vec<&[u32]> = reference.cases.iter().map(|case| case.ids.as_slice()).collect();
    assert_eq!(logits(&texts), alone, "a batch is not the same as its texts one by one");
}

#[test]
fn logits_of_random_weights_are_those_of_the_reference() {
    check("tests/tiny", "tests/tiny");
}

#[test]
fn logits_of_the_student_in_models_are_those_of_the_reference() {
    check("../../models/stillroom-minilm-l6", "tests/default");
}
