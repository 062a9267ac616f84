//! What a CONNECT settles: whether the client is welcome, and the limits of the connection.

use std::borrow::Cow;
use std::time::Duration;

use crate::auth::Principal;
use crate::budget::{Budget, Charge, Full, Kind};
use crate::codec::{Connack, Connect, QoS, ReasonCode, Version};
use crate::config::Config;
use crate::message::will::Will;

use super::rules;
use super::violation::Violation;

/// A Session Expiry Interval that never runs out (MQTT-3.1.2.11.2).
pub(crate) const NEVER: u32 = u32::MAX;

/// A CONNECT that was found acceptable, with what the broker makes of it.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) version: Version,
    /// The client is a broker: its subscriptions are No Local and Retain As Published.
    pub(crate) is_bridge: bool,
    pub(crate) client_id: Box<str>,
    /// Whom the connection acts for, once that is checked.
    pub(crate) principal: Principal,
    /// The client sent none and got this one.
    pub(crate) is_assigned: bool,
    pub(crate) clean_start: bool,
    /// Keep-alive in force, in seconds; 0 is none.
    pub(crate) keep_alive: u16,
    pub(crate) keep_alive_asked: u16,
    /// Session Expiry Interval in force, in seconds; `u32::MAX` is never.
    pub(crate) session_expiry: u32,
    session_expiry_asked: Option<u32>,
    pub(crate) will: Option<Box<Will>>,
    /// Open exchanges towards the client.
    pub(crate) window: u16,
    /// Largest packet that the client takes.
    pub(crate) packet_size: u32,
    /// Aliases used towards the client.
    pub(crate) topic_aliases: u16,
    pub(crate) problem_information: bool,
}

/// Checks a CONNECT against the standard and the configuration. `assign` makes a client identifier
/// for a client that sent none.
///
/// # Errors
///
/// A [`Violation`] whose reason is one of CONNACK.
pub(crate) fn accept(
    connect: &Connect<'_>,
    config: &Config,
    budget: Budget,
    assign: impl FnOnce() -> Box<str>,
) -> Result<Accepted, Violation> {
    if connect.is_bridge && config.aws.refuse_bridge_levels {
        return Err(Violation::new(
            ReasonCode::UnsupportedProtocolVersion,
            "MQTT-3.1.2-2",
            "protocol versions with the bit of a bridge are not supported",
        ));
    }
    let properties = &connect.properties;
    if let Some(method) = properties.authentication_method {
        return Err(Violation::new(
            ReasonCode::BadAuthenticationMethod,
            "MQTT-4.12.0-1",
            format!("authentication method '{method}' is not supported"),
        ));
    }
    check_client_id(connect, config)?;
    let user_properties: usize = properties
        .user_properties
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    rules::check_user_properties(user_properties, &config.limits)?;
    if let (Some(size), Some(least)) = (
        properties.maximum_packet_size,
        config.limits.client_packet_size_min,
    ) && size < least
    {
        return Err(Violation::new(
            ReasonCode::QuotaExceeded,
            "AWS-CONN-29",
            format!("maximum packet size {size} is below {least}"),
        ));
    }
    let will = connect
        .will
        .as_ref()
        .map(|will| take_will(will, config, budget))
        .transpose()?;
    let is_assigned = connect.client_id.is_empty();
    Ok(Accepted {
        version: connect.version,
        is_bridge: connect.is_bridge,
        client_id: if is_assigned {
            assign()
        } else {
            connect.client_id.into()
        },
        principal: Principal::default(),
        is_assigned,
        clean_start: connect.clean_start,
        keep_alive: keep_alive(connect.keep_alive, config),
        keep_alive_asked: connect.keep_alive,
        session_expiry: session_expiry(connect, config),
        session_expiry_asked: properties.session_expiry,
        will,
        window: properties
            .receive_maximum
            .unwrap_or(u16::MAX)
            .min(config.limits.in_flight),
        packet_size: properties.maximum_packet_size.unwrap_or(u32::MAX),
        topic_aliases: properties
            .topic_alias_maximum
            .unwrap_or(0)
            .min(config.limits.topic_alias_outbound),
        problem_information: properties.request_problem_information,
    })
}

fn check_client_id(connect: &Connect<'_>, config: &Config) -> Result<(), Violation> {
    let refuse = |source, text: Cow<'static, str>| {
        Err(Violation::new(
            ReasonCode::ClientIdentifierNotValid,
            source,
            text,
        ))
    };
    let id = connect.client_id;
    if id.is_empty() && connect.version == Version::V311 && !connect.clean_start {
        return refuse(
            "MQTT-3.1.3-8",
            "empty client identifier without clean session".into(),
        );
    }
    if config.aws.refuse_reserved_client_ids && id.starts_with('$') {
        return refuse(
            "AWS-CONN-02",
            format!("client identifier '{id}' starts with $").into(),
        );
    }
    match config.limits.client_id_length {
        Some(limit) if id.len() > limit => refuse(
            "AWS-CONN-01",
            format!(
                "client identifier has {} bytes, the limit is {limit}",
                id.len()
            )
            .into(),
        ),
        _ => Ok(()),
    }
}

/// What a will takes besides its topic, payload and properties.
const WILL: usize = 160;

fn take_will(
    will: &crate::codec::Will<'_>,
    config: &Config,
    budget: Budget,
) -> Result<Box<Will>, Violation> {
    rules::check_will(will, config)?;
    let mut scratch = Vec::new();
    let properties: Box<[u8]> = will.forward(&mut scratch).into();
    let size = WILL + will.topic.len() + will.payload.len() + properties.len();
    let charge =
        Charge::new(budget, Kind::Sessions, size).map_err(|Full| Violation::no_memory())?;
    Ok(Box::new(Will {
        charge,
        topic: will.topic.into(),
        payload: will.payload.into(),
        properties,
        qos: will.qos,
        retain: will.retain,
        delay: Duration::from_secs(u64::from(will.delay_secs)),
        message_expiry: clamp_message_expiry(will.message_expiry, config),
    }))
}

/// The Message Expiry Interval that counts (AWS-LIM-18, AWS-SESS-15).
#[inline]
pub(crate) fn clamp_message_expiry(secs: Option<u32>, config: &Config) -> Option<u32> {
    match config.limits.message_expiry {
        Some((least, most)) => secs.map(|secs| secs.clamp(least, most)),
        None => secs,
    }
}

/// AWS-CONN-07, -08.
fn keep_alive(asked: u16, config: &Config) -> u16 {
    match config.limits.keep_alive {
        Some((_, most)) if asked == 0 => most,
        Some((least, most)) => asked.clamp(least, most),
        None => asked,
    }
}

/// The Session Expiry Interval in force (AWS-SESS-01, -03, -04; MQTT-3.1.2-23).
fn session_expiry(connect: &Connect<'_>, config: &Config) -> u32 {
    let asked = match connect.version {
        Version::V5 => connect.properties.session_expiry.unwrap_or(0),
        Version::V311 if connect.clean_start => 0,
        Version::V311 => NEVER,
    };
    clamp_session_expiry(asked, config)
}

/// At most what the configuration allows.
pub(crate) fn clamp_session_expiry(asked: u32, config: &Config) -> u32 {
    let most = config.limits.session_expiry.map(|most| most.as_secs());
    most.map_or(asked, |most| {
        asked.min(u32::try_from(most).unwrap_or(NEVER))
    })
}

impl Accepted {
    /// The CONNACK for this connection.
    pub(crate) fn connack(&self, session_present: bool, config: &Config) -> Connack<'_> {
        let limits = &config.limits;
        let all = config.aws.announce_all;
        let expiry_changed = self.session_expiry_asked.unwrap_or(0) != self.session_expiry;
        let keep_alive_changed = self.keep_alive != self.keep_alive_asked;
        let packet_size = (limits.packet_size < crate::codec::MAX_PACKET_SIZE || all)
            .then_some(limits.packet_size);
        Connack {
            session_present,
            session_expiry: (expiry_changed || all).then_some(self.session_expiry),
            receive_maximum: (limits.receive_maximum < u16::MAX || all)
                .then_some(limits.receive_maximum),
            maximum_qos: config.aws.refuse_qos2.then_some(QoS::AtLeastOnce),
            retain_available: all.then_some(true),
            maximum_packet_size: packet_size,
            assigned_client_id: self.is_assigned.then_some(&self.client_id),
            topic_alias_maximum: (limits.topic_alias_maximum > 0 || all)
                .then_some(limits.topic_alias_maximum),
            wildcard_subscription_available: all.then_some(true),
            subscription_ids_available: (config.aws.refuse_subscription_identifiers || all)
                .then_some(!config.aws.refuse_subscription_identifiers),
            shared_subscription_available: all.then_some(true),
            server_keep_alive: (keep_alive_changed || all).then_some(self.keep_alive),
            ..Connack::new(ReasonCode::Success)
        }
    }
}
