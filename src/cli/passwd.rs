//! `roundel passwd`: from a password to the lines for the configuration file.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use roundel::PasswordHash;

use super::failure::Failure;

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

/// One line, without its end.
fn read_line() -> io::Result<Vec<u8>> {
    let input = io::stdin().lock();
    if input.is_terminal() {
        eprint!("Password (will be seen): ");
    }
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
