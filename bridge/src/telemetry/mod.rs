//! What the node tells about itself: metrics under the names of `names`, and the log of its own doings.

mod metrics;
mod names;

pub use metrics::Metrics;

/// Begins to write the node's own log to standard error; `RUST_LOG` says how much.
pub fn start_logging(json: bool) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,librdkafka=warn,rdkafka=warn"));
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start, as in tests of the whole, keeps the first.
    let _ = if json { log.json().try_init() } else { log.try_init() };
}
