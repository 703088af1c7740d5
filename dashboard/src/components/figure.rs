//! A count, with its digits set apart in threes.

use leptos::prelude::*;

use crate::format;

/// A count whose text is the plain integer: the space between groups is the style sheet's.
#[component]
pub(crate) fn Figure(#[prop(into)] value: Signal<u64>) -> impl IntoView {
    move || {
        let groups = format::groups(value.get()).into_iter().map(|group| view! { <i>{group}</i> });
        groups.collect::<Vec<_>>()
    }
}
