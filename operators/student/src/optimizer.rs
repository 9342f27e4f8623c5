//! AdamW (Loshchilov and Hutter, arXiv 1711.05101) with a rate for every part of the network, clipping by the common norm
//! (Pascanu et al., arXiv 1211.5063; burn clips every tensor by itself), and an average of the weights.

use crate::StudentError;
use crate::backend::StudentBackend;
use crate::bert::Bert;
use crate::manifest::Recipe;
use crate::parameters::{self, Tensors};
use burn::backend::Autodiff;
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::prelude::*;
use std::collections::HashMap;
use stillroom_encoder::training::AdamW;

/// What a network is, and what it takes to go on with its training.
pub(crate) struct Learner<B: StudentBackend> {
    /// Only away while a step replaces it, so that tensors are changed in their place.
    network: Option<Bert<Autodiff<B>>>,
    /// Means of gradients and of squared gradients, of parameters that have had one.
    pub(crate) moments: [Tensors; 2],
    /// The average of the weights, where there is to be one.
    pub(crate) average: Option<Tensors>,
}

impl<B: StudentBackend> Learner<B> {
    /// Before the first step. The average begins with the weights as they are.
    pub(crate) fn new(network: Bert<Autodiff<B>>, recipe: &Recipe) -> Learner<B> {
        let average = recipe.average.map(|_| parameters::values(&network));
        Learner::of(network, Default::default(), average)
    }

    /// In the middle of a run.
    pub(crate) fn of(network: Bert<Autodiff<B>>, moments: [Tensors; 2], average: Option<Tensors>) -> Learner<B> {
        Learner { network: Some(network), moments, average }
    }

    /// The network that learns.
    pub(crate) fn network(&self) -> &Bert<Autodiff<B>> {
        match &self.network {
            Some(network) => network,
            None => unreachable!("a step puts the network back"),
        }
    }

    /// How many parameters are learned when the embeddings and `freeze` layers are not; all when `freeze` is 0.
    pub(crate) fn learned(&self, freeze: usize) -> usize {
        let frozen = if freeze > 0 { freeze + 1 } else { 0 };
        let levels = self.network().levels();
        parameters::ids(&self.network().classifier).len() + levels[frozen..].iter().map(Vec::len).sum::<usize>()
    }

    /// The network that is evaluated and kept: the average, where there is one.
    pub(crate) fn result(&self) -> Bert<Autodiff<B>> {
        match &self.average {
            Some(average) => parameters::with_values(self.network(), average),
            None => self.network().clone(),
        }
    }

    /// Takes step `time`, counted from 1, at the rate of the heads' and the layers' multiples of `rate`.
    ///
    /// # Errors
    /// When the gradient is not finite; the network stays as it was.
    pub(crate) fn step(
        &mut self,
        mut gradients: Tensors,
        (rate, time): (f64, usize),
        recipe: &Recipe,
    ) -> Result<(), StudentError> {
        let norm = parameters::squares(self.network(), &gradients).sqrt();
        if !norm.is_finite() {
            let cause = format!("the gradient of step {time} is not a number; lower the learning rate");
            return Err(StudentError::Data(cause));
        }
        let gradient_scale = (f64::from(recipe.gradient_norm_max) / norm).min(1.0) as f32;
        let rates = rates(self.network(), recipe);
        let step = AdamW {
            rate,
            beta_1: 0.9,
            beta_2: 0.999,
            eps: 1e-8,
            weight_decay: recipe.weight_decay,
            gradient_scale,
            time: i32::try_from(time).unwrap_or(i32::MAX),
        };
        // As TensorFlow's ExponentialMovingAverage does with its number of updates: the first steps are soon forgotten.
        let decay = |most: f64| most.min((1.0 + time as f64) / (10.0 + time as f64));
        let (moments, average) = (&mut self.moments, self.average.as_mut().zip(recipe.average.map(decay)));
        let mut stepper = Stepper { gradients: &mut gradients, moments, average, step, rates };
        self.network = self.network.take().map(|network| network.map(&mut stepper));
        Ok(())
    }
}

/// The multiple of the rate that each parameter learns at: of the heads by their own factor, of the encoder by a factor a layer
/// below the last, the embeddings below the first.
fn rates<B: StudentBackend>(network: &Bert<Autodiff<B>>, recipe: &Recipe) -> HashMap<ParamId, f64> {
    let heads = parameters::ids(&network.classifier).into_iter().map(|id| (id, recipe.head_rate_factor));
    let decay = recipe.layer_decay.unwrap_or(1.0);
    let encoder = network
        .levels()
        .into_iter()
        .rev()
        .zip(0..)
        .flat_map(|(level, below)| level.into_iter().map(move |id| (id, decay.powi(below))));
    heads.chain(encoder).collect()
}

struct Stepper<'a> {
    gradients: &'a mut Tensors,
    moments: &'a mut [Tensors; 2],
    /// With its decay a step.
    average: Option<(&'a mut Tensors, f64)>,
    step: AdamW,
    rates: HashMap<ParamId, f64>,
}

impl<B: StudentBackend> ModuleMapper<Autodiff<B>> for Stepper<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<Autodiff<B>, D>>) -> Param<Tensor<Autodiff<B>, D>> {
        let (id, value, mapper) = param.consume();
        let Some(gradient) = self.gradients.remove::<B, D>(id) else {
            return Param::from_mapped_value(id, value, mapper);
        };
        let value = value.inner();
        let [first, second] =
            self.moments.each_mut().map(|moments| moments.remove::<B, D>(id).unwrap_or_else(|| value.zeros_like()));
        let step = AdamW { rate: self.step.rate * self.rates.get(&id).copied().unwrap_or(1.0), ..self.step };
        let [value, first, second] = B::adamw([value, first, second], gradient, step);
        for (moments, moment) in self.moments.iter_mut().zip([first, second]) {
            moments.register(id, moment);
        }
        if let Some((average, decay)) = &mut self.average
            && let Some(mean) = average.remove::<B, D>(id)
        {
            average.register(id, B::approach(mean, value.clone(), 1.0 - *decay));
        }
        Param::from_mapped_value(id, Tensor::from_inner(value).require_grad(), mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BertConfig;
    use burn::backend::Flex;
    use burn::module::ModuleVisitor;
    use std::path::Path;

    type Network = Bert<Autodiff<Flex>>;

    fn network() -> (BertConfig, Network) {
        let config = BertConfig::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny")).unwrap();
        let network = Network::init(&config, 6, &Default::default());
        (config, network)
    }

    fn recipe(options: serde_json::Value) -> Recipe {
        let mut recipe = serde_json::json!({
            "learning_rate": 1e-3, "head_rate_factor": 10.0, "batch": 8, "weight_decay": 0.0, "epochs": 1,
            "linear_decay": false, "gradient_norm_max": 1e9, "seed": 0,
        });
        recipe.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        serde_json::from_value(recipe).unwrap()
    }

    /// The values of every parameter, by its id.
    fn values(tensors: &Tensors, network: &Network) -> HashMap<ParamId, Vec<f32>> {
        struct Values<'a>(&'a Tensors, HashMap<ParamId, Vec<f32>>);
        impl ModuleVisitor<Autodiff<Flex>> for Values<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<Flex>, D>>) {
                let tensor = self.0.get::<Flex, D>(param.id).unwrap();
                self.1.insert(param.id, tensor.into_data().into_vec().unwrap());
            }
        }
        let mut values = Values(tensors, HashMap::new());
        network.visit(&mut values);
        values.1
    }

    /// Gradients of ones, `scale` times the parameters away from it.
    fn gradients(network: &Network, scale: f64) -> Tensors {
        struct Make(Tensors, f64);
        impl ModuleVisitor<Autodiff<Flex>> for Make {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<Flex>, D>>) {
                self.0.register::<Flex, D>(param.id, param.val().inner() * self.1 + 1.0);
            }
        }
        let mut make = Make(Tensors::new(), scale);
        network.visit(&mut make);
        make.0
    }

    /// Adam's first step is the rate, whatever the gradient is.
    #[test]
    fn every_level_learns_at_its_own_rate() {
        let (config, network) = network();
        let before = values(&parameters::values(&network), &network);
        let mut learner = Learner::new(network, &recipe(serde_json::json!({"layer_decay": 0.5})));
        learner
            .step(gradients(learner.network(), 0.0), (1e-3, 1), &recipe(serde_json::json!({"layer_decay": 0.5})))
            .unwrap();
        let after = values(&parameters::values(learner.network()), learner.network());
        let levels = learner.network().levels();
        assert_eq!(levels.len(), config.num_hidden_layers + 1);
        let heads = parameters::ids(&learner.network().classifier);
        let expected = levels.iter().zip([0.25, 0.5, 1.0]).chain([(&heads, 10.0)]);
        let mut seen = 0;
        for (ids, factor) in expected {
            for id in ids {
                seen += 1;
                for (before, after) in before[id].iter().zip(&after[id]) {
                    let step = before - after;
                    assert!((step - 1e-3 * factor).abs() < 1e-6, "a step of {step} where the factor is {factor}");
                }
            }
        }
        assert_eq!(seen, before.len());
    }

    #[test]
    fn the_average_is_that_of_the_weights_after_every_step() {
        let (_, network) = network();
        let recipe = recipe(serde_json::json!({"average": 0.6}));
        let mut expected = values(&parameters::values(&network), &network);
        let mut learner = Learner::new(network, &recipe);
        for time in 1..=9 {
            learner.step(gradients(learner.network(), 2.0), (1e-2, time), &recipe).unwrap();
            let weights = values(&parameters::values(learner.network()), learner.network());
            let decay = (0.6f32).min((1.0 + time as f32) / (10.0 + time as f32));
            for (id, mean) in &mut expected {
                mean.iter_mut()
                    .zip(&weights[id])
                    .for_each(|(mean, weight)| *mean = decay * *mean + (1.0 - decay) * weight);
            }
        }
        let result = learner.result();
        let ours = values(&parameters::values(&result), &result);
        for (id, mean) in &expected {
            for (ours, mean) in ours[id].iter().zip(mean) {
                assert!((ours - mean).abs() < 1e-5, "{ours} is not {mean}");
            }
        }
        let last = values(&parameters::values(learner.network()), learner.network());
        assert!(
            last.iter().any(|(id, last)| last.iter().zip(&expected[id]).any(|(last, mean)| (last - mean).abs() > 1e-3))
        );
    }

    #[test]
    fn a_long_gradient_is_shortened_and_what_has_none_stays() {
        let (_, network) = network();
        let embeddings = network.levels().remove(0);
        let before = values(&parameters::values(&network), &network);
        let recipe = Recipe { gradient_norm_max: 1e-4, ..recipe(serde_json::json!({})) };
        let mut learner = Learner::new(network, &recipe);
        let mut gradients = gradients(learner.network(), 0.0);
        struct Without<'a>(&'a mut Tensors, &'a [ParamId]);
        impl ModuleVisitor<Autodiff<Flex>> for Without<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<Flex>, D>>) {
                if self.1.contains(&param.id) {
                    self.0.remove::<Flex, D>(param.id);
                }
            }
        }
        learner.network().visit(&mut Without(&mut gradients, &embeddings));
        learner.step(gradients, (1e-3, 1), &recipe).unwrap();
        let after = values(&parameters::values(learner.network()), learner.network());
        let moved = after.iter().filter(|(id, values)| before[id] != **values).count();
        assert_eq!(moved, before.len() - embeddings.len());
        let [first, _] = &learner.moments;
        // A tenth of the gradient enters the mean of a first step.
        let norm = parameters::squares(learner.network(), first).sqrt() * 10.0;
        assert!((norm / 1e-4 - 1.0).abs() < 1e-3, "the gradient's norm was {norm}");
    }
}
