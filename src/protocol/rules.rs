//! Which topics, filters and messages are acceptable. The standard's own rules and the configured
//! limits are checked here and nowhere else.

use crate::budget::Budget;
use crate::codec::{Publish, QoS, ReasonCode, SubscribeOptions, Will};
use crate::config::{Config, Limits};
use crate::message::publication::AtOnce;
use crate::topic::{Filter, check_topic_name, slashes};

use super::reserved;
use super::violation::Violation;

/// The rule of a topic that is the broker's own: a name for logs, because section 4.7.2 of MQTT 5
/// gives the advice without a number.
pub(crate) const OWN_TOPIC: &str = "$SYS";

/// Whether a topic is the broker's own: it says there how it does, and nobody else may (section 4.7.2
/// of MQTT 5). The state of a bridge is the exception: the bridge itself puts it there.
pub(crate) fn is_own_topic(topic: &str) -> bool {
    let Some(below) = topic.strip_prefix("$SYS") else {
        return false;
    };
    let is_state_of_a_bridge = below
        .strip_prefix("/broker/connection/")
        .and_then(|rest| rest.strip_suffix("/state"))
        .is_some_and(|name| !name.contains('/'));
    // `$SYS/#` matches `$SYS` as well.
    (below.is_empty() || below.starts_with('/')) && !is_state_of_a_bridge
}

/// Where lifecycle events are published (AWS-LIFE-01).
const EVENTS: &str = "$aws/events/";

/// A topic that a client may publish to (MQTT-3.3.2-2, AWS-LIM-04, -05, AWS-FAIL-08), and any other
/// publisher that is not the broker itself.
pub(crate) fn check_topic(topic: &str, config: &Config) -> Result<(), Violation> {
    check_topic_name(topic).map_err(|error| {
        Violation::new(
            ReasonCode::TopicNameInvalid,
            "MQTT-3.3.2-2",
            error.to_string(),
        )
    })?;
    if config.aws.refuse_reserved_topics
        && topic.starts_with('$')
        && let Some(why) = reserved::bars_publishing(topic, config)
    {
        return Err(Violation::new(
            ReasonCode::TopicNameInvalid,
            "AWS-FAIL-08",
            format!("topic '{topic}' is reserved: {why}"),
        ));
    }
    if is_own_topic(topic) || (config.aws.lifecycle_events && topic.starts_with(EVENTS)) {
        return Err(Violation::new(
            ReasonCode::NotAuthorized,
            OWN_TOPIC,
            format!("topic '{topic}' is the broker's own"),
        ));
    }
    check_extent(topic, &config.limits, ReasonCode::TopicNameInvalid)
}

fn check_extent(topic: &str, limits: &Limits, reason: ReasonCode) -> Result<(), Violation> {
    if topic.len() > limits.topic_length {
        let text = format!(
            "topic has {} bytes, the limit is {}",
            topic.len(),
            limits.topic_length
        );
        return Err(Violation::new(reason, "AWS-LIM-04", text));
    }
    match limits.topic_slashes {
        Some(limit) if slashes(topic) > limit => Err(Violation::new(
            reason,
            "AWS-LIM-05",
            format!("topic '{topic}' has more than {limit} slashes"),
        )),
        _ => Ok(()),
    }
}

/// A message that is to be retained (AWS-RET-07).
pub(crate) fn check_retain(topic: &str, retain: bool, config: &Config) -> Result<(), Violation> {
    if config.aws.refuse_reserved_retain && retain && topic.starts_with('$') {
        return Err(Violation::new(
            ReasonCode::TopicNameInvalid,
            "AWS-RET-07",
            format!("reserved topic '{topic}' retains nothing"),
        ));
    }
    Ok(())
}

/// A message of so many bytes that may not wait, because queues are full (`limits.memory`): a small one is for
/// those who take it at once.
#[cold]
pub(crate) fn check_at_once(bytes: usize, budget: Budget) -> Result<AtOnce, Violation> {
    match budget.admits_at_once(bytes) {
        true => Ok(AtOnce::required()),
        false => Err(Violation::no_memory()),
    }
}

/// A PUBLISH beyond its topic: QoS, sizes, Response Topic.
pub(crate) fn check_message(publish: &Publish<'_>, config: &Config) -> Result<(), Violation> {
    if config.aws.refuse_qos2 && publish.qos == QoS::ExactlyOnce {
        return Err(Violation::new(
            ReasonCode::QoSNotSupported,
            "AWS-MQTT-03",
            "qos 2 is not supported",
        ));
    }
    let properties = &publish.properties;
    check_payload(publish.payload.len(), &config.limits)?;
    if properties.raw.is_empty() {
        return Ok(());
    }
    check_properties(
        properties.user_properties_len,
        properties.content_type,
        properties.correlation_data,
        properties.response_topic,
        &config.limits,
    )
}

/// A will message (AWS-CONN-22, -23).
pub(crate) fn check_will(will: &Will<'_>, config: &Config) -> Result<(), Violation> {
    if config.aws.refuse_qos2 && will.qos == QoS::ExactlyOnce {
        return Err(Violation::new(
            ReasonCode::QoSNotSupported,
            "AWS-CONN-22",
            "will qos 2 is not supported",
        ));
    }
    check_topic(will.topic, config)?;
    check_retain(will.topic, will.retain, config)?;
    check_payload(will.payload.len(), &config.limits)?;
    check_properties(
        will.user_properties_len,
        will.content_type,
        will.correlation_data,
        will.response_topic,
        &config.limits,
    )
}

#[inline]
pub(crate) fn check_payload(length: usize, limits: &Limits) -> Result<(), Violation> {
    match limits.payload_size {
        Some(limit) if length > limit as usize => Err(Violation::new(
            ReasonCode::PacketTooLarge,
            "AWS-LIM-01",
            format!("payload has {length} bytes, the limit is {limit}"),
        )),
        _ => Ok(()),
    }
}

fn check_properties(
    user_properties: usize,
    content_type: Option<&str>,
    correlation_data: Option<&[u8]>,
    response_topic: Option<&str>,
    limits: &Limits,
) -> Result<(), Violation> {
    let over = |length: usize, limit: Option<usize>, source, what: &str| match limit {
        Some(limit) if length > limit => Err(Violation::new(
            ReasonCode::QuotaExceeded,
            source,
            format!("{what} has {length} bytes, the limit is {limit}"),
        )),
        _ => Ok(()),
    };
    check_user_properties(user_properties, limits)?;
    let content_type = content_type.map_or(0, str::len);
    over(
        content_type,
        limits.content_type_length,
        "AWS-LIM-17",
        "content type",
    )?;
    let correlation_data = correlation_data.map_or(0, <[u8]>::len);
    over(
        correlation_data,
        limits.correlation_data_length,
        "AWS-LIM-17",
        "correlation data",
    )?;
    let Some(response_topic) = response_topic else {
        return Ok(());
    };
    over(
        response_topic.len(),
        Some(limits.topic_length),
        "AWS-LIM-17",
        "response topic",
    )?;
    check_topic_name(response_topic)
        .map_err(|error| Violation::protocol("MQTT-3.3.2-14", format!("response topic: {error}")))
}

/// User properties of any packet (AWS-LIM-16).
pub(crate) fn check_user_properties(length: usize, limits: &Limits) -> Result<(), Violation> {
    match limits.user_properties_size {
        Some(limit) if length > limit => Err(Violation::new(
            ReasonCode::QuotaExceeded,
            "AWS-LIM-16",
            format!("user properties have {length} bytes, the limit is {limit}"),
        )),
        _ => Ok(()),
    }
}

/// A filter that a client may subscribe to (MQTT-4.7.*, MQTT-4.8.2-1, -2, AWS-FAIL-07, -09).
pub(crate) fn check_filter<'a>(full: &'a str, config: &Config) -> Result<Filter<'a>, Violation> {
    let invalid =
        |source, text: String| Violation::new(ReasonCode::TopicFilterInvalid, source, text);
    let filter = Filter::parse(full).map_err(|error| invalid("MQTT-4.7.1-1", error.to_string()))?;
    if config.aws.refuse_reserved_topics
        && filter.filter.starts_with('$')
        && let Some(why) = reserved::bars_subscribing(filter.filter, config)
    {
        return Err(invalid(
            "AWS-FAIL-09",
            format!("filter '{full}' is reserved: {why}"),
        ));
    }
    let share_limit = config.limits.share_name_length;
    if let (Some(share), Some(limit)) = (filter.share, share_limit)
        && share.chars().count() > limit
    {
        return Err(invalid(
            "AWS-SHARE-02",
            format!("share name has more than {limit} characters"),
        ));
    }
    check_extent(
        filter.filter,
        &config.limits,
        ReasonCode::TopicFilterInvalid,
    )?;
    Ok(filter)
}

/// A SUBSCRIBE as a whole: what refuses all of it.
pub(crate) fn check_subscription_id(
    subscription_id: Option<u32>,
    config: &Config,
) -> Result<(), Violation> {
    if config.aws.refuse_subscription_identifiers && subscription_id.is_some() {
        return Err(Violation::new(
            ReasonCode::SubscriptionIdentifiersNotSupported,
            "AWS-MQTT-26",
            "subscription identifiers are not supported",
        ));
    }
    Ok(())
}

/// What one filter of a SUBSCRIBE asks for, as far as it concerns the packet as a whole.
pub(crate) fn check_options(
    filter: &str,
    options: SubscribeOptions,
    config: &Config,
) -> Result<(), Violation> {
    if options.no_local && filter.starts_with("$share/") {
        return Err(Violation::protocol(
            "MQTT-3.8.3-4",
            format!("no local on the shared subscription '{filter}'"),
        ));
    }
    if config.aws.refuse_qos2 && options.qos == QoS::ExactlyOnce {
        return Err(Violation::new(
            ReasonCode::QoSNotSupported,
            "AWS-MQTT-04",
            format!("qos 2 is not supported (filter '{filter}')"),
        ));
    }
    Ok(())
}

/// Filters in one packet (AWS-LIM-07).
pub(crate) fn check_filter_count(
    count: usize,
    source: &'static str,
    limits: &Limits,
) -> Result<(), Violation> {
    match limits.filters_per_packet {
        Some(limit) if count > limit => Err(Violation::new(
            ReasonCode::QuotaExceeded,
            source,
            format!("{count} filters in one packet, the limit is {limit}"),
        )),
        _ => Ok(()),
    }
}
