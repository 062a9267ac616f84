//! `roundel registry`: a registry as a document, and back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use roundel::aws::registry::fleet::{Applied, FileError, Format, export, import_file};
use roundel::aws::registry::{Means, Registry, StoreError};
use roundel::policy::Scope;

use super::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Prints the registry in a file as a document
    Export(ExportArgs),
    /// Makes the registry in a file what a document says, and prints what that changed
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The file of the registry
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,
    /// What to print
    #[arg(long, value_enum, default_value = "toml")]
    format: FormatArg,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The document, in JSON if its name ends in .json, else in TOML
    file: PathBuf,
    /// The file of the registry, which is made if there is none
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,
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
        RegistryCommand::Export(args) => print_document(args),
        RegistryCommand::Import(args) => apply_document(args),
    }
}

fn print_document(args: &ExportArgs) -> Result<(), Failure> {
    let path = &args.registry;
    // One that is only read is not made.
    fs::metadata(path)
        .map_err(|error| Failure::refused(format!("cannot read `{}`: {error}", path.display())))?;
    let registry = open(path)?;
    let document = export(&registry, args.format.into()).map_err(Failure::refused)?;
    super::print(&document)
}

fn apply_document(args: &ImportArgs) -> Result<(), Failure> {
    let registry = open(&args.registry)?;
    let applied = import(&registry, &args.file)?;
    let lines = applied.iter().map(|applied| format!("{applied}\n"));
    super::print(&lines.collect::<String>())
}

/// Says what is wrong with a document, as if an empty registry had it applied.
pub(crate) fn check(file: &Path) -> Result<(), Failure> {
    import(&Registry::in_memory(Scope::default()), file).map(drop)
}

fn import(registry: &Registry, file: &Path) -> Result<Vec<Applied>, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_millis());
    let means = Means {
        now: u64::try_from(now).unwrap_or(u64::MAX),
        random: &mut random,
    };
    import_file(registry, means, file).map_err(|error| match error {
        FileError::Document { .. } => Failure::misused(error.to_string()),
        error => Failure::machine(error),
    })
}

fn open(path: &Path) -> Result<Registry, Failure> {
    // No document names the account or the Region.
    Registry::open(path, Scope::default()).map_err(|error| match error {
        StoreError::Held { .. } => Failure::refused(format!(
            "{error}: a running broker has to be stopped before"
        )),
        error => Failure::machine(error),
    })
}

fn random() -> u128 {
    uuid::Uuid::new_v4().as_u128()
}
