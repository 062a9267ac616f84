//! One bound on everything that peers can make a broker hold.
//!
//! What is to be held is charged first, to one of a few [`Kind`]s. No kind may take more than half of
//! the bound, and a part of it is kept for what is small and for sessions, so that whatever one kind
//! does, small packets and CONNECTs go on flowing.
//!
//! A message is charged once, in its allocation, however many queues it lies in. Holders whose size
//! changes with every packet account in steps of [`STEP`]. So that the shared counters are not written
//! for each message, a thread holds back up to [`HELD_BACK`] bytes of changes per kind, which only who wants to
//! know exactly adds up ([`Budget::held_by`]). What is not
//! charged at all is bounded by a constant per connection; `docs/architecture.md` lists both.

use std::cell::RefCell;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Holders that account in steps leave less than this uncounted.
const STEP: usize = 8 * 1024;

/// Bytes that a thread holds back before it writes to a shared counter.
const HELD_BACK: isize = 10 * 1024;

/// What is at most so large may take the last part of the bound, and go beyond the half of its kind by
/// as much.
const SMALL: usize = 16 * 1024;

/// The part of the bound that is kept for what is small: one in so many.
const RESERVE: usize = 16;

/// A receiver that has so many messages in flight gets none that may not wait.
const FEW_IN_FLIGHT: usize = 16;

/// Bytes of messages that a receiver may have in flight when all that is kept for small things is taken, and
/// of packets of what waits for it when queues have their half: less than its connection takes.
const TINY: usize = 2 * 1024;

/// What bytes are held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Messages in flight and in queues, and encoded bytes that wait for a socket.
    Queues,
    /// Retained messages.
    Retained,
    /// Packets that have not arrived in full, and answers to packets that are being handled.
    Packets,
    /// Sessions and what hangs on them: client identifiers, subscriptions, wills, aliases, packet
    /// identifiers, routes.
    Sessions,
    /// Network connections.
    Connections,
    /// Shadows of things.
    Shadows,
    /// Bodies and answers of the HTTP API.
    Http,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Queues,
        Self::Retained,
        Self::Packets,
        Self::Sessions,
        Self::Connections,
        Self::Shadows,
        Self::Http,
    ];

    /// As the API and the log name it.
    #[cfg(feature = "http")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queues => "queues",
            Self::Retained => "retained",
            Self::Packets => "packets",
            Self::Sessions => "sessions",
            Self::Connections => "connections",
            Self::Shadows => "shadows",
            Self::Http => "http",
        }
    }
}

/// There is no room for what was to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The bound of one broker.
///
/// A message carries it to give its bytes back wherever it is dropped. Counting references for that
/// would write to one cache line with every message, so it is a plain reference, to a place that is
/// never freed and goes to another broker once this one is gone, all was given back, and every thread has written so.
#[derive(Clone, Copy)]
pub(crate) struct Budget(&'static Account);

struct Account {
    limit: AtomicUsize,
    kinds: [AtomicIsize; Kind::ALL.len()],
    total: AtomicIsize,
}

/// Places that no broker uses.
static UNUSED: Mutex<Vec<&'static Account>> = Mutex::new(Vec::new());

/// The broker's hold on its budget.
pub(crate) struct Owned(Budget);

thread_local! {
    static LOCAL: RefCell<Local> = const { RefCell::new(Local::new()) };
}

/// What a thread has changed and not yet written to the shared counters, and of which account that is.
struct Local {
    of: Option<(&'static Account, &'static HeldBack)>,
}

/// What one thread holds back: it alone writes it, and others may read it.
#[derive(Default)]
struct HeldBack {
    /// Where the account is that it is of; 0 is none.
    account: AtomicUsize,
    kinds: [AtomicIsize; Kind::ALL.len()],
}

/// One for each thread that ever had to do with a budget, and those of threads that have ended, for others to take.
/// None is ever freed, so there are as many as there were threads at once.
static HELD_BACK_BY: Mutex<(Vec<&'static HeldBack>, Vec<&'static HeldBack>)> =
    Mutex::new((Vec::new(), Vec::new()));

impl Owned {
    /// A budget of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        let mut unused = UNUSED.lock();
        // Messages may outlive their broker for a while.
        let free = unused.iter().position(|account| account.is_settled());
        let account = match free {
            Some(place) => unused.swap_remove(place),
            None => Box::leak(Box::new(Account {
                limit: AtomicUsize::new(0),
                kinds: Default::default(),
                total: AtomicIsize::new(0),
            })),
        };
        account.limit.store(limit, Ordering::Relaxed);
        Self(Budget(account))
    }
}

impl std::ops::Deref for Owned {
    type Target = Budget;

    fn deref(&self) -> &Budget {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        LOCAL.with_borrow_mut(Local::settle);
        UNUSED.lock().push(self.0.0);
    }
}

impl Local {
    const fn new() -> Self {
        Self { of: None }
    }

    #[inline]
    fn change(&mut self, account: &'static Account, kind: Kind, by: isize) {
        let held = match self.of {
            Some((known, held)) if std::ptr::eq(known, account) => held,
            _ => self.begin(account),
        };
        // Nobody else writes it.
        let place = &held.kinds[kind as usize];
        let sum = place.load(Ordering::Relaxed) + by;
        if sum.unsigned_abs() < HELD_BACK.unsigned_abs() {
            place.store(sum, Ordering::Relaxed);
        } else {
            account.change(kind, sum);
            place.store(0, Ordering::Release);
        }
    }

    /// Has what is held back be of another account from now on.
    #[cold]
    fn begin(&mut self, account: &'static Account) -> &'static HeldBack {
        self.settle();
        let held = self.of.take().map(|(_, held)| held);
        let held = held.unwrap_or_else(HeldBack::take);
        held.account.store(account.address(), Ordering::Release);
        self.of = Some((account, held));
        held
    }

    /// Writes everything that is held back.
    #[cold]
    fn settle(&mut self) {
        if let Some((account, held)) = self.of {
            for kind in Kind::ALL {
                let place = &held.kinds[kind as usize];
                let sum = place.load(Ordering::Relaxed);
                if sum != 0 {
                    account.change(kind, sum);
                    place.store(0, Ordering::Release);
                }
            }
        }
    }

    /// What is held back for one kind, and in all.
    fn of(&self, account: &'static Account, kind: Kind) -> (isize, isize) {
        match self.of {
            Some((known, held)) if std::ptr::eq(known, account) => {
                let kinds = held.kinds.iter();
                let all = kinds.map(|kind| kind.load(Ordering::Relaxed)).sum();
                (held.kinds[kind as usize].load(Ordering::Relaxed), all)
            }
            _ => (0, 0),
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.settle();
        if let Some((_, held)) = self.of.take() {
            held.account.store(0, Ordering::Release);
            HELD_BACK_BY.lock().1.push(held);
        }
    }
}

impl HeldBack {
    /// One that no thread has.
    fn take() -> &'static Self {
        let (all, free) = &mut *HELD_BACK_BY.lock();
        free.pop().unwrap_or_else(|| {
            let new: &'static Self = Box::leak(Box::default());
            all.push(new);
            new
        })
    }

    /// Whether its thread has changes of that account which are not written yet.
    fn has_any_of(&self, account: &Account) -> bool {
        self.account.load(Ordering::Acquire) == account.address()
            && (self.kinds.iter()).any(|kind| kind.load(Ordering::Acquire) != 0)
    }
}

impl Account {
    /// Whether nothing is held, and no thread has anything to write any more, which may add up to nothing with
    /// what others have to write. Threads write first and forget then, so nothing is missed in between.
    fn is_settled(&self) -> bool {
        let (threads, _) = &*HELD_BACK_BY.lock();
        !threads.iter().any(|held| held.has_any_of(self)) && self.total.load(Ordering::Acquire) == 0
    }

    /// What tells it from others.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn change(&self, kind: Kind, by: isize) {
        self.kinds[kind as usize].fetch_add(by, Ordering::Relaxed);
        self.total.fetch_add(by, Ordering::AcqRel);
    }
}

impl Budget {
    /// Whether `bytes` more of a kind may be held.
    #[inline]
    pub(crate) fn has_room(&self, kind: Kind, bytes: usize) -> bool {
        let limit = self.0.limit.load(Ordering::Relaxed);
        let (own, all) = self.used_of(kind);
        let reserve = limit / RESERVE;
        let (most, most_of_all) = match bytes <= SMALL {
            true => (limit / 2 + reserve, limit),
            false => (limit / 2, limit - reserve),
        };
        own.saturating_add(bytes) < most && all.saturating_add(bytes) < most_of_all
    }

    /// Whether a message of so many bytes may wait: if not, who does not take it at once does not get it.
    /// What is kept for small things is not for messages that wait. A small one may wait while any may, so
    /// the bound is exceeded by one run of them at most for each publisher.
    #[inline]
    pub(crate) fn admits_message(&self, bytes: usize) -> bool {
        let limit = self.0.limit.load(Ordering::Relaxed);
        let (own, all) = self.used_of(Kind::Queues);
        let counted = if bytes > SMALL { bytes } else { 0 };
        own.saturating_add(counted) < limit / 2
            && all.saturating_add(counted) < limit - limit / RESERVE
    }

    /// Whether a message of so many bytes that may not wait is let in all the same, for those who take it at
    /// once: a small one is, while what is kept for small things is not half gone in all. The other half is
    /// left to CONNECT, SUBSCRIBE and whatever else is no message.
    #[cold]
    pub(crate) fn admits_at_once(&self, bytes: usize) -> bool {
        let limit = self.0.limit.load(Ordering::Relaxed);
        bytes <= SMALL && self.used().saturating_add(bytes) < limit - limit / RESERVE / 2
    }

    /// Whether a receiver takes such a message, which has so many in flight, of `held` bytes together.
    ///
    /// Who never acknowledges what he has keeps it, so no receiver has more than a little: a thousand
    /// connections have 16 MiB. When they have all that is kept, the share of each is less than what a
    /// connection takes besides, so that more of them gain nothing.
    #[cold]
    pub(crate) fn admits_in_flight(&self, bytes: usize, in_flight: usize, held: usize) -> bool {
        let limit = self.0.limit.load(Ordering::Relaxed);
        let used = self.used_by(Kind::Queues).saturating_add(bytes);
        let share = match used < limit / 2 + limit / RESERVE {
            true => SMALL,
            false => TINY,
        };
        in_flight < FEW_IN_FLIGHT
            && held.saturating_add(bytes) <= share
            && self.admits_at_once(bytes)
    }

    /// Whether what waits may be composed for a receiver that has so many bytes composed and not written. Its
    /// message is held already, and its packet besides until the socket takes it: while queues have their
    /// half, receivers that resume and do not read would double what they hold. Each has a little of it
    /// then, less than its connection takes, and the rest is composed as the socket takes that. Packets are
    /// charged when a run of them is composed, so they count here whether or not they are.
    #[inline]
    pub(crate) fn admits_output(&self, composed: usize) -> bool {
        composed < TINY
            || self.used_by(Kind::Queues).saturating_add(composed)
                < self.0.limit.load(Ordering::Relaxed) / 2
    }

    /// Accounts for bytes in any case. The caller has seen that there is room, or holds no more than a
    /// constant besides.
    #[inline]
    pub(crate) fn charge(&self, kind: Kind, bytes: usize) {
        self.change(kind, bytes as isize);
    }

    /// Gives bytes back.
    #[inline]
    pub(crate) fn discharge(&self, kind: Kind, bytes: usize) {
        self.change(kind, -(bytes as isize));
    }

    #[inline]
    fn change(&self, kind: Kind, by: isize) {
        // The thread may be ending: then there is nothing left to hold back with.
        let held_back = LOCAL.try_with(|local| local.borrow_mut().change(self.0, kind, by));
        if held_back.is_err() {
            self.0.change(kind, by);
        }
    }

    /// Bytes of one kind that are held, those included that other threads have not written down yet. All threads are
    /// looked at, while they go on, so it is for those who want to show it.
    pub(crate) fn held_by(&self, kind: Kind) -> usize {
        let address = self.0.address();
        let of_threads: isize = HELD_BACK_BY
            .lock()
            .0
            .iter()
            .filter(|held| held.account.load(Ordering::Relaxed) == address)
            .map(|held| held.kinds[kind as usize].load(Ordering::Relaxed))
            .sum();
        let written = self.0.kinds[kind as usize].load(Ordering::Relaxed);
        (written + of_threads).max(0).cast_unsigned()
    }

    /// Bytes of one kind that are held.
    pub(crate) fn used_by(&self, kind: Kind) -> usize {
        self.used_of(kind).0
    }

    /// Bytes of all kinds.
    pub(crate) fn used(&self) -> usize {
        self.used_of(Kind::Queues).1
    }

    /// Bytes of one kind and of all, as this thread sees them.
    #[inline]
    fn used_of(&self, kind: Kind) -> (usize, usize) {
        let (own, all) = LOCAL
            .try_with(|local| local.borrow().of(self.0, kind))
            .unwrap_or_default();
        let own = own + self.0.kinds[kind as usize].load(Ordering::Relaxed);
        let all = all + self.0.total.load(Ordering::Relaxed);
        (own.max(0).cast_unsigned(), all.max(0).cast_unsigned())
    }
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Budget").field(&self.used()).finish()
    }
}

/// Bytes that are held, given back when this is dropped.
///
/// Each connection has several, and so they are small.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Budget,
    /// The bytes, and in the lowest eight bits which of all kinds they are of.
    held: u64,
}

impl Charge {
    /// Nothing yet.
    pub(crate) fn none(budget: Budget, kind: Kind) -> Self {
        Self {
            budget,
            held: kind as u64,
        }
    }

    /// So many bytes, if there is room for them.
    pub(crate) fn new(budget: Budget, kind: Kind, bytes: usize) -> Result<Self, Full> {
        let mut charge = Self::none(budget, kind);
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// So many bytes in any case.
    pub(crate) fn forced(budget: Budget, kind: Kind, bytes: usize) -> Self {
        let mut charge = Self::none(budget, kind);
        charge.grow_forced(bytes);
        charge
    }

    /// Holds so many bytes more, if there is room for them.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        if !self.budget.has_room(self.kind(), bytes) {
            return Err(Full);
        }
        self.budget.charge(self.kind(), bytes);
        self.note(self.bytes() + bytes);
        Ok(())
    }

    /// Holds so many bytes more in any case.
    pub(crate) fn grow_forced(&mut self, bytes: usize) {
        self.budget.charge(self.kind(), bytes);
        self.note(self.bytes() + bytes);
    }

    /// Whether there is room for so many bytes more.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.budget.has_room(self.kind(), bytes)
    }

    /// Holds exactly so many bytes from now on, whether or not there is room.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes() {
            self.adjust(bytes);
        }
    }

    /// What is held so far, on its own; nothing is held here any more.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::none(self.budget, self.kind()))
    }

    /// Gives so many bytes back.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes());
        self.budget.discharge(self.kind(), bytes);
        self.note(self.bytes() - bytes);
    }

    /// The bytes that are held.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        (self.held >> 8) as usize
    }

    fn kind(&self) -> Kind {
        Kind::ALL[usize::from(self.held as u8)]
    }

    fn note(&mut self, bytes: usize) {
        debug_assert!((bytes as u64) >> 56 == 0, "{bytes} bytes");
        self.held = (bytes as u64) << 8 | self.kind() as u64;
    }

    /// Brings the account to `held` bytes, in whole steps, if it moved by one.
    #[inline]
    pub(crate) fn settle(&mut self, held: usize) {
        let bytes = self.bytes();
        if held >= bytes + STEP || held + 2 * STEP <= bytes {
            self.adjust(held / STEP * STEP);
        }
    }

    #[cold]
    fn adjust(&mut self, bytes: usize) {
        self.budget
            .change(self.kind(), bytes as isize - self.bytes() as isize);
        self.note(bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let bytes = self.bytes();
        if bytes > 0 {
            self.budget.discharge(self.kind(), bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn holders_account_in_steps_and_give_everything_back() {
        let budget = Owned::new(LIMIT);
        let mut charge = Charge::none(*budget, Kind::Queues);
        charge.settle(STEP - 1);
        assert_eq!(budget.used(), 0);
        charge.settle(2 * STEP + 1);
        assert_eq!(budget.used(), 2 * STEP);
        charge.settle(STEP);
        assert_eq!(
            budget.used(),
            2 * STEP,
            "a step of slack keeps the counter still"
        );
        charge.settle(0);
        assert_eq!(budget.used(), 0);
        charge.settle(STEP);
        drop(charge);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_threads_have_not_written_down_is_added_up_for_who_asks() {
        let budget = Owned::new(LIMIT);
        let shared = *budget;
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            shared.charge(Kind::Sessions, 100);
            ready.send(()).unwrap();
            goes.recv().unwrap();
            shared.discharge(Kind::Sessions, 40);
        });
        is_ready.recv().unwrap();
        budget.charge(Kind::Sessions, 7);
        assert_eq!(budget.used_by(Kind::Sessions), 7, "as this thread sees it");
        assert_eq!(budget.held_by(Kind::Sessions), 107);
        assert_eq!(budget.held_by(Kind::Queues), 0);
        go.send(()).unwrap();
        thread.join().unwrap();
        assert_eq!(budget.held_by(Kind::Sessions), 67);
        // Of another broker.
        let other = Owned::new(LIMIT);
        assert_eq!(other.held_by(Kind::Sessions), 0);
        budget.discharge(Kind::Sessions, 67);
        assert_eq!(budget.held_by(Kind::Sessions), 0);
    }

    #[test]
    fn no_kind_takes_more_than_half_and_the_last_part_is_for_what_is_small() {
        let budget = Owned::new(LIMIT);
        let (half, kept) = (LIMIT / 2, LIMIT / RESERVE);
        let mut queues = Charge::none(*budget, Kind::Queues);
        queues.grow(half - 1).unwrap();
        assert_eq!(queues.grow(SMALL + 1), Err(Full), "half of it at most");
        assert!(budget.admits_message(1) && !budget.admits_message(SMALL + 1));
        budget.charge(Kind::Queues, 1);
        assert!(
            !budget.admits_message(1),
            "what is kept is not for messages"
        );
        assert!(
            budget.admits_at_once(SMALL) && !budget.admits_at_once(SMALL + 1),
            "but for those that do not wait"
        );
        budget.discharge(Kind::Queues, 1);

        let mut packets = Charge::none(*budget, Kind::Packets);
        assert_eq!(packets.grow(half - kept + 1), Err(Full), "a part is kept");
        packets.grow(half - kept).unwrap();
        assert_eq!(packets.grow(SMALL + 1), Err(Full));
        packets.grow(SMALL).unwrap();
        let mut sessions = Charge::none(*budget, Kind::Sessions);
        while sessions.grow(SMALL).is_ok() {}
        while sessions.grow(1).is_ok() {}
        assert_eq!(budget.used(), LIMIT - 1, "no more than all");
        drop((queues, packets, sessions));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn receiver_has_little_in_flight_of_what_may_not_wait() {
        let budget = Owned::new(LIMIT);
        let (half, kept) = (LIMIT / 2, LIMIT / RESERVE);
        let admits = |bytes, in_flight, held| budget.admits_in_flight(bytes, in_flight, held);
        budget.charge(Kind::Queues, half);
        assert!(admits(SMALL, 0, 0) && !admits(SMALL + 1, 0, 0));
        assert!(admits(SMALL - 100, 15, 100) && !admits(SMALL - 100, 15, 101));
        assert!(admits(1, 15, 100) && !admits(1, 16, 100));
        // Others have all that is kept.
        budget.charge(Kind::Queues, kept);
        assert!(admits(TINY, 0, 0) && !admits(TINY + 1, 0, 0));
        assert!(admits(1, 15, TINY - 1) && !admits(1, 15, TINY) && !admits(1, 16, 0));
        // Other kinds have the rest: half of what is kept is not for messages.
        budget.charge(Kind::Sessions, LIMIT - kept / 2 - half - kept - 2);
        assert!(admits(1, 0, 0) && !admits(2, 0, 0));
        assert!(budget.has_room(Kind::Connections, SMALL));
    }

    #[test]
    fn little_is_composed_of_what_waits_while_there_is_no_room_for_it_twice() {
        let budget = Owned::new(LIMIT);
        let half = LIMIT / 2;
        budget.charge(Kind::Queues, half / 2);
        assert!(budget.admits_output(half / 2 - 1) && !budget.admits_output(half / 2));
        budget.charge(Kind::Queues, half / 2);
        assert!(budget.admits_output(TINY - 1) && !budget.admits_output(TINY));
        budget.discharge(Kind::Queues, half);
        // Other kinds have their own half.
        budget.charge(Kind::Sessions, half);
        assert!(budget.admits_output(half - 1));
    }

    #[test]
    fn what_threads_hold_back_is_counted_when_they_end() {
        let budget = Owned::new(LIMIT);
        let shared = *budget;
        let charges: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(move || Charge::new(shared, Kind::Http, 100).unwrap())
                    .join()
                    .unwrap()
            })
            .collect();
        assert_eq!(budget.used_by(Kind::Http), 400);
        assert_eq!((budget.used_by(Kind::Packets), budget.used()), (0, 400));
        drop(charges);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn place_is_for_another_broker_once_no_thread_has_anything_to_write_to_it() {
        let budget = Owned::new(LIMIT);
        let shared = *budget;
        let change = |by: isize| {
            let (go, goes) = std::sync::mpsc::channel::<()>();
            let (done, is_done) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || {
                shared.change(Kind::Http, by);
                done.send(()).unwrap();
                let _ = goes.recv();
            });
            is_done.recv().unwrap();
            (go, thread)
        };
        let end = |(go, thread): (std::sync::mpsc::Sender<()>, std::thread::JoinHandle<()>)| {
            drop(go);
            thread.join().unwrap();
        };
        // What one thread charged, another gives back.
        let (one, other) = (change(100), change(-100));
        assert_eq!(budget.used(), 0);
        assert!(!shared.0.is_settled());
        end(one);
        assert!(!shared.0.is_settled());
        end(other);
        assert!(shared.0.is_settled());
        // What is held is held, whoever has written it.
        budget.charge(Kind::Http, 1);
        assert!(!shared.0.is_settled());
        budget.discharge(Kind::Http, 1);
        assert!(shared.0.is_settled());
    }

    #[test]
    fn budgets_of_several_brokers_are_apart() {
        let (one, other) = (Owned::new(LIMIT), Owned::new(LIMIT));
        let held = Charge::new(*one, Kind::Queues, 10).unwrap();
        let also = Charge::new(*other, Kind::Queues, 20).unwrap();
        assert_eq!((one.used(), other.used()), (10, 20));
        drop(one);
        let next = Owned::new(LIMIT);
        assert_eq!(next.used(), 0, "its place is still in use");
        drop((held, also));
        assert_eq!((other.used(), next.used()), (0, 0));
    }
}
