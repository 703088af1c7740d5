//! The few things the dashboard wants of the browser itself.

use js_sys::Date;
use tidegate_protocol::timestamp::Millis;
use wasm_bindgen::JsValue;
use web_sys::{Storage, Url, Window};

/// Where the token is kept: for this tab only.
const TOKEN: &str = "tidegate.token";
/// Where the chosen theme is kept.
const THEME: &str = "tidegate.theme";

fn window() -> Option<Window> {
    web_sys::window()
}

fn session_storage() -> Option<Storage> {
    window()?.session_storage().ok().flatten()
}

/// The time of this machine.
pub(crate) fn now() -> Millis {
    Date::now() as Millis
}

/// A time of day in the person's own zone, `12:04:31`.
pub(crate) fn time_of_day(at: Millis) -> String {
    let date = Date::new(&(at as f64).into());
    format!("{:02}:{:02}:{:02}", date.get_hours(), date.get_minutes(), date.get_seconds())
}

/// The token of this tab: the one in the address (`#token=…`), else the one that was kept.
pub(crate) fn token() -> Option<String> {
    token_in_address().or_else(kept_token)
}

fn kept_token() -> Option<String> {
    session_storage()?.get_item(TOKEN).ok().flatten()
}

/// The token in the address, which is taken out of it.
pub(crate) fn token_in_address() -> Option<String> {
    let location = window()?.location();
    let hash = location.hash().ok()?;
    let token = hash.strip_prefix("#token=")?.to_owned();
    let bare = location.pathname().ok()? + &location.search().ok()?;
    let history = window()?.history().ok()?;
    history.replace_state_with_url(&JsValue::NULL, "", Some(&bare)).ok()?;
    (!token.is_empty()).then_some(token)
}

/// Keeps or forgets the token. Where storage is forbidden the token lasts as long as the page.
pub(crate) fn keep_token(token: Option<&str>) {
    let Some(storage) = session_storage() else { return };
    let _ = match token {
        Some(token) => storage.set_item(TOKEN, token),
        None => storage.remove_item(TOKEN),
    };
}

/// Where the bridge's socket is: beside the dashboard, so that it also works below a proxy's prefix.
pub(crate) fn socket_url() -> Option<String> {
    let url = Url::new_with_base("../v1/ws", &window()?.document()?.base_uri().ok()??).ok()?;
    url.set_hash("");
    url.set_search("");
    url.set_protocol(if url.protocol() == "https:" { "wss:" } else { "ws:" });
    Some(url.href())
}

/// The chosen theme: `light`, `dark`, or nothing for the system's.
pub(crate) fn theme() -> Option<String> {
    window()?.local_storage().ok()??.get_item(THEME).ok()?
}

/// Shows and keeps a theme. `theme.js` does the same before the first paint.
pub(crate) fn set_theme(theme: Option<&str>) {
    let storage = window().and_then(|window| window.local_storage().ok().flatten());
    let root = window().and_then(|window| window.document()?.document_element());
    if let Some(theme) = theme {
        let _ = storage.map(|storage| storage.set_item(THEME, theme));
        let _ = root.map(|root| root.set_attribute("data-theme", theme));
    } else {
        let _ = storage.map(|storage| storage.remove_item(THEME));
        let _ = root.map(|root| root.remove_attribute("data-theme"));
    }
}
