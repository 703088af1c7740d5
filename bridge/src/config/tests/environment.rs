//! Overrides from the environment.

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
