//! `tidegate serve`: a bridge, until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigFile;
use crate::app::{Extras, Node, open_log};
use crate::telemetry;
use crate::transport::Assets;

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigFile,
    /// A folder of files to serve: `client/`, `dashboard/`.
    #[arg(long, env = "TIDEGATE_ASSETS")]
    assets: Option<PathBuf>,
    /// How the bridge writes its own log.
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", default_value = "text", value_parser = ["text", "json"])]
    log_format: String,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        telemetry::start_logging(self.log_format == "json");
        let config = self.config.load()?;
        let mut hangups = signal(SignalKind::hangup()).context("can not wait for SIGHUP")?;
        let assets = self.assets.as_deref().map(Assets::read).transpose().context("can not read the assets")?;
        let log = open_log(&config.log).context("can not open the log")?;
        let extras = Extras { assets: assets.unwrap_or_default(), dev_token: None, source: Some(self.config.source()) };
        let node = Node::start(&config, log, extras)
            .await
            .with_context(|| format!("can not start on {}", config.server.listen))?;
        tracing::info!(address = %node.server.address, node = %config.server.node, "serving");
        let reloader = node.reloader.clone();
        let reloading = tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                if let Some(reloader) = &reloader {
                    reloader.reload().await;
                }
            }
        });
        stopped().await?;
        reloading.abort();
        tracing::info!("stopping");
        node.stop().await;
        Ok(())
    }
}

/// Waits until the process is asked to end.
pub(super) async fn stopped() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("can not wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can not wait for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
