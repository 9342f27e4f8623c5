//! A run: what it begins with, a pass over the examples, and what is kept after it.

use super::padded::PaddedStep;
use super::schedule::{best_index, learning_rate};
use super::{Corpus, Progress, TrainConfig};
use crate::backend::StudentBackend;
use crate::bert::Bert;
use crate::checkpoint::{Checkpoints, Identity, State};
use crate::config::BertConfig;
use crate::distil::teach;
use crate::evaluate::{tag_documents, word_counts};
use crate::examples::{Example, examples_of};
use crate::manifest::Manifest;
use crate::optimizer::Learner;
use crate::student::load_tokenizer;
use crate::tagger::BertTagger;
use crate::weights::{self, Weights};
use crate::{StudentError, files};
use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use rayon::ThreadPool;
use std::fs;
use std::time::{Duration, Instant};
use stillroom_dataflow::{Tagger, Tokenizer};
use stillroom_schemas::Task;

const CHECKPOINT_EVERY: Duration = Duration::from_secs(300);

/// A run under way.
pub(super) struct Run<'a, B: StudentBackend> {
    pub(super) config: &'a TrainConfig,
    pub(super) train: &'a [Corpus],
    pub(super) dev: &'a [Corpus],
    pub(super) device: B::Device,
    pub(super) tokenizer: Tokenizer,
    pub(super) architecture: BertConfig,
    pub(super) identity: Identity,
    pub(super) examples: Vec<Example>,
    pub(super) learner: Learner<B>,
    pub(super) checkpoints: Checkpoints,
    pub(super) state: State,
    /// From when on time is not yet counted in the state.
    pub(super) since: Instant,
    pub(super) pools: Vec<ThreadPool>,
    /// On a GPU, or as on a GPU.
    pub(super) padded: Option<PaddedStep>,
}

impl<'a, B: StudentBackend> Run<'a, B> {
    pub(super) fn begin(
        config: &'a TrainConfig,
        train: &'a [Corpus],
        dev: &'a [Corpus],
        device: B::Device,
    ) -> Result<Self, StudentError> {
        let (since, recipe) = (Instant::now(), config.recipe.clone());
        B::seed(&device, recipe.seed);
        let architecture = BertConfig::load(&config.base)?;
        let (tokenizer, tokenizer_hash) = load_tokenizer(&config.base, &architecture)?;
        check(config, &architecture, &tokenizer_hash)?;
        let examples = examples(config, train, &tokenizer)?;
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
            teachers: config.teachers.iter().map(|teacher| teacher.model().clone()).collect(),
        };
        // Loaded on the differentiable backend: a parameter that was made on the plain one would never ask for a gradient.
        let outputs = 2 * config.tasks.len();
        // Heads for these very tasks are learned on; heads for others are not these, and are to be learned.
        let heads = architecture.tasks().is_ok_and(|tasks| tasks == config.tasks).then_some(outputs);
        base.check(&architecture, heads)?;
        let mut network = Bert::<Autodiff<B>>::init(&architecture, outputs, &device);
        base.load(&mut network, &architecture, heads)?;
        let checkpoints = Checkpoints::open(&config.out, &identity)?;
        let (learner, state) = checkpoints.resume(Learner::new(network, &config.recipe), &device)?;
        let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let padded = PaddedStep::of(&config.device, &architecture, &config.recipe)?;
        // A GPU works on a batch as a whole.
        let threads = if padded.is_some() { 1 } else { config.threads.max(1) };
        let pools = (0..threads).map(pool).collect::<Result<_, _>>();
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
            learner,
            checkpoints,
            state,
            since,
            pools,
            padded,
        })
    }

    pub(super) fn complete(mut self, observe: &mut dyn FnMut(Progress)) -> Result<Manifest, StudentError> {
        while self.state.epoch < self.config.recipe.epochs && !self.is_stale() {
            self.pass(observe)?;
            let dev_f1 = self.complete_pass()?;
            observe(Progress::Epoch { epoch: self.state.epoch, dev_f1 });
        }
        self.finish()
    }

    fn pass(&mut self, observe: &mut dyn FnMut(Progress)) -> Result<(), StudentError> {
        let (order, steps) = (self.order(), self.steps_per_pass() * self.config.recipe.epochs);
        let (began, mut tokens, mut saved) = (Instant::now(), 0, Instant::now());
        for batch in order.chunks(self.config.recipe.batch).skip(self.state.step) {
            let step = self.state.epoch * self.steps_per_pass() + self.state.step;
            let step_began = Instant::now();
            let loss = self.step(batch, learning_rate(&self.config.recipe, step, steps))?;
            self.state.step += 1;
            let of_step = batch.iter().map(|&index| self.examples[index].window.ids.len()).sum::<usize>();
            tokens += of_step;
            if let Some(so_far) = &mut self.state.so_far {
                so_far.step(of_step, step_began.elapsed());
            }
            let tokens_per_second = tokens as f64 / began.elapsed().as_secs_f64();
            observe(Progress::Step { step: step + 1, steps, loss, tokens_per_second });
            if saved.elapsed() > CHECKPOINT_EVERY {
                self.save()?;
                saved = Instant::now();
            }
        }
        Ok(())
    }

    /// Evaluates, keeps the student if it is the best so far, and saves.
    fn complete_pass(&mut self) -> Result<f64, StudentError> {
        let (network, tasks) = (self.learner.result().valid(), &self.config.tasks);
        let mut taggers: Vec<Box<dyn Tagger>> = match &self.padded {
            Some(step) => vec![Box::new(step.candidate(&network, tasks)) as Box<dyn Tagger>],
            None => BertTagger::of_network(network, tasks, self.device.clone()).one_thread_each(self.pools.len())?,
        };
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
        self.save()?;
        Ok(dev_f1)
    }

    /// Counts what it took until now.
    pub(super) fn look(&mut self) {
        if let Some(so_far) = &mut self.state.so_far {
            so_far.look(&mut self.since);
        }
    }

    fn save(&mut self) -> Result<(), StudentError> {
        self.look();
        self.checkpoints.save(&self.learner, &mut self.state)
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
        files::write(&path, &weights::save(&self.learner.result().valid(), &path)?)
    }
}

/// What is to be learned from, and what teachers say of it.
fn examples(config: &TrainConfig, train: &[Corpus], tokenizer: &Tokenizer) -> Result<Vec<Example>, StudentError> {
    let documents = train.iter().flat_map(|corpus| &corpus.documents);
    let mut examples = examples_of(documents, tokenizer, &config.tasks, config.recipe.soft_temperature)?;
    if let Some(by) = &config.recipe.distillation {
        teach(&mut examples, (&config.teachers, by), &config.tasks, config.threads.max(1))?;
    }
    examples.retain(|example| example.labelled() > 0);
    if examples.is_empty() {
        return Err(StudentError::Data("no document was annotated for any of the tasks".into()));
    }
    Ok(examples)
}

/// Refuses what means nothing, or nothing for this base.
fn check(config: &TrainConfig, architecture: &BertConfig, tokenizer_hash: &str) -> Result<(), StudentError> {
    let (recipe, layers) = (&config.recipe, architecture.num_hidden_layers);
    if let Some((setting, reason)) = recipe.refused() {
        return Err(StudentError::Data(format!("{setting} {reason}")));
    }
    let stranger = config.teachers.iter().find(|teacher| teacher.tokenizer_hash() != tokenizer_hash);
    let wrong = [
        (recipe.freeze > layers)
            .then(|| format!("freezing {} of {layers} layers; freeze {layers} at most", recipe.freeze)),
        (recipe.distillation.is_some() == config.teachers.is_empty())
            .then(|| "teachers and how to learn from them belong together; give both or neither".to_owned()),
        recipe
            .distillation
            .is_some_and(|by| {
                !(by.share > 0.0 && by.share <= 1.0 && by.temperature > 0.0 && by.temperature.is_finite())
            })
            .then(|| "the teachers' share must be above 0 and at most 1, and the temperature above 0".to_owned()),
        stranger.map(|teacher| {
            format!("the teacher {} has another tokenizer than the base; use students of one base", teacher.model().0)
        }),
    ];
    match wrong.into_iter().flatten().next() {
        Some(cause) => Err(StudentError::Data(cause)),
        None => Ok(()),
    }
}
