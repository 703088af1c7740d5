//! `[admin]`, `[revocation]` and how long tokens may live.

use std::path::Path;
use std::time::Duration;

use super::*;

const KEY: &str = "cG9zc2libHkgdGhlIGJlc3Qga2VwdCBzZWNyZXQ=";

#[test]
fn keys_by_name() {
    assert_eq!(good("", &[]).admin, None, "without the section there is no admin API");
    let admin = good(&format!("[admin]\n[admin.keys]\nalice = \"{KEY}\"\n"), &[]).admin.unwrap();
    assert_eq!(admin.listen.to_string(), "127.0.0.1:8081");
    assert_eq!((&*admin.keys[0].0, &*admin.keys[0].1.0), ("alice", KEY));
    assert!(!format!("{admin:?}").contains(KEY), "a secret is not shown");
    let env =
        [("TIDEGATE_ADMIN__LISTEN", "127.0.0.1:7"), ("TIDEGATE_ADMIN__KEYS__OPS", KEY), ("TIDEGATE_ADMIN_KEY", "x")];
    let loaded = read(LEAST, &env).unwrap();
    let admin = loaded.config.admin.unwrap();
    assert_eq!((admin.listen.port(), &*admin.keys[0].0), (7, "ops"));
    assert!(
        !loaded.warnings.iter().any(|warning| warning.key.starts_with("admin")),
        "a variable shows less than a file"
    );
}

#[test]
fn keys_from_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ops.key"), format!("{KEY}\n")).unwrap();
    let file = folder.path().join("tidegate.toml");
    std::fs::write(&file, format!("{LEAST}[admin.keys]\nops = \"file:ops.key\"\n")).unwrap();
    let loaded = load(Some(Path::new(&file)), std::iter::empty()).unwrap();
    assert_eq!(&*loaded.config.admin.unwrap().keys[0].1.0, KEY);
    assert!(!loaded.warnings.iter().any(|warning| warning.key.starts_with("admin")));
}

#[test]
fn it_has_a_listener_of_its_own() {
    let same = bad(&format!("[admin]\nlisten = \"127.0.0.1:8080\"\n[admin.keys]\nalice = \"{KEY}\"\n"));
    assert!(same.contains("tidegate.toml:10: admin: listens on 127.0.0.1:8080, as the server does"), "{same}");
    assert!(
        good(
            &format!(
                "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[admin.keys]\na = \"{KEY}\"\n"
            ),
            &[]
        )
        .admin
        .is_some()
    );
}

#[test]
fn problems() {
    for (more, expected) in [
        ("[admin]\n".to_owned(), "tidegate.toml:10: admin.keys: needs at least one"),
        ("[admin.keys]\nx = \"short\"\n".to_owned(), "tidegate.toml:11: admin.keys.x: must be 32 to 1024 visible"),
        (format!("[admin.keys]\nx = \"{KEY}\"\ny = \"{KEY}\"\n"), "admin.keys.y: is the key of another name too"),
        ("[admin.keys]\nx = \"file:/no/such\"\n".to_owned(), "admin.keys.x: /no/such: "),
        ("[admin.keys]\nx = 5\n".to_owned(), "admin.keys.x: must be text"),
        (format!("[admin]\nlisten = \"8081\"\nkeys.x = \"{KEY}\"\n"), "admin.listen: \"8081\" is no address"),
        ("[revocation]\nenable = false\n".to_owned(), "did you mean revocation.enabled?"),
    ] {
        let said = bad(&more);
        assert!(said.contains(expected), "{more}: {said}");
        assert!(!said.contains(KEY) && !said.contains("short"), "{said}");
    }
}

#[test]
fn warnings_of_what_is_weak() {
    let text = format!(
        "{LEAST}[admin]\nlisten = \"0.0.0.0:8081\"\n[admin.keys]\nx = \"{KEY}\"\n[revocation]\nenabled = false\n"
    );
    let said = warnings(&text);
    for key in ["admin.listen", "admin.keys.x", "revocation.enabled"] {
        assert!(said.iter().any(|line| line.contains(key)), "{key}: {said:?}");
    }
}

#[test]
fn revocation_and_the_life_of_tokens() {
    let config = good("", &[]);
    assert_eq!((config.revocation.enabled, config.tokens.max_life_ms), (true, None));
    let config = good("", &[("TIDEGATE_TOKENS__MAX_LIFE", "12h"), ("TIDEGATE_REVOCATION__ENABLED", "false")]);
    assert_eq!(config.tokens.max_life_ms, Some(Duration::from_hours(12).as_millis() as i64));
    assert!(!config.revocation.enabled);
}
