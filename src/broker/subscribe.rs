//! SUBSCRIBE and UNSUBSCRIBE: sessions, the trie, groups and retained messages brought into line.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::budget::Full;
use crate::codec::{QoS, ReasonCode, RetainHandling, SubscribeOptions};
use crate::message::subscription::{Options, Subscription};
use crate::topic::Filter;

use super::Broker;
use super::outbox::memberships::GroupHandle;
use super::outbox::replay::Replay;
use super::routing::leaf::{Leaf, Target};
use super::session::{Session, Slot, Subscribed, subscription_size};
use super::share::{Ended, Group, JoinError, Leftovers};
use super::turn::{Context, Dirty, GoesOn};
use super::watch::{Glimpse, Subject};

/// One filter of a SUBSCRIBE.
pub(crate) struct Request<'a> {
    pub(crate) filter: Filter<'a>,
    pub(crate) options: SubscribeOptions,
    pub(crate) id: Option<u32>,
}

/// What subscriptions are due once they were answered: SUBACK goes ahead of it.
#[derive(Default)]
pub(crate) struct Due {
    replays: Vec<Replay>,
    /// Groups whose waiting messages the session may take now.
    groups: Vec<Arc<Group>>,
}

impl Broker {
    /// Subscribes a connected session. The caller sends the answer and then calls
    /// [`hand_out`](Self::hand_out) with what `due` holds.
    pub(crate) fn subscribe(
        &self,
        session: &Arc<Session>,
        epoch: u64,
        request: &Request<'_>,
        due: &mut Due,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> ReasonCode {
        let mut slot = session.slot();
        if slot.epoch != epoch {
            return ReasonCode::UnspecifiedError;
        }
        let options = Options {
            qos: request.options.qos,
            no_local: request.options.no_local,
            retain_as_published: request.options.retain_as_published,
            id: request.id.and_then(NonZeroU32::new),
        };
        let existing = slot.subscriptions.get(request.filter.full);
        let account = match asks_for_retained(request, existing.is_none(), context) {
            true => match Replay::account(request.filter.filter, context) {
                Ok(account) => Some(account),
                Err(Full) => return ReasonCode::QuotaExceeded,
            },
            false => None,
        };
        let subscribed = match existing {
            Some(subscribed) => {
                let subscribed = subscribed.clone();
                self.resubscribe(session, &subscribed, request.filter.filter, options);
                subscribed
            }
            None => {
                match self.subscribe_new(session, &mut slot, request, options, context, dirty) {
                    Ok(subscribed) => subscribed,
                    Err(reason) => return reason,
                }
            }
        };
        drop(slot);
        due.groups.extend(
            subscribed
                .group
                .map(Group::of)
                .filter(|group| group.has_backlog()),
        );
        // Whoever retains a message looks for its receivers afterwards: none slips through between.
        if let Some(account) = account.filter(|_| self.may_replay(request.filter.filter)) {
            let (filter, subscription) = (request.filter.filter, subscribed.subscription);
            let mut replay = Replay::new(filter, subscription, options, epoch, account);
            self.begin_replay(&mut replay);
            due.replays.push(replay);
        }
        match options.qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        }
    }

    /// A repeated SUBSCRIBE changes the options in place (MQTT-3.8.4-3); a member keeps its turn.
    fn resubscribe(
        &self,
        session: &Session,
        subscribed: &Subscribed,
        filter: &str,
        options: Options,
    ) {
        {
            // Options are read under this lock when a message is handed over.
            let _outbox = session.outbox();
            subscribed.subscription.change(options);
        }
        match subscribed.group.clone().map(Group::of) {
            Some(group) => group.renew(session),
            None => self.routing.change(filter, |tables| {
                let target = tables
                    .trie
                    .get_mut(filter)
                    .and_then(|leaf| leaf.target_mut(session.id));
                if let Some(target) = target {
                    target.options = options;
                }
            }),
        }
    }

    fn subscribe_new(
        &self,
        session: &Arc<Session>,
        slot: &mut Slot,
        request: &Request<'_>,
        options: Options,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<Subscribed, ReasonCode> {
        if slot.subscriptions.len() >= context.limits.subscriptions_per_session
            || self.subscriptions.load(Ordering::Relaxed) >= context.limits.subscriptions
        {
            return Err(ReasonCode::QuotaExceeded);
        }
        let size = subscription_size(request.filter.full, request.filter.share.is_some());
        slot.charge
            .grow(size)
            .map_err(|Full| ReasonCode::QuotaExceeded)?;
        let subscription = Arc::new(Subscription::new(options));
        let group = match request.filter.share {
            None => {
                let target = Target {
                    session: session.clone(),
                    subscription: subscription.clone(),
                    options,
                };
                self.routing.change(request.filter.filter, |tables| {
                    let leaf = tables
                        .trie
                        .get_or_insert_with(request.filter.filter, Leaf::default);
                    leaf.add(target);
                });
                None
            }
            Some(share) => {
                let filter = request.filter.filter;
                let joined = self.join(session, &subscription, share, filter, context, dirty);
                Some(joined.inspect_err(|_| slot.charge.shrink(size))?)
            }
        };
        self.subscriptions.fetch_add(1, Ordering::Relaxed);
        let subscribed = Subscribed {
            subscription,
            group: group.map(|group| group as GroupHandle),
        };
        slot.subscriptions
            .insert(request.filter.full.into(), subscribed.clone());
        let (client_id, filter) = (session.client_id(), request.filter.full);
        let glimpse = Glimpse::Subscribed { client_id, filter };
        self.watch.show(Subject::Subscriptions, || glimpse);
        Ok(subscribed)
    }

    /// Makes the session a member of the group of (`share`, `filter`), which it makes if need be.
    fn join(
        &self,
        session: &Arc<Session>,
        subscription: &Arc<Subscription>,
        share: &str,
        filter: &str,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<Arc<Group>, ReasonCode> {
        let seed = self.randomness.turn_seed();
        self.routing.change(filter, |tables| {
            let leaf = tables.trie.get_or_insert_with(filter, Leaf::default);
            let known = leaf.groups().get(share).cloned();
            let known = known.filter(|group| match group.end_with_sessions(context, dirty) {
                Some(ended) => {
                    self.forget_group(leaf, group, ended);
                    false
                }
                None => true,
            });
            let group = match known {
                Some(group) => group,
                None => {
                    let groups = self.groups.load(Ordering::Relaxed);
                    if context.limits.groups.is_some_and(|limit| groups >= limit) {
                        if leaf.is_empty() {
                            tables.trie.remove(filter);
                        }
                        return Err(ReasonCode::QuotaExceeded);
                    }
                    self.groups.fetch_add(1, Ordering::Relaxed);
                    let group =
                        Arc::new(Group::new(share, filter, self.config.share_strategy, seed));
                    leaf.add_group(group.clone());
                    self.group_names.insert(&group);
                    group
                }
            };
            // Groups end under this lock, so one that the trie holds has not ended.
            match group.join(session, subscription, context) {
                Ok(()) => Ok(group),
                Err(JoinError::Full | JoinError::Ended) => Err(ReasonCode::QuotaExceeded),
            }
        })
    }

    /// Ends a subscription of a connected session.
    pub(crate) fn unsubscribe(
        &self,
        session: &Arc<Session>,
        epoch: u64,
        filter: &Filter<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> ReasonCode {
        let mut slot = session.slot();
        if slot.epoch != epoch {
            return ReasonCode::UnspecifiedError;
        }
        match slot.subscriptions.remove(filter.full) {
            Some(subscribed) => {
                let size = subscription_size(filter.full, subscribed.group.is_some());
                slot.charge.shrink(size);
                self.end_subscription(session, filter.filter, &subscribed, context, dirty);
                let glimpse = Glimpse::Unsubscribed {
                    client_id: session.client_id(),
                    filter: filter.full,
                    left: slot.subscriptions.len(),
                };
                self.watch.show(Subject::Subscriptions, || glimpse);
                ReasonCode::Success
            }
            None => ReasonCode::NoSubscriptionExisted,
        }
    }

    pub(super) fn end_subscription(
        &self,
        session: &Arc<Session>,
        filter: &str,
        subscribed: &Subscribed,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        self.subscriptions.fetch_sub(1, Ordering::Relaxed);
        {
            // No message is handed over once this lock is free again (MQTT-3.10.4-2).
            let _outbox = session.outbox();
            subscribed.subscription.end();
        }
        self.routing.change(filter, |tables| {
            let Some(leaf) = tables.trie.get_mut(filter) else {
                return;
            };
            let deserted = |share| Glimpse::Deserted { share, filter };
            let show = |share| self.watch.show(Subject::Subscriptions, || deserted(share));
            match subscribed.group.clone().map(Group::of) {
                None => {
                    leaf.remove(session.id);
                    if leaf.plain_len() == 0 {
                        show(None);
                    }
                }
                Some(group) => {
                    if let Some(ended) = group.leave(session, context, dirty) {
                        self.forget_group(leaf, &group, ended);
                        show(Some(&group.share));
                    }
                }
            }
            if leaf.is_empty() {
                tables.trie.remove(filter);
            }
        });
        self.watch.note(Subject::Subscriptions);
    }

    /// Removes a group that has ended.
    fn forget_group(&self, leaf: &mut Leaf, group: &Arc<Group>, ended: Ended) {
        Self::count(&self.counters.dropped, ended.dropped);
        Self::count(&self.counters.expired, ended.expired);
        leaf.remove_group(group);
        self.group_names.remove(group);
        self.groups.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sends new subscriptions what they are due, as fast as the session takes it.
    pub(crate) fn hand_out(
        &self,
        session: &Arc<Session>,
        due: Due,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        for group in due.groups {
            group.drain(context, dirty);
        }
        if due.replays.is_empty() {
            return;
        }
        session.outbox().enqueue_replays(due.replays);
        self.replay(session, context, dirty);
    }
}

impl GoesOn for Leftovers {
    fn go_on(&mut self, broker: &Broker, context: &Context<'_>, dirty: &mut Dirty) -> bool {
        while let Some(is_uncounted) = self.send_one_home(context, dirty) {
            Broker::count(&broker.counters.dropped, u64::from(is_uncounted));
            if dirty.is_spent() {
                return false;
            }
        }
        true
    }
}

/// Whether a SUBSCRIBE asks for the retained messages of a filter.
fn asks_for_retained(request: &Request<'_>, is_new: bool, context: &Context<'_>) -> bool {
    let asks = match request.options.retain_handling {
        RetainHandling::Send => true,
        RetainHandling::SendIfNew => is_new,
        RetainHandling::DoNotSend => false,
    };
    let exact_only = context.aws.retained_exact_only && request.filter.has_wildcard();
    asks && request.filter.share.is_none() && !exact_only
}
