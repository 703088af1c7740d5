//! What the node tells about itself: metrics under the names of `names`, and the log of its own doings.

mod metrics;
mod names;

pub use metrics::Metrics;

/// Begins to write the node's own log to standard error; `RUST_LOG` says how much.
pub fn start_logging(json: bool) {
    use std::io::IsTerminal as _;

    use tracing_subscriber::{EnvFilter, fmt};
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,librdkafka=warn,rdkafka=warn"));
    // Colours are for eyes: a journal or a file gets none.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).with_ansi(colours);
    // A second start, as in tests of the whole, keeps the first.
    let _ = if json { log.json().try_init() } else { log.try_init() };
}
