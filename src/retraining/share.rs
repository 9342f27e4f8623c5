//! The share of patients who are held out, beside that by which the student that serves was trained. With a greater one students
//! would be measured on patients whom it learned from; with a smaller one all who are held out were held out then, too.

use crate::config::Config;
use crate::serving::activations;
use anyhow::{Result, ensure};
use stillroom_models::{ModelsError, Registry};
use stillroom_schemas::ModelId;

/// A share that was written and read again may be another number by so little.
const TOLERANCE: f64 = 1e-9;

/// Refuses a greater share than that of the student that was activated last. Where the registry cannot tell it is said, and nothing
/// is refused: whoever has to go back to another student needs no share.
///
/// # Errors
/// When it is greater, or the log or the configuration of the registry cannot be read.
pub(crate) fn check_at_start(config: &Config) -> Result<()> {
    let activations = activations(config)?;
    let Some(activation) = activations.last() else { return Ok(()) };
    let serving = &activation.model;
    match share_of(&Registry::open(&config.models)?, serving) {
        Ok(share) => compare(config.retraining.held_out, serving, share),
        Err(error) => {
            let error = anyhow::Error::from(error);
            eprintln!("with which share of patients held out {} was trained is not known: {error:#}", serving.0);
            Ok(())
        }
    }
}

/// Refuses a greater share than that of the student that serves.
///
/// # Errors
/// When it is greater, or the registry cannot be read.
pub(crate) fn check(config: &Config, registry: &Registry, serving: &ModelId) -> Result<()> {
    compare(config.retraining.held_out, serving, share_of(registry, serving)?)
}

/// The share by which a student was trained; nothing where no run of retraining trained it, or the registry does not have it.
fn share_of(registry: &Registry, model: &ModelId) -> Result<Option<f64>, ModelsError> {
    let entry = match registry.get(model) {
        // A student of the configuration may be called as none of the registry can.
        Err(ModelsError::Id { .. }) => None,
        entry => entry?,
    };
    Ok(entry.and_then(|entry| entry.training?.chosen_by).map(|chosen_by| chosen_by.held_out))
}

fn compare(held_out: f64, serving: &ModelId, share: Option<f64>) -> Result<()> {
    let share = share.unwrap_or(1.0);
    ensure!(
        held_out <= share + TOLERANCE,
        "[retraining] held_out is {held_out}, and {}, which serves, was trained with {share}: it learned from patients who would be \
         held out now, and students would be measured on them; set held_out to {share} or less",
        serving.0
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_greater_share_than_that_of_the_student_that_serves() {
        let compared = |held_out, share| compare(held_out, &ModelId("s@1234".to_owned()), share);
        for (held_out, share) in [(0.3, Some(0.3)), (0.1 + 0.2, Some(0.3)), (0.2, Some(0.3)), (0.9, None)] {
            assert!(compared(held_out, share).is_ok(), "{held_out} {share:?}");
        }
        let refused = compared(0.4, Some(0.3)).unwrap_err().to_string();
        assert!(refused.contains("held_out is 0.4") && refused.ends_with("set held_out to 0.3 or less"), "{refused}");
    }
}
