//! `[limits.tenant]` and `[limits.tenants.NAME]`

use tidegate_gate::{Rate, TenantLimits};

use super::*;

fn rate(per_second: u64, burst: u64) -> Rate {
    Rate { per_second, burst }
}

#[test]
fn tenants_have_no_limits_unless_said() {
    let limits = good("", &[]).limits.tenants.clone();
    assert_eq!((limits.usual, limits.of.len()), (TenantLimits::default(), 0));
}

#[test]
fn the_examples_say_what_they_mean() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/tidegate.example.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let from = text.find("# [limits.tenant]").unwrap();
    let until = from + text[from..].find("\n# Where events are durable").unwrap();
    let lines = text[from..until].lines().filter_map(|line| line.strip_prefix("# "));
    let shown: Vec<&str> = lines.filter(|line| line.starts_with('[') || line.contains(" = ")).collect();
    let limits = good(&shown.join("\n"), &[]).limits.tenants.clone();
    let usual = TenantLimits {
        sessions: Some(1_000),
        subscriptions: Some(5_000),
        publish_events: Some(rate(2_000, 4_000)),
        publish_bytes: Some(rate(10 << 20, 20 << 20)),
        replay_bytes: Some(rate(8 << 20, 16 << 20)),
    };
    assert_eq!(limits.usual, usual);
    let own = TenantLimits { sessions: Some(20_000), replay_bytes: None, ..usual };
    assert_eq!(limits.of["acme"], own, "what is not said is as for every other");
}

#[test]
fn a_burst_is_twice_the_rate_and_lets_one_event_through() {
    let text =
        "[limits.tenant]\npublish_events_per_s = 3\npublish_bytes_per_s = \"64KiB\"\nreplay_bytes_per_s = \"1MiB\"\n";
    let usual = good(text, &[]).limits.tenants.usual;
    assert_eq!((usual.publish_events, usual.publish_bytes), (Some(rate(3, 6)), Some(rate(64 << 10, 1 << 20))));
    assert_eq!(usual.replay_bytes, Some(rate(1 << 20, 2 << 20)));
}

#[test]
fn problems() {
    let problem = |lines: &str| bad(&format!("[limits.tenant]\n{lines}\n"));
    assert!(
        problem("sesions = 1").contains("limits.tenant.sesions: unknown key; did you mean limits.tenant.sessions?")
    );
    assert!(problem("sessions = 0").contains("tidegate.toml:11: limits.tenant.sessions: must be from 1 to"));
    assert!(problem("sessions = \"unlimitd\"").contains("limits.tenant.sessions: must be an integer"));
    let lone = problem("publish_events_burst = 5");
    assert!(
        lone.contains("publish_events_burst: needs limits.tenant.publish_events_per_s, a number, beside it"),
        "{lone}"
    );
    let of = bad("[limits.tenants.\"a.b\"]\nsessions = 1\n");
    assert!(of.contains("tidegate.toml:10: limits.tenants.a.b: no tenant has this name"), "{of}");
}

#[test]
fn the_environment_sets_them_too() {
    let env = [("TIDEGATE_LIMITS__TENANT__SESSIONS", "7"), ("TIDEGATE_LIMITS__TENANTS__ACME__SESSIONS", "unlimited")];
    let limits = good("", &env).limits.tenants.clone();
    assert_eq!((limits.usual.sessions, limits.of["acme"].sessions), (Some(7), None));
}
