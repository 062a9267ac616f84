//! `roundel cert`: client certificates for people who would rather not learn openssl.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use roundel::config::LogFormat;
use roundel::{Authority, CertError, Issued, KeyKind};
use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::log::Log;
use super::shell_word;

#[derive(Debug, Args)]
pub(crate) struct CertArgs {
    /// Names of the certificates: Common Name and start of the file names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Folder of the CA, which is made when there is none [default: certs]
    #[arg(long, value_name = "DIR")]
    certs: Option<PathBuf>,
    /// Folder to write to [default: that of the CA]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// With an ECDSA P-256 key, as by default
    #[arg(long)]
    ecdsa: bool,
    /// With an RSA 2048 key
    #[arg(long, conflicts_with = "ecdsa")]
    rsa: bool,
}

pub(crate) fn run(args: &CertArgs) -> Result<(), Failure> {
    super::environment()?
        .check_variables()
        .map_err(Failure::misuse)?;
    let log = Log::install(EnvFilter::new("warn"), LogFormat::Text)
        .map_err(|error| Failure::refused(format!("cannot start a thread: {error}")))?;
    let result = issue(args);
    log.finish();
    result
}

fn issue(args: &CertArgs) -> Result<(), Failure> {
    let certs = args
        .certs
        .clone()
        .or_else(|| super::path_variable("ROUNDEL_CERTS"));
    let certs = certs.unwrap_or_else(|| PathBuf::from("certs"));
    let out = args.out.as_ref().unwrap_or(&certs);
    let kind = if args.rsa {
        KeyKind::Rsa
    } else {
        KeyKind::Ecdsa
    };
    let authority = Authority::open(&certs).map_err(Failure::machine)?;
    for name in &args.names {
        let issued = authority
            .issue(name, kind, out)
            .map_err(|error| match error {
                CertError::Name { .. } => Failure::misuse(error),
                _ => Failure::machine(error),
            })?;
        super::print(&report(&certs.join("ca.pem"), &issued))?;
    }
    Ok(())
}

/// The paths, one to a line, then a command that uses them.
fn report(ca_file: &Path, issued: &Issued) -> String {
    let mut text = String::new();
    for path in [&issued.certificate, &issued.private_key] {
        let _ = writeln!(text, "{}", path.display()); // a String takes whatever is written
    }
    let quote = |path: &Path| shell_word(&path.display().to_string());
    let _ = writeln!(
        text,
        "\nmosquitto_sub -p 8883 --cafile {} --cert {} --key {} -t '#' -v",
        quote(ca_file),
        quote(&issued.certificate),
        quote(&issued.private_key),
    );
    text
}
