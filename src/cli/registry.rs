//! `roundel registry`: a registry as a document, and back.
//!
//! A file belongs to one process at a time. What a running broker has is read and changed through it, as
//! `FILE.http` says where it listens.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use roundel::aws::registry::fleet::{Applied, Document, FileError, Format, export};
use roundel::aws::registry::{Holder, Means, Registry, StoreError};
use roundel::policy::Scope;
use serde::Deserialize;

use super::client::{Call, CallError, Client, HttpAddr, Refused};
use super::deferred::Deferred;
use super::failure::Failure;

/// Another command has a file for a moment, and so long a broker takes at most to start or to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// So long what a broker says that cannot be asked may be what one left behind that was killed.
const DOUBT: Duration = Duration::from_secs(1);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Prints a registry as a document
    Export(Deferred<ExportArgs>),
    /// Makes a registry what a document says, and prints what that changed
    Import(Deferred<ImportArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// What to print
    #[arg(long, value_enum, default_value = "toml")]
    format: FormatArg,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The document, in JSON if its name ends in .json, else in TOML
    file: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
struct PlaceArgs {
    /// The file of the registry, whether or not a broker has it [default: registry.redb in --certs]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Folder of the certificates [default: certs]
    #[arg(long, value_name = "DIR")]
    certs: Option<PathBuf>,
    /// The running broker whose registry it is, by its control API, instead of a file
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["registry", "certs"])]
    http: Option<HttpAddr>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Json,
    Toml,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Json => Self::Json,
            FormatArg::Toml => Self::Toml,
        }
    }
}

pub(crate) fn run(command: &RegistryCommand) -> Result<(), Failure> {
    super::environment()?
        .check_variables()
        .map_err(Failure::misuse)?;
    match command {
        RegistryCommand::Export(Deferred(args)) => print_document(args),
        RegistryCommand::Import(Deferred(args)) => apply_document(args),
    }
}

/// The file of the registry that flags and variables name, whether or not there is one; none where
/// there is no file.
pub(crate) fn file(registry: Option<&Path>, certs: Option<&Path>) -> Option<PathBuf> {
    /// What `ROUNDEL_REGISTRY` may say besides a file.
    const NO_FILE: [&str; 2] = ["memory", "off"];
    if let Some(named) = registry {
        return Some(named.to_owned());
    }
    let said = super::path_variable("ROUNDEL_REGISTRY");
    match said.filter(|said| said.as_os_str() != "certs") {
        Some(said) if NO_FILE.iter().any(|word| said.as_os_str() == *word) => None,
        Some(said) => Some(said),
        None => Some(super::certs_folder(certs).join("registry.redb")),
    }
}

impl PlaceArgs {
    /// Does something with the registry, by itself or through the broker that has it.
    fn reach<T>(
        &self,
        may_make: bool,
        directly: impl FnOnce(&Registry) -> Result<T, Failure>,
        through: impl Fn(&Client) -> Result<T, Trouble>,
    ) -> Result<T, Failure> {
        if let Some(http) = self.http {
            return through(&Client::new(http)).map_err(|trouble| match trouble {
                Trouble::Unreachable(why) => {
                    Failure::refused(format!("--http: cannot ask the broker at {http}: {why}"))
                }
                Trouble::Final(failure) => failure,
            });
        }
        let file = file(self.registry.as_deref(), self.certs.as_deref());
        let file = file.ok_or_else(|| {
            let message = "ROUNDEL_REGISTRY: there is no file: --registry FILE or --http ADDR names a registry";
            Failure::misused(message.to_owned())
        })?;
        if !may_make {
            // One that is only read is not made.
            fs::metadata(&file).map_err(|error| {
                Failure::refused(format!("cannot read `{}`: {error}", file.display()))
            })?;
        }
        reach(&file, directly, through)
    }
}

/// Why a broker did not do what it was asked to.
pub(crate) enum Trouble {
    /// It may be stopping or starting, or it is not the one that was meant.
    Unreachable(String),
    /// Another try gives the same.
    Final(Failure),
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        match &error {
            CallError::Unreachable(_) => Self::Unreachable(error.to_string()),
            CallError::Refused(Refused { status, .. }) => match status {
                404 | 405 | 409 | 503 => Self::Unreachable(error.to_string()),
                _ => Self::Final(Failure::refused(format!("the broker says: {error}"))),
            },
        }
    }
}

/// Does something with the registry in a file: `directly`, or while a broker has it, `through` that. Both
/// may be done again where nobody knows whether they were done.
pub(crate) fn reach<T>(
    file: &Path,
    directly: impl FnOnce(&Registry) -> Result<T, Failure>,
    through: impl Fn(&Client) -> Result<T, Trouble>,
) -> Result<T, Failure> {
    let start = Instant::now();
    loop {
        // No document names the account or the Region.
        let held = match Registry::open(file, Scope::default()) {
            Ok(registry) => {
                Holder::forget(file);
                return directly(&registry);
            }
            Err(error @ StoreError::Held { .. }) => error,
            Err(error) => return Err(Failure::machine(error)),
        };
        let (patience, why) = match Holder::of(file) {
            None => (
                PATIENCE,
                "which is no running broker that says so".to_owned(),
            ),
            Some(Holder { http: None, .. }) => {
                let why = "a running broker without a control API (--http-port): stop it before, or give it one";
                (DOUBT, why.to_owned())
            }
            Some(Holder {
                http: Some(addr),
                token,
            }) => match through(&Client::known(addr, token)) {
                Ok(done) => return Ok(done),
                Err(Trouble::Final(failure)) => return Err(failure),
                Err(Trouble::Unreachable(why)) => (
                    PATIENCE,
                    format!("a running broker that cannot be asked at {addr}: {why}"),
                ),
            },
        };
        if start.elapsed() >= patience {
            return Err(Failure::refused(format!("{held}, {why}")));
        }
        std::thread::sleep(PAUSE);
    }
}

fn print_document(args: &ExportArgs) -> Result<(), Failure> {
    let accept = match args.format {
        FormatArg::Json => "application/json",
        FormatArg::Toml => "application/toml",
    };
    let document = args.place.reach(
        false,
        |registry| export(registry, args.format.into()).map_err(Failure::refused),
        |broker| {
            Ok(broker.call(&Call {
                method: "GET",
                target: "/v1/registry",
                accept,
                body: None,
            })?)
        },
    )?;
    super::print(&document)
}

/// What a broker says of an import.
#[derive(Deserialize)]
struct Imported {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    kind: String,
    name: String,
    created: bool,
}

fn apply_document(args: &ImportArgs) -> Result<(), Failure> {
    let document = Document::open(&args.file).map_err(wrong)?;
    let lines = args.place.reach(
        true,
        |registry| {
            let applied = import(registry, &document)?;
            Ok(applied
                .iter()
                .map(|applied| format!("{applied}\n"))
                .collect())
        },
        |broker| import_through(broker, &document),
    )?;
    super::print(&lines)
}

fn import_through(broker: &Client, document: &Document) -> Result<String, Trouble> {
    let whole = document
        .whole()
        .map_err(|error| Trouble::Final(wrong(error)))?;
    let answer = broker.call(&Call {
        method: "PUT",
        target: "/v1/registry",
        accept: "application/json",
        body: Some(&whole.json()),
    });
    let answer = answer.map_err(|error| match error {
        CallError::Refused(Refused {
            status: 400,
            error,
            field,
        }) => Trouble::Final(wrong(whole.wrong(&field.unwrap_or_default(), error))),
        error => error.into(),
    })?;
    let imported: Imported =
        serde_json::from_str(&answer).map_err(|error| Trouble::Unreachable(error.to_string()))?;
    let lines = imported.changes.iter().map(|change| {
        let verb = if change.created { "created" } else { "changed" };
        let line = format!("{verb} {} {}", change.kind, change.name);
        format!("{}\n", line.trim_end())
    });
    Ok(lines.collect())
}

/// Says what is wrong with a document, as if an empty registry had it applied.
pub(crate) fn check(file: &Path) -> Result<(), Failure> {
    let document = Document::open(file).map_err(wrong)?;
    import(&Registry::in_memory(Scope::default()), &document).map(drop)
}

fn import(registry: &Registry, document: &Document) -> Result<Vec<Applied>, Failure> {
    with_means(|means| document.import(registry, means)).map_err(wrong)
}

fn wrong(error: FileError) -> Failure {
    match error {
        FileError::Document { .. } => Failure::misused(error.to_string()),
        error => Failure::machine(error),
    }
}

/// Does what takes the time and random numbers.
pub(crate) fn with_means<T>(what: impl FnOnce(Means<'_>) -> T) -> T {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_millis());
    what(Means {
        now: u64::try_from(now).unwrap_or(u64::MAX),
        random: &mut || uuid::Uuid::new_v4().as_u128(),
    })
}
