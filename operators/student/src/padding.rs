//! Padding never changes a label: the padded path, as a GPU runs it, beside the packed one, on Flex.

use crate::bert::Packed;
use crate::bert::padded::{AttentionKind, Padded, PaddedBert, Pass};
use crate::dropout::Dropout;
use crate::padded_tagger::PaddedTagger;
use crate::shapes::{Launch, Shapes};
use crate::{Device, GpuConfig, Precision, Student};
use burn::backend::Flex;
use burn::tensor::FloatDType;
use proptest::prelude::*;
use std::path::Path;
use std::sync::LazyLock;
use stillroom_dataflow::{Probabilities, Tagger, WINDOW_PIECES_MAX, Window};
use stillroom_schemas::Task;

fn student(folder: &str) -> Student {
    Student::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap()
}

static TINY: LazyLock<Student> = LazyLock::new(|| student("tests/tiny"));

/// A window of `length` random word pieces, each of them a word.
fn window(length: usize, vocabulary: usize) -> impl Strategy<Value = Window> {
    proptest::collection::vec(0..vocabulary as u32, length).prop_map(|ids| Window {
        words: 0..ids.len(),
        pieces: (0..=ids.len() as u16).collect(),
        ids,
    })
}

/// Windows of any mix of lengths, with long ones, short ones and the limits among them.
fn windows() -> impl Strategy<Value = Vec<Window>> {
    let length = prop_oneof![1..=WINDOW_PIECES_MAX, 1..20usize, Just(64), Just(65), Just(WINDOW_PIECES_MAX)];
    let vocabulary = TINY.tokenizer().vocabulary_size();
    proptest::collection::vec(length.prop_flat_map(move |length| window(length, vocabulary)), 1..10)
}

/// The log odds of class I of each window, `[pieces, tasks]`, by the packed network.
fn packed(student: &Student, windows: &[Window]) -> Vec<Vec<f32>> {
    let device = Default::default();
    let network = student.network::<Flex>(&device).unwrap();
    let logits = |window: &Window| {
        let texts = Packed::new([window.ids.as_slice()]);
        let logits = network.forward(&texts, &device, &Dropout::none()).into_data().into_vec::<f32>().unwrap();
        logits.as_chunks::<2>().0.iter().map(|[outside, inside]| inside - outside).collect()
    };
    windows.iter().map(logits).collect()
}

/// The same by the padded one, in the shapes of `shapes`.
pub(crate) fn padded(
    student: &Student,
    windows: &[Window],
    shapes: &Shapes,
    (precision, attention): (FloatDType, AttentionKind),
) -> Vec<Vec<f32>> {
    let (device, tasks) = (Default::default(), student.tasks().len());
    let network = PaddedBert::new(&student.network::<Flex>(&device).unwrap(), tasks, precision);
    let mut all = vec![Vec::new(); windows.len()];
    let lengths: Vec<usize> = windows.iter().map(|window| window.ids.len()).collect();
    for Launch { shape, windows: of_launch } in shapes.plan(&lengths) {
        // What is behind a text's end is a piece that is in no text, so that reading it would show.
        let mut ids = vec![1; shape.pieces()];
        let mut rows = vec![1; shape.rows];
        for (row, &window) in of_launch.iter().enumerate() {
            rows[row] = lengths[window] as i32;
            for (at, &id) in windows[window].ids.iter().enumerate() {
                ids[row * shape.length + at] = id as i32;
            }
        }
        let texts = Padded::new(shape, ids, rows, &device);
        let said = network.log_odds(&texts, Pass::inference(attention)).into_data().into_vec::<f32>().unwrap();
        for (row, &window) in of_launch.iter().enumerate() {
            let start = row * shape.length * tasks;
            all[window] = said[start..start + lengths[window] * tasks].to_vec();
        }
    }
    all
}

/// The largest difference of two logits.
fn apart(one: &[Vec<f32>], other: &[Vec<f32>]) -> f32 {
    assert_eq!(one.iter().map(Vec::len).collect::<Vec<_>>(), other.iter().map(Vec::len).collect::<Vec<_>>());
    let pairs = one.iter().flatten().zip(other.iter().flatten());
    pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

fn config(precision: Precision, pieces_max: usize, fused_attention: bool) -> GpuConfig {
    GpuConfig { indices: Vec::new(), precision, pieces_max, fused_attention }
}

fn tag(student: &Student, device: Device, windows: &[Window]) -> Vec<Probabilities> {
    let mut tagger = Student::taggers(std::slice::from_ref(student), device, 1).unwrap().remove(0);
    tagger.tag(&windows.iter().collect::<Vec<_>>()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn padding_never_changes_a_label(windows in windows(), pieces_max in 1usize..5000) {
        let (packed, shapes) = (packed(&TINY, &windows), Shapes::new(pieces_max));
        for attention in [AttentionKind::Fused, AttentionKind::Plain] {
            let padded = padded(&TINY, &windows, &shapes, (FloatDType::F32, attention));
            let apart = apart(&packed, &padded);
            prop_assert!(apart <= 1e-4, "{attention:?} differs by {apart}");
            let differs = |(one, other): (&f32, &f32)| (*one > 0.0) != (*other > 0.0) && one.abs() > 1e-4;
            prop_assert!(!packed.iter().flatten().zip(padded.iter().flatten()).any(differs));
        }
    }

    /// A window's log odds are the same alone, in a batch, and in a batch in another order, but for the rounding of sums that a product
    /// of another number of rows may add up in another order.
    #[test]
    fn a_batch_is_its_windows_one_by_one(windows in windows(), seed in any::<u64>()) {
        let shapes = Shapes::new(WINDOW_PIECES_MAX);
        let exact = (FloatDType::F32, AttentionKind::Fused);
        let together = padded(&TINY, &windows, &shapes, exact);
        let alone: Vec<Vec<f32>> =
            windows.iter().map(|window| padded(&TINY, std::slice::from_ref(window), &shapes, exact).remove(0)).collect();
        let apart_alone = apart(&together, &alone);
        prop_assert!(apart_alone <= 1e-5, "a batch differs by {apart_alone}");
        let mut order: Vec<usize> = (0..windows.len()).collect();
        order.sort_by_key(|&at| (at as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let shuffled: Vec<Window> = order.iter().map(|&at| windows[at].clone()).collect();
        let shuffled = padded(&TINY, &shuffled, &shapes, exact);
        let expected: Vec<Vec<f32>> = order.iter().map(|&at| together[at].clone()).collect();
        let apart_shuffled = apart(&shuffled, &expected);
        prop_assert!(apart_shuffled <= 1e-5, "another order differs by {apart_shuffled}");
    }
}

/// Windows of a text, as the tokenizer cuts it.
fn windows_of(student: &Student, text: &str) -> Vec<Window> {
    student.tokenizer().tokenize(text).unwrap().windows
}

const NOTE: &str = "Mr. Alder is a 71 y/o man with type 2 diabetes mellitus, hypertension and COPD who presents with three days of \
                    worsening shortness of breath, productive cough and fever. He denies chest pain. Home medications: metformin \
                    1000 mg BID, lisinopril 20 mg daily, tiotropium inhaler, albuterol PRN. ";

/// Half precision moves a probability by rounding, and hardly any tag: `f16` has 11 bits of mantissa and `bf16` 8, in products that
/// are summed in `f32`.
#[test]
fn half_precision_hardly_moves_what_the_student_in_models_says() {
    let (student, shapes) = (student("../../models/stillroom-minilm-l6"), Shapes::new(512));
    let windows = windows_of(&student, &NOTE.repeat(5));
    let probability = |log_odds: &f32| 1.0 / (1.0 + (-log_odds).exp());
    let exact = packed(&student, &windows).concat();
    for (precision, attention, mean_max, changed_max) in [
        (FloatDType::F32, AttentionKind::Fused, 1e-5, 0),
        (FloatDType::F32, AttentionKind::Plain, 1e-5, 0),
        (FloatDType::F16, AttentionKind::Fused, 3e-4, 1),
        (FloatDType::BF16, AttentionKind::Fused, 2e-3, 4),
        (FloatDType::BF16, AttentionKind::Plain, 2e-3, 4),
    ] {
        let said = padded(&student, &windows, &shapes, (precision, attention)).concat();
        assert_eq!(said.len(), exact.len());
        let pairs = || said.iter().zip(&exact);
        let off = pairs().map(|(one, other)| (probability(one) - probability(other)).abs());
        let mean = off.sum::<f32>() / said.len() as f32;
        let changed = pairs().filter(|(one, other)| (**one > 0.0) != (**other > 0.0)).count();
        let about = format!("{precision:?} {attention:?}: off by {mean}, {changed} of {} tags change", said.len());
        assert!(mean <= mean_max && changed <= changed_max, "{about}");
        // What is asked for is what is computed with: rounding to fewer bits shows.
        assert!(precision == FloatDType::F32 || mean > 1e-6, "{about}");
    }
}

#[test]
fn taggers_of_one_device_answer_alike_and_from_several_threads() {
    let texts: Vec<Vec<Window>> = (1..9).map(|times| windows_of(&TINY, &NOTE.repeat(times))).collect();
    let taggers = |precision, fused| {
        let device = Device::Padded(config(precision, 1024, fused));
        Student::taggers(std::slice::from_ref(&TINY), device, 1).unwrap()
    };
    let all = [(Precision::F32, true, 1e-4), (Precision::F32, false, 1e-4), (Precision::Auto, true, 0.1)];
    let all = all.into_iter().flat_map(|(precision, fused, off_max)| {
        let taggers = taggers(precision, fused);
        assert_eq!(taggers.len(), 2);
        taggers.into_iter().map(move |tagger| (tagger, off_max))
    });
    let all: Vec<_> = all.collect();
    let exact: Vec<Vec<Probabilities>> =
        texts.iter().map(|windows| tag(&TINY, Device::Cpu(Precision::F32), windows)).collect();
    assert_alike(all, &texts, &exact);
}

/// That taggers, each on a thread of its own, say of each of `texts` what is `exact`, but for the difference that each may have.
fn assert_alike(taggers: Vec<(Box<dyn Tagger>, f32)>, texts: &[Vec<Window>], exact: &[Vec<Probabilities>]) {
    std::thread::scope(|scope| {
        for (mut tagger, off_max) in taggers {
            scope.spawn(move || {
                assert_eq!(tagger.model(), TINY.model());
                for (windows, exact) in texts.iter().zip(exact) {
                    let said = tagger.tag(&windows.iter().collect::<Vec<_>>()).unwrap().concat();
                    let exact = exact.concat();
                    assert_eq!(said.len(), exact.len());
                    let off = said.iter().flatten().zip(exact.iter().flatten()).map(|(one, other)| (one - other).abs());
                    let off = off.fold(0.0, f32::max);
                    assert!(off <= off_max, "off by {off}");
                }
            });
        }
    });
}

#[test]
fn taggers_of_two_devices_answer_as_those_of_one() {
    let texts: Vec<Vec<Window>> = (1..9).map(|times| windows_of(&TINY, &NOTE.repeat(times))).collect();
    let taggers = |names: &[&str]| {
        let devices = names.iter().map(|name| ((*name).to_owned(), Default::default())).collect();
        let students = std::slice::from_ref(&*TINY);
        PaddedTagger::<Flex>::start(students, devices, &config(Precision::F32, 1024, true)).unwrap()
    };
    let mut one = taggers(&["first"]).remove(0);
    let of_one: Vec<Vec<Probabilities>> =
        texts.iter().map(|windows| one.tag(&windows.iter().collect::<Vec<_>>()).unwrap()).collect();
    let two = taggers(&["first", "second"]);
    assert_eq!(two.len(), 4, "two taggers a device");
    assert_alike(two.into_iter().map(|tagger| (tagger, 1e-5)).collect(), &texts, &of_one);
}

#[test]
fn what_a_gpu_cannot_do_is_refused() {
    let taggers = |device| Student::taggers(std::slice::from_ref(&TINY), device, 1);
    let refused = taggers(Device::Padded(config(Precision::Int8, 1024, true))).err().unwrap().to_string();
    assert!(refused.contains("int8 is a precision of processors"), "{refused}");
    let mut tagger = taggers(Device::Padded(config(Precision::F32, 1, true))).unwrap().remove(0);
    assert_eq!(tagger.tag(&[]).unwrap(), Vec::<Probabilities>::new());
    let long = Window { ids: vec![5; WINDOW_PIECES_MAX + 1], words: 0..1, pieces: vec![1, 2] };
    let refused = tagger.tag(&[&long]).unwrap_err().to_string();
    assert!(refused.contains("513 word pieces"), "{refused}");
    let fitting = Window { ids: vec![5; 3], words: 0..1, pieces: vec![1, 2] };
    assert_eq!(tagger.tag(&[&fitting]).unwrap()[0][0].len(), Task::ALL.len());
}

#[cfg(feature = "cuda")]
#[test]
fn a_gpu_says_what_the_processor_says() {
    if let Err(missing) = crate::gpus(&[]) {
        eprintln!("skipped, as no GPU can be used here: {missing}");
        return;
    }
    let student = student("../../models/stillroom-minilm-l6");
    let windows = windows_of(&student, &NOTE.repeat(20));
    let exact = tag(&student, Device::Cpu(Precision::F32), &windows).concat();
    for (precision, mean_max) in [(Precision::F32, 1e-3), (Precision::F16, 2e-3), (Precision::Bf16, 5e-3)] {
        for fused in [true, false] {
            let said = tag(&student, Device::Cuda(config(precision, 2048, fused)), &windows).concat();
            assert_eq!(said.len(), exact.len());
            let off = said.iter().flatten().zip(exact.iter().flatten()).map(|(one, other)| (one - other).abs());
            let mean = off.sum::<f32>() / (said.len() * Task::ALL.len()) as f32;
            assert!(mean <= mean_max, "{precision}, fused {fused}: off by {mean} on average");
        }
    }
}
