//! `stillroom config`: what the settings are, and where they come from.

use crate::commands::{ConfigArgs, print_line};
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with the configuration.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print it, defaults included, as a file that `run -c` reads. Secrets are masked.
    Show {
        #[command(flatten)]
        config: ConfigArgs,
        /// Say of each setting where it comes from.
        #[arg(long)]
        origin: bool,
    },
}

impl ConfigCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let ConfigCommand::Show { config, origin } = self;
        let loaded = config.load()?;
        print_line(if origin { loaded.show_origins()? } else { loaded.show()? }.trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}
