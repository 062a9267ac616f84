//! The journal of a broker, as a program reads it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::tap::journal::{JournalBounds, JournalQuery, JournalRow};
use crate::time::Calendar;

/// What went over the connections of a broker lately: packets in both directions, and what became of the
/// connections. It is off until it is switched on, and costs nothing then.
///
/// ```
/// use std::time::Duration;
///
/// use roundel::journal::JournalQuery;
/// use roundel::{Config, PacketType, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::start(Config::standard().ephemeral()).await?;
/// let journal = server.journal();
/// journal.switch(true);
/// // ... the client under test connects ...
/// let connects = JournalQuery::of(PacketType::Connect);
/// let found = journal.wait(&connects, 0, 1, Duration::from_millis(10)).await;
/// assert_eq!(found, Err(vec![]), "nobody has connected");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Journal {
    engine: Arc<Engine>,
    calendar: Calendar,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("is_on", &self.is_on())
            .field("last", &self.last())
            .finish_non_exhaustive()
    }
}

impl Journal {
    pub(super) fn new(engine: Arc<Engine>, calendar: Calendar) -> Self {
        Self { engine, calendar }
    }

    /// Has it written from now on, or no more. What is in it stays.
    pub fn switch(&self, is_on: bool) {
        self.engine.broker.tap().switch_journal(is_on);
    }

    /// Whether it is written.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.engine.broker.tap().has_journal()
    }

    /// How much is kept.
    #[must_use]
    pub fn bounds(&self) -> JournalBounds {
        self.engine.broker.tap().journal_bounds()
    }

    /// Sets how much is kept.
    pub fn set_bounds(&self, bounds: JournalBounds) {
        self.engine.broker.tap().bound_journal(bounds);
    }

    /// Forgets its rows; the numbers go on.
    pub fn clear(&self) {
        self.engine.broker.tap().clear_journal();
    }

    /// The number of the row that was written last; 0 before the first one.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.engine.broker.tap().last_row()
    }

    /// Up to `limit` rows behind the number `since` that are as the query says, oldest first.
    #[must_use]
    pub fn rows(&self, query: &JournalQuery, since: u64, limit: usize) -> Vec<JournalRow> {
        let tap = self.engine.broker.tap();
        tap.rows(query, since, limit, &self.calendar)
    }

    /// Waits until there are `count` such rows behind the number `since`, and returns them.
    ///
    /// # Errors
    ///
    /// Those that there are when the time is over.
    pub async fn wait(
        &self,
        query: &JournalQuery,
        since: u64,
        count: usize,
        timeout: Duration,
    ) -> Result<Vec<JournalRow>, Vec<JournalRow>> {
        let tap = self.engine.broker.tap();
        let waiting = tap.wait_for_rows(query, since, count, &self.calendar);
        match tokio::time::timeout(timeout, waiting).await {
            Ok(rows) => Ok(rows),
            Err(_) => Err(self.rows(query, since, count)),
        }
    }
}
