//! The journal of a broker, as a program reads it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::tap::journal::{JournalBounds, JournalQuery, JournalRow};
use crate::tap::pcapng;
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
/// journal.wait_for_none(&connects, 0, Duration::from_millis(10)).await?;
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
    /// The time is up, or the broker stops.
    pub async fn wait(
        &self,
        query: &JournalQuery,
        since: u64,
        count: usize,
        within: Duration,
    ) -> Result<Vec<JournalRow>, WaitError> {
        let tap = self.engine.broker.tap();
        for_future(
            &self.engine,
            within,
            tap.wait_for_rows(query, since, count, &self.calendar),
            || format!("{count} rows of the journal are to be {query}"),
            || match &*self.rows(query, since, count) {
                [] if !self.is_on() => "it is off".to_owned(),
                [] => "none is".to_owned(),
                rows => {
                    let lines: Vec<_> = rows.iter().map(JournalRow::to_string).collect();
                    format!("there are\n{}", lines.join("\n"))
                }
            },
        )
        .await
    }

    /// Waits for so long, while there is to be no such row behind the number `since`.
    ///
    /// # Errors
    ///
    /// The first such row, as soon as there is one.
    pub async fn wait_for_none(
        &self,
        query: &JournalQuery,
        since: u64,
        within: Duration,
    ) -> Result<(), Box<JournalRow>> {
        match self.wait(query, since, 1, within).await {
            Ok(rows) => rows
                .into_iter()
                .next()
                .map_or(Ok(()), |row| Err(row.into())),
            Err(_) => Ok(()),
        }
    }

    /// What was on the wire of up to `limit` rows behind the number `since`, as a capture file (pcapng) that Wireshark
    /// and tshark open: without TLS and WebSocket, at port 1883, at which they look for MQTT.
    #[must_use]
    pub fn pcapng(&self, query: &JournalQuery, since: u64, limit: usize) -> Vec<u8> {
        pcapng::write(&self.rows(query, since, limit))
    }
}
