//! Who ended a connection, why, and what follows from that.

use std::borrow::Cow;
use std::fmt;

use crate::codec::ReasonCode;

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initiator {
    /// The client, in so many words.
    Client,
    /// The program that the broker runs in.
    Library,
    /// Nobody said so: the stream ended or broke.
    Network,
    /// The broker, by its rules.
    Broker,
    /// Whoever asked for it from outside.
    Operator,
    /// What the registry says of its principal.
    #[cfg(feature = "aws")]
    Policy,
}

impl Initiator {
    /// As the log has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Library => "library",
            Self::Network => "network",
            Self::Broker => "broker",
            Self::Operator => "operator",
            #[cfg(feature = "aws")]
            Self::Policy => "policy",
        }
    }
}

/// Why a connection ended. What the client is told, what becomes of its will and what the log says
/// follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// DISCONNECT came, with this reason and maybe another Session Expiry Interval.
    Disconnect {
        reason: ReasonCode,
        session_expiry: Option<u32>,
    },
    /// A WebSocket was closed by its own means, with this code if it gave one.
    #[cfg(feature = "websocket")]
    WebSocketClose(Option<u16>),
    /// A subscription in this process was dropped.
    Dropped,
    /// The stream ended or broke.
    Lost(Cow<'static, str>),
    /// Nothing came for one and a half times the Keep Alive (MQTT-3.1.2-22).
    KeepAliveTimeout,
    /// The socket took no byte for too long.
    Stalled,
    /// What came is not acceptable.
    Refused {
        reason: ReasonCode,
        text: Cow<'static, str>,
        /// The statement or the AWS behaviour that says so.
        rule: &'static str,
    },
    /// Another connection has the session (MQTT-3.1.4-3).
    TakenOver,
    /// The session's queue is full, and the configuration ends connections for that.
    QueueFull,
    /// The broker stops.
    Stopping,
    /// A packet rule has the broker end it, with this Reason Code. The rule has composed its DISCONNECT.
    PacketRule(u8),
    /// Its principal may have no connection any more, for this reason.
    #[cfg(feature = "aws")]
    Forbidden(&'static str),
    /// Its authorizer has let it in for so long and no longer.
    #[cfg(feature = "aws")]
    AuthorizationExpired,
    /// A connection over WebSocket lasts so long and no longer.
    #[cfg(feature = "aws")]
    WebSocketExpired,
    /// Somebody outside wanted it, with these words.
    Kicked {
        reason: ReasonCode,
        text: &'static str,
    },
    /// Somebody outside wanted all connections to be lost.
    Outage,
}

#[cfg(feature = "aws")]
const EXPIRED: &str = "the time that the authorizer gave is over";

impl Cause {
    pub(crate) fn initiator(&self) -> Initiator {
        match self {
            Self::Disconnect { .. } => Initiator::Client,
            #[cfg(feature = "websocket")]
            Self::WebSocketClose(_) => Initiator::Client,
            Self::Dropped => Initiator::Library,
            Self::Lost(_) => Initiator::Network,
            Self::KeepAliveTimeout
            | Self::Stalled
            | Self::Refused { .. }
            | Self::TakenOver
            | Self::QueueFull
            | Self::Stopping
            | Self::PacketRule(_) => Initiator::Broker,
            #[cfg(feature = "aws")]
            Self::WebSocketExpired => Initiator::Broker,
            Self::Kicked { .. } => Initiator::Operator,
            Self::Outage => Initiator::Operator,
            #[cfg(feature = "aws")]
            Self::Forbidden(_) | Self::AuthorizationExpired => Initiator::Policy,
        }
    }

    /// What kind of end it is, as the API has it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Disconnect { .. } => "disconnect",
            #[cfg(feature = "websocket")]
            Self::WebSocketClose(_) => "websocket_close",
            Self::Dropped => "dropped",
            Self::Lost(_) => "lost",
            Self::KeepAliveTimeout => "keep_alive_timeout",
            Self::Stalled => "stalled",
            Self::Refused { .. } => "refused",
            Self::TakenOver => "taken_over",
            Self::QueueFull => "queue_full",
            Self::Stopping => "stopping",
            Self::PacketRule(_) => "packet_rule",
            #[cfg(feature = "aws")]
            Self::Forbidden(_) => "forbidden",
            #[cfg(feature = "aws")]
            Self::AuthorizationExpired => "authorization_expired",
            #[cfg(feature = "aws")]
            Self::WebSocketExpired => "websocket_expired",
            Self::Kicked { .. } => "kicked",
            Self::Outage => "outage",
        }
    }

    /// The reason of the DISCONNECT that ended the connection, from either side.
    pub(crate) fn code(&self) -> Option<ReasonCode> {
        match self {
            Self::Disconnect { reason, .. } => Some(*reason),
            Self::PacketRule(reason) => ReasonCode::from_u8(*reason),
            other => other.reason(),
        }
    }

    /// The reason of the DISCONNECT that the client gets; `None` where it gets none.
    pub(crate) fn reason(&self) -> Option<ReasonCode> {
        match self {
            Self::Disconnect { .. }
            | Self::Dropped
            | Self::Lost(_)
            | Self::Stalled
            | Self::PacketRule(_) => None,
            #[cfg(feature = "websocket")]
            Self::WebSocketClose(_) => None,
            Self::Outage => None,
            Self::KeepAliveTimeout => Some(ReasonCode::KeepAliveTimeout),
            Self::Refused { reason, .. } => Some(*reason),
            Self::Kicked { reason, .. } => Some(*reason),
            #[cfg(feature = "aws")]
            Self::Forbidden(_) | Self::AuthorizationExpired => Some(ReasonCode::NotAuthorized),
            #[cfg(feature = "aws")]
            Self::WebSocketExpired => Some(ReasonCode::MaximumConnectTime),
            Self::TakenOver => Some(ReasonCode::SessionTakenOver),
            Self::QueueFull => Some(ReasonCode::QuotaExceeded),
            Self::Stopping => Some(ReasonCode::ServerShuttingDown),
        }
    }

    /// What goes with it as Reason String.
    pub(crate) fn explanation(&self) -> Option<&str> {
        let text: &str = match self {
            Self::KeepAliveTimeout => "keep alive timeout",
            Self::QueueFull => "session queue is full",
            #[cfg(feature = "aws")]
            Self::Forbidden(text) => text,
            #[cfg(feature = "aws")]
            Self::AuthorizationExpired => EXPIRED,
            Self::Refused { text, .. } => text,
            Self::Kicked { text, .. } => text,
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The statement, the behaviour of the service or the limit that it rests on, where it is one.
    pub(crate) fn rule(&self) -> Option<&'static str> {
        match self {
            Self::KeepAliveTimeout => Some("MQTT-3.1.2-22"),
            Self::Refused { rule, .. } => Some(rule),
            #[cfg(feature = "aws")]
            Self::Forbidden(_) => Some("AWS-ID-16"),
            #[cfg(feature = "aws")]
            Self::AuthorizationExpired => Some("AWS-AUTH-05"),
            #[cfg(feature = "aws")]
            Self::WebSocketExpired => Some("AWS-ENDP-15"),
            _ => None,
        }
    }

    /// Whether the will is removed: the client left with reason 0x00 (MQTT-3.14.4-3).
    pub(crate) fn discards_will(&self) -> bool {
        matches!(
            self,
            Self::Disconnect {
                reason: ReasonCode::Success,
                ..
            }
        )
    }

    /// The Session Expiry Interval that holds from now on, if another one was given.
    pub(crate) fn session_expiry(&self) -> Option<u32> {
        match self {
            Self::Disconnect { session_expiry, .. } => *session_expiry,
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnect {
                reason: ReasonCode::Success,
                ..
            } => f.write_str("client disconnected"),
            Self::Disconnect { reason, .. } => write!(f, "client disconnected: {reason}"),
            #[cfg(feature = "websocket")]
            Self::WebSocketClose(None) => f.write_str("WebSocket closed by the client"),
            #[cfg(feature = "websocket")]
            Self::WebSocketClose(Some(code)) => {
                write!(f, "WebSocket closed by the client with code {code}")
            }
            Self::Dropped => f.write_str("subscription dropped"),
            Self::Lost(text) => f.write_str(text),
            Self::KeepAliveTimeout => f.write_str("keep alive timeout (MQTT-3.1.2-22)"),
            Self::Stalled => f.write_str("the client took no byte for too long"),
            Self::Refused { text, rule, .. } => write!(f, "{text} ({rule})"),
            #[cfg(feature = "aws")]
            Self::Forbidden(text) => write!(f, "{text} (AWS-ID-16)"),
            #[cfg(feature = "aws")]
            Self::AuthorizationExpired => write!(f, "{EXPIRED} (AWS-AUTH-05)"),
            #[cfg(feature = "aws")]
            Self::WebSocketExpired => {
                f.write_str("a connection over WebSocket lasts no longer (AWS-ENDP-15)")
            }
            Self::TakenOver => f.write_str("taken over by another connection"),
            Self::QueueFull => f.write_str("session queue is full"),
            Self::Stopping => f.write_str("the broker is stopping"),
            Self::PacketRule(reason) => write!(f, "disconnected by a packet rule ({reason:#04x})"),
            Self::Outage => f.write_str("lost in an outage"),
            Self::Kicked { reason, text: "" } => write!(f, "{reason}"),
            Self::Kicked { reason, text } => write!(f, "{text} ({reason})"),
        }
    }
}
