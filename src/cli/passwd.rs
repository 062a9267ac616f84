//! `roundel passwd`: from a password to the lines for the configuration file.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use roundel::PasswordHash;

use super::failure::Failure;

#[cfg(unix)]
mod hidden {
    //! A terminal that shows nothing of what is typed.

    use std::io;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
    use tokio::signal::unix::{SignalKind, signal};

    /// Has the terminal as it was, whatever ends the reading.
    struct Shown(Termios);

    impl Drop for Shown {
        fn drop(&mut self) {
            // There is nobody to tell if it fails: it is gone then.
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
            eprintln!();
        }
    }

    pub(super) fn read_line(read: fn() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let read = runtime.block_on(async {
            // Ctrl-C gives the terminal back first; who reads may have to be left behind.
            let mut interrupted = signal(SignalKind::interrupt())?;
            let before = tcgetattr(io::stdin())?;
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO);
            tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
            let _shown = Shown(before);
            eprint!("Password: ");
            let reading = tokio::task::spawn_blocking(read);
            tokio::select! {
                _ = interrupted.recv() => Err(io::ErrorKind::Interrupted.into()),
                read = reading => read.unwrap_or_else(|broken| Err(io::Error::other(broken))),
            }
        });
        runtime.shutdown_background();
        read
    }
}

#[cfg(not(unix))]
mod hidden {
    use std::io;

    pub(super) fn read_line(read: fn() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        eprint!("Password (will be seen): ");
        read()
    }
}

/// The longest password of the protocol.
const PASSWORD_MAX: u64 = 65_535;

pub(crate) fn run(name: &str) -> Result<(), Failure> {
    let password = read_line()
        .map_err(|error| Failure::refused(format!("cannot read standard input: {error}")))?;
    if password.is_empty() {
        return Err(Failure::misused(
            "there is no password on standard input".to_owned(),
        ));
    }
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt)
        .map_err(|_| Failure::refused("the machine gave no random bytes".to_owned()))?;
    let hash = PasswordHash::new(&password, &salt);
    let name = toml::Value::from(name);
    super::print(&format!(
        "[[users]]\nname = {name}\npassword_hash = \"{hash}\"\n"
    ))
}

/// One line, without its end; from a terminal it is not shown.
fn read_line() -> io::Result<Vec<u8>> {
    match io::stdin().is_terminal() {
        true => hidden::read_line(read_from_input),
        false => read_from_input(),
    }
}

fn read_from_input() -> io::Result<Vec<u8>> {
    let input = io::stdin().lock();
    let mut line = Vec::new();
    input.take(PASSWORD_MAX + 2).read_until(b'\n', &mut line)?;
    if line.ends_with(b"\n") {
        line.pop();
    }
    if line.ends_with(b"\r") {
        line.pop();
    }
    Ok(line)
}
