//! Reaching a running bridge, as any client does.

use anyhow::Context;
use clap::Args;
use tidegate_client::native::{Client, Options};

/// Which bridge, and as whom.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// The bridge's WebSocket address.
    #[arg(long, env = "TIDEGATE_URL", default_value = "ws://127.0.0.1:8080/v1/ws")]
    url: String,
    /// The token to come with.
    #[arg(long, env = "TIDEGATE_TOKEN", hide_env_values = true)]
    token: String,
}

impl Remote {
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        let options = Options::new(self.token.as_str());
        Client::connect(self.url.as_str(), options).await.with_context(|| format!("can not connect to {}", self.url))
    }
}
