//! Totals of everything, with what happens each second.

use leptos::prelude::*;

use super::Figure;
use crate::charts::Spark;
use crate::format;
use crate::live::measure::Measure;
use crate::live::store::Store;

/// What has a tile, the most important first.
const SHOWN: &[Measure] = &[
    Measure::Received,
    Measure::Consumed,
    Measure::Failed,
    Measure::GivenUp,
    Measure::DeadLettered,
    Measure::Abandoned,
    Measure::InFlight,
    Measure::Sent,
];

/// The row of tiles.
#[component]
pub(crate) fn Tiles() -> impl IntoView {
    view! {
        <section aria-label="Totals of all lines">
            <ul class="tiles">
                {SHOWN.iter().map(|&measure| view! { <Tile measure/> }).collect::<Vec<_>>()}
            </ul>
        </section>
    }
}

#[component]
fn Tile(measure: Measure) -> impl IntoView {
    let store = expect_context::<Store>();
    let value = Memo::new(move |_| store.picture.with(|picture| measure.of(&picture.totals.counts)));
    let rate = move || store.picture.with(|picture| picture.totals.rates.map_or(f64::NAN, |rates| rates.of(measure)));
    // A level has no rate.
    let beside = move || {
        if measure == Measure::InFlight { "now".to_owned() } else { format!("{}/s", format::rate(rate())) }
    };
    let long = move || value.get() > 999_999_999;
    let name = measure.name();
    view! {
        <li class="tile" data-series=name title=measure.help()>
            <h2>{measure.label()}</h2>
            <p class="total" class:long=long data-testid=format!("total-{name}")><Figure value/></p>
            <p class="rate" data-testid=format!("rate-{name}")>{beside}</p>
            <Spark key=None measures=spark(measure)/>
        </li>
    }
}

/// The one measure as a list that lives as long as the program.
fn spark(measure: Measure) -> &'static [Measure] {
    let place = measure as usize;
    &Measure::ALL[place..=place]
}
