//! The journal of a broker, as a program reads it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::engine::wait::{self, NotSeen};
use crate::tap::journal::{JournalBounds, JournalQuery, JournalRow};
use crate::tap::pcapng;
use crate::tap::watch::Unseen;
use crate::time::Calendar;

use super::WaitError;
use super::waits::for_future;

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
/// let none = journal.wait_for_none(&connects, 0, Duration::from_millis(10)).await;
/// assert!(none.is_ok(), "nobody has connected");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Journal {
    engine: Arc<Engine>,
    calendar: Calendar,
}

/// Why it is not so that the journal has no such row.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AbsenceError {
    /// It has one.
    #[error("there is row {0}")]
    Present(Box<JournalRow>),
    /// Nobody knows: rows behind `since` had made room for others when the wait began.
    #[error("{}", Unseen::Lost(*rows))]
    Lost {
        /// How many.
        rows: u64,
    },
    /// Nobody knows: rows were not written.
    #[error("{}", Unseen::Off)]
    Off,
    /// The broker stops, and may have stopped before there would have been one.
    #[error("the broker is stopping")]
    Stopped,
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
        self.engine.broker.switch_journal(is_on);
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
    /// The time is up, the journal is off, or the broker stops.
    pub async fn wait(
        &self,
        query: &JournalQuery,
        since: u64,
        count: usize,
        within: Duration,
    ) -> Result<Vec<JournalRow>, WaitError> {
        let tap = self.engine.broker.tap();
        let waiting = tap.watch_rows(query, Some(since), count, &self.calendar);
        let waited = for_future(
            &self.engine,
            within,
            waiting.end(),
            || format!("{count} rows of the journal are to be {query}"),
            || match (&*waiting.rows(), waiting.unseen()) {
                ([], Some(unseen)) => format!("none is, but {unseen}"),
                ([], None) => "none is".to_owned(),
                (rows, _) => {
                    let lines: Vec<_> = rows.iter().map(JournalRow::to_string).collect();
                    format!("there are\n{}", lines.join("\n"))
                }
            },
        )
        .await?;
        waited.map_err(|unseen| WaitError::NotInJournal {
            what: "that there will be so many",
            reason: unseen.to_string(),
        })
    }

    /// Waits for so long, while there is to be no such row behind the number `since`, and sees every row that is written
    /// until then.
    ///
    /// # Errors
    ///
    /// The first such row, as soon as there is one; or why nobody can say that there was none.
    pub async fn wait_for_none(
        &self,
        query: &JournalQuery,
        since: u64,
        within: Duration,
    ) -> Result<(), AbsenceError> {
        let tap = self.engine.broker.tap();
        let waiting = tap.watch_absence(query, Some(since), &self.calendar);
        match wait::for_future(&self.engine, within, waiting.end()).await {
            Ok(Ok(rows)) => {
                let first = rows.into_iter().next();
                first.map_or(Ok(()), |row| Err(AbsenceError::Present(row.into())))
            }
            Ok(Err(Unseen::Lost(rows))) => Err(AbsenceError::Lost { rows }),
            Ok(Err(Unseen::Off)) => Err(AbsenceError::Off),
            Err(NotSeen::TimedOut) => Ok(()),
            Err(NotSeen::Stopped) => Err(AbsenceError::Stopped),
        }
    }

    /// What was on the wire of up to `limit` rows behind the number `since`, as a capture file (pcapng) that Wireshark
    /// and tshark open: without TLS and WebSocket, at port 1883, at which they look for MQTT.
    #[must_use]
    pub fn pcapng(&self, query: &JournalQuery, since: u64, limit: usize) -> Vec<u8> {
        pcapng::write(&self.rows(query, since, limit))
    }
}
