//! What the bridge says.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::{BadFrame, split, unknown};
use crate::code::ErrorCode;
use crate::json::write::{self, Object};
use crate::json::{BadField, Fields, Value, within};
use crate::ledger::{Column, Counts, Reading, Row, Sessions};
use crate::timestamp::Millis;

/// A frame from the bridge. `V` is how the reader holds JSON that it passes on unread.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerFrame<V> {
    /// The session is open.
    Welcome(Welcome),
    /// A subscription is accepted.
    Subscribed(Subscribed),
    /// A subscription goes on in another view.
    Moved(Moved),
    /// A subscription has ended as asked.
    Unsubscribed(Unsubscribed),
    /// An event is on the log.
    Published(Published),
    /// The new token holds.
    Refreshed(Refreshed),
    /// Events.
    Batch(Batch<V>),
    /// Heartbeat; answered by `pong` at once.
    Ping(Ping),
    /// Whether the log can be reached.
    State(LogState),
    /// The node is draining: come back after the delay.
    Reconnect(Reconnect),
    /// Something was refused or ended.
    Error(Failed),
    /// The ledger's newest totals.
    Ledger(LedgerReport),
}

/// `welcome`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The session's id.
    pub session: String,
    /// The node's name.
    pub node: String,
    /// From the token.
    pub tenant: String,
    /// From the token.
    pub subject: String,
    /// When the token expires.
    pub expires: Option<Millis>,
    /// How often a `ping` comes, in milliseconds.
    pub heartbeat_ms: u64,
    /// What the client must stay within.
    pub limits: Limits,
    /// What this bridge can do beyond the base protocol.
    pub features: Vec<String>,
}

/// A session's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of batches that may be sent and not yet dispatched.
    pub credit: u64,
    /// Deliveries that may be unsettled.
    pub unsettled: u64,
    /// Bytes of one frame from the client.
    pub frame_bytes: u64,
    /// Bytes of one event.
    pub event_bytes: u64,
    /// Subscriptions of one session.
    pub subscriptions: u64,
}

/// `subscribed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// The `subscribe` frame's id.
    pub id: u32,
    /// Names the subscription in this session.
    pub subscription: u32,
    /// Where its first batches come from.
    pub at: Joined,
    /// Full cursor.
    pub cursor: String,
    /// With a cursor: whether nothing was missed.
    pub recovered: bool,
}

/// A view and the first batch number that will come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Node-local view id.
    pub view: u32,
    /// The next batch's `seq`.
    pub seq: u64,
}

/// `moved`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which subscription.
    pub subscription: u32,
    /// Where its next batches come from.
    pub at: Joined,
    /// Whether nothing was missed.
    pub recovered: bool,
    /// Why.
    pub reason: MovedReason,
    /// `expired` only: where the gap begins and ends, as sealed cursors.
    pub gap: Option<(String, String)>,
}

/// Why a subscription moved to another view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovedReason {
    /// It caught up and joined the others.
    Live,
    /// It could not keep up and is fed alone.
    Behind,
    /// Grants or policy changed.
    Policy,
    /// Retention overtook it.
    Expired,
    /// The topic was made anew.
    LogChanged,
}

impl MovedReason {
    const ALL: [Self; 5] = [Self::Live, Self::Behind, Self::Policy, Self::Expired, Self::LogChanged];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Behind => "behind",
            Self::Policy => "policy",
            Self::Expired => "expired",
            Self::LogChanged => "log_changed",
        }
    }
}

/// `unsubscribed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsubscribed {
    /// The `unsubscribe` frame's id.
    pub id: u32,
    /// Which subscription.
    pub subscription: u32,
}

/// `published`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The `publish` frame's id.
    pub id: u32,
    /// The event's id, as stamped.
    pub event_id: String,
    /// Its correlation id, as stamped.
    pub correlation_id: String,
    /// Partition and offset, for holders of `positions = "raw"`.
    pub position: Option<(u32, u64)>,
}

/// `refreshed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refreshed {
    /// The `refresh` frame's id.
    pub id: u32,
    /// When the new token expires.
    pub expires: Option<Millis>,
}

/// `batch`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<V> {
    /// Which view.
    pub view: u32,
    /// Its number in the view.
    pub seq: u64,
    /// Cursor after it: a delta, unless it is full.
    pub cursor: String,
    /// Whether the cursor is a full one, which replaces all that came before it.
    pub full: bool,
    /// The entries: an array.
    pub entries: V,
}

/// `ping`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ping {
    /// Full cursors of subscriptions whose position moved.
    pub cursors: Vec<(u32, String)>,
}

/// `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// Whether the log can be reached.
    pub log_available: bool,
}

/// `reconnect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnect {
    /// Wait this long, then come back to any node.
    pub delay_ms: u64,
}

/// `error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The frame that it answers, if it answers one.
    pub id: Option<u32>,
    /// The subscription that it ends, if it ends one.
    pub subscription: Option<u32>,
    /// Stable name; codes of later versions are kept as text.
    pub code: String,
    /// For a person.
    pub message: String,
    /// Whether the same can succeed later.
    pub retryable: bool,
    /// JSON pointer to what is wrong.
    pub pointer: Option<String>,
    /// When the same can succeed, in milliseconds from now, if that is known.
    pub retry_after_ms: Option<u64>,
}

impl Failed {
    /// An error of a known code, about nothing in particular yet.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            id: None,
            subscription: None,
            code: code.name().to_owned(),
            message: message.into(),
            retryable: code.retryable(),
            pointer: None,
            retry_after_ms: None,
        }
    }

    /// Answers the frame with this id.
    #[must_use]
    pub fn answering(self, id: u32) -> Self {
        Self { id: Some(id), ..self }
    }
}

/// `ledger`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// Which subscription.
    pub subscription: u32,
    /// Whose totals.
    pub node: String,
    /// Which life of the node: totals begin at zero with each.
    pub incarnation: String,
    /// When.
    pub at: Millis,
    /// The largest rows, by the columns asked for.
    pub rows: Vec<Row>,
    /// All other rows together.
    pub other: Counts,
    /// What the feed read; only for observers of all tenants.
    pub topics: Vec<TopicReading>,
    /// The node's sessions; an observer of one tenant gets its tenant's.
    pub sessions: Sessions,
}

/// What the feed read of one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicReading {
    /// Logical name.
    pub topic: String,
    /// The counts.
    pub reading: Reading,
}

impl<V: Value> ServerFrame<V> {
    /// Reads a decoded frame. `None`: a frame that may be passed over.
    pub fn decode(frame: &V) -> Result<Option<Self>, BadFrame> {
        let (name, body) = split(frame)?;
        Self::read(&name, &body)
    }

    /// Reads the body of a frame of the kind `name`. `None`: a frame that may be passed over.
    pub fn read(name: &str, body: &V) -> Result<Option<Self>, BadFrame> {
        let fields = &Fields::new(body, within("", name));
        let mut body = Body::of(fields);
        let frame = match name {
            "batch" => Self::Batch(Batch {
                view: body.integer("view"),
                seq: body.integer("seq"),
                cursor: body.text("cursor"),
                full: body.flag("full"),
                entries: fields.require("entries")?,
            }),
            "welcome" => Self::Welcome(read_welcome(fields, &mut body)?),
            "subscribed" => Self::Subscribed(Subscribed {
                id: body.integer("id"),
                subscription: body.integer("subscription"),
                at: joined(&mut body),
                cursor: body.text("cursor"),
                recovered: body.flag("recovered"),
            }),
            "moved" => Self::Moved(Moved {
                subscription: body.integer("subscription"),
                at: joined(&mut body),
                recovered: body.flag("recovered"),
                reason: moved_reason(fields)?,
                gap: body.optional_text("from").zip(body.optional_text("to")),
            }),
            "unsubscribed" => {
                Self::Unsubscribed(Unsubscribed { id: body.integer("id"), subscription: body.integer("subscription") })
            }
            "published" => Self::Published(Published {
                id: body.integer("id"),
                event_id: body.text("event_id"),
                correlation_id: body.text("correlation_id"),
                position: body.optional_integer("partition").zip(body.optional_integer("offset")),
            }),
            "refreshed" => Self::Refreshed(Refreshed { id: body.integer("id"), expires: body.time("expires") }),
            "ping" => Self::Ping(Ping {
                cursors: fields.list("cursors", |item, pointer| {
                    let fields = Fields::new(item, pointer);
                    Ok((fields.integer("subscription")?, fields.text("cursor")?))
                })?,
            }),
            "state" => Self::State(LogState { log_available: body.flag("log_available") }),
            "reconnect" => Self::Reconnect(Reconnect { delay_ms: body.integer("delay_ms") }),
            "error" => Self::Error(Failed {
                id: body.optional_integer("id"),
                subscription: body.optional_integer("subscription"),
                code: body.text("code"),
                message: body.optional_text("message").unwrap_or_default(),
                retryable: body.flag("retryable"),
                pointer: body.optional_text("pointer"),
                retry_after_ms: body.optional_integer("retry_after_ms"),
            }),
            "ledger" if V::READS_ALL => Self::Ledger(LedgerReport::read(fields)?),
            "ledger" => {
                let subscription = body.integer("subscription");
                Self::Ledger(LedgerReport { subscription, ..LedgerReport::default() })
            }
            _ => return unknown(name),
        };
        body.end()?;
        Ok(Some(frame))
    }

    /// Writes the frame's text.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(160);
        let mut frame = Object::begin(&mut out);
        match self {
            Self::Welcome(welcome) => frame.object("welcome", |body| write_welcome(welcome, body)),
            Self::Subscribed(subscribed) => frame.object("subscribed", |body| {
                body.integer("id", subscribed.id);
                body.integer("subscription", subscribed.subscription);
                write_joined(subscribed.at, body);
                body.text("cursor", &subscribed.cursor);
                body.flag("recovered", subscribed.recovered);
            }),
            Self::Moved(moved) => frame.object("moved", |body| {
                body.integer("subscription", moved.subscription);
                write_joined(moved.at, body);
                body.flag("recovered", moved.recovered);
                body.text("reason", moved.reason.name());
                if let Some((from, to)) = &moved.gap {
                    body.text("from", from);
                    body.text("to", to);
                }
            }),
            Self::Unsubscribed(unsubscribed) => frame.object("unsubscribed", |body| {
                body.integer("id", unsubscribed.id);
                body.integer("subscription", unsubscribed.subscription);
            }),
            Self::Published(published) => frame.object("published", |body| {
                body.integer("id", published.id);
                body.text("event_id", &published.event_id);
                body.text("correlation_id", &published.correlation_id);
                if let Some((partition, offset)) = published.position {
                    body.integer("partition", partition);
                    body.integer("offset", offset);
                }
            }),
            Self::Refreshed(refreshed) => frame.object("refreshed", |body| {
                body.integer("id", refreshed.id);
                body.optional_integer("expires", refreshed.expires);
            }),
            Self::Batch(batch) => frame.object("batch", |body| {
                body.integer("view", batch.view);
                body.integer("seq", batch.seq);
                body.raw("entries", &batch.entries.json());
                body.text("cursor", &batch.cursor);
                if batch.full {
                    body.flag("full", true);
                }
            }),
            Self::Ping(ping) => frame.object("ping", |body| {
                if !ping.cursors.is_empty() {
                    body.array("cursors", &ping.cursors, |out, (subscription, cursor)| {
                        let mut object = Object::begin(out);
                        object.integer("subscription", *subscription);
                        object.text("cursor", cursor);
                        object.end();
                    });
                }
            }),
            Self::State(state) => frame.object("state", |body| body.flag("log_available", state.log_available)),
            Self::Reconnect(reconnect) => {
                frame.object("reconnect", |body| body.integer("delay_ms", reconnect.delay_ms));
            }
            Self::Error(failed) => frame.object("error", |body| {
                body.optional_integer("id", failed.id);
                body.optional_integer("subscription", failed.subscription);
                body.text("code", &failed.code);
                body.text("message", &failed.message);
                body.flag("retryable", failed.retryable);
                body.optional_text("pointer", failed.pointer.as_deref());
                body.optional_integer("retry_after_ms", failed.retry_after_ms);
            }),
            Self::Ledger(report) => frame.object("ledger", |body| report.write(body)),
        }
        frame.end();
        out
    }
}

fn read_welcome<V: Value>(fields: &Fields<'_, V>, body: &mut Body<'_, '_, V>) -> Result<Welcome, BadField> {
    let limits = fields.require("limits")?;
    let limits = Fields::new(&limits, "/welcome/limits");
    let mut limit = Body::of(&limits);
    let welcome = Welcome {
        session: if V::READS_ALL { body.text("session") } else { String::new() },
        node: if V::READS_ALL { body.text("node") } else { String::new() },
        tenant: body.text("tenant"),
        subject: body.text("subject"),
        expires: body.time("expires"),
        heartbeat_ms: body.integer("heartbeat_ms"),
        limits: Limits {
            credit: limit.integer("credit"),
            unsettled: limit.integer("unsettled"),
            frame_bytes: limit.integer("frame_bytes"),
            event_bytes: limit.integer("event_bytes"),
            subscriptions: if V::READS_ALL { limit.integer("subscriptions") } else { 0 },
        },
        features: if V::READS_ALL { fields.texts("features")? } else { Vec::new() },
    };
    limit.end()?;
    Ok(welcome)
}

fn write_welcome(welcome: &Welcome, body: &mut Object<'_>) {
    body.text("session", &welcome.session);
    body.text("node", &welcome.node);
    body.text("tenant", &welcome.tenant);
    body.text("subject", &welcome.subject);
    body.optional_integer("expires", welcome.expires);
    body.integer("heartbeat_ms", welcome.heartbeat_ms);
    body.object("limits", |limits| {
        limits.integer("credit", welcome.limits.credit);
        limits.integer("unsettled", welcome.limits.unsettled);
        limits.integer("frame_bytes", welcome.limits.frame_bytes);
        limits.integer("event_bytes", welcome.limits.event_bytes);
        limits.integer("subscriptions", welcome.limits.subscriptions);
    });
    body.array("features", &welcome.features, |out, text| write::string(out, text));
}

fn joined<V: Value>(body: &mut Body<'_, '_, V>) -> Joined {
    Joined { view: body.integer("view"), seq: body.integer("seq") }
}

fn write_joined(at: Joined, body: &mut Object<'_>) {
    body.integer("view", at.view);
    body.integer("seq", at.seq);
}

fn moved_reason<V: Value>(fields: &Fields<'_, V>) -> Result<MovedReason, BadField> {
    let name = fields.text("reason")?;
    MovedReason::ALL
        .into_iter()
        .find(|reason| reason.name() == name)
        .ok_or_else(|| fields.bad("reason", "must be live, behind, policy, expired or log_changed"))
}

/// Reads an object whole and then says what was wrong first. A way out after every member would be most of the decoder,
/// and a page downloads it.
struct Body<'r, 'v, V> {
    fields: &'r Fields<'v, V>,
    bad: Option<BadField>,
}

impl<'r, 'v, V: Value> Body<'r, 'v, V> {
    fn of(fields: &'r Fields<'v, V>) -> Self {
        Self { fields, bad: None }
    }

    fn end(self) -> Result<(), BadField> {
        self.bad.map_or(Ok(()), Err)
    }

    fn kept<T: Default>(&mut self, read: Result<T, BadField>) -> T {
        read.unwrap_or_else(|bad| {
            self.bad.get_or_insert(bad);
            T::default()
        })
    }

    fn text(&mut self, name: &str) -> String {
        self.kept(self.fields.text(name))
    }

    fn optional_text(&mut self, name: &str) -> Option<String> {
        self.kept(self.fields.optional_text(name))
    }

    fn integer<N: TryFrom<u64> + Default>(&mut self, name: &str) -> N {
        self.kept(self.fields.integer(name))
    }

    fn optional_integer<N: TryFrom<u64>>(&mut self, name: &str) -> Option<N> {
        self.kept(self.fields.optional_integer(name))
    }

    fn flag(&mut self, name: &str) -> bool {
        self.kept(self.fields.flag(name))
    }

    fn time(&mut self, name: &str) -> Option<Millis> {
        self.optional_integer::<u64>(name).map(u64::cast_signed)
    }
}

impl LedgerReport {
    fn read<V: Value>(fields: &Fields<'_, V>) -> Result<Self, BadField> {
        let sessions = fields.require("sessions")?;
        let session = Fields::new(&sessions, "/ledger/sessions");
        let other = fields.get("other").map(|other| Counts::read(&Fields::new(&other, "/ledger/other"))).transpose()?;
        Ok(Self {
            subscription: fields.integer("subscription")?,
            node: fields.text("node")?,
            incarnation: fields.text("incarnation")?,
            at: fields.optional_integer::<u64>("at")?.unwrap_or_default().cast_signed(),
            rows: fields.list("rows", |row, pointer| {
                let fields = Fields::new(row, pointer);
                let mut of: [Option<String>; 4] = [const { None }; 4];
                for (slot, column) in of.iter_mut().zip(Column::ALL) {
                    *slot = fields.optional_text(column.name())?;
                }
                Ok(Row { of, counts: Counts::read(&fields)? })
            })?,
            other: other.unwrap_or_default(),
            topics: fields.list("topics", |topic, pointer| {
                let fields = Fields::new(topic, pointer);
                Ok(TopicReading {
                    topic: fields.text("topic")?,
                    reading: Reading {
                        records: fields.integer("records")?,
                        events: fields.integer("events")?,
                        tombstones: fields.integer("tombstones")?,
                        quarantined: fields.integer("quarantined")?,
                        lag: fields.integer("lag")?,
                    },
                })
            })?,
            sessions: Sessions {
                open: session.integer("open")?,
                paused: session.integer("paused")?,
                behind: session.integer("behind")?,
            },
        })
    }

    fn write(&self, body: &mut Object<'_>) {
        body.integer("subscription", self.subscription);
        body.text("node", &self.node);
        body.text("incarnation", &self.incarnation);
        body.integer("at", self.at);
        body.array("rows", &self.rows, |out, row| {
            let mut object = Object::begin(out);
            for (value, column) in row.of.iter().zip(Column::ALL) {
                object.optional_text(column.name(), value.as_deref());
            }
            row.counts.write(&mut object);
            object.end();
        });
        body.object("other", |other| self.other.write(other));
        body.array("topics", &self.topics, |out, topic| {
            let mut object = Object::begin(out);
            object.text("topic", &topic.topic);
            object.integer("records", topic.reading.records);
            object.integer("events", topic.reading.events);
            object.integer("tombstones", topic.reading.tombstones);
            object.integer("quarantined", topic.reading.quarantined);
            object.integer("lag", topic.reading.lag);
            object.end();
        });
        body.object("sessions", |sessions| {
            sessions.integer("open", self.sessions.open);
            sessions.integer("paused", self.sessions.paused);
            sessions.integer("behind", self.sessions.behind);
        });
    }
}
