//! Apache Kafka's jars, fetched with Maven and pinned by checksum.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::fetched;
use crate::checksum::Checksum;
use crate::process;

/// The version under test.
const VERSION: &str = "4.1.0";

/// `sha256sum` of every jar: the broker, its tools and all they need.
const CHECKSUMS: &str = include_str!("../../kafka-4.1.0.sha256");

/// The directory of the jars, fetched unless all are there as they should be.
pub(super) fn jars() -> anyhow::Result<PathBuf> {
    let home = fetched().join(format!("kafka-{VERSION}"));
    let jars = std::path::absolute(home.join("libs"))?;
    if !jars.is_dir() {
        println!("fetching Apache Kafka {VERSION}");
        fetch(&home, &jars)?;
    }
    let wrong = differences(&jars, CHECKSUMS)?;
    if let Some(first) = wrong.first() {
        let count = wrong.len();
        bail!("{count} of Kafka's jars are not the pinned ones ({first}): remove {} and try again", jars.display());
    }
    Ok(jars)
}

fn fetch(home: &Path, jars: &Path) -> anyhow::Result<()> {
    // Moved into place only when whole: a broken download is not taken for an installation.
    let part = std::path::absolute(home.join("part"))?;
    if part.is_dir() {
        fs::remove_dir_all(&part)?;
    }
    fs::create_dir_all(&part)?;
    fs::write(home.join("pom.xml"), pom())?;
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", "--file"]).arg(home.join("pom.xml"));
    maven.arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies");
    maven.args(["-DincludeScope=runtime".into(), format!("-DoutputDirectory={}", part.display())]);
    // Once more, because one dropped connection should not cost the whole run.
    process::run(&mut maven).or_else(|_| process::run(&mut maven)).context("Maven could not fetch Apache Kafka")?;
    fs::rename(part, jars)?;
    Ok(())
}

fn pom() -> String {
    let dependency = |artifact: &str| {
        format!(
            "<dependency><groupId>org.apache.kafka</groupId><artifactId>{artifact}</artifactId>\
             <version>{VERSION}</version></dependency>"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>tidegate</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>\
         <dependencies>{}{}</dependencies></project>\n",
        dependency("kafka_2.13"),
        dependency("kafka-tools"),
    )
}

/// What differs between the jars of a directory and a list in the form of `sha256sum`.
fn differences(directory: &Path, checksums: &str) -> anyhow::Result<Vec<String>> {
    let mut expected: BTreeMap<&str, &str> =
        checksums.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name, sum)).collect();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match expected.remove(name.as_str()) {
            None => wrong.push(format!("{name} does not belong there")),
            Some(sum) if sum != checksum(&entry.path())? => wrong.push(format!("{name} is another one")),
            Some(_) => {}
        }
    }
    wrong.extend(expected.keys().map(|name| format!("{name} is missing")));
    Ok(wrong)
}

fn checksum(file: &Path) -> anyhow::Result<String> {
    Ok(Checksum::of(&fs::read(file)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jar_is_pinned_and_nothing_else_accepted() {
        let directory = std::env::temp_dir().join(format!("tidegate-jars-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("a.jar"), "abc").expect("a file");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let differ = |list: &str| differences(&directory, list).expect("readable");
        assert!(differ(&format!("{abc}  a.jar\n")).is_empty());
        assert_eq!(differ(&format!("{}  a.jar\n", abc.replace("ba78", "0000"))), ["a.jar is another one"]);
        assert_eq!(differ(&format!("{abc}  b.jar\n")), ["a.jar does not belong there", "b.jar is missing"]);
        fs::remove_dir_all(directory).expect("removed");
    }

    #[test]
    fn the_list_names_the_broker() {
        assert!(CHECKSUMS.lines().all(|line| line.find("  ") == Some(64)));
        assert!(CHECKSUMS.contains("  kafka_2.13-4.1.0.jar\n"));
    }
}
