//! `roundel trust`: the CA in the store of this system, or what is to be done for that.

mod page;
mod store;

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use roundel::config::LogFormat;
use roundel::{Authority, CaCertificate, CertError};
use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::log::Log;
use super::shell_word;

use self::store::{Change, Store, StoreError};

#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// Folder of the CA [default: certs]
    #[arg(long, value_name = "DIR")]
    certs: Option<PathBuf>,
    /// Puts the CA into this system's store, as root
    #[arg(long)]
    install: bool,
    /// Takes it out again, as root
    #[arg(long, conflicts_with = "install")]
    uninstall: bool,
    /// Makes the CA, where there is none, so that it may sign for names of this machine only
    #[arg(long, conflicts_with = "uninstall")]
    limited: bool,
    /// With --limited: further name or address that it may sign for; may be repeated
    #[arg(long, value_name = "NAME", requires = "limited")]
    san: Vec<String>,
}

pub(crate) fn run(args: &TrustArgs) -> Result<(), Failure> {
    super::environment()?
        .check_variables()
        .map_err(Failure::misuse)?;
    let log = Log::install(EnvFilter::new("warn"), LogFormat::Text)
        .map_err(|error| Failure::refused(format!("cannot start a thread: {error}")))?;
    let result = act(args);
    log.finish();
    result
}

fn act(args: &TrustArgs) -> Result<(), Failure> {
    let certs = super::certs_folder(args.certs.as_deref());
    if args.limited {
        let made = Authority::open_limited(&certs, &args.san);
        made.map_err(|error| match error {
            CertError::San { .. } => Failure::misuse(error).about("--san"),
            _ => Failure::machine(error),
        })?;
    }
    let ca = CaCertificate::read(&certs).map_err(unreadable)?;
    let store = Store::find(Path::new("/"));
    if !args.install && !args.uninstall {
        return super::print(&page::text(&ca, store.as_ref(), &program()));
    }
    let Some(store) = store else {
        return Err(Failure::refused(page::no_store(&ca, args.install)));
    };
    let (change, flag) = match args.install {
        true => (store.add(&ca), "--install"),
        false => (store.remove(&ca), "--uninstall"),
    };
    let change = change.map_err(|error| refused(error, &ca, flag))?;
    super::print(&match args.install {
        true => installed(&ca, &store, change),
        false => removed(&ca, &store, change),
    })
}

fn unreadable(error: CertError) -> Failure {
    let is_missing = match &error {
        CertError::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    };
    let failure = Failure::machine(error);
    match is_missing {
        true => failure.with_hint(
            "`roundel serve` and `roundel cert` make a CA where there is none, and \
             `roundel trust --limited` one for this machine only",
        ),
        false => failure,
    }
}

/// With what does it, where it takes another user.
fn refused(error: StoreError, ca: &CaCertificate, flag: &str) -> Failure {
    let is_denied = error.is_denied();
    let failure = Failure::machine(error);
    match is_denied {
        true => failure.with_hint(&as_root(ca, flag, &program())),
        false => failure,
    }
}

/// The command that does it as root.
fn as_root(ca: &CaCertificate, flag: &str, program: &str) -> String {
    let certs = ca.file.parent().unwrap_or(Path::new("."));
    format!(
        "sudo {} trust --certs {} {flag}",
        shell_word(program),
        shell_word(&certs.display().to_string())
    )
}

/// This program, as another user finds it.
fn program() -> String {
    let path = std::env::current_exe();
    path.map_or_else(|_| "roundel".to_owned(), |path| path.display().to_string())
}

fn installed(ca: &CaCertificate, store: &Store, change: Change) -> String {
    let bundle = store.bundle();
    let (file, bundle) = (store.file(ca), bundle.display());
    match change {
        Change::Done => format!(
            "{}\n{bundle} has the CA now; programs that run already may have to be started again.\n{}\n",
            file.display(),
            page::meaning(ca),
        ),
        Change::AsItWas => format!("{bundle} has the CA already.\n"),
    }
}

fn removed(ca: &CaCertificate, store: &Store, change: Change) -> String {
    let bundle = store.bundle();
    let (file, bundle) = (store.file(ca), bundle.display());
    match change {
        Change::Done => format!("{bundle} has the CA no more: {} is gone.\n", file.display()),
        Change::AsItWas => format!("{bundle} does not have the CA.\n"),
    }
}
