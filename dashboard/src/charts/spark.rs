//! A plot as small as a word.

use leptos::prelude::*;

use super::plot::{Frame, HEIGHT, WIDTH};
use crate::live::measure::Measure;
use crate::live::picture::Key;
use crate::live::store::Store;

/// The last minutes of one line's rates; figures beside it say the same in words.
#[component]
pub(crate) fn Spark(
    /// Which line; everything if there is none.
    key: Option<Key>,
    /// What to draw; all on one scale.
    measures: &'static [Measure],
) -> impl IntoView {
    let store = expect_context::<Store>();
    let paths = Memo::new(move |_| {
        store.picture.track();
        let span = store.span();
        store.with_series(key.as_ref(), |series| {
            let frame = Frame::around(series, span, measures);
            measures.iter().map(|&measure| frame.line(series, measure)).collect::<Vec<_>>()
        })
    });
    let lines = measures
        .iter()
        .enumerate()
        .map(|(place, measure)| {
            let path = move || paths.with(|paths| paths.get(place).cloned());
            view! { <path class="line" data-series=measure.name() d=path/> }
        })
        .collect::<Vec<_>>();
    view! {
        <svg class="spark" viewBox=format!("0 -6 {WIDTH} {}", HEIGHT + 12.0) preserveAspectRatio="none" aria-hidden="true">
            {lines}
        </svg>
    }
}
