//! `GET /v1/topics/{topic}/events`: a topic as Server-Sent Events, for backends.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::frame::{ClientFrame, Failed, From, Subscribe};
use tidegate_protocol::timestamp;

use super::answer::Refusal;
use super::{Api, Hangup, bearer, client};
use crate::session::Format;
use crate::transport::pipe::Arrival;

/// Where a client that comes back was.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Extension(Hangup(hangup)): Extension<Hangup>,
    Path(topic): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (token, client) = (bearer(&headers)?.to_owned(), client(&headers)?);
    let last = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
    let frames = vec![ClientFrame::Subscribe(subscribe(topic, query, last)?)];
    let connected = api.place()?;
    let make = |answer| Arrival { format: Format::Events, token, client, frames, hangup, connected, answer };
    api.open(make).await
}

/// What the query and the last id ask for.
fn subscribe(topic: String, query: Vec<(String, String)>, last: Option<&str>) -> Result<Subscribe, Failed> {
    let bad = |text: String| Failed::new(ErrorCode::MalformedFrame, text);
    if topic.starts_with('$') {
        let text = "the bus's own topics can not be read as events; subscribe by /v1/ws or /v1/stream";
        return Err(Failed::new(ErrorCode::Unsupported, text));
    }
    let (mut types, mut keys) = (Vec::new(), Vec::new());
    let (mut from, mut cursor) = (None, None);
    for (name, value) in query {
        let once = match name.as_str() {
            "types" => {
                types.extend(value.split(',').filter(|of| !of.is_empty()).map(str::to_owned));
                continue;
            }
            "keys" => {
                keys.push(value);
                continue;
            }
            "from" => from.replace(value),
            "cursor" => cursor.replace(value),
            _ => return Err(bad(format!("the query knows from, cursor, types and keys, not {name:?}"))),
        };
        if once.is_some() {
            return Err(bad(format!("the query may name {name} once")));
        }
    }
    let from = match (last.filter(|last| !last.is_empty()), cursor, from.as_deref()) {
        // Who comes back is further on than where the address says that it began.
        (Some(last), _, _) => From::Cursor(vec![last.to_owned()]),
        (None, Some(_), Some(_)) => return Err(bad("the query may name from or cursor, not both".into())),
        (None, Some(cursor), None) => From::Cursor(vec![cursor]),
        (None, None, None | Some("latest")) => From::Latest,
        (None, None, Some("earliest")) => From::Earliest,
        (None, None, Some(time)) => {
            let text = "from must be latest, earliest or a time such as 2026-11-21T11:39:39Z (with + written as %2B)";
            From::Time(timestamp::parse(time).filter(|at| *at >= 0).ok_or_else(|| bad(text.into()))?)
        }
    };
    Ok(Subscribe { id: 1, topic, types, keys, consumer: None, from, group_by: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &[(&str, &str)], last: Option<&str>) -> Result<Subscribe, String> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        subscribe("orders".into(), query, last).map_err(|failed| failed.message)
    }

    #[test]
    fn where_to_begin() {
        let from = |query: &[(&str, &str)], last| asked(query, last).map(|subscribe| subscribe.from);
        let cursor = |token: &str| Ok(From::Cursor(vec![token.to_owned()]));
        assert_eq!(from(&[], None), Ok(From::Latest));
        assert_eq!(from(&[("from", "latest")], Some("")), Ok(From::Latest));
        assert_eq!(from(&[("from", "earliest")], None), Ok(From::Earliest));
        assert_eq!(from(&[("from", "1970-01-01T00:00:01Z")], None), Ok(From::Time(1000)));
        assert_eq!(from(&[("cursor", "AQ")], None), cursor("AQ"));
        assert_eq!(from(&[("from", "earliest")], Some("AQ")), cursor("AQ"));
        assert_eq!(from(&[("cursor", "old")], Some("new")), cursor("new"));
        for bad in [
            &[("from", "now")][..],
            &[("from", "")],
            &[("from", "1969-12-31T23:59:59Z")],
            &[("from", "latest"), ("from", "latest")],
            &[("from", "latest"), ("cursor", "AQ")],
            &[("form", "latest")],
        ] {
            assert!(from(bad, None).is_err(), "{bad:?}");
        }
        assert!(subscribe("$ledger".into(), Vec::new(), None).is_err());
    }

    #[test]
    fn what_is_wanted() {
        let of = asked(&[("types", "a.b,c.*"), ("types", "d.e"), ("keys", "x,y"), ("keys", "z")], None).unwrap();
        assert_eq!(
            (of.types, of.keys),
            (vec!["a.b".into(), "c.*".into(), "d.e".into()], vec!["x,y".into(), "z".into()])
        );
    }
}
