//! Log lines on their way to standard error.
//!
//! A thread of its own writes them: whoever started the program may never read them, and a broker that
//! waits for a full pipe serves nobody.

mod filter;
mod line;
mod value;

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use roundel::config::LogFormat;
use tracing_subscriber::EnvFilter;

pub(super) use self::filter::parse as parse_filter;
pub(super) use self::value::printing;

use self::line::Lines;

/// Lines that wait while standard error takes none; more are dropped and counted.
const WAITING_LINES: usize = 8192;

/// Bytes of such lines. Peers choose what stands in them, so this is what they can make a log hold.
const WAITING_BYTES: usize = 1 << 20;

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
    /// Without a bound of its own: that would take the memory of a full queue at the start.
    entries: Sender<Entry>,
    queue: Arc<Queue>,
}

/// What the two ends of the queue know of each other.
#[derive(Default)]
struct Queue {
    /// Lines in it, and the one that is written.
    lines: AtomicUsize,
    /// Bytes of these.
    bytes: AtomicUsize,
    /// Lines that did not get in, since the last note of it.
    dropped: AtomicU64,
}

impl Log {
    /// Sends what the program logs to standard error.
    pub(super) fn install(filter: EnvFilter, format: LogFormat) -> io::Result<Self> {
        let lines = Lines {
            format,
            colour: format == LogFormat::Text && io::stderr().is_terminal(),
        };
        let log = Self::start(io::stderr(), lines)?;
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || writer.clone())
            .event_format(lines)
            .init();
        Ok(log)
    }

    /// Starts the thread that writes to `output`.
    fn start(output: impl Write + Send + 'static, lines: Lines) -> io::Result<Self> {
        let (entries, received) = channel();
        let queue = Arc::<Queue>::default();
        let shared = queue.clone();
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write_entries(output, &received, &shared, lines))?;
        Ok(Self { entries, queue })
    }

    /// Waits until everything so far is written, if somebody takes it.
    pub(super) fn finish(&self) {
        let (done, written) = sync_channel(1);
        if self.entries.send(Entry::Flush(done)).is_ok() {
            // Lines that nobody reads in time are lost.
            let _ = written.recv_timeout(FLUSH_LIMIT);
        }
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !self.queue.enter(line) || self.entries.send(Entry::Line(line.to_vec())).is_err() {
            self.queue.leave(line);
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    /// Counts a line. Whether there is room for it.
    fn enter(&self, line: &[u8]) -> bool {
        let lines = self.lines.fetch_add(1, Ordering::Relaxed) + 1;
        let before = self.bytes.fetch_add(line.len(), Ordering::Relaxed);
        lines <= WAITING_LINES && before.saturating_add(line.len()) <= WAITING_BYTES
    }

    /// Counts it no more.
    fn leave(&self, line: &[u8]) {
        self.lines.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(line.len(), Ordering::Relaxed);
    }
}

fn write_entries(mut output: impl Write, received: &Receiver<Entry>, queue: &Queue, lines: Lines) {
    for entry in received {
        // Whoever closed the output wants no lines, and who gave up waiting no answer.
        match entry {
            Entry::Line(line) => {
                drop(output.write_all(&line));
                queue.leave(&line);
            }
            Entry::Flush(done) => drop(done.send(())),
        }
        let dropped = queue.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let note = lines.note("log lines dropped: nobody read them", "lines", dropped);
            drop(output.write_all(note.as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
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

    const LINES: Lines = Lines {
        format: LogFormat::Text,
        colour: false,
    };

    /// The numbers in notes about lines that were dropped, summed up.
    fn dropped(text: &str) -> usize {
        let notes = text
            .lines()
            .filter_map(|line| line.split_once("log lines dropped: nobody read them lines="));
        notes
            .map(|(_, count)| count.parse::<usize>().unwrap())
            .sum()
    }

    #[test]
    fn lines_that_nobody_takes_are_dropped_and_counted() {
        let (opener, open) = channel();
        let (taken, lines) = channel();
        let mut log = Log::start(Gate { open, taken }, LINES).unwrap();
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
        let dropped = dropped(&text);
        assert!((9..=10).contains(&dropped), "{dropped}");
        let last = format!("\n{}\n", WAITING_LINES + 9 - dropped);
        assert!(text.contains(&last), "no {last:?}");
    }

    #[test]
    fn long_lines_that_nobody_takes_are_dropped_by_their_bytes() {
        const LONG: usize = 10_000;
        let (opener, open) = channel();
        let (taken, lines) = channel();
        let mut log = Log::start(Gate { open, taken }, LINES).unwrap();
        let count = WAITING_BYTES / LONG + 50;
        for _ in 0..count {
            log.write_all(&[b'x'; LONG]).unwrap();
        }
        assert!(log.queue.bytes.load(Ordering::Relaxed) <= WAITING_BYTES);
        log.finish();
        let queue = log.queue.clone();
        drop((opener, log));
        let text: Vec<u8> = lines.iter().flatten().collect();
        let text = String::from_utf8(text).unwrap().replace('x', "");
        assert_eq!(dropped(&text), 50, "{text}");
        assert_eq!(queue.bytes.load(Ordering::Relaxed), 0);
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
        let mut log = Log::start(Closed, LINES).unwrap();
        for _ in 0..3 {
            log.write_all(b"line\n").unwrap();
        }
        log.finish();
    }
}
