//! Reason Codes of MQTT 5, where each may appear, and the CONNACK return codes of MQTT 3.1.1.

use std::fmt;

use super::packet_type::PacketType;
use super::qos::QoS;

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $variant:ident = $value:literal, $name:literal;)+) => {
        /// A Reason Code of MQTT 5 (section 2.4). Codes of 0x80 and above report a failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $($(#[$doc])* $variant = $value,)+
        }

        impl ReasonCode {
            /// The code that a byte stands for, or `None` if the standard does not define it.
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value {
                    $($value => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The name in the standard, such as `Quota exceeded`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reason_codes! {
    /// Also Normal disconnection (DISCONNECT) and Granted QoS 0 (SUBACK).
    Success = 0x00, "Success";
    /// The subscription was accepted with a maximum of QoS 1.
    GrantedQoS1 = 0x01, "Granted QoS 1";
    /// The subscription was accepted with a maximum of QoS 2.
    GrantedQoS2 = 0x02, "Granted QoS 2";
    /// The client leaves and wants its will published.
    DisconnectWithWillMessage = 0x04, "Disconnect with Will Message";
    /// The message was accepted, and nobody subscribes to its topic.
    NoMatchingSubscribers = 0x10, "No matching subscribers";
    /// UNSUBSCRIBE named a filter that the session does not hold.
    NoSubscriptionExisted = 0x11, "No subscription existed";
    /// The authentication goes on with another step.
    ContinueAuthentication = 0x18, "Continue authentication";
    /// The client starts a re-authentication.
    ReAuthenticate = 0x19, "Re-authenticate";
    /// The sender does not want to say why, or no other code fits.
    UnspecifiedError = 0x80, "Unspecified error";
    /// The packet could not be parsed.
    MalformedPacket = 0x81, "Malformed Packet";
    /// The packet was well formed and not allowed by the protocol.
    ProtocolError = 0x82, "Protocol Error";
    /// Valid, and refused by this implementation.
    ImplementationSpecificError = 0x83, "Implementation specific error";
    /// The protocol version of CONNECT is not served.
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version";
    /// The client identifier is well formed and not allowed.
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid";
    /// The user name or password was refused.
    BadUserNameOrPassword = 0x86, "Bad User Name or Password";
    /// The client may not do this.
    NotAuthorized = 0x87, "Not authorized";
    /// The server does not take connections.
    ServerUnavailable = 0x88, "Server unavailable";
    /// The server is too busy.
    ServerBusy = 0x89, "Server busy";
    /// The client was banned by an administrator.
    Banned = 0x8a, "Banned";
    /// The server is about to stop.
    ServerShuttingDown = 0x8b, "Server shutting down";
    /// The authentication method is not supported or not the one in use.
    BadAuthenticationMethod = 0x8c, "Bad authentication method";
    /// Nothing arrived for one and a half times the Keep Alive.
    KeepAliveTimeout = 0x8d, "Keep Alive timeout";
    /// Another connection took the client identifier over.
    SessionTakenOver = 0x8e, "Session taken over";
    /// The filter is well formed and not accepted.
    TopicFilterInvalid = 0x8f, "Topic Filter invalid";
    /// The topic name is well formed and not accepted.
    TopicNameInvalid = 0x90, "Topic Name invalid";
    /// The packet identifier belongs to an open exchange.
    PacketIdentifierInUse = 0x91, "Packet Identifier in use";
    /// The packet identifier belongs to no open exchange.
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found";
    /// More unacknowledged messages than Receive Maximum allows.
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded";
    /// A topic alias of zero, above the maximum, or without a mapping.
    TopicAliasInvalid = 0x94, "Topic Alias invalid";
    /// The packet is larger than Maximum Packet Size.
    PacketTooLarge = 0x95, "Packet too large";
    /// The client publishes too often.
    MessageRateTooHigh = 0x96, "Message rate too high";
    /// An implementation or administrative limit was exceeded.
    QuotaExceeded = 0x97, "Quota exceeded";
    /// Closed by an administrator.
    AdministrativeAction = 0x98, "Administrative action";
    /// The payload is not of the format that its indicator names.
    PayloadFormatInvalid = 0x99, "Payload format invalid";
    /// The server keeps no retained messages.
    RetainNotSupported = 0x9a, "Retain not supported";
    /// The QoS is above the server's Maximum QoS.
    QoSNotSupported = 0x9b, "QoS not supported";
    /// Use another server for the time being.
    UseAnotherServer = 0x9c, "Use another server";
    /// Use another server from now on.
    ServerMoved = 0x9d, "Server moved";
    /// The server has no shared subscriptions.
    SharedSubscriptionsNotSupported = 0x9e, "Shared Subscriptions not supported";
    /// The limit on the rate of connections was exceeded.
    ConnectionRateExceeded = 0x9f, "Connection rate exceeded";
    /// The longest time for this connection was exceeded.
    MaximumConnectTime = 0xa0, "Maximum connect time";
    /// The server has no subscription identifiers.
    SubscriptionIdentifiersNotSupported = 0xa1, "Subscription Identifiers not supported";
    /// The server has no wildcard subscriptions.
    WildcardSubscriptionsNotSupported = 0xa2, "Wildcard Subscriptions not supported";
}

impl ReasonCode {
    /// Whether the code reports a failure, that is, is 0x80 or above.
    #[inline]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// The SUBACK code for a subscription granted at `qos`.
    pub const fn granted(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => Self::Success,
            QoS::AtLeastOnce => Self::GrantedQoS1,
            QoS::ExactlyOnce => Self::GrantedQoS2,
        }
    }

    /// The reason that a CONNACK return code of MQTT 3.1.1 stands for.
    pub(crate) const fn from_return_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }

    /// Whether the standard tables this code for `packet`: MQTT-3.2.2-8, -3.4.2-1, -3.5.2-1,
    /// -3.6.2-1, -3.7.2-1, -3.9.3-2, -3.11.3-2, -3.14.2-1 and -3.15.2-1. The tables of DISCONNECT
    /// for client and server are taken together.
    pub(crate) const fn is_legal_in(self, packet: PacketType) -> bool {
        let code = self as u8;
        match packet {
            PacketType::Connack => {
                matches!(code, 0x00 | 0x80..=0x8a | 0x8c | 0x90 | 0x95 | 0x97 | 0x99..=0x9d | 0x9f)
            }
            PacketType::Puback | PacketType::Pubrec => {
                matches!(
                    code,
                    0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99
                )
            }
            PacketType::Pubrel | PacketType::Pubcomp => matches!(code, 0x00 | 0x92),
            PacketType::Suback => matches!(
                code,
                0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8f | 0x91 | 0x97 | 0x9e | 0xa1 | 0xa2
            ),
            PacketType::Unsuback => {
                matches!(code, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8f | 0x91)
            }
            PacketType::Disconnect => matches!(
                code,
                0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8b | 0x8d..=0x90 | 0x93..=0xa2
            ),
            PacketType::Auth => matches!(code, 0x00 | 0x18 | 0x19),
            PacketType::Connect
            | PacketType::Publish
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::Pingreq
            | PacketType::Pingresp => false,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The CONNACK return code of MQTT 3.1.1 for a reason, or `None` where that table has no fitting
/// entry and the connection is closed without CONNACK (MQTT-3.2.2-6 of 3.1.1).
pub(crate) const fn connect_return_code(reason: ReasonCode) -> Option<u8> {
    match reason {
        ReasonCode::Success => Some(0),
        ReasonCode::UnsupportedProtocolVersion => Some(1),
        ReasonCode::ClientIdentifierNotValid => Some(2),
        ReasonCode::ServerUnavailable
        | ReasonCode::ServerBusy
        | ReasonCode::QuotaExceeded
        | ReasonCode::UseAnotherServer
        | ReasonCode::ServerMoved
        | ReasonCode::ConnectionRateExceeded => Some(3),
        ReasonCode::BadUserNameOrPassword => Some(4),
        ReasonCode::NotAuthorized | ReasonCode::Banned | ReasonCode::BadAuthenticationMethod => {
            Some(5)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_round_trips_through_every_code() {
        let codes: Vec<ReasonCode> = (0..=255).filter_map(ReasonCode::from_u8).collect();
        assert_eq!(codes.len(), 43);
        for code in codes {
            assert_eq!(ReasonCode::from_u8(code as u8), Some(code));
            assert_eq!(code.is_error(), code as u8 >= 128);
        }
    }

    #[test]
    fn number_of_codes_tabled_for_each_packet_is_that_of_the_standard() {
        let tabled = |packet| {
            (0..=255)
                .filter_map(ReasonCode::from_u8)
                .filter(|code| code.is_legal_in(packet))
                .count()
        };
        let counts: Vec<usize> = PacketType::ALL.into_iter().map(tabled).collect();
        assert_eq!(counts, [0, 22, 0, 9, 9, 2, 2, 0, 12, 0, 7, 0, 0, 29, 3]);
    }

    #[test]
    fn display_is_the_name_in_the_standard() {
        assert_eq!(ReasonCode::MalformedPacket.to_string(), "Malformed Packet");
        assert_eq!(ReasonCode::QoSNotSupported.to_string(), "QoS not supported");
    }

    /// MQTT-3.2.2-6 of 3.1.1: what its table lacks gets no CONNACK.
    #[test]
    fn return_code_exists_only_where_the_old_table_has_one() {
        assert_eq!(connect_return_code(ReasonCode::Success), Some(0));
        assert_eq!(
            connect_return_code(ReasonCode::BadUserNameOrPassword),
            Some(4)
        );
        assert_eq!(connect_return_code(ReasonCode::NotAuthorized), Some(5));
        assert_eq!(connect_return_code(ReasonCode::MalformedPacket), None);
    }
}
