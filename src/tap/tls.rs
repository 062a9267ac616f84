//! TLS as the journal shows it: what a handshake settled, and why there was none.

use std::fmt;

use super::rule::Direction;

/// What is known of a connection's TLS. After a handshake that failed it is what was seen until then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// `TLSv1.2` or `TLSv1.3`, once it was agreed on.
    pub version: Option<&'static str>,
    /// The cipher suite in IANA's spelling, once it was agreed on.
    pub cipher: Option<String>,
    /// The server name that the client asked for (SNI).
    pub sni: Option<String>,
    /// The application protocol agreed on (ALPN).
    pub alpn: Option<String>,
    /// SHA-256 of the client's certificate in lower-case hexadecimal. After a handshake that failed it is that
    /// of the certificate which the client showed, good or not.
    pub certificate_id: Option<String>,
    /// The first Common Name of that certificate's subject.
    pub common_name: Option<String>,
}

/// Why a TLS handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeFailure {
    /// What ended it.
    pub cause: HandshakeCause,
    /// The alert with which it ended, from either side.
    pub alert: Option<TlsAlert>,
    /// The application protocols that the client offered (ALPN).
    pub alpn_offered: Vec<String>,
    /// The versions of TLS that the client offered: `TLSv1.3`, `TLSv1.2`, and others by their names or numbers.
    pub versions_offered: Vec<String>,
}

impl HandshakeFailure {
    /// A failure for this cause, of which no more is known.
    #[cfg(feature = "tls")]
    pub(crate) fn new(cause: HandshakeCause) -> Self {
        Self {
            cause,
            alert: None,
            alpn_offered: Vec::new(),
            versions_offered: Vec::new(),
        }
    }
}

/// What ended a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeCause {
    /// The client took too long.
    Timeout,
    /// The client sent an alert: it does not want this server.
    AlertReceived,
    /// The broker sent an alert: it does not want this client, or does not understand it.
    AlertSent,
    /// What the client sent is no TLS.
    NotTls,
    /// The client closed or reset the connection in the middle, without an alert.
    Closed,
    /// Too many other handshakes waited.
    Crowded,
}

impl HandshakeCause {
    /// How it is written: `alert_received`, `not_tls`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::AlertReceived => "alert_received",
            Self::AlertSent => "alert_sent",
            Self::NotTls => "not_tls",
            Self::Closed => "closed",
            Self::Crowded => "crowded",
        }
    }
}

/// An alert of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsAlert {
    /// Who sent it: [`Direction::In`] is the client.
    pub direction: Direction,
    /// Its number.
    pub code: u8,
}

impl TlsAlert {
    #[cfg(feature = "tls")]
    pub(crate) fn new(direction: Direction, code: u8) -> Self {
        Self { direction, code }
    }

    /// Its name in the registry of IANA: `unknown_ca`; `unknown` for a number that has none.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.code {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            52 => "too_many_cids_requested",
            60 => "export_restriction",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            111 => "certificate_unobtainable",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            114 => "bad_certificate_hash_value",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            121 => "ech_required",
            _ => "unknown",
        }
    }
}

impl fmt::Display for TlsAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code)
    }
}

impl TlsInfo {
    /// Bytes of its texts.
    pub(super) fn size(&self) -> usize {
        let texts = [
            &self.cipher,
            &self.sni,
            &self.alpn,
            &self.certificate_id,
            &self.common_name,
        ];
        size_of::<Self>() + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

impl HandshakeFailure {
    /// Bytes of its texts.
    pub(super) fn size(&self) -> usize {
        let offered = self.alpn_offered.iter().chain(&self.versions_offered);
        let texts = offered.map(|text| size_of::<String>() + text.len());
        size_of::<Self>() + texts.sum::<usize>()
    }
}
