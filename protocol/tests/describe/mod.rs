//! Frames as plain JSON, every member there: the form in which the vectors say what a decoder must find.

use serde_json::{Map, Value as Json, json};
use tidegate_protocol::frame::{ClientFrame, From, LedgerReport, Report, ServerFrame, ViewReport};
use tidegate_protocol::json::Value;
use tidegate_protocol::ledger::{Column, Counts};

/// Describes a client's frame.
pub(crate) fn client(frame: &ClientFrame) -> Json {
    match frame {
        ClientFrame::Hello(hello) => {
            json!({"hello": {"token": hello.token, "client": hello.client, "features": hello.features}})
        }
        ClientFrame::Subscribe(subscribe) => {
            let mut frame = json!({"subscribe": {
                "id": subscribe.id,
                "topic": subscribe.topic,
                "types": subscribe.types,
                "consumer": subscribe.consumer,
                "from": from(&subscribe.from),
                "group_by": subscribe.group_by.iter().map(|column| column.name()).collect::<Vec<_>>(),
            }});
            // Vectors from before there were any do not name them.
            if !subscribe.keys.is_empty() {
                frame["subscribe"]["keys"] = json!(subscribe.keys);
            }
            frame
        }
        ClientFrame::Unsubscribe(unsubscribe) => {
            json!({"unsubscribe": {"id": unsubscribe.id, "subscription": unsubscribe.subscription}})
        }
        ClientFrame::Publish(publish) => json!({"publish": {
            "id": publish.id,
            "topic": publish.topic,
            "key": publish.key,
            "event": publish.event,
            "again": publish.again,
        }}),
        ClientFrame::Report(report) => json!({"report": self::report(report)}),
        ClientFrame::Refresh(refresh) => json!({"refresh": {"id": refresh.id, "token": refresh.token}}),
        ClientFrame::Pong => json!({"pong": {}}),
    }
}

fn from(from: &From) -> Json {
    match from {
        From::Latest => json!("latest"),
        From::Earliest => json!("earliest"),
        From::Time(at) => json!({"time": at}),
        From::Cursor(tokens) => json!({"cursor": tokens}),
    }
}

fn report(report: &Report) -> Json {
    let view = |view: &ViewReport| {
        json!({
            "view": view.view,
            "dispatched": view.dispatched,
            "settled": view.settled.iter()
                .map(|span| json!([span.first.seq, span.first.ordinal, span.last.seq, span.last.ordinal]))
                .collect::<Vec<_>>(),
            "failed": view.failed.iter()
                .map(|failure| json!({
                    "at": [failure.at.seq, u64::from(failure.at.ordinal)],
                    "kind": failure.kind.name(),
                    "reason": failure.reason,
                    "last": failure.last,
                }))
                .collect::<Vec<_>>(),
            "unhandled": view.unhandled.iter().map(|at| json!([at.seq, at.ordinal])).collect::<Vec<_>>(),
        })
    };
    json!({"views": report.views.iter().map(view).collect::<Vec<_>>()})
}

/// Describes a bridge's frame.
pub(crate) fn server<V: Value>(frame: &ServerFrame<V>) -> Json {
    match frame {
        ServerFrame::Welcome(welcome) => json!({"welcome": {
            "session": welcome.session,
            "node": welcome.node,
            "tenant": welcome.tenant,
            "subject": welcome.subject,
            "expires": welcome.expires,
            "heartbeat_ms": welcome.heartbeat_ms,
            "limits": {
                "credit": welcome.limits.credit,
                "unsettled": welcome.limits.unsettled,
                "frame_bytes": welcome.limits.frame_bytes,
                "event_bytes": welcome.limits.event_bytes,
                "subscriptions": welcome.limits.subscriptions,
            },
            "features": welcome.features,
        }}),
        ServerFrame::Subscribed(subscribed) => json!({"subscribed": {
            "id": subscribed.id,
            "subscription": subscribed.subscription,
            "view": subscribed.at.view,
            "seq": subscribed.at.seq,
            "cursor": subscribed.cursor,
            "recovered": subscribed.recovered,
        }}),
        ServerFrame::Moved(moved) => json!({"moved": {
            "subscription": moved.subscription,
            "view": moved.at.view,
            "seq": moved.at.seq,
            "recovered": moved.recovered,
            "reason": moved.reason.name(),
            "gap": moved.gap,
        }}),
        ServerFrame::Unsubscribed(unsubscribed) => {
            json!({"unsubscribed": {"id": unsubscribed.id, "subscription": unsubscribed.subscription}})
        }
        ServerFrame::Published(published) => json!({"published": {
            "id": published.id,
            "event_id": published.event_id,
            "correlation_id": published.correlation_id,
            "position": published.position,
        }}),
        ServerFrame::Refreshed(refreshed) => json!({"refreshed": {"id": refreshed.id, "expires": refreshed.expires}}),
        ServerFrame::Batch(batch) => json!({"batch": {
            "view": batch.view,
            "seq": batch.seq,
            "cursor": batch.cursor,
            "entries": serde_json::from_str::<Json>(&batch.entries.json()).expect("entries are JSON"),
        }}),
        ServerFrame::Ping(ping) => json!({"ping": {
            "cursors": ping.cursors.iter()
                .map(|(subscription, cursor)| json!({"subscription": subscription, "cursor": cursor}))
                .collect::<Vec<_>>(),
        }}),
        ServerFrame::State(state) => json!({"state": {"log_available": state.log_available}}),
        ServerFrame::Reconnect(reconnect) => json!({"reconnect": {"delay_ms": reconnect.delay_ms}}),
        ServerFrame::Error(failed) => json!({"error": {
            "id": failed.id,
            "subscription": failed.subscription,
            "code": failed.code,
            "message": failed.message,
            "retryable": failed.retryable,
            "pointer": failed.pointer,
            "retry_after_ms": failed.retry_after_ms,
        }}),
        ServerFrame::Ledger(report) => json!({"ledger": ledger(report)}),
    }
}

fn ledger(report: &LedgerReport) -> Json {
    json!({
        "subscription": report.subscription,
        "node": report.node,
        "incarnation": report.incarnation,
        "at": report.at,
        "rows": report.rows.iter()
            .map(|row| {
                assert_eq!(row.of.len(), Column::ALL.len());
                json!({"of": row.of, "counts": counts(&row.counts)})
            })
            .collect::<Vec<_>>(),
        "other": counts(&report.other),
        "topics": report.topics.iter()
            .map(|topic| json!({
                "topic": topic.topic,
                "records": topic.reading.records,
                "events": topic.reading.events,
                "tombstones": topic.reading.tombstones,
                "quarantined": topic.reading.quarantined,
                "lag": topic.reading.lag,
            }))
            .collect::<Vec<_>>(),
        "sessions": {
            "open": report.sessions.open,
            "paused": report.sessions.paused,
            "behind": report.sessions.behind,
        },
    })
}

fn counts(counts: &Counts) -> Json {
    let all = [
        counts.sent,
        counts.received,
        counts.consumed,
        counts.dead_lettered,
        counts.given_up,
        counts.abandoned,
        counts.in_flight,
        counts.failed,
        counts.retried,
        counts.redelivered,
        counts.unhandled,
        counts.unreported,
    ];
    assert_eq!(all.len(), Counts::NAMES.len(), "every count is described");
    let pairs = Counts::NAMES.iter().zip(all).filter(|(_, count)| *count > 0);
    Json::Object(pairs.map(|(name, count)| ((*name).to_owned(), count.into())).collect::<Map<_, _>>())
}
