//! The dashboard: what was received, consumed and failed, while it happens.
//!
//! `live` hears the ledger and keeps the newest picture of it; `charts` draws; `components` and `pages` are
//! what a person sees. What can be computed without a page is plain Rust and compiles natively, where it is
//! tested; the rest exists on wasm only.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "the page that uses it exists on wasm only"))]

mod charts;
mod format;
mod live;

#[cfg(target_arch = "wasm32")]
mod app;
#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(target_arch = "wasm32")]
mod components;
#[cfg(target_arch = "wasm32")]
mod pages;

/// Puts the dashboard into the page.
#[cfg(target_arch = "wasm32")]
pub fn start() {
    leptos::mount::mount_to_body(app::App);
}
