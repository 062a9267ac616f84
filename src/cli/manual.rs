//! What flags alone do not say: environment, files, exit status and signals. It stands here once, for `--help` and for
//! the manual page, which `roundel man` prints; and `roundel completions`.

use std::io::{self, Write as _};

use clap::builder::PossibleValuesParser;
use clap::{Args, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::failure::Failure;

/// A section: its name, and what there is to say about each thing in it.
type Section = (&'static str, &'static [(&'static str, &'static str)]);

const SECTIONS: [Section; 4] = [
    (
        "Environment",
        &[
            (
                "ROUNDEL_...",
                "every flag of serve but --set: ROUNDEL_MQTTS_PORT is --mqtts-port, and mqtts_port in the file. Flags win over \
                 variables, and variables over the file. An empty one says nothing, and a name that is none is an error",
            ),
            ("ROUNDEL_CONFIG", "the configuration file, as --config"),
            (
                "ROUNDEL_BIN, ROUNDEL_BINARY, ROUNDEL_TEST_...",
                "left to test programs",
            ),
            (
                "RUST_LOG",
                "not looked at: ROUNDEL_LOG is, as it may be set for the program that starts the broker",
            ),
            (
                "RUST_BACKTRACE",
                "1: where the program was when it broke off, beside the line about it",
            ),
            (
                "TOKIO_WORKER_THREADS",
                "threads that serve connections, instead of one for every second core",
            ),
        ],
    ),
    (
        "Files",
        &[
            (
                "certs/ca.pem, certs/ca.key",
                "the authority, made if it is missing; clients are given ca.pem",
            ),
            (
                "certs/server.pem, certs/server.key",
                "the server's certificate, made if it is missing",
            ),
            (
                "certs/NAME.certificate.pem, certs/NAME.private.key",
                "what `roundel cert NAME` makes for a client",
            ),
            (
                "certs/registry.redb",
                "things, certificates and policies; registry.redb.http beside it says where the broker that has it listens",
            ),
            (
                "certs/.gitignore",
                "made with the folder, so that private keys stay out of repositories",
            ),
        ],
    ),
    (
        "Exit status",
        &[
            (
                "0",
                "done; of serve, after SIGINT, SIGTERM or the end of the parent",
            ),
            (
                "1",
                "the machine refused: a port that is taken, a key that cannot be read; of health, the broker is not ready; \
                 of policy explain, the request is denied",
            ),
            ("2", "wrong flags, variables or configuration"),
        ],
    ),
    (
        "Signals",
        &[
            (
                "SIGINT, SIGTERM",
                "stop: clients are told, and the program ends within two seconds; a second one ends it at once. On Windows \
                 Ctrl-C, Ctrl-Break, the end of the console and a shutdown do",
            ),
            (
                "SIGHUP",
                "read certificates and [[users]] again, for connections from then on; what else has changed in the file \
                 needs a restart, and the log names it. Windows has none",
            ),
        ],
    ),
];

/// The sections as `--help` has them behind the flags.
pub(super) fn help() -> String {
    // Every start asks for it.
    let mut text = String::with_capacity(8 * 1024);
    for (name, things) in SECTIONS {
        let gap = if text.is_empty() { "" } else { "\n\n" };
        text.extend([gap, name, ":"]);
        for (thing, words) in things {
            text.extend(["\n  ", thing]);
            // What is short has its words beside it.
            match thing.len() < INDENT.len() - 2 {
                true => text += &INDENT[thing.len() + 2..],
                false => text.extend(["\n", INDENT]),
            }
            push_wrapped(&mut text, words);
        }
    }
    text
}

/// What stands before the words about a thing.
const INDENT: &str = "         ";

/// Words in lines that are indented below what they are about.
fn push_wrapped(text: &mut String, words: &str) {
    const WIDTH: usize = 100;
    let mut line = 0;
    for word in words.split(' ') {
        if line > 0 && line + word.len() > WIDTH {
            text.extend(["\n", INDENT]);
            line = 0;
        } else if line > 0 {
            text.push(' ');
            line += 1;
        }
        text.push_str(word);
        line += word.len();
    }
}

/// Prints the manual page in the format of troff.
pub(super) fn print_page(command: Command) -> Result<(), Failure> {
    let page = page(command).map_err(|error| Failure::refused(format!("no page: {error}")))?;
    super::print(&page)
}

fn page(mut command: Command) -> io::Result<String> {
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).manual("Roundel");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([
        bold("roundel"),
        roman(" ["),
        bold("serve"),
        roman("] ["),
        italic("OPTION"),
        roman("]..."),
    ]);
    roff.control("br", []);
    roff.text([
        bold("roundel"),
        roman(" "),
        italic("COMMAND"),
        roman(" ["),
        italic("ARGUMENT"),
        roman("]..."),
    ]);
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in DESCRIPTION {
        roff.control("PP", []);
        roff.text([roman(*paragraph)]);
    }
    roff.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    roff.to_writer(&mut page)?;
    for each in command
        .get_subcommands()
        .filter(|each| each.get_name() != "serve")
    {
        render_command(each, &mut page)?;
    }
    let mut roff = Roff::new();
    for (name, things) in SECTIONS {
        roff.control("SH", [name.to_uppercase().as_str()]);
        for (thing, words) in things {
            roff.control("TP", []);
            roff.text([bold(*thing)]);
            roff.text([roman(*words)]);
        }
    }
    roff.control("SH", ["VERSION"]);
    roff.text([roman(command.get_version().unwrap_or_default())]);
    roff.to_writer(&mut page)?;
    String::from_utf8(page).map_err(io::Error::other)
}

const DESCRIPTION: &[&str] = &[
    "Roundel is an MQTT 5.0 and 3.1.1 broker for your own machine and for tests: a stand-in for AWS IoT Core (profile \
     aws, the default), or one that does what the standards say (profile standard). Without a command it serves.",
    "Once every listener accepts, serve prints where, and commands to try; with --ready json it is one line for \
     programs. Messages go to standard error, one to a line: time, level, message, then key=value, or JSON with \
     --log-format json. What a client sends is quoted and escaped, and cut where it is long.",
];

/// A command and those below it, each with its usage and its flags.
fn render_command(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    if name.split(' ').any(|word| word == "help") {
        return Ok(());
    }
    let is_group = command.has_subcommands();
    if !is_group {
        let mut roff = Roff::new();
        roff.control("SS", [name]);
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage:").trim().to_owned();
        roff.text([bold(usage)]);
        roff.control("PP", []);
        let about = command.get_about().map(ToString::to_string);
        roff.text([roman(about.unwrap_or_default())]);
        roff.to_writer(page)?;
        let mut options = Vec::new();
        Man::new(command.clone()).render_options_section(&mut options)?;
        // They stand below the command, and not in a section of their own.
        let options = String::from_utf8(options).map_err(io::Error::other)?;
        for line in options.lines().filter(|line| *line != ".SH OPTIONS") {
            writeln!(page, "{line}")?;
        }
    }
    for each in command.get_subcommands() {
        render_command(each, page)?;
    }
    Ok(())
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Whose completions to print
    #[arg(value_enum)]
    shell: Shell,
}

/// Words that a flag of serve takes, where the configuration reads it and the parser of the command line does not know
/// them. A test asks the configuration for them.
const WORDS: [(&str, &[&str]); 10] = [
    ("profile", &["aws", "standard"]),
    (
        "preset",
        &[
            "aws-crt",
            "paho-c",
            "paho-python",
            "aiomqtt",
            "mqttjs",
            "gmqtt",
        ],
    ),
    ("client_cert", &["required", "optional", "none"]),
    (
        "bad_tls",
        &[
            "expired=0",
            "not-yet-valid=0",
            "wrong-host=0",
            "unknown-ca=0",
            "self-signed=0",
            "large-chain=0",
            "tls1.2-only=0",
            "tls1.3-only=0",
            "reject-client=0",
            "no-close-notify=0",
        ],
    ),
    ("password_listener", &["mqtt=0", "ws=0"]),
    (
        "listener",
        &[
            "mqtt=0",
            "mqtts=0",
            "ws=0",
            "wss=0",
            "mqtt+ws=0",
            "mqtts+wss=0",
        ],
    ),
    ("share_strategy", &["round-robin", "random"]),
    ("ready", &["json", "text"]),
    ("log_format", &["text", "json"]),
    ("log", &["error", "warn", "info", "debug", "trace", "off"]),
];

/// Prints what a shell completes the command line with.
pub(super) fn print_completions(args: &CompletionsArgs, command: Command) -> Result<(), Failure> {
    let mut command = completed(command);
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "roundel", &mut script);
    let script = String::from_utf8_lossy(&script);
    super::print(&match args.shell {
        Shell::Fish => script.replacen(NO_VALUE_YET, &format!("{NO_VALUE_YET} 0"), 1),
        _ => script.into_owned(),
    })
}

/// What the script for fish does with a line that it cannot read, because its last flag has no value yet: it takes it for
/// one with a command. There is none, and flags of serve are to have their values completed without it, too.
const NO_VALUE_YET: &str = "\n    or return";

/// A command, and those below it, whose flags say what may stand behind them: words, files, folders.
fn completed(mut command: Command) -> Command {
    // It does not know its flags before.
    command.build();
    let command = command.mut_args(|arg| {
        // The word behind `env` is that of --preset.
        let id = match arg.get_id().as_str() {
            "suite" => "preset",
            id => id,
        };
        let known = WORDS.iter().find(|(flag, _)| *flag == id);
        let name = arg.get_value_names().and_then(<[_]>::first).cloned();
        let name = name.unwrap_or_default();
        match (known, name.as_str()) {
            (Some((_, words)), _) => arg.value_parser(PossibleValuesParser::new(*words)),
            // Any free port is one to choose, too.
            (None, "N|off") => arg.value_parser(PossibleValuesParser::new(["0", "off"])),
            (None, "on|off") => arg.value_parser(PossibleValuesParser::new(["on", "off"])),
            (None, "FILE" | "PATH") => arg.value_hint(ValueHint::FilePath),
            (None, "DIR") => arg.value_hint(ValueHint::DirPath),
            (None, _) => arg,
        }
    });
    command.mut_subcommands(completed)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use roundel::config::Sources;

    use super::super::Cli;
    use super::*;

    #[test]
    fn page_has_every_flag_of_every_command_and_what_help_says_besides() {
        let page = page(Cli::command()).unwrap();
        let page = page
            .replace("\\-", "-")
            .replace("\\fB", "")
            .replace("\\fR", "");
        fn check(command: &Command, page: &str) {
            for arg in command.get_arguments() {
                if let Some(flag) = arg.get_long() {
                    assert!(page.contains(&format!("--{flag}")), "--{flag}");
                }
            }
            for each in command.get_subcommands() {
                check(each, page);
            }
        }
        let mut command = Cli::command();
        command.build();
        check(&command, &page);
        let help = command.render_help().to_string();
        for (name, things) in SECTIONS {
            assert!(
                page.contains(&format!(".SH {}", roff_words(&name.to_uppercase()))),
                "{name}"
            );
            assert!(help.contains(&format!("{name}:\n")), "{name}");
            for (thing, _) in things {
                assert!(page.contains(thing) && help.contains(thing), "{thing}");
            }
        }
    }

    /// More than one word is quoted as an argument of a macro.
    fn roff_words(name: &str) -> String {
        match name.contains(' ') {
            true => format!("\"{name}\""),
            false => name.to_owned(),
        }
    }

    /// The words that the configuration names when it refuses one that is none.
    fn words_of(flag: &str) -> Option<Vec<String>> {
        // Some have a port behind them.
        ["", "=0"].into_iter().find_map(|port| {
            let sources = match flag {
                "profile" => Sources::new(),
                _ => Sources::new().flag("profile", "standard"),
            };
            let refusal = sources.flag(flag, format!("nonsense{port}")).load();
            let refusal = refusal.err()?.to_string();
            let (_, words) = refusal.split_once("`nonsense` is none of ")?;
            Some(
                words
                    .split(", ")
                    .map(|word| format!("{word}{port}"))
                    .collect(),
            )
        })
    }

    #[test]
    fn words_that_are_completed_are_those_that_are_taken() {
        let command = Cli::command();
        let flags = command
            .get_arguments()
            .filter(|arg| arg.get_action().takes_values());
        for arg in flags.filter(|arg| arg.get_long().is_some()) {
            let flag = arg.get_id().as_str();
            let known = WORDS.iter().find(|(known, _)| *known == flag);
            let known = known.map(|(_, words)| *words);
            match (flag, words_of(flag)) {
                // It has more than a word.
                ("log", None) => assert!(known.is_some()),
                (_, words) => assert_eq!(
                    known.map(<[_]>::to_vec),
                    words
                        .as_ref()
                        .map(|words| words.iter().map(String::as_str).collect()),
                    "--{flag}"
                ),
            }
        }
        for (flag, _) in WORDS {
            assert!(
                command.get_arguments().any(|arg| arg.get_id() == flag),
                "{flag}"
            );
        }
        for level in WORDS
            .into_iter()
            .filter(|(flag, _)| *flag == "log")
            .flat_map(|(_, words)| words)
        {
            super::super::log::parse_filter(level).unwrap();
        }
    }

    #[test]
    fn what_a_flag_is_called_for_says_how_it_is_completed() {
        fn check(command: &Command) {
            for arg in command
                .get_arguments()
                .filter(|arg| arg.get_action().takes_values())
            {
                let words: Vec<_> = arg.get_possible_values();
                let words: Vec<_> = words.iter().map(|word| word.get_name()).collect();
                let said = arg
                    .get_value_names()
                    .and_then(<[_]>::first)
                    .map(|name| name.as_str());
                let hint = arg.get_value_hint();
                match said.unwrap_or_default() {
                    "N|off" => assert_eq!(words, ["0", "off"], "{}", arg.get_id()),
                    "on|off" => assert_eq!(words, ["on", "off"], "{}", arg.get_id()),
                    "FILE" | "PATH" => assert_eq!(hint, ValueHint::FilePath, "{}", arg.get_id()),
                    "DIR" => assert_eq!(hint, ValueHint::DirPath, "{}", arg.get_id()),
                    // Words that are said as they are typed.
                    name if name.contains('|') && name == name.to_lowercase() => {
                        let said: Vec<_> = name.split('|').collect();
                        assert_eq!(words, said, "{}", arg.get_id());
                    }
                    _ => {}
                }
            }
            command.get_subcommands().for_each(check);
        }
        let command = completed(Cli::command());
        check(&command);
        command.debug_assert();
    }
}
