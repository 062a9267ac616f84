//! `roundel env`: variables that send the AWS CLI, boto3 and the SDKs to a running broker, or the tests of a client to
//! one with the preset for them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use roundel::aws::registry::Holder;
use roundel::config::{Preset, find_preset};
use serde::Deserialize;

use super::client::{Call, CallError, Client, HttpAddr};
use super::failure::Failure;
use super::{posix_word, registry};

/// The services that a broker stands in for (AWS-FLOW-61). `AWS_ENDPOINT_URL` would send it the calls of all
/// others as well (AWS-FLOW-64).
const ENDPOINTS: [&str; 3] = [
    "AWS_ENDPOINT_URL_IOT",
    "AWS_ENDPOINT_URL_IOT_DATA_PLANE",
    "AWS_ENDPOINT_URL_IOT_JOBS_DATA_PLANE",
];

/// boto3 reads the second, the SDK for JavaScript the first, and the AWS CLI both.
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// No client calls anything without some, whatever they are (AWS-FLOW-65).
const CREDENTIALS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// Where else a client may have its credentials from, which variables with keys would hide.
const PROFILES: [&str; 2] = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];

/// The shell of most who are on this system.
const DEFAULT_SHELL: &str = if cfg!(windows) { "powershell" } else { "sh" };

#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    /// The suite of `serve --preset SUITE`, whose variables are printed instead, and what it expects that there is not
    suite: Option<String>,
    /// The folder in which such a suite finds its client's certificate, which is made if it is missing [default: certs]
    #[arg(long, value_name = "DIR", requires = "suite")]
    certs: Option<PathBuf>,
    /// Whose syntax to print
    #[arg(long, value_enum, default_value = DEFAULT_SHELL)]
    shell: Shell,
    /// Where the broker's control API listens [default: that of the broker with the registry in certs, or 127.0.0.1:9883]
    #[arg(long, value_name = "ADDR", conflicts_with = "suite")]
    http: Option<HttpAddr>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Sh,
    Fish,
    Powershell,
}

/// What a broker says of itself; what else it says is not looked at.
#[derive(Deserialize)]
struct Stats {
    aws: Service,
}

#[derive(Deserialize)]
struct Service {
    region: String,
}

pub(crate) fn run(args: &EnvArgs) -> Result<(), Failure> {
    super::environment()?
        .check_variables()
        .map_err(Failure::misuse)?;
    if let Some(name) = &args.suite {
        let preset = find_preset(name).map_err(Failure::misused)?;
        return super::print(&suite_text(preset, args.certs.as_deref(), args.shell)?);
    }
    let (addr, region) = find(args.http)?;
    let has = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let has_own = CREDENTIALS.iter().chain(&PROFILES).any(has);
    super::print(&text(addr, &region, has_own, args.shell))
}

/// The variables of a suite of tests, and in comments what is not as it expects.
fn suite_text(preset: &Preset, certs: Option<&Path>, shell: Shell) -> Result<String, Failure> {
    let name = preset.name;
    let mut text = format!("# {}\n# roundel serve --preset {name}\n", preset.about);
    if !preset.commands.is_empty() {
        text.push_str("# in the folder of its source:\n");
    }
    for command in preset.commands {
        let _ = writeln!(text, "#   {command}");
    }
    for lack in preset.lacks {
        let _ = writeln!(text, "# not there: {lack}");
    }
    let needs_files = preset
        .variables
        .iter()
        .any(|(_, value)| value.starts_with('{'));
    let files = match needs_files {
        true => client_files(name, &super::certs_folder(certs))?,
        false => ClientFiles::default(),
    };
    for (name, value) in preset.variables {
        let value = match *value {
            "{ca}" => &files.ca,
            "{certificate}" => &files.certificate,
            "{key}" => &files.key,
            value => value,
        };
        let _ = writeln!(text, "{}", shell.line(name, value));
    }
    Ok(text)
}

/// The files of an authority and of a client's certificate, absolute.
#[derive(Default)]
struct ClientFiles {
    ca: String,
    certificate: String,
    key: String,
}

/// Makes the certificate of a client, unless it is there.
#[cfg(feature = "tls")]
fn client_files(name: &str, certs: &Path) -> Result<ClientFiles, Failure> {
    let certs = std::path::absolute(certs).unwrap_or_else(|_| certs.to_owned());
    let authority = roundel::Authority::open(&certs).map_err(Failure::machine)?;
    let issued = authority.issue_if_missing(name, roundel::KeyKind::Rsa, &certs);
    let issued = issued.map_err(Failure::machine)?;
    Ok(ClientFiles {
        ca: authority.ca_file().display().to_string(),
        certificate: issued.certificate.display().to_string(),
        key: issued.private_key.display().to_string(),
    })
}

#[cfg(not(feature = "tls"))]
fn client_files(_: &str, _: &Path) -> Result<ClientFiles, Failure> {
    Err(Failure::misused(
        "this build lacks the feature tls".to_owned(),
    ))
}

/// The broker that is meant, and its Region.
fn find(said: Option<HttpAddr>) -> Result<(HttpAddr, String), Failure> {
    /// Without a flag and a registry.
    const DEFAULT: HttpAddr = HttpAddr::loopback(9883);
    // What a broker left behind that was killed says nothing.
    if said.is_none()
        && let Some(file) = registry::file(None, None)
        && let Some(Holder {
            http: Some(addr),
            token,
        }) = Holder::of(&file)
        && let Ok(region) = region(&Client::known(addr, token))
    {
        return Ok((HttpAddr::from(addr).reachable(), region));
    }
    let addr = said.unwrap_or(DEFAULT);
    let region = region(&Client::new(addr)).map_err(|why| {
        let why = format!("cannot ask a broker at {addr}: {why}");
        match said {
            Some(_) => Failure::refused(format!("--http: {why}")),
            None => Failure::refused(why).with_hint("--http says where another one listens"),
        }
    })?;
    Ok((addr.reachable(), region))
}

fn region(broker: &Client) -> Result<String, String> {
    let answer = broker.call(&Call {
        method: "GET",
        target: "/v1/stats",
        accept: "application/json",
        body: None,
    });
    let answer = answer.map_err(|error: CallError| error.to_string())?;
    let stats: Result<Stats, _> = serde_json::from_str(&answer);
    let region = stats
        .map_err(|error| format!("the answer is none of a broker: {error}"))?
        .aws
        .region;
    // What is evaluated by a shell is nothing that whoever listens there makes up.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match !region.is_empty() && region.bytes().all(is_plain) {
        true => Ok(region),
        false => Err("the answer is none of a broker: its Region is no name".to_owned()),
    }
}

fn text(addr: HttpAddr, region: &str, has_own: bool, shell: Shell) -> String {
    let endpoint = format!("http://{addr}");
    let endpoints = ENDPOINTS.iter().map(|name| (name, endpoint.as_str()));
    let regions = REGIONS.iter().map(|name| (name, region));
    // Those that are there are left: other services in the same shell may need them.
    let missing = CREDENTIALS.iter().filter(|_| !has_own);
    let credentials = missing.map(|name| (name, "test"));
    let mut text = String::new();
    for (name, value) in endpoints.chain(regions).chain(credentials) {
        let _ = writeln!(text, "{}", shell.line(name, value)); // a String takes whatever is written
    }
    text
}

impl Shell {
    /// What gives a variable a value, for this shell and what it starts.
    fn line(self, name: &str, value: &str) -> String {
        match self {
            Self::Sh => format!("export {name}={}", posix_word(value)),
            Self::Fish => {
                let value = value.replace('\\', r"\\").replace('\'', r"\'");
                format!("set -gx {name} '{value}'")
            }
            Self::Powershell => format!("$env:{name} = '{}'", doubled(value)),
        }
    }
}

/// PowerShell takes typographic quotes for plain ones.
fn doubled(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            text.push(c);
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_gets_its_own_syntax_and_quotes() {
        for (shell, plain, quoted) in [
            (
                Shell::Sh,
                "export N='http://[::1]:1'",
                r"export N='it'\''s \ $(x)'",
            ),
            (
                Shell::Fish,
                "set -gx N 'http://[::1]:1'",
                r"set -gx N 'it\'s \\ $(x)'",
            ),
            (
                Shell::Powershell,
                "$env:N = 'http://[::1]:1'",
                r"$env:N = 'it''s \ $(x)'",
            ),
        ] {
            assert_eq!(shell.line("N", "http://[::1]:1"), plain);
            assert_eq!(shell.line("N", r"it's \ $(x)"), quoted);
        }
        assert_eq!(
            Shell::Powershell.line("N", "a\u{2019}b"),
            "$env:N = 'a\u{2019}\u{2019}b'"
        );
    }

    #[test]
    fn credentials_of_ones_own_are_left() {
        let addr = HttpAddr::loopback(9883);
        let own = text(addr, "eu-central-1", true, Shell::Sh);
        let none = text(addr, "eu-central-1", false, Shell::Sh);
        let keys = "export AWS_ACCESS_KEY_ID=test\nexport AWS_SECRET_ACCESS_KEY=test\n";
        assert_eq!(none, own.clone() + keys);
        assert_eq!(
            own,
            "export AWS_ENDPOINT_URL_IOT=http://127.0.0.1:9883\n\
             export AWS_ENDPOINT_URL_IOT_DATA_PLANE=http://127.0.0.1:9883\n\
             export AWS_ENDPOINT_URL_IOT_JOBS_DATA_PLANE=http://127.0.0.1:9883\n\
             export AWS_REGION=eu-central-1\n\
             export AWS_DEFAULT_REGION=eu-central-1\n"
        );
    }
}
