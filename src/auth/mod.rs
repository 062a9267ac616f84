//! Who a client is and what it may do.

pub(crate) mod origin;
#[cfg(feature = "tls")]
pub(crate) mod password;
