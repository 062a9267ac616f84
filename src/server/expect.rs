//! Assertions on what clients do, which read as sentences and fail with what there was instead.

use std::panic::Location;
use std::time::Duration;

use crate::tap::journal::{JournalQuery, JournalRow};
use crate::tap::rule::Match;

use super::{ConnectionEnd, Handle, Journal, WaitError};

/// How long an expectation has, unless it says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// Rows of the journal that a failure shows.
const SHOWN: usize = 30;

/// What a client is expected to do. A method waits until it is so, and panics when the time is up: with the line that
/// expected it, what there was instead, and the last rows of the journal.
#[derive(Clone, Debug)]
#[must_use = "nothing is expected until one of its methods is awaited"]
pub struct ClientExpectation {
    client: String,
    to_be: Expectation,
}

/// What a shared group is expected to be like. See [`ClientExpectation`].
#[derive(Clone, Debug)]
#[must_use = "nothing is expected until one of its methods is awaited"]
pub struct GroupExpectation {
    share: String,
    filter: String,
    to_be: Expectation,
}

#[derive(Clone, Debug)]
struct Expectation {
    handle: Handle,
    /// Rows of the journal that count are behind this one.
    since: u64,
    within: Duration,
    at: &'static Location<'static>,
}

/// Assertions. They begin where `expect` is called; where packets are expected, those count that came later.
///
/// ```
/// use roundel::rules::Match;
/// use roundel::{Config, PacketType, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use tokio::io::AsyncWriteExt as _;
/// let server = Server::start(Config::standard().ephemeral()).await?;
/// server.journal().switch(true);
/// let car = server.expect("car1");
/// # let mut client = server.connect()?;
/// # client.write_all(b"\x10\x11\0\x04MQTT\x05\x02\0\0\0\0\x04car1\xc0\0").await?;
/// // ... the client under test is started ...
/// car.to_connect().await;
/// car.to_send(Match::of(PacketType::Pingreq)).await;
/// car.to_receive(Match::of(PacketType::Pingresp)).await;
/// # Ok(())
/// # }
/// ```
impl Handle {
    /// What a client is expected to do, within five seconds.
    #[track_caller]
    pub fn expect(&self, client_id: impl Into<String>) -> ClientExpectation {
        ClientExpectation {
            client: client_id.into(),
            to_be: Expectation::new(self, Location::caller()),
        }
    }

    /// What the group of a share name and a filter is expected to be like, within five seconds.
    #[track_caller]
    pub fn expect_group(
        &self,
        share: impl Into<String>,
        filter: impl Into<String>,
    ) -> GroupExpectation {
        GroupExpectation {
            share: share.into(),
            filter: filter.into(),
            to_be: Expectation::new(self, Location::caller()),
        }
    }
}

impl Expectation {
    fn new(handle: &Handle, at: &'static Location<'static>) -> Self {
        Self {
            since: handle.journal().last(),
            handle: handle.clone(),
            within: PATIENCE,
            at,
        }
    }

    /// What was waited for.
    fn met<T>(&self, waited: Result<T, WaitError>) -> T {
        waited.unwrap_or_else(|error| self.fail(&error.to_string()))
    }

    #[expect(clippy::panic, reason = "an assertion has failed")]
    fn fail(&self, what: &str) -> ! {
        panic!("{what}\nexpected at {}\n{}", self.at, self.tail());
    }

    /// The end of the journal.
    fn tail(&self) -> String {
        let journal = self.handle.journal();
        if !journal.is_on() {
            return "the journal is off; `server.journal().switch(true)` shows what is exchanged"
                .to_owned();
        }
        let since = journal.last().saturating_sub(SHOWN as u64);
        let rows = journal.rows(&JournalQuery::default(), since, SHOWN);
        let lines: Vec<_> = rows.iter().map(JournalRow::to_string).collect();
        match lines.is_empty() {
            true => "the journal is empty".to_owned(),
            false => format!("the journal's last rows:\n{}", lines.join("\n")),
        }
    }

    /// The journal, which has to be on.
    fn journal(&self) -> Journal {
        let journal = self.handle.journal();
        if !journal.is_on() {
            self.fail("packets are expected");
        }
        journal
    }
}

impl ClientExpectation {
    /// The same, within so long by the time of the machine.
    pub fn within(mut self, time: Duration) -> Self {
        self.to_be.within = time;
        self
    }

    /// It is connected, or was since.
    ///
    /// # Panics
    ///
    /// As all of these, where it is not so in time.
    pub async fn to_connect(&self) {
        let handle = &self.to_be.handle;
        let waited = handle
            .wait_for_client(&self.client, self.to_be.within)
            .await;
        self.to_be.met(waited);
    }

    /// It has no connection any more. How its last one ended, if that is known.
    ///
    /// # Panics
    ///
    /// It has one.
    pub async fn to_disconnect(&self) -> Option<ConnectionEnd> {
        let handle = &self.to_be.handle;
        let waited = handle.wait_for_disconnect(&self.client, self.to_be.within);
        self.to_be.met(waited.await)
    }

    /// It subscribes to exactly this filter, `$share/NAME/` included where there is one.
    ///
    /// # Panics
    ///
    /// It does not.
    pub async fn to_subscribe(&self, filter: &str) {
        let handle = &self.to_be.handle;
        let waited = handle.wait_for_subscription_of(&self.client, filter, self.to_be.within);
        self.to_be.met(waited.await);
    }

    /// It sends such a packet; the first one. The journal has to be on.
    ///
    /// # Panics
    ///
    /// It does not, or the journal is off.
    pub async fn to_send(&self, packet: Match) -> JournalRow {
        let packet = packet.from_clients();
        self.one(packet, "is to send").await
    }

    /// Such a packet goes to it; the first one. The journal has to be on.
    ///
    /// # Panics
    ///
    /// None does, or the journal is off.
    pub async fn to_receive(&self, packet: Match) -> JournalRow {
        let packet = packet.to_clients();
        self.one(packet, "is to receive").await
    }

    /// It sends no such packet for as long as it would have had time to. The journal has to be on.
    ///
    /// # Panics
    ///
    /// It sends one, or the journal is off.
    pub async fn not_to_send(&self, packet: Match) {
        self.none(packet.from_clients(), "is not to send").await;
    }

    /// No such packet goes to it for as long as there would have been time to. The journal has to be on.
    ///
    /// # Panics
    ///
    /// One does, or the journal is off.
    pub async fn not_to_receive(&self, packet: Match) {
        self.none(packet.to_clients(), "is not to receive").await;
    }

    async fn one(&self, packet: Match, verb: &str) -> JournalRow {
        let packet = packet.client(self.client.clone());
        let wanted = self.wanted(verb, &packet);
        let (query, to_be) = (packet.into(), &self.to_be);
        let waited = to_be
            .journal()
            .wait(&query, to_be.since, 1, to_be.within)
            .await;
        match waited.map(|rows| rows.into_iter().next()) {
            Ok(Some(row)) => row,
            _ => to_be.fail(&format!("{wanted}, but did not within {:?}", to_be.within)),
        }
    }

    async fn none(&self, packet: Match, verb: &str) {
        let packet = packet.client(self.client.clone());
        let wanted = self.wanted(verb, &packet);
        let (query, to_be) = (packet.into(), &self.to_be);
        let journal = to_be.journal();
        if let Err(error) = journal
            .wait_for_none(&query, to_be.since, to_be.within)
            .await
        {
            to_be.fail(&format!("{wanted}, but {error}"));
        }
    }

    fn wanted(&self, verb: &str, packet: &Match) -> String {
        format!("client '{}' {verb} {packet}", self.client)
    }
}

impl GroupExpectation {
    /// The same, within so long by the time of the machine.
    pub fn within(mut self, time: Duration) -> Self {
        self.to_be.within = time;
        self
    }

    /// It has exactly so many members, connected or not.
    ///
    /// # Panics
    ///
    /// It has not.
    pub async fn to_have_members(&self, members: usize) {
        let (handle, within) = (&self.to_be.handle, self.to_be.within);
        let waited = handle.wait_for_members(&self.share, &self.filter, members, within);
        self.to_be.met(waited.await);
    }

    /// It has a member, and no message waits for one.
    ///
    /// # Panics
    ///
    /// There is none, or some do.
    pub async fn to_be_idle(&self) {
        let (handle, within) = (&self.to_be.handle, self.to_be.within);
        let waited = handle.wait_for_idle_group(&self.share, &self.filter, within);
        self.to_be.met(waited.await);
    }
}
