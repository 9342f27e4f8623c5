//! How students learn, those of `train`, those of a study and those that are retrained.

use crate::refused::{Refused, in_range};
use clap::Args;
use serde::{Deserialize, Serialize};
use stillroom_student::Recipe;

/// The hyperparameters: options of `train`, and a section of configurations. The defaults are the published ones.
#[derive(Args, Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RecipeConfig {
    /// Learning rate of the encoder. Default 2e-5.
    #[arg(long, default_value_t = RecipeConfig::default().rate, hide_default_value = true)]
    pub(crate) rate: f64,
    /// Learning rate of the heads, in multiples of the encoder's. Default 1.
    #[arg(long, default_value_t = RecipeConfig::default().head_rate_factor, hide_default_value = true)]
    pub(crate) head_rate_factor: f64,
    /// Windows a step, 1 to 4096. Default 8.
    #[arg(long, default_value_t = RecipeConfig::default().batch, hide_default_value = true)]
    pub(crate) batch: usize,
    /// AdamW's decoupled weight decay. Default 0.01.
    #[arg(long, default_value_t = RecipeConfig::default().weight_decay, hide_default_value = true)]
    pub(crate) weight_decay: f32,
    /// Passes over the documents, 1 to 1000. Default 10.
    #[arg(long, default_value_t = RecipeConfig::default().epochs, hide_default_value = true)]
    pub(crate) epochs: usize,
    /// Whether the rate falls linearly to zero, after a warm-up of 6 % of the steps. Default false.
    #[arg(long)]
    pub(crate) linear_decay: bool,
    /// The embeddings and this many of the first layers are not learned, and no gradient is computed for them. Default 0, all are.
    #[arg(long, value_name = "LAYERS", default_value_t = RecipeConfig::default().freeze, hide_default_value = true)]
    pub(crate) freeze: usize,
    /// The rate of each layer, as a multiple of the next one's, and that of the embeddings, of the first one's. Default none, all
    /// learn at one rate. Example: 0.9.
    #[arg(long, value_name = "FACTOR")]
    pub(crate) layer_decay: Option<f64>,
    /// The decay a step of the exponential moving average of the weights that is kept. Default none, the last weights are. Example:
    /// 0.999.
    #[arg(long, value_name = "DECAY")]
    pub(crate) average: Option<f64>,
    /// Dropout of hidden states and attention weights, 0 or from 1/256 to below 1. Default as the base's config.json has it.
    /// Example: 0.2.
    #[arg(long, value_name = "SHARE")]
    pub(crate) dropout: Option<f64>,
    /// Whether of what teachers labelled each word's target is the share of the ensemble's teachers that mark it (of the weight
    /// under weighted votes, the chance under the label model), in place of 0 and 1; what people annotated stays so. Default false.
    #[arg(long)]
    pub(crate) soft: bool,
    /// The temperature T of these shares, above 0: p becomes p^(1/T) / (p^(1/T) + (1-p)^(1/T)), as in Berthelot et al., MixMatch,
    /// arXiv 1905.02249. Below 1 sharpens, above 1 softens. Default 1, which leaves them as they are.
    #[arg(
        long,
        value_name = "T",
        requires = "soft",
        default_value_t = RecipeConfig::default().soft_temperature,
        hide_default_value = true
    )]
    pub(crate) soft_temperature: f64,
}

impl Default for RecipeConfig {
    fn default() -> RecipeConfig {
        let published = Recipe::default();
        RecipeConfig {
            rate: published.learning_rate,
            head_rate_factor: published.head_rate_factor,
            batch: published.batch,
            weight_decay: published.weight_decay,
            epochs: published.epochs,
            linear_decay: published.linear_decay,
            freeze: published.freeze,
            layer_decay: published.layer_decay,
            average: published.average,
            dropout: published.dropout,
            soft: published.soft_temperature.is_some(),
            soft_temperature: published.soft_temperature.unwrap_or(1.0),
        }
    }
}

impl RecipeConfig {
    /// With a seed.
    pub(crate) fn seeded(&self, seed: u64) -> Recipe {
        Recipe {
            learning_rate: self.rate,
            head_rate_factor: self.head_rate_factor,
            batch: self.batch,
            weight_decay: self.weight_decay,
            epochs: self.epochs,
            linear_decay: self.linear_decay,
            seed,
            freeze: self.freeze,
            layer_decay: self.layer_decay,
            average: self.average,
            dropout: self.dropout,
            soft_temperature: self.soft.then_some(self.soft_temperature),
            ..Recipe::default()
        }
    }

    /// The options of `train` that say the same.
    pub(crate) fn options(&self) -> Vec<String> {
        let given = |name: &str, value: f64| Some(format!("--{name}={value}"));
        let some = |name: &str, value: Option<f64>| value.map(|value| format!("--{name}={value}"));
        let is = |name: &str, is_so: bool| is_so.then(|| format!("--{name}"));
        let options = [
            given("rate", self.rate),
            given("head-rate-factor", self.head_rate_factor),
            Some(format!("--batch={}", self.batch)),
            Some(format!("--weight-decay={}", self.weight_decay)),
            Some(format!("--epochs={}", self.epochs)),
            is("linear-decay", self.linear_decay),
            Some(format!("--freeze={}", self.freeze)),
            some("layer-decay", self.layer_decay),
            some("average", self.average),
            some("dropout", self.dropout),
            is("soft", self.soft),
            some("soft-temperature", self.soft.then_some(self.soft_temperature)),
        ];
        options.into_iter().flatten().collect()
    }

    /// Refuses values of the section of this path that nobody can learn with, as training does.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub(crate) fn check(&self, section: &str) -> Result<(), Refused> {
        in_range(format!("{section}.batch"), self.batch as u64, 1..=4096)?;
        in_range(format!("{section}.epochs"), self.epochs as u64, 1..=1000)?;
        if !self.soft && self.soft_temperature != RecipeConfig::default().soft_temperature {
            let reason = format!("is {}, and soft is false; set soft to true, or leave it out", self.soft_temperature);
            return Err(Refused::new(format!("{section}.soft_temperature"), reason).with(format!("{section}.soft")));
        }
        match self.seeded(0).refused() {
            Some((setting, reason)) => {
                let key = if setting == "learning_rate" { "rate" } else { setting };
                Err(Refused::new(format!("{section}.{key}"), reason))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        recipe: RecipeConfig,
    }

    fn parsed(options: &[String]) -> RecipeConfig {
        let program = ["train".to_owned()];
        Line::try_parse_from(program.iter().chain(options)).unwrap().recipe
    }

    #[test]
    fn options_and_configurations_say_the_same() {
        assert_eq!(parsed(&[]), RecipeConfig::default());
        assert_eq!(toml::from_str::<RecipeConfig>("").unwrap(), RecipeConfig::default());
        assert_eq!(RecipeConfig::default().seeded(Recipe::default().seed), Recipe::default());
        // A value of its own for every field, so that none is forgotten or taken for another.
        let text = "rate = 1.5e-5\nhead_rate_factor = 3.0\nbatch = 4\nweight_decay = 0.03\nepochs = 7\nlinear_decay = true\n\
                    freeze = 2\nlayer_decay = 0.875\naverage = 0.999\ndropout = 0.25\nsoft = true\nsoft_temperature = 0.5\n";
        let config: RecipeConfig = toml::from_str(text).unwrap();
        assert_eq!(toml::to_string(&config).unwrap().lines().count(), text.lines().count());
        config.check("recipe").unwrap();
        assert_eq!(parsed(&config.options()), config);
        assert_eq!(config.seeded(0).soft_temperature, Some(0.5));
        assert_eq!(RecipeConfig { soft: false, ..config }.seeded(0).soft_temperature, None);
    }

    #[test]
    fn a_temperature_needs_shares_and_is_above_0() {
        let check = |text: &str, expected: &str| {
            let refused = toml::from_str::<RecipeConfig>(text).unwrap().check("students.recipe").unwrap_err();
            assert_eq!(refused.to_string(), expected);
        };
        let expected = "students.recipe.soft_temperature is 2, and soft is false; set soft to true, or leave it out";
        check("soft_temperature = 2.0", expected);
        let expected = "students.recipe.soft_temperature is 0; choose a number above 0";
        check("soft = true\nsoft_temperature = 0.0", expected);
    }
}
