//! `tidegate check`: everything that is wrong with the configuration, and a summary of what it says.

use clap::Args;

use super::ConfigFile;
use crate::transport::check_certificate;

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = self.config.load()?;
        if let Some(files) = &config.server.tls {
            check_certificate(files)?;
        }
        let topics = config.topics.iter().count();
        println!("ok: {topics} topics, {} grants, listening on {}", config.grants.len(), config.server.listen);
        Ok(())
    }
}
