//! What clients without a socket of their own hear: event streams, of frames or of one topic's events.

use tidegate::session::Format;

use super::client::{self, From, Pending};
use super::json::Json;
use super::world::World;

/// A message of an event stream.
#[derive(Debug, Default)]
pub struct Message {
    name: Option<String>,
    id: Option<String>,
    data: Option<String>,
    begins: bool,
}

/// The messages of a stream, as its reader takes them apart.
pub fn messages(format: Format, text: &str) -> Vec<client::Message> {
    let mut all = Vec::new();
    let mut message = Message::default();
    assert!(text.is_empty() || text.ends_with("\n\n"), "half a message: {text}");
    for line in text.lines() {
        let field = |name: &str| line.strip_prefix(name).map(|rest| rest.strip_prefix(": ").unwrap_or(rest).to_owned());
        if line.is_empty() {
            all.push(whole(format, std::mem::take(&mut message)));
        } else if let Some(data) = field("data") {
            let before = message.data.take().map(|data| data + "\n").unwrap_or_default();
            message.data = Some(before + &data);
        } else if let Some(name) = field("event") {
            message.name = Some(name);
        } else if let Some(id) = field("id") {
            message.id = Some(id);
        } else if field("retry").is_some() {
            message.begins = true;
        } else {
            assert!(line.starts_with(':'), "{line}");
        }
    }
    all
}

fn whole(format: Format, message: Message) -> client::Message {
    if format == Format::Events {
        return client::Message::Event(message);
    }
    let data = Json::parse(message.data.expect("data").as_bytes()).expect("JSON");
    match message.name.as_deref() {
        None => client::Message::Frame(data),
        Some("close") => match data.get("code") {
            Some(Json::Int(code)) => client::Message::Close(*code as u16),
            other => panic!("{other:?}"),
        },
        Some(other) => panic!("{other}"),
    }
}

impl World<'_> {
    /// A reader of one topic hears something.
    pub fn hear_event(&mut self, at: usize, message: &Message) {
        let Message { name, id, data, begins } = message;
        if *begins {
            let request = *self.clients[at].pending.keys().next().expect("a request");
            let cursor = id.clone().expect("where it begins");
            return self.begin(at, request, (1, 0, 0), cursor);
        }
        let data = data.as_ref().map(|data| Json::parse(data.as_bytes()).unwrap_or_else(|| panic!("{data}")));
        match (name.as_deref(), data) {
            (None, None) => {
                let cursor = id.iter().cloned().collect::<Vec<_>>();
                if !cursor.is_empty() {
                    self.clients[at].readers[0].cursors = cursor;
                }
            }
            (Some("error"), Some(error)) => {
                let code = error.get("code").and_then(Json::as_text).expect("a code").to_owned();
                self.turned_away(at, &code);
            }
            (Some(name), Some(event)) => {
                assert_eq!(event.get("type").and_then(Json::as_text), Some(name));
                if let Some(cursor) = id {
                    self.clients[at].readers[0].cursors = vec![cursor.clone()];
                }
                self.deliver(at, 0, &Json::Object(vec![("event".to_owned(), event)]), false);
                if !self.clients[at].lazy {
                    self.clients[at].report();
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// A reader of one topic is told that this is all.
    pub fn turned_away(&mut self, at: usize, code: &str) {
        match code {
            "token_expired" => return self.closed(at, 3002),
            "revoked" => return self.closed(at, 3503),
            _ => {}
        }
        if let Some(&request) = self.clients[at].pending.keys().next() {
            self.refused_request(at, request, code);
        } else {
            assert_eq!(code, "denied");
            self.ended(at, self.clients[at].readers[0].subscription);
        }
        self.leave(at);
    }

    /// A subscription begins.
    pub fn begin(&mut self, at: usize, request: u32, (subscription, view, seq): (u32, u64, u64), cursor: String) {
        let asked = self.clients[at].pending.remove(&request);
        let (mut reader, from) = match asked {
            Some(Pending::Subscribe { reader, from, open: true, .. }) => (*reader, from),
            Some(Pending::Ledger { columns, open: true }) => {
                return self.clients[at].ledgers.push((subscription, columns));
            }
            other => panic!("subscribed, but {other:?}; {}", self.setting(at).configuration()),
        };
        (reader.subscription, reader.view, reader.seq) = (subscription, view, seq);
        reader.cursors = vec![cursor];
        let begins = reader.position();
        let (node, key) = (self.clients[at].node, self.clients[at].key.expect("a session"));
        let expected = match &from {
            From::Latest => begins.clone(),
            From::Earliest => begins.keys().map(|&partition| (partition, 0)).collect(),
            From::Time => self.found.remove(&(node, key, subscription)).expect("a time that was asked for"),
            From::Cursor(position) => position.clone(),
        };
        assert_eq!(begins, expected, "{reader:?} begins elsewhere");
        reader.settled = begins;
        self.count(match from {
            From::Latest => "from latest",
            From::Earliest => "from earliest",
            From::Time => "from a time",
            From::Cursor(_) => "from a cursor",
        });
        self.clients[at].readers.push(reader);
    }
}
