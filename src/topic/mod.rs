//! Topic Names and Topic Filters: what is legal, what matches what, and the two collections that
//! answer it for many at once.
//!
//! [`Trie`] holds filters and is asked with a topic (who gets this PUBLISH), [`Names`] holds topics
//! and is asked with a filter (which retained messages does this SUBSCRIBE get), and [`Changes`]
//! tells whether an earlier answer of the trie still stands. All compare bytes: nothing is
//! normalised (MQTT-4.7.3-4). The collections never recurse, because the shape of a filter is the
//! client's choice, and a walk through them can stop after so many steps and go on later.

// Nothing outside the crate sees these items, except the benches through the feature `internals`.
#![cfg_attr(not(feature = "internals"), allow(unreachable_pub))]

#[cfg(any(test, fuzzing))]
pub(crate) mod book;
mod changes;
mod error;
mod filter;
mod hashing;
mod levels;
mod match_walk;
mod matching;
mod names;
mod slots;
#[cfg(test)]
mod strategies;
mod text;
mod tree;
mod trie;
mod walk;

pub use changes::Changes;
pub use error::TopicError;
pub use filter::{Filter, check_topic_name};
pub(crate) use hashing::Hashing;
#[cfg(feature = "internals")]
pub use levels::levels;
pub use levels::slashes;
#[cfg(any(test, fuzzing, feature = "internals"))]
pub use match_walk::FilterFound;
pub use match_walk::MatchPosition;
pub use matching::{HashParent, matches};
pub use names::{Named, Names, Position};
pub use trie::Trie;
pub use walk::Walk;
