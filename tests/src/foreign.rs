//! Clients of Kafka that are not ours: `kcat`, Kafka's own console producer, and librdkafka used directly.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use serde_json::Value;

use crate::LONG;
use crate::stage::Stage;

impl Stage {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.bootstrap());
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    /// Makes a topic, for records of up to 8 MB.
    ///
    /// # Panics
    ///
    /// If Kafka refuses.
    pub async fn create(&self, topic: &str, partitions: i32) {
        assert!(self.try_create(topic, partitions).await, "the topic is made");
    }

    /// Makes a topic, unless Kafka refuses: one that is being deleted is still there for a moment.
    ///
    /// # Panics
    ///
    /// If Kafka does not answer.
    pub async fn try_create(&self, topic: &str, partitions: i32) -> bool {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("max.message.bytes", "8000000");
        let answer = self.admin().create_topics([&new], &options()).await.expect("Kafka answers");
        answer[0].is_ok()
    }

    /// Deletes a topic.
    ///
    /// # Panics
    ///
    /// If Kafka refuses.
    pub async fn delete(&self, topic: &str) {
        let answer = self.admin().delete_topics(&[topic], &options()).await.expect("Kafka answers");
        answer[0].as_ref().expect("the topic is deleted");
    }

    /// Gives a topic more partitions, so many in all.
    ///
    /// # Panics
    ///
    /// If Kafka refuses.
    pub async fn grow(&self, topic: &str, partitions: usize) {
        let new = NewPartitions::new(topic, partitions);
        let answer = self.admin().create_partitions([&new], &options()).await.expect("Kafka answers");
        answer[0].as_ref().expect("the partitions are made");
    }

    /// Deletes a partition's records before an offset, as retention does.
    ///
    /// # Panics
    ///
    /// If Kafka refuses.
    pub async fn retain_from(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        let answer = self.admin().delete_records(&list, &options()).await.expect("Kafka answers");
        answer.elements()[0].error().expect("the records are deleted");
    }

    /// A producer, with further settings of librdkafka.
    ///
    /// # Panics
    ///
    /// If a setting is wrong.
    pub fn producer(&self, settings: &[(&str, &str)]) -> Producer {
        let mut config = self.client();
        config.set("linger.ms", "1").set("message.max.bytes", "8000000");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        Producer(config.create_with_context(Refused::default()).expect("a producer"))
    }

    /// A producer whose transactions can begin.
    ///
    /// # Panics
    ///
    /// If Kafka refuses.
    pub fn transactional(&self) -> Producer {
        let id = uuid::Uuid::new_v4().to_string();
        let producer = self.producer(&[("transactional.id", &id)]);
        producer.0.init_transactions(LONG).expect("transactions begin");
        producer
    }

    /// `kcat -P` with these arguments and this input.
    pub fn kcat_put(&self, topic: &str, arguments: &[&str], input: &str) {
        let bootstrap = self.kafka.bootstrap();
        let mut command = Command::new("kcat");
        command.args(["-P", "-b", &bootstrap, "-t", topic]).args(arguments);
        feed(command, input);
    }

    /// What `kcat -C -J` reads of a topic, from its beginning to its end.
    ///
    /// # Panics
    ///
    /// If kcat fails.
    pub fn kcat_read(&self, topic: &str) -> Vec<Value> {
        let bootstrap = self.kafka.bootstrap();
        let mut command = Command::new("kcat");
        command.args(["-C", "-J", "-e", "-q", "-o", "beginning", "-X", "isolation.level=read_committed"]);
        command.args(["-b", &bootstrap, "-t", topic]);
        let output = command.output().expect("kcat starts (`cargo xtask test` installs it)");
        assert!(output.status.success(), "kcat: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("kcat writes UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("kcat writes JSON")).collect()
    }

    /// Kafka's own console producer, with `key|value` on each line.
    pub fn java_put(&self, topic: &str, input: &str) {
        let mut command = self.kafka.tool("org.apache.kafka.tools.ConsoleProducer");
        command.args(["--bootstrap-server", &self.kafka.bootstrap(), "--topic", topic]);
        command.args(["--property", "parse.key=true", "--property", "key.separator=|"]);
        feed(command, input);
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(LONG)).request_timeout(Some(LONG))
}

/// Runs a program that reads all of its input.
fn feed(mut command: Command, input: &str) {
    let name = command.get_program().to_string_lossy().into_owned();
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|_| panic!("no {name}: `cargo xtask test` installs it"));
    child.stdin.take().expect("its input is piped").write_all(input.as_bytes()).expect("it reads its input");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A producer of any record.
pub struct Producer(BaseProducer<Refused>);

/// What Kafka did not take.
#[derive(Default)]
struct Refused(Mutex<Vec<String>>);

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().expect("no thread panicked here").push(error.to_string());
        }
    }
}

/// A record to put.
#[derive(Debug, Clone, Copy, Default)]
pub struct Put<'a> {
    /// The partition; by the key when `None`.
    pub partition: Option<i32>,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// Headers.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

impl Producer {
    /// Hands a record over; [`Producer::flush`] waits until it is there.
    ///
    /// # Panics
    ///
    /// If it can not be taken.
    pub fn put(&self, topic: &str, put: Put<'_>) {
        let Put { partition, key, value, headers } = put;
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        record.partition = partition;
        record.key = key;
        record.payload = value;
        if !headers.is_empty() {
            let all = headers.iter().fold(OwnedHeaders::new(), |all, &(key, value)| all.insert(Header { key, value }));
            record.headers = Some(all);
        }
        loop {
            let Err((error, back)) = self.0.send(record) else { return };
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            self.0.poll(Duration::from_millis(10));
            record = back;
        }
    }

    /// Puts an event with a key.
    pub fn event(&self, topic: &str, key: &str, event: &str) {
        self.put(topic, Put { key: Some(key.as_bytes()), value: Some(event.as_bytes()), ..Put::default() });
    }

    /// Puts an event with a key into a partition.
    pub fn event_at(&self, topic: &str, partition: i32, event: &str) {
        let partition = Some(partition);
        self.put(topic, Put { partition, key: Some(b"key"), value: Some(event.as_bytes()), ..Put::default() });
    }

    /// Waits until everything is on the log.
    ///
    /// # Panics
    ///
    /// If it does not get there.
    pub fn flush(&self) {
        self.0.flush(LONG).expect("Kafka takes the records");
        let refused = self.0.context().0.lock().expect("no thread panicked here");
        assert_eq!(*refused, [""; 0], "Kafka refused records");
    }

    /// Begins a transaction.
    ///
    /// # Panics
    ///
    /// If it can not begin.
    pub fn begin(&self) {
        self.0.begin_transaction().expect("a transaction begins");
    }

    /// Commits it.
    ///
    /// # Panics
    ///
    /// If it can not be committed.
    pub fn commit(&self) {
        self.0.commit_transaction(LONG).expect("a transaction is committed");
    }

    /// Aborts it, after all of it lies on the log.
    ///
    /// # Panics
    ///
    /// If it can not be aborted.
    pub fn abort(&self) {
        self.flush();
        self.0.abort_transaction(LONG).expect("a transaction is aborted");
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Producer")
    }
}
