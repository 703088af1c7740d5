//! Following and writing, on the embedded log.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use tidegate_log::sqlite::{SqliteLog, SqliteOptions};

use super::*;
use crate::clock::Clock;
use crate::telemetry::Metrics;

mod shy;

const LONG: Duration = Duration::from_secs(30);

/// A log in a folder of its own.
struct Stage {
    log: Arc<dyn Log>,
    _folder: tempfile::TempDir,
}

/// A node: its set, what its shards were told, its follower.
struct Node {
    revocations: Arc<Revocations>,
    told: Receiver<String>,
    follower: FollowerHandle,
    revoker: Revoker,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions { gaps: true, ..SqliteOptions::new(folder.path().join("log.db")) };
        Self { log: Arc::new(SqliteLog::open(&options).unwrap()), _folder: folder }
    }

    /// A node that has read everything.
    fn node(&self, token_life: Option<Millis>) -> Node {
        let revocations = Arc::new(Revocations::unread("not yet"));
        let (sender, told) = sync_channel(1000);
        let follower = Follower {
            log: Arc::clone(&self.log),
            revocations: Arc::clone(&revocations),
            tell: Box::new(move |revocation| sender.send(revocation.target.to_string()).unwrap_or_default()),
            metrics: Metrics::new(),
            clock: Clock,
        };
        let follower = follower.start().unwrap();
        let revoker = Revoker {
            log: Arc::clone(&self.log),
            revocations: Arc::clone(&revocations),
            position: Some(follower.position.clone()),
            token_life: Box::new(move || token_life),
        };
        let node = Node { revocations, told, follower, revoker };
        node.until("it is ready", || node.revocations.known().is_ok());
        node
    }

    fn put(&self, key: &str, value: Option<&str>) {
        let (done, outcome) = sync_channel(1);
        let record = NewRecord {
            topic: TOPIC.into(),
            key: Some(key.into()),
            value: value.map(Into::into),
            ..NewRecord::default()
        };
        self.log.append(record, Box::new(move |outcome| done.send(outcome).unwrap_or_default()));
        outcome.recv_timeout(LONG).unwrap().unwrap();
    }
}

impl Node {
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + LONG;
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain until {what}: {:?}", self.revocations);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn targets(&self) -> Vec<String> {
        self.revocations.list().iter().map(|revocation| revocation.target.to_string()).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.follower.stop();
    }
}

fn wanted(target: &str) -> Wanted {
    Wanted { target: target.parse().unwrap(), issued_before: None, reason: None, until: None }
}

#[tokio::test]
async fn every_node_acts_and_one_that_starts_later_still_knows() {
    let stage = Stage::new();
    let (one, two) = (stage.node(None), stage.node(None));
    let now = Clock.now();
    let written = one.revoker.revoke(wanted("subject/acme/ada"), now).await.unwrap();
    assert!(written.applied && one.revocations.get(&"subject/acme/ada".parse().unwrap()).is_some());
    assert_eq!(written.revocation.unwrap().issued_before, now);
    for node in [&one, &two] {
        assert_eq!(node.told.recv_timeout(LONG).unwrap(), "subject/acme/ada");
    }
    two.revoker.revoke(wanted("tenant/globex"), now).await.unwrap();
    two.revoker.lift(&"subject/acme/ada".parse().unwrap()).await.unwrap();
    one.until("it has read that", || one.targets() == ["tenant/globex"]);
    assert_eq!(stage.node(None).targets(), ["tenant/globex"]);
    let nothing = one.revoker.lift(&"subject/acme/ada".parse().unwrap()).await;
    assert!(matches!(nothing, Err(RevokeError::NotRevoked(_))));
}

#[tokio::test]
async fn what_was_said_before_is_not_weakened() {
    let stage = Stage::new();
    let node = stage.node(Some(60_000));
    let now = Clock.now();
    let first = Wanted { reason: Some("left".into()), until: Some(now + 500_000), ..wanted("tenant/acme") };
    node.revoker.revoke(first, now).await.unwrap();
    let earlier = Wanted { issued_before: Some(now - 10_000), ..wanted("tenant/acme") };
    let written = node.revoker.revoke(earlier, now).await.unwrap().revocation.unwrap();
    assert_eq!((written.issued_before, written.until), (now, Some(now + 500_000)));
    assert_eq!(written.reason.as_deref(), Some("left"));
    let ahead = Wanted { issued_before: Some(now + AHEAD + 1), ..wanted("tenant/acme") };
    assert_eq!(node.revoker.revoke(ahead, now).await, Err(RevokeError::Ahead));
    let over = Wanted { until: Some(now), ..wanted("tenant/acme") };
    assert_eq!(node.revoker.revoke(over, now).await, Err(RevokeError::Over));
}

#[tokio::test]
async fn what_can_be_forgotten_is_known_from_how_long_tokens_live() {
    let stage = Stage::new();
    let now = Clock.now();
    let until =
        async |node: &Node, target| node.revoker.revoke(wanted(target), now).await.unwrap().revocation.unwrap().until;
    let node = stage.node(None);
    assert_eq!(until(&node, "tenant/acme").await, None);
    assert_eq!(until(&node, "session/s").await, Some(now + SESSION));
    let node = stage.node(Some(3_600_000));
    assert_eq!(until(&node, "tenant/globex").await, Some(now + 3_601_000));
    // What is over is not taken up again.
    stage.put("tenant/initech", Some(r#"{"issued_before":1000,"until":2000}"#));
    assert_eq!(stage.node(None).targets(), ["tenant/acme", "tenant/globex", "session/s"]);
}

#[test]
fn a_record_that_can_not_be_read_revokes_rather_than_not() {
    let stage = Stage::new();
    let node = stage.node(None);
    stage.put("tenant/acme", Some(r#"{"issued_before":1000}"#));
    let before = Clock.now();
    stage.put("tenant/acme", Some("{ what"));
    stage.put("subject/acme/ada", Some(r#"{"issued_before":"yesterday"}"#));
    let ahead = before + 100_000;
    stage.put("tenant/initech", Some(&format!(r#"{{"issued_before":{ahead}}}"#)));
    stage.put("tenant/initech", Some("[]"));
    stage.put("no target", Some(r#"{"issued_before":1000}"#));
    // And what comes after is read.
    stage.put("tenant/globex", Some(r#"{"issued_before":1000,"reason":"x","new":{"member":1}}"#));
    node.until("all is read", || node.revocations.len() == 4);
    for node in [&node, &stage.node(None)] {
        for target in ["tenant/acme", "subject/acme/ada"] {
            let revocation = node.revocations.get(&target.parse().unwrap()).unwrap();
            assert!(revocation.issued_before >= before, "{target}: as of the record");
        }
        let later = node.revocations.get(&"tenant/initech".parse().unwrap()).unwrap();
        assert_eq!(later.issued_before, ahead, "what was known is not weakened");
        let other = node.revocations.get(&"tenant/globex".parse().unwrap()).unwrap();
        assert_eq!((other.issued_before, other.reason.as_deref()), (1000, Some("x")));
    }
}

#[tokio::test]
async fn a_topic_that_is_deleted_takes_nothing_back() {
    let stage = Stage::new();
    let node = stage.node(None);
    node.revoker.revoke(wanted("tenant/acme"), Clock.now()).await.unwrap();
    stage.log.delete_topic(TOPIC).unwrap();
    // It is made anew, and what this node knew is written down again, for those that start later.
    let deadline = Instant::now() + LONG;
    loop {
        let late = stage.node(None);
        if late.targets() == ["tenant/acme"] {
            break;
        }
        assert!(Instant::now() < deadline, "it is never written down again");
    }
    assert_eq!((node.targets(), node.revocations.known()), (vec!["tenant/acme".to_owned()], Ok(())));
    let written = node.revoker.revoke(wanted("tenant/globex"), Clock.now()).await.unwrap();
    assert!(written.applied);
}

#[tokio::test]
async fn nothing_is_written_by_whom_does_not_know_what_holds() {
    let stage = Stage::new();
    let mut revoker = Revoker {
        log: Arc::clone(&stage.log),
        revocations: Arc::new(Revocations::unread("lost")),
        position: Some(watch::channel(Offsets::new()).1),
        token_life: Box::new(|| None),
    };
    let outcome = revoker.revoke(wanted("tenant/acme"), Clock.now()).await;
    assert_eq!(outcome, Err(RevokeError::NotReady("lost".into())));
    revoker.position = None;
    assert_eq!(revoker.revoke(wanted("tenant/acme"), Clock.now()).await, Err(RevokeError::Disabled));
}
