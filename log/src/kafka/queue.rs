//! What waits in a consumer's queue, borrowed from librdkafka.
//!
//! rdkafka's own `poll` names no topic for the end of a partition nor for its errors, which one consumer of many
//! topics needs; and it makes a reference count per record. This is the same loop over the same queue without both. Where
//! much waits, [`Queue::next`] takes many records at once: one by one, librdkafka looks at the clock twice for each.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{CStr, c_char};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::client_config::Consumer;
use crate::{Headers, Record};

/// A consumer and the queue it is fed through.
pub(super) struct Queue {
    queue: NonNull<rd::rd_kafka_queue_t>,
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}
// SAFETY: as above; polling from two threads at once is allowed too.
unsafe impl Sync for Queue {}

/// What came out of a queue.
#[derive(Debug)]
pub(super) enum Polled<'a> {
    /// Time ran out, or the queue was woken.
    Nothing,
    /// Something that concerns nobody here.
    Handled,
    /// A record.
    Message(Message<'a>),
    /// The end of a partition.
    End { topic: String, partition: i32, next: i64 },
    /// A partition, or the client where there is no topic, can not go on as it is.
    Error { topic: String, partition: i32, offset: i64, code: RDKafkaErrorCode, fatal: bool, reason: String },
}

impl Queue {
    /// The queue of a consumer that has a `group.id`.
    pub(super) fn new(consumer: Consumer) -> Option<Self> {
        // SAFETY: the client lives; the queue is null where the client is no consumer.
        let queue = NonNull::new(unsafe { rd::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) })?;
        Some(Self { queue, consumer: Arc::new(consumer) })
    }

    /// The consumer itself.
    pub(super) fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Makes a poll that waits, or the next one, return.
    pub(super) fn wake(&self) {
        // SAFETY: the queue is ours until drop.
        unsafe { rd::rd_kafka_queue_yield(self.queue.as_ptr()) };
    }

    /// The next thing: of those that were taken, of those that wait in the queue, else the first that comes.
    pub(super) fn next(&self, wait: Duration, taken: &mut Taken) -> Polled<'_> {
        if taken.waiting.is_empty() && wait.is_zero() {
            self.take(taken);
            // The batch hands on what is of partitions; this is of the client, and ends it.
            if let Some((code, reason)) = self.consumer.client().fatal_error() {
                return Polled::Error { topic: String::new(), partition: -1, offset: -1, code, fatal: true, reason };
            }
        }
        match taken.waiting.pop_front() {
            Some(message) => self.judge(message),
            None => self.poll(wait),
        }
    }

    /// Takes what waits, without waiting for more.
    fn take(&self, taken: &mut Taken) {
        let mut places = [ptr::null_mut(); TOGETHER];
        // SAFETY: the queue is ours until drop, and there are as many places as is said.
        let found =
            unsafe { rd::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, places.as_mut_ptr(), places.len()) };
        let found = usize::try_from(found).unwrap_or_default();
        taken.waiting.extend(places.into_iter().take(found).filter_map(NonNull::new).map(Owned::Message));
    }

    /// A message that was taken may be an error of its partition.
    fn judge(&self, owned: Owned) -> Polled<'_> {
        let Owned::Message(raw) = &owned else { return Polled::Handled };
        let message = Message { raw: *raw, _owned: owned, _queue: PhantomData };
        let (error, partition, offset) = (message.raw().err, message.partition(), message.offset());
        if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Polled::Message(message);
        }
        let code: RDKafkaErrorCode = error.into();
        let topic = message.topic().to_owned();
        if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF {
            return Polled::End { topic, partition, next: offset };
        }
        let reason = String::from_utf8_lossy(message.record().value.unwrap_or_default()).into_owned();
        if topic.is_empty() {
            self.consumer.context().error(KafkaError::Global(code), &reason);
            return Polled::Handled;
        }
        Polled::Error { topic, partition, offset, code, fatal: false, reason }
    }

    /// Waits for the next thing that comes.
    pub(super) fn poll(&self, wait: Duration) -> Polled<'_> {
        let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is ours until drop; the event is destroyed by its owner's drop.
        let Some(event) = NonNull::new(unsafe { rd::rd_kafka_queue_poll(self.queue.as_ptr(), millis) }) else {
            return Polled::Nothing;
        };
        let event = Event(event);
        // SAFETY: the event lives.
        match unsafe { rd::rd_kafka_event_type(event.0.as_ptr()) } {
            rd::RD_KAFKA_EVENT_FETCH => {
                // SAFETY: a fetch event; the message lives as long as the event, which the message takes along.
                match NonNull::new(unsafe { rd::rd_kafka_event_message_next(event.0.as_ptr()) }.cast_mut()) {
                    Some(raw) => Polled::Message(Message { raw, _owned: Owned::Event(event), _queue: PhantomData }),
                    None => Polled::Handled,
                }
            }
            rd::RD_KAFKA_EVENT_ERROR => self.error(&event),
            rd::RD_KAFKA_EVENT_STATS => {
                // SAFETY: a statistics event; the text lives as long as the event.
                let stats = unsafe { bytes_of(rd::rd_kafka_event_stats(event.0.as_ptr())) };
                self.consumer.context().stats_raw(stats);
                Polled::Handled
            }
            _ => Polled::Handled,
        }
    }

    /// The highest offset of a partition that the broker told with a fetch.
    pub(super) fn high(&self, topic: &CStr, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (0, 0);
        // SAFETY: the client lives, and the numbers are ours.
        let error = unsafe {
            rd::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
            )
        };
        (error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }

    fn error(&self, event: &Event) -> Polled<'_> {
        // SAFETY: an error event that lives; the partition is a copy, destroyed here, once.
        unsafe {
            let raw = rd::rd_kafka_event_error(event.0.as_ptr());
            let code: RDKafkaErrorCode = raw.into();
            let place = rd::rd_kafka_event_topic_partition(event.0.as_ptr());
            let fatal = rd::rd_kafka_event_error_is_fatal(event.0.as_ptr()) != 0;
            let reason =
                || String::from_utf8_lossy(bytes_of(rd::rd_kafka_event_error_string(event.0.as_ptr()))).into_owned();
            if place.is_null() {
                self.consumer.context().error(KafkaError::Global(code), &reason());
                if fatal {
                    return Polled::Error {
                        topic: String::new(),
                        partition: -1,
                        offset: -1,
                        code,
                        fatal,
                        reason: reason(),
                    };
                }
                return Polled::Handled;
            }
            let topic = String::from_utf8_lossy(bytes_of((*place).topic)).into_owned();
            let (partition, offset) = ((*place).partition, (*place).offset);
            rd::rd_kafka_topic_partition_destroy(place);
            if raw == RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF {
                return Polled::End { topic, partition, next: offset };
            }
            Polled::Error { topic, partition, offset, code, fatal, reason: reason() }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: ours alone, destroyed once, and before the client.
        unsafe { rd::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// Records that are taken at once.
const TOGETHER: usize = 256;

/// What was taken from a queue at once and is not handed on yet.
#[derive(Debug)]
pub(super) struct Taken {
    waiting: VecDeque<Owned>,
    /// Outlives what was taken from it.
    _queue: Arc<Queue>,
}

// SAFETY: librdkafka's messages may be used and destroyed on any thread.
unsafe impl Send for Taken {}

impl Taken {
    /// Nothing yet of this queue.
    pub(super) fn of(queue: Arc<Queue>) -> Self {
        Self { waiting: VecDeque::with_capacity(TOGETHER), _queue: queue }
    }

    /// Drops what is of a partition, or of all of a topic's: it is not read on from here.
    pub(super) fn forget(&mut self, topic: &str, partition: Option<i32>) {
        self.waiting.retain(|owned| {
            let Owned::Message(raw) = owned else { return true };
            // SAFETY: the message lives, and its topic as long as it.
            let (name, of) = unsafe { (topic_of(raw.as_ref()), raw.as_ref().partition) };
            name != topic || partition.is_some_and(|partition| partition != of)
        });
    }
}

/// What is given back to librdkafka when dropped.
#[derive(Debug)]
enum Owned {
    /// With the message in it.
    Event(#[expect(dead_code, reason = "kept to be dropped")] Event),
    Message(NonNull<rd::rd_kafka_message_t>),
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Self::Message(raw) = self {
            // SAFETY: ours alone, and destroyed once.
            unsafe { rd::rd_kafka_message_destroy(raw.as_ptr()) };
        }
    }
}

/// An event, destroyed when dropped.
#[derive(Debug)]
struct Event(NonNull<rd::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours alone, and destroyed once.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

/// A record in librdkafka's memory, given back when dropped.
pub(super) struct Message<'a> {
    raw: NonNull<rd::rd_kafka_message_t>,
    _owned: Owned,
    _queue: PhantomData<&'a Queue>,
}

impl Message<'_> {
    fn raw(&self) -> &rd::rd_kafka_message_t {
        // SAFETY: the message lives as long as its event.
        unsafe { self.raw.as_ref() }
    }

    /// Where librdkafka keeps the topic: the same for all records of one, as long as it is assigned.
    pub(super) fn topic_address(&self) -> usize {
        self.raw().rkt as usize
    }

    /// The topic's name.
    pub(super) fn topic(&self) -> &str {
        // SAFETY: the message lives, and its topic as long as it.
        unsafe { topic_of(self.raw()) }
    }

    pub(super) fn partition(&self) -> i32 {
        self.raw().partition
    }

    pub(super) fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// The record, borrowed.
    pub(super) fn record(&self) -> Record<'_> {
        let raw = self.raw();
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives, and `kind` is ours.
        let timestamp = unsafe { rd::rd_kafka_message_timestamp(self.raw.as_ptr(), &raw mut kind) };
        Record {
            partition: raw.partition,
            offset: raw.offset,
            timestamp: (kind != rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && timestamp >= 0)
                .then_some(timestamp),
            // SAFETY: pointers and lengths belong together and live as long as the message.
            key: unsafe { slice(raw.key, raw.key_len) },
            // SAFETY: as above.
            value: unsafe { slice(raw.payload, raw.len) },
            headers: self,
        }
    }
}

impl Headers for Message<'_> {
    fn visit<'h>(&'h self, each: &mut dyn FnMut(&'h str, Option<&'h [u8]>) -> bool) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives; librdkafka keeps the list in it, and reads it when first asked for.
        let error = unsafe { rd::rd_kafka_message_headers(self.raw.as_ptr(), &raw mut headers) };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list lives as long as the message, and the places written to are ours.
            let (name, value) = unsafe {
                if rd::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size)
                    != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
                {
                    return;
                }
                (bytes_of(name), slice(value, size))
            };
            // Kafka's header names are UTF-8; what is not can match no name that is looked for.
            if !each(std::str::from_utf8(name).unwrap_or("\u{fffd}"), value) {
                return;
            }
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{}", self.topic(), self.partition(), self.offset())
    }
}

/// The name of a message's topic; empty where there is none.
///
/// SAFETY: the message lives for `'a`, and its topic as long as it.
unsafe fn topic_of(message: &rd::rd_kafka_message_t) -> &str {
    if message.rkt.is_null() {
        return "";
    }
    // SAFETY: as promised by the caller.
    let name = unsafe { bytes_of(rd::rd_kafka_topic_name(message.rkt)) };
    std::str::from_utf8(name).unwrap_or_default()
}

/// SAFETY: `pointer` is null, or `length` bytes lie there for `'a`.
unsafe fn slice<'a>(pointer: *const std::ffi::c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as promised by the caller.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer.cast(), length) })
}

/// SAFETY: `pointer` is null, or a C string lies there for `'a`.
unsafe fn bytes_of<'a>(pointer: *const c_char) -> &'a [u8] {
    if pointer.is_null() {
        return b"";
    }
    // SAFETY: as promised by the caller.
    unsafe { CStr::from_ptr(pointer) }.to_bytes()
}
