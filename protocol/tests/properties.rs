//! Properties of all frames: what is written reads back the same, and no input panics.

mod parsed;

use parsed::Parsed;
use proptest::prelude::*;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{
    Batch, ClientFrame, Failed, Failure, FailureKind, From, Hello, Joined, LedgerReport, Limits, LogState, Moved,
    MovedReason, Ping, Position, Publish, Published, Reconnect, Refresh, Refreshed, Report, ServerFrame, Span,
    Subscribe, Subscribed, TopicReading, Unsubscribe, Unsubscribed, ViewReport, Welcome,
};
use tidegate_protocol::json::Raw;
use tidegate_protocol::ledger::{Column, Counts, Reading, Row, Sessions};

proptest! {
    #[test]
    fn a_client_frame_reads_back(frame in client_frame()) {
        prop_assert_eq!(ClientFrame::decode(&frame.encode()), Ok(Some(frame)));
    }

    #[test]
    fn a_server_frame_reads_back(frame in server_frame()) {
        let text = frame.encode();
        let parsed = Parsed::parse(&text).expect("a frame is JSON");
        prop_assert_eq!(ServerFrame::decode(&parsed), Ok(Some(frame)));
        // The bridge's own scanner reads the same text and writes it again, byte for byte.
        let raw = Raw::parse(&text).expect("a frame is JSON");
        let again = ServerFrame::decode(&raw).expect("a frame").expect("a known one");
        prop_assert_eq!(again.encode(), text);
    }

    #[test]
    fn no_text_panics(text in ".*") {
        decode(&text);
    }

    #[test]
    fn no_near_miss_of_a_client_frame_panics(frame in client_frame(), edit in edit()) {
        decode(&edit.apply(&frame.encode()));
    }

    #[test]
    fn no_near_miss_of_a_server_frame_panics(frame in server_frame(), edit in edit()) {
        decode(&edit.apply(&frame.encode()));
    }

    #[test]
    fn no_members_of_the_wrong_kind_panic(name in kind(), body in json()) {
        decode(&serde_json::json!({ name: body }).to_string());
    }

    #[test]
    fn what_is_marked_optional_is_passed_over(name in "\\?[a-z_]{0,12}", body in object()) {
        let text = serde_json::json!({ name: body }).to_string();
        prop_assert_eq!(ClientFrame::decode(&text), Ok(None));
        prop_assert_eq!(ServerFrame::decode(&Parsed::parse(&text).expect("JSON")), Ok(None));
    }
}

/// Decodes as either side would; only a panic is wrong.
fn decode(text: &str) {
    let _ = ClientFrame::decode(text);
    if let Ok(raw) = Raw::parse(text) {
        let _ = ServerFrame::decode(&raw);
    }
    if let Some(parsed) = Parsed::parse(text) {
        let _ = ServerFrame::decode(&parsed);
    }
}

/// One small change to a text.
#[derive(Debug, Clone)]
enum Edit {
    Cut(prop::sample::Index),
    Replace(prop::sample::Index, char),
    Insert(prop::sample::Index, String),
}

impl Edit {
    fn apply(&self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        match self {
            Self::Cut(at) => chars.truncate(at.index(chars.len())),
            Self::Replace(at, with) => {
                let at = at.index(chars.len());
                chars[at] = *with;
            }
            Self::Insert(at, what) => {
                let at = at.index(chars.len());
                chars.splice(at..at, what.chars());
            }
        }
        chars.into_iter().collect()
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let token =
        prop::sample::select(vec!["{", "}", "[", "]", "\"", ":", ",", "-", ".", "e9", "null", "\\u", "\\", "é"]);
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Edit::Cut),
        (any::<prop::sample::Index>(), any::<char>()).prop_map(|(at, with)| Edit::Replace(at, with)),
        (any::<prop::sample::Index>(), token).prop_map(|(at, what)| Edit::Insert(at, what.to_owned())),
    ]
}

fn client_frame() -> impl Strategy<Value = ClientFrame> {
    prop_oneof![
        (text(), text(), texts()).prop_map(|(token, client, features)| ClientFrame::Hello(Hello {
            token,
            client,
            features
        })),
        (any::<u32>(), text(), texts(), texts(), prop::option::of(text()), from(), columns()).prop_map(
            |(id, topic, types, keys, consumer, from, group_by)| {
                ClientFrame::Subscribe(Subscribe { id, topic, types, keys, consumer, from, group_by })
            }
        ),
        (any::<u32>(), any::<u32>())
            .prop_map(|(id, subscription)| ClientFrame::Unsubscribe(Unsubscribe { id, subscription })),
        (any::<u32>(), text(), prop::option::of(text()), json_but_null(), any::<bool>()).prop_map(
            |(id, topic, key, event, again)| {
                ClientFrame::Publish(Publish { id, topic, key, event: event.to_string(), again })
            }
        ),
        prop::collection::vec(view_report(), 0..4).prop_map(|views| ClientFrame::Report(Report { views })),
        (any::<u32>(), text()).prop_map(|(id, token)| ClientFrame::Refresh(Refresh { id, token })),
        Just(ClientFrame::Pong),
    ]
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![
        Just(From::Latest),
        Just(From::Earliest),
        millis().prop_map(From::Time),
        prop::collection::vec(text(), 1..5).prop_map(From::Cursor),
    ]
}

fn columns() -> impl Strategy<Value = Vec<Column>> {
    prop::sample::subsequence(Column::ALL.to_vec(), 0..=4)
}

fn view_report() -> impl Strategy<Value = ViewReport> {
    let span = (position(), position()).prop_map(|(first, last)| Span { first, last });
    let failure = (position(), prop::sample::select(FailureKind::ALL.to_vec()), text(), any::<bool>())
        .prop_map(|(at, kind, reason, last)| Failure { at, kind, reason, last });
    (
        any::<u32>(),
        prop::option::of(count()),
        prop::collection::vec(span, 0..4),
        prop::collection::vec(failure, 0..4),
        prop::collection::vec(position(), 0..4),
    )
        .prop_map(|(view, dispatched, settled, failed, unhandled)| ViewReport {
            view,
            dispatched,
            settled,
            failed,
            unhandled,
        })
}

fn position() -> impl Strategy<Value = Position> {
    (count(), any::<u32>()).prop_map(|(seq, ordinal)| Position { seq, ordinal })
}

fn server_frame() -> impl Strategy<Value = ServerFrame<Parsed>> {
    prop_oneof![
        welcome().prop_map(ServerFrame::Welcome),
        (any::<u32>(), any::<u32>(), joined(), text(), any::<bool>()).prop_map(
            |(id, subscription, at, cursor, recovered)| {
                ServerFrame::Subscribed(Subscribed { id, subscription, at, cursor, recovered })
            }
        ),
        (any::<u32>(), joined(), any::<bool>(), reason(), prop::option::of((text(), text()))).prop_map(
            |(subscription, at, recovered, reason, gap)| {
                ServerFrame::Moved(Moved { subscription, at, recovered, reason, gap })
            }
        ),
        (any::<u32>(), any::<u32>())
            .prop_map(|(id, subscription)| ServerFrame::Unsubscribed(Unsubscribed { id, subscription })),
        (any::<u32>(), text(), text(), prop::option::of((any::<u32>(), count()))).prop_map(
            |(id, event_id, correlation_id, position)| {
                ServerFrame::Published(Published { id, event_id, correlation_id, position })
            }
        ),
        (any::<u32>(), prop::option::of(millis()))
            .prop_map(|(id, expires)| ServerFrame::Refreshed(Refreshed { id, expires })),
        (any::<u32>(), count(), text(), any::<bool>(), prop::collection::vec(object(), 0..4)).prop_map(
            |(view, seq, cursor, full, entries)| {
                ServerFrame::Batch(Batch { view, seq, cursor, full, entries: Parsed(entries.into()) })
            }
        ),
        prop::collection::vec((any::<u32>(), text()), 0..4).prop_map(|cursors| ServerFrame::Ping(Ping { cursors })),
        any::<bool>().prop_map(|log_available| ServerFrame::State(LogState { log_available })),
        count().prop_map(|delay_ms| ServerFrame::Reconnect(Reconnect { delay_ms })),
        failed().prop_map(ServerFrame::Error),
        ledger().prop_map(ServerFrame::Ledger),
    ]
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let limits = [count(), count(), count(), count(), count()].prop_map(
        |[credit, unsettled, frame_bytes, event_bytes, subscriptions]| Limits {
            credit,
            unsettled,
            frame_bytes,
            event_bytes,
            subscriptions,
        },
    );
    ([text(), text(), text(), text()], prop::option::of(millis()), count(), limits, texts()).prop_map(
        |([session, node, tenant, subject], expires, heartbeat_ms, limits, features)| Welcome {
            session,
            node,
            tenant,
            subject,
            expires,
            heartbeat_ms,
            limits,
            features,
        },
    )
}

fn joined() -> impl Strategy<Value = Joined> {
    (any::<u32>(), count()).prop_map(|(view, seq)| Joined { view, seq })
}

fn reason() -> impl Strategy<Value = MovedReason> {
    prop::sample::select(vec![
        MovedReason::Live,
        MovedReason::Behind,
        MovedReason::Policy,
        MovedReason::Expired,
        MovedReason::LogChanged,
    ])
}

fn failed() -> impl Strategy<Value = Failed> {
    let code = prop_oneof![prop::sample::select(ErrorCode::ALL).prop_map(|code| code.name().to_owned()), text()];
    let about = (prop::option::of(any::<u32>()), prop::option::of(any::<u32>()), optional_text());
    (about, code, text(), any::<bool>(), prop::option::of(0..=1u64 << 53)).prop_map(
        |((id, subscription, pointer), code, message, retryable, retry_after_ms)| Failed {
            id,
            subscription,
            code,
            message,
            retryable,
            pointer,
            retry_after_ms,
        },
    )
}

fn ledger() -> impl Strategy<Value = LedgerReport> {
    let row = ([optional_text(), optional_text(), optional_text(), optional_text()], counts())
        .prop_map(|(of, counts)| Row { of, counts });
    let topic = (text(), [count(), count(), count(), count(), count()]).prop_map(
        |(topic, [records, events, tombstones, quarantined, lag])| TopicReading {
            topic,
            reading: Reading { records, events, tombstones, quarantined, lag },
        },
    );
    let sessions = [count(), count(), count()].prop_map(|[open, paused, behind]| Sessions { open, paused, behind });
    (
        any::<u32>(),
        [text(), text()],
        millis(),
        prop::collection::vec(row, 0..4),
        counts(),
        prop::collection::vec(topic, 0..3),
        sessions,
    )
        .prop_map(|(subscription, [node, incarnation], at, rows, other, topics, sessions)| LedgerReport {
            subscription,
            node,
            incarnation,
            at,
            rows,
            other,
            topics,
            sessions,
        })
}

fn counts() -> impl Strategy<Value = Counts> {
    prop::collection::vec(prop_oneof![Just(0), count()], 12).prop_map(|n| Counts {
        sent: n[0],
        received: n[1],
        consumed: n[2],
        dead_lettered: n[3],
        given_up: n[4],
        abandoned: n[5],
        in_flight: n[6],
        failed: n[7],
        retried: n[8],
        redelivered: n[9],
        unhandled: n[10],
        unreported: n[11],
    })
}

/// An unsigned integer that a double holds exactly.
fn count() -> std::ops::Range<u64> {
    0..9_007_199_254_740_992
}

/// A time on the wire.
fn millis() -> std::ops::Range<i64> {
    0..9_007_199_254_740_992
}

fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof!["[a-z.$-]{0,8}", ".{0,8}", any::<String>()]
}

fn optional_text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(text())
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(text(), 0..4)
}

fn kind() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "hello",
        "subscribe",
        "unsubscribe",
        "publish",
        "report",
        "refresh",
        "pong",
        "welcome",
        "subscribed",
        "moved",
        "unsubscribed",
        "published",
        "refreshed",
        "batch",
        "ping",
        "state",
        "reconnect",
        "error",
        "ledger",
    ])
    .prop_map(str::to_owned)
}

fn json() -> impl Strategy<Value = serde_json::Value> + Clone {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    // Names the decoders look for, so that they find the wrong thing under the right name.
    let name = prop_oneof![
        prop::sample::select(vec![
            "id", "topic", "types", "from", "cursor", "time", "views", "view", "settled", "failed", "at", "kind",
            "limits", "rows", "topics", "sessions", "cursors", "entries", "seq", "other",
        ])
        .prop_map(str::to_owned),
        ".{0,4}",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn json_but_null() -> impl Strategy<Value = serde_json::Value> {
    json().prop_filter("an event is not null", |value| !value.is_null())
}

fn object() -> impl Strategy<Value = serde_json::Value> {
    prop::collection::vec((text(), json()), 0..4)
        .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect()))
}
