//! A connection in small: an outbox with a writer, a link that may be full, busy or broken, and an
//! owner.
//!
//! The owner looks at its signal a few times while the others run, at any moments, and then as often as
//! the signal is set. It does not look without being told: bytes that are left then are a wake-up lost.

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use loom::sync::Arc;
use loom::thread;

use crate::signal::Signal;
use crate::sync::Mutex;
use crate::writer::{Bytes, Left, Mailbox, Outcome, Place, Reported, Write, Writer, write};

/// Preemptions of one thread by another that three threads are tried with; two are tried with all.
const PREEMPTIONS: usize = 3;

/// Looks that the owner takes while the others run.
const LOOKS: usize = 2;

#[derive(Default, Debug)]
struct Text(Vec<u8>);

impl Bytes for Text {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn put_back(&mut self, front: Self) {
        self.0.splice(0..0, front.0);
    }
}

/// What the link does with a write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Habit {
    Takes,
    /// Takes a byte and is full until the owner finds that it has room.
    Fills,
    /// Somebody is busy with it.
    Busy,
    /// Takes a byte, and others are to have their turn.
    Slow,
    Breaks,
}

/// The link of a connection.
struct Line {
    wire: Mutex<Wire>,
    signal: Signal,
    mailbox: Mailbox<Text, ()>,
}

#[derive(Default)]
struct Wire {
    sent: Vec<u8>,
    /// What the next writes find, the last one first; then it takes all.
    habits: Vec<Habit>,
    is_broken: bool,
}

impl Line {
    fn try_write(&self, bytes: &mut Text) -> Outcome {
        let mut wire = self.wire.lock();
        let habit = wire.habits.pop().unwrap_or(Habit::Takes);
        match habit {
            Habit::Takes => wire.sent.append(&mut bytes.0),
            Habit::Fills | Habit::Slow => wire.sent.push(bytes.0.remove(0)),
            Habit::Busy => return Outcome::Deferred,
            Habit::Breaks => {
                wire.is_broken = true;
                return Outcome::Broken;
            }
        }
        match habit {
            _ if bytes.0.is_empty() => Outcome::Done,
            Habit::Fills => Outcome::Full,
            _ => Outcome::More,
        }
    }
}

/// A session's outbox: the writer, as long as the connection has the session.
struct Session {
    outbox: Mutex<Outbox>,
}

struct Outbox {
    connected: Option<(Arc<Line>, Writer<Text>)>,
    /// Bytes appended so far, which number them.
    appended: u8,
}

impl Place for Session {
    type Bytes = Text;
    type Link = Arc<Line>;

    fn take(&self) -> Option<Write<Arc<Line>, Text>> {
        let mut outbox = self.outbox.lock();
        let (link, writer) = outbox.connected.as_mut()?;
        Some(Write {
            bytes: writer.take()?,
            link: link.clone(),
            epoch: 1,
        })
    }

    fn write(link: &Arc<Line>, bytes: &mut Text) -> Outcome {
        link.try_write(bytes)
    }

    fn report(&self, write: Write<Arc<Line>, Text>, outcome: Outcome) -> Reported {
        match &mut self.outbox.lock().connected {
            Some((_, writer)) => {
                writer.report(write.bytes, outcome);
                Reported::Here
            }
            None => {
                write.link.mailbox.report(write.bytes, outcome);
                Reported::Retired
            }
        }
    }

    fn wake(link: &Arc<Line>) {
        link.signal.set();
    }
}

/// What a publisher does after it appended a byte and undertook to write it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    /// It writes.
    Write,
    /// Its turn does not come to an end: it leaves the write to the owner.
    Leave,
}

impl Session {
    fn publish(&self, act: Act) {
        let undertaken = {
            let mut outbox = self.outbox.lock();
            let Outbox {
                connected,
                appended,
            } = &mut *outbox;
            let Some((_, writer)) = connected else {
                return;
            };
            writer.bytes().0.push(*appended);
            *appended += 1;
            writer.undertake()
        };
        match (undertaken, act) {
            (false, _) => {}
            (true, Act::Write) => while write(self, &mut 0) == Left::More {},
            (true, Act::Leave) => {
                let link = {
                    let mut outbox = self.outbox.lock();
                    let connected = outbox.connected.as_mut();
                    connected.and_then(|(link, writer)| {
                        let is_left = writer.leave_to_owner();
                        is_left.then(|| link.clone())
                    })
                };
                if let Some(link) = link {
                    link.signal.set();
                }
            }
        }
    }

    /// The session leaves the connection: a takeover, a kick, a stop.
    fn leave(&self) {
        let mut outbox = self.outbox.lock();
        if let Some((link, writer)) = outbox.connected.take() {
            // Under the lock: a report that comes in between would find neither.
            link.mailbox.retire(writer, ());
            link.signal.set();
        }
    }

    /// The owner was told to look: at the mailbox, then at the outbox.
    fn look(&self, line: &Arc<Line>) {
        if let Some(mut farewell) = line.mailbox.take() {
            farewell.writer.has_room();
            while let Some(mut bytes) = farewell.writer.take() {
                let outcome = line.try_write(&mut bytes);
                farewell.writer.report(bytes, outcome);
                farewell.writer.has_room();
            }
            return;
        }
        let is_broken = {
            let mut outbox = self.outbox.lock();
            match &mut outbox.connected {
                Some((_, writer)) if writer.is_broken() => true,
                Some((_, writer)) => {
                    // Whoever was told that the link is full finds room again some time.
                    writer.has_room();
                    false
                }
                None => false,
            }
        };
        match is_broken {
            true => self.leave(),
            false => while write(self, &mut 0) == Left::More {},
        }
    }
}

/// What a thread beside the owner does.
#[derive(Clone, Copy, Debug)]
enum Thread {
    Publish(&'static [Act]),
    /// Ends the connection's hold on the session.
    End,
}

/// Runs the threads beside the owner, which is the model's first. Returns the number of interleavings.
fn check(threads: &'static [Thread], habits: &'static [Habit]) -> usize {
    let runs = StdArc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = (threads.len() > 1).then_some(PREEMPTIONS);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        run(threads, habits);
    });
    runs.load(Ordering::Relaxed)
}

fn run(threads: &'static [Thread], habits: &'static [Habit]) {
    let line = Arc::new(Line {
        wire: Mutex::new(Wire {
            habits: habits.to_vec(),
            ..Wire::default()
        }),
        signal: Signal::default(),
        mailbox: Mailbox::default(),
    });
    let session = Arc::new(Session {
        outbox: Mutex::new(Outbox {
            connected: Some((line.clone(), Writer::default())),
            appended: 0,
        }),
    });
    let threads: Vec<_> = threads
        .iter()
        .map(|what| {
            let session = session.clone();
            thread::spawn(move || match what {
                Thread::Publish(acts) => acts.iter().for_each(|act| session.publish(*act)),
                Thread::End => session.leave(),
            })
        })
        .collect();
    let waker = Waker::from(StdArc::new(Bell));
    for _ in 0..LOOKS {
        if line.signal.take(&waker) {
            session.look(&line);
        }
    }
    for thread in threads {
        thread.join().expect("no thread panics");
    }
    while line.signal.take(&waker) {
        session.look(&line);
    }
    let wire = line.wire.lock();
    let outbox = session.outbox.lock();
    if !wire.is_broken {
        let appended: Vec<u8> = (0..outbox.appended).collect();
        assert_eq!(wire.sent, appended, "every byte, once and in order");
    }
}

/// Nobody sleeps here: the model asks the signal itself.
struct Bell;

impl Wake for Bell {
    fn wake(self: StdArc<Self>) {}
}

/// Every habit alone, and pairs of those that leave something to be done.
const HABITS: &[&[Habit]] = &[
    &[],
    &[Habit::Fills],
    &[Habit::Busy],
    &[Habit::Slow],
    &[Habit::Breaks],
    &[Habit::Busy, Habit::Busy],
    &[Habit::Fills, Habit::Busy],
    &[Habit::Busy, Habit::Fills],
    &[Habit::Takes, Habit::Busy],
    &[Habit::Busy, Habit::Takes],
];

fn check_all(name: &str, threads: &'static [Thread]) {
    let mut total = 0;
    for habits in HABITS {
        let runs = check(threads, habits);
        println!("{name}, link {habits:?}: {runs} interleavings");
        total += runs;
    }
    println!("{name}: {total} interleavings");
}

#[test]
fn one_publisher_and_the_owner_lose_nothing() {
    check_all(
        "publisher and owner",
        &[Thread::Publish(&[Act::Write, Act::Write])],
    );
}

#[test]
fn a_publisher_that_leaves_its_writes_to_the_owner_loses_nothing() {
    check_all(
        "publisher that leaves writes",
        &[Thread::Publish(&[Act::Leave, Act::Write])],
    );
}

#[test]
fn two_publishers_and_the_owner_lose_nothing() {
    check_all(
        "two publishers and owner",
        &[
            Thread::Publish(&[Act::Write, Act::Write]),
            Thread::Publish(&[Act::Write]),
        ],
    );
}

#[test]
fn two_publishers_of_which_one_leaves_its_writes_lose_nothing() {
    check_all(
        "two publishers, one leaves writes",
        &[
            Thread::Publish(&[Act::Leave]),
            Thread::Publish(&[Act::Write]),
        ],
    );
}

#[test]
fn bytes_of_a_connection_that_its_session_leaves_reach_the_owner() {
    check_all("owner and the end", &[Thread::End]);
    check_all(
        "publisher, owner and the end",
        &[Thread::Publish(&[Act::Write]), Thread::End],
    );
    check_all(
        "publisher that leaves writes, owner and the end",
        &[Thread::Publish(&[Act::Leave]), Thread::End],
    );
}
