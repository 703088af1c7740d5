//! A bridge on Kafka, what lies on its log, and what its readers should have got of it.

mod reader;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use tidegate_tests::bridge::Bridge;
use tidegate_tests::foreign::{Producer, Put};
use tidegate_tests::http::Request;
use tidegate_tests::raw::Session;
use tidegate_tests::stage::Stage;

use super::chance::Chance;
use super::json::Json;
use super::reading::{self, Delivered, Raw};
use super::records;
use super::reference::{self, Filter, Offer, Verdict};
use super::setting::{self, NO_TOPICS, Setting, Topic};
use reader::{Reader, Wire};

/// A record on the log, by its mark.
#[derive(Debug)]
pub struct Entry {
    physical: String,
    topic: Topic,
    raw: Raw,
    event: Option<Delivered>,
}

/// Cursors of a reader that had got all: whose, of what, and how much lay on the log then.
#[derive(Debug, Clone)]
struct Held {
    tenant: String,
    physical: String,
    token: usize,
    filter: Filter,
    cursors: Vec<String>,
    until: usize,
}

pub struct World {
    stage: Stage,
    bridge: Bridge,
    _directory: tempfile::TempDir,
    producer: Producer,
    setting: Setting,
    chance: Chance,
    /// By mark.
    log: Vec<Entry>,
    held: Vec<Held>,
    /// Times between two cases, and how much lay on the log then.
    times: Vec<(i64, usize)>,
    pub delivered: usize,
    pub published: usize,
}

fn clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

impl World {
    pub async fn start(mut chance: Chance) -> Self {
        let stage = Stage::new();
        setting::begin_at(clock());
        let mut setting = Setting::draw(&mut chance);
        let run = uuid::Uuid::new_v4().simple().to_string();
        setting.topics.iter_mut().for_each(|topic| topic.prefix = format!("r{}.", &run[..8]));
        // Tokens here last.
        setting.tokens.retain(|token| token.expires - clock() > 600_000);
        let head = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nshards = 2\ndrain_timeout = \"100ms\"\n[log.kafka]\nbootstrap.servers = {:?}\n",
            stage.kafka.bootstrap()
        );
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("tidegate.toml");
        std::fs::write(&file, head + &setting.rules()).expect("written");
        for physical in physicals(&setting) {
            stage.create(&physical.0, 1 + chance.below(2) as i32).await;
        }
        let bridge = Bridge::serve(&file, String::new(), &[]);
        let producer = stage.producer(&[]);
        Self {
            stage,
            bridge,
            _directory: directory,
            producer,
            setting,
            chance,
            log: Vec::new(),
            held: Vec::new(),
            times: Vec::new(),
            delivered: 0,
            published: 0,
        }
    }

    /// One case: readers of every kind come, records are put and events published; everybody gets exactly theirs.
    pub async fn case(&mut self, case: usize) {
        self.times.push((clock(), self.log.len()));
        self.probe().await;
        let mut readers = Vec::new();
        for _ in 0..4 {
            readers.extend(self.come().await);
        }
        for _ in 0..3 {
            self.publish().await;
        }
        for _ in 0..12 {
            self.put();
        }
        self.producer.flush();
        for reader in &mut readers {
            self.settle(reader).await;
        }
        for mut reader in readers {
            self.finish(&mut reader, case).await;
        }
        // Times are told apart from those of the records around them.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }

    fn put(&mut self) {
        let all = physicals(&self.setting);
        let (physical, topic) = self.chance.pick(&all).clone();
        let tenants = self.setting.tenants.clone();
        let own = tenants.iter().find(|tenant| topic.is_own() && physical == topic.physical_of(tenant));
        let owner = own.copied().unwrap_or_else(|| self.chance.word(&tenants));
        let mark = self.log.len();
        let raw = Raw { time: clock(), ..records::record(&mut self.chance, &topic, owner, &tenants, mark) };
        let headers: Vec<(&str, Option<&[u8]>)> =
            raw.headers.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
        let put = Put { partition: None, key: raw.key.as_deref(), value: raw.value.as_deref(), headers: &headers };
        self.producer.put(&physical, put);
        let event = reading::read(&topic, &physical, &raw);
        self.log.push(Entry { physical, topic, raw, event });
    }

    /// Somebody publishes, by a request.
    async fn publish(&mut self) {
        let token = self.chance.pick(&self.setting.tokens).clone();
        let name = if self.chance.once_in(8) { self.chance.word(&NO_TOPICS) } else { self.topic_name() };
        if name.is_empty() || name.contains(['*', '$']) {
            return;
        }
        let mark = self.log.len();
        let mut event = records::published(&mut self.chance, &self.setting.tenants, mark);
        let unnamed = event.get("id").is_none();
        if let (Json::Object(members), true) = (&mut event, unnamed) {
            members.push(("id".to_owned(), Json::Text(records::uuid(mark))));
        }
        let key = records::key(&mut self.chance, &event);
        let offer = |now| Offer { topic: name, key, event: &event, client: None, id: None, now };
        let before = reference::publish(&self.setting, &token, &offer(clock()));
        if matches!(event, Json::List(_)) {
            // By a request a list is a batch.
            return;
        }
        let at = key.map(|key| format!("?key={}", key.replace('/', "%2F"))).unwrap_or_default();
        let request = Request::new("POST", format!("/v1/topics/{name}/events{at}")).token(&token.text);
        let request = request.header("content-type", "application/json").body(event.to_string());
        let answer = request.ask(self.bridge.address).await;
        let why = || format!("{answer:?} to {event} on {name} by {}\n{}", token.claims, self.setting.rules());
        match before {
            Verdict::Refused(codes) => {
                assert!(answer.status >= 400 && codes.contains(&&*answer.refusal().1), "{codes:?}, but {}", why());
            }
            Verdict::Appended(record) => {
                assert!(answer.status < 300, "{}", why());
                // What the bridge filled in is as its readers will see it; the ids are its own.
                let topic = self.setting.topic(name).expect("a topic").clone();
                let value = Some(record.value.to_string().into_bytes());
                let key = record.key.clone().map(String::into_bytes);
                let text = |value: &Json| value.as_text().map(|text| text.as_bytes().to_vec());
                let headers = record.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
                let raw = Raw { offset: 0, time: clock(), key, value, headers };
                let event = reading::read(&topic, &record.physical, &raw);
                self.log.push(Entry { physical: record.physical, topic, raw, event });
                self.published += 1;
            }
        }
    }

    fn topic_name(&mut self) -> &'static str {
        self.chance.pick(&self.setting.topics).name
    }

    /// Names that no page may use are refused, whoever asks.
    async fn probe(&mut self) {
        let token = self.chance.pick(&self.setting.tokens).clone();
        let mut session = Session::open(self.bridge.address, &token.text).await;
        for (id, name) in (1..).zip(NO_TOPICS) {
            session.say(&json!({"subscribe": {"id": id, "topic": name}})).await;
            assert_eq!(session.answer("error").await["code"], "denied", "{name}");
        }
    }

    /// What a reader must have got, and what it may have: some conditions look at the clock.
    fn expected(&self, reader: &Reader) -> Vec<(usize, bool)> {
        let token = &self.setting.tokens[reader.token];
        let theirs = (0..).zip(&self.log).skip(reader.perhaps).filter(|(_, entry)| entry.physical == reader.physical);
        let judged = theirs.filter_map(|(mark, entry)| {
            let event = entry.event.as_ref().filter(|event| reader.filter.wants(event))?;
            let seen = |now| reference::may_see(&self.setting, token, &entry.topic, event, &entry.raw, now);
            let (then, now) = (seen(reader.began), seen(clock()));
            (then || now).then_some((mark, then && now && mark >= reader.since))
        });
        judged.collect()
    }

    /// Waits until a reader has all that it must.
    async fn settle(&mut self, reader: &mut Reader) {
        let expected = self.expected(reader);
        while let Some((missing, _)) = expected.iter().find(|(mark, must)| *must && !reader.got.contains(mark)) {
            let entry = reader.wire.next().await;
            let describe = || {
                let claims = &self.setting.tokens[reader.token].claims;
                format!("{claims} of {reader:?}\n{:?}\n{}", self.log[*missing], self.setting.rules())
            };
            let entry = entry.unwrap_or_else(|| panic!("{missing} never came to {}", describe()));
            self.take(reader, &entry);
        }
    }

    /// What came to a reader is for it, once, and as it was read.
    fn take(&mut self, reader: &mut Reader, entry: &Json) {
        let mark = records::mark(entry).unwrap_or_else(|| panic!("{entry} is nobody's"));
        let on_log = &self.log[mark];
        let may = self.expected(reader).iter().any(|(known, _)| *known == mark);
        let claims = &self.setting.tokens[reader.token].claims;
        let why = || format!("{entry} of {on_log:?} to {claims} as {reader:?}\n{}", self.setting.rules());
        assert!(may, "not for them: {}", why());
        assert!(!reader.got.contains(&mark), "again: {}", why());
        let timeless = |value: &Json| match value {
            Json::Object(members) => {
                Json::Object(members.iter().filter(|(name, _)| name != "timestamp").cloned().collect())
            }
            other => other.clone(),
        };
        let expected = timeless(&on_log.event.as_ref().expect("it may be seen").event);
        let sent = timeless(entry.get("event").expect("an event"));
        assert!(sent.alike(&expected), "not as read: {}", why());
        reader.got.insert(mark);
        self.delivered += 1;
    }

    /// Nothing else comes to a reader that has all; then it goes, and its cursors are kept.
    async fn finish(&mut self, reader: &mut Reader, case: usize) {
        for entry in reader.wire.rest().await {
            self.take(reader, &entry);
        }
        if let (Wire::Socket { cursors, .. }, true) = (&reader.wire, case.is_multiple_of(2)) {
            let topic = self.setting.topics.iter().find(|topic| topic.name == reader.topic).expect("a topic");
            let tenant = if topic.is_public() { "" } else { self.setting.tokens[reader.token].tenant };
            self.held.push(Held {
                tenant: tenant.to_owned(),
                physical: reader.physical.clone(),
                token: reader.token,
                filter: reader.filter.clone(),
                cursors: cursors.clone(),
                until: self.log.len(),
            });
        }
    }
}

/// Every topic on the log.
fn physicals(setting: &Setting) -> Vec<(String, Topic)> {
    let of = |topic: &Topic| -> Vec<(String, Topic)> {
        let tenants = if topic.is_own() { &setting.tenants[..] } else { &setting.tenants[..1] };
        tenants.iter().map(|tenant| (topic.physical_of(tenant), topic.clone())).collect()
    };
    setting.topics.iter().flat_map(of).collect()
}
