//! The Tidegate client: one pure machine behind two socket adapters, a browser's and a native one.

// With `std` all that a panic can say is kept, for whoever may have asked to be told of it.
#![cfg_attr(all(feature = "bus", target_arch = "wasm32"), no_std)]

extern crate alloc;

pub mod machine;

#[cfg(target_arch = "wasm32")]
pub mod browser;

#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub mod native;
