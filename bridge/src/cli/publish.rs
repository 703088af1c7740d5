//! `tidegate publish`: events from the arguments or standard input, one a line.

use std::io::BufRead;

use anyhow::Context;
use clap::Args;

use super::remote::Remote;

#[derive(Debug, Args)]
pub(super) struct Publish {
    #[command(flatten)]
    remote: Remote,
    /// The topic.
    topic: String,
    /// Events as JSON; without any, one is read from each line of standard input.
    events: Vec<String>,
    /// What must stay in order.
    #[arg(long)]
    key: Option<String>,
}

impl Publish {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.connect().await?;
        let given = self.events.into_iter().map(Ok);
        let events: Box<dyn Iterator<Item = std::io::Result<String>>> =
            if given.len() == 0 { Box::new(std::io::stdin().lock().lines()) } else { Box::new(given) };
        for event in events {
            let event = event.context("can not read standard input")?;
            if !event.trim().is_empty() {
                let published = client.publish(&self.topic, self.key.as_deref(), &event).await?;
                println!("{}", published.event_id);
            }
        }
        client.close().await;
        Ok(())
    }
}
