//! Import walls: which crate may be named where, and which room may know which.

use super::code::{code, lines_with};
use super::{File, Problem};

/// Names that belong in some places only.
struct Wall {
    /// The names.
    names: &'static [&'static str],
    /// Path prefixes where they may stand.
    only_in: &'static [&'static str],
    /// Why.
    why: &'static str,
}

/// Names that do not belong in some places.
struct Ban {
    /// The names.
    names: &'static [&'static str],
    /// Path prefixes where they may not stand.
    not_in: &'static [&'static str],
    /// Why.
    why: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        names: &["rdkafka"],
        only_in: &["log/src/kafka", "log/tests/", "tests/", "bench/"],
        why: "Kafka is reached through the log's trait",
    },
    Wall { names: &["rusqlite"], only_in: &["log/src/sqlite", "log/tests/"], why: "SQL stays in stores" },
    Wall {
        names: &["tokio_tungstenite", "tungstenite", "hyper", "hyper_util", "hyper_rustls", "http_body_util"],
        only_in: &[
            "bench/src/naive",
            "bridge/src/transport",
            "bridge/tests/",
            "gate/src/jwks",
            "gate/tests/",
            "wasm-client/src/native",
            "wasm-client/tests/",
            "tests/",
        ],
        why: "sockets and HTTP are adapters: the machines behind them know neither",
    },
    Wall { names: &["axum", "tower"], only_in: &["bridge/src/transport"], why: "HTTP is an adapter" },
    Wall {
        names: &["wasm_bindgen", "wasm_bindgen_futures", "web_sys", "js_sys"],
        only_in: &["wasm-client/src/browser", "dashboard/"],
        why: "the client's machine runs natively too",
    },
    Wall { names: &["leptos", "reactive_stores"], only_in: &["dashboard/"], why: "only the dashboard draws" },
];

const BANS: &[Ban] = &[
    Ban {
        names: &["SystemTime", "Instant", "tokio", "std::thread"],
        not_in: &["protocol/src/", "wasm-client/src/machine"],
        why: "pure code is told the time and starts nothing",
    },
    Ban {
        names: &["tidegate_gate", "tidegate_client"],
        not_in: &["log/"],
        why: "the log knows no tenants, tokens or clients",
    },
    Ban {
        names: &["crate::transport"],
        not_in: &["bridge/src/feed", "bridge/src/fanout", "bridge/src/session", "bridge/src/ledger"],
        why: "the transport sits on top of these and decides nothing for them",
    },
];

/// Looks for names on the wrong side of a wall.
pub(super) fn check(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let code = code(&file.text);
        let inside = |places: &[&str]| places.iter().any(|place| file.path.starts_with(place));
        let mut report = |names: &[&str], message: &dyn Fn(&str) -> String| {
            for name in names {
                if let Some(line) = lines_with(&code, name).first() {
                    problems.push(Problem::new(format!("{}:{line}", file.path), message(name)));
                }
            }
        };
        for wall in WALLS.iter().filter(|wall| !inside(wall.only_in)) {
            report(wall.names, &|name| {
                format!("`{name}` may be named only in {}: {}", wall.only_in.join(", "), wall.why)
            });
        }
        for ban in BANS.iter().filter(|ban| inside(ban.not_in)) {
            report(ban.names, &|name| format!("`{name}` may not be named here: {}", ban.why));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn places(path: &str, text: &str) -> Vec<String> {
        check(&[file(path, text)]).into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn names_on_the_wrong_side_are_found() {
        assert_eq!(places("bridge/src/feed/tail.rs", "//! x\nuse rdkafka::Message;\n"), ["bridge/src/feed/tail.rs:2"]);
        assert_eq!(places("wasm-client/src/machine/mod.rs", "fn now() { Instant::now() }").len(), 1);
        assert_eq!(places("bridge/src/session/mod.rs", "use crate::transport::Socket;").len(), 1);
    }

    #[test]
    fn names_on_the_right_side_are_not() {
        assert!(places("log/src/kafka/reader.rs", "use rdkafka::Message;").is_empty());
        assert!(places("bridge/src/feed/tail.rs", "// not rdkafka\nlet x = \"rdkafka\";").is_empty());
        assert!(places("xtask/src/package.rs", "use wasm_bindgen_cli_support::Bindgen;").is_empty());
        assert!(places("bridge/README.md", "rdkafka").is_empty());
    }
}
