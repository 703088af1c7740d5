//! Puts the pages together: signed in or not.

use leptos::prelude::*;

use crate::browser;
use crate::components::Header;
use crate::live::feed::Status;
use crate::live::store::Store;
use crate::pages::{Overview, SignIn};

/// The whole dashboard.
#[component]
pub(crate) fn App() -> impl IntoView {
    let store = Store::new();
    provide_context(store);
    if let Some(token) = browser::token() {
        store.sign_in(&token);
    }
    // Another link to the same page, with another token, is no new page.
    window_event_listener(leptos::ev::hashchange, move |_| {
        if let Some(token) = browser::token_in_address() {
            store.sign_in(&token);
        }
    });
    let outside = Memo::new(move |_| {
        store.status.with(|status| match status {
            Status::SignedOut => Some(None),
            Status::Refused(refusal) => Some(Some(refusal.clone())),
            _ => None,
        })
    });
    view! {
        <a class="skip" href="#main">"Skip to content"</a>
        <Header/>
        <main id="main" tabindex="-1">
            {move || match outside.get() {
                Some(refusal) => view! { <SignIn refusal/> }.into_any(),
                None => view! { <Overview/> }.into_any(),
            }}
        </main>
    }
}
