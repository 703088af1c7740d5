//! Where a token is pasted, and why the last one did not do.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;

use crate::live::feed::Refusal;
use crate::live::store::Store;

/// The page without a session.
#[component]
pub(crate) fn SignIn(refusal: Option<Refusal>) -> impl IntoView {
    let store = expect_context::<Store>();
    let token = RwSignal::new(String::new());
    let missing = RwSignal::new(false);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let token = token.with_untracked(|token| token.trim().to_owned());
        missing.set(token.is_empty());
        if !token.is_empty() {
            store.sign_in(&token);
        }
    };
    view! {
        <div class="sign-in">
            <section class="panel" aria-labelledby="sign-in-heading">
                <h1 id="sign-in-heading">"See what became of every event"</h1>
                <p class="lead">
                    "Received, consumed and failed deliveries of this bridge, while they happen. \
                     Sign in with a token whose role may "<code>"observe"</code>"."
                </p>
                {refusal.map(explain)}
                <form on:submit=submit>
                    <label for="token">"Token"</label>
                    <textarea
                        id="token" name="token" data-testid="token" rows="4" spellcheck="false" autocomplete="off"
                        autocapitalize="off" placeholder="eyJhbGciOi…"
                        aria-describedby="token-help"
                        aria-invalid=move || missing.get().then_some("true")
                        prop:value=token
                        on:input=move |event| token.set(event_target_value(&event))
                    ></textarea>
                    <p id="token-help" class="help">
                        {move || if missing.get() {
                            "Paste a token first."
                        } else {
                            "A JSON Web Token. It stays in this tab and is forgotten when you close it or sign out."
                        }}
                    </p>
                    <button type="submit" class="primary" data-testid="sign-in">"Sign in"</button>
                </form>
                <details>
                    <summary>"Where do I get one?"</summary>
                    <p>
                        "From whoever runs the bridge. Its own command line makes one for any role:"
                    </p>
                    <pre><code>"tidegate token --help"</code></pre>
                </details>
            </section>
        </div>
    }
}

fn explain(refusal: Refusal) -> impl IntoView {
    let (name, heading, text) = match refusal {
        Refusal::Denied => (
            "denied",
            "This token may not observe".to_owned(),
            "The bridge accepted it, but no grant of its roles includes observe. Ask for one, or use another token."
                .to_owned(),
        ),
        Refusal::Expired => (
            "expired",
            "Your token has expired".to_owned(),
            "The bridge closed the session when the token ran out. Sign in with a new one to go on.".to_owned(),
        ),
        Refusal::InvalidToken => (
            "invalid",
            "The bridge does not accept this token".to_owned(),
            "It may be incomplete, signed with another key, or made for another issuer or audience. The bridge’s log \
             says which."
                .to_owned(),
        ),
        Refusal::Replaced => (
            "replaced",
            "Another tab took over".to_owned(),
            "A newer session of this same client is open, so this one was closed.".to_owned(),
        ),
        Refusal::Other { code, message } => (
            "refused",
            format!("The bridge refused: {code}"),
            if message.is_empty() { "It gave no further reason.".to_owned() } else { message },
        ),
    };
    view! {
        <div class="notice bad" role="alert" data-testid="refusal" data-refusal=name>
            <strong>{heading}</strong>
            <p>{text}</p>
        </div>
    }
}
