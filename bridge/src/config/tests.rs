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

mod environment {
    use super::*;

    #[test]
    fn overrides_and_adds() {
        let config = good(
            "[server]\nlisten = \"127.0.0.1:1\"\n",
            &[
                ("TIDEGATE_SERVER__LISTEN", "0.0.0.0:9000"),
                ("TIDEGATE_SERVER__ALLOWED_ORIGINS", "https://a.example, https://b.example"),
                ("TIDEGATE_LIMITS__SUBSCRIPTIONS", "7"),
                ("TIDEGATE_LIMITS__CREDIT_BYTES", "128KiB"),
                ("TIDEGATE_TOPICS__ORDERS__PHYSICAL", "{tenant}.v2.orders"),
                ("TIDEGATE_TOPICS__NEWS__PUBLIC", "true"),
                ("TIDEGATE_GRANTS", r#"[{ role = "clerk", allow = ["subscribe"], topics = ["*"] }]"#),
                ("HOME", "/"),
            ],
        );
        assert_eq!(config.server.listen.to_string(), "0.0.0.0:9000");
        assert!(config.server.allowed_origins.allow(Some("https://b.example"), None));
        assert_eq!((config.limits.subscriptions, config.limits.credit_bytes), (7, 128 << 10));
        assert_eq!(config.topics.get("orders").unwrap().physical.to_string(), "{tenant}.v2.orders");
        assert!(config.topics.get("news").unwrap().public());
        assert_eq!(&*config.grants[0].role, "clerk");
    }

    #[test]
    fn names_of_librdkafka() {
        let env = [
            ("TIDEGATE_LOG__KIND", "kafka"),
            ("TIDEGATE_LOG__KAFKA__BOOTSTRAP_SERVERS", "b:9092"),
            ("TIDEGATE_LOG__KAFKA__SASL_PASSWORD", "x=y"),
        ];
        let text = "[log.kafka]\nbootstrap.servers = \"a:9092\"\nfetch.min.bytes = 5\nsocket.keepalive.enable = true\n\"client.id\" = \"t\"\n";
        let config = good(text, &env);
        let Log::Kafka(kafka) = &*config.log else { panic!("kafka") };
        let settings: Vec<_> = kafka.settings.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(
            settings,
            [
                ("bootstrap.servers", "b:9092"),
                ("client.id", "t"),
                ("fetch.min.bytes", "5"),
                ("sasl.password", "x=y"),
                ("socket.keepalive.enable", "true"),
            ]
        );
    }

    #[test]
    fn a_file_is_not_needed() {
        let env = [
            ("TIDEGATE_LOG__KAFKA__BOOTSTRAP_SERVERS", "a:9092"),
            ("TIDEGATE_TOKENS__ALGORITHMS", "HS256"),
            ("TIDEGATE_TOKENS__SECRET", "a secret of at least thirty-two bytes"),
        ];
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!(load(None, env).unwrap().config.tokens.algorithms, [Algorithm::Hs256]);
    }

    fn problem(name: &str, value: &str) -> String {
        read(LEAST, &[(name, value)]).unwrap_err().to_string()
    }

    #[test]
    fn unknown_settings_are_refused_with_a_suggestion() {
        assert_eq!(
            problem("TIDEGATE_SERVER__LISEN", "x"),
            "TIDEGATE_SERVER__LISEN: server.lisen: unknown key; did you mean server.listen?"
        );
        assert_eq!(
            problem("TIDEGATE_SERVER_LISTEN", "x"),
            "TIDEGATE_SERVER_LISTEN: unknown setting; did you mean TIDEGATE_SERVER__LISTEN?"
        );
        assert_eq!(
            problem("TIDEGATE_SEVER__LISTEN", "x"),
            "TIDEGATE_SEVER__LISTEN: sever: unknown key; did you mean server?"
        );
        assert!(problem("TIDEGATE_CATCH_UP_READERS", "2").ends_with("did you mean TIDEGATE_CATCH_UP__READERS?"));
    }

    #[test]
    fn bad_values_are_named_by_their_variable() {
        for (name, value, expected) in [
            ("TIDEGATE_LIMITS__SUBSCRIPTIONS", "many", "limits.subscriptions: must be from 1 to 100000"),
            ("TIDEGATE_TOPICS__NEWS__PUBLIC", "yes", "topics.news.public: \"yes\" is neither true nor false"),
            ("TIDEGATE_GRANTS", "[{", "grants: not TOML: "),
            ("TIDEGATE_TOKENS__SECRET__X", "1", "tokens.secret: is no table in the file"),
            ("TIDEGATE_SERVER____LISTEN", "x", "a level between the underscores is empty"),
        ] {
            let problems = problem(name, value);
            assert!(problems.contains(&format!("{name}: {expected}")), "{problems}");
        }
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        let env = [
            ("TIDEGATE_CONFIG", "x"),
            ("TIDEGATE_TOKEN", "x"),
            ("TIDEGATE_URL", "x"),
            ("TIDEGATE_SERVICE_HOST", "10.0.0.1"),
            ("TIDEGATE_SERVICE_PORT_HTTP", "80"),
            ("TIDEGATE_PORT", "tcp://10.0.0.1:80"),
            ("TIDEGATE_PORT_80_TCP_ADDR", "10.0.0.1"),
        ];
        good("", &env);
    }
}

mod log_section {
    use super::*;

    const TOKENS: &str = "[tokens]\nalgorithms = [\"HS256\"]\nsecret = \"a secret of at least thirty-two bytes\"\n";

    fn problem(text: &str) -> String {
        read(&format!("{text}{TOKENS}"), &[]).unwrap_err().to_string()
    }

    #[test]
    fn problems() {
        assert!(
            problem("[log]\nkind = \"kafak\"\n")
                .contains("log.kind: \"kafak\" must be \"kafka\" or \"sqlite\"; did you mean \"kafka\"?")
        );
        assert!(
            problem("[log]\nkind = \"kafka\"\n").contains("tidegate.toml:1: log.kafka: needs \"bootstrap.servers\"")
        );
        assert!(problem("[log.kafka]\n[log.sqlite]\n").contains("log.kind: must say which log"));
        let kafka = problem("[log.kafka]\nbootstrap.servers = [\"a\"]\n");
        assert!(kafka.contains("tidegate.toml:2: log.kafka.bootstrap.servers: must be text"), "{kafka}");
        let twice = problem("[log.kafka]\nbootstrap.servers = \"a\"\n\"bootstrap.servers\" = \"b\"\n");
        assert!(twice.contains("log.kafka.bootstrap.servers: is set twice"), "{twice}");
        assert!(problem("[log.sqlite]\npartitions = 0\n").contains("log.sqlite.partitions: must be from 1 to 1024"));
        assert!(problem("[log.sqlite]\npath = \"\"\n").contains("log.sqlite.path: must name a file"));
    }

    #[test]
    fn paths_are_taken_from_the_file_that_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(folder.path().join("s"), "a secret of at least thirty-two bytes\n").unwrap();
        std::fs::write(&path, "[log.sqlite]\n[tokens]\nalgorithms = [\"HS256\"]\nsecret_file = \"s\"\n").unwrap();
        let config = load(Some(&path), std::iter::empty()).unwrap().config;
        let Log::Sqlite(sqlite) = &*config.log else { panic!("sqlite") };
        assert_eq!(sqlite.path, folder.path().join("tidegate.db"));
    }
}

mod tokens_section {
    use super::*;

    fn problem(tokens: &str) -> String {
        read(&format!("[log.sqlite]\n[tokens]\n{tokens}"), &[]).unwrap_err().to_string()
    }

    #[test]
    fn algorithms_and_keys() {
        for (text, expected) in [
            ("secret = \"x\"\n", "tidegate.toml:2: tokens.algorithms: must name what tokens are signed with"),
            ("algorithms = []\nsecret = \"x\"\n", "tidegate.toml:3: tokens.algorithms: must name"),
            ("algorithms = [\"none\"]\nsecret = \"x\"\n", "tokens.algorithms: \"none\" is no supported algorithm"),
            ("algorithms = [\"HS256\"]\n", "tidegate.toml:2: tokens: needs one of key_file, secret_file"),
            (
                "algorithms = [\"HS256\"]\nsecret = \"short\"\n",
                "tidegate.toml:4: tokens.secret: an HS256 secret needs at least 32 bytes",
            ),
            ("algorithms = [\"HS256\"]\nsecret_file = \"/absent\"\n", "tidegate.toml:4: tokens.secret_file: /absent: "),
            (
                "algorithms = [\"HS256\"]\nsecret = \"x\"\njwks_url = \"y\"\n",
                "tidegate.toml:5: tokens.jwks_url: only one of secret, jwks_url may be set",
            ),
            ("algorithms = [\"RS256\"]\njwks_url = \"ftp://x\"\n", "tokens.jwks_url: ftp://x: must be an http"),
            (
                "algorithms = [\"RS256\"]\nsecret = \"a secret of at least thirty-two bytes\"\n",
                "tokens.secret: the key is for HS256, which is not among tokens.algorithms",
            ),
            ("skew = \"1h\"\n", "tokens.skew: must be from 0s to 5m"),
            ("claims.tenat = \"x\"\n", "tokens.claims.tenat: unknown key; did you mean tokens.claims.tenant?"),
            ("claims.tenant = \"\"\n", "tokens.claims.tenant: must name a claim"),
            ("audience = [\"\"]\n", "tokens.audience: must not be empty"),
        ] {
            let problems = problem(text);
            assert!(problems.contains(expected), "{problems}\n{expected}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let text = "algorithms = [\"RS256\"]\nsecret = \"hunter2\"\n";
        assert!(!problem(text).contains("hunter2"));
        let key = bad("[cursors]\nkeys = [\"hunter2\"]\n");
        assert!(key.contains("cursors.keys: must be 32 bytes in base64") && !key.contains("hunter2"), "{key}");
    }

    #[test]
    fn warnings_of_what_is_weak() {
        let text = "[log.sqlite]\n[tokens]\nalgorithms = [\"RS256\"]\njwks_url = \"http://id.example/\"\n";
        let told = warnings(text).join("\n");
        assert!(told.contains("tokens.jwks_url: keys fetched over http:// can be replaced"), "{told}");
        assert!(told.contains("tokens.issuer: not set"), "{told}");
        assert!(told.contains("topics: there is none") && told.contains("grants: there is none"), "{told}");
        assert!(told.contains("cursors.keys: not set"), "{told}");
        let local = warnings(&text.replace("id.example", "127.0.0.1:9")).join("\n");
        assert!(!local.contains("http://"), "{local}");
        let any = warnings(&format!("{LEAST}[server]\nallowed_origins = [\"*\"]\n")).join("\n");
        assert!(any.contains("server.allowed_origins: \"*\" lets every page"), "{any}");
    }
}

mod topics_section {
    use super::*;

    #[test]
    fn problems() {
        for (text, expected) in [
            ("[topics.x]\n", "tidegate.toml:10: topics.x.tenant.from: must say whose the events are"),
            ("[topics.\"a b\"]\ntenant.from = \"key\"\n", "topics.a b: a topic's name is words"),
            ("[topics._tidegate]\ntenant.from = \"key\"\n", "topics._tidegate: names that begin with _tidegate"),
            ("[topics.x]\ntenant.from = \"name\"\n", "topics.x.tenant.from: \"name\" needs {tenant} in physical"),
            ("[topics.x]\ntenant.from = \"header\"\n", "topics.x.tenant.header: must name the header"),
            (
                "[topics.x]\ntenant.from = \"key\"\ntenant.header = \"h\"\n",
                "topics.x.tenant.header: is of use with from = \"header\" only",
            ),
            (
                "[topics.x]\ntenant.from = \"key\"\ntenant.pointer = \"/t\"\n",
                "topics.x.tenant.pointer: is of use with format = \"json\"",
            ),
            ("[topics.x]\ntenant.from = \"hedder\"\n", "topics.x.tenant.from: \"hedder\" must be"),
            (
                "[topics.x]\npublic = true\ntenant.from = \"key\"\n",
                "topics.x.public: a public topic belongs to no tenant",
            ),
            ("[topics.x]\nphysical = \"a b\"\ntenant.from = \"key\"\n", "topics.x.physical: \"a b\" may hold letters"),
            (
                "[topics.x]\nphysical = \"{tenant}-x\"\n",
                "topics.x.physical: \"{tenant}-x\" {tenant} must be set off by dots",
            ),
            (
                "[topics.x]\nphysical = \"carts\"\ntenant.from = \"key\"\n",
                "topics.x.physical: lies on carts, as topics.carts does",
            ),
            (
                "[topics.x]\nphysical = \"acme.orders\"\ntenant.from = \"key\"\n",
                "topics.x.physical: lies on acme.orders, as topics.orders does ({tenant}.orders)",
            ),
            (
                "[topics.x]\ntenant.from = \"key\"\nkey = \"tenant\"\n",
                "topics.x.key: \"tenant\" must be \"plain\" or \"tenant/key\"",
            ),
            ("[topics.x]\ntenant.from = \"key\"\nformat = \"avro\"\n", "topics.x.format: \"avro\" must be"),
            (
                "[topics.x]\ntenant.from = \"key\"\nformat = \"json\"\n",
                "topics.x.json: format = \"json\" needs json.type",
            ),
            (
                "[topics.x]\ntenant.from = \"key\"\nformat = \"json\"\njson.id = \"/id\"\n",
                "topics.x.json.type: is needed",
            ),
            (
                "[topics.x]\ntenant.from = \"key\"\nformat = \"json\"\njson.type = \"open\"\n",
                "topics.x.json.type: \"open\" is neither an event type",
            ),
            (
                "[topics.x]\ntenant.from = \"key\"\nformat = \"json\"\njson.type = \"/a~\"\n",
                "topics.x.json.type: \"/a~\" is no JSON pointer",
            ),
            (
                "[topics.x]\ntenant.from = \"key\"\njson.type = \"a.b\"\n",
                "topics.x.json: is of use with format = \"json\" only",
            ),
            (
                "[topics.x]\ntenant.from = \"envelope\"\nformat = \"json\"\njson.type = \"a.b\"\n",
                "topics.x.tenant.pointer: must say where in the JSON",
            ),
        ] {
            let problems = bad(text);
            assert!(problems.contains(expected), "{problems}\n{expected}");
            assert_eq!(problems.lines().count(), 1, "{problems}");
        }
    }

    #[test]
    fn json_and_headers() {
        let config = good(
            "[topics.x]\ntenant.header = \"x-tenant\"\nformat = \"json\"\njson.type = \"order.changed\"\njson.key = \"/a~1b/c\"\n\
             [topics.y]\ntenant.from = \"envelope\"\ntenant.pointer = \"/t\"\nformat = \"json\"\njson.type = \"/kind\"\n",
            &[],
        );
        let x = config.topics.get("x").unwrap();
        assert_eq!(x.tenant, Some(TenantFrom::Header("x-tenant".into())));
        let Format::Json(json) = &x.format else { panic!("json") };
        assert_eq!(json.event_type, TypeFrom::Constant("order.changed".into()));
        assert_eq!(json.key.as_ref().unwrap().words().collect::<Vec<_>>(), ["a/b", "c"]);
        let y = config.topics.get("y").unwrap();
        assert_eq!(y.tenant, Some(TenantFrom::Member("/t".parse().unwrap())));
        assert!(!y.publishable());
    }

    #[test]
    fn publishing_to_a_shared_topic_needs_keys_of_tenants() {
        let grant = "[[grants]]\nrole = \"clerk\"\nallow = [\"publish\"]\ntopics = [\"*\"]\n";
        assert_eq!(
            bad(grant),
            "tidegate.toml:8: topics.carts.key: must be \"tenant/key\": tenants share the topic, and grants[0] lets them publish to it"
        );
        let quiet = warnings(LEAST).join("\n");
        assert!(quiet.contains("tidegate.toml:8: topics.carts.key: tenants share the topic"), "{quiet}");
        let with_key = LEAST.replace("tenant.from = \"envelope\"", "tenant.from = \"envelope\"\nkey = \"tenant/key\"");
        let config = read(&format!("{with_key}{grant}"), &[]).unwrap().config;
        assert!(config.topics.get("carts").unwrap().publishable());
    }
}

mod grants_section {
    use super::*;

    #[test]
    fn problems() {
        for (text, expected) in [
            ("allow = [\"subscribe\"]\ntopics = [\"*\"]\n", "grants[0].role: must name the role"),
            ("role = \"*\"\nallow = [\"subscribe\"]\ntopics = [\"*\"]\n", "grants[0].role: \"*\" is no role"),
            ("role = \"a\"\ntopics = [\"*\"]\n", "grants[0].allow: must say what it allows"),
            ("role = \"a\"\nallow = [\"subscribe\"]\n", "grants[0].topics: must name topics"),
            (
                "role = \"a\"\nallow = [\"subscribe\"]\ntopics = [\"or*\"]\n",
                "grants[0].topics: \"or*\" must be a topic",
            ),
            (
                "role = \"a\"\nallow = [\"subscribe\"]\ntopics = [\"*\"]\ntenants = \"*\"\n",
                "grants[0].tenants: \"*\" is for observe only",
            ),
            (
                "role = \"a\"\nallow = [\"subscribe\"]\ntopics = [\"*\"]\npositions = \"rwa\"\n",
                "grants[0].positions: \"rwa\" must be \"hidden\" or \"raw\"; did you mean \"raw\"?",
            ),
            (
                "role = \"a\"\nallow = [\"subscribe\"]\ntopics = [\"*\"]\nwhere = \"x\"\n",
                "grants[0].where: unknown key",
            ),
        ] {
            let problems = bad(&format!("[[grants]]\n{text}"));
            assert!(problems.contains(expected), "{problems}\n{expected}");
            assert_eq!(problems.lines().count(), 1, "{problems}");
        }
    }

    #[test]
    fn a_wildcard_that_matches_nothing_is_warned_of() {
        let text = "[[grants]]\nrole = \"a\"\nallow = [\"subscribe\"]\ntopics = [\"eu.*\"]\n";
        let told = warnings(&format!("{LEAST}{text}")).join("\n");
        assert!(told.contains("tidegate.toml:10: grants[0].topics: \"eu.*\" matches no topic"), "{told}");
    }

    #[test]
    fn the_policy_is_that_of_the_file() {
        let text = "[[grants]]\nrole = \"a\"\nallow = [\"subscribe\"]\ntopics = [\"orders\"]\n";
        assert_eq!(good(text, &[]).policy().physical("orders").unwrap().to_string(), "{tenant}.orders");
    }
}

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
