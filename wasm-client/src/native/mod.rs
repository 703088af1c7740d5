//! The native socket adapter, on tokio: for the command line, tests and the bench.
//!
//! One task owns the machine and the socket. Deliveries wait in channels until the application takes them; a batch is
//! reported as dispatched when all of it was taken, so an application that takes nothing stops the bridge by the
//! session's credit, and no more than that lies in memory for each session.

mod delivery;
mod driver;
mod socket;
mod subscription;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::envelope::Head;
use tidegate_protocol::frame::{From as Begin, Published};
use tidegate_protocol::ledger::Column;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use crate::machine::{Problem, State};
pub use delivery::Delivery;
pub use subscription::{Ledger, Subscription};

use crate::machine::Want;
use driver::{Command, Commands, Driver};
use subscription::Item;

/// A connection to a bridge. Cheap to clone; when the last clone and the last subscription are dropped, it closes.
#[derive(Debug, Clone)]
pub struct Client(Arc<Lifeline>);

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where tokens come from.
    pub token: Token,
    /// Names the client; a random name if there is none. A newer session of the same name replaces an older one.
    pub client: Option<String>,
    /// A delivery held longer than this has failed.
    pub handler_timeout: Duration,
    /// Whether the first attempt may fail and be repeated, as later ones are.
    pub patient: bool,
}

impl Options {
    /// The defaults, with this token.
    pub fn new(token: impl Into<Token>) -> Self {
        Self { token: token.into(), client: None, handler_timeout: Duration::from_secs(30), patient: false }
    }
}

/// KiB of published events that may wait for their answers.
const UNANSWERED: usize = 16 * 1024;

type Asked = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// Where tokens come from.
#[derive(Clone)]
pub enum Token {
    /// Always the same one; when it has expired, the connection is over.
    Fixed(String),
    /// Asked before each attempt to connect and before the last one expires.
    Source(Arc<dyn Fn() -> Asked + Send + Sync>),
}

impl Token {
    /// Asks `source` for each token.
    pub fn source<F>(source: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        Self::Source(Arc::new(move || Box::pin(source())))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Fixed(_) => "Token::Fixed(…)",
            Self::Source(_) => "Token::Source(…)",
        })
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self::Fixed(token.to_owned())
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self::Fixed(token)
    }
}

/// What to subscribe to.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// Logical topic.
    pub topic: String,
    /// Event types (`order.created`), or their beginnings (`order.*`); all when empty.
    pub types: Vec<String>,
    /// Keys; all when empty. Subscriptions of one topic at one client name the same.
    pub keys: Vec<String>,
    /// Named consumer.
    pub consumer: Option<String>,
    /// Where to begin; `None`: with what comes next, or wherever other subscriptions of this client stand.
    pub from: Option<Begin>,
    /// Whether events that this client published come back to it. Those that do not are consumed.
    pub echo: bool,
}

impl Subscribe {
    /// All of a topic from now on.
    pub fn to(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), types: Vec::new(), keys: Vec::new(), consumer: None, from: None, echo: true }
    }

    /// The same, from elsewhere.
    #[must_use]
    pub fn from(self, from: Begin) -> Self {
        Self { from: Some(from), ..self }
    }
}

/// The first attempt failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("can not connect to {url}: {problem}")]
pub struct ConnectError {
    /// The address.
    pub url: String,
    /// Why.
    #[source]
    pub problem: Problem,
}

/// Why a call failed: stable code, text, and whether the same can succeed later.
pub type Error = Problem;

impl Client {
    /// Connects to a bridge, such as `ws://127.0.0.1:8080/v1/ws`, and waits for the session.
    pub async fn connect(url: impl Into<String>, options: Options) -> Result<Self, ConnectError> {
        let url = url.into();
        let patient = options.patient;
        let (commands, inbox) = channel();
        let driver = Driver::new(url.clone(), options, commands.clone(), inbox);
        let (mut state, log_available) = driver.watch();
        let unanswered = Semaphore::new(UNANSWERED);
        let client = Self(Arc::new(Lifeline { commands, state: state.clone(), log_available, unanswered }));
        tokio::spawn(driver.run());
        let settled = state.wait_for(|state| match state {
            State::Connecting => false,
            State::Waiting { .. } => !patient,
            State::Open(_) | State::Closed(_) => true,
        });
        let problem = match settled.await.as_deref() {
            Ok(State::Open(_)) => return Ok(client),
            Ok(State::Waiting { problem, .. } | State::Closed(Some(problem))) => problem.clone(),
            Ok(_) | Err(_) => closed(),
        };
        Err(ConnectError { url, problem })
    }

    /// Subscribes, and waits until the bridge has accepted it.
    pub async fn subscribe(&self, subscribe: Subscribe) -> Result<Subscription, Error> {
        let Subscribe { topic, types, keys, consumer, from, echo } = subscribe;
        let want = Want { topic, types, keys, consumer, from, group_by: Vec::new() };
        let (handle, items) = self.want(want, echo).await?;
        Ok(Subscription::new(handle, items, Arc::clone(&self.0)))
    }

    /// Publishes an event's JSON text; its `id` is filled in when absent.
    ///
    /// Waits while 16 MiB of events are unanswered.
    pub async fn publish(&self, topic: &str, key: Option<&str>, event: &str) -> Result<Published, Error> {
        let invalid = |what: String| Problem::known(ErrorCode::InvalidEvent, what);
        let head = Head::read(event).map_err(|bad| invalid(bad.to_string()))?;
        let id = head.text("id").map_err(|bad| invalid(bad.to_string()))?.map(String::from);
        let weight = (1 + event.len() / 1024).min(UNANSWERED) as u32;
        let _permit = self.0.unanswered.acquire_many(weight).await.map_err(|_| closed())?;
        let (topic, key, event) = (topic.to_owned(), key.map(str::to_owned), event.to_owned());
        self.call(|reply| Command::Publish { topic, key, id, event, reply }).await?
    }

    /// The ledger's totals, once a second, grouped by these columns.
    pub async fn ledger(&self, group_by: &[Column]) -> Result<Ledger, Error> {
        let want = Want { topic: "$ledger".to_owned(), group_by: group_by.to_vec(), ..Want::default() };
        let (handle, items) = self.want(want, true).await?;
        Ok(Ledger(Subscription::new(handle, items, Arc::clone(&self.0))))
    }

    /// The connection's state, as it changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.0.state.clone()
    }

    /// Whether the bridge reaches the log, as far as it said so.
    pub fn log_available(&self) -> watch::Receiver<bool> {
        self.0.log_available.clone()
    }

    /// Reports what there is to report, closes the socket and ends everything.
    pub async fn close(&self) {
        let _ = self.call(|reply| Command::Close { reply: Some(reply) }).await;
    }

    async fn want(&self, want: Want, echo: bool) -> Result<(crate::machine::Handle, Items), Error> {
        let (items, received) = channel();
        let handle = self.call(|reply| Command::Subscribe { want, echo, items, reply }).await??;
        Ok((handle, received))
    }

    async fn call<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.commands.send(command(reply));
        answer.await.map_err(|_| closed())
    }
}

type Items = mpsc::UnboundedReceiver<Item>;

/// Ends the connection when nobody holds it any more.
#[derive(Debug)]
struct Lifeline {
    commands: Commands,
    state: watch::Receiver<State>,
    log_available: watch::Receiver<bool>,
    unanswered: Semaphore,
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Close { reply: None });
    }
}

/// A channel whose content is bounded by other means: deliveries, and what is said of them, by the session's credit and
/// its limit of unsettled deliveries; publishes by [`UNANSWERED`]; all else by the calls that wait for an answer.
#[expect(clippy::disallowed_methods, reason = "bounded by credit and by permits, in bytes")]
fn channel<T>() -> (mpsc::UnboundedSender<T>, mpsc::UnboundedReceiver<T>) {
    mpsc::unbounded_channel()
}

fn closed() -> Problem {
    Problem {
        code: "closed".into(),
        message: "the client is closed".into(),
        retryable: false,
        pointer: None,
        retry_after_ms: None,
    }
}
