//! A store of authorities that a test may change: that of the machine stays as it is.

#![allow(dead_code, reason = "every test binary uses a part of its own")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A store of three authorities lies over that of Debian, and no hook runs: some take seconds. It ends when
/// its standard input does.
const SCRIPT: &str = "
cd \"$1\"
mkdir local certs
grep '^mozilla/' /etc/ca-certificates.conf | head -n 3 >conf
mount --bind local /usr/local/share/ca-certificates
mount --bind certs /etc/ssl/certs
mount --bind conf /etc/ca-certificates.conf
mount -t tmpfs none /etc/ca-certificates/update.d
update-ca-certificates >/dev/null 2>&1
echo ready
exec cat";

/// What Debian makes its store with.
pub(crate) const UPDATE: &str = "/usr/sbin/update-ca-certificates";

#[expect(
    clippy::print_stdout,
    reason = "who reads the tests' output is to know"
)]
pub(crate) fn skip(why: &str) {
    println!("skipped: {why}");
}

/// A mount namespace with a store of its own.
pub(crate) struct Namespace {
    /// With the folders of the store: `local` and `certs`.
    pub(crate) folder: tempfile::TempDir,
    holder: Child,
}

impl Namespace {
    /// None where the system has no such store, or allows no namespaces; that is said.
    pub(crate) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for program in [UPDATE, "/usr/bin/openssl", "/usr/bin/curl"] {
            if !Path::new(program).exists() {
                skip(&format!("there is no {program}"));
                return None;
            }
        }
        let spawned = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-euc"])
            .args([SCRIPT, "sh"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut holder) = spawned else {
            skip("there is no unshare");
            return None;
        };
        let mut line = String::new();
        let mut output = BufReader::new(holder.stdout.take().expect("its output"));
        output.read_line(&mut line).expect("a line");
        let namespace = Self { folder, holder };
        match line.as_str() {
            "ready\n" => Some(namespace),
            _ => {
                skip("no mount namespace can be made here");
                None
            }
        }
    }

    /// A program in it, in a folder.
    pub(crate) fn command(&self, folder: &Path, line: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--user", "--mount", "--preserve-credentials", "--target"])
            .arg(self.holder.id().to_string())
            .arg(format!("--wd={}", folder.display()))
            .args(line)
            .stdin(Stdio::null())
            .current_dir(folder);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
