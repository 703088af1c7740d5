//! The Tidegate client: one pure machine behind two socket adapters, a browser's and a native one.

pub mod machine;

#[cfg(target_arch = "wasm32")]
pub mod browser;

#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub mod native;
