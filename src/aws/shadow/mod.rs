//! Device Shadow: a document for each thing, and as many with names as somebody likes, in which programs say
//! what is desired and devices what is so (`AWS-SHADOW`).
//!
//! | module | what it is |
//! | --- | --- |
//! | [`tree`] | values with the times at which they were set: merge, difference |
//! | [`document`] | a shadow: both halves and the version |
//! | [`request`] | what a request says, and what is wrong with it |
//! | [`answer`] | what is answered, and told to whoever subscribes |
//! | [`name`] | whose shadow, and the topics of it |
//! | [`desk`] | requests over MQTT, in their order |
//! | [`room`] | how much memory all of them may take |
//!
//! The registry keeps shadows (`registry::shadows`), and has them told of after the commit.

pub(crate) mod answer;
pub(crate) mod desk;
pub(crate) mod document;
mod error;
pub(crate) mod name;
pub(crate) mod request;
pub(crate) mod room;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use error::Error;
pub(crate) use request::{Refused, Update};

/// Bytes of the state of a shadow, and of a request (AWS-SHADOW-43).
const SIZE_MAX: usize = 8 * 1024;

/// Levels of `desired` and of `reported` (AWS-SHADOW-13).
const LEVELS_MAX: usize = 8;

/// Bytes of a client token (AWS-SHADOW-44).
const TOKEN_MAX: usize = 64;
