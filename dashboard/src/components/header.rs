//! The band at the top: whose data this is, where it comes from, and whether it is current.

use leptos::prelude::*;

use crate::browser;
use crate::live::feed::Status;
use crate::live::store::Store;

/// The page's header.
#[component]
pub(crate) fn Header() -> impl IntoView {
    let store = expect_context::<Store>();
    let signed_in = Memo::new(move |_| store.status.with(|s| !matches!(s, Status::SignedOut | Status::Refused(_))));
    let known = Memo::new(move |_| signed_in.get() && store.identity.with(|identity| !identity.tenant.is_empty()));
    let nodes = move || {
        let present = store.picture.with(|picture| picture.nodes.join(", "));
        if present.is_empty() { store.identity.with(|identity| identity.node.clone()) } else { present }
    };
    view! {
        <header class="top">
            <a class="brand" href="./" aria-label="Tidegate dashboard"><Mark/><span>"Tidegate"</span></a>
            <p class="state" role="status" data-testid="state" data-state=move || store.status.with(Status::name)>
                <span class="lamp" aria-hidden="true"></span>
                {move || store.status.with(Status::label)}
            </p>
            <Show when=move || known.get()>
                <dl class="who">
                    <div><dt>"Node"</dt><dd data-testid="nodes">{nodes}</dd></div>
                    <div><dt>"Tenant"</dt><dd data-testid="tenant">{move || store.identity.with(|i| i.tenant.clone())}</dd></div>
                    <div class="subject">
                        <dt>"Signed in as"</dt>
                        <dd data-testid="subject">{move || store.identity.with(|i| i.subject.clone())}</dd>
                    </div>
                </dl>
            </Show>
            <div class="tools">
                <Theme/>
                <Show when=move || signed_in.get()>
                    <button type="button" data-testid="sign-out" on:click=move |_| store.sign_out()>"Sign out"</button>
                </Show>
            </div>
        </header>
    }
}

/// The mark: a gate half raised, and the tide under it.
#[component]
fn Mark() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
            <path class="posts" d="M5 3v19M27 3v19"/>
            <path class="gate" d="M9 4h14v9H9zM13.7 4v9M18.3 4v9"/>
            <path class="tide" d="M2 21c2.3-2.4 4.7-2.4 7 0s4.7 2.4 7 0 4.7-2.4 7 0 4.7 2.4 7 0"/>
            <path class="tide low" d="M2 27c2.3-2.4 4.7-2.4 7 0s4.7 2.4 7 0 4.7-2.4 7 0 4.7 2.4 7 0"/>
        </svg>
    }
}

/// Chooses the theme.
#[component]
fn Theme() -> impl IntoView {
    let chosen = RwSignal::new(browser::theme().unwrap_or_default());
    let choose = move |value: &'static str| {
        chosen.set(value.to_owned());
        browser::set_theme(Some(value).filter(|value| !value.is_empty()));
    };
    let option = move |value: &'static str, label: &'static str, path: &'static str| {
        view! {
            <label title=label>
                <input
                    type="radio" name="theme" value=value class="visually-hidden"
                    prop:checked=move || chosen.with(|chosen| chosen == value)
                    on:change=move |_| choose(value)
                />
                <svg viewBox="0 0 16 16" aria-hidden="true"><path d=path/></svg>
                <span class="visually-hidden">{label}</span>
            </label>
        }
    };
    view! {
        <fieldset class="theme">
            <legend class="visually-hidden">"Theme"</legend>
            {option("light", "Light", "M8 4.8a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9 13 13M3 13l1.1-1.1M11.9 4.1 13 3")}
            {option("", "As the system", "M2 3h12v8H2zM6 14h4M8 11v3")}
            {option("dark", "Dark", "M13.5 9.6A5.8 5.8 0 0 1 6.4 2.5a5.8 5.8 0 1 0 7.1 7.1z")}
        </fieldset>
    }
}
