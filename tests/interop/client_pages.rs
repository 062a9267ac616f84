//! `docs/clients`: the programs of each page as they stand there, with the ports of this broker, and what each
//! prints. Those in Rust are tests of the crate's documentation.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::{binary, without_settings};
use crate::process::Process;
use crate::testing_page;
use crate::trial;

/// The pages whose programs run here, and the language that the blocks of each name.
const PAGES: [(&str, &str); 4] = [
    ("shell.md", "sh"),
    ("python.md", "python"),
    ("node.md", "js"),
    ("c.md", "c"),
];

/// Whose programs are tests of the crate's documentation.
const RUST: &str = "rust.md";

/// Where all of them start: what the clients have in common, and the command that starts the broker.
const FIRST: &str = "README.md";

/// The last sections of each page. Before them stands how to connect, under a heading of the language's own.
const SECTIONS: [&str; 6] = [
    "TLS and a client certificate",
    "MQTT 5 properties",
    "A shared group of two",
    "A session that is kept, and clean-up",
    "In a test",
    "Mistakes that are often made",
];

pub(crate) fn trials() -> Vec<Trial> {
    let programs = PAGES.map(|(page, language)| {
        let name = page.trim_end_matches(".md");
        trial(format!("client_pages::{name}"), move || {
            run_all(page, language);
        })
    });
    let mut trials = vec![trial("client_pages::are_complete", are_complete)];
    trials.extend(programs);
    trials
}

/// No page is left out here, and each says the same things in the same order.
fn are_complete() {
    let listed = PAGES.iter().map(|(page, _)| *page).chain([RUST, FIRST]);
    let mut listed: Vec<_> = listed.map(str::to_owned).collect();
    listed.sort();
    let entries = fs::read_dir(folder()).expect("a folder of pages");
    let names = entries.map(|entry| entry.expect("an entry of it").file_name());
    let mut found: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, listed);
    let first = read(FIRST);
    for (page, _) in PAGES.iter().chain(&[(RUST, "rust")]) {
        let text = read(page);
        let titles = text.lines().filter_map(|line| line.strip_prefix("## "));
        let titles: Vec<_> = titles.skip(1).collect();
        assert_eq!(titles, SECTIONS, "{page}");
        let link = format!("[{page}]({page})");
        assert!(first.contains(&link), "{FIRST} has no {link}");
    }
}

/// Runs the programs of a page one after the other, and compares what each prints with the block behind it.
fn run_all(page: &str, language: &str) {
    let text = read(page);
    let blocks = blocks(&text);
    let mut stand = Stand::start();
    let mut count = 0;
    for (at, (own, program)) in blocks.iter().enumerate() {
        if *own != language {
            continue;
        }
        let Some(("text", expected)) = blocks.get(at + 1) else {
            panic!("{page} does not say what is printed by\n{program}");
        };
        let printed = stand.run(language, program).join("\n");
        let log = stand.broker.transcript();
        assert_eq!(printed, *expected, "{page}, printed by\n{program}\n{log}");
        count += 1;
    }
    assert!(count >= SECTIONS.len() - 1, "{page}: {count} programs");
    stand.broker.close_input();
}

/// The blocks of a page, with the languages that they name.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fences = page.split("\n```").skip(1).step_by(2);
    let blocks = fences.map(|fence| fence.split_once('\n').expect("a block has lines"));
    blocks.collect()
}

fn read(page: &str) -> String {
    fs::read_to_string(folder().join(page)).expect("a page")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients")
}

/// The broker of the pages, at free ports, and the folder that its certificates are in.
struct Stand {
    // Fields are dropped in this order: the process first, then its folder.
    broker: Process,
    folder: TempDir,
    /// The ports of the pages, what stands for each meanwhile, and those of this broker.
    ports: [(&'static str, &'static str, String); 3],
}

impl Stand {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("bin")).expect("a folder");
        symlink(binary(), folder.path().join("bin/roundel")).expect("a link");
        let first = read(FIRST);
        let blocks = blocks(&first);
        let start = blocks.iter().find(|(own, _)| *own == "sh");
        let (_, start) = start.expect("the page starts a broker");
        let mut command = Command::new("sh");
        let start = start.replace("roundel serve", "exec roundel serve");
        command.args(["-euc", &start]).current_dir(folder.path());
        without_settings(&mut command);
        let settings = [
            ("READY", "json"),
            ("MQTT_PORT", "0"),
            ("MQTTS_PORT", "0"),
            ("HTTP_PORT", "0"),
            ("DIE_WITH_PARENT", "true"),
        ];
        for (name, value) in settings {
            command.env(format!("ROUNDEL_{name}"), value);
        }
        let path = std::env::var("PATH").expect("a path");
        let bin = folder.path().join("bin");
        command.env("PATH", format!("{}:{path}", bin.display()));
        let mut broker = Process::start("roundel", &mut command);
        let ready = broker.wait_for("the ready line", |line| line.starts_with('{'));
        let ready: Value = serde_json::from_str(&ready).expect("the ready line is JSON");
        let port = |listener: &str| {
            let address = ready["listeners"][listener].as_str();
            let address = address.expect("the listener is on");
            address.rsplit_once(':').expect("a port").1.to_owned()
        };
        let ports = [
            ("1883", "{mqtt}", port("mqtt")),
            ("8883", "{mqtts}", port("mqtts")),
            ("9883", "{http}", port("http")),
        ];
        Self {
            broker,
            folder,
            ports,
        }
    }

    /// Runs a program to its end, which has to be a good one, and returns what it printed.
    fn run(&self, language: &str, program: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let certs = folder.path().join("certs");
        symlink(self.folder.path().join("certs"), certs).expect("a link");
        let program = program.to_owned();
        // In two steps: a port of this broker may hold the digits of the next one.
        let program = self.ports.iter().fold(program, |text, (written, name, _)| {
            text.replace(written, name)
        });
        let mut program = self
            .ports
            .iter()
            .fold(program, |text, (_, name, port)| text.replace(name, port));
        if language == "sh" {
            program.insert_str(0, "set -eu\n");
        }
        let (name, mut command) = testing_page::command(language, &folder);
        fs::write(folder.path().join(name), program).expect("a file");
        Process::start(language, &mut command).finish()
    }
}
