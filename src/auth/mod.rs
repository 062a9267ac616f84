//! Who a client is and what it may do.

pub(crate) mod failures;
pub(crate) mod line;
#[cfg(any(feature = "http", feature = "websocket", test))]
pub(crate) mod origin;
#[cfg(feature = "tls")]
pub(crate) mod password;
mod principal;
#[cfg(all(feature = "aws", any(feature = "http", feature = "websocket")))]
pub(crate) mod sigv4;
mod source;

pub(crate) use principal::Principal;
pub(crate) use source::Source;
