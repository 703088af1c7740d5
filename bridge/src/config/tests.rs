//! Configurations that are good, and every class of those that are not.

use std::path::Path;
use std::time::Duration;

use tidegate_gate::{Algorithm, KeySource, Positions, Tenants};

use super::*;

/// The least that is a configuration. Tests add to it; the first line they add is line 10.
const LEAST: &str = r#"[log.sqlite]
path = "tide.db"
[tokens]
algorithms = ["HS256"]
secret = "a secret of at least thirty-two bytes"
[topics.orders]
physical = "{tenant}.orders"
[topics.carts]
tenant.from = "envelope"
"#;

type Env<'a> = &'a [(&'a str, &'a str)];

fn read(text: &str, env: Env<'_>) -> Result<Loaded, Problems> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(text, "tidegate.toml", env)
}

fn good(more: &str, env: Env<'_>) -> Config {
    read(&format!("{LEAST}{more}"), env).unwrap_or_else(|problems| panic!("{problems}")).config
}

fn bad(more: &str) -> String {
    read(&format!("{LEAST}{more}"), &[]).expect_err("a problem").to_string()
}

fn warnings(text: &str) -> Vec<String> {
    read(text, &[]).unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let config = good("", &[]);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.heartbeat_interval, Duration::from_secs(25));
    assert_eq!(config.server.heartbeat_timeout, Duration::from_secs(8));
    assert!(!config.server.node.is_empty() && config.server.shards > 0);
    assert_eq!((config.limits.event_bytes, config.limits.credit_bytes), (1 << 20, 256 << 10));
    assert!(config.limits.frame_bytes > config.limits.event_bytes);
    assert_eq!((config.limits.unsettled, config.limits.subscriptions), (10_000, 64));
    assert_eq!(config.tokens.skew_ms, 30_000);
    assert_eq!(config.window.bytes, 64 << 20);
    let sqlite = SqliteSettings { path: "tide.db".into(), partitions: 4 };
    assert_eq!(*config.log, Log::Sqlite(sqlite));
    assert_eq!(config.topics.get("orders").unwrap().tenant, Some(TenantFrom::Name));
    assert_eq!(config.topics.get("carts").unwrap().tenant, Some(TenantFrom::Envelope));
}

#[test]
fn the_reference_file_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/tidegate.example.toml");
    let loaded = load(Some(&path), std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}"));
    let config = loaded.config;
    assert_eq!(config.topics.iter().count(), 5);
    assert_eq!(config.grants.len(), 4);
    assert_eq!((config.grants[2].tenants, config.grants[3].positions), (Tenants::All, Positions::Raw));
    assert!(matches!(&config.tokens.keys, KeySource::JwksUrl(_)));
    let Log::Kafka(kafka) = &*config.log else { panic!("kafka") };
    assert_eq!(kafka.settings["bootstrap.servers"], "127.0.0.1:9092");
    assert!(config.topics.get("news").unwrap().public());
    // The defaults it states are the defaults.
    let usual = good("", &[]);
    assert_eq!(config.limits, usual.limits);
    assert_eq!((config.window, config.catch_up), (usual.window, usual.catch_up));
    let server = Server {
        node: usual.server.node.clone(),
        shards: usual.server.shards,
        allowed_origins: usual.server.allowed_origins.clone(),
        ..(*config.server).clone()
    };
    assert_eq!(server, *usual.server);
    assert_eq!(config.tokens.claims, usual.tokens.claims);
    assert_eq!((config.tokens.skew_ms, config.tokens.max_bytes), (usual.tokens.skew_ms, usual.tokens.max_bytes));
}

#[test]
fn an_unknown_key_is_named_with_line_and_suggestion() {
    assert_eq!(
        bad("[server]\nlisen = \"127.0.0.1:80\"\n"),
        "tidegate.toml:11: server.lisen: unknown key; did you mean server.listen?"
    );
    assert_eq!(bad("[sever]\n"), "tidegate.toml:10: sever: unknown key; did you mean server?");
    assert_eq!(bad("[server]\nqqq = 1\n"), "tidegate.toml:11: server.qqq: unknown key");
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"[server]
listen = "nowhere"
heartbeat_interval = "25"
[limits]
frame_bytes = "64KB"
subscriptions = 0
unsetled = 5
[[grants]]
role = "clerk"
allow = ["subscribe", "publsh"]
topics = ["ordrs"]
"#;
    let problems = bad(text);
    let expected = [
        "tidegate.toml:11: server.listen: \"nowhere\" is no address",
        "tidegate.toml:12: server.heartbeat_interval: \"25\" is no duration",
        "tidegate.toml:14: limits.frame_bytes: must be at least 4KiB more than limits.event_bytes",
        "tidegate.toml:15: limits.subscriptions: must be from 1 to 100000",
        "tidegate.toml:16: limits.unsetled: unknown key; did you mean limits.unsettled?",
        "tidegate.toml:17: grants[0].topics: there is no topic \"ordrs\"; did you mean \"orders\"?",
        "tidegate.toml:19: grants[0].allow: \"publsh\" must be",
    ];
    let lines: Vec<&str> = problems.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{problems}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    assert!(lines[6].ends_with("did you mean \"publish\"?"));
}

#[test]
fn text_that_is_no_toml_is_named_by_line() {
    let problems = bad("[server]\nlisten = \n");
    assert!(problems.starts_with("tidegate.toml:11: not TOML: "), "{problems}");
    let twice = bad("[server]\n[server]\n");
    assert!(twice.starts_with("tidegate.toml:11: not TOML: duplicate key"), "{twice}");
}

#[test]
fn values_of_the_wrong_kind() {
    for (text, expected) in [
        ("[server]\nlisten = 80\n", "server.listen: must be text, not an integer"),
        ("[server]\nallowed_origins = 5\n", "server.allowed_origins: must be a list, not an integer"),
        ("[server]\nallowed_origins = [5]\n", "server.allowed_origins: must be text, not an integer"),
        ("[server]\nshards = \"two\"\n", "server.shards: must be an integer, not text"),
        ("[server]\nshards = 99999999999999999999\n", "server.shards: must be an integer"),
        ("[server]\ndrain_timeout = 5\n", "server.drain_timeout: must be a duration such as \"25s\", not an integer"),
        ("[window]\nbytes = -1\n", "window.bytes: must not be negative"),
        ("[window]\nbytes = 1.5\n", "window.bytes: must be a size"),
        (
            "[topics.news]\npublic = \"yes\"\ntenant.from = \"key\"\n",
            "topics.news.public: must be true or false, not text",
        ),
        ("[catch_up]\nreaders = 2026-01-01\n", "catch_up.readers: must be an integer, not a time"),
    ] {
        let problems = bad(text);
        assert!(problems.contains(expected), "{problems}");
    }
    let table = read("server = 5\ngrants = 5\n", &[]).unwrap_err().to_string();
    assert!(table.contains("tidegate.toml:1: server: must be a table ([server]), not an integer"), "{table}");
    assert!(table.contains("tidegate.toml:2: grants: must be a list ([[grants]]), not an integer"), "{table}");
}

#[test]
fn nothing_at_all_names_what_is_needed() {
    let problems = read("", &[]).unwrap_err().to_string();
    assert!(problems.contains("tidegate.toml: log.kind: must say which log"), "{problems}");
    assert!(problems.contains("tidegate.toml: tokens: needs one of key_file"), "{problems}");
    assert!(problems.contains("tidegate.toml: tokens.algorithms: must name"), "{problems}");
    assert_eq!(problems.lines().count(), 3, "{problems}");
}

#[test]
fn a_file_that_can_not_be_read() {
    let problems = load(Some(Path::new("/absent/tidegate.toml")), std::iter::empty()).unwrap_err();
    assert!(problems.to_string().starts_with("/absent/tidegate.toml: can not be read: "), "{problems}");
}

mod environment;

mod limits_section;

mod log_section;

mod tokens_section;

mod topics_section;

mod grants_section;

#[test]
fn secrets_are_not_in_debug_output() {
    let text = LEAST.replace(
        "[log.sqlite]\npath = \"tide.db\"",
        "[log.kafka]\nbootstrap.servers = \"a\"\nsasl.password = \"hunter2\"",
    );
    let shown = format!("{:?}", read(&text, &[]).unwrap().config);
    assert!(!shown.contains("hunter2") && !shown.contains("thirty-two") && shown.contains("sasl.password"), "{shown}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "([\\[\\]{}a-z.=\"'0-9\\n #,_-]|\\[server\\]\n|\\[\\[grants\\]\\]\n|topics|tenant|\\PC){0,60}", name in "TIDEGATE_[A-Z_]{0,20}", value in "\\PC{0,20}") {
        let _ = read(&text, &[(&name, &value)]);
        let _ = read(&format!("{LEAST}{text}"), &[]);
    }
}

#[test]
fn cursor_keys() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursor.key");
    std::fs::write(&path, format!("{key}\n")).unwrap();
    let config = good(&format!("[cursors]\nkeys = [\"{key}\", \"file:{}\"]\n", path.display()), &[]);
    assert_eq!(config.cursors.keys.len(), 2);
    assert_eq!(config.cursors.keys[0], config.cursors.keys[1]);
    assert_eq!(config.cursors.keys[0].0[31], 31);
    assert!(bad("[cursors]\nkeys = []\n").contains("cursors.keys: must hold at least one key"));
    assert!(bad("[cursors]\nkeys = [\"file:/absent\"]\n").contains("cursors.keys: /absent: "));
}

mod admin_section;
