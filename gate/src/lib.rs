//! Who may do what: tokens, claims, grants, limits, and the one decision that every event passes.
//!
//! A token becomes a [`Principal`] ([`Verifier`]); a principal and a topic become an [`Access`] ([`Policy`]);
//! an access and an event become a [`Permitted`] ([`Access::admit`]). Each of the last two can be made here
//! only, so a path to a page that forgets the gate does not compile. Time is passed in, nothing is spawned.

mod account;
mod algorithm;
mod claims;
pub mod condition;
mod content;
mod decision;
mod decisions;
mod error;
mod explain;
mod extract;
pub mod filter;
mod jwks;
mod keys;
mod limits;
mod policy;
mod revocation;
mod rule;
mod sign;
mod token;
mod topics;
mod unique;
mod verifier;

pub use account::{Account, Accounts, Bound, Full, Place, Seat, TenantLimitTable, TenantLimits, Unanswered};
pub use algorithm::Algorithm;
pub use claims::{ClaimMapping, Claims, Principal};
pub use condition::Condition;
pub use content::{Content, Extracted, Header, Headers, Path};
pub use decision::{Access, Facts, Permitted, Scope, Withheld};
pub use decisions::{Decided, Decisions};
pub use error::{KeyError, TokenError};
pub use explain::{Considered, Explanation, Outcome, Said, Says};
pub use extract::Extractor;
pub use filter::Filter;
pub use keys::KeySource;
pub use limits::{Bucket, PublishLimit, Rate, RetryAfter};
pub use policy::{Action, Denied, Grant, Observe, Offer, Policy, Positions, PublishAccess, Tenants};
pub use revocation::{BadTarget, Revocation, Revocations, Target};
pub use rule::{IndexKey, IndexPlan, Reads};
pub use sign::{SignError, Signer, TokenRequest};
pub use token::{Terms, TokenOptions, Tokens};
pub use topics::{BadName, PhysicalName, TopicPattern, TopicRule};
pub use verifier::Verifier;
