//! `[log]`

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
    assert!(problem("[log]\nkind = \"kafka\"\n").contains("tidegate.toml:1: log.kafka: needs \"bootstrap.servers\""));
    assert!(problem("[log.kafka]\n[log.sqlite]\n").contains("log.kind: must say which log"));
    let kafka = problem("[log.kafka]\nbootstrap.servers = [\"a\"]\n");
    assert!(kafka.contains("tidegate.toml:2: log.kafka.bootstrap.servers: must be text"), "{kafka}");
    let twice = problem("[log.kafka]\nbootstrap.servers = \"a\"\n\"bootstrap.servers\" = \"b\"\n");
    assert!(twice.contains("log.kafka.bootstrap.servers: is set twice"), "{twice}");
    assert!(problem("[log.sqlite]\npartitions = 0\n").contains("log.sqlite.partitions: must be from 1 to 1024"));
    assert!(problem("[log.sqlite]\npath = \"\"\n").contains("log.sqlite.path: must name a file"));
}

#[test]
fn a_setting_that_kafka_s_client_will_not_take_is_known_before_it_starts() {
    for (line, expected) in [
        ("bootstrap.server = \"kafka:9092\"", "log.kafka.bootstrap.server: is not one that librdkafka takes"),
        ("security.protocol = \"TLS\"", "log.kafka.security.protocol: is not one that librdkafka takes: Invalid value"),
        ("acks = 1", "log.kafka.acks: must stay `all`"),
        ("group.id = \"mine\"", "log.kafka.group.id: can not be used"),
        ("bootstrap.servers = \"\"", "log.kafka.bootstrap.servers: must name a broker"),
    ] {
        let said = problem(&format!("[log.kafka]\n{line}\n"));
        assert!(said.contains(&format!("tidegate.toml:2: {expected}")), "{said}");
    }
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
