//! `docs/sdk.md`: its programs and commands as they stand there, with the port of this broker, and once more
//! without a word of the CA, which the system's store has by then.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::{binary, file, python_folder, without_settings};
use crate::process::Process;
use crate::store::Namespace;
use crate::trial;

/// What follows the one line that the store makes needless.
const NOT_AFTER_INSTALL: &str = "not after roundel trust --install";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("sdk_page::as_it_stands", as_it_stands),
        trial(
            "sdk_page::with_the_ca_in_the_store",
            with_the_ca_in_the_store,
        ),
        trial(
            "sdk_page::with_the_variables_of_env",
            with_the_variables_of_env,
        ),
    ]
}

fn as_it_stands() {
    let stand = Stand::start(None, &[]);
    stand.run_programs(|program| program);
    stand.run("sh", &mosquitto());
}

/// The authority is a limited one, so that each of these clients is seen to take its certificates.
fn with_the_ca_in_the_store() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let stand = Stand::start(Some(namespace), &["trust", "--limited", "--install"]);
    stand.run_programs(|program| {
        let lines = program.lines();
        let lines = lines.filter(|line| !line.contains(NOT_AFTER_INSTALL));
        let shorter: Vec<_> = lines.collect();
        assert_eq!(shorter.len() + 1, program.lines().count(), "{program}");
        shorter.join("\n")
    });
    stand.run(
        "sh",
        &mosquitto().replace("--cafile certs/ca.pem", "--capath /etc/ssl/certs"),
    );
}

fn with_the_variables_of_env() {
    let stand = Stand::start(None, &[]);
    let eval = blocks("sh").find(|block| block.contains("roundel env"));
    let eval = eval.expect("the page evaluates it");
    let said = stand.run(
        "sh",
        &format!(
            "{eval}
             aws iot describe-endpoint --endpoint-type iot:Data-ATS --query endpointAddress --output text
             aws iot-data publish --topic rooms/1 --payload 21.5 && echo published"
        ),
    );
    assert_eq!(said, ["localhost", "published"]);
}

/// The blocks of a language, in the order of the page.
fn blocks(language: &str) -> impl Iterator<Item = String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sdk.md");
    let page = fs::read_to_string(path).expect("the page");
    let start = format!("\n```{language}\n");
    let blocks = page.split(&start).skip(1).map(|rest| {
        let (block, _) = rest.split_once("```").expect("a block ends");
        block.to_owned()
    });
    blocks.collect::<Vec<_>>().into_iter()
}

fn mosquitto() -> String {
    let block = blocks("sh").find(|block| block.starts_with("mosquitto_pub"));
    block.expect("the page has a command of mosquitto")
}

/// A folder as the page has it, with a broker, in a store of its own or without one.
struct Stand {
    // Fields are dropped in this order: the process first, then its folder.
    broker: Process,
    folder: TempDir,
    namespace: Option<Namespace>,
    port: String,
}

impl Stand {
    /// Starts the broker of the page after a command of this program, which may be none.
    fn start(namespace: Option<Namespace>, before: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("bin")).expect("a folder");
        symlink(binary(), folder.path().join("bin/roundel")).expect("a link");
        symlink(file("node_modules"), folder.path().join("node_modules")).expect("a link");
        let command = |line: &str| shell(namespace.as_ref(), folder.path(), line);
        if !before.is_empty() {
            let line = format!("roundel {}", before.join(" "));
            Process::start("roundel", &mut command(&line)).finish();
        }
        let start = blocks("sh").next().expect("the page starts a broker");
        let flags = "--ready json --mqtts-port 0 --http-port 0 --die-with-parent";
        let start = start.replace("roundel serve", &format!("exec roundel serve {flags}"));
        let mut broker = Process::start("roundel", &mut command(&start));
        let ready = broker.wait_for("the ready line", |line| line.starts_with('{'));
        let ready: Value = serde_json::from_str(&ready).expect("the ready line is JSON");
        let address = ready["listeners"]["mqtts"].as_str().expect("an address");
        let (_, port) = address.rsplit_once(':').expect("a port");
        Self {
            port: port.to_owned(),
            broker,
            folder,
            namespace,
        }
    }

    /// Runs every program of the page that an interpreter takes, each changed as said; what it prints is
    /// the reason code of its PUBACK, if it prints something.
    fn run_programs(&self, change: impl Fn(String) -> String) {
        let python = blocks("python").map(|program| ("python", program));
        let programs = python.chain(blocks("js").map(|program| ("node", program)));
        let mut count = 0;
        for (interpreter, program) in programs {
            let prints = program.contains("print(") || program.contains("console.log(");
            let said = self.run(interpreter, &change(program));
            let expected: &[&str] = if prints { &["0"] } else { &[] };
            assert_eq!(said, expected, "{}", self.broker.transcript());
            count += 1;
        }
        assert_eq!(count, 3, "two in Python, one in JavaScript");
    }

    /// Runs a program to its end, which has to be a good one, and returns what it printed.
    fn run(&self, interpreter: &str, program: &str) -> Vec<String> {
        let program = program.replace("8883", &self.port);
        let name = match interpreter {
            "node" => "program.mjs",
            _ => "program",
        };
        fs::write(self.folder.path().join(name), program).expect("a file");
        let line = format!("exec {interpreter} {name}");
        let mut command = shell(self.namespace.as_ref(), self.folder.path(), &line);
        Process::start(interpreter, &mut command).finish()
    }
}

/// A shell that finds this program and those of Python's packages, and nobody's settings.
fn shell(namespace: Option<&Namespace>, folder: &Path, line: &str) -> Command {
    let shell = ["sh", "-euc", line];
    let mut command = match namespace {
        Some(namespace) => namespace.command(folder, &shell),
        None => {
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).current_dir(folder);
            command
        }
    };
    without_settings(&mut command);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    let path = std::env::var("PATH").expect("a path");
    let (bin, python) = (folder.join("bin"), python_folder());
    let path = format!("{}:{}:{path}", bin.display(), python.display());
    command
        .env("PATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
