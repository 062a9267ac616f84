//! `roundel man`, `roundel completions`, and what `--help` says.

use std::process::Command;

use super::{Outcome, run};

fn printed(line: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let outcome: Outcome = run(folder.path(), line);
    outcome.assert_done();
    outcome.stdout
}

#[test]
fn page_is_one_that_man_reads_without_a_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roundel.1");
    std::fs::write(&path, printed(&["man"])).unwrap();
    let read = Command::new("man")
        .args(["--warnings", "-l"])
        .arg(&path)
        .env("MANWIDTH", "100")
        .env("LC_ALL", "C.UTF-8")
        .output();
    // A machine without man has nothing that could complain.
    let Ok(read) = read else {
        println!("skipped: there is no man");
        return;
    };
    let complaints = String::from_utf8_lossy(&read.stderr);
    assert!(
        read.status.success() && complaints.is_empty(),
        "{complaints}"
    );
    let page = String::from_utf8(read.stdout).unwrap();
    for part in [
        "NAME",
        "SYNOPSIS",
        "ENVIRONMENT",
        "FILES",
        "EXIT STATUS",
        "SIGNALS",
        "SIGHUP",
        "--mqtts-port",
    ] {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
}

#[test]
fn bash_completes_flags_their_words_and_commands() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("roundel.bash");
    std::fs::write(&script, printed(&["completions", "bash"])).unwrap();
    let complete = |words: &[&str]| {
        let count = words.len() - 1;
        let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        let last = words[count];
        let before = words[count - 1];
        let program = format!(
            "source '{}'; COMP_WORDS=({}); COMP_CWORD={count}; _roundel roundel '{last}' '{before}'; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            quoted.join(" ")
        );
        let output = Command::new("bash")
            .args(["--norc", "-c", &program])
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(complaints.is_empty(), "{complaints}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete(&["roundel", "--prof"]), "--profile\n");
    assert_eq!(
        complete(&["roundel", "serve", "--profile", ""]),
        "aws\nstandard\n"
    );
    assert_eq!(complete(&["roundel", "--mqtt-port", ""]), "0\noff\n");
    assert_eq!(complete(&["roundel", "--bad-tls", "exp"]), "expired=0\n");
    assert_eq!(
        complete(&["roundel", "serve", "--listener", "mqtts+"]),
        "mqtts+wss=0\n"
    );
    assert_eq!(
        complete(&["roundel", "env", "paho"]),
        "paho-c\npaho-python\n"
    );
    assert_eq!(complete(&["roundel", "hea"]), "health\n");
    let shells = complete(&["roundel", "completions", ""]);
    for shell in ["bash", "zsh", "fish"] {
        assert!(shells.lines().any(|word| word == shell), "{shells}");
    }
}

#[test]
fn each_shell_has_a_script_of_its_own() {
    for (shell, part) in [
        ("zsh", "#compdef roundel"),
        ("fish", "complete -c roundel"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[roundel]"),
    ] {
        let script = printed(&["completions", shell]);
        assert!(
            script.contains(part) && script.contains("mqtts-port"),
            "{shell}"
        );
    }
    // Without it fish completes no value of a flag before a command.
    let fish = printed(&["completions", "fish"]);
    let place = "2>/dev/null\n    or return 0\n";
    assert_eq!(fish.matches(place).count(), 1, "{fish}");
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["completions", "csh"]).assert_failed(2, &["'csh'", "bash"]);
}

#[test]
fn misuse_says_where_help_is() {
    let folder = tempfile::tempdir().unwrap();
    for (line, command) in [
        (&["--data-dir", "x"][..], "(roundel --help "),
        (&["serve", "--data-dir", "x"], "(roundel serve --help "),
        (&["cert"], "(roundel cert --help "),
        (
            &["registry"],
            "a command is missing (roundel registry --help ",
        ),
        (
            &["registry", "export", "x"],
            "(roundel registry export --help ",
        ),
        (&["bogus"], "(roundel --help "),
        (&["--mqtt-port"], "(roundel --help "),
    ] {
        run(folder.path(), line).assert_failed(2, &[command]);
    }
}
