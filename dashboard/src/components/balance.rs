//! The ledger's laws over everything, as equations with today's figures in them.

use leptos::prelude::*;

use super::Figure;
use crate::live::measure::Measure;
use crate::live::picture::{Finding, Picture};
use crate::live::store::Store;

/// The right side of law 1.
const ACCOUNTED: [Measure; 5] =
    [Measure::Consumed, Measure::GivenUp, Measure::DeadLettered, Measure::Abandoned, Measure::InFlight];

/// Both laws, and every place where one does not hold.
#[component]
pub(crate) fn Balance() -> impl IntoView {
    let store = expect_context::<Store>();
    let broken = Memo::new(move |_| store.picture.with(|picture| !picture.findings.is_empty()));
    let term = move |measure: Measure| {
        let value = Memo::new(move |_| store.picture.with(|picture| measure.of(&picture.totals.counts)));
        view! { <span class="term" data-series=measure.name()><Figure value/>" "<small>{measure.label().to_lowercase()}</small></span> }
    };
    let equals = move || if store.picture.with(|picture| picture.totals.counts.law_1().is_ok()) { "=" } else { "≠" };
    let right = ACCOUNTED
        .into_iter()
        .enumerate()
        .map(|(place, measure)| view! { <span class="operator">{move || if place > 0 { "+" } else { equals() }}</span>{term(measure)} })
        .collect::<Vec<_>>();
    view! {
        <section class="balance" class:broken=move || broken.get() aria-label="Balance" data-testid="balance"
            data-balanced=move || (!broken.get()).to_string()>
            <p class="verdict" role="status">
                <svg viewBox="0 0 16 16" aria-hidden="true">
                    <path d=move || if broken.get() { "M8 2.5v7M8 12.5v1" } else { "M2.5 8.5l3.5 4 7.5-9" }/>
                </svg>
                {move || if broken.get() { "Does not balance" } else { "Balanced" }}
            </p>
            <p class="equation">{term(Measure::Received)}{right}</p>
            <Show when=move || broken.get()>
                <ul class="findings" data-testid="findings">{move || store.picture.with(findings)}</ul>
            </Show>
        </section>
    }
}

fn findings(picture: &Picture) -> Vec<impl IntoView + use<>> {
    let one = |finding: &Finding| {
        view! {
            <li>
                <strong>{finding.about.clone()}</strong>
                " on "{finding.node.clone()}": "{finding.imbalance.to_string()}"."
            </li>
        }
    };
    picture.findings.iter().map(one).collect()
}
