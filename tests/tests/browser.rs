//! Real Chromium on real Kafka: starts the broker and two bridges, then runs the tests in `e2e/`, which are page code.
//!
//! `E2E_ONLY=cut` runs only the files whose name holds `cut`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_tests::stage::Stage;

/// Tenants with a topic `orders` of their own. The topic `carts` is every tenant's.
const TENANTS: [&str; 2] = ["acme", "globex"];

/// More than one, so that order is something to keep.
const PARTITIONS: i32 = 4;

/// What clocks may differ by: room for a busy machine to renew a token in.
const SKEW: (&str, &str) = ("TIDEGATE_TOKENS__SKEW", "3s");

/// Lets a test see within seconds what otherwise takes minutes: a silent tab, and a resume that memory can't serve.
const HASTY: [(&str, &str); 4] = [
    SKEW,
    ("TIDEGATE_SERVER__HEARTBEAT_INTERVAL", "1s"),
    ("TIDEGATE_SERVER__HEARTBEAT_TIMEOUT", "4s"),
    ("TIDEGATE_WINDOW__BYTES", "1MiB"),
];

#[tokio::test(flavor = "multi_thread")]
async fn pages_in_chromium() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e");
    assert!(tests.join("node_modules").is_dir(), "no playwright-core: run `cargo xtask test`, which installs it");
    let served = served(&tests.join("page"));
    let stage = Stage::new();
    for tenant in TENANTS {
        stage.create(&stage.orders(tenant), PARTITIONS).await;
    }
    stage.create(&stage.carts(), PARTITIONS).await;
    let assets = ("TIDEGATE_ASSETS", served.path().to_str().expect("a path in UTF-8"));
    let bridge = stage.bridge(&[SKEW, assets]);
    let hasty = stage.bridge(&[&HASTY[..], &[assets]].concat());

    let status = Command::new("node")
        .args(["--test", "--test-concurrency=1", "--test-timeout=600000", "--test-reporter=spec"])
        .args(files(&tests))
        .current_dir(&tests)
        .env("E2E_BRIDGE", format!("http://{}", bridge.address))
        .env("E2E_HASTY_BRIDGE", format!("http://{}", hasty.address))
        .env("E2E_KAFKA", stage.kafka.bootstrap())
        .env("E2E_KAFKA_TOOL", arguments(&stage.kafka.tool("CLASS")))
        .env("E2E_ORDERS", stage.orders("{tenant}"))
        .env("E2E_CARTS", stage.carts())
        .env("E2E_KEYS", stage.configuration().with_file_name("jwks.json"))
        .status()
        .expect("node starts: `cargo xtask test` installs it");
    assert!(status.success(), "tests in Chromium failed: see above");
}

/// What a command is given, as JSON.
fn arguments(command: &Command) -> String {
    command.get_args().map(OsStr::to_string_lossy).collect::<serde_json::Value>().to_string()
}

/// What the bridges serve: the built assets, and the tests' own page beside them.
fn served(page: &Path) -> tempfile::TempDir {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("assets");
    let assets = std::env::var_os("TIDEGATE_ASSETS").map_or_else(built, PathBuf::from);
    let served = tempfile::Builder::new().prefix("tidegate-assets-").tempdir().expect("a temporary directory");
    for name in ["client", "dashboard"] {
        let built = assets.join(name);
        assert!(built.is_dir(), "no {}: run `cargo xtask test`, which builds it", built.display());
        symlink(built, served.path().join(name)).expect("a link");
    }
    symlink(page, served.path().join("page")).expect("a link");
    served
}

/// The files of tests, those that were asked for.
fn files(directory: &Path) -> Vec<String> {
    let only = std::env::var("E2E_ONLY").unwrap_or_default();
    let entries = fs::read_dir(directory).expect("the tests are there");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".test.js") && name.contains(&only)).collect();
    names.sort_unstable();
    names
}
