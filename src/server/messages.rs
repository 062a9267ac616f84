//! Messages that a program looks at without being a subscriber.

use std::time::Duration;

use crate::broker::{PageOf, Subject};
use crate::local::{Message, Refused};
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
        let engine = &self.shared.engine;
        let capturing = engine.broker.capture(filter, count);
        let wanted = match count {
            1 => format!("a message on '{filter}' is to be published"),
            count => format!("{count} messages on '{filter}' are to be published"),
        };
        Ok(async move {
            self.wait(
                within,
                &[Subject::Captures],
                |_| capturing.is_done().then_some(()),
                || wanted,
                |_| format!("{} came", capturing.messages().len()),
            )
            .await?;
            let now = engine.clock.now().now;
            let captured = capturing.messages();
            let captured = captured.iter();
            Ok(captured.map(|one| Message::of(&one.message, now)).collect())
        })
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
