//! The store of authorities that a Linux system keeps for all its programs: a folder of certificates, and
//! a command that makes of it what programs read.

use std::fs::{self, Permissions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use roundel::CaCertificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// How a family of systems keeps its authorities.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) systems: &'static str,
    /// Where certificates of the machine's administrator are, relative to the root.
    folder: &'static str,
    /// What is run when a certificate came.
    pub(super) command: &'static str,
    /// What it is given besides when one went: without it, Debian leaves links to nowhere behind.
    pub(super) went: Option<&'static str>,
    /// What is made of them, relative to the root: all certificates that programs trust.
    bundle: &'static str,
}

pub(super) const LAYOUTS: [Layout; 4] = [
    Layout {
        systems: "Debian, Ubuntu, Alpine",
        folder: "usr/local/share/ca-certificates",
        command: "update-ca-certificates",
        went: Some("--fresh"),
        bundle: "etc/ssl/certs/ca-certificates.crt",
    },
    Layout {
        systems: "Fedora, RHEL",
        folder: "etc/pki/ca-trust/source/anchors",
        command: "update-ca-trust",
        went: None,
        bundle: "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    },
    Layout {
        systems: "Arch",
        folder: "etc/ca-certificates/trust-source/anchors",
        command: "update-ca-trust",
        went: None,
        bundle: "etc/ca-certificates/extracted/tls-ca-bundle.pem",
    },
    Layout {
        systems: "openSUSE, SLES",
        folder: "etc/pki/trust/anchors",
        command: "update-ca-certificates",
        went: Some("--fresh"),
        bundle: "var/lib/ca-certificates/ca-bundle.pem",
    },
];

/// Where the commands are: what is run as root does not depend on a variable.
const COMMAND_FOLDERS: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

/// Hexadecimal digits of the fingerprint in the name of a file.
const DIGITS: usize = 16;

impl Layout {
    /// The file of an authority, by its fingerprint: several have a place each.
    pub(super) fn file(&self, root: &Path, ca: &CaCertificate) -> PathBuf {
        let digits = ca.fingerprint.get(..DIGITS).unwrap_or(&ca.fingerprint);
        root.join(self.folder).join(format!("roundel-{digits}.crt"))
    }
}

/// The store of this system.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) layout: &'static Layout,
    root: PathBuf,
    command: PathBuf,
}

/// What a change came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Done,
    /// There was nothing to do.
    AsItWas,
}

/// Why a store could not be looked at or changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("`{}` failed: {reason}", command.display())]
    Command { command: PathBuf, reason: String },
    #[error("`{}` holds something else than this CA, and stays as it is", path.display())]
    Foreign { path: PathBuf },
    #[error("`{}` ran, and `{}` does not have the CA", command.display(), bundle.display())]
    NotTaken { command: PathBuf, bundle: PathBuf },
    #[error("`{}` has the CA from another file than `{}`: that one stays", bundle.display(), path.display())]
    Elsewhere { bundle: PathBuf, path: PathBuf },
}

impl StoreError {
    /// Whether another user could.
    pub(super) fn is_denied(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            Self::Command { reason, .. } => reason.contains("ermission denied"),
            _ => false,
        }
    }
}

impl Store {
    /// The store of the system whose root this is: there is the folder, and there is the command.
    pub(super) fn find(root: &Path) -> Option<Self> {
        LAYOUTS.iter().find_map(|layout| {
            let places = COMMAND_FOLDERS.iter();
            let mut commands = places.map(|folder| root.join(folder).join(layout.command));
            let command = commands.find(|command| command.is_file())?;
            let has_folder = root.join(layout.folder).is_dir();
            has_folder.then(|| Self {
                layout,
                root: root.to_owned(),
                command,
            })
        })
    }

    /// The file that an authority has in it, or would have.
    pub(super) fn file(&self, ca: &CaCertificate) -> PathBuf {
        self.layout.file(&self.root, ca)
    }

    /// What programs read.
    pub(super) fn bundle(&self) -> PathBuf {
        self.root.join(self.layout.bundle)
    }

    /// Whether programs find the authority.
    pub(super) fn has(&self, ca: &CaCertificate) -> Result<bool, StoreError> {
        let path = self.bundle();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(StoreError::Read { path, source }),
        };
        Ok(certificates(&text).any(|der| *der == *ca.der))
    }

    /// Puts an authority into the store.
    pub(super) fn add(&self, ca: &CaCertificate) -> Result<Change, StoreError> {
        let path = self.file(ca);
        let is_there = holds(&path, ca)?;
        if self.has(ca)? {
            return Ok(Change::AsItWas);
        }
        if !is_there {
            write(&path, ca)?;
        }
        self.update(None)
            .and_then(|()| self.must_have(ca))
            .inspect_err(|_| {
                // What did not work is not left for the next run of the command.
                let _ = fs::remove_file(&path);
            })?;
        Ok(Change::Done)
    }

    /// Takes out what [`add`](Self::add) put there.
    pub(super) fn remove(&self, ca: &CaCertificate) -> Result<Change, StoreError> {
        let path = self.file(ca);
        let is_there = holds(&path, ca)?;
        if !is_there && !self.has(ca)? {
            return Ok(Change::AsItWas);
        }
        if is_there {
            fs::remove_file(&path).map_err(|source| StoreError::Write {
                path: path.clone(),
                source,
            })?;
        }
        // Also where the file went before, and the command failed.
        self.update(self.layout.went)?;
        let bundle = self.bundle();
        match self.has(ca)? {
            true => Err(StoreError::Elsewhere { bundle, path }),
            false => Ok(Change::Done),
        }
    }

    fn must_have(&self, ca: &CaCertificate) -> Result<(), StoreError> {
        match self.has(ca)? {
            true => Ok(()),
            false => Err(StoreError::NotTaken {
                command: self.command.clone(),
                bundle: self.bundle(),
            }),
        }
    }

    fn update(&self, flag: Option<&str>) -> Result<(), StoreError> {
        let failed = |reason| StoreError::Command {
            command: self.command.clone(),
            reason,
        };
        let mut command = Command::new(&self.command);
        let output = command.args(flag).stdin(Stdio::null()).output();
        let output = output.map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        Err(failed(format!("{}: {last}", output.status)))
    }
}

/// The certificates in a file; what is none is somebody else's business.
fn certificates(text: &[u8]) -> impl Iterator<Item = CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(text).flatten()
}

/// Whether the authority is in its file.
fn holds(path: &Path, ca: &CaCertificate) -> Result<bool, StoreError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => {
            let path = path.to_owned();
            return Err(StoreError::Read { path, source });
        }
    };
    let found: Vec<_> = certificates(&text).collect();
    match found.as_slice() {
        [only] if **only == *ca.der => Ok(true),
        _ => Err(StoreError::Foreign {
            path: path.to_owned(),
        }),
    }
}

/// Writes the file of an authority, which is not there.
fn write(path: &Path, ca: &CaCertificate) -> Result<(), StoreError> {
    // Under a name that no command takes for a certificate first: nobody is to find half of it.
    let temporary = path.with_extension("new");
    let written = fs::write(&temporary, ca.pem())
        // Whatever the umask: every program reads it.
        .and_then(|()| fs::set_permissions(&temporary, readable_by_all(&temporary)?))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&temporary); // it may not be there
        StoreError::Write {
            path: path.to_owned(),
            source,
        }
    })
}

#[cfg(unix)]
fn readable_by_all(_: &Path) -> io::Result<Permissions> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(path: &Path) -> io::Result<Permissions> {
    Ok(fs::metadata(path)?.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_found_by_its_folder_and_its_command() {
        for layout in &LAYOUTS {
            let root = tempfile::tempdir().unwrap();
            assert!(Store::find(root.path()).is_none());
            fs::create_dir_all(root.path().join(layout.folder)).unwrap();
            assert!(Store::find(root.path()).is_none(), "{layout:?}");
            fs::create_dir_all(root.path().join("usr/bin")).unwrap();
            fs::write(root.path().join("usr/bin").join(layout.command), "").unwrap();
            assert_eq!(Store::find(root.path()).unwrap().layout, layout);
        }
    }
}
