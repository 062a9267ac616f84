//! Log lines on their way to standard error.
//!
//! A thread of its own writes them: whoever started the program may never read them, and a broker that
//! waits for a full pipe serves nobody.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Lines that wait while standard error takes none; more are dropped and counted.
const WAITING_LINES: usize = 8192;

/// For what is left to write when the program ends.
const FLUSH_LIMIT: Duration = Duration::from_millis(200);

enum Entry {
    Line(Vec<u8>),
    /// Answered once everything before it is written.
    Flush(SyncSender<()>),
}

/// Takes lines and never waits.
#[derive(Clone)]
pub(super) struct Log {
    entries: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Log {
    /// Starts the thread that writes to `output`.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (entries, received) = sync_channel(WAITING_LINES);
        let dropped = Arc::<AtomicU64>::default();
        let counted = dropped.clone();
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write_entries(output, &received, &counted))?;
        Ok(Self { entries, dropped })
    }

    /// Waits until everything so far is written, if somebody takes it.
    pub(super) fn finish(&self) {
        let (done, written) = sync_channel(1);
        if self.entries.try_send(Entry::Flush(done)).is_ok() {
            // Lines that nobody reads in time are lost.
            let _ = written.recv_timeout(FLUSH_LIMIT);
        }
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let entry = Entry::Line(line.to_vec());
        if let Err(TrySendError::Full(_)) = self.entries.try_send(entry) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_entries(mut output: impl Write, received: &Receiver<Entry>, dropped: &AtomicU64) {
    for entry in received {
        // Whoever closed the output wants no lines, and who gave up waiting no answer.
        match entry {
            Entry::Line(line) => drop(output.write_all(&line)),
            Entry::Flush(done) => drop(done.send(())),
        }
        let dropped = dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let note = format!("{dropped} log lines dropped: nobody read them\n");
            drop(output.write_all(note.as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Hands out what it takes, once it is let.
    struct Gate {
        open: Receiver<()>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // Once opened for good it stays open.
            let _ = self.open.recv();
            self.taken.send(line.to_vec()).unwrap();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_takes_are_dropped_and_counted() {
        let (opener, open) = channel();
        let (taken, lines) = channel();
        let mut log = Log::start(Gate { open, taken }).unwrap();
        for number in 0..WAITING_LINES + 10 {
            log.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        log.finish();
        drop((opener, log));
        let lines: Vec<String> = lines
            .iter()
            .map(|line| String::from_utf8(line).unwrap())
            .collect();
        let text = lines.concat();
        assert!(text.starts_with("0\n"), "{text:.100}");
        // The thread had taken one line, or none.
        let notes = text
            .lines()
            .filter(|line| line.contains("log lines dropped"));
        let counts = notes.map(|note| note.split(' ').next().unwrap().parse::<usize>().unwrap());
        let dropped: usize = counts.sum();
        assert!((9..=10).contains(&dropped), "{dropped}");
        let last = format!("\n{}\n", WAITING_LINES + 9 - dropped);
        assert!(text.contains(&last), "no {last:?}");
    }

    #[test]
    fn output_that_fails_harms_nobody() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _line: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut log = Log::start(Closed).unwrap();
        for _ in 0..3 {
            log.write_all(b"line\n").unwrap();
        }
        log.finish();
    }
}
