//! `tidegate topics`: planned against a real Kafka, made there, and by Kafka's own commands.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;
use tidegate_tests::LONG;
use tidegate_tests::process::tidegate;
use tidegate_tests::stage::Stage;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it writes UTF-8")
}

/// `tidegate topics …` on the stage's configuration, with nobody to ask.
fn topics(stage: &Stage, arguments: &[&str]) -> Output {
    let file: PathBuf = stage.configuration();
    let mut command = tidegate(&["topics"]);
    command.args(arguments).arg("--config").arg(file).stdin(Stdio::null());
    command.output().expect("it starts")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

fn plan(stage: &Stage, arguments: &[&str]) -> Value {
    let arguments = [&["plan", "--json"], arguments].concat();
    serde_json::from_str(&said(&topics(stage, &arguments))).expect("JSON")
}

fn row<'a>(plan: &'a Value, topic: &str) -> &'a Value {
    plan["topics"].as_array().unwrap().iter().find(|row| row["topic"] == topic).expect("the topic")
}

/// Runs one of the printed commands with Kafka's own tool of that name.
fn by_kafka(stage: &Stage, class: &str, line: &str) -> Output {
    let words = line.split(' ').skip(1);
    let mut command: Command = stage.kafka.tool(class);
    command.args(words).output().expect("java starts")
}

#[test]
fn are_planned_made_once_and_planned_again() {
    let stage = Stage::new();
    let none = plan(&stage, &[]);
    assert!(none["warnings"].to_string().contains("no tenant has a topic yet"), "{none}");
    let many = plan(&stage, &["--tenants", "50000"]);
    assert_eq!(row(&many, "orders")["missing"], 50_000);
    assert!(many["warnings"].to_string().contains("a broker, replicas counted"), "{many}");

    let tenants = ["--tenant", "acme", "--tenant", "globex", "--partitions", "orders=3"];
    let create = |more: &[&str]| topics(&stage, &[&["create"], &tenants[..], more].concat());
    let asked = create(&[]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(text(&asked.stderr).contains("--yes makes them without asking"), "{}", text(&asked.stderr));
    assert_eq!(plan(&stage, &[])["tenants"], 0, "nothing was made");

    let made = said(&create(&["--yes"]));
    let carts = stage.carts();
    for topic in [stage.orders("acme"), stage.orders("globex"), carts.clone()] {
        assert!(made.contains(&format!("made {topic}\n")), "{made}");
    }
    let there = plan(&stage, &[]);
    assert_eq!(there["tenant_names"], serde_json::json!(["acme", "globex"]));
    assert_eq!((&row(&there, "orders")["partitions"], &row(&there, "orders")["missing"]), (&6.into(), &0.into()));
    assert_eq!(row(&there, "_tidegate.revocations")["missing"], 0);
    assert!(there["warnings"].to_string().contains("has one replica"), "one broker has no second");
    assert!(said(&create(&["--yes"])).starts_with("nothing to make"));

    let shown = said(&topics(&stage, &["plan"]));
    for word in ["together", "guidance", "un-revoke", "--topic _tidegate. --resource-pattern-type prefixed"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(shown.contains(&format!("--topic {carts}")), "{shown}");
}

#[test]
fn what_can_not_be_made_is_said_of_each_and_the_rest_is_made() {
    let stage = Stage::new();
    let wrong = topics(&stage, &["create", "--tenant", "acme", "--replication", "7", "--yes"]);
    assert_eq!(wrong.status.code(), Some(1));
    let errors = text(&wrong.stderr);
    assert!(errors.contains("7 replicas need as many brokers; there are 1"), "{errors}");
    assert!(errors.contains(&format!("failed {}: ", stage.orders("acme"))), "{errors}");
    assert!(errors.contains("could not be made"), "{errors}");
    for (arguments, problem) in [
        (vec!["create", "--tenant", "a.b"], "letters, digits"),
        (vec!["create", "--partitions", "ordres=2"], "no topic \"ordres\""),
        (vec!["plan", "--partitions", "0"], "a number from 1"),
        (vec!["plan", "--tenants", "3", "--tenant", "acme"], "cannot be used with"),
    ] {
        let output = topics(&stage, &arguments);
        assert!(!output.status.success() && text(&output.stderr).contains(problem), "{}", text(&output.stderr));
    }
}

#[test]
fn the_printed_commands_are_kafka_s_own() {
    let stage = Stage::new();
    let arguments = ["create", "--dry-run", "--tenant", "acme", "--setting", "retention.ms=3600000"];
    let commands = said(&topics(&stage, &arguments));
    let line = commands.lines().find(|line| line.contains(&stage.orders("acme"))).expect("a command");
    let output = by_kafka(&stage, "org.apache.kafka.tools.TopicCommand", line);
    assert!(output.status.success(), "{line}: {}{}", text(&output.stdout), text(&output.stderr));
    // A broker shows a topic a moment after it was made.
    let deadline = Instant::now() + LONG;
    let made = loop {
        let made = plan(&stage, &["--tenant", "acme"]);
        if row(&made, "orders")["missing"] == 0 {
            break made;
        }
        assert!(Instant::now() < deadline, "{made}");
    };

    let acls = made["acls"].as_array().unwrap();
    let all: Vec<&str> = acls.iter().map(|line| line.as_str().unwrap()).collect();
    for word in ["--topic _tidegate. ", "--list", "--group"] {
        let line = all.iter().find(|line| line.contains(word)).expect("a command");
        let output = by_kafka(&stage, "org.apache.kafka.tools.AclCommand", line);
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        // This broker has no authorizer: that it says so means that the command was understood.
        assert!(said.contains("No Authorizer is configured"), "{line}: {said}");
    }
}
