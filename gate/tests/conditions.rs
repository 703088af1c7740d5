//! Conditions: what is refused when a policy is read, and where.

use tidegate_gate::Condition;

fn bad(source: &str) -> String {
    source.parse::<Condition>().map_or_else(|bad| bad.to_string(), |_| "ok".to_owned())
}

#[test]
fn errors_are_named_by_line_and_column() {
    for (source, error) in [
        ("event.x ==", "line 1, column 11: Syntax error: mismatched input '<EOF>'"),
        (
            "event.x == 1 &&\n  evnt.y == 2",
            "line 2, column 3: there is no \"evnt\" here, only event, headers, key, topic, claims, now",
        ),
        (
            "event.x.matches('a')",
            "line 1, column 16: regular expressions are not offered: use startsWith, endsWith or contains",
        ),
    ] {
        assert_eq!(bad(source), error, "{source}");
    }
    for source in [
        "",
        "1",
        "'x'",
        "event.x + 1",
        "key == 1 && 'a' == 1",
        "foo(event.x)",
        "claims == event",
        "headers.x.y == 'z' && headers",
        "event.list.map(x, x) == [1]",
        "event.list.filter(x, x).size() > 0",
        "event.list.exists_one(x, x)",
        "1u == event.x",
        "b'x' == event.x",
        "{'a': 1}.a == event.x",
        "now == 5",
        "timestamp('yesterday') < now",
        "duration('5 minutes') < now - now",
        "event.x in 'abc'",
        "[event.a, claims.b] == event.c",
        "1 in ['a', 'b']",
        "!event.x.size()",
        "event.a.exists(x, x.b.exists(y, y.c.exists(z, z)))",
        "event.x ? 1 : 2",
        "(event.x",
        "event.x == 'a",
        "event..x",
        "event.x == 1e999",
        "size(event.x, 1) == 2",
        "event.`x`== 1",
        "event.?x == 1",
    ] {
        let error = bad(source);
        assert_ne!(error, "ok", "{source}");
    }
}

#[test]
fn what_would_take_the_parser_too_deep_is_refused_before() {
    let n = 700;
    for source in [
        "(".repeat(n),
        "[".repeat(n),
        "!".repeat(n),
        "-".repeat(n),
        "a ? b : ".repeat(n / 5),
        "x.".repeat(n),
        "1 + ".repeat(500) + "1",
        "true && ".repeat(250) + "true",
        "event.a[".repeat(200),
        format!("{}event.x", "f(".repeat(n)),
        format!("{}1{}", "[".repeat(12), "]".repeat(12)),
        format!("{}true{}", "(".repeat(12), ")".repeat(12)),
        "1 < ".repeat(500),
        "a.exists(".repeat(200),
        "a\n".repeat(1000),
        "?".repeat(n),
        "x".repeat(3000),
    ] {
        let error = bad(&source);
        assert!(error == "ok" || error.starts_with("line 1") || error.starts_with("line 2"), "{error}");
    }
}
