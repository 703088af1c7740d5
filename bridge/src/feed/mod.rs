//! The feed: one tail per topic that somebody here listens to. Reads, decodes and encodes a record once.

mod asked;
pub mod catch_up;
mod decode;
mod round;
mod tail;
mod topics;

pub use decode::{Format, JsonFormat, Outcome as Decoded, Reason, TenantSource, TopicSpec, TypeSource, decode};
pub use round::{Entry, KeptHeaders, Looked, Round, name_hash};
pub use tail::{Feed, FeedHandle, FeedMessage};
pub use topics::{PublishForm, TopicTable};
