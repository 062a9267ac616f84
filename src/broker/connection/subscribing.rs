//! SUBSCRIBE and UNSUBSCRIBE from a client.

use std::borrow::Cow;

use crate::codec::{
    ReasonCode, Subscribe, SubscribeOptions, Unsubscribe, UserProperties, Version, encode_suback,
    encode_unsuback,
};
use crate::conn::rules;
use crate::conn::violation::Violation;
use crate::topic::Filter;

use super::super::subscribe::{Due, Request};
use super::{Active, Broker, Context, Dirty, Stop};

impl Active {
    pub(super) fn receive_subscribe(
        &mut self,
        broker: &Broker,
        subscribe: &Subscribe<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<(), Stop> {
        let config = broker.config();
        check_user_properties(&subscribe.user_properties, broker)?;
        rules::check_subscribe(subscribe.filters(), subscribe.subscription_id, config)?;
        self.check_filters_v3(broker, subscribe)?;
        let mut reasons = Vec::new();
        let mut due = Due::default();
        let mut text: Option<Cow<'static, str>> = None;
        for (full, options) in subscribe.filters() {
            let reason = match rules::check_filter(full, config) {
                Ok(filter) => {
                    let request = Request {
                        options: self.effective_options(&filter, options),
                        filter,
                        id: subscribe.subscription_id,
                    };
                    broker.subscribe(&self.session, self.epoch, &request, &mut due, context)
                }
                Err(violation) => {
                    self.log_refusal("SUBSCRIBE", &violation);
                    let reason = violation.reason;
                    text.get_or_insert(violation.text);
                    reason
                }
            };
            if reason == ReasonCode::QuotaExceeded {
                text.get_or_insert(Cow::Borrowed("too many subscriptions"));
            }
            reasons.push(reason);
        }
        let text = text.map(|text| broker.reason_string("SUBACK", &text));
        let (version, id) = (self.version, subscribe.packet_id);
        self.answer(text.as_deref(), |out, text| {
            encode_suback(out, version, id, &reasons, text);
        })?;
        // SUBACK goes ahead of retained messages and of those that wait in a group.
        self.send_answers(dirty);
        broker.hand_out(&self.session, due, context, dirty);
        Ok(())
    }

    pub(super) fn receive_unsubscribe(
        &mut self,
        broker: &Broker,
        unsubscribe: &Unsubscribe<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<(), Stop> {
        check_user_properties(&unsubscribe.user_properties, broker)?;
        let count = unsubscribe.filters().count();
        let limits = &broker.config().limits;
        if let Err(violation) = rules::check_filter_count(count, "AWS-MQTT-22", limits) {
            if self.version == Version::V5 {
                return Err(violation.into());
            }
            // The service neither executes nor answers it and keeps the connection.
            self.log_refusal("UNSUBSCRIBE", &violation);
            return Ok(());
        }
        if self.version == Version::V311
            && let Some(Err(error)) = unsubscribe
                .filters()
                .map(Filter::parse)
                .find(Result::is_err)
        {
            // UNSUBACK could not say which one.
            let reason = ReasonCode::TopicFilterInvalid;
            return Err(Violation::new(reason, "MQTT-4.7.3-1", error.to_string()).into());
        }
        let reasons: Vec<ReasonCode> = unsubscribe
            .filters()
            .map(|full| match Filter::parse(full) {
                Ok(filter) => {
                    broker.unsubscribe(&self.session, self.epoch, &filter, context, dirty)
                }
                Err(_) => ReasonCode::TopicFilterInvalid,
            })
            .map(|reason| match reason {
                ReasonCode::NoSubscriptionExisted if broker.config().aws.plain_acks => {
                    ReasonCode::Success
                }
                reason => reason,
            })
            .collect();
        let (version, id) = (self.version, unsubscribe.packet_id);
        self.answer(None, |out, text| {
            encode_unsuback(out, version, id, &reasons, text);
        })?;
        Ok(())
    }

    /// The options of a subscription. A broker that bridges gets none of its own messages back, and
    /// live ones as they were published, so that it can retain them in turn. 3.1.1 has no options to
    /// ask for that. A shared subscription is never No Local (MQTT-3.8.3-4).
    fn effective_options(
        &self,
        filter: &Filter<'_>,
        options: SubscribeOptions,
    ) -> SubscribeOptions {
        SubscribeOptions {
            no_local: options.no_local || (self.is_bridge && filter.share.is_none()),
            retain_as_published: options.retain_as_published || self.is_bridge,
            ..options
        }
    }

    /// MQTT 3.1.1 clients of the service are cut off where MQTT 5 ones get a code (section 10.1), and
    /// before any of the filters has an effect: SUBACK could not tell of it.
    fn check_filters_v3(
        &self,
        broker: &Broker,
        subscribe: &Subscribe<'_>,
    ) -> Result<(), Violation> {
        let config = broker.config();
        if self.version != Version::V311 || !config.aws.close_on_refusal_v3 {
            return Ok(());
        }
        subscribe
            .filters()
            .filter_map(|(full, _)| rules::check_filter(full, config).err())
            .find(|violation| violation.rule.starts_with("AWS-"))
            .map_or(Ok(()), Err)
    }

    fn log_refusal(&self, packet: &str, violation: &Violation) {
        tracing::info!(
            client_id = self.session.client_id(),
            rule = violation.rule,
            "{packet} refused: {}",
            violation.text
        );
    }
}

fn check_user_properties(
    properties: &UserProperties<'_>,
    broker: &Broker,
) -> Result<(), Violation> {
    let length = properties
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    rules::check_user_properties(length, &broker.config().limits)
}
