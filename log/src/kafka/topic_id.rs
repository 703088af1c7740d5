//! Questions that rdkafka does not offer: topic ids (`DescribeTopics`) and whether the cluster answers.
//!
//! The only other place with `unsafe` is `queue.rs`.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::{RDKafka, RDKafkaRespErr};

use super::client_config::Consumer;
use crate::{LogError, TopicId};

/// A topic as the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) id: TopicId,
    /// Its partitions, and whether each has a leader that can be asked.
    pub(super) partitions: BTreeMap<i32, bool>,
}

/// What the cluster says of one topic name: `None` is "no such topic", an error concerns this topic only.
pub(super) type Answer = Result<Option<Topic>, String>;

/// Describes topics, in one request.
pub(super) fn describe(
    asker: &Consumer,
    topics: &[&str],
    patience: Duration,
) -> Result<BTreeMap<String, Answer>, LogError> {
    let mut answers = BTreeMap::new();
    let mut names: Vec<CString> = Vec::with_capacity(topics.len());
    for topic in topics {
        // A name that no C string can hold is no topic's name.
        match CString::new(*topic) {
            Ok(name) if !topic.is_empty() && !names.contains(&name) => names.push(name),
            Ok(_) => {}
            Err(_) => drop(answers.insert((*topic).to_owned(), Ok(None))),
        }
    }
    if names.is_empty() {
        return Ok(answers);
    }
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the pointers are of `names`, which outlives the call; the collection copies them.
    let collection = unsafe { rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    let event = ask(asker, patience, |client, options, queue| {
        // SAFETY: client, options and queue are valid for the call, and the request copies the collection.
        unsafe {
            rd::rd_kafka_DescribeTopics(client, collection, options, queue);
            rd::rd_kafka_TopicCollection_destroy(collection);
        }
    })?;
    // SAFETY: `ask` returned an event without error, which is the result of the request made above; all that is
    // read from it lives as long as the event.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event.0.as_ptr());
        if result.is_null() {
            return Err(LogError::Unavailable("an unexpected answer to DescribeTopics".into()));
        }
        let mut count = 0;
        let described = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        for index in 0..count {
            let topic = *described.add(index);
            let name = text(rd::rd_kafka_TopicDescription_name(topic));
            let answer = read_topic(topic, &name);
            answers.insert(name, answer);
        }
    }
    Ok(answers)
}

/// Whether the cluster answers: any answer about a topic that clusters have is one.
///
/// Not `DescribeCluster`: where a broker that has just started names no brokers yet, librdkafka 2.12 ends the process
/// by an assertion. Only an answer without brokers and without topics does that, and this one has a topic.
pub(super) fn reach(asker: &Consumer, patience: Duration) -> Result<(), LogError> {
    describe(asker, &["__consumer_offsets"], patience).map(drop)
}

/// SAFETY: `topic` is a description inside a living event.
unsafe fn read_topic(topic: *const rd::rd_kafka_TopicDescription_t, name: &str) -> Answer {
    // SAFETY: as promised by the caller; counts and pointers belong together by librdkafka's contract.
    unsafe {
        let error = rd::rd_kafka_error_code(rd::rd_kafka_TopicDescription_error(topic));
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION => return Ok(None),
            other => return Err(text(rd::rd_kafka_err2str(other))),
        }
        let uuid = rd::rd_kafka_TopicDescription_topic_id(topic);
        let id = if uuid.is_null() {
            None
        } else {
            let high = rd::rd_kafka_Uuid_most_significant_bits(uuid);
            let low = rd::rd_kafka_Uuid_least_significant_bits(uuid);
            let mut id = [0; 16];
            id[..8].copy_from_slice(&high.to_be_bytes());
            id[8..].copy_from_slice(&low.to_be_bytes());
            (id != [0; 16]).then_some(id)
        };
        let mut count = 0;
        let described = rd::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let partitions = (0..count)
            .map(|index| {
                let partition = *described.add(index);
                let leader = rd::rd_kafka_TopicPartitionInfo_leader(partition);
                (rd::rd_kafka_TopicPartitionInfo_partition(partition), !leader.is_null())
            })
            .collect();
        Ok(Some(Topic { id: id.unwrap_or_else(|| id_from_name(name)), partitions }))
    }
}

/// The id of a topic whose broker knows none (before Kafka 2.8): the same in every process, but also after the
/// topic was made again, which then shows in its offsets only.
fn id_from_name(name: &str) -> TopicId {
    let fnv = |seed: u64| {
        name.bytes()
            .fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    let mut id = [0; 16];
    id[..8].copy_from_slice(&fnv(0).to_be_bytes());
    id[8..].copy_from_slice(&fnv(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id
}

/// An event, destroyed when dropped.
struct Event(NonNull<rd::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours alone, and destroyed once.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

/// Makes a request and waits for its answer.
fn ask(
    asker: &Consumer,
    patience: Duration,
    request: impl FnOnce(*mut RDKafka, *const rd::rd_kafka_AdminOptions_t, *mut rd::rd_kafka_queue_t),
) -> Result<Event, LogError> {
    let client = asker.client().native_ptr();
    let millis = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client outlives all calls; options and queue are made and destroyed here, once; what the request
    // leaves behind in librdkafka holds its own references to the queue.
    unsafe {
        let queue = rd::rd_kafka_queue_new(client);
        let options = rd::rd_kafka_AdminOptions_new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ANY);
        rd::rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
        request(client, options, queue);
        rd::rd_kafka_AdminOptions_destroy(options);
        // The request times out by itself; the extra second is for an answer on its way.
        let event = NonNull::new(rd::rd_kafka_queue_poll(queue, millis.saturating_add(1000))).map(Event);
        rd::rd_kafka_queue_destroy(queue);
        let Some(event) = event else {
            return Err(LogError::Unavailable("no answer in time".into()));
        };
        let error = rd::rd_kafka_event_error(event.0.as_ptr());
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(LogError::Unavailable(text(rd::rd_kafka_event_error_string(event.0.as_ptr()))));
        }
        Ok(event)
    }
}

/// SAFETY: `pointer` is null or a C string that lives for the call.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as promised by the caller.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_from_names_are_stable_and_differ() {
        assert_eq!(id_from_name("orders"), id_from_name("orders"));
        assert_ne!(id_from_name("orders"), id_from_name("order"));
        assert_ne!(id_from_name("orders")[..8], id_from_name("orders")[8..]);
    }
}
