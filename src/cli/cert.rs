//! `roundel cert`: client certificates for people who would rather not learn openssl.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
#[cfg(feature = "aws")]
use roundel::aws::registry::{CertificateStatus, Error, Holder, Registry};
use roundel::config::LogFormat;
use roundel::{Authority, Issued, KeyKind};
#[cfg(unix)]
use roundel::{CertError, KeyAccess};
use tracing_subscriber::EnvFilter;

#[cfg(feature = "aws")]
use super::client::{Call, Client};
use super::failure::Failure;
use super::log::Log;
#[cfg(feature = "aws")]
use super::registry;
use super::{quoted, shell_word};

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
    /// Keeps what exists, and registers it if it is not registered
    #[arg(long)]
    if_missing: bool,
    /// Who may read the private keys, in octal: 0640 for their group too, 0644 for everybody; also of those that
    /// --if-missing keeps [default: 0600, with --key-group 0640]
    #[cfg(unix)]
    #[arg(long, value_name = "MODE", value_parser = key_access)]
    key_mode: Option<KeyAccess>,
    /// Group that reads the private keys, by its name or number, such as that of a service: mosquitto
    #[cfg(unix)]
    #[arg(long, value_name = "GROUP", value_parser = group)]
    key_group: Option<Group>,
    /// The file of the registry, if there is one, whether or not a broker has it [default: registry.redb in --certs]
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
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
    let certs = super::certs_folder(args.certs.as_deref());
    let out = args.out.as_ref().unwrap_or(&certs);
    let kind = if args.rsa {
        KeyKind::Rsa
    } else {
        KeyKind::Ecdsa
    };
    // All or none: who reads an error has nothing to clear away.
    for name in &args.names {
        Authority::check_name(name).map_err(Failure::misuse)?;
    }
    let authority = Authority::open(&certs).map_err(Failure::machine)?;
    #[cfg(unix)]
    let authority = match access(args) {
        Some(access) => authority.with_key_access(access),
        None => authority,
    };
    let port = port(args);
    for name in &args.names {
        let issued = match args.if_missing {
            true => authority.issue_if_missing(name, kind, out),
            false => authority.issue(name, kind, out),
        };
        let issued = issued.map_err(|error| match error {
            #[cfg(unix)]
            CertError::Group { .. } => Failure::machine(error)
                .about("--key-group")
                .with_hint("root can, and a member of the group"),
            _ => Failure::machine(error),
        })?;
        #[cfg(unix)]
        if access(args).is_some() {
            warn_of_closed_folder(&issued.private_key);
        }
        #[cfg(feature = "aws")]
        let registered = register(args, &issued)?;
        #[cfg(not(feature = "aws"))]
        let registered = None;
        super::print(&report(&certs.join("ca.pem"), &issued, registered, port))?;
    }
    Ok(())
}

/// A group by its number.
#[cfg(unix)]
#[derive(Clone, Copy, Debug)]
struct Group(u32);

/// Who reads the keys, where it is said.
#[cfg(unix)]
fn access(args: &CertArgs) -> Option<KeyAccess> {
    let of_group = || KeyAccess::new(0o640);
    match (args.key_mode, args.key_group) {
        (said, Some(Group(group))) => {
            let access = said.or_else(of_group)?;
            Some(access.with_group(group))
        }
        (said, None) => said,
    }
}

#[cfg(unix)]
fn key_access(text: &str) -> Result<KeyAccess, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.and_then(KeyAccess::new).ok_or_else(|| {
        "a private key is 0600, 0640 for its group too, or 0644 for everybody; nobody else writes it".to_owned()
    })
}

/// The number of a group, which has to be one of this machine if it is named.
#[cfg(unix)]
fn group(text: &str) -> Result<Group, String> {
    const FILE: &str = "/etc/group";
    let groups = std::fs::read_to_string(FILE).unwrap_or_default();
    let named = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(text)).then(|| fields.nth(1)?.parse().ok())?
    });
    // The last of all numbers means that nothing is to be changed.
    let number = named.or_else(|| text.parse().ok().filter(|number| *number != u32::MAX));
    let number = number.ok_or_else(|| format!("no group of {FILE}, and no number"))?;
    Ok(Group(number))
}

/// Says of a key that others may read that they do not get to it.
#[cfg(unix)]
fn warn_of_closed_folder(key: &Path) {
    use std::os::unix::fs::MetadataExt as _;

    let Ok(own) = std::fs::metadata(key) else {
        return; // what cannot be asked for is not warned of
    };
    let (by_group, by_all) = (own.mode() & 0o040 != 0, own.mode() & 0o004 != 0);
    let path = std::path::absolute(key).unwrap_or_else(|_| key.to_owned());
    for folder in path.ancestors().skip(1).filter(|_| by_group || by_all) {
        let Ok(found) = std::fs::metadata(folder) else {
            return;
        };
        // What everybody is to read is for more than a group.
        let of_group = !by_all && found.gid() == own.gid() && found.mode() & 0o010 != 0;
        // A folder of somebody else may be that of who reads the key.
        let is_own = found.uid() == own.uid() || found.uid() == 0;
        if is_own && !of_group && found.mode() & 0o001 == 0 {
            tracing::warn!(
                folder = %folder.display(),
                mode = format!("{:04o}", found.mode() & 0o7777),
                "whoever else may read the private key does not get to it: the folder is closed to others; --out \
                 takes another"
            );
            return;
        }
    }
}

/// What a broker says of a certificate that it was told of.
#[cfg(feature = "aws")]
#[derive(serde::Deserialize)]
struct Added {
    status: CertificateStatus,
    created: bool,
}

/// Registers a certificate as ACTIVE if it is not registered, where there is a registry; what became of it.
#[cfg(feature = "aws")]
fn register(args: &CertArgs, issued: &Issued) -> Result<Option<String>, Failure> {
    let file = registry::file(args.registry.as_deref(), args.certs.as_deref());
    let Some(file) = file.filter(|file| file.exists()) else {
        return Ok(None);
    };
    let path = issued.certificate.display();
    let pem = std::fs::read_to_string(&issued.certificate)
        .map_err(|error| Failure::refused(format!("cannot read `{path}`: {error}")))?;
    let directly = |registry: &Registry| {
        let known = registry::with_means(|means| {
            registry.change(means, |draft| draft.ensure_certificate(&pem))
        });
        let (certificate, created) = known.map_err(|error: Error| Failure::machine(error))?;
        let status = certificate.status;
        Ok(Added { status, created })
    };
    let added = registry::reach(&file, directly, |broker| register_through(broker, &pem));
    let Added { status, created } = added.map_err(|failure| {
        let failure = failure.about(&format!("`{path}` is not registered"));
        failure.with_hint("--if-missing keeps it and tries again")
    })?;
    let already = if created { "" } else { " already" };
    // As the service writes it.
    let status = serde_json::to_value(status).unwrap_or_default();
    let status = status.as_str().unwrap_or_default();
    let (id, file) = (&issued.certificate_id, file.display());
    Ok(Some(format!(
        "registered{already} in {file}: {status} {id}"
    )))
}

#[cfg(feature = "aws")]
fn register_through(broker: &Client, pem: &str) -> Result<Added, registry::Trouble> {
    let body = serde_json::json!({ "certificate_pem": pem }).to_string();
    let answer = broker.call(&Call {
        method: "POST",
        target: "/v1/certificates",
        accept: "application/json",
        body: Some(&body),
    })?;
    serde_json::from_str(&answer).map_err(|error| registry::Trouble::Unreachable(error.to_string()))
}

/// Where MQTT over TLS is to be found: at the broker that has the registry, or at one that is started with the same
/// variables.
fn port(args: &CertArgs) -> u16 {
    #[cfg(feature = "aws")]
    if let Some(port) = running_port(args) {
        return port;
    }
    #[cfg(not(feature = "aws"))]
    let _ = args;
    let sources = super::environment().ok();
    let sources = sources.map(|sources| match super::path_variable("ROUNDEL_CONFIG") {
        Some(file) => sources.file(file),
        None => sources,
    });
    // What is wrong with them is told when a broker starts.
    let loaded = sources.and_then(|sources| sources.load().ok());
    let port = loaded.and_then(|loaded| loaded.config.listeners.mqtts);
    port.filter(|port| *port != 0).unwrap_or(8883)
}

#[cfg(feature = "aws")]
fn running_port(args: &CertArgs) -> Option<u16> {
    let file = registry::file(args.registry.as_deref(), args.certs.as_deref())?;
    let Holder { http, token } = Holder::of(&file)?;
    let answer = Client::known(http?, token).call(&Call {
        method: "GET",
        target: "/v1/info",
        accept: "application/json",
        body: None,
    });
    let said: serde_json::Value = serde_json::from_str(&answer.ok()?).ok()?;
    let addr = said.get("listeners")?.get("mqtts")?.as_str()?;
    addr.parse::<std::net::SocketAddr>()
        .ok()
        .map(|addr| addr.port())
}

/// The paths, one to a line, where the certificate is registered, and then a command that uses it.
fn report(ca_file: &Path, issued: &Issued, registered: Option<String>, port: u16) -> String {
    let mut text = String::new();
    for path in [&issued.certificate, &issued.private_key] {
        let _ = writeln!(text, "{}", path.display()); // a String takes whatever is written
    }
    if let Some(registered) = registered {
        let _ = writeln!(text, "{registered}");
    }
    let quote = |path: &Path| shell_word(&path.display().to_string());
    let _ = writeln!(
        text,
        "\nmosquitto_sub -p {port} --cafile {} --cert {} --key {} -t {} -v",
        quote(ca_file),
        quote(&issued.certificate),
        quote(&issued.private_key),
        quoted("#"),
    );
    text
}
