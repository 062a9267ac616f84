//! Who a client is and what it may do.

#[cfg(feature = "tls")]
pub(crate) mod password;
