//! Tests of the codec as a whole: wire cases, round trips, and arbitrary bytes.

mod arbitrary_bytes;
mod round_trip;
pub(crate) mod summary;
pub(crate) mod wire_cases;
