//! Child processes: a broker, or a client that somebody else wrote.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a child may take for one step before the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A child process whose output is read line by line. It is killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Line>,
    seen: Vec<String>,
    errors: Vec<String>,
}

enum Line {
    Output(String),
    Error(String),
}

impl Process {
    /// Starts `command`; `name` stands for it in failures.
    pub(crate) fn start(name: impl Into<String>, command: &mut Command) -> Self {
        let name = name.into();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{name}: {:?}: {error}; tests/run installs it",
                    command.get_program()
                )
            });
        let (sender, lines) = channel();
        read_lines(child.stdout.take(), sender.clone(), Line::Output);
        read_lines(child.stderr.take(), sender, Line::Error);
        let input = child.stdin.take();
        Self {
            name,
            child,
            input,
            lines,
            seen: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line of standard output that `matches`, and returns it.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.next_line(until) {
                Some(line) if matches(&line) => return line,
                Some(_) => {}
                None => panic!("{what}: did not come{}", self.transcript()),
            }
        }
    }

    /// The next line of standard output; `None` at its end or when `until` has passed.
    pub(crate) fn next_line(&mut self, until: Instant) -> Option<String> {
        loop {
            match self
                .lines
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(Line::Output(line)) => {
                    self.seen.push(line.clone());
                    return Some(line);
                }
                Ok(Line::Error(line)) => self.errors.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// The lines of standard output that were read up to here.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    /// Hands every further line of standard output to `to`, together with `tag`.
    pub(crate) fn forward<T: Copy + Send + 'static>(&mut self, tag: T, to: Sender<(T, String)>) {
        let (_, nothing) = channel();
        let lines = std::mem::replace(&mut self.lines, nothing);
        let name = self.name.clone();
        thread::spawn(move || {
            for line in lines {
                let line = match line {
                    Line::Output(line) => line,
                    Line::Error(line) => {
                        eprintln!("{name}: {line}");
                        continue;
                    }
                };
                if to.send((tag, line)).is_err() {
                    // The test that wanted them is over.
                    break;
                }
            }
        });
    }

    /// Writes one line to standard input. A process that is gone is no error here.
    pub(crate) fn send(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            // The reader's end shows in its output, which the test looks at.
            let _ = writeln!(input, "{line}");
        }
    }

    /// Ends standard input.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// Ends standard input, waits for the end of the process and returns all lines that it printed.
    #[track_caller]
    pub(crate) fn finish(self) -> Vec<String> {
        self.finish_within(DEADLINE)
    }

    /// The same for a process that has many steps.
    #[track_caller]
    pub(crate) fn finish_within(mut self, within: Duration) -> Vec<String> {
        self.close_input();
        let status = self.wait_within(within);
        assert!(status.success(), "{status}{}", self.transcript());
        std::mem::take(&mut self.seen)
    }

    /// Sends SIGTERM, waits for the end of the process and returns all lines that it printed.
    #[track_caller]
    pub(crate) fn terminate(mut self) -> Vec<String> {
        self.wait_until_asleep();
        self.signal("TERM");
        self.wait();
        std::mem::take(&mut self.seen)
    }

    /// Sends SIGTERM, waits for the end of the process and returns all lines of its standard error.
    #[track_caller]
    pub(crate) fn terminate_for_errors(mut self) -> Vec<String> {
        self.signal("TERM");
        self.wait();
        std::mem::take(&mut self.errors)
    }

    /// Waits for the end of the process, however it ends.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.close_input();
        self.wait();
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is a child of this one")
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child
            .kill()
            .expect("the child was not waited for before");
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.id().to_string()])
            .status()
            .expect("kill is part of every Unix");
        assert!(status.success(), "kill -{name} {}: {status}", self.name);
    }

    /// Waits until the process has nothing to do.
    ///
    /// A line is here before its write has returned there. `mosquitto_sub` prints in its signal handler,
    /// and a signal at that moment makes it print that line once more.
    #[track_caller]
    fn wait_until_asleep(&self) {
        let until = Instant::now() + DEADLINE;
        let stat = format!("/proc/{}/stat", self.id());
        // Behind the name of the program, which may have spaces, comes the state: S is asleep.
        let is_asleep = || {
            let stat =
                fs::read_to_string(&stat).expect("a child that nobody waited for has a state");
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
            matches!(state, Some(Some('S' | 'Z')))
        };
        while !is_asleep() {
            assert!(Instant::now() < until, "busy{}", self.transcript());
            thread::yield_now();
        }
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        self.wait_within(DEADLINE)
    }

    fn wait_within(&mut self, within: Duration) -> ExitStatus {
        let until = Instant::now() + within;
        while self.next_line(until).is_some() {}
        assert!(Instant::now() < until, "still running{}", self.transcript());
        self.child
            .wait()
            .expect("the child was not waited for before")
    }

    /// Everything the process said, for a failure message.
    pub(crate) fn transcript(&self) -> String {
        let last = |lines: &[String]| lines[lines.len().saturating_sub(40)..].join("\n  ");
        format!(
            "\n{} printed:\n  {}\nand on standard error:\n  {}",
            self.name,
            last(&self.seen),
            last(&self.errors)
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process is gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines<R: Read + Send + 'static>(
    stream: Option<R>,
    lines: Sender<Line>,
    kind: fn(String) -> Line,
) {
    let stream = stream.expect("the stream was piped");
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(kind(line)).is_err() {
                break;
            }
        }
    });
}
