//! Training, on documents that a tiny BERT can learn by heart in seconds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use stillroom_dataflow::SoftSpans;
use stillroom_schemas::{Span, Task, TaskSet};
use stillroom_student::{
    Corpus, DataFile, Device, Distillation, Document, GpuConfig, Manifest, Precision, Progress, Recipe, Student,
    StudentError, TrainConfig, calibrate, train,
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
        Document { id: index.to_string(), text, tasks, spans, soft: SoftSpans::new() }
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
            soft_temperature: None,
            distillation: None,
        },
        patience: 12,
        dev_documents_max: 100,
        teachers: Vec::new(),
        threads: 1,
        device: Device::default(),
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
    // As a run leaves it that was killed while it removed its checkpoint.
    std::fs::create_dir(broken.out.join("checkpoint.done")).unwrap();
    std::fs::write(broken.out.join("checkpoint.done/state.json"), "").unwrap();
    let state = std::fs::read(broken.out.join("checkpoint/state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    let resumed = run(&broken, |_| {}).unwrap();
    assert_eq!(resumed, Manifest { command: resumed.command.clone(), took: resumed.took, ..manifest });
    let ([whole_took, took], so_far) = ([manifest.took, resumed.took].map(Option::unwrap), &state["so_far"]);
    assert!(so_far["tokens"].as_u64().unwrap() > 0 && so_far["seconds"].as_f64().unwrap() > 0.0, "{so_far}");
    assert!(took.seconds > so_far["seconds"].as_f64().unwrap(), "what was before the kill counts: {took:?} {so_far}");
    assert!([whole_took, took].iter().all(|took| took.tokens_per_second.unwrap() > 0.0), "{whole_took:?} {took:?}");
    let left = ["checkpoint", "checkpoint.done"].map(|name| broken.out.join(name).exists());
    assert_eq!(left, [false; 2]);

    let mut other = config(folder.path().join("other"));
    let killed = catch_unwind(AssertUnwindSafe(|| run(&other, |_| panic!("killed"))));
    assert!(killed.is_err());
    let refused = |other: &TrainConfig| run(other, |_| {}).unwrap_err().to_string();
    let foreign = "it was made by another version of stillroom; remove it to begin anew";
    std::fs::write(other.out.join("checkpoint/state.json"), "{}").unwrap();
    assert!(refused(&other).contains(foreign), "{}", refused(&other));
    other.recipe.seed = 8;
    assert!(refused(&other).contains("another recipe"));
    std::fs::write(other.out.join("checkpoint/run.json"), "{}").unwrap();
    assert!(refused(&other).contains(foreign), "{}", refused(&other));
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
    assert_eq!(student.manifest(), Some(&calibrated));
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

/// The path of a GPU, on the processor: padded batches, products in half precision. Without dropout: the backend's generator is one for
/// all threads, so that what is dropped would depend on the tests beside this one.
#[test]
fn a_student_learns_as_on_a_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let gpu = GpuConfig { precision: Precision::Bf16, pieces_max: 1024, ..GpuConfig::default() };
    let mut config = TrainConfig { device: Device::Padded(gpu), ..config(folder.path().join("student")) };
    config.recipe.dropout = Some(0.0);
    let manifest = run(&config, |_| {}).unwrap();
    assert!(manifest.dev_f1_by_epoch.iter().any(|f1| *f1 > 0.8), "between passes: {:?}", manifest.dev_f1_by_epoch);
    assert_eq!(manifest.dev_counts["dev"].len(), 3);
    for (task, counts) in &manifest.dev_counts["dev"] {
        assert!(counts.f1() > 0.9, "{task:?} {counts:?}");
    }
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

/// Every option at once, with a teacher that was trained before.
fn with_every_option(out: PathBuf, teacher: &Path) -> TrainConfig {
    let plain = config(out);
    let distillation = Some(Distillation { share: 0.5, temperature: 2.0 });
    let options = Recipe {
        freeze: 1,
        layer_decay: Some(0.8),
        average: Some(0.9),
        dropout: Some(0.2),
        distillation,
        epochs: 4,
        ..plain.recipe
    };
    TrainConfig { recipe: options, teachers: vec![Student::load(teacher).unwrap()], threads: 2, ..plain }
}

/// The same documents as if nobody had annotated them.
fn unannotated(corpus: Corpus) -> Corpus {
    let bare = |document| Document { tasks: TaskSet::new(), spans: Vec::new(), ..document };
    Corpus { documents: corpus.documents.into_iter().map(bare).collect(), ..corpus }
}

/// A teacher of two passes, in `folder`: its probabilities are not yet those of the annotations.
fn teacher(folder: &Path) -> PathBuf {
    let out = folder.join("teacher");
    let mut short = config(out.clone());
    short.recipe.epochs = 2;
    run(&short, |_| {}).unwrap();
    out
}

#[test]
fn with_every_option_an_interrupted_run_ends_where_a_whole_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let teacher = teacher(folder.path());
    let train_on = |config: &TrainConfig, observe: &mut dyn FnMut(Progress)| {
        let corpora = [corpus("train", 0, 60), unannotated(corpus("notes", 60, 30))];
        train(config, &corpora, &[corpus("dev", 90, 30)], observe)
    };
    let whole = with_every_option(folder.path().join("whole"), &teacher);
    let manifest = train_on(&whole, &mut |_| {}).unwrap();
    assert_eq!(manifest.teachers, [whole.teachers[0].model().clone()]);
    assert_eq!(Student::load(&whole.out).unwrap().manifest(), Some(&manifest));

    let broken = with_every_option(folder.path().join("broken"), &teacher);
    let killed = catch_unwind(AssertUnwindSafe(|| {
        train_on(&broken, &mut |progress| assert!(!matches!(progress, Progress::Epoch { epoch: 2, .. }), "killed"))
    }));
    assert!(killed.is_err());
    let resumed = train_on(&broken, &mut |_| {}).unwrap();
    assert_eq!(resumed, Manifest { command: resumed.command.clone(), took: resumed.took, ..manifest });
}

/// The stored tensors whose names begin with one of `prefixes`.
fn stored(folder: &Path, prefixes: &[&str]) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let chosen = file.iter().filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)));
    let mut tensors: Vec<_> = chosen.map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
    tensors.sort();
    tensors
}

#[test]
fn what_is_frozen_stays_as_it_was_and_the_rest_learns() {
    let folder = tempfile::tempdir().unwrap();
    let frozen = |freeze: usize| {
        let mut config = config(folder.path().join(freeze.to_string()));
        (config.recipe.freeze, config.recipe.epochs) = (freeze, 2);
        run(&config, |_| {}).unwrap();
        config.out
    };
    let [none, one, all] = [0, 1, 2].map(frozen);
    let lower = ["bert.embeddings.", "bert.encoder.layer.0."];
    assert!(stored(&one, &lower).len() > 20);
    // In the first place nothing but the base was there, so that what two runs agree on is what neither has touched.
    assert_eq!(stored(&one, &lower), stored(&all, &lower));
    for (learned, base) in stored(&none, &lower).into_iter().zip(stored(&all, &lower)) {
        assert!(learned.0.contains("token_type") || learned != base, "{} was not learned", base.0);
    }
    let upper = ["bert.encoder.layer.1."];
    assert!(stored(&one, &upper).into_iter().zip(stored(&all, &upper)).all(|(learned, base)| learned != base));
}

#[test]
fn a_student_says_what_its_teachers_say() {
    let folder = tempfile::tempdir().unwrap();
    let teacher = teacher(folder.path());
    let dev = corpus("dev", 90, 30);
    let probabilities = |student: &Path| -> Vec<f32> {
        let student = Student::load(student).unwrap();
        let tokenizer = student.tokenizer().clone();
        let mut tagger = Student::taggers(&[student], Device::default(), 1).unwrap().remove(0);
        let windows = dev.documents.iter().flat_map(|document| tokenizer.tokenize(&document.text).unwrap().windows);
        windows.flat_map(|window| tagger.tag(&[&window]).unwrap().concat().concat()).collect()
    };
    let from_people = config(folder.path().join("from people"));
    run(&from_people, |_| {}).unwrap();
    let plain = config(folder.path().join("from the teacher"));
    let recipe = Recipe { distillation: Some(Distillation { share: 1.0, temperature: 1.0 }), ..plain.recipe };
    let distilled = TrainConfig { recipe, teachers: vec![Student::load(&teacher).unwrap()], ..plain };
    train(&distilled, &[unannotated(corpus("notes", 0, 90))], std::slice::from_ref(&dev), &mut |_| {}).unwrap();

    let said = probabilities(&teacher);
    let away = |student: &Path| {
        let differences = probabilities(student).into_iter().zip(&said).map(|(ours, theirs)| (ours - theirs).abs());
        differences.sum::<f32>() / said.len() as f32
    };
    let (taught, untaught) = (away(&distilled.out), away(&from_people.out));
    assert!(taught < untaught / 3.0, "{taught} from the teacher, {untaught} without it");
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let teacher = teacher(folder.path());
    let refused = |change: &dyn Fn(&mut TrainConfig)| {
        let mut config = config(folder.path().join("refused"));
        change(&mut config);
        run(&config, |_| {}).unwrap_err().to_string()
    };
    let by = |share, temperature| Some(Distillation { share, temperature });
    let check = |change: &dyn Fn(&mut TrainConfig), message: &str| {
        let said = refused(change);
        assert!(said.contains(message), "{said:?} does not say {message:?}");
    };
    check(&|config| config.recipe.freeze = 3, "freezing 3 of 2 layers");
    check(&|config| config.recipe.learning_rate = f64::NAN, "learning_rate is NaN; choose a number above 0");
    check(&|config| config.recipe.weight_decay = -1.0, "weight_decay is -1; choose a number of 0 or more");
    check(&|config| config.recipe.batch = 0, "batch is 0; choose a number above 0");
    let diverges = |config: &mut TrainConfig| (config.recipe.learning_rate, config.recipe.linear_decay) = (1e30, false);
    check(&diverges, "the gradient of step");
    check(&|config| config.recipe.layer_decay = Some(0.0), "layer_decay is 0; choose a number above 0 and at most 1");
    check(&|config| config.recipe.average = Some(1.0), "average is 1; choose a number from 0 to below 1");
    for rate in [f64::NAN, 0.001, -0.1, 1.0] {
        let expected = format!("dropout is {rate}; choose a number that is 0, or from 1/256 to below 1");
        check(&|config| config.recipe.dropout = Some(rate), &expected);
    }
    check(&|config| config.recipe.distillation = by(0.5, 1.0), "belong together");
    let taught = |by: Option<Distillation>| {
        let teacher = Student::load(&teacher).unwrap();
        move |config: &mut TrainConfig| {
            (config.recipe.distillation, config.teachers) = (by, vec![teacher.clone()]);
        }
    };
    check(&taught(None), "belong together");
    check(&taught(by(0.0, 1.0)), "teachers' share");
    check(&taught(by(0.5, 0.0)), "temperature");
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/stillroom-minilm-l6");
    let stranger = Student::load(&other).unwrap();
    check(
        &|config| (config.recipe.distillation, config.teachers) = (by(0.5, 1.0), vec![stranger.clone()]),
        "has another tokenizer",
    );
    let mut one_task = config(folder.path().join("one task"));
    (one_task.tasks, one_task.recipe.epochs) = (vec![Task::Disease], 1);
    run(&one_task, |_| {}).unwrap();
    let of_one_task = Student::load(&one_task.out).unwrap();
    check(
        &|config| (config.recipe.distillation, config.teachers) = (by(0.5, 1.0), vec![of_one_task.clone()]),
        "no teacher has a head for medication",
    );
}
