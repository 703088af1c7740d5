//! The command line, as people and scripts use it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tidegate_client::native::Subscribe;
use tidegate_gate::{Algorithm, Signer};
use tidegate_tests::account::Account;
use tidegate_tests::bridge::{connect, get};
use tidegate_tests::embedded::Embedded;
use tidegate_tests::process::{Process, tidegate};
use tidegate_tests::stage::Stage;
use tidegate_tests::{next, notice, until};

fn run(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it writes UTF-8")
}

fn success(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn version_and_help() {
    assert_eq!(success(&mut tidegate(&["--version"])), format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
    let help = success(&mut tidegate(&["--help"]));
    for command in ["serve", "dev", "check", "token", "topics", "publish", "tail", "bench", "revoke"] {
        assert!(help.contains(command), "{help}");
        assert!(success(&mut tidegate(&[command, "--help"])).contains("Usage:"));
    }
    let wrong = run(&mut tidegate(&["sevre"]));
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("serve"), "it knows what was meant");
}

#[test]
fn check_looks_at_the_certificate_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tidegate.toml");
    let config = "[server.tls]\ncertificate_file = \"chain.pem\"\nkey_file = \"key.pem\"\n[log.sqlite]\n[tokens]\n\
                  algorithms = [\"HS256\"]\nsecret = \"a secret of at least thirty-two bytes\"\n";
    std::fs::write(&file, config).unwrap();
    let said = run(&mut tidegate(&["check", "--config", path(&file)]));
    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said.stderr).contains("server.tls") && text(&said.stderr).contains("chain.pem"), "{said:?}");
}

#[test]
fn check_names_every_problem_by_key_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tidegate.toml");
    let wrong = r#"[server]
lisen = "127.0.0.1:8080"
handshake_timeout = "fast"
[log.kafka]
[tokens]
algorithms = ["none"]
[topics.orders]
tenant.from = "nowhere"
[[grants]]
role = "member"
allow = ["subscribe"]
topics = ["ordres"]
"#;
    std::fs::write(&file, wrong).unwrap();
    for command in ["check", "serve"] {
        let output = run(&mut tidegate(&[command, "--config", path(&file)]));
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        for (line, key, hint) in [
            (2, "server.lisen", "listen"),
            (3, "server.handshake_timeout", "25s"),
            (4, "log.kafka", "bootstrap.servers"),
            (6, "tokens.algorithms", "HS256"),
            (8, "topics.orders.tenant.from", "envelope"),
            (9, "grants[0].topics", "ordres"),
        ] {
            let found = said.lines().find(|said| said.contains(key)).unwrap_or_else(|| panic!("{key}: {said}"));
            assert!(found.contains(&format!(":{line}")) && said.contains(hint), "{found}");
        }
    }
    let missing = run(&mut tidegate(&["check", "--config", "/no/such/file.toml"]));
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("/no/such/file.toml"));
}

#[test]
fn a_port_in_use_is_said_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&mut tidegate(&["dev", "--quiet", "--listen", &address]));
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(&address) && said.contains("in use") && !said.contains("backtrace"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_open_sessions_and_events_go_in_and_out() {
    let stage = Stage::new();
    stage.create(&stage.orders("acme"), 1).await;
    // A secret and a pair of keys: the two ways in which people begin.
    let directory = tempfile::tempdir().unwrap();
    let (secret, pair) = (directory.path().join("secret"), directory.path().join("pair.pem"));
    let (signer, pem) = Signer::generate(Algorithm::Es256).unwrap();
    std::fs::write(&secret, "x".repeat(40)).unwrap();
    std::fs::write(&pair, pem).unwrap();
    let public = directory.path().join("public.pem");
    std::fs::write(&public, signer.public_pem().unwrap()).unwrap();
    let of_stage = std::fs::read_to_string(stage.configuration()).unwrap();
    for (name, tokens, key) in [
        ("hs256", format!("algorithms = [\"HS256\"]\nsecret_file = {secret:?}"), None),
        ("es256", format!("algorithms = [\"ES256\"]\nkey_file = {public:?}"), Some(&pair)),
    ] {
        let file = directory.path().join(format!("{name}.toml"));
        let keys = "algorithms = [\"HS256\", \"ES256\"]\njwks_file = \"jwks.json\"";
        std::fs::write(&file, of_stage.replace(keys, &tokens)).unwrap();
        assert!(success(&mut tidegate(&["check", "--config", path(&file)])).starts_with("ok: 2 topics"));
        let bridge = Process::start(&["serve", "--config", path(&file)], &[]);
        let address = bridge.word_after("serving address=");
        until("it is ready", async || get(address.parse().unwrap(), "/readyz").0 == 200).await;
        let url = format!("ws://{address}/v1/ws");

        let mut token = tidegate(&["token", "--config", path(&file), "--tenant", "acme", "--role", "member"]);
        if let Some(key) = key {
            let refused = run(&mut token);
            assert!(!refused.status.success() && text(&refused.stderr).contains("--key"));
            token.args(["--key", path(key)]);
        }
        let token = success(&mut token).trim().to_owned();
        let given = |arguments: &[&str]| {
            let mut command = tidegate(arguments);
            command.env("TIDEGATE_URL", &url).env("TIDEGATE_TOKEN", &token);
            command
        };
        let id = success(&mut given(&["publish", "orders", &notice("acme", 1), "--key", "order/1"]));
        assert_eq!(id.trim().len(), 36, "{id}");
        let mut lines = given(&["publish", "orders"]);
        let mut lines = lines.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = format!("{}\n\n{}\n", notice("acme", 2), notice("acme", 3));
        lines.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert_eq!(text(&lines.wait_with_output().unwrap().stdout).lines().count(), 2);

        // The second bridge finds the events of the first too.
        let count = if key.is_some() { 6 } else { 3 };
        let tail = ["tail", "orders", "--from", "earliest", "--keys", "--count", &count.to_string()];
        let seen = success(&mut given(&tail));
        let seen: Vec<(&str, Value)> = seen
            .lines()
            .map(|line| line.split_once('\t').unwrap())
            .map(|(key, event)| (key, serde_json::from_str(event).unwrap()))
            .collect();
        let numbers: Vec<i64> = seen.iter().map(|(_, event)| event["data"]["n"].as_i64().unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3].repeat(count / 3));
        assert_eq!(seen[0].0, "order/1");
        let ones = count / 3;
        let tail =
            ["tail", "orders", "--from", "earliest", "--type", "order.*", "--key", "order/1", "--key", "order/0"];
        let seen = success(given(&tail).args(["--count", &ones.to_string()]));
        assert!(seen.lines().count() == ones && seen.lines().all(|line| line.contains(r#""n":1"#)), "{seen}");
        let refused = run(&mut given(&["tail", "orders", "--type", "*"]));
        assert!(
            !refused.status.success() && text(&refused.stderr).contains("malformed_frame"),
            "{}",
            text(&refused.stderr)
        );

        let refused = run(&mut given(&["publish", "orders", "{"]));
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("invalid_event"), "{}", text(&refused.stderr));
        let denied = run(&mut given(&["tail", "unheard-of"]));
        assert!(!denied.status.success() && text(&denied.stderr).contains("denied"), "{}", text(&denied.stderr));
    }
}

#[test]
fn who_can_not_connect_is_told_why() {
    let output = run(&mut tidegate(&["tail", "orders", "--url", "ws://127.0.0.1:1/v1/ws", "--token", "x"]));
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("ws://127.0.0.1:1/v1/ws") && said.contains("refused"), "{said}");
    let output = run(&mut tidegate(&["tail", "orders"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_starts_with_nothing_and_all_curves_move() {
    let dev = Process::start(&["dev", "--listen", "127.0.0.1:0"], &[]);
    let url = dev.word_after("open http://");
    let address = url.trim_end_matches("/demo/").parse().unwrap();
    assert_eq!(get(address, "/healthz").0, 200);
    until("it is ready", async || get(address, "/readyz").0 == 200).await;
    assert!(get(address, "/metrics").1.contains("tidegate_log_available 1"));
    let (status, token) = get(address, "/dev/token?tenant=acme&user=ada&roles=member");
    assert_eq!((status, token.split('.').count()), (200, 3));
    assert_eq!(get(address, "/dev/token").0, 400);

    let client = connect(address, &token).await;
    let mut orders = client.subscribe(Subscribe::to("orders")).await.unwrap();
    assert_eq!(next(&mut orders).await.event["tenant_id"], "acme");
    until("some of what the demo does fails", async || {
        let (_, metrics) = get(address, "/metrics");
        let moved = |kind: &str| {
            let kind = format!("kind=\"{kind}\"}} ");
            let values = metrics.lines().filter(|line| line.starts_with("tidegate_deliveries_total"));
            values.filter_map(|line| line.split_once(&kind)).any(|(_, value)| value != "0")
        };
        ["received", "consumed", "failed", "given_up"].into_iter().all(moved)
    })
    .await;
    assert!(get(address, "/metrics").1.contains("tidegate_ledger_imbalance 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_starts_before_kafka_does_and_gets_ready() {
    let stage = Stage::new();
    stage.create(&stage.orders("acme"), 1).await;
    let configuration = stage.configuration();
    // A port of ours where nothing listens yet, and to which Kafka comes later, as a proxy plays it.
    let port = tokio::net::TcpSocket::new_v4().unwrap();
    port.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = port.local_addr().unwrap().to_string();
    let arguments = ["serve", "--config", path(&configuration)];
    // One that heeds revocations takes no sessions before it has read them.
    let unheeded = ("TIDEGATE_REVOCATION__ENABLED", "false");
    let early = Process::start(&arguments, &[("TIDEGATE_LOG__KAFKA__BOOTSTRAP_SERVERS", &nobody), unheeded]);
    let address = early.word_after("serving address=").parse().unwrap();
    assert_eq!((get(address, "/healthz").0, get(address, "/readyz").0), (200, 503));
    let client = connect(address, &stage.token("acme", "ada", "member")).await;
    let refused = client.publish("orders", None, &notice("acme", 1)).await.unwrap_err();
    assert_eq!(refused.code, "log_unavailable");
    let refused = client.subscribe(Subscribe::to("orders"));
    // It waits rather than fails: the log may come.
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), refused).await.is_err());
    let kafka = stage.kafka.bootstrap();
    let listener = port.listen(64).unwrap();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let kafka = kafka.clone();
            tokio::spawn(async move {
                let mut to = tokio::net::TcpStream::connect(kafka).await?;
                tokio::io::copy_bidirectional(&mut from, &mut to).await
            });
        }
    });
    until("it is ready", async || get(address, "/readyz").0 == 200).await;
    client.publish("orders", None, &notice("acme", 2)).await.unwrap();
    drop(client);

    // And an ordinary one beside it sees what was published.
    let bridge = stage.bridge(&[]);
    let client = bridge.client(&stage.token("acme", "ada", "member")).await;
    let from = tidegate_protocol::frame::From::Earliest;
    let mut subscription = client.subscribe(Subscribe::to("orders").from(from)).await.unwrap();
    assert_eq!(next(&mut subscription).await.n(), 2);
    Account::of(&bridge).await.at_rest(|totals| totals.of("acme", "orders").consumed == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bench_measures_what_many_sessions_get_of_a_running_bridge() {
    const EVENT: &str = r#"{"type":"order.created","data":{"total":42}}"#;
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let url = bridge.url();
    // Each session asks for a token of its own.
    let file = path(&stage.configuration()).replace("tidegate.toml", "token-");
    for session in 0..5 {
        std::fs::write(format!("{file}{session}"), stage.token("acme", &format!("reader-{session}"), "viewer"))
            .unwrap();
    }
    let ask = format!("cat '{file}'$TIDEGATE_BENCH_SESSION");
    let arguments = ["bench", "orders", "--url", &url, "--sessions", "5", "--seconds", "2", "--json"];
    let mut command = tidegate(&arguments);
    command.args(["--token-command", &ask]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut bench = command.spawn().expect("it starts");
    let backend = connect(bridge.address, &stage.token("acme", "backend", "member")).await;
    let ended = async || {
        backend.publish("orders", None, EVENT).await.unwrap();
        bench.try_wait().expect("it is ours").is_some()
    };
    until("it has measured", ended).await;
    let output = bench.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("5 sessions are open"), "{}", text(&output.stderr));
    let measured: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&measured["sessions"], &measured["reconnects"], &measured["ended"]), (&5.into(), &0.into(), &0.into()));
    for measure in ["deliveries_per_s", "bytes_per_s", "entries_per_frame"] {
        assert!(measured[measure].as_f64().is_some_and(|figure| figure > 0.0), "{measure}: {measured}");
    }
    assert!(measured["p99_ms"].as_u64().is_some_and(|ms| ms < 10_000), "the bridge stamps events: {measured}");
}

#[test]
fn bench_says_why_a_session_can_not_be_opened() {
    let stage = Embedded::new();
    let bridge = stage.bridge(&[]);
    let refused = run(&mut tidegate(&["bench", "orders", "--url", &bridge.url(), "--token", "nonsense"]));
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("invalid_token"), "{}", text(&refused.stderr));
    let silent = run(&mut tidegate(&["bench", "orders", "--url", &bridge.url(), "--token-command", "exit 3"]));
    assert_eq!(silent.status.code(), Some(1));
    assert!(text(&silent.stderr).contains("--token-command"), "{}", text(&silent.stderr));
    assert_eq!(run(&mut tidegate(&["bench", "orders"])).status.code(), Some(2), "it needs a token");
}
