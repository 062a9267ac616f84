//! The messages of the journal, in the order in which they were published. It is not that of their rows: two PUBLISH
//! packets that come to two connections are written down first and published then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::codec::QoS;
use crate::message::publication::Publication;

use super::journal::{Entry, Journal, KEPT, Ring, SLICE};
use super::watch::Unseen;

/// A message that is published, as far as it is not in the packet of its row.
pub(super) struct Brought {
    topic: Box<str>,
    qos: QoS,
    retain: bool,
    expires_at: Option<Instant>,
    /// As they are forwarded.
    properties: Box<[u8]>,
    /// In the order in which they were published.
    number: u64,
    /// Where no packet has it.
    payload: Box<[u8]>,
    payload_len: usize,
}

impl Brought {
    fn by(entry: &Entry, publication: &Publication<'_>, number: u64) -> Self {
        let payload = match entry.is_event() && publication.payload.len() <= KEPT {
            true => publication.payload.to_vec(),
            false => Vec::new(),
        };
        Self {
            topic: publication.topic.into(),
            qos: publication.qos,
            retain: publication.retain,
            expires_at: publication.expires_at,
            properties: publication.properties.into(),
            number,
            payload: payload.into(),
            payload_len: publication.payload.len(),
        }
    }

    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.topic.len() + self.properties.len() + self.payload.len()
    }

    /// The message again, and the size of its payload where that is not kept.
    fn publication<'a>(&'a self, entry: &'a Entry) -> (Publication<'a>, Option<usize>) {
        let payload = match entry.is_event() {
            true => (self.payload.len() == self.payload_len).then_some(&*self.payload),
            // It is what the packet ends with.
            false => entry.packet_end(self.payload_len),
        };
        let mut publication = Publication::new(&self.topic, payload.unwrap_or_default(), self.qos);
        publication.properties = &self.properties;
        publication.retain = self.retain;
        publication.expires_at = self.expires_at;
        publication.row = entry.number();
        (publication, payload.is_none().then_some(self.payload_len))
    }
}

/// The messages of a ring of rows.
#[derive(Default)]
pub(super) struct Messages {
    /// The number of the last one that was published; the first one is 1.
    published: u64,
    /// The rows of the last ones, in order. Some of them may have made room.
    rows: VecDeque<u64>,
    /// The number of the last one whose row has made room.
    lost: u64,
    /// Who is shown each.
    readers: Vec<Arc<dyn MessageReader>>,
}

/// Reads the messages of the journal, each once and in the order in which they were published, under its lock.
pub(crate) trait MessageReader: Send + Sync {
    /// Takes the message of this number, from 1 on. Of a payload that is not kept there is the size (`left_out`).
    /// Whether it wants more.
    fn read(&self, publication: &Publication<'_>, number: u64, left_out: Option<usize>) -> bool;

    /// There are no more: the journal is off.
    fn end(&self);
}

/// A reader that is shown what is published, until this is dropped.
pub(crate) struct Reading<'a> {
    journal: &'a Journal,
    reader: Arc<dyn MessageReader>,
}

impl Journal {
    /// Writes to their rows that messages are published, as far as they have rows. Whether a reader wants no more.
    pub(super) fn note_messages(&self, run: &[Publication<'_>]) -> bool {
        if !self.is_on() {
            return false;
        }
        let mut ring = self.ring.lock();
        let with_rows = run.iter().filter(|one| one.row > 0);
        with_rows.fold(false, |is_over, one| ring.note_message(one) | is_over)
    }

    /// Has `reader` read the messages that were published behind the one of number `after` and whose rows are behind
    /// `since`: those that are kept, then those that come, until what is returned is dropped. It is shown messages of
    /// other rows besides.
    ///
    /// # Errors
    ///
    /// There may be others that are not kept, or the journal was off for a part of the time.
    pub(super) fn read_messages(
        &self,
        since: u64,
        after: u64,
        reader: Arc<dyn MessageReader>,
    ) -> Result<Reading<'_>, Unseen> {
        let mut after = after;
        loop {
            // Whoever writes a row waits for a part only. The last part and the entry in the list are one step.
            let mut ring = self.ring.lock();
            if !self.is_on() || ring.was_off_behind(since) {
                return Err(Unseen::Off);
            }
            let (lost, _) = ring.behind(since);
            if lost > 0 && ring.messages.lost > after {
                return Err(Unseen::Lost(lost));
            }
            let is_over = ring.show_messages(&mut after, &*reader);
            if is_over {
                ring.messages.readers.push(reader.clone());
                drop(ring);
                return Ok(Reading {
                    journal: self,
                    reader,
                });
            }
        }
    }
}

impl Ring {
    /// Whether a reader wants no more.
    fn note_message(&mut self, publication: &Publication<'_>) -> bool {
        self.messages.published += 1;
        let (number, row) = (self.messages.published, publication.row);
        self.messages.rows.push_back(row);
        let mut is_over = false;
        for reader in &self.messages.readers {
            is_over |= !reader.read(publication, number, None);
        }
        let is_forgotten = row <= self.forgotten;
        match self.find_mut(row) {
            Some(entry) => {
                let before = entry.size();
                entry.message = Some(Box::new(Brought::by(entry, publication, number)));
                let after = entry.size();
                self.bytes = self.bytes + after - before;
                self.make_room();
            }
            None if is_forgotten => {}
            None => self.messages.lost = number,
        }
        is_over
    }

    /// Shows a part of the messages behind `after`, and moves that. Whether there are no more, or none is wanted.
    fn show_messages(&self, after: &mut u64, reader: &dyn MessageReader) -> bool {
        let mut left = SLICE;
        for (number, row) in self.messages.behind(*after).take(SLICE) {
            *after = number;
            left -= 1;
            let entry = self.find(row);
            let message = entry.and_then(|entry| Some(entry.message.as_ref()?.publication(entry)));
            if let Some((publication, left_out)) = message
                && !reader.read(&publication, number, left_out)
            {
                return true;
            }
        }
        left > 0
    }
}

impl Messages {
    /// The numbers and rows of those behind a number, as far as they are kept.
    fn behind(&self, number: u64) -> impl Iterator<Item = (u64, u64)> {
        let before = self.published - self.rows.len() as u64;
        let first = number.clamp(before, self.published);
        let rows = self.rows.range((first - before) as usize..);
        (first + 1..).zip(rows.copied())
    }

    /// A row has made room; `left` is the first one that is there still.
    pub(super) fn lose(&mut self, entry: &Entry, left: u64) {
        if let Some(message) = &entry.message {
            self.lost = self.lost.max(message.number);
        }
        while self.rows.front().is_some_and(|row| *row < left) {
            self.rows.pop_front();
        }
    }

    /// Rows and messages are forgotten: none of them is lost.
    pub(super) fn forget(&mut self) {
        self.rows.clear();
        self.lost = 0;
    }

    /// Tells all who read that there are no more.
    pub(super) fn tell_of_end(&self) {
        self.readers.iter().for_each(|reader| reader.end());
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut ring = self.journal.ring.lock();
        let readers = &mut ring.messages.readers;
        readers.retain(|reader| !Arc::ptr_eq(reader, &self.reader));
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::super::journal::{Happened, JournalBounds};
    use super::*;

    /// The numbers and payloads that it was shown.
    #[derive(Default)]
    struct Reader {
        shown: Mutex<Vec<(u64, String)>>,
        wanted: usize,
    }

    impl MessageReader for Reader {
        fn read(&self, publication: &Publication<'_>, number: u64, _: Option<usize>) -> bool {
            let payload = String::from_utf8(publication.payload.to_vec()).expect("text");
            let mut shown = self.shown.lock();
            shown.push((number, payload));
            shown.len() < self.wanted
        }

        fn end(&self) {
            self.shown.lock().push((0, "end".into()));
        }
    }

    fn journal() -> Journal {
        let journal = Journal::default();
        journal.switch(true);
        journal
    }

    fn row(journal: &Journal) -> u64 {
        let (now, what) = (Instant::now(), Happened::default());
        journal.note(now, || {
            Entry::without_packets(1, "mqtt", "peer".into(), now, what)
        })
    }

    fn publish(journal: &Journal, row: u64) {
        let payload = row.to_string();
        let mut publication = Publication::new("t", payload.as_bytes(), QoS::AtMostOnce);
        publication.row = row;
        journal.note_messages(&[publication]);
    }

    /// What a reader is shown that wants so many.
    fn shown(journal: &Journal, after: u64, wanted: usize) -> Vec<(u64, String)> {
        let reader = Arc::new(Reader {
            wanted,
            ..Reader::default()
        });
        let reading = journal.read_messages(0, after, reader.clone());
        drop(reading.map_err(|unseen| unseen.to_string()).expect("all"));
        std::mem::take(&mut *reader.shown.lock())
    }

    fn list<const N: usize>(shown: [(u64, u64); N]) -> Vec<(u64, String)> {
        let shown = shown.into_iter();
        shown
            .map(|(number, row)| (number, row.to_string()))
            .collect()
    }

    #[test]
    fn whoever_goes_on_behind_a_message_misses_none_of_an_earlier_row() {
        let journal = journal();
        let (first, second) = (row(&journal), row(&journal));
        publish(&journal, second);
        assert_eq!(shown(&journal, 0, 9), list([(1, second)]));
        publish(&journal, first);
        assert_eq!(shown(&journal, 1, 9), list([(2, first)]));
        assert_eq!(shown(&journal, 0, 1), list([(1, second)]));
        assert_eq!(shown(&journal, 2, 9), []);
        assert_eq!(shown(&journal, u64::MAX, 9), []);
    }

    #[test]
    fn reader_is_shown_what_is_there_and_what_comes_until_the_end() {
        let journal = journal();
        for _ in 0..2 * SLICE {
            publish(&journal, row(&journal));
        }
        let reader = Arc::new(Reader {
            wanted: usize::MAX,
            ..Reader::default()
        });
        let reading = journal.read_messages(0, SLICE as u64, reader.clone());
        publish(&journal, row(&journal));
        journal.switch(false);
        let numbers: Vec<_> = reader.shown.lock().iter().map(|shown| shown.0).collect();
        let expected = SLICE as u64 + 1..=2 * SLICE as u64 + 1;
        assert_eq!(numbers, expected.chain([0]).collect::<Vec<_>>());
        drop(reading);
        journal.switch(true);
        publish(&journal, row(&journal));
        assert_eq!(reader.shown.lock().len(), SLICE + 2);
    }

    #[test]
    fn only_messages_that_were_to_be_read_are_lost() {
        let journal = journal();
        journal.set_bounds(JournalBounds {
            rows: 3,
            ..JournalBounds::default()
        });
        let read = |since, after| {
            let reader = Arc::new(Reader::default());
            journal.read_messages(since, after, reader).map(drop)
        };
        let rows = [(); 3].map(|()| row(&journal));
        publish(&journal, rows[1]);
        publish(&journal, rows[0]);
        row(&journal);
        assert_eq!(read(0, 0), Err(Unseen::Lost(1)), "the second one");
        assert_eq!(read(1, 0), Ok(()), "its row is not meant");
        assert_eq!(read(0, 2), Ok(()), "it was read before");
        row(&journal);
        assert_eq!(read(1, 0), Err(Unseen::Lost(1)), "the first one");
        row(&journal);
        assert_eq!(
            read(2, 0),
            Err(Unseen::Lost(1)),
            "a row that may have had one"
        );
        publish(&journal, rows[2]);
        assert_eq!(read(0, 2), Err(Unseen::Lost(3)), "its row was not there");
        assert!(journal.ring.lock().messages.rows.len() <= 3);
        journal.clear();
        assert_eq!(read(0, 0), Ok(()));
        publish(&journal, rows[2]);
        assert_eq!(read(0, 0), Ok(()), "it was to be forgotten");
        assert!(journal.ring.lock().messages.rows.len() <= 1);
    }
}
