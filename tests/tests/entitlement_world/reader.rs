//! A reader, by whatever way it reads: a socket, a stream of frames, or one topic's events.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_tests::http::{Events, Request};
use tidegate_tests::raw::{Said, Session};
use tokio::time::timeout;

use super::super::json::Json;
use super::super::reference::{self, Filter};
use super::{Held, World, clock};

/// How long something more may take to come that should not.
const GRACE: Duration = Duration::from_millis(20);

/// How long what should come may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Reader {
    pub token: usize,
    pub topic: &'static str,
    pub physical: String,
    pub filter: Filter,
    /// What lay on the log before it begins.
    pub since: usize,
    /// Where "latest" may be: the feed may not have come to the log's end yet.
    pub perhaps: usize,
    pub began: i64,
    pub got: BTreeSet<usize>,
    pub wire: Wire,
}

pub enum Wire {
    Socket { session: Box<Session>, cursors: Vec<String>, waiting: Vec<Json> },
    Stream { events: Events, waiting: Vec<Json> },
    Events(Events),
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Socket { .. } => "a socket",
            Self::Stream { .. } => "a stream",
            Self::Events(_) => "server-sent events",
        })
    }
}

fn tree(value: &str) -> Json {
    Json::parse(value.as_bytes()).unwrap_or_else(|| panic!("{value}"))
}

/// A batch's entries, in order, to be taken from the end.
fn entries(frame: &Json) -> Vec<Json> {
    match frame.get("batch").and_then(|batch| batch.get("entries")) {
        Some(Json::List(entries)) => entries.iter().rev().cloned().collect(),
        _ => Vec::new(),
    }
}

impl Wire {
    /// The next entry; `None` if none comes in time.
    pub async fn next(&mut self) -> Option<Json> {
        timeout(PATIENCE, self.read()).await.ok()
    }

    /// Whatever else comes soon.
    pub async fn rest(&mut self) -> Vec<Json> {
        let mut all = Vec::new();
        while let Ok(entry) = timeout(GRACE, self.read()).await {
            all.push(entry);
        }
        all
    }

    async fn read(&mut self) -> Json {
        loop {
            match self {
                Self::Socket { waiting, .. } | Self::Stream { waiting, .. } if !waiting.is_empty() => {
                    return waiting.pop().expect("it waits");
                }
                Self::Socket { session, cursors, waiting } => {
                    let text = session.next_text().await.expect("the socket stays open");
                    let frame = tree(&text);
                    let cursor = |of: &Json| of.get("cursor").and_then(Json::as_text).map(str::to_owned);
                    if let Some(batch) = frame.get("batch") {
                        cursors.extend(cursor(batch));
                        *waiting = entries(&frame);
                    }
                    if let Some(Json::List(told)) = frame.get("ping").and_then(|ping| ping.get("cursors")) {
                        *cursors = told.iter().filter_map(cursor).collect();
                    }
                }
                Self::Stream { events, waiting } => {
                    let message = events.named("message").await;
                    *waiting = entries(&tree(&message.data));
                }
                Self::Events(events) => {
                    let message = events.next().await.expect("the stream goes on");
                    assert!(!matches!(&*message.name, "error" | "moved"), "{message:?}");
                    if message.name.contains('.') {
                        return Json::Object(vec![("event".to_owned(), tree(&message.data))]);
                    }
                }
            }
        }
    }
}

impl World {
    /// Somebody comes to read, if they may.
    pub async fn come(&mut self) -> Option<Reader> {
        let number = self.chance.below(self.setting.tokens.len());
        let topic = self.chance.pick(&self.setting.topics).clone();
        let token = self.setting.tokens[number].clone();
        let words = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        let types =
            if self.chance.once_in(3) { self.chance.any(&["order.created", "order.*", "cart.*"]) } else { Vec::new() };
        let keys = if self.chance.once_in(6) { self.chance.any(&["ada", "order/ada"]) } else { Vec::new() };
        let mut filter = Filter { types: words(types), keys: words(keys) };
        let physical = topic.physical_of(token.tenant);
        let granted = |action| reference::grants(&self.setting, &token, action, topic.name).next().is_some();
        let (covered, replays) = (granted("subscribe"), granted("replay"));
        let (mut from, mut since, mut good) = (json!("latest"), self.log.len(), true);
        let times = self.times.clone();
        match self.chance.below(4) {
            0 => (from, since) = (json!("earliest"), 0),
            1 => {
                let (time, until) = *self.chance.pick(&times);
                (from, since) = (json!({ "time": time }), until);
            }
            2 if !self.held.is_empty() => {
                let Held { tenant, physical: of, token: whose, filter: known, cursors, until } =
                    self.chance.pick(&self.held).clone();
                let own = if topic.is_public() { "" } else { token.tenant };
                good = tenant == own && of == physical;
                // Only who asks for the same as before goes on without a gap that can be told here.
                if good && whose != number {
                    return None;
                }
                (from, since, filter) = (json!({ "cursor": cursors }), until, known);
            }
            _ => {}
        }
        let replay = from == "earliest" || from.get("time").is_some();
        let allowed = covered && (!replay || replays) && good;
        let subscribe = json!({"subscribe": {
            "id": 1, "topic": topic.name, "types": filter.types, "keys": filter.keys, "from": from,
        }});
        let before = times.len().checked_sub(2).map_or(0, |before| times[before].1);
        let perhaps = if from == "latest" { before } else { since };
        let began = clock();
        let wire = match self.chance.below(4) {
            0 => self.stream(&token.text, &subscribe).await,
            1 if from == "latest" || from == "earliest" => {
                let mut query = vec![format!("?from={}", from.as_str().expect("text"))];
                query.extend(filter.types.iter().map(|name| format!("types={name}")));
                query.extend(filter.keys.iter().map(|key| format!("keys={}", key.replace('/', "%2F"))));
                let request = Request::read(topic.name, &query.join("&"), &token.text);
                let status = request.ask_status(self.bridge.address).await;
                if status == 200 {
                    Ok(Wire::Events(request.events(self.bridge.address).await))
                } else {
                    Err(format!("status {status}"))
                }
            }
            _ => self.socket(&token.text, &subscribe).await,
        };
        let reader = |wire| Reader {
            token: number,
            topic: topic.name,
            physical: physical.clone(),
            filter: filter.clone(),
            since,
            perhaps,
            began,
            got: BTreeSet::new(),
            wire,
        };
        let why = || format!("{subscribe} by {}\n{}", token.claims, self.setting.rules());
        match wire {
            Ok(wire) => {
                assert!(allowed, "let in: {}", why());
                Some(reader(wire))
            }
            Err(code) => {
                // Grants whose conditions can hold for nothing are none.
                let seen = |entry: &super::Entry| {
                    let event = entry.event.as_ref().filter(|_| entry.physical == physical);
                    event.is_some_and(|event| {
                        reference::may_see(&self.setting, &token, &entry.topic, event, &entry.raw, began)
                    })
                };
                let dead = !self.log.iter().any(seen) && (code == "denied" || code == "status 403");
                assert!(!allowed || dead, "refused with {code}: {}", why());
                None
            }
        }
    }

    async fn socket(&self, token: &str, subscribe: &Value) -> Result<Wire, String> {
        let mut session = Session::open(self.bridge.address, token).await;
        session.say(subscribe).await;
        loop {
            let Said::Frame(frame) = session.next().await else { return Err("closed".to_owned()) };
            if let Some(code) = frame["error"]["code"].as_str() {
                return Err(code.to_owned());
            }
            if let Some(cursor) = frame["subscribed"]["cursor"].as_str() {
                let session = Box::new(session);
                return Ok(Wire::Socket { session, cursors: vec![cursor.to_owned()], waiting: Vec::new() });
            }
        }
    }

    async fn stream(&self, token: &str, subscribe: &Value) -> Result<Wire, String> {
        let hello = json!({"hello": {"token": token, "client": uuid::Uuid::new_v4().to_string()}});
        let mut events = Request::stream(&[hello, subscribe.clone()]).events(self.bridge.address).await;
        loop {
            let message = events.next().await.ok_or("ended")?;
            let frame: Value = serde_json::from_str(&message.data).expect("a frame is JSON");
            if let Some(code) = frame["error"]["code"].as_str() {
                return Err(code.to_owned());
            }
            if frame.get("subscribed").is_some() {
                return Ok(Wire::Stream { events, waiting: Vec::new() });
            }
        }
    }
}
