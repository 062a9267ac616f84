//! `docs/testing.md`: its programs in Python, in JavaScript and for the shell, as they stand there. Those in Rust
//! are tests of the crate's documentation.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::broker::{binary, file, python_folder, without_settings};
use crate::trial;

/// The page.
const PAGE: &str = include_str!("../../docs/testing.md");

/// Languages of a recipe, in their order, as its blocks name them.
const LANGUAGES: [&str; 4] = ["rust", "python", "js", "sh"];

/// Recipes that there have to be.
const RECIPES: usize = 25;

/// How many seconds a program may take before it is killed. Its own waits are far shorter.
const DEADLINE: &str = "60";

/// Programs of a language that run at one time. Most of them wait for a client that connects again.
const AT_ONCE: usize = 3;

/// Runs only the recipes that have this in their titles.
const ONLY: &str = "ROUNDEL_TEST_RECIPE";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("testing_page::is_complete", is_complete),
        trial("testing_page::in_python", || run_all("python")),
        trial("testing_page::in_node", || run_all("js")),
        trial("testing_page::in_the_shell", || run_all("sh")),
    ]
}

/// A part of the page with a heading.
struct Section {
    title: &'static str,
    text: &'static str,
}

impl Section {
    /// Its blocks, with the languages that they name.
    fn blocks(&self) -> Vec<(&'static str, &'static str)> {
        let fences = self.text.split("\n```").skip(1).step_by(2);
        let blocks = fences.map(|fence| fence.split_once('\n').expect("a block has lines"));
        blocks.collect()
    }

    /// Its one block in a language.
    fn block(&self, language: &str) -> &'static str {
        let blocks = self.blocks();
        let mut found = blocks.iter().filter(|(own, _)| *own == language);
        let (_, block) = found.next().expect("a block in each language");
        assert!(found.next().is_none(), "{}: two in {language}", self.title);
        block
    }
}

/// What the programs need, and the recipes.
fn sections() -> (Section, Vec<Section>) {
    let mut sections = PAGE.split("\n## ").skip(1).map(|section| {
        let (title, text) = section.split_once('\n').expect("a text");
        Section { title, text }
    });
    let setup = sections.next().expect("a section");
    assert_eq!(setup.title, "Setup");
    (setup, sections.collect())
}

/// Each recipe is in all languages, and in the contents in its place.
fn is_complete() {
    let (_, recipes) = sections();
    assert!(recipes.len() >= RECIPES, "{} recipes", recipes.len());
    for recipe in &recipes {
        let languages: Vec<_> = recipe.blocks().iter().map(|(own, _)| *own).collect();
        assert_eq!(languages, LANGUAGES, "{}", recipe.title);
    }
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| ["));
    let listed: Vec<_> = rows
        .map(|row| row.split(" |").next().unwrap_or(row))
        .collect();
    let links = recipes.iter().map(|recipe| {
        let title = recipe.title;
        format!("{title}](#{})", anchor(title))
    });
    assert_eq!(listed, links.collect::<Vec<_>>());
}

/// The anchor of a heading.
fn anchor(title: &str) -> String {
    let kept = title
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Runs the programs of a language, and says of all that fail what they printed.
fn run_all(language: &str) {
    let (setup, recipes) = sections();
    let only = env::var(ONLY).unwrap_or_default();
    let chosen = recipes.iter().filter(|recipe| recipe.title.contains(&only));
    let waiting = Mutex::new(chosen);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(recipe) = { waiting.lock().expect("no panic").next() } {
                    let mut program = recipe.block(language).to_owned();
                    if language == "sh" {
                        program = format!("{}\n{program}", setup.block("sh"));
                    }
                    if let Err(what) = run(language, &program) {
                        let failure = format!("{} ({language}): {what}", recipe.title);
                        failures.lock().expect("no panic").push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Runs a program to its end in a folder of its own; what it printed if that is not a good one.
fn run(language: &str, program: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (name, mut command) = command(language, &folder);
    fs::write(folder.path().join(name), program).expect("a file");
    let output = folder.path().join("output");
    let stdout = File::create(&output).expect("a file");
    let stderr = stdout.try_clone().expect("the same file");
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let mut child = command.process_group(0).spawn().expect("an interpreter");
    let status = child.wait().expect("it is a child");
    // Whatever a program that failed has left behind: clients of a script that try for ever to connect.
    let group = format!("-{}", child.id());
    let mut kill = Command::new("kill");
    kill.args(["-KILL", "--", &group]).stderr(Stdio::null());
    kill.status().expect("kill is part of every Unix");
    if status.success() {
        return Ok(());
    }
    let printed = fs::read(&output).expect("the file");
    Err(format!("{status}\n{}", String::from_utf8_lossy(&printed)))
}

/// What runs the programs of a language, and the name of their file.
pub(crate) fn command(language: &str, folder: &TempDir) -> (&'static str, Command) {
    let folder = folder.path();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", DEADLINE]);
    let name = match language {
        "python" => {
            command.arg(python_folder().join("python"));
            "program.py"
        }
        "js" => {
            command.arg("node");
            "program.mjs"
        }
        "c" => {
            // As `docs/clients/c.md` has it, with nothing to be warned of.
            let build = "cc -Wall -Werror -o program \"$0\" -lmosquitto && exec ./program";
            command.args(["sh", "-euc", build]);
            "program.c"
        }
        _ => {
            // What a script did is a part of what it says.
            command.args(["sh", "-x"]);
            "program.sh"
        }
    };
    without_settings(&mut command);
    for folder_of in ["bin", "node_modules"] {
        fs::create_dir(folder.join(folder_of)).expect("a folder");
    }
    for (target, link) in [
        (binary().into(), "bin/roundel"),
        (root.join("fixtures/node"), "node_modules/roundel"),
        (file("node_modules/mqtt"), "node_modules/mqtt"),
    ] {
        symlink(target, folder.join(link)).expect("a link");
    }
    let path = env::var("PATH").expect("a path");
    command
        .arg(name)
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .env("TMPDIR", folder)
        .env("PYTHONPATH", root.join("fixtures/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    (name, command)
}
