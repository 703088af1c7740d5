//! `tidegate bench`: many sessions on a running bridge, each a client as it ships, and what they get of a topic.

mod tally;

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use futures_util::{StreamExt as _, stream};
use tidegate_client::native::{Client, Options, State, Subscribe, Subscription, Token};
use tidegate_protocol::timestamp;

use crate::clock::Clock;
use tally::{Mark, Tally};

/// Sessions that are being opened at the same time.
const OPENING: usize = 64;

#[derive(Debug, Args)]
pub(super) struct Bench {
    /// The bridge's WebSocket address.
    #[arg(long, env = "TIDEGATE_URL", default_value = "ws://127.0.0.1:8080/v1/ws")]
    url: String,
    /// The token that all sessions come with.
    #[arg(long, env = "TIDEGATE_TOKEN", hide_env_values = true, required_unless_present = "token_command")]
    token: Option<String>,
    /// Instead, a command of the shell that prints a token. Each session runs it, with its number in
    /// `TIDEGATE_BENCH_SESSION`, and runs it again when it needs another token.
    #[arg(long, value_name = "COMMAND")]
    token_command: Option<String>,
    /// The topic that all sessions subscribe to. Its events are those that come meanwhile: produce some.
    topic: String,
    /// How many sessions.
    #[arg(long, default_value_t = 100)]
    sessions: usize,
    /// Seconds of the measurement, once all sessions are open.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Prints one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(super) fn run(self) -> anyhow::Result<()> {
        // All cores: what is to be measured is the bridge.
        tokio::runtime::Runtime::new().context("can not start the runtime")?.block_on(self.measure())
    }

    async fn measure(&self) -> anyhow::Result<()> {
        ensure!(self.sessions > 0 && self.seconds > 0, "--sessions and --seconds must be at least 1");
        let tally = Arc::new(Tally::default());
        let began = Instant::now();
        let mut opened = stream::iter((0..self.sessions).map(|number| self.open(number))).buffer_unordered(OPENING);
        let mut clients = Vec::with_capacity(self.sessions);
        while let Some(session) = opened.next().await {
            let (client, subscription) = session?;
            tokio::spawn(count(subscription, Arc::clone(&tally)));
            tokio::spawn(watch(client.clone(), Arc::clone(&tally)));
            clients.push(client);
        }
        drop(opened);
        let opening = began.elapsed();
        eprintln!("{} sessions are open after {:.1} s; measuring", clients.len(), opening.as_secs_f64());
        tally.measure(true);
        let first = Mark::now(&tally);
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        let last = Mark::now(&tally);
        tally.measure(false);
        let result = tally.result(&first, &last, clients.len(), opening);
        if self.json {
            println!("{}", result.json());
        } else {
            print!("{result}");
        }
        Ok(())
    }

    async fn open(&self, number: usize) -> anyhow::Result<(Client, Subscription)> {
        let options = Options::new(self.token(number));
        let client = Client::connect(self.url.as_str(), options).await?;
        let subscription = client.subscribe(Subscribe::to(self.topic.as_str())).await;
        Ok((client, subscription.with_context(|| format!("can not subscribe to {}", self.topic))?))
    }

    fn token(&self, number: usize) -> Token {
        match (&self.token_command, &self.token) {
            (Some(command), _) => {
                let command: Arc<str> = command.as_str().into();
                Token::source(move || asked(Arc::clone(&command), number))
            }
            (None, token) => Token::Fixed(token.clone().unwrap_or_default()),
        }
    }
}

/// What the command prints.
async fn asked(command: Arc<str>, number: usize) -> Result<String, String> {
    let printed = tokio::task::spawn_blocking(move || token_of(&command, number)).await;
    printed.map_err(|error| error.to_string())?.map_err(|error| format!("--token-command: {error:#}"))
}

fn token_of(command: &str, number: usize) -> anyhow::Result<String> {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", command]).env("TIDEGATE_BENCH_SESSION", number.to_string());
    let output = shell.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let token = String::from_utf8(output.stdout).context("it did not print text")?.trim().to_owned();
    if !output.status.success() || token.is_empty() {
        bail!("it printed no token and ended with {}", output.status);
    }
    Ok(token)
}

/// Takes all that comes.
async fn count(mut subscription: Subscription, tally: Arc<Tally>) {
    while let Some(delivery) = subscription.next().await {
        let first = delivery.ordinal == 0;
        // One event of each frame tells how old it is: reading every one would cost more than receiving it.
        let age = (first && tally.is_measuring())
            .then(|| Some(Clock.now() - timestamp::parse(&delivery.text("timestamp")?)?))
            .flatten();
        tally.delivered(delivery.event.len(), first, age);
        delivery.consumed();
    }
    if let Some(problem) = subscription.problem() {
        tally.ended(problem.to_string());
    }
}

/// Notes when the session is there again, or over.
async fn watch(client: Client, tally: Arc<Tally>) {
    let mut state = client.state();
    drop(client);
    state.mark_unchanged();
    while state.changed().await.is_ok() {
        match &*state.borrow_and_update() {
            State::Open(_) => tally.reconnected(),
            State::Closed(problem) => {
                return tally.ended(problem.as_ref().map_or_else(|| "closed".to_owned(), ToString::to_string));
            }
            State::Connecting | State::Waiting { .. } => {}
        }
    }
}
