//! SUBSCRIBE and UNSUBSCRIBE from a client.

use std::borrow::Cow;

use crate::broker::events::What;
use crate::broker::{Broker, Context, Dirty, Due, FilterAnswers, HistoryEvent, Outgoing, Request};
use crate::codec::{
    Frame, ReasonCode, Subscribe, SubscribeOptions, Unsubscribe, UserProperties, Version,
    subscribe_filter_len, unsubscribe_filter_len,
};
use crate::protocol::rules;
use crate::protocol::violation::Violation;
use crate::topic::{Filter, TopicError};

use super::machine::{Active, Stop};

/// What a filter costs a turn, in steps: to check it, to subscribe to it or end that, and to log that it
/// is refused.
const CHECK_STEPS: usize = 1;
const SUBSCRIBE_STEPS: usize = 16;
const LOG_STEPS: usize = 64;

/// Bytes of a filter that cost one step more.
const BYTES_PER_STEP: usize = 64;

/// How far a SUBSCRIBE or an UNSUBSCRIBE is, whose filters may be more than a turn can see to. All of
/// them are looked at before the first has an effect: the answer cannot tell of a malformed one.
#[derive(Default)]
pub(super) struct FilterWork {
    stage: Stage,
    /// Bytes of the list of filters that the stage is done with, and filters so far.
    at: usize,
    count: usize,
    /// One for each filter that was carried out.
    reasons: Vec<ReasonCode>,
    due: Due,
    /// The Reason String: why the first was refused.
    text: Option<Cow<'static, str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Checking,
    CarryingOut,
}

/// Whether a packet is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    Whole,
    /// The turn is over; the packet comes again in the next.
    InPart,
}

impl FilterWork {
    /// A filter that takes `len` bytes of the list was seen to.
    fn advance(&mut self, len: usize, steps: usize, dirty: &mut Dirty) {
        self.at += len;
        self.count += 1;
        dirty.charge(steps + len / BYTES_PER_STEP);
    }

    /// Goes on with the next stage, from the first filter.
    fn carry_out(&mut self) {
        self.stage = Stage::CarryingOut;
        self.at = 0;
        self.reasons.reserve_exact(self.count);
    }
}

impl Active {
    /// Handles a SUBSCRIBE, or as much of it as the turn allows.
    pub(super) fn receive_subscribe(
        &mut self,
        broker: &Broker,
        frame: &Frame<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<Handled, Stop> {
        let config = broker.config();
        let subscribe = Subscribe::open(frame.body, self.version)?;
        let mut work = self.take_up();
        if work.stage == Stage::Checking {
            if work.at == 0 {
                check_user_properties(&subscribe.user_properties, broker)?;
                rules::check_subscription_id(subscribe.subscription_id, config)?;
            }
            for filter in subscribe.filters_from(work.at, self.version) {
                if dirty.is_spent() {
                    return Ok(self.put_aside(work));
                }
                let (full, options) = filter?;
                rules::check_options(full, options, config)?;
                self.check_filter_v3(broker, full, context)?;
                work.advance(subscribe_filter_len(full), CHECK_STEPS, dirty);
            }
            rules::check_filter_count(work.count, "AWS-MQTT-21", &config.limits)?;
            work.carry_out();
        }
        for filter in subscribe.filters_from(work.at, self.version) {
            if dirty.is_spent() {
                return Ok(self.put_aside(work));
            }
            let (full, options) = filter?;
            let id = subscribe.subscription_id;
            let reason = self.subscribe(broker, full, options, id, &mut work, context, dirty);
            work.reasons.push(reason);
            work.advance(subscribe_filter_len(full), SUBSCRIBE_STEPS, dirty);
        }
        let FilterWork {
            reasons, due, text, ..
        } = work;
        let text = text.map(|text| broker.reason_string("SUBACK", &text));
        let (id, reasons) = (subscribe.packet_id, reasons.as_slice());
        // Whoever has the answer finds it in the history.
        let filters = subscribe.filters_from(0, self.version);
        let filters = filters.map_while(|filter| Some(filter.ok()?.0));
        let answered = HistoryEvent::Subscribed(FilterAnswers::new(filters, reasons));
        broker.note_history(&self.session, answered, context);
        self.answer(text.as_deref(), |text| Outgoing::Suback {
            id,
            reasons,
            text,
        })?;
        // SUBACK goes ahead of retained messages and of those that wait in a group.
        self.send_answers(context, dirty);
        if broker.tells_of_subscriptions() {
            let filters = subscribe.filters_from(0, self.version);
            let granted = filters
                .zip(reasons)
                .filter(|(_, reason)| !reason.is_error());
            let granted: Vec<&str> = granted
                .filter_map(|(filter, _)| Some(filter.ok()?.0))
                .collect();
            self.tell_of(broker, What::Subscribed(&granted), context, dirty);
        }
        broker.hand_out(&self.session, due, context, dirty);
        Ok(Handled::Whole)
    }

    fn tell_of(&self, broker: &Broker, what: What<'_>, context: &Context<'_>, dirty: &mut Dirty) {
        if !matches!(what, What::Subscribed([]) | What::Unsubscribed([])) {
            broker.tell_of_packet(&self.session, self.epoch, what, context, dirty);
        }
    }

    /// What an earlier turn did of the packet that is handled.
    fn take_up(&mut self) -> FilterWork {
        self.filter_work
            .take()
            .map_or_else(FilterWork::default, |work| *work)
    }

    /// Keeps what was done of a packet until the next turn.
    fn put_aside(&mut self, work: FilterWork) -> Handled {
        self.filter_work = Some(Box::new(work));
        Handled::InPart
    }

    #[expect(clippy::too_many_arguments, reason = "one filter of a SUBSCRIBE")]
    fn subscribe(
        &self,
        broker: &Broker,
        full: &str,
        options: SubscribeOptions,
        id: Option<u32>,
        work: &mut FilterWork,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> ReasonCode {
        let checked = rules::check_filter(full, broker.config())
            .and_then(|filter| self.check_permission(full, context).map(|()| filter));
        let filter = match checked {
            Ok(filter) => filter,
            Err(violation) => {
                self.log_refusal("SUBSCRIBE", &violation);
                dirty.charge(LOG_STEPS);
                let reason = violation.reason;
                work.text.get_or_insert(violation.text);
                return reason;
            }
        };
        let request = Request {
            options: self.effective_options(&filter, options),
            filter,
            id,
        };
        let reason = broker.subscribe(
            &self.session,
            self.epoch,
            &request,
            &mut work.due,
            context,
            dirty,
        );
        if reason == ReasonCode::QuotaExceeded {
            work.text
                .get_or_insert(Cow::Borrowed("too many subscriptions"));
        }
        reason
    }

    /// Handles an UNSUBSCRIBE, or as much of it as the turn allows.
    pub(super) fn receive_unsubscribe(
        &mut self,
        broker: &Broker,
        frame: &Frame<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<Handled, Stop> {
        let unsubscribe = Unsubscribe::open(frame.body, self.version)?;
        let mut work = self.take_up();
        if work.stage == Stage::Checking {
            if work.at == 0 {
                check_user_properties(&unsubscribe.user_properties, broker)?;
            }
            for filter in unsubscribe.filters_from(work.at) {
                if dirty.is_spent() {
                    return Ok(self.put_aside(work));
                }
                let full = filter?;
                self.check_ended_filter_v3(full)?;
                work.advance(unsubscribe_filter_len(full), CHECK_STEPS, dirty);
            }
            let limits = &broker.config().limits;
            if let Err(violation) = rules::check_filter_count(work.count, "AWS-MQTT-22", limits) {
                if self.version == Version::V5 {
                    return Err(violation.into());
                }
                // The service neither executes nor answers it and keeps the connection.
                self.log_refusal("UNSUBSCRIBE", &violation);
                return Ok(Handled::Whole);
            }
            work.carry_out();
        }
        for filter in unsubscribe.filters_from(work.at) {
            if dirty.is_spent() {
                return Ok(self.put_aside(work));
            }
            let full = filter?;
            let reason = self.unsubscribe(broker, full, context, dirty);
            work.reasons.push(reason);
            work.advance(unsubscribe_filter_len(full), SUBSCRIBE_STEPS, dirty);
        }
        let (id, reasons) = (unsubscribe.packet_id, work.reasons.as_slice());
        let filters = unsubscribe.filters_from(0).map_while(Result::ok);
        let answered = HistoryEvent::Unsubscribed(FilterAnswers::new(filters, reasons));
        broker.note_history(&self.session, answered, context);
        self.answer(None, |_| Outgoing::Unsuback { id, reasons })?;
        if broker.tells_of_subscriptions() {
            let filters = unsubscribe.filters_from(0).zip(reasons);
            let ended = filters.filter(|(_, reason)| !reason.is_error());
            let ended: Vec<&str> = ended.filter_map(|(filter, _)| filter.ok()).collect();
            self.tell_of(broker, What::Unsubscribed(&ended), context, dirty);
        }
        Ok(Handled::Whole)
    }

    fn unsubscribe(
        &self,
        broker: &Broker,
        full: &str,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> ReasonCode {
        let Ok(filter) = Filter::parse(full) else {
            return ReasonCode::TopicFilterInvalid;
        };
        match broker.unsubscribe(&self.session, self.epoch, &filter, context, dirty) {
            ReasonCode::NoSubscriptionExisted if broker.config().aws.plain_acks => {
                ReasonCode::Success
            }
            reason => reason,
        }
    }

    /// A filter of an UNSUBSCRIBE that is not valid: UNSUBACK of MQTT 3.1.1 could not say which one.
    fn check_ended_filter_v3(&self, full: &str) -> Result<(), Violation> {
        if self.version == Version::V5 {
            return Ok(());
        }
        let invalid = |error: TopicError| {
            Violation::new(
                ReasonCode::TopicFilterInvalid,
                "MQTT-4.7.3-1",
                error.to_string(),
            )
        };
        Filter::parse(full).map(|_| ()).map_err(invalid)
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

    /// MQTT 3.1.1 clients of the service are cut off where MQTT 5 ones get a code (section 10.1).
    fn check_filter_v3(
        &self,
        broker: &Broker,
        full: &str,
        context: &Context<'_>,
    ) -> Result<(), Violation> {
        let config = broker.config();
        if self.version != Version::V311 || !config.aws.close_on_refusal_v3 {
            return Ok(());
        }
        match rules::check_filter(full, config) {
            Err(violation) if violation.rule.starts_with("AWS-") => Err(violation),
            Ok(_) | Err(_) => self.check_permission(full, context),
        }
    }

    /// Whether the client may subscribe to a filter (AWS-ID-35).
    fn check_permission(&self, full: &str, context: &Context<'_>) -> Result<(), Violation> {
        match &self.permissions {
            Some(permissions) => permissions.check_subscribe(full, context.now),
            None => Ok(()),
        }
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
