//! Policies of AWS IoT: documents in JSON that say who may do what, and what follows from several of them.
//!
//! [`Document::parse`] reads one and refuses what the service would refuse. [`Policies`] is several of them,
//! made ready for an account and a Region, and [`Policies::evaluate`] says what becomes of a [`Request`]. All of
//! it is data and functions: what a client is comes as a [`Context`], and the time with the request.
//!
//! ```
//! use std::sync::Arc;
//!
//! use roundel::policy::{Action, Context, Document, Policies, Request, Scope, Verdict};
//!
//! let document = Document::parse(
//!     r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:Publish",
//!         "Resource": "arn:aws:iot:us-east-1:123456789012:topic/${iot:ClientId}/*"}}"#,
//! )?;
//! let policies = Policies::new([Arc::new(document)], &Scope::default());
//! let car1 = Context {
//!     client_id: Some("car1".to_owned()),
//!     ..Context::default()
//! };
//! let publish = |topic| policies.evaluate(&Request::new(Action::Publish, topic, &car1)).verdict;
//! assert_eq!(publish("topic/car1/speed"), Verdict::Allowed);
//! assert_eq!(publish("topic/car2/speed"), Verdict::ImplicitDeny);
//! # Ok::<(), roundel::policy::Malformed>(())
//! ```

mod action;
mod certificate;
mod condition;
mod context;
mod date;
mod document;
mod index;
mod json;
mod key;
mod near;
mod operator;
mod policies;
mod remarks;
mod resources;
mod scope;
mod template;
#[cfg(test)]
mod tests;

pub use action::{Action, UnknownAction};
pub use certificate::{Certificate, UnknownField};
pub use context::{Attachment, Context, Details, Request, Thing};
pub use date::parse as parse_time;
pub use document::{Document, Effect, Statement};
pub use json::Malformed;
pub use near::NearMiss;
pub use policies::{Decision, Place, Policies, Verdict};
pub use scope::Scope;
