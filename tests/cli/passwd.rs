//! `roundel passwd`.

use std::io::Write as _;
use std::process::{Output, Stdio};

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

#[test]
fn no_password_is_no_password() {
    let output = passwd(&["passwd", "a"], "\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}
