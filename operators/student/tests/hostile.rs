//! Folders that are damaged, made up or of another model: each is refused by name, with what to do, and nothing is run.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use safetensors::tensor::{Dtype, TensorView, serialize};
use std::fs;
use std::path::{Path, PathBuf};
use stillroom_schemas::Task;
use stillroom_student::{Device, Recipe, Student, TrainConfig, train};

/// A copy of a small model that can be damaged.
struct Model {
    folder: tempfile::TempDir,
}

impl Model {
    /// A layout among `tests/bases`.
    fn of(layout: &str) -> Model {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bases").join(layout)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        Model { folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(self, file: &str, bytes: impl AsRef<[u8]>) -> Model {
        fs::write(self.path(file), bytes).unwrap();
        self
    }

    fn without(self, file: &str) -> Model {
        fs::remove_file(self.path(file)).unwrap();
        self
    }

    /// With only the first part of a file.
    fn cut(self, file: &str, keep: impl Fn(usize) -> usize) -> Model {
        let bytes = fs::read(self.path(file)).unwrap();
        self.write(file, &bytes[..keep(bytes.len())])
    }

    /// With another value in the configuration.
    fn set(self, key: &str, value: serde_json::Value) -> Model {
        let mut config: serde_json::Value =
            serde_json::from_slice(&fs::read(self.path("config.json")).unwrap()).unwrap();
        config[key] = value;
        self.write("config.json", config.to_string())
    }

    /// With one tensor changed; nothing takes it away.
    fn change(self, tensor: &str, change: impl Fn(Vec<usize>, Vec<u8>) -> Option<(Vec<usize>, Vec<u8>)>) -> Model {
        let file = fs::read(self.path("model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert!(tensors.names().contains(&tensor), "{tensor}");
        let changed = |(name, view): (String, TensorView<'_>)| {
            let (dtype, shape, bytes) = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            let (shape, bytes) = if name == tensor { change(shape, bytes)? } else { (shape, bytes) };
            Some((name, dtype, shape, bytes))
        };
        let all: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> =
            tensors.tensors().into_iter().filter_map(changed).collect();
        let views = all
            .iter()
            .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
        let bytes = serialize(views, None).unwrap();
        self.write("model.safetensors", bytes)
    }

    /// That it is refused with these words, for tagging as for training.
    fn check(self, expected: &str) {
        check_folder(self.folder.path(), expected);
    }
}

fn check_folder(folder: &Path, expected: &str) {
    let out = tempfile::tempdir().unwrap();
    let config = TrainConfig {
        base: folder.to_owned(),
        out: out.path().join("student"),
        name: "hostile".into(),
        command: "test".into(),
        tasks: Task::ALL.to_vec(),
        recipe: Recipe { batch: 1, epochs: 1, ..Recipe::default() },
        patience: 1,
        dev_documents_max: 1,
        teachers: Vec::new(),
        threads: 1,
        device: Device::default(),
    };
    let trained = train(&config, &[corpus()], &[], &mut |_| {}).map(|_| ());
    for refused in [Student::load(folder).map(|_| ()), trained] {
        let error = refused.expect_err(expected);
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let said = format!("{error} {source}");
        assert!(
            said.contains(expected) && said.contains(&*folder.to_string_lossy()),
            "{expected:?} is not in {said:?}"
        );
    }
}

fn corpus() -> stillroom_student::Corpus {
    let document = stillroom_student::Document {
        id: "d".into(),
        text: "rash and gout".into(),
        tasks: Task::ALL.into_iter().collect(),
        spans: Vec::new(),
        soft: Default::default(),
    };
    let file = stillroom_student::DataFile { name: "made-up".into(), hash: "made-up".into(), documents: 1 };
    stillroom_student::Corpus { file, documents: vec![document] }
}

#[test]
fn folders_that_lack_something_are_refused() {
    check_folder(Path::new("/nonexistent/model"), "it is no folder; name one with config.json");
    Model::of("bare").without("config.json").check("cannot read");
    Model::of("bare").without("model.safetensors").check("has neither model.safetensors nor pytorch_model.bin; fetch");
    Model::of("bare").without("vocab.txt").check("must hold tokenizer.json or vocab.txt");
    Model::of("prefixed").write("tokenizer.json", "{}").check("tokenizer.json");
    Model::of("prefixed").write("tokenizer.json", [0xffu8; 64]).check("tokenizer.json");
    Model::of("cased").write("tokenizer_config.json", "[").check("tokenizer_config.json");
    Model::of("bare").write("vocab.txt", "a\nb\n").check("the vocabulary lacks [CLS]");
}

#[test]
fn configurations_that_no_weights_could_belong_to_are_refused() {
    let check = |key: &str, value: serde_json::Value, expected: &str| Model::of("bare").set(key, value).check(expected);
    check("model_type", "roberta".into(), "model_type is \"roberta\"; choose a model of type bert or distilbert");
    check("position_embedding_type", "relative_key".into(), "its positions are relative; choose a plain BERT");
    check("is_decoder", true.into(), "it is a decoder");
    check("hidden_act", "gelu_new".into(), "hidden_act is gelu_new, not the exact gelu");
    check("num_hidden_layers", 0.into(), "num_hidden_layers is 0");
    check("num_hidden_layers", (-1).into(), "is not a valid file of its kind; correct it, or fetch it anew");
    check("num_hidden_layers", u64::MAX.into(), "bert.encoder.layer.2.attention.self.query.weight is missing; fetch");
    check("num_attention_heads", 3.into(), "hidden_size is not a multiple of num_attention_heads");
    check("num_attention_heads", 0.into(), "num_attention_heads is 0");
    check("max_position_embeddings", 511.into(), "it has 511 positions, and windows have up to 512");
    check(
        "max_position_embeddings",
        (1u64 << 60).into(),
        "position_embeddings.weight is [512, 16], and by config.json",
    );
    check("hidden_size", (1u64 << 60).into(), "word_embeddings.weight is [");
    check("intermediate_size", (1u64 << 60).into(), "intermediate.dense.weight is [32, 16], and by config.json");
    check("vocab_size", (1u64 << 60).into(), "word_embeddings.weight is [");
    check("vocab_size", 5.into(), "vocab_size is 5, but its tokenizer has");
    check("type_vocab_size", 0.into(), "type_vocab_size is 0");
    check("layer_norm_eps", (-1).into(), "layer_norm_eps is not a number from 0 to below 1");
    check("hidden_dropout_prob", 1.into(), "a dropout or layer_norm_eps is not a number");
    Model::of("bare").write("config.json", "{\"model_type\": \"bert\"}").check("is not a valid file of its kind");
}

#[test]
fn labels_that_name_no_task_are_refused_where_they_are_to_be_used() {
    for labels in
        [serde_json::json!({"0": "O", "1": "B"}), serde_json::json!({}), serde_json::json!({"7": "O-disease"})]
    {
        let model = Model::of("bare").set("id2label", labels);
        let said = Student::load(model.folder.path()).map(|_| ()).unwrap_err().to_string();
        assert!(said.contains("id2label must be pairs") && said.contains("correct it, or train a student"), "{said}");
    }
    Model::of("bare").set("id2label", serde_json::json!({"x": "O-disease"})).check("is not a valid file of its kind");
}

#[test]
fn weights_of_another_model_or_none_are_refused() {
    let word = "embeddings.word_embeddings.weight";
    let bias = "encoder.layer.1.output.dense.bias";
    Model::of("bare")
        .change(bias, |_, _| None)
        .check("bert.encoder.layer.1.output.dense.bias is missing; fetch the model anew");
    let halves =
        |shape: Vec<usize>, bytes: Vec<u8>| Some((vec![shape[0] / 2, shape[1]], bytes[..bytes.len() / 2].to_vec()));
    Model::of("bare")
        .change("encoder.layer.0.attention.self.query.weight", halves)
        .check("is [8, 16], and by config.json [16, 16]");
    Model::of("bare")
        .change(word, |shape, bytes| Some((vec![shape[0] - 1, shape[1]], bytes[64..].to_vec())))
        .check("take both");
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let poison = |shape, mut bytes: Vec<u8>| {
            bytes[20..24].copy_from_slice(&value.to_le_bytes());
            Some((shape, bytes))
        };
        Model::of("bare").change(bias, poison).check("has a value that is not finite");
    }
    let half = |shape, mut bytes: Vec<u8>| {
        bytes[6..8].copy_from_slice(&[0, 0x7e]);
        Some((shape, bytes))
    };
    Model::of("cased").change("bert.encoder.layer.1.output.dense.bias", half).check("has a value that is not finite");
}

#[test]
fn files_that_are_cut_off_or_of_no_format_are_refused() {
    let parts: [fn(usize) -> usize; 5] = [|_| 0, |_| 7, |size| size / 3, |size| size - 4, |size| size - 1];
    for keep in parts {
        Model::of("bare").cut("model.safetensors", keep).check("fetch it anew");
        Model::of("archive").cut("pytorch_model.bin", keep).check("fetch it anew");
        Model::of("legacy").cut("pytorch_model.bin", keep).check("fetch it anew");
    }
    Model::of("bare").write("model.safetensors", [0xffu8; 4096]).check("not safetensors");
    Model::of("bare").write("model.safetensors", u64::MAX.to_le_bytes()).check("not safetensors");
    Model::of("legacy").write("pytorch_model.bin", [0u8; 4096]).check("it is nothing that torch.save wrote");
    Model::of("legacy").write("pytorch_model.bin", "PK\x03\x04 and no more").check("it is damaged or cut off");
}

/// A reader that trusts a length or an index panics on one of these, and aborts the program that ships.
#[test]
fn damaged_bytes_are_refused_or_read_and_never_more() {
    for (layout, file) in
        [("bare", "model.safetensors"), ("archive", "pytorch_model.bin"), ("legacy", "pytorch_model.bin")]
    {
        let model = Model::of(layout);
        let whole = fs::read(model.path(file)).unwrap();
        // Headers, pickles and directories are at either end.
        let ends = [0..whole.len().min(9000), whole.len().saturating_sub(6000)..whole.len()];
        let mut refused = 0;
        for seed in 0..600 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..6) {
                let end = ends[rng.random_range(0..2)].clone();
                bytes[rng.random_range(end)] = rng.random();
            }
            fs::write(model.path(file), bytes).unwrap();
            refused += usize::from(Student::load(model.folder.path()).is_err());
        }
        assert!(refused > 100, "{layout}: {refused} of 600 refused");
    }
}

/// What stands before the object in a file of the old format, made by `torch.save` itself.
fn legacy_header() -> Vec<u8> {
    let file = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bases/legacy/pytorch_model.bin")).unwrap();
    // The third pickle, dictionaries of how large numbers are, ends where the fourth, the state dict, begins.
    let state = file.windows(5).position(|bytes| bytes == b"uu.\x80\x02").expect("a state dict") + 3;
    file[..state].to_vec()
}

fn check_pickle(pickle: &[u8], expected: &str) {
    let file = [&legacy_header()[..], pickle].concat();
    Model::of("legacy").write("pytorch_model.bin", file).check(expected);
}

/// What refers to a storage of four numbers.
const STORAGE: &[u8] = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04NtQ";

/// What puts a view of the storage into a dictionary as `w`.
fn entry(first: &[u8], size: &[u8], stride: &[u8]) -> Vec<u8> {
    let view = [first, b"(", size, b"t(", stride, b"t\x89ccollections\nOrderedDict\n)RtR"].concat();
    [&b"X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n("[..], STORAGE, &view, b"s"].concat()
}

/// A state dict with these entries, and the storage.
fn state(entries: &[u8]) -> Vec<u8> {
    [&b"\x80\x02}"[..], entries, b".\x80\x02]X\x01\x00\x00\x000a.", &4u64.to_le_bytes(), &[0; 16]].concat()
}

fn strided(first: &[u8], size: &[u8], stride: &[u8]) -> Vec<u8> {
    state(&entry(first, size, stride))
}

#[test]
fn pickles_that_would_run_code_are_refused() {
    let marker = std::env::temp_dir().join(format!("stillroom-pickle-{}", std::process::id()));
    let shell = format!("touch {}", marker.display());
    // As `class Evil: __reduce__ = lambda self: (os.system, (command,))` is pickled.
    let call = |global: &str| {
        let length = (shell.len() as u32).to_le_bytes();
        [&b"\x80\x02c"[..], global.as_bytes(), b"\nX", &length, shell.as_bytes(), b"\x85R."].concat()
    };
    let refused = |name: &str| format!("its pickle refers to \"{name}\", which is nothing that weights are made of");
    for (global, name) in [
        ("posix\nsystem", "posix.system"),
        ("builtins\neval", "builtins.eval"),
        ("torch._utils\n_rebuild_device_tensor_from_numpy", "torch._utils._rebuild_device_tensor_from_numpy"),
        ("torch\nload", "torch.load"),
    ] {
        check_pickle(&call(global), &refused(name));
    }
    // The names that are allowed cannot be called with what they are not for.
    check_pickle(&call("collections\nOrderedDict"), "its pickle is malformed");
    check_pickle(b"\x80\x02(cposix\nsystem\nU\x02lso.", &refused("posix.system"));
    check_pickle(b"\x80\x02(S'ls'\niposix\nsystem\n.", "has the operation 0x53, which no state dict needs");
    check_pickle(b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "its pickle is of protocol 4");
    check_pickle(b"\x80\x02ccollections\nOrderedDict\n)\x81.", "has the operation 0x81");
    assert!(!marker.exists());
}

#[test]
fn pickles_that_are_made_to_exhaust_memory_or_stack_are_refused() {
    check_pickle(&[b"\x80\x02)".to_vec(), vec![0x85; 1 << 16], b".".to_vec()].concat(), "its pickle is malformed");
    check_pickle(&[b"\x80\x02".to_vec(), vec![b'N'; 1 << 21], b".".to_vec()].concat(), "operations; convert it");
    check_pickle(b"\x80\x02X\xff\xff\xff\xff.", "it is cut off");
    check_pickle(b"\x80\x02\x8a\xff.", "it is cut off");
    check_pickle(b"\x80\x02q\x00.", "its pickle is malformed");
    check_pickle(b"\x80\x02h\x07.", "its pickle is malformed");
    check_pickle(b"\x80\x02(NN\x85\x85u.", "its pickle is malformed");
    check_pickle(b"\x80\x02t.", "its pickle is malformed");
    check_pickle(b"\x80\x02].\x80\x02].", "it holds no state dict");

    // A tensor of more elements than there are, and one that lies beyond its storage.
    let tensor = |first: &[u8], size: &[u8]| strided(first, size, b"K\x01");
    check_pickle(&tensor(b"K\x00", b"K\x04"), "word_embeddings.weight is missing");
    for [first, size] in [[&b"K\x01"[..], b"K\x04"], [b"K\x00", b"J\xff\xff\xff\x7f"], [b"J\xff\xff\xff\x7f", b"K\x01"]]
    {
        check_pickle(&tensor(first, size), "it lacks the storage of \"w\", or a part of it");
    }
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    check_pickle(&tensor(huge, b"K\x04"), "it lacks the storage of \"w\"");
    check_pickle(&tensor(b"K\x00", huge), "it lacks the storage of \"w\"");
    check_pickle(&tensor(b"J\xff\xff\xff\xff", b"K\x04"), "its pickle is malformed");
    // The same element again and again, and steps that lead beyond the storage.
    check_pickle(&strided(b"K\x00", b"K\x02", b"K\x00"), "word_embeddings.weight is missing");
    for [size, stride] in
        [[&b"J\xff\xff\xff\x7f"[..], b"K\x00"], [b"K\x02", b"K\x04"], [b"K\x02", huge], [b"K\x00", huge]]
    {
        check_pickle(&strided(b"K\x00", size, stride), "it lacks the storage of \"w\"");
    }
    check_pickle(&strided(b"K\x00", b"K\x02", b"K\x01K\x01"), "its pickle is malformed");
}

/// Few bytes that recall what is large again and again.
#[test]
fn pickles_that_would_copy_without_end_are_refused() {
    let ones = |count: usize| b"K\x01".repeat(count);
    check_pickle(&strided(b"K\x00", &ones(8), &ones(8)), "word_embeddings.weight is missing");
    check_pickle(&strided(b"K\x00", &ones(9), &ones(9)), "its pickle is malformed");
    // One shape of many dimensions for many tensors.
    let shape = [&b"("[..], &ones(500_000), b"tq\x00"].concat();
    let call = [&b"ctorch._utils\n_rebuild_tensor_v2\nq\x01("[..], STORAGE, b"K\x00h\x00h\x00tq\x02R"].concat();
    let again = b"h\x01h\x02R".repeat(10);
    check_pickle(&[&b"\x80\x02"[..], &shape, &call, &again, b"."].concat(), "its pickle is malformed");

    let once = entry(b"K\x00", b"K\x04", b"K\x01");
    check_pickle(&state(&once), "word_embeddings.weight is missing");
    check_pickle(&state(&once.repeat(2)), "it has \"w\" twice; fetch it anew");
    let text = [&b"\x80\x02X"[..], &5000u32.to_le_bytes(), &[b'w'; 5000], b"."].concat();
    check_pickle(&text, "its pickle is malformed");
}
