//! The locks of [`writer`](super::writer). The workspace member that checks its interleavings puts its
//! own in their place.

pub(crate) use parking_lot::Mutex;
