//! A plot of rates with axes, a legend that reads out what the crosshair is at, and a table of the same.

use leptos::ev::{KeyboardEvent, PointerEvent};
use leptos::prelude::*;
use tidegate_protocol::timestamp::Millis;
use web_sys::Element;
use web_sys::wasm_bindgen::JsCast;

use super::plot::{DIVISIONS, Frame, HEIGHT, WIDTH};
use crate::browser::time_of_day;
use crate::format;
use crate::live::measure::Measure;
use crate::live::series::Series;
use crate::live::store::Store;

/// What is drawn, worked out once for each report.
#[derive(Clone, PartialEq)]
struct Drawing {
    frame: Frame,
    lines: Vec<String>,
    area: Option<String>,
}

/// What the legend says.
#[derive(Clone, PartialEq)]
struct Readout {
    at: Option<Millis>,
    x: f64,
    values: Vec<f64>,
}

/// A plot of the line in focus.
#[component]
pub(crate) fn Chart(
    /// Names it in ids.
    id: &'static str,
    /// Its heading.
    title: &'static str,
    /// What it shows.
    measures: &'static [Measure],
    /// The one of them that has its area filled.
    filled: Option<Measure>,
) -> impl IntoView {
    let store = expect_context::<Store>();
    let with_series = move |read: &mut dyn FnMut(&Series)| {
        store.picture.track();
        store.focus.with(|key| store.with_series(key.as_ref(), |series| read(series)));
    };
    let drawing = Memo::new(move |_| {
        let mut drawing = None;
        with_series(&mut |series| drawing = Some(draw(series, store.span(), measures, filled)));
        drawing
    });
    // Where the crosshair is, as a part of the width: it stays under the pointer while the plot moves.
    let cross = RwSignal::new(None::<f64>);
    let readout = Memo::new(move |_| {
        let mut readout = None;
        with_series(&mut |series| readout = Some(read_out(series, store.span(), measures, cross.get())));
        readout
    });
    let as_table = RwSignal::new(false);

    let value = move |place: usize| readout.with(|readout| readout.as_ref().map_or(f64::NAN, |r| r.values[place]));
    let legend = measures
        .iter()
        .enumerate()
        .map(|(place, measure)| {
            view! {
                <li data-series=measure.name() title=measure.help()>
                    <svg class="swatch" viewBox="0 0 20 10" aria-hidden="true"><path class="line" d="M1 5h18"/></svg>
                    <span>{measure.label()}</span>
                    <b>{move || format::rate(value(place))}</b>
                </li>
            }
        })
        .collect::<Vec<_>>();
    let when = move || {
        let at = readout.with(|readout| readout.as_ref().and_then(|readout| readout.at));
        at.map_or_else(|| "now".to_owned(), time_of_day)
    };
    view! {
        <section class="panel chart" aria-labelledby=format!("{id}-heading") data-testid=format!("chart-{id}")>
            <header>
                <h2 id=format!("{id}-heading")>{title}<small>" per second"</small></h2>
                <span class="when">{when}</span>
                <button
                    type="button" class="quiet" aria-pressed=move || as_table.get().to_string()
                    on:click=move |_| as_table.update(|as_table| *as_table = !*as_table)
                >
                    {move || if as_table.get() { "Plot" } else { "Table" }}
                    <span class="visually-hidden">" of "{title}</span>
                </button>
            </header>
            <ul class="legend">{legend}</ul>
            {move || if as_table.get() {
                view! { <Table measures/> }.into_any()
            } else {
                view! { <Plot title measures drawing cross readout/> }.into_any()
            }}
        </section>
    }
}

#[component]
fn Plot(
    title: &'static str,
    measures: &'static [Measure],
    drawing: Memo<Option<Drawing>>,
    cross: RwSignal<Option<f64>>,
    readout: Memo<Option<Readout>>,
) -> impl IntoView {
    let tick = move |place: usize| {
        drawing.with(|drawing| drawing.as_ref().map(|drawing| format::tick(drawing.frame.ticks()[place])))
    };
    let lines = measures
        .iter()
        .enumerate()
        .map(|(place, measure)| {
            let path = move || drawing.with(|drawing| drawing.as_ref().map(|drawing| drawing.lines[place].clone()));
            let dot = move || {
                let y = drawing.with(|drawing| {
                    let value = readout.with(|readout| readout.as_ref().map(|readout| readout.values[place]))?;
                    Some(drawing.as_ref()?.frame.y(value)).filter(|y| !y.is_nan())
                });
                y.filter(|_| cross.with(Option::is_some)).map(|y| format!("M{:.1} {y:.1}h0", cross_x(readout)))
            };
            view! {
                <path class="line" data-series=measure.name() d=path/>
                <path class="dot" data-series=measure.name() d=dot/>
            }
        })
        .collect::<Vec<_>>();
    let said =
        move || readout.with(|readout| readout.as_ref().map(|readout| describe(readout, measures))).unwrap_or_default();
    let second = move || drawing.with(|drawing| drawing.as_ref().map_or(1.0, |drawing| drawing.frame.second()));
    let seconds = move |part: f64| ((part - 1.0) / second()).round();
    let times = move || {
        let times = drawing.with(|drawing| drawing.as_ref().map(|drawing| drawing.frame.times()));
        times.map(|times| times.map(|time| view! { <span>{time}</span> }).collect_view())
    };
    view! {
        <div class="plot">
            <div class="y-axis" aria-hidden="true">
                {(0..=DIVISIONS).map(|place| view! { <span>{move || tick(place)}</span> }).collect::<Vec<_>>()}
            </div>
            <div
                class="canvas" tabindex="0" role="slider" aria-orientation="horizontal"
                aria-label=format!("{title} over the last minutes. Arrow keys read out single seconds.")
                aria-valuemin=move || seconds(0.0) aria-valuemax="0" aria-valuenow=move || seconds(cross.get().unwrap_or(1.0)) aria-valuetext=said
                on:pointermove=move |event| cross.set(part_of(&event))
                on:pointerdown=move |event| cross.set(part_of(&event))
                on:pointerleave=move |_| cross.set(None)
                on:blur=move |_| cross.set(None)
                on:keydown=move |event| press(&event, cross, untrack(second))
            >
                <svg viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" aria-hidden="true">
                    <path class="grid" d=Frame::grid()/>
                    <path class="area" data-series="received" d=move || {
                        drawing.with(|drawing| drawing.as_ref().and_then(|drawing| drawing.area.clone()))
                    }/>
                    <path class="cross" d=move || {
                        cross.with(Option::is_some).then(|| format!("M{:.1} 0V{HEIGHT}", cross_x(readout)))
                    }/>
                    {lines}
                </svg>
            </div>
            <div class="x-axis" aria-hidden="true">
                {times}
            </div>
        </div>
    }
}

/// The same in words and figures: means over ten seconds, the newest first.
#[component]
fn Table(measures: &'static [Measure]) -> impl IntoView {
    let store = expect_context::<Store>();
    let rows = move || {
        store.picture.track();
        let means = store.focus.with(|key| store.with_series(key.as_ref(), |series| series.means(10_000, measures)));
        means
            .into_iter()
            .map(|(at, values)| {
                let cells =
                    values.into_iter().map(|value| view! { <td>{format::rate(value)}</td> }).collect::<Vec<_>>();
                view! { <tr><th scope="row">{time_of_day(at)}</th>{cells}</tr> }
            })
            .collect::<Vec<_>>()
    };
    let headings = measures.iter().map(|measure| view! { <th scope="col">{measure.label()}</th> }).collect::<Vec<_>>();
    view! {
        <div class="scroll means" tabindex="0" role="region" aria-label="Means over ten seconds">
            <table>
                <thead><tr><th scope="col">"From"</th>{headings}</tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
}

fn draw(series: &Series, span: Millis, measures: &[Measure], filled: Option<Measure>) -> Drawing {
    let frame = Frame::around(series, span, measures);
    Drawing {
        frame,
        lines: measures.iter().map(|&measure| frame.line(series, measure)).collect(),
        area: filled.map(|measure| frame.area(series, measure)),
    }
}

fn read_out(series: &Series, span: Millis, measures: &[Measure], cross: Option<f64>) -> Readout {
    let frame = Frame::around(series, span, measures);
    let sample = match cross {
        Some(part) => series.nearest(frame.time(part)),
        None => series.samples().next_back(),
    };
    Readout {
        at: sample.filter(|_| cross.is_some()).map(|sample| sample.at),
        x: sample.map_or(WIDTH, |sample| frame.x(sample.at)),
        values: measures.iter().map(|&measure| sample.map_or(f64::NAN, |sample| sample.of(measure))).collect(),
    }
}

fn cross_x(readout: Memo<Option<Readout>>) -> f64 {
    readout.with(|readout| readout.as_ref().map_or(WIDTH, |readout| readout.x))
}

fn describe(readout: &Readout, measures: &[Measure]) -> String {
    let when = readout.at.map_or_else(|| "now".to_owned(), time_of_day);
    let values = measures.iter().zip(&readout.values).map(|(measure, &value)| {
        let value = if value.is_nan() { "unknown".to_owned() } else { format::rate(value) };
        format!("{} {value}", measure.label().to_lowercase())
    });
    format!("{when}: {} per second", values.collect::<Vec<_>>().join(", "))
}

fn part_of(event: &PointerEvent) -> Option<f64> {
    let canvas = event.current_target()?.dyn_into::<Element>().ok()?;
    let bounds = canvas.get_bounding_client_rect();
    Some(((f64::from(event.client_x()) - bounds.left()) / bounds.width()).clamp(0.0, 1.0))
}

fn press(event: &KeyboardEvent, cross: RwSignal<Option<f64>>, second: f64) {
    let from = cross.get_untracked().unwrap_or(1.0);
    let to = match event.key().as_str() {
        "ArrowLeft" | "ArrowDown" => Some(from - second),
        "ArrowRight" | "ArrowUp" => Some(from + second),
        "PageDown" => Some(from - 10.0 * second),
        "PageUp" => Some(from + 10.0 * second),
        "Home" => Some(0.0),
        "End" => Some(1.0),
        "Escape" => None,
        _ => return,
    };
    event.prevent_default();
    cross.set(to.map(|part| part.clamp(0.0, 1.0)));
}
