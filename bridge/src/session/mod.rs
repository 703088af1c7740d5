//! One authenticated connection: what it wants, what it was sent, what it may still be sent.

pub mod event_stream;
mod format;
mod in_flight;
mod outbox;
mod state;
pub mod websocket_frame;

pub use format::{Format, failed};
pub use in_flight::{BatchRows, InFlight, InvalidReport, Returned};
pub use outbox::Outbox;
pub use state::{Behind, LedgerSubscription, Reading, Session, Subscription, SubscriptionState};
