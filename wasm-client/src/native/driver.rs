//! The task that owns the machine and the socket, and does what the machine says.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_protocol::envelope::Head;
use tidegate_protocol::frame::{Entry, Published, ServerFrame};
use tidegate_protocol::json::{Raw, Value};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Duration, Instant, sleep_until};

use super::delivery::{Batch, Delivery};
use super::socket::{Happening, Socket};
use super::subscription::Item;
use super::{Options, Token};
use crate::machine::{
    Arrival, Call, Dispatch, Effect, Handle, Machine, Options as Behaviour, Outcome, Problem, State, Want,
};

/// Where the application's hands reach the driver.
pub(super) type Commands = mpsc::UnboundedSender<Command>;

/// What the application asks.
#[derive(Debug)]
pub(super) enum Command {
    Subscribe {
        want: Want,
        echo: bool,
        items: mpsc::UnboundedSender<Item>,
        reply: oneshot::Sender<Result<Handle, Problem>>,
    },
    Unsubscribe(Handle),
    Publish {
        topic: String,
        key: Option<String>,
        id: Option<String>,
        event: String,
        reply: oneshot::Sender<Result<Published, Problem>>,
    },
    /// All deliveries of a batch are taken.
    Taken(Arrival),
    Settled {
        arrival: Arrival,
        ordinal: u32,
        outcome: Outcome,
    },
    Token {
        ask: u32,
        token: Result<String, String>,
    },
    Close {
        reply: Option<oneshot::Sender<()>>,
    },
}

/// A subscription's sending end.
struct Reader {
    items: mpsc::UnboundedSender<Item>,
    echo: bool,
    /// Answered when the bridge accepts it.
    reply: Option<oneshot::Sender<Result<Handle, Problem>>>,
}

pub(super) struct Driver {
    machine: Machine,
    url: String,
    token: Token,
    commands: Commands,
    inbox: mpsc::UnboundedReceiver<Command>,
    state: watch::Sender<State>,
    log_available: watch::Sender<bool>,
    began: (u64, Instant),
    socket: Socket,
    readers: HashMap<Handle, Reader>,
    calls: HashMap<Call, oneshot::Sender<Result<Published, Problem>>>,
    /// Batches of the session that are not told to be dispatched, by view.
    waiting: HashMap<(u32, u32), VecDeque<Arc<Batch>>>,
}

impl Driver {
    pub(super) fn new(
        url: String,
        options: Options,
        commands: Commands,
        inbox: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let mut behaviour = Behaviour::new(options.client.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()));
        behaviour.renewable = matches!(options.token, Token::Source(_));
        behaviour.handler_timeout_ms = u64::try_from(options.handler_timeout.as_millis()).unwrap_or(u64::MAX / 4);
        let seed = uuid::Uuid::new_v4().as_u64_pair();
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            machine: Machine::new(behaviour, [seed.0, seed.1]),
            url,
            token: options.token,
            commands,
            inbox,
            state: watch::Sender::new(State::Connecting),
            log_available: watch::Sender::new(true),
            began: (epoch.as_millis() as u64, Instant::now()),
            socket: Socket::default(),
            readers: HashMap::new(),
            calls: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    /// The connection's state, and whether the log is there.
    pub(super) fn watch(&self) -> (watch::Receiver<State>, watch::Receiver<bool>) {
        (self.state.subscribe(), self.log_available.subscribe())
    }

    pub(super) async fn run(mut self) {
        self.machine.connect(self.now());
        loop {
            while let Some(effect) = self.machine.next_effect() {
                self.perform(effect);
            }
            if matches!(self.machine.state(), State::Closed(_)) {
                return self.socket.finish().await;
            }
            let deadline = self.machine.deadline().map(|at| self.instant(at));
            tokio::select! {
                Some(command) = self.inbox.recv() => {
                    if let Command::Close { reply } = command {
                        self.machine.close(self.now());
                        while let Some(effect) = self.machine.next_effect() {
                            self.perform(effect);
                        }
                        self.socket.finish().await;
                        if let Some(reply) = reply {
                            let _ = reply.send(());
                        }
                        return;
                    }
                    self.obey(command);
                }
                happening = self.socket.next() => self.happened(happening),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.machine.tick(self.now());
                }
            }
        }
    }

    fn happened(&mut self, happening: Happening) {
        let now = self.now();
        match happening {
            Happening::Opened => self.machine.socket_opened(now),
            Happening::Text(text) => self.frame(&text),
            Happening::Closed(code, reason) => self.machine.socket_closed(now, code, &reason),
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Subscribe { want, echo, items, reply } => match self.machine.subscribe(now, want) {
                Ok(handle) => {
                    self.readers.insert(handle, Reader { items, echo, reply: Some(reply) });
                }
                Err(problem) => {
                    let _ = reply.send(Err(problem));
                }
            },
            Command::Unsubscribe(handle) => {
                self.readers.remove(&handle);
                self.machine.unsubscribe(now, handle);
            }
            Command::Publish { topic, key, id, event, reply } => {
                let (id, event) = if let Some(id) = id {
                    (id, event)
                } else {
                    let id = self.machine.event_id(now);
                    let event = with_id(&event, &id);
                    (id, event)
                };
                let call = self.machine.publish(now, &topic, key.as_deref(), &id, &event);
                self.calls.insert(call, reply);
            }
            Command::Taken(arrival) => self.announce(arrival.session, arrival.view),
            Command::Settled { arrival, ordinal, outcome } => self.machine.settle(now, arrival, ordinal, outcome),
            Command::Token { ask, token } => self.machine.token(now, ask, token),
            Command::Close { .. } => {}
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::FetchToken { ask } => self.fetch_token(ask),
            Effect::Connect => self.socket.dial(self.url.clone()),
            Effect::Send(text) => self.socket.send(text),
            Effect::Disconnect { code, reason } => self.socket.close(code, reason),
            Effect::State(state) => {
                if matches!(state, State::Open(_)) {
                    // A bridge that does not reach its log says so at once.
                    self.log_available.send_replace(true);
                } else {
                    // Reports about an earlier session are passed over, so its batches need no order any more.
                    self.waiting.clear();
                }
                self.state.send_replace(state);
            }
            Effect::Subscribed { handles, recovered } => {
                for handle in handles {
                    self.accepted(handle, recovered);
                }
            }
            Effect::Moved { handles, recovered, .. } => {
                for handle in handles.into_iter().filter(|_| !recovered) {
                    self.tell(handle, Item::Gap);
                }
            }
            Effect::Ended { handle, problem } => {
                let Some(reader) = self.readers.remove(&handle) else { return };
                match reader.reply {
                    Some(reply) => drop(reply.send(Err(problem))),
                    None => drop(reader.items.send(Item::Ended(problem))),
                }
            }
            Effect::Published { call, result } => {
                if let Some(reply) = self.calls.remove(&call) {
                    let _ = reply.send(result);
                }
            }
            Effect::Ledger { handles, report } => {
                for handle in handles {
                    self.tell(handle, Item::Ledger(Box::new(report.clone())));
                }
            }
            Effect::LogState { available } => drop(self.log_available.send_replace(available)),
            // Streams are for pages behind proxies, and not allowed here.
            Effect::TimedOut { .. } | Effect::OpenStream | Effect::Post(_) => {}
        }
    }

    fn accepted(&mut self, handle: Handle, recovered: bool) {
        let Some(reader) = self.readers.get_mut(&handle) else { return };
        if let Some(reply) = reader.reply.take()
            && reply.send(Ok(handle)).is_err()
        {
            // The caller has gone without its subscription.
            self.readers.remove(&handle);
            let now = self.now();
            self.machine.unsubscribe(now, handle);
        } else if !recovered {
            self.tell(handle, Item::Gap);
        }
    }

    fn tell(&self, handle: Handle, item: Item) {
        if let Some(reader) = self.readers.get(&handle) {
            let _ = reader.items.send(item);
        }
    }

    fn fetch_token(&self, ask: u32) {
        let commands = self.commands.clone();
        match &self.token {
            Token::Fixed(token) => drop(commands.send(Command::Token { ask, token: Ok(token.clone()) })),
            Token::Source(source) => {
                let answer = source();
                tokio::spawn(async move { commands.send(Command::Token { ask, token: answer.await }) });
            }
        }
    }

    fn frame(&mut self, text: &str) {
        let now = self.now();
        let raw = match Raw::parse(text) {
            Ok(raw) => raw,
            Err(bad) => return self.machine.bad_frame(now, &bad.into()),
        };
        match ServerFrame::decode(&raw) {
            Ok(Some(frame)) => {
                if let Some(dispatch) = self.machine.receive(now, frame, text.len()) {
                    self.dispatch(&dispatch);
                }
            }
            Ok(None) => {}
            Err(bad) => self.machine.bad_frame(now, &bad),
        }
    }

    /// Hands a batch's entries to those who take them.
    fn dispatch(&mut self, dispatch: &Dispatch<Raw<'_>>) {
        let entries: Vec<_> = dispatch.entries.items().unwrap_or_default().iter().map(Entry::read).collect();
        let takers: Vec<Takers> = entries.iter().map(|entry| self.takers(dispatch, entry.as_ref())).collect();
        let counts = takers.iter().map(|takers| takers.handles.len() as u32);
        let batch = Batch::new(dispatch.arrival, counts, self.commands.clone());
        let Arrival { session, view, .. } = dispatch.arrival;
        self.waiting.entry((session, view)).or_default().push_back(Arc::clone(&batch));
        for (ordinal, (entry, takers)) in (0..).zip(entries.iter().zip(takers)) {
            if takers.silenced {
                batch.pass_over(ordinal);
            }
            let Some(entry) = entry else { continue };
            for handle in takers.handles {
                let (topic, key) = (Arc::clone(&dispatch.topic), entry.key.clone().map(String::from));
                let delivery = Delivery::new(&batch, topic, key, entry.event.to_owned(), ordinal);
                self.tell(handle, Item::Delivery(delivery));
            }
        }
        self.announce(session, view);
    }

    fn takers(&self, dispatch: &Dispatch<Raw<'_>>, entry: Option<&Entry<'_>>) -> Takers {
        let mut takers = Takers { handles: Vec::new(), silenced: false };
        let Some(entry) = entry else { return takers };
        // Most subscriptions take all types and their own echo: then nothing is read.
        let mut head = None;
        for member in dispatch.members.iter() {
            let Some(reader) = self.readers.get(&member.handle) else { continue };
            if !(member.types.is_empty() && reader.echo) {
                let head = head.get_or_insert_with(|| Head::read(entry.event).ok());
                let text = |name| head.as_ref().and_then(|head: &Head<'_>| head.text(name).ok().flatten());
                if !text("type").is_some_and(|event_type| member.takes(&event_type)) {
                    continue;
                }
                if !reader.echo && text("id").is_some_and(|id| self.machine.is_echo(&id)) {
                    takers.silenced = true;
                    continue;
                }
            }
            takers.handles.push(member.handle);
        }
        takers
    }

    /// Tells the machine of the batches of a view that are taken, in their order.
    fn announce(&mut self, session: u32, view: u32) {
        let now = self.now();
        let Some(waiting) = self.waiting.get_mut(&(session, view)) else { return };
        while let Some(batch) = waiting.pop_front_if(|batch| batch.is_taken()) {
            let (entries, exceptions) = batch.announce();
            self.machine.dispatched(now, batch.arrival, entries, exceptions);
        }
        if waiting.is_empty() {
            self.waiting.remove(&(session, view));
        }
    }

    fn now(&self) -> u64 {
        self.began.0 + self.began.1.elapsed().as_millis() as u64
    }

    /// When the machine's clock shows `at`, and not a fraction of a millisecond earlier.
    fn instant(&self, at: u64) -> Instant {
        self.began.1 + Duration::from_millis(at.saturating_sub(self.began.0))
    }
}

/// Who takes an entry; and whether somebody does not because it is its own echo.
struct Takers {
    handles: Vec<Handle>,
    silenced: bool,
}

/// Adds an `id` to the text of a JSON object.
fn with_id(event: &str, id: &str) -> String {
    let rest = event.trim_start().strip_prefix('{').unwrap_or(event);
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    format!(r#"{{"id":"{id}"{comma}{rest}"#)
}
