//! What a person should know before reading the figures.

use leptos::prelude::*;

use crate::live::feed::Status;
use crate::live::store::Store;

/// A band above the figures while they are absent or old, or the log is away.
#[component]
pub(crate) fn Notice() -> impl IntoView {
    let store = expect_context::<Store>();
    let text = move || {
        let (kind, heading, text) = match store.status.get() {
            Status::Connecting => (
                "busy",
                "Connecting to the bridge…",
                "If this takes long, the bridge may be down or its address not allowed by a proxy. It is tried again \
                 by itself.",
            ),
            Status::Open => ("busy", "Connected. Waiting for the first totals…", "They come once a second."),
            Status::Reconnecting => (
                "warn",
                "The connection broke. Reconnecting…",
                "What you see is the last that was known. Nothing is lost: each report holds full totals.",
            ),
            Status::LogAway => (
                "warn",
                "The bridge can not reach its log",
                "Sessions stay open and totals are current, but no new events come until the log is back.",
            ),
            Status::Live | Status::SignedOut | Status::Refused(_) => return None,
        };
        Some(view! {
            <div class=format!("notice {kind}")><strong>{heading}</strong><p>{text}</p></div>
        })
    };
    view! { <div aria-live="polite" data-testid="notice">{text}</div> }
}
