//! What a client says.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::report::Report;
use super::{BadFrame, split, unknown};
use crate::json::write::{self, Object};
use crate::json::{BadField, Fields, Raw, Value};
use crate::ledger::Column;
use crate::timestamp::Millis;

/// A frame from a client.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientFrame {
    /// The first frame: who this is.
    Hello(Hello),
    /// Wants a topic.
    Subscribe(Subscribe),
    /// No longer wants it.
    Unsubscribe(Unsubscribe),
    /// Puts an event onto a topic.
    Publish(Publish),
    /// What became of deliveries.
    Report(Report),
    /// A new token for the same tenant and subject.
    Refresh(Refresh),
    /// Answer to a `ping`.
    Pong,
}

/// `hello`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// A JWT.
    pub token: String,
    /// Names the client; a newer session with the same one and subject replaces the older.
    pub client: String,
    /// What this client can do beyond the base protocol.
    pub features: Vec<String>,
}

/// `subscribe`.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// Ties the answer to this frame.
    pub id: u32,
    /// Logical topic, or `$ledger`.
    pub topic: String,
    /// Event types wanted, `order.created` or `order.*`; all when empty.
    pub types: Vec<String>,
    /// Keys wanted, as readers see them; all when empty.
    pub keys: Vec<String>,
    /// Named consumer: a work queue.
    pub consumer: Option<String>,
    /// Where to begin.
    pub from: From,
    /// `$ledger` only: the columns to group by.
    pub group_by: Vec<Column>,
}

/// Where a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum From {
    /// With what comes next.
    #[default]
    Latest,
    /// With the oldest record still there.
    Earliest,
    /// With the first record at or after this time.
    Time(Millis),
    /// Where sealed cursors say: the newest full one, then the deltas since.
    Cursor(Vec<String>),
}

/// `unsubscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Ties the answer to this frame.
    pub id: u32,
    /// As told by `subscribed`.
    pub subscription: u32,
}

/// `publish`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Ties the answer to this frame.
    pub id: u32,
    /// Logical topic.
    pub topic: String,
    /// What must stay in order, unless the envelope's own default will do.
    pub key: Option<String>,
    /// The event's JSON text, in the publisher's own bytes.
    pub event: String,
    /// Reserved: an earlier send of the same event got no answer.
    pub again: bool,
}

/// `refresh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// Ties the answer to this frame.
    pub id: u32,
    /// The new JWT.
    pub token: String,
}

impl ClientFrame {
    /// Reads a frame's text. `None`: a frame that may be passed over.
    pub fn decode(text: &str) -> Result<Option<Self>, BadFrame> {
        if let Some(report) = Report::read_plain(text) {
            return Ok(Some(Self::Report(report)));
        }
        let frame = Raw::parse(text)?;
        let (name, body) = split(&frame)?;
        let fields = Fields::new(&body, format!("/{name}"));
        Ok(Some(match name.as_str() {
            "hello" => Self::Hello(Hello {
                token: fields.text("token")?,
                client: fields.text("client")?,
                features: fields.texts("features")?,
            }),
            "subscribe" => Self::Subscribe(Subscribe { id: fields.integer("id")?, ..Subscribe::read(&fields)? }),
            "unsubscribe" => Self::Unsubscribe(Unsubscribe {
                id: fields.integer("id")?,
                subscription: fields.integer("subscription")?,
            }),
            "publish" => Self::Publish(Publish {
                id: fields.integer("id")?,
                topic: fields.text("topic")?,
                key: fields.optional_text("key")?,
                event: fields.require("event")?.json(),
                again: fields.flag("again")?,
            }),
            "report" => Self::Report(Report::read(&fields)?),
            "refresh" => Self::Refresh(Refresh { id: fields.integer("id")?, token: fields.text("token")? }),
            "pong" if body.json().starts_with('{') => Self::Pong,
            "pong" => return Err(BadField::new(String::from("/pong"), "must be an object").into()),
            _ => return unknown(&name),
        }))
    }

    /// Writes the frame's text.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(128);
        let mut frame = Object::begin(&mut out);
        match self {
            Self::Hello(hello) => frame.object("hello", |body| {
                body.text("token", &hello.token);
                body.text("client", &hello.client);
                if !hello.features.is_empty() {
                    body.texts("features", &hello.features);
                }
            }),
            Self::Subscribe(subscribe) => frame.object("subscribe", |body| subscribe.write(body)),
            Self::Unsubscribe(unsubscribe) => frame.object("unsubscribe", |body| {
                body.integer("id", unsubscribe.id);
                body.integer("subscription", unsubscribe.subscription);
            }),
            Self::Publish(publish) => frame.object("publish", |body| {
                body.integer("id", publish.id);
                body.text("topic", &publish.topic);
                body.optional_text("key", publish.key.as_deref());
                if publish.again {
                    body.flag("again", true);
                }
                body.raw("event", &publish.event);
            }),
            Self::Report(report) => frame.object("report", |body| report.write(body)),
            Self::Refresh(refresh) => frame.object("refresh", |body| {
                body.integer("id", refresh.id);
                body.text("token", &refresh.token);
            }),
            Self::Pong => frame.object("pong", |_| {}),
        }
        frame.end();
        out
    }
}

impl Subscribe {
    /// Reads what is wanted, which is all but the `id`.
    pub fn read<V: Value>(fields: &Fields<'_, V>) -> Result<Self, BadField> {
        Ok(Self {
            id: 0,
            topic: fields.text("topic")?,
            types: fields.texts("types")?,
            keys: fields.texts("keys")?,
            consumer: fields.optional_text("consumer")?,
            from: from(fields)?,
            group_by: columns(fields)?,
        })
    }

    fn write(&self, body: &mut Object<'_>) {
        body.integer("id", self.id);
        body.text("topic", &self.topic);
        if !self.types.is_empty() {
            body.texts("types", &self.types);
        }
        if !self.keys.is_empty() {
            body.texts("keys", &self.keys);
        }
        body.optional_text("consumer", self.consumer.as_deref());
        match &self.from {
            From::Latest => {}
            From::Earliest => body.text("from", "earliest"),
            From::Time(at) => body.object("from", |from| from.integer("time", *at)),
            From::Cursor(tokens) => {
                body.object("from", |from| from.texts("cursor", tokens));
            }
        }
        if !self.group_by.is_empty() {
            body.array("group_by", &self.group_by, |out, column| write::string(out, column.name()));
        }
    }
}

fn from<V: Value>(fields: &Fields<'_, V>) -> Result<From, BadField> {
    let Some(value) = fields.get("from") else { return Ok(From::Latest) };
    match value.text().as_deref() {
        Some("latest") => return Ok(From::Latest),
        Some("earliest") => return Ok(From::Earliest),
        _ => {}
    }
    let inner = Fields::new(&value, "/subscribe/from");
    if let Some(at) = inner.optional_integer::<u64>("time")? {
        return Ok(From::Time(at.cast_signed()));
    }
    let tokens = inner.texts("cursor")?;
    if tokens.is_empty() {
        return Err(fields.bad("from", "must be \"latest\", \"earliest\", {\"time\": ms} or {\"cursor\": [token, …]}"));
    }
    Ok(From::Cursor(tokens))
}

fn columns<V: Value>(fields: &Fields<'_, V>) -> Result<Vec<Column>, BadField> {
    let names = fields.texts("group_by")?;
    let column = |name: &String| {
        Column::from_name(name).ok_or_else(|| fields.bad("group_by", "must name tenant, topic, type or consumer"))
    };
    names.iter().map(column).collect()
}
