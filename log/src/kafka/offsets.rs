//! Earliest, last stable and timed offsets, asked for many partitions in one request per broker.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::client_config::Consumer;
use crate::{LogError, Offsets};

/// The pause before asking again.
const AGAIN: Duration = Duration::from_millis(100);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// The oldest offset that is still there.
    Earliest,
    /// The end as `read_committed` sees it (librdkafka asks with the client's own isolation level).
    End,
    /// The first offset whose timestamp is at or after this many milliseconds.
    Time(i64),
}

/// Asks for the offsets of one topic's partitions. Under [`At::Time`], partitions with nothing as late are left out.
pub(super) fn list(
    asker: &Consumer,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    at: At,
    patience: Duration,
) -> Result<Offsets, LogError> {
    let mut query = TopicPartitionList::new();
    let offset = match at {
        At::Earliest => Offset::Beginning,
        At::End => Offset::End,
        At::Time(time) => Offset::Offset(time.max(0)),
    };
    for partition in partitions {
        query.add_partition_offset(topic, partition, offset).map_err(log_error)?;
    }
    if query.count() == 0 {
        return Ok(Offsets::new());
    }
    let deadline = Instant::now() + patience;
    loop {
        match ask(asker, topic, query.clone(), at, patience) {
            Err(error) if passes(&error) && Instant::now() < deadline => {
                tracing::debug!(topic, %error, "offsets are asked for again");
                std::thread::sleep(AGAIN);
                // What the client believes about leaders may be what is wrong.
                let _ = asker.fetch_metadata(Some(topic), patience);
            }
            outcome => return outcome.map_err(log_error),
        }
    }
}

fn ask(
    asker: &Consumer,
    topic: &str,
    query: TopicPartitionList,
    at: At,
    patience: Duration,
) -> Result<Offsets, KafkaError> {
    let answer = asker.offsets_for_times(query, patience)?;
    let mut offsets = Offsets::new();
    for element in answer.elements() {
        element.error()?;
        match element.offset() {
            Offset::Offset(offset) => drop(offsets.insert(element.partition(), offset)),
            _ if matches!(at, At::Time(_)) => {}
            other => {
                tracing::warn!(topic, partition = element.partition(), ?other, "an offset that is none");
                return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::BadMessage));
            }
        }
    }
    Ok(offsets)
}

/// Errors of a moment: a leader was elected, or an answer came from the one before.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                | Code::OffsetNotAvailable
        )
    )
}

/// The same error in our words.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn log_error(error: KafkaError) -> LogError {
    let code = match error {
        KafkaError::AdminOp(code) => Some(code),
        _ => error.rdkafka_error_code(),
    };
    match code {
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::InvalidConfig
            | RDKafkaErrorCode::InvalidRequest
            | RDKafkaErrorCode::InvalidReplicationFactor
            | RDKafkaErrorCode::InvalidPartitions
            | RDKafkaErrorCode::Fatal,
        ) => LogError::Fatal(error.to_string()),
        _ => LogError::Unavailable(error.to_string()),
    }
}
