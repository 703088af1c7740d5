//! What goes in and who is there: topics as the feeds read them, and sessions.

use leptos::prelude::*;
use tidegate_protocol::ledger::Sessions;

use super::Figure;
use crate::format;
use crate::live::picture::TopicLine;
use crate::live::store::Store;

/// Topics and sessions, side by side.
#[component]
pub(crate) fn Feeds() -> impl IntoView {
    view! {
        <div class="feeds">
            <Topics/>
            <SessionsNow/>
        </div>
    }
}

#[component]
fn Topics() -> impl IntoView {
    let store = expect_context::<Store>();
    let names = Memo::new(move |_| store.picture.with(|picture| picture.topics.keys().cloned().collect::<Vec<_>>()));
    let columns = ["Lag", "Records", "Events", "Tombstones", "Quarantined", "Read/s"];
    view! {
        <section class="panel" aria-labelledby="topics-heading">
            <header><h2 id="topics-heading">"Feeds"<small>" what the live feeds read of the log"</small></h2></header>
            <Show
                when=move || names.with(|names| !names.is_empty())
                fallback=|| view! {
                    <p class="empty">
                        "Readings come with the first record, and only to tokens that may observe all tenants: \
                         a shared topic’s counts speak of every tenant in it."
                    </p>
                }
            >
                <table class="lines" role="table">
                    <thead role="rowgroup"><tr role="row">
                        <th scope="col" role="columnheader">"Topic"</th>
                        {columns.map(|column| view! { <th scope="col" role="columnheader" class="number">{column}</th> }).collect_view()}
                    </tr></thead>
                    <tbody role="rowgroup">
                        <For each=move || names.get() key=Clone::clone children=|name| view! { <Topic name/> }/>
                    </tbody>
                </table>
            </Show>
        </section>
    }
}

#[component]
fn Topic(name: String) -> impl IntoView {
    let store = expect_context::<Store>();
    let (wanted, test_id) = (name.clone(), format!("topic-{name}"));
    let line =
        Memo::new(move |_| store.picture.with(|picture| picture.topics.get(&wanted).cloned().unwrap_or_default()));
    let cell = move |col: &'static str, label: &'static str, read: fn(&TopicLine) -> u64| {
        let value = Memo::new(move |_| line.with(read));
        view! {
            <td role="cell" class="number" data-col=col data-label=label class:zero=move || value.get() == 0>
                <Figure value/>
            </td>
        }
    };
    let imbalance = move || line.with(|line| line.imbalance.as_ref().map(ToString::to_string));
    view! {
        <tr role="row" data-testid=test_id class:broken=move || imbalance().is_some()>
            <th scope="row" role="rowheader">
                {name}
                {move || imbalance().map(|text| view! { <span class="imbalance" data-col="imbalance">{text}</span> })}
            </th>
            {cell("lag", "Lag", |line| line.reading.lag)}
            {cell("records", "Records", |line| line.reading.records)}
            {cell("events", "Events", |line| line.reading.events)}
            {cell("tombstones", "Tombstones", |line| line.reading.tombstones)}
            {cell("quarantined", "Quarantined", |line| line.reading.quarantined)}
            <td role="cell" class="number" data-col="rate" data-label="Read/s">
                {move || format::rate(line.with(|line| line.rate.unwrap_or(f64::NAN)))}
            </td>
        </tr>
    }
}

#[component]
fn SessionsNow() -> impl IntoView {
    let store = expect_context::<Store>();
    let item = move |name: &'static str, label: &'static str, help: &'static str, read: fn(&Sessions) -> u64| {
        let value = Memo::new(move |_| store.picture.with(|picture| read(&picture.sessions)));
        view! {
            <div>
                <dt>{label}<small>{help}</small></dt>
                <dd data-testid=format!("sessions-{name}")><Figure value/></dd>
            </div>
        }
    };
    view! {
        <section class="panel" aria-labelledby="sessions-heading">
            <header><h2 id="sessions-heading">"Sessions"</h2></header>
            <dl class="sessions">
                {item("open", "Open", "authenticated connections", |sessions| sessions.open)}
                {item("paused", "Paused", "out of credit: the page does not keep up", |sessions| sessions.paused)}
                {item("behind", "Behind", "catching up from the window or the log", |sessions| sessions.behind)}
            </dl>
        </section>
    }
}
