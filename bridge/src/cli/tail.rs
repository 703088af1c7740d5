//! `tidegate tail`: a topic's events on standard output, one a line.

use std::io::Write;

use anyhow::{Context, bail};
use clap::Args;
use tidegate_client::native::Subscribe;
use tidegate_protocol::frame::From as Begin;
use tidegate_protocol::timestamp;

use super::remote::Remote;

#[derive(Debug, Args)]
pub(super) struct Tail {
    #[command(flatten)]
    remote: Remote,
    /// The topic.
    topic: String,
    /// Where to begin: `latest`, `earliest` or an RFC 3339 time.
    #[arg(long, default_value = "latest")]
    from: String,
    /// Only events of this type (`order.created`), or of all types that begin so (`order.*`); may be given several times.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only events with this key; may be given several times.
    #[arg(long = "key", value_name = "KEY")]
    only: Vec<String>,
    /// Ends after so many events.
    #[arg(long)]
    count: Option<usize>,
    /// Writes each event's key before it, and a tab.
    #[arg(long)]
    keys: bool,
}

impl Tail {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let from = match self.from.as_str() {
            "latest" => Begin::Latest,
            "earliest" => Begin::Earliest,
            time => Begin::Time(
                timestamp::parse(time)
                    .with_context(|| format!("--from {time}: latest, earliest or an RFC 3339 time"))?,
            ),
        };
        let client = self.remote.connect().await?;
        let wanted = Subscribe { types: self.types, keys: self.only, ..Subscribe::to(self.topic).from(from) };
        let mut subscription = client.subscribe(wanted).await?;
        let mut left = self.count.unwrap_or(usize::MAX);
        while left > 0 {
            let Some(delivery) = subscription.next().await else { break };
            let mut out = std::io::stdout().lock();
            if self.keys {
                write!(out, "{}\t", delivery.key.as_deref().unwrap_or(""))?;
            }
            // An event may be written over several lines; a line of output is one event.
            writeln!(out, "{}", delivery.event.replace(['\n', '\r'], " "))?;
            delivery.consumed();
            left -= 1;
        }
        if let Some(problem) = subscription.problem() {
            bail!("the subscription ended: {problem}");
        }
        client.close().await;
        Ok(())
    }
}
