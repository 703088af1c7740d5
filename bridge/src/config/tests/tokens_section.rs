//! `[tokens]`

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
