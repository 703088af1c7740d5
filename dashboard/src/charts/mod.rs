//! Plots of the last minutes, drawn as SVG paths.

pub(crate) mod plot;

#[cfg(target_arch = "wasm32")]
mod chart;
#[cfg(target_arch = "wasm32")]
mod spark;

#[cfg(target_arch = "wasm32")]
pub(crate) use chart::Chart;
#[cfg(target_arch = "wasm32")]
pub(crate) use spark::Spark;
