//! Training, on documents that a tiny BERT can learn by heart in seconds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use stillroom_schemas::{Span, Task, TaskSet};
use stillroom_student::{
    Corpus, DataFile, Device, Document, Manifest, Precision, Progress, Recipe, Student, StudentError, TrainConfig,
    calibrate, train,
};

const WORDS: [(Task, &[&str]); 3] = [
    (Task::Disease, &["asthma", "gout", "angina", "sepsis", "migraine"]),
    (Task::Medication, &["aspirin", "metformin", "heparin", "digoxin", "insulin"]),
    (Task::Symptom, &["fever", "cough", "nausea", "rash", "pain"]),
];

/// "the patient has <disease> and <symptom> , on <medication> today", in `count` mixtures. Every third document is annotated for
/// diseases alone, although the rest is there to be seen.
fn corpus(name: &str, first: usize, count: usize) -> Corpus {
    let document = |index: usize| {
        let word = |task: usize, by: usize| WORDS[task].1[index / by % 5];
        let (disease, medication, symptom) = (word(0, 1), word(1, 5), word(2, 3));
        let text = format!("the patient has {disease} and {symptom} , on {medication} today");
        let tasks = if index % 3 == 2 { TaskSet::from([Task::Disease]) } else { TaskSet::from(Task::ALL) };
        let span = |task: Task, word: &str| {
            let start = text.find(word).unwrap() as u32;
            Span { task, start, end: start + word.len() as u32 }
        };
        let all = [span(Task::Disease, disease), span(Task::Medication, medication), span(Task::Symptom, symptom)];
        let spans = all.into_iter().filter(|span| tasks.contains(&span.task)).collect();
        Document { id: index.to_string(), text, tasks, spans }
    };
    let file = DataFile { name: name.into(), hash: name.into(), documents: count };
    Corpus { file, documents: (first..first + count).map(document).collect() }
}

fn config(out: PathBuf) -> TrainConfig {
    TrainConfig {
        base: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny"),
        out,
        name: "tiny".into(),
        command: "test".into(),
        tasks: Task::ALL.to_vec(),
        recipe: Recipe {
            learning_rate: 3e-3,
            head_rate_factor: 1.0,
            batch: 8,
            weight_decay: 0.01,
            epochs: 12,
            linear_decay: true,
            gradient_norm_max: 1.0,
            seed: 7,
            freeze: 0,
            layer_decay: None,
            average: None,
            dropout: None,
        },
        patience: 12,
        dev_documents_max: 100,
        threads: 1,
    }
}

fn run(config: &TrainConfig, mut observe: impl FnMut(&Progress)) -> Result<Manifest, StudentError> {
    train(config, &[corpus("train", 0, 90)], &[corpus("dev", 90, 30)], &mut |progress| observe(&progress))
}

#[test]
fn a_student_learns_and_an_interrupted_run_ends_where_a_whole_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let whole = config(folder.path().join("whole"));
    let mut losses = Vec::new();
    let manifest = run(&whole, |progress| {
        if let Progress::Step { loss, .. } = progress {
            losses.push(*loss);
        }
    });
    let manifest = manifest.unwrap();
    let pass = losses.len() / whole.recipe.epochs;
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (first, last) = (mean(&losses[..pass]), mean(&losses[losses.len() - pass..]));
    assert!(last < first / 4.0, "the mean loss of a pass went from {first} to {last}");
    for (task, counts) in &manifest.dev_counts["dev"] {
        assert!(counts.f1() > 0.9, "{task:?} {counts:?}");
    }
    assert_eq!(manifest.dev_counts["dev"].len(), 3);
    assert_eq!(manifest.calibration.keys().copied().collect::<Vec<_>>(), Task::ALL, "each task has its temperature");

    let broken = config(folder.path().join("broken"));
    let killed = catch_unwind(AssertUnwindSafe(|| {
        run(&broken, |progress| assert!(!matches!(progress, Progress::Epoch { epoch: 2, .. }), "killed"))
    }));
    assert!(killed.is_err());
    let resumed = run(&broken, |_| {}).unwrap();
    assert_eq!(resumed, Manifest { command: resumed.command.clone(), ..manifest });
    assert!(!broken.out.join("checkpoint").exists());

    let mut other = config(folder.path().join("other"));
    let killed = catch_unwind(AssertUnwindSafe(|| run(&other, |_| panic!("killed"))));
    assert!(killed.is_err());
    other.recipe.seed = 8;
    assert!(run(&other, |_| {}).unwrap_err().to_string().contains("another recipe"));
}

/// Documents in every third of which everything is marked as a disease but the disease.
fn contradicted(mut corpus: Corpus) -> Corpus {
    for document in corpus.documents.iter_mut().step_by(3) {
        let end = document.text.len() as u32;
        let around = |span: Span| match span.task {
            Task::Disease => {
                vec![Span { start: 0, end: span.start - 1, ..span }, Span { start: span.end, end, ..span }]
            }
            _ => vec![span],
        };
        document.spans = document.spans.drain(..).flat_map(around).collect();
    }
    corpus
}

#[test]
fn a_student_that_is_too_sure_is_calibrated_and_serves_what_its_manifest_says() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path().join("student"));
    let trained = run(&config, |_| {}).unwrap();
    let dev = [contradicted(corpus("own", 90, 40))];
    let calibrated = calibrate(&config.out, &dev, 2).unwrap();
    let of = &calibrated.calibration[&Task::Disease];
    assert!(of.temperature > 2.0 * trained.calibration[&Task::Disease].temperature, "{of:?}");
    assert!(of.ece_tagged < of.ece_tagged_uncalibrated / 2.0, "{of:?}");
    assert_eq!(calibrated.dev[0].name, "own");
    assert_eq!(calibrated, calibrate(&config.out, &dev, 1).unwrap(), "calibrating starts from the network itself");

    let student = Student::load(&config.out).unwrap();
    assert_eq!(student.manifest().unwrap().thresholds, calibrated.thresholds);
    let text = student.tokenizer().tokenize(&dev[0].documents[0].text).unwrap();
    let of_disease = [Precision::Int8, Precision::F32].map(|precision| {
        let mut taggers = Student::taggers(std::slice::from_ref(&student), Device::Cpu(precision), 1).unwrap();
        let words = taggers[0].tag(&[&text.windows[0]]).unwrap().remove(0);
        words.iter().map(|row| row[Task::Disease.index()]).fold(0.0, f32::max)
    });
    assert!(
        of_disease.iter().all(|it| (0.6..0.85).contains(it)),
        "two in three are diseases, and it says {of_disease:?}"
    );

    let refused = calibrate(&config.out, &[corpus("diseases", 92, 1)], 1).unwrap_err().to_string();
    assert!(refused.contains("annotated for medication"), "{refused}");
    let foreign = calibrate(&config.base, &dev, 1).unwrap_err().to_string();
    assert!(foreign.contains("manifest.json cannot be used: there is none"), "{foreign}");
}

#[test]
fn what_cannot_be_a_student_is_refused_by_name() {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny");
    let folder = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let to = folder.path().join(name);
        std::fs::create_dir_all(&to).unwrap();
        for file in ["config.json", "vocab.txt", "model.safetensors"] {
            std::fs::copy(tiny.join(file), to.join(file)).unwrap();
        }
        to
    };
    let message = |folder: &Path| {
        let loaded = Student::load(folder).and_then(|student| Student::taggers(&[student], Device::default(), 1));
        loaded.err().unwrap().to_string()
    };
    let edit = |folder: &Path, from: &str, to: &str| {
        let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
        assert!(config.contains(from));
        std::fs::write(folder.join("config.json"), config.replace(from, to)).unwrap();
    };

    let more_layers = copy("more_layers");
    edit(&more_layers, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    assert!(message(&more_layers).contains("encoder.layer.2"), "{}", message(&more_layers));
    let tanh = copy("tanh");
    edit(&tanh, "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"gelu_new\"");
    assert!(message(&tanh).contains("gelu_new"));
    let nameless = copy("nameless");
    edit(&nameless, "I-symptom\"\n", "LABEL_5\"\n");
    assert!(message(&nameless).contains("id2label must be pairs"));
    let damaged = copy("damaged");
    std::fs::write(damaged.join("model.safetensors"), b"{}").unwrap();
    assert!(message(&damaged).contains("not safetensors"));
    let bare = copy("bare");
    std::fs::remove_file(bare.join("vocab.txt")).unwrap();
    assert!(message(&bare).contains("must hold tokenizer.json or vocab.txt"));

    let students = [Student::load(&tiny).unwrap(), Student::load(&copy("twin")).unwrap()];
    let twice = Student::taggers(&students, Device::default(), 1).err().unwrap().to_string();
    assert!(twice.contains("has a head for disease, too"), "{twice}");
}
