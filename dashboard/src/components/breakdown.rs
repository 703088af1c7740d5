//! Deliveries by tenant, topic, type and consumer.

use leptos::prelude::*;
use tidegate_protocol::ledger::Column;

use super::Figure;
use crate::charts::Spark;
use crate::format;
use crate::live::arrange::{By, Sort, arrange};
use crate::live::measure::Measure;
use crate::live::picture::{Key, Line};
use crate::live::store::Store;

/// The totals that a line shows.
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

/// What a line's small plot shows.
const SPARK: &[Measure] = &[Measure::Received, Measure::Failed];

/// The table of lines, with what chooses among them.
#[component]
pub(crate) fn Breakdown() -> impl IntoView {
    let store = expect_context::<Store>();
    let filter = RwSignal::new(String::new());
    let sort = RwSignal::new(Sort { by: By::Column(Column::Tenant), descending: false });
    let keys =
        Memo::new(move |_| store.picture.with(|picture| filter.with(|filter| arrange(picture, filter, sort.get()))));
    let there = Memo::new(move |_| store.picture.with(|picture| picture.lines.len()));
    let others = Memo::new(move |_| store.picture.with(|picture| picture.other.is_some()));
    view! {
        <section class="panel breakdown" aria-labelledby="breakdown-heading">
            <header>
                <h2 id="breakdown-heading">
                    "Breakdown"
                    <small data-testid="line-count">{move || counted(keys.with(Vec::len), there.get())}</small>
                </h2>
                <Grouping/>
                <label class="sort-by">
                    <span>"Sort by"</span>
                    <select on:change=move |event| sort.set(sort_named(&event_target_value(&event)))>
                        <option value="">"Name"</option>
                        {SHOWN.iter().map(|m| view! { <option value=m.name()>{m.label()}</option> }).collect_view()}
                    </select>
                </label>
                <label class="filter">
                    <span class="visually-hidden">"Filter lines"</span>
                    <input
                        type="search" placeholder="Filter lines" data-testid="filter" spellcheck="false"
                        prop:value=filter on:input=move |event| filter.set(event_target_value(&event))
                    />
                </label>
            </header>
            <Show when=move || there.get() != 0 fallback=Nothing>
                <table class="lines" role="table" data-testid="breakdown">
                    <thead role="rowgroup"><Headings sort/></thead>
                    <tbody role="rowgroup">
                        <For each=move || keys.get() key=move |key| (key.clone(), store.group_by.get_untracked()) children=|key| view! { <Row key/> }/>
                        <Show when=move || others.get()><Others/></Show>
                    </tbody>
                </table>
                <Show when=move || keys.with(Vec::is_empty)>
                    <p class="empty">"No line holds "<q>{move || filter.get()}</q>"."</p>
                </Show>
            </Show>
        </section>
    }
}

/// While no delivery has been counted.
#[component]
fn Nothing() -> impl IntoView {
    view! {
        <p class="empty" data-testid="empty">
            "No deliveries yet. A line appears as soon as the bridge sends an event to a page: open one that \
             subscribes to a topic, or publish something to it."
        </p>
    }
}

/// Chooses the columns that lines are told apart by.
#[component]
fn Grouping() -> impl IntoView {
    let store = expect_context::<Store>();
    let toggle = move |column: Column| {
        let chosen = store.group_by.get_untracked();
        let wants = |other: Column| chosen.contains(&other) != (other == column);
        store.regroup(Column::ALL.into_iter().filter(|&other| wants(other)).collect());
    };
    let option = move |column: Column| {
        view! {
            <label>
                <input
                    type="checkbox" class="visually-hidden" data-testid=format!("group-{}", column.name())
                    prop:checked=move || store.group_by.with(|columns| columns.contains(&column))
                    on:change=move |_| toggle(column)
                />
                <span>{title(column)}</span>
            </label>
        }
    };
    view! {
        <fieldset class="grouping">
            <legend>"Group by"</legend>
            {Column::ALL.map(option).collect_view()}
        </fieldset>
    }
}

#[component]
fn Headings(sort: RwSignal<Sort>) -> impl IntoView {
    let store = expect_context::<Store>();
    let heading = move |by: By, label: &'static str, help: &'static str, number: bool| {
        let order = move || {
            let sort = sort.get();
            (sort.by == by).then_some(if sort.descending { "descending" } else { "ascending" })
        };
        view! {
            <th scope="col" role="columnheader" class:number=number aria-sort=order>
                <button type="button" title=help on:click=move |_| sort.update(|sort| *sort = sort.clicked(by))>
                    {label}<span class="arrow" aria-hidden="true"></span>
                </button>
            </th>
        }
    };
    let named = move || -> Vec<AnyView> {
        let columns = store.group_by.get();
        if columns.is_empty() {
            return vec![view! { <th scope="col" role="columnheader">"All"</th> }.into_any()];
        }
        columns.into_iter().map(|column| heading(By::Column(column), title(column), "", false).into_any()).collect()
    };
    view! {
        <tr role="row">
            {named}
            <th scope="col" role="columnheader" class="trend">"Trend"</th>
            {heading(By::Rate(Measure::Received), "Rate", "Received each second", true)}
            {SHOWN.iter().map(|&m| heading(By::Total(m), m.label(), m.help(), true)).collect::<Vec<_>>()}
        </tr>
    }
}

#[component]
fn Row(key: Key) -> impl IntoView {
    let store = expect_context::<Store>();
    let wanted = key.clone();
    let line =
        Memo::new(move |_| store.picture.with(|picture| picture.lines.get(&wanted).cloned().unwrap_or_default()));
    let focused = {
        let key = key.clone();
        Memo::new(move |_| store.focus.with(|focus| focus.as_ref() == Some(&key)))
    };
    let focus = {
        let key = key.clone();
        move |_| {
            store.focus.update(|focus| *focus = Some(key.clone()).filter(|key| focus.as_ref() != Some(key)));
        }
    };
    let test_id = key.test_id();
    let columns = store.group_by.get_untracked();
    let mut names = columns
        .iter()
        .enumerate()
        .map(|(place, &column)| {
            let value = key.shown(column).unwrap_or("–").to_owned();
            let faint = key.column(column).is_none_or(str::is_empty);
            if place == 0 {
                let label = format!("{}: show in the plots", key.label());
                view! {
                    <th scope="row" role="rowheader" data-col=column.name() class:faint=faint>
                        <button type="button" title=label.clone() aria-label=label aria-pressed=move || focused.get().to_string() on:click=focus.clone()>
                            {value}
                        </button>
                    </th>
                }.into_any()
            } else {
                view! { <td role="cell" class="name" data-col=column.name() class:faint=faint>{value}</td> }.into_any()
            }
        })
        .collect::<Vec<_>>();
    if names.is_empty() {
        names.push(view! { <th scope="row" role="rowheader">"Everything"</th> }.into_any());
    }
    view! {
        <tr
            role="row" data-testid=test_id class:focused=move || focused.get()
            class:broken=move || line.with(|line| line.imbalance.is_some())
        >
            {names}
            <td role="cell" class="trend"><Spark key=Some(key) measures=SPARK/></td>
            <Figures line/>
        </tr>
        <Why line/>
    }
}

/// Everything that is too small for a line of its own.
#[component]
fn Others() -> impl IntoView {
    let store = expect_context::<Store>();
    let line = Memo::new(move |_| store.picture.with(|picture| picture.other.clone().unwrap_or_default()));
    view! {
        <tr role="row" data-testid="row-other" class:broken=move || line.with(|line| line.imbalance.is_some())>
            <th scope="row" role="rowheader" colspan=move || store.group_by.with(|columns| columns.len().max(1).to_string())>
                "All other lines together"
            </th>
            <td role="cell" class="trend"></td>
            <Figures line/>
        </tr>
        <Why line/>
    }
}

#[component]
fn Figures(line: Memo<Line>) -> impl IntoView {
    let rate = move || {
        let rate = line.with(|line| line.rates.map_or(f64::NAN, |rates| rates.of(Measure::Received)));
        format!("{}/s", format::rate(rate))
    };
    let cells = SHOWN
        .iter()
        .map(|&measure| {
            let value = Memo::new(move |_| line.with(|line| measure.of(&line.counts)));
            view! {
                <td
                    role="cell" class="number" data-col=measure.name() data-label=measure.label()
                    class:zero=move || value.get() == 0
                >
                    <Figure value/>
                </td>
            }
        })
        .collect::<Vec<_>>();
    view! {
        <td role="cell" class="number rate" data-col="rate" data-label="Rate">{rate}</td>
        {cells}
    }
}

/// What is wrong with the line above, if something is.
#[component]
fn Why(line: Memo<Line>) -> impl IntoView {
    move || {
        let text = line.with(|line| line.imbalance.as_ref().map(ToString::to_string))?;
        Some(view! {
            <tr role="row" class="broken why">
                <td role="cell" class="imbalance" data-col="imbalance" colspan="99">"Does not balance: "{text}"."</td>
            </tr>
        })
    }
}

fn title(column: Column) -> &'static str {
    match column {
        Column::Tenant => "Tenant",
        Column::Topic => "Topic",
        Column::Type => "Type",
        Column::Consumer => "Consumer",
    }
}

fn counted(shown: usize, there: usize) -> String {
    match there {
        _ if shown != there => format!(" {shown} of {there} lines"),
        1 => " 1 line".to_owned(),
        _ => format!(" {there} lines"),
    }
}

fn sort_named(name: &str) -> Sort {
    match Measure::ALL.iter().find(|measure| measure.name() == name) {
        Some(&measure) => Sort { by: By::Total(measure), descending: true },
        None => Sort { by: By::Column(Column::Tenant), descending: false },
    }
}
