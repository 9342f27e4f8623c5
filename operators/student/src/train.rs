//! Training: AdamW on the masked cross-entropy of every head, as in the published recipe.

use crate::backend::StudentBackend;
use crate::bert::{Bert, Packed};
use crate::checkpoint::{BertOptimizer, Checkpoints, Identity, State};
use crate::config::BertConfig;
use crate::dropout::Dropout;
use crate::evaluate::{Measured, measure, tag_documents, word_counts};
use crate::examples::{Example, examples_of};
use crate::gradients::{clip_norm, split_heads};
use crate::manifest::{DataFile, Manifest, Recipe};
use crate::student::load_tokenizer;
use crate::tagger::BertTagger;
use crate::weights::{self, Weights};
use crate::{Document, Student, StudentError, files};
use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams, Optimizer};
use burn::prelude::*;
use burn::tensor::activation::log_softmax;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rayon::ThreadPool;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stillroom_dataflow::Tokenizer;
use stillroom_schemas::Task;

/// The share of the steps in which the rate rises to its height, where it decays.
const WARM_UP: f64 = 0.06;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(300);

/// What to train, and where.
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// A folder in Hugging Face's layout to start from.
    pub base: PathBuf,
    /// The folder for the student; an interrupted run in it goes on.
    pub out: PathBuf,
    /// The student's name.
    pub name: String,
    /// The command, for the manifest.
    pub command: String,
    /// The heads to train.
    pub tasks: Vec<Task>,
    /// The hyperparameters.
    pub recipe: Recipe,
    /// Stop after this many passes without a better dev F1.
    pub patience: usize,
    /// Documents of every dev file that are tagged after a pass; the end of the run tags all.
    pub dev_documents_max: usize,
    /// Threads, each of which works on a part of every batch.
    pub threads: usize,
}

/// A file of annotated documents.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// The file.
    pub file: DataFile,
    /// What is in it.
    pub documents: Vec<Document>,
}

/// How a run goes.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A step was taken.
    Step {
        /// Steps taken so far, of all passes.
        step: usize,
        /// Steps of the whole run.
        steps: usize,
        /// Mean loss of a labelled word piece.
        loss: f32,
        /// Word pieces a second, since this process began.
        tokens_per_second: f64,
    },
    /// A pass was completed.
    Epoch {
        /// Passes completed.
        epoch: usize,
        /// Mean word-level F1 over dev files and tasks, at thresholds of one half.
        dev_f1: f64,
    },
}

/// Trains a student and leaves it in `config.out`, in 8 bits, chosen by its dev F1.
///
/// A run that was interrupted goes on from its last checkpoint when it is started again with the same configuration.
///
/// # Errors
/// When the base cannot be loaded, there is nothing to learn from, or a file cannot be written.
pub fn train(
    config: &TrainConfig,
    train: &[Corpus],
    dev: &[Corpus],
    observe: &mut dyn FnMut(Progress),
) -> Result<Manifest, StudentError> {
    let mut run = Run::<Flex>::begin(config, train, dev, Default::default())?;
    while run.state.epoch < config.recipe.epochs && !run.is_stale() {
        run.pass(observe)?;
        let dev_f1 = run.complete_pass()?;
        observe(Progress::Epoch { epoch: run.state.epoch, dev_f1 });
    }
    run.finish()
}

struct Run<'a, B: StudentBackend> {
    config: &'a TrainConfig,
    train: &'a [Corpus],
    dev: &'a [Corpus],
    device: B::Device,
    tokenizer: Tokenizer,
    architecture: BertConfig,
    identity: Identity,
    examples: Vec<Example>,
    network: Bert<Autodiff<B>>,
    optimizer: BertOptimizer<B>,
    checkpoints: Checkpoints,
    state: State,
    pools: Vec<ThreadPool>,
}

impl<'a, B: StudentBackend> Run<'a, B> {
    fn begin(
        config: &'a TrainConfig,
        train: &'a [Corpus],
        dev: &'a [Corpus],
        device: B::Device,
    ) -> Result<Self, StudentError> {
        let recipe = config.recipe.clone();
        B::seed(&device, recipe.seed);
        let architecture = BertConfig::load(&config.base)?;
        let (tokenizer, tokenizer_hash) = load_tokenizer(&config.base, &architecture)?;
        let examples = examples_of(train.iter().flat_map(|corpus| &corpus.documents), &tokenizer, &config.tasks)?;
        if examples.is_empty() {
            return Err(StudentError::Data("no document was annotated for any of the tasks".into()));
        }
        let base = Weights::read(&config.base)?;
        let files = |corpora: &[Corpus]| corpora.iter().map(|corpus| corpus.file.clone()).collect();
        let identity = Identity {
            recipe,
            tasks: config.tasks.clone(),
            train: files(train),
            dev: files(dev),
            dev_documents_max: config.dev_documents_max,
            base_weights_hash: base.hash().to_owned(),
            tokenizer_hash,
        };
        // Loaded on the differentiable backend: a parameter that was made on the plain one would never ask for a gradient.
        let outputs = 2 * config.tasks.len();
        // Heads for these very tasks are learned on; heads for others are not these, and are to be learned.
        let heads = architecture.tasks().is_ok_and(|tasks| tasks == config.tasks).then_some(outputs);
        base.check(&architecture, heads)?;
        let mut network = Bert::<Autodiff<B>>::init(&architecture, outputs, &device);
        base.load(&mut network, &architecture, heads)?;
        let optimizer = AdamWConfig::new().with_weight_decay(config.recipe.weight_decay).with_epsilon(1e-8).init();
        let checkpoints = Checkpoints::open(&config.out, &identity)?;
        let (network, optimizer, state) = checkpoints.resume(network, optimizer, &device)?;
        let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pools = (0..config.threads.max(1)).map(pool).collect::<Result<_, _>>();
        let pools = pools.map_err(|error| StudentError::Data(format!("no thread could be started: {error}")))?;
        Ok(Run {
            config,
            train,
            dev,
            device,
            tokenizer,
            architecture,
            identity,
            examples,
            network,
            optimizer,
            checkpoints,
            state,
            pools,
        })
    }

    fn steps_per_pass(&self) -> usize {
        self.examples.len().div_ceil(self.config.recipe.batch)
    }

    /// Whether the last `patience` passes brought nothing.
    fn is_stale(&self) -> bool {
        let best = best_index(&self.state.dev_f1);
        best.is_some_and(|best| self.state.dev_f1.len() - 1 - best >= self.config.patience)
    }

    /// The order of the examples in a pass depends on the seed and the pass alone, so that a resumed run sees the same.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        order.shuffle(&mut SmallRng::seed_from_u64(self.config.recipe.seed.wrapping_add(self.state.epoch as u64)));
        order
    }

    fn pass(&mut self, observe: &mut dyn FnMut(Progress)) -> Result<(), StudentError> {
        let (order, steps) = (self.order(), self.steps_per_pass() * self.config.recipe.epochs);
        let (began, mut tokens, mut saved) = (Instant::now(), 0, Instant::now());
        for batch in order.chunks(self.config.recipe.batch).skip(self.state.step) {
            let step = self.state.epoch * self.steps_per_pass() + self.state.step;
            let loss = self.step(batch, learning_rate(&self.config.recipe, step, steps))?;
            self.state.step += 1;
            tokens += batch.iter().map(|&index| self.examples[index].ids.len()).sum::<usize>();
            let tokens_per_second = tokens as f64 / began.elapsed().as_secs_f64();
            observe(Progress::Step { step: step + 1, steps, loss, tokens_per_second });
            if saved.elapsed() > CHECKPOINT_EVERY {
                self.checkpoints.save(&self.network, &self.optimizer, &mut self.state)?;
                saved = Instant::now();
            }
        }
        Ok(())
    }

    /// One step of the optimizer on the examples of `batch`; the mean loss of a labelled word piece.
    fn step(&mut self, batch: &[usize], rate: f64) -> Result<f32, StudentError> {
        let examples: Vec<&Example> = batch.iter().map(|&index| &self.examples[index]).collect();
        let labelled: usize = examples.iter().map(|example| example.labelled).sum();
        let parts = balanced(examples, self.pools.len());
        let heads = self.config.tasks.len();
        let step = self.state.epoch * self.steps_per_pass() + self.state.step;
        let dropout_of = |part: usize| {
            let seed = self.config.recipe.seed.wrapping_add((step * self.pools.len() + part) as u64);
            Dropout::seeded(&self.architecture, seed)
        };
        let results: Vec<(f32, GradientsParams)> = std::thread::scope(|scope| {
            let workers: Vec<_> = parts
                .iter()
                .zip(&self.pools)
                .enumerate()
                .map(|(index, (part, pool))| {
                    let dropout = dropout_of(index);
                    // Not one clone for all: a clone of the plain network forgets that it is to be differentiated.
                    let network = self.network.valid();
                    scope.spawn(move || pool.install(|| gradients(network, part, heads, labelled, dropout)))
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let mut sum = GradientsAccumulator::new();
        let loss = results.iter().map(|(loss, _)| loss).sum();
        results.into_iter().for_each(|(_, gradients)| sum.accumulate(&self.network, gradients));
        let all = clip_norm(&self.network, sum.grads(), self.config.recipe.gradient_norm_max);
        let (encoder, head) = split_heads(&self.network, all);
        let network = self.optimizer.step(rate, self.network.clone(), encoder);
        self.network = self.optimizer.step(rate * self.config.recipe.head_rate_factor, network, head);
        Ok(loss)
    }

    /// Evaluates, keeps the student if it is the best so far, and saves.
    fn complete_pass(&mut self) -> Result<f64, StudentError> {
        let tagger = BertTagger::<B>::of_network(self.network.valid(), &self.config.tasks, self.device.clone());
        let mut taggers = tagger.one_thread_each(self.pools.len())?;
        let mut f1 = Vec::new();
        for corpus in self.dev {
            let some = &corpus.documents[..corpus.documents.len().min(self.config.dev_documents_max)];
            let tagged = tag_documents(&mut taggers, &self.tokenizer, some)?;
            f1.extend(word_counts(&tagged, &[0.5; Task::ALL.len()]).values().map(|counts| counts.f1()));
        }
        let dev_f1 = f1.iter().sum::<f64>() / f1.len().max(1) as f64;
        self.state.dev_f1.push(dev_f1);
        self.state.epoch += 1;
        self.state.step = 0;
        if best_index(&self.state.dev_f1) == Some(self.state.dev_f1.len() - 1) {
            self.save_student()?;
        }
        self.checkpoints.save(&self.network, &self.optimizer, &mut self.state)?;
        Ok(dev_f1)
    }

    fn save_student(&self) -> Result<(), StudentError> {
        let out = &self.config.out;
        let _ = fs::remove_file(out.join("manifest.json"));
        files::write_json(&out.join("config.json"), &self.architecture.with_tasks(&self.config.tasks))?;
        for source in Tokenizer::files(&self.config.base) {
            let name = source.file_name().unwrap_or_default();
            files::write(&out.join(name), &files::read(&source)?)?;
        }
        let path = out.join("model.safetensors");
        files::write(&path, &weights::save(&self.network.valid(), &path)?)
    }

    /// Measures the student as it was stored, chooses its temperatures and thresholds, and writes the manifest.
    fn finish(self) -> Result<Manifest, StudentError> {
        let student = Student::load(&self.config.out)?;
        let Measured { thresholds, calibration, counts } = measure(&student, self.dev, self.pools.len())?;
        let manifest = Manifest {
            name: self.config.name.clone(),
            weights_hash: files::sha256(&files::read(&self.config.out.join("model.safetensors"))?),
            base_weights_hash: self.identity.base_weights_hash.clone(),
            tokenizer_hash: self.identity.tokenizer_hash.clone(),
            command: self.config.command.clone(),
            recipe: self.config.recipe.clone(),
            train: self.train.iter().map(|corpus| corpus.file.clone()).collect(),
            dev: self.dev.iter().map(|corpus| corpus.file.clone()).collect(),
            dev_counts: counts,
            dev_f1_by_epoch: self.state.dev_f1.clone(),
            calibration,
            thresholds,
        };
        files::write_json(&self.config.out.join("manifest.json"), &manifest)?;
        self.checkpoints.remove()?;
        Ok(manifest)
    }
}

/// The share of the gradient that `part` contributes to the mean loss over `labelled` labels.
fn gradients<B: StudentBackend>(
    network: Bert<B>,
    part: &[&Example],
    heads: usize,
    labelled: usize,
    dropout: Dropout,
) -> (f32, GradientsParams) {
    let network = network.train::<Autodiff<B>>();
    let device = &network.classifier.weight.device();
    let texts = Packed::new(part.iter().map(|example| example.ids.as_slice()));
    let shape = [texts.tokens(), heads, 2];
    let logits = network.forward(&texts, device, &dropout).reshape(shape);
    let targets: Vec<f32> = part.iter().flat_map(|example| example.targets()).copied().collect();
    let targets = Tensor::<Autodiff<B>, 3>::from_data(TensorData::new(targets, shape), device);
    let loss = (log_softmax(logits, 2) * targets).sum() / -(labelled as f64);
    let value = loss.clone().into_scalar().elem::<f32>();
    (value, GradientsParams::from_grads(loss.backward(), &network))
}

/// Deals the examples out by falling length, each to the part with the fewest word pieces; empty parts are left out.
fn balanced(mut examples: Vec<&Example>, parts: usize) -> Vec<Vec<&Example>> {
    examples.sort_by_key(|example| std::cmp::Reverse(example.ids.len()));
    let mut dealt: Vec<(usize, Vec<&Example>)> = vec![(0, Vec::new()); parts];
    for example in examples {
        if let Some((tokens, part)) = dealt.iter_mut().min_by_key(|(tokens, _)| *tokens) {
            *tokens += example.ids.len();
            part.push(example);
        }
    }
    dealt.into_iter().map(|(_, part)| part).filter(|part| !part.is_empty()).collect()
}

fn learning_rate(recipe: &Recipe, step: usize, steps: usize) -> f64 {
    if !recipe.linear_decay {
        return recipe.learning_rate;
    }
    let (step, steps) = (step as f64, steps as f64);
    let rising = (step + 1.0) / (WARM_UP * steps);
    recipe.learning_rate * rising.min(1.0 - step / steps)
}

fn best_index(f1: &[f64]) -> Option<usize> {
    (0..f1.len()).max_by(|&a, &b| f1[a].total_cmp(&f1[b]).then(b.cmp(&a)))
}
