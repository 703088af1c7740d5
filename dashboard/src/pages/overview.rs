//! The page with a session: totals, plots, breakdown, feeds and sessions.

use leptos::prelude::*;

use crate::charts::Chart;
use crate::components::{Balance, Breakdown, Feeds, Notice, Tiles};
use crate::live::feed::Status;
use crate::live::measure::Measure;
use crate::live::picture::Key;
use crate::live::store::Store;

/// The page with a session.
#[component]
pub(crate) fn Overview() -> impl IntoView {
    let store = expect_context::<Store>();
    // No figure is shown before it is known: a zero would be a claim.
    let known = Memo::new(move |_| store.picture.with(|picture| picture.at != 0));
    view! {
        <h1 class="visually-hidden">"Deliveries"</h1>
        <Notice/>
        <Show when=move || known.get()><Figures/></Show>
    }
}

#[component]
fn Figures() -> impl IntoView {
    let store = expect_context::<Store>();
    view! {
        <div class="overview" data-stale=move || (!store.status.with(Status::is_current)).then_some("")>
            <Tiles/>
            <Balance/>
            <Focus/>
            <div class="charts">
                <Chart
                    id="flow" title="Deliveries"
                    measures=&[Measure::Received, Measure::Consumed, Measure::Failed] filled=Some(Measure::Received)
                />
                <Chart
                    id="fates" title="Other fates"
                    measures=&[Measure::GivenUp, Measure::DeadLettered, Measure::Abandoned] filled=None
                />
            </div>
            <Breakdown/>
            <Feeds/>
        </div>
    }
}

/// Says which line the plots are about.
#[component]
fn Focus() -> impl IntoView {
    let store = expect_context::<Store>();
    view! {
        <Show when=move || store.focus.with(Option::is_some)>
            <p class="focus" data-testid="focus">
                <span>"Plots show "<strong>{move || store.focus.with(|key| key.as_ref().map(Key::label))}</strong></span>
                <button type="button" on:click=move |_| store.focus.set(None)>"Show everything"</button>
            </p>
        </Show>
    }
}
