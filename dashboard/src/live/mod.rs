//! From frames of the bridge to what is shown.

pub(crate) mod arrange;
pub(crate) mod feed;
pub(crate) mod measure;
pub(crate) mod picture;
pub(crate) mod series;

#[cfg(target_arch = "wasm32")]
mod bridge;
#[cfg(all(target_arch = "wasm32", feature = "mock"))]
mod mock;
#[cfg(target_arch = "wasm32")]
pub(crate) mod store;
