//! The command line: what may be typed, and what it leads to.
//!
//! Flags of `serve` are handed on as text: [`roundel::config::Sources`] reads them in the same way
//! as variables and the file, and knows how to complain about each.

#[cfg(feature = "tls")]
mod cert;
#[cfg(any(feature = "aws", feature = "http"))]
mod client;
mod deferred;
#[cfg(feature = "aws")]
mod env;
#[cfg(feature = "aws")]
mod explain;
mod failure;
#[cfg(feature = "http")]
mod health;
mod log;
mod manual;
#[cfg(feature = "tls")]
mod passwd;
#[cfg(feature = "aws")]
mod policy;
mod ready;
#[cfg(feature = "aws")]
mod registry;
mod reload;
mod serve;
#[cfg(feature = "tls")]
mod trust;

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
#[cfg(any(feature = "tls", feature = "aws"))]
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use roundel::config::Sources;

use self::deferred::Deferred;
use self::failure::Failure;

/// MQTT 5 and 3.1.1 broker for local use: a stand-in for AWS IoT Core.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the broker; what happens without a command, too
    Serve(Deferred<Box<ServeArgs>>),
    /// Issues client certificates and registers them: NAME.certificate.pem and NAME.private.key
    #[cfg(feature = "tls")]
    Cert(Deferred<cert::CertArgs>),
    /// Checks a configuration file, and the fleet document that it names
    CheckConfig {
        /// The file to check
        file: PathBuf,
    },
    /// Reads a password from standard input and prints the [[users]] entry for it
    #[cfg(feature = "tls")]
    Passwd {
        /// The user name
        #[arg(default_value = "user")]
        name: String,
    },
    /// Checks policies of AWS IoT, and says what becomes of a request
    #[cfg(feature = "aws")]
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Prints the variables that send the AWS CLI, boto3 and the SDKs to a running broker, or the tests of a client to one with
    /// the same --preset: eval "$(roundel env)"
    #[cfg(feature = "aws")]
    Env(Deferred<env::EnvArgs>),
    /// Says how this machine is made to trust the CA, and what that means, or does it
    #[cfg(feature = "tls")]
    Trust(Deferred<trust::TrustArgs>),
    /// Things, certificates and policies of the AWS side, as a document
    #[cfg(feature = "aws")]
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    /// Asks a broker whether it is ready: status 0 if so, 1 if not
    #[cfg(feature = "http")]
    Health(Deferred<health::HealthArgs>),
    /// Prints a script with which a shell completes this command line
    Completions(Deferred<manual::CompletionsArgs>),
    /// Prints the manual page: roundel man | man -l -
    Man,
}

#[derive(Debug, Args)]
#[command(after_help = manual::help())]
struct ServeArgs {
    /// What the rest starts from: aws or standard [default: aws]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Listeners as the tests of a client expect them: aws-crt, paho-c, paho-python, aiomqtt, mqttjs or gmqtt; `roundel
    /// env SUITE` prints the variables that they read
    #[arg(long, value_name = "SUITE")]
    preset: Option<String>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to bind [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    host: Option<String>,
    /// MQTT over TLS [default: 8883]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true)]
    mqtts_port: Option<String>,
    /// Client certificates of TLS listeners: required, optional or none [default: required]
    #[arg(long, value_name = "RULE")]
    client_cert: Option<String>,
    /// Further name or address in the server certificate; may be repeated
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    san: Vec<String>,
    /// MQTT over TCP [default: off in aws, 1883 in standard]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true)]
    mqtt_port: Option<String>,
    /// MQTT over WebSocket, path /mqtt (`standard`: any path) [default: off]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true)]
    ws_port: Option<String>,
    /// MQTT over WebSocket over TLS, path /mqtt (`standard`: any path) [default: off]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true)]
    wss_port: Option<String>,
    /// The service's port 443, over TLS: MQTT, WebSocket and the service's HTTP API [default: off]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true)]
    alpn_port: Option<String>,
    /// The service's port 8443: HTTPS for devices with a certificate [default: off]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true)]
    https_port: Option<String>,
    /// Control API [default: 9883]
    #[arg(long, value_name = "N|off", allow_negative_numbers = true)]
    http_port: Option<String>,
    /// Address of the control API [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    http_host: Option<String>,
    /// Pages for browsers at the port of the control API: on or off [default: on]
    #[arg(long, value_name = "on|off")]
    console: Option<String>,
    /// A further TLS listener with something wrong about it: expired, not-yet-valid, wrong-host, unknown-ca,
    /// self-signed, large-chain, tls1.2-only, tls1.3-only, reject-client or no-close-notify; may be repeated
    #[arg(long, value_name = "KIND=PORT", value_parser = NonEmptyStringValueParser::new())]
    bad_tls: Vec<String>,
    /// A listener that asks [[users]] for their passwords, beside others that then do not: mqtt or ws; may be repeated
    #[arg(long, value_name = "KIND=PORT", value_parser = NonEmptyStringValueParser::new())]
    password_listener: Vec<String>,
    /// A further listener: mqtt, mqtts, ws, wss, mqtt+ws or mqtts+wss (both at one port); those over TLS with their own
    /// rule for client certificates, as mqtts:none=8884; may be repeated
    #[arg(long, value_name = "KIND=PORT", value_parser = NonEmptyStringValueParser::new())]
    listener: Vec<String>,
    /// MQTT over a Unix socket, for processes of the same user [default: off]
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<String>,
    /// Folder of CA, server and client certificates [default: certs]
    #[arg(long, value_name = "DIR")]
    certs: Option<String>,
    /// Server certificate of a PKI of one's own, instead of --certs
    #[arg(long, value_name = "FILE")]
    server_cert: Option<String>,
    /// Private key of --server-cert
    #[arg(long, value_name = "FILE")]
    server_key: Option<String>,
    /// Authorities whose client certificates are accepted, with --server-cert
    #[arg(long, value_name = "FILE")]
    client_ca: Option<String>,
    /// Append the secrets of TLS connections to this file, for Wireshark
    #[arg(long, value_name = "FILE")]
    keylog: Option<String>,
    /// Name that describe-endpoint answers, also in the server certificate [default: localhost]
    #[arg(long, value_name = "NAME")]
    endpoint_name: Option<String>,
    /// Things, certificates and policies: a file, memory, certs or off [default: certs (aws), off (standard)]
    #[arg(long, value_name = "FILE")]
    registry: Option<String>,
    /// A document of things, certificates and policies to apply at the start
    #[arg(long, value_name = "FILE")]
    fleet: Option<String>,
    /// Any key of the configuration file, such as limits.in_flight=20: a TOML value, or a word; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// How a shared group chooses: round-robin or random [default: round-robin]
    #[arg(long, value_name = "STRATEGY")]
    share_strategy: Option<String>,
    /// Write the journal of packets and connections from the start: /v1/journal
    #[arg(long)]
    journal: bool,
    /// A line in the log for each packet in and out, without its payload
    #[arg(long)]
    packets: bool,
    /// The broker's clock runs so many times as fast, 1 to 10000; keep-alives do not [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    time_scale: Option<String>,
    /// What to print once every listener accepts: json or text [default: text]
    #[arg(long, value_name = "FORM")]
    ready: Option<String>,
    /// Stop when standard input closes
    #[arg(long)]
    die_with_parent: bool,
    /// Filter of log messages on standard error, such as info or warn,roundel::net=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Form of log messages: text or json [default: text]
    #[arg(long, value_name = "FORM")]
    log_format: Option<String>,
}

/// Does what the command line says. Status 0: done; 1: the machine refused, or a policy denies; 2: it was
/// misused.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return Failure::misused(one_line(&error)).report(),
        // The help or the version that was asked for.
        Err(error) => error.exit(),
    };
    let done = |()| ExitCode::SUCCESS;
    let result = match cli
        .command
        .unwrap_or(Command::Serve(Deferred(Box::new(cli.serve))))
    {
        Command::Serve(Deferred(args)) => serve::run(&args).map(done),
        #[cfg(feature = "tls")]
        Command::Cert(Deferred(args)) => cert::run(&args).map(done),
        Command::CheckConfig { file } => check_config(file).map(done),
        #[cfg(feature = "tls")]
        Command::Passwd { name } => passwd::run(&name).map(done),
        #[cfg(feature = "aws")]
        Command::Env(Deferred(args)) => env::run(&args).map(done),
        #[cfg(feature = "tls")]
        Command::Trust(Deferred(args)) => trust::run(&args).map(done),
        #[cfg(feature = "aws")]
        Command::Policy(command) => policy::run(&command),
        #[cfg(feature = "aws")]
        Command::Registry(command) => registry::run(&command).map(done),
        #[cfg(feature = "http")]
        Command::Health(Deferred(args)) => health::run(&args).map(done),
        Command::Completions(Deferred(args)) => {
            manual::print_completions(&args, Cli::command()).map(done)
        }
        Command::Man => manual::print_page(Cli::command()).map(done),
    };
    match result {
        Ok(status) => status,
        Err(failure) => failure.report(),
    }
}

impl ServeArgs {
    /// The configuration file.
    fn file(&self) -> Option<PathBuf> {
        let said = self.config.clone();
        said.or_else(|| path_variable("ROUNDEL_CONFIG"))
    }

    /// Everything that was said: by the file, the environment and these flags.
    fn sources(&self) -> Result<Sources, Failure> {
        let mut sources = environment()?;
        if let Some(file) = self.file() {
            sources = sources.file(file);
        }
        for pair in &self.set {
            sources = sources.set(pair);
        }
        let joined = |values: &[String]| (!values.is_empty()).then(|| values.join(","));
        let (san, bad_tls) = (joined(&self.san), joined(&self.bad_tls));
        let password_listener = joined(&self.password_listener);
        let listener = joined(&self.listener);
        let said = |flag: bool| flag.then(|| "true".to_owned());
        let (journal, packets) = (said(self.journal), said(self.packets));
        let die_with_parent = said(self.die_with_parent);
        for (key, value) in [
            ("profile", &self.profile),
            ("preset", &self.preset),
            ("host", &self.host),
            ("mqtts_port", &self.mqtts_port),
            ("client_cert", &self.client_cert),
            ("san", &san),
            ("mqtt_port", &self.mqtt_port),
            ("ws_port", &self.ws_port),
            ("wss_port", &self.wss_port),
            ("alpn_port", &self.alpn_port),
            ("https_port", &self.https_port),
            ("http_port", &self.http_port),
            ("http_host", &self.http_host),
            ("console", &self.console),
            ("bad_tls", &bad_tls),
            ("password_listener", &password_listener),
            ("listener", &listener),
            ("unix_socket", &self.unix_socket),
            ("certs", &self.certs),
            ("server_cert", &self.server_cert),
            ("server_key", &self.server_key),
            ("client_ca", &self.client_ca),
            ("keylog", &self.keylog),
            ("endpoint_name", &self.endpoint_name),
            ("registry", &self.registry),
            ("fleet", &self.fleet),
            ("share_strategy", &self.share_strategy),
            ("journal", &journal),
            ("packets", &packets),
            ("time_scale", &self.time_scale),
            ("ready", &self.ready),
            ("die_with_parent", &die_with_parent),
            ("log", &self.log),
            ("log_format", &self.log_format),
        ] {
            if let Some(value) = value {
                sources = sources.flag(key, value);
            }
        }
        Ok(sources)
    }
}

/// What the environment says.
fn environment() -> Result<Sources, Failure> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            (Ok(name), Err(_)) if name.starts_with("ROUNDEL_") => {
                return Err(Failure::misused(format!("{name}: its value is not UTF-8")));
            }
            _ => {} // somebody else's
        }
    }
    Ok(Sources::new().environment(variables))
}

fn check_config(file: PathBuf) -> Result<(), Failure> {
    let name = file.display().to_string();
    let loaded = Sources::new().file(file).load().map_err(Failure::misuse)?;
    serve::log_filter(&loaded.program)?;
    #[cfg(feature = "http")]
    for (text, origin) in loaded.config.rules.iter().zip(&loaded.program.rules) {
        roundel::rules::Rule::from_json(text)
            .map_err(|reason| Failure::misused(format!("{origin}: {reason}")))?;
    }
    #[cfg(feature = "aws")]
    if let Some(fleet) = &loaded.config.fleet {
        registry::check(fleet)?;
    }
    print(&format!(
        "{name}: valid, profile {}\n",
        loaded.config.profile.name()
    ))
}

/// What the parser complains about, with where the page of usage is instead of that page.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let (complaint, usage) = text.split_once("\n\nUsage:").unwrap_or((&text, ""));
    let (complaint, _) = complaint
        .split_once("\n\nFor more information")
        .unwrap_or((complaint, ""));
    let words = complaint.trim_start_matches("error: ").split("\n\n");
    let words = words.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let words = match error.kind() {
        // What the parser has then is the page of the command, without a complaint.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing".to_owned(),
        _ => words.collect::<Vec<_>>().join("; "),
    };
    // The command with those before it; what follows are its arguments.
    let usage = usage.trim_start().lines().next().unwrap_or_default();
    let command = usage
        .split_whitespace()
        .take_while(|word| word.starts_with(|c: char| c.is_ascii_alphanumeric()));
    let command: Vec<&str> = command.collect();
    let command = match command.is_empty() {
        true => "roundel".to_owned(),
        false => command.join(" "),
    };
    format!("{words} ({command} --help says what there is)")
}

/// Writes to standard output at once.
fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .map_err(|error| Failure::refused(format!("cannot write to standard output: {error}")))
}

/// The folder of the certificates, if it is said to be this one.
#[cfg(any(feature = "tls", feature = "aws"))]
fn certs_folder(said: Option<&Path>) -> PathBuf {
    let said = said.map(Path::to_owned);
    said.or_else(|| path_variable("ROUNDEL_CERTS"))
        .unwrap_or_else(|| PathBuf::from("certs"))
}

/// A variable with a path; an empty one says nothing.
fn path_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The address under which a listener is reached from this machine.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// A word as the shell of this system reads it: of Windows both, `cmd` and PowerShell.
fn shell_word(word: &str) -> String {
    match cfg!(windows) {
        true => windows_word(word),
        false => posix_word(word),
    }
}

/// Quotes as the shell of this system takes them, around what has none itself.
fn quoted(word: &str) -> String {
    match cfg!(windows) {
        true => format!("\"{word}\""),
        false => format!("'{word}'"),
    }
}

fn posix_word(word: &str) -> String {
    if is_plain(word, "") {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `cmd` knows double quotes only, and no path has one.
fn windows_word(word: &str) -> String {
    if is_plain(word, "\\~") {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('"', "\\\""))
}

/// Whether a word needs no quotes, where these need none besides.
fn is_plain(word: &str, besides: &str) -> bool {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c) || besides.contains(c);
    !word.is_empty() && word.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[cfg(all(feature = "tls", feature = "websocket", feature = "http"))]
    #[test]
    fn flags_mean_the_same_with_and_without_the_word_serve() {
        let flags = "--profile standard --host ::1 --mqtts-port 1 --mqtt-port 2 --ws-port 3 \
            --wss-port 4 --http-port 5 --client-cert none --san a --san b --certs /c \
            --share-strategy random --ready json --die-with-parent --log debug";
        for start in ["roundel", "roundel serve"] {
            let line = format!("{start} {flags}");
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let args = match cli.command {
                None => cli.serve,
                Some(Command::Serve(Deferred(args))) => *args,
                Some(other) => panic!("{other:?}"),
            };
            let loaded = args.sources().unwrap().load().unwrap();
            let (config, program) = (loaded.config, loaded.program);
            let ports = &config.listeners;
            assert_eq!(config.profile, roundel::config::Profile::Standard);
            assert_eq!(ports.host.to_string(), "::1");
            assert_eq!(
                [ports.mqtts, ports.mqtt, ports.ws, ports.wss, ports.http],
                [Some(1), Some(2), Some(3), Some(4), Some(5)]
            );
            assert_eq!(config.tls.client_cert, roundel::config::ClientCert::None);
            assert_eq!(config.tls.san, ["a", "b"]);
            assert_eq!(config.tls.certs.to_str(), Some("/c"));
            assert_eq!(
                config.share_strategy,
                roundel::config::ShareStrategy::Random
            );
            assert_eq!(program.ready, roundel::config::Ready::Json);
            assert!(program.die_with_parent);
            assert_eq!(program.log.unwrap().0, "debug");
        }
    }

    #[test]
    fn flags_of_serve_do_not_go_with_another_command() {
        assert!(Cli::try_parse_from(["roundel", "--mqtt-port", "1", "cert", "a"]).is_err());
    }

    #[cfg(all(feature = "tls", feature = "aws"))]
    #[test]
    fn complaint_names_the_command_whose_help_says_more() {
        let complaint = |line: &str| {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            one_line(&error)
        };
        for command in ["man", "cert", "policy check", "serve"] {
            let complaint = complaint(&format!("roundel {command} --nonsense"));
            let pointer = format!("(roundel {command} --help says what there is)");
            assert!(complaint.ends_with(&pointer), "{complaint}");
        }
        let complaint = complaint("roundel --nonsense");
        assert!(complaint.ends_with("(roundel --help says what there is)"));
    }

    #[test]
    fn words_are_quoted_for_a_shell_where_they_must() {
        assert_eq!(posix_word("certs/ca.pem"), "certs/ca.pem");
        assert_eq!(posix_word("my certs"), "'my certs'");
        assert_eq!(posix_word(r"C:\certs"), r"'C:\certs'");
        assert_eq!(posix_word("it's"), r"'it'\''s'");
        assert_eq!(posix_word(""), "''");
        assert_eq!(windows_word(r"C:\certs\ca.pem"), r"C:\certs\ca.pem");
        assert_eq!(windows_word(r"C:\my certs"), r#""C:\my certs""#);
        assert_eq!(windows_word("it's"), r#""it's""#);
        assert_eq!(windows_word(""), r#""""#);
    }
}
