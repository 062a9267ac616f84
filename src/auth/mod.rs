//! Who a client is and what it may do.

pub(crate) mod failures;
#[cfg(any(feature = "aws", feature = "tls"))]
mod hex;
pub(crate) mod line;
#[cfg(any(feature = "http", feature = "websocket", test))]
pub(crate) mod origin;
#[cfg(feature = "tls")]
pub(crate) mod password;
mod principal;
#[cfg(all(feature = "aws", any(feature = "http", feature = "websocket")))]
pub(crate) mod sigv4;
mod source;

#[cfg(any(feature = "aws", feature = "tls"))]
pub(crate) use hex::hex;
pub(crate) use principal::Principal;
pub(crate) use source::Source;
