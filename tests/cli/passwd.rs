//! `roundel passwd`.

use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};

use roundel::{Config, PasswordHash};

use super::roundel;

fn passwd(line: &[&str], input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut child = roundel(folder.path(), line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_printed_entry_lets_the_user_in() {
    let output = passwd(&["passwd", "an\"na"], "se cret\n");
    assert!(output.status.success());
    let entry = String::from_utf8(output.stdout).unwrap();
    let config = Config::from_toml_str(&format!("profile = 'standard'\n{entry}")).unwrap();
    assert_eq!(config.users[0].name, "an\"na");
    let hash: PasswordHash = config.users[0].password_hash.parse().unwrap();
    assert!(hash.verify(b"se cret"));
    assert!(!hash.verify(b"se cret\n"));
}

#[test]
fn one_password_gives_two_hashes() {
    let [first, second] = [(), ()].map(|()| passwd(&["passwd", "a"], "secret\n").stdout);
    assert_ne!(first, second);
}

/// `script` gives the program a terminal, and prints all that shows there.
#[test]
fn terminal_shows_nothing_of_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("script");
    let line = format!("{} passwd ann", env!("CARGO_BIN_EXE_roundel"));
    command.args([
        "--quiet",
        "--echo",
        "always",
        "--return",
        "--command",
        &line,
    ]);
    command.arg("/dev/null").current_dir(folder.path());
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = streams.spawn() else {
        println!("skipped: there is no `script`");
        return;
    };
    let mut output = child.stdout.take().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut shown = Vec::new();
    // What is typed before it asks shows as ever.
    while !shown.ends_with(b"Password: ") {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).unwrap(), 1, "{shown:?}");
        shown.push(byte[0]);
    }
    input.write_all(b"hidden words\n").unwrap();
    output.read_to_end(&mut shown).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    assert!(child.wait().unwrap().success(), "{shown}");
    assert!(!shown.contains("hidden"), "{shown}");
    let (_, entry) = shown.split_once("[[users]]").unwrap();
    let text = format!("profile = 'standard'\n[[users]]{}", entry.replace('\r', ""));
    let config = Config::from_toml_str(&text).unwrap();
    let hash: PasswordHash = config.users[0].password_hash.parse().unwrap();
    assert!(hash.verify(b"hidden words"));
}

#[test]
fn no_password_is_no_password() {
    let output = passwd(&["passwd", "a"], "\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}
