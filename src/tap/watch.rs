//! Who waits for rows of the journal. A wait is shown each row as it is written, so that it sees all of them however
//! many come at once and however few are kept.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use crate::time::Calendar;

use super::journal::{Entry, Journal, JournalQuery, JournalRow, Ring, SLICE};

/// What a wait is for, and what it has found.
pub(super) struct Watch {
    query: JournalQuery,
    /// Only rows behind this number.
    since: u64,
    count: usize,
    /// That there is none is said of all rows only.
    needs_all: bool,
    calendar: Calendar,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    rows: Vec<JournalRow>,
    unseen: Option<Unseen>,
    /// Rows are not written any more.
    is_off: bool,
    waker: Option<Waker>,
}

/// Rows that a wait would have had to see, and has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// So many had made room before it began.
    Lost(u64),
    /// The journal was off for a part of the time, or is.
    Off,
}

/// A wait for rows. It sees what is written for as long as it is there.
pub(crate) struct Waiting<'a> {
    journal: &'a Journal,
    watch: Arc<Watch>,
}

impl Journal {
    /// Begins to wait for up to `count` rows behind `since`, or from now on, that are as the query says. Where there is
    /// to be none (`needs_all`), the wait ends too when it cannot see every row. Any ends when the journal is off.
    pub(super) fn watch(
        &self,
        query: &JournalQuery,
        since: Option<u64>,
        (count, needs_all): (usize, bool),
        calendar: &Calendar,
    ) -> Waiting<'_> {
        let watch = Arc::new(Watch {
            query: query.clone(),
            // From now on: it is not shown others.
            since: since.unwrap_or(0),
            count,
            needs_all,
            calendar: *calendar,
            found: Mutex::default(),
        });
        let mut at = since;
        // Whoever writes a row waits for a part only. The last part and the entry in the list are one step.
        while !self.show_part(&watch, &mut at) {}
        Waiting {
            journal: self,
            watch,
        }
    }

    /// Shows a watch the rows behind `at` that are kept. Whether these were the last, or it has all that it wants.
    fn show_part(&self, watch: &Arc<Watch>, at: &mut Option<u64>) -> bool {
        let mut ring = self.ring.lock();
        let since = at.unwrap_or(ring.last);
        let mut found = watch.found.lock();
        found.is_off = !self.is_on();
        if found.is_off || ring.was_off_behind(since) {
            found.unseen = Some(Unseen::Off);
        }
        let (lost, rows) = ring.behind(since);
        if lost > 0 && found.unseen != Some(Unseen::Off) {
            let before = match found.unseen {
                Some(Unseen::Lost(before)) => before,
                _ => 0,
            };
            found.unseen = Some(Unseen::Lost(before + lost));
        }
        let mut last = since;
        for entry in rows.take(SLICE) {
            if found.rows.len() >= watch.count {
                return true;
            }
            last = entry.number();
            watch.look(entry, &mut found);
        }
        drop(found);
        *at = Some(last);
        let is_last = last >= ring.last || last == since;
        if is_last {
            ring.watches.push(watch.clone());
        }
        is_last
    }
}

impl Ring {
    /// Shows a new row to all who wait. Those that are to be woken are.
    pub(super) fn show(&self, entry: &Entry) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for watch in &self.watches {
            let mut found = watch.found.lock();
            if found.rows.len() < watch.count {
                watch.look(entry, &mut found);
                wakers.extend(watch.is_over(&found).then(|| found.waker.take()).flatten());
            }
        }
        wakers
    }

    /// Tells all who wait that rows are not written any more.
    pub(super) fn tell_of_end(&self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for watch in &self.watches {
            let mut found = watch.found.lock();
            found.unseen = Some(Unseen::Off);
            found.is_off = true;
            wakers.extend(watch.is_over(&found).then(|| found.waker.take()).flatten());
        }
        wakers
    }
}

impl Watch {
    fn look(&self, entry: &Entry, found: &mut Found) {
        if entry.number() > self.since && self.query.is_met(entry) {
            found.rows.push(entry.row(&self.calendar));
        }
    }

    fn is_over(&self, found: &Found) -> bool {
        found.rows.len() >= self.count || self.cannot_end(found).is_some()
    }

    /// What has not been seen, where that means that the wait will not come to an end of its own.
    fn cannot_end(&self, found: &Found) -> Option<Unseen> {
        let is_in_vain = found.is_off || self.needs_all;
        found
            .unseen
            .filter(|_| is_in_vain && found.rows.len() < self.count)
    }
}

impl Waiting<'_> {
    /// Waits until there is what is waited for, or is not to be expected any more for what was not seen.
    pub(crate) fn end(&self) -> impl Future<Output = Result<Vec<JournalRow>, Unseen>> {
        let watch = &self.watch;
        poll_fn(move |cx| {
            let mut found = watch.found.lock();
            if !watch.is_over(&found) {
                found.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(match watch.cannot_end(&found) {
                Some(unseen) => Err(unseen),
                None => Ok(std::mem::take(&mut found.rows)),
            })
        })
    }

    /// The rows that there are so far.
    pub(crate) fn rows(&self) -> Vec<JournalRow> {
        self.watch.found.lock().rows.clone()
    }

    /// What it has not seen so far.
    pub(crate) fn unseen(&self) -> Option<Unseen> {
        self.watch.found.lock().unseen
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut ring = self.journal.ring.lock();
        ring.watches
            .retain(|watch| !Arc::ptr_eq(watch, &self.watch));
    }
}

impl std::fmt::Display for Unseen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(rows) => write!(
                f,
                "{rows} rows have made room before they were looked at: the journal is to keep more `rows` or `bytes`, \
                 or the wait to begin earlier"
            ),
            Self::Off => f.write_str("the journal is off, or was for a part of the time"),
        }
    }
}
