//! `stillroom assert show`: a text by hand, to see what a lexicon makes of it.

use super::{LexiconArgs, cues, words};
use crate::commands::print_line;
use crate::highlight::plain;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::io::Read;
use std::process::ExitCode;
use stillroom_assertion::Marked;

/// Arguments of `assert show`.
#[derive(Args)]
pub(crate) struct Show {
    /// A text whose entities stand in brackets behind their task, as in `Denies [symptom:fever], takes [m:aspirin]`; -
    /// reads it from stdin.
    #[arg(value_name = "TEXT")]
    text: String,
    #[command(flatten)]
    lexicon: LexiconArgs,
}

impl Show {
    pub(super) fn run(self) -> Result<ExitCode> {
        let context = self.lexicon.open()?;
        let mut source = self.text;
        if source == "-" {
            source.clear();
            std::io::stdin().lock().read_to_string(&mut source).context("cannot read stdin; give a text in UTF-8")?;
        }
        let Marked { text, spans } = Marked::read(&source);
        ensure!(
            !spans.is_empty(),
            "no entity is marked; write one in brackets behind its task, such as [symptom:fever]"
        );
        for (span, asserted) in spans.iter().zip(context.assert(&text, &spans)) {
            let length = (span.end - span.start) as usize;
            let entity: String = text.chars().skip(span.start as usize).take(length).collect();
            let section = asserted.section.map_or_else(String::new, |section| format!(", in {section}"));
            let cues = Some(cues(&asserted.assertion)).filter(|cues| !cues.is_empty());
            let cues = cues.map_or_else(String::new, |cues| format!(": {cues}"));
            let said = words(&asserted.assertion).join(", ");
            print_line(format!("{}: {said}{section}{cues}", plain(&entity)))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
