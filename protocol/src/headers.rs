//! Names of the Kafka headers that Tidegate writes for others to read.

/// The event's `id`.
pub const ID: &str = "tg_id";
/// The event's `type`.
pub const TYPE: &str = "tg_type";
/// The event's `tenant_id`.
pub const TENANT: &str = "tg_tenant";
/// The event's `correlation_id`.
pub const CORRELATION_ID: &str = "tg_correlation_id";
/// The `client_id` of the client that published it.
pub const CLIENT: &str = "tg_client";
/// W3C trace context, when the event carries it.
pub const TRACEPARENT: &str = "traceparent";
/// Media type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// The media type written under [`CONTENT_TYPE`].
pub const JSON: &str = "application/json";
