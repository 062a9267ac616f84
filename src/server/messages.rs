//! Messages that a program looks at without being a subscriber.

use std::time::Duration;

use crate::broker::{Capturing, PageOf, Subject};
use crate::local::{Message, Refused};
use crate::tap::watch::Unseen;
use crate::topic::Filter;

use super::{Handle, WaitError};

/// Retained messages at a time.
const PAGE: usize = 1000;

/// Messages.
///
/// ```
/// use std::time::Duration;
///
/// use roundel::{Config, Message, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::start(Config::standard().ephemeral()).await?;
/// let captured = server.wait_for_messages("cars/+", 1, Duration::from_secs(5))?;
/// server.publish(&Message::new("cars/1", "on").retained())?;
/// assert_eq!(captured.await?, server.retained(None)?);
/// # Ok(())
/// # }
/// ```
impl Handle {
    /// The retained messages whose topics the filter matches, or all of them, by topic.
    ///
    /// # Errors
    ///
    /// A filter that is not valid, or shared.
    pub fn retained(&self, filter: Option<&str>) -> Result<Vec<Message>, Refused> {
        filter.map_or(Ok(()), check)?;
        let engine = &self.shared.engine;
        let (mut found, mut after) = (Vec::<Message>::new(), None::<String>);
        loop {
            let page = PageOf {
                after: after.as_deref(),
                containing: None,
                limit: PAGE,
            };
            let now = engine.clock.now().now;
            let page = engine.broker.retained_page(filter, &page, now);
            let Some(last) = page.entries.last() else {
                return Ok(found);
            };
            after = Some(last.message.topic().to_owned());
            found.extend(
                page.entries
                    .iter()
                    .map(|kept| Message::of(&kept.message, now)),
            );
        }
    }

    /// Captures the first `count` messages on a filter, whoever publishes them, and waits for them. It begins when this
    /// is called, not when what it returns is first polled. A capture is no client: it takes no turn in a group, and no
    /// publisher is told that somebody subscribes. Messages are as they were published.
    ///
    /// Payloads of 1 MiB in all are kept, those beyond are empty; and 4 MiB of everything else.
    ///
    /// # Errors
    ///
    /// A filter that is not valid, or shared. The wait fails when the time is up, and when the broker stops.
    pub fn wait_for_messages(
        &self,
        filter: &str,
        count: usize,
        within: Duration,
    ) -> Result<impl Future<Output = Result<Vec<Message>, WaitError>> + Send, Refused> {
        check(filter)?;
        let broker = &self.shared.engine.broker;
        let captured = self.captured(broker.capture(filter, count), within, move || {
            wanted(filter, count)
        });
        Ok(captured)
    }

    /// The same for messages of rows of the journal behind `since`: those that were published by now come first, in the
    /// order in which they were, and more are waited for. Of payloads beyond 64 KiB the journal keeps nothing.
    ///
    /// # Errors
    ///
    /// As [`wait_for_messages`](Self::wait_for_messages). The wait fails at once when the journal was off behind `since`,
    /// and when messages behind it have made room; and as soon as the journal is off.
    pub fn wait_for_messages_since(
        &self,
        filter: &str,
        since: u64,
        count: usize,
        within: Duration,
    ) -> Result<impl Future<Output = Result<Vec<Message>, WaitError>> + Send, Refused> {
        check(filter)?;
        let capturing = self
            .shared
            .engine
            .broker
            .capture_since(filter, (since, 0), count);
        Ok(async move {
            let capturing = capturing.map_err(not_in_journal)?;
            self.captured(capturing, within, || wanted(filter, count))
                .await
        })
    }

    /// Waits until a capture has all that it was to have.
    async fn captured(
        &self,
        capturing: Capturing<'_>,
        within: Duration,
        wanted: impl FnOnce() -> String,
    ) -> Result<Vec<Message>, WaitError> {
        self.wait(
            within,
            &[Subject::Captures],
            |_| capturing.is_done().then_some(()),
            |_| None,
            wanted,
            |_| format!("{} came", capturing.messages().map_or(0, |all| all.len())),
        )
        .await?;
        let now = self.shared.engine.clock.now().now;
        let captured = capturing.messages().map_err(not_in_journal)?;
        let captured = captured.iter();
        Ok(captured.map(|one| Message::of(&one.message, now)).collect())
    }
}

fn not_in_journal(unseen: Unseen) -> WaitError {
    WaitError::NotInJournal {
        what: "which were the first",
        reason: unseen.to_string(),
    }
}

fn wanted(filter: &str, count: usize) -> String {
    match count {
        1 => format!("a message on '{filter}' is to be published"),
        count => format!("{count} messages on '{filter}' are to be published"),
    }
}

/// Whether a filter may be held against topics.
fn check(filter: &str) -> Result<(), Refused> {
    match Filter::parse(filter) {
        Ok(Filter { share: None, .. }) => Ok(()),
        Ok(_) => Err(Refused::filter(format!("filter '{filter}' is shared"))),
        Err(error) => Err(Refused::filter(format!("filter '{filter}': {error}"))),
    }
}
