//! `[[grants]]`

use super::*;

#[test]
fn problems() {
    for (text, expected) in [
        ("allow = [\"subscribe\"]\ntopics = [\"*\"]\n", "grants[0].role: must name the role"),
        ("role = \"*\"\nallow = [\"subscribe\"]\ntopics = [\"*\"]\n", "grants[0].role: \"*\" is no role"),
        ("role = \"a\"\ntopics = [\"*\"]\n", "grants[0].allow: must say what it allows"),
        ("role = \"a\"\nallow = [\"subscribe\"]\n", "grants[0].topics: must name topics"),
        ("role = \"a\"\nallow = [\"subscribe\"]\ntopics = [\"or*\"]\n", "grants[0].topics: \"or*\" must be a topic"),
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
            "grants[0].where: line 1, column 1: there is no \"x\" here",
        ),
        ("role = \"a\"\nallow = [\"subscribe\"]\ntopics = [\"*\"]\nwher = \"x\"\n", "grants[0].wher: unknown key"),
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

#[test]
fn conditions() {
    let grant = |allow: &str, condition: &str| {
        format!("[[grants]]\nrole = \"a\"\nallow = {allow}\ntopics = [\"orders\"]\nwhere = '{condition}'\n")
    };
    let config = good(&grant("[\"subscribe\", \"replay\"]", "event.data.user == claims.sub"), &[]);
    assert_eq!(config.grants[0].condition.as_ref().unwrap().source(), "event.data.user == claims.sub");
    assert_eq!(&*config.grants[0].origin, "tidegate.toml:10");
    for (allow, condition, expected) in [
        (
            "[\"subscribe\"]",
            "event.data.user == claim.sub",
            "14: grants[0].where: line 1, column 20: there is no \"claim\"",
        ),
        ("[\"subscribe\"]", "event.data.user =", "14: grants[0].where: line 1, column 17: Syntax error"),
        ("[\"subscribe\", \"redrive\"]", "event.a == claims.b", "put redrive into a grant of its own"),
        ("[\"replay\"]", "event.a == claims.b", "add subscribe"),
    ] {
        let problems = bad(&grant(allow, condition));
        assert!(problems.contains(expected), "{problems}\n{expected}");
    }
    let told = |condition: &str| warnings(&format!("{LEAST}{}", grant("[\"subscribe\"]", condition))).join("\n");
    let slow = told("event.n > 5 || event.a == claims.b");
    let begins =
        "tidegate.toml:14: grants[0].where: line 1, column 1: `event.n > 5 || event.a == claims.b` can not be indexed";
    assert!(slow.contains(begins), "{slow}");
    assert!(slow.contains("what begins here compares by order; ") && slow.contains("at 4 steps"), "{slow}");
    assert!(told("event.a == claims.b || event.k == 7").contains("line 1, column 24: "));
    assert!(!told("event.a == claims.b").contains("indexed"));
}
