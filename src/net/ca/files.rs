//! Files of the authority: never overwritten, keys readable by their owner only.

use std::fs::{self, File, FileType, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{CertError, KeyAccess};

/// Locked while the folder is read or filled. It stays: removing it would let a process that
/// waits for it and one that makes a new file both believe that they hold the lock.
const LOCK: &str = ".lock";

/// Another process needs the lock for some keys and files. One that holds it for longer is stuck.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Between two looks whether the lock is free.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// More is no PEM that anybody means to use here; the largest bundles of authorities are a tenth.
const SIZE_LIMIT: u64 = 4 << 20;

/// A folder that is made for keys keeps them out of repositories, itself included.
const IGNORE: (&str, &str) = (".gitignore", "*\n");

/// Who may read a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    Owner,
    Everyone,
    /// Whatever the umask of the process is.
    Exactly(KeyAccess),
}

/// Makes the folder if need be and locks it until the answer is dropped.
///
/// A folder that is complete may be read-only, and some network file systems know no locks: in
/// both cases there is nothing to wait for, and [`write_new`] still overwrites nothing.
pub(super) fn lock(folder: &Path) -> Result<Option<File>, CertError> {
    create_folder(folder)?;
    let path = folder.join(LOCK);
    // To open a pipe for writing is to wait for somebody who reads.
    if exists(&path)? {
        must_be_file(&path)?;
    }
    let Ok(file) = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
    else {
        return Ok(None);
    };
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                let reason = "another process has kept it locked for 10 s";
                let source = io::Error::new(io::ErrorKind::TimedOut, reason);
                return Err(CertError::Write { path, source });
            }
        }
    }
}

/// Makes the folder if need be; one that is made for the purpose is not for repositories.
pub(crate) fn create_folder(folder: &Path) -> Result<(), CertError> {
    let unwritable = |source| CertError::Write {
        path: folder.to_owned(),
        source,
    };
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(unwritable)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => {}
        // Another process was faster; or something is in the way, which the next step finds.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {
            return Ok(());
        }
        Err(source) => return Err(unwritable(source)),
    }
    let (name, content) = IGNORE;
    write_new(&folder.join(name), content, Access::Everyone)
}

pub(super) fn exists(path: &Path) -> Result<bool, CertError> {
    // A dangling link counts as there: `write_new` would find it in its way.
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(CertError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether both files are there; one without the other is an error.
pub(super) fn is_pair(certificate: &Path, key: &Path) -> Result<bool, CertError> {
    let incomplete = |present: &Path, missing: &Path| {
        Err(CertError::Incomplete {
            present: present.to_owned(),
            missing: missing.to_owned(),
        })
    };
    match (exists(certificate)?, exists(key)?) {
        (true, true) => Ok(true),
        (false, false) => Ok(false),
        (true, false) => incomplete(certificate, key),
        (false, true) => incomplete(key, certificate),
    }
}

/// Reads a file, and nothing that would keep the reader waiting.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    must_be_file(path)?;
    fs::read(path).map_err(|source| unreadable(path, source))
}

fn must_be_file(path: &Path) -> Result<(), CertError> {
    let metadata = fs::metadata(path).map_err(|source| unreadable(path, source))?;
    let reason = if !metadata.is_file() {
        format!("it is {} and not a file", kind(metadata.file_type()))
    } else if metadata.len() > SIZE_LIMIT {
        format!("it has {} bytes, which no PEM file needs", metadata.len())
    } else {
        return Ok(());
    };
    Err(unreadable(path, io::Error::other(reason)))
}

fn unreadable(path: &Path, source: io::Error) -> CertError {
    CertError::Read {
        path: path.to_owned(),
        source,
    }
}

fn kind(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a named pipe (FIFO)";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    if kind.is_dir() {
        "a folder"
    } else {
        "a device"
    }
}

/// Warns of a private key that more than its owner can read.
pub(super) fn check_private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let Ok(metadata) = fs::metadata(path) else {
            return; // whoever reads it says why it cannot be read
        };
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_file() && mode & 0o077 != 0 {
            tracing::warn!(
                path = %path.display(),
                mode = format!("{mode:04o}"),
                "others can use this private key: chmod 600 keeps it to its owner"
            );
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Has a private key that is there be read by whom `access` says.
pub(super) fn give(path: &Path, access: KeyAccess) -> Result<(), CertError> {
    must_be_file(path)?;
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    set(&file, path, access)
}

/// Hands an open file to its group, and lets that read it only then.
fn set(file: &File, path: &Path, access: KeyAccess) -> Result<(), CertError> {
    #[cfg(unix)]
    {
        use std::fs::Permissions;
        use std::os::unix::fs::{PermissionsExt as _, fchown};

        let refused = |source| CertError::Write {
            path: path.to_owned(),
            source,
        };
        if let Some(group) = access.group {
            let before = file.metadata().map_err(refused)?.permissions();
            // A group that reads a key now, or that it is given to, reads it no sooner than it should.
            let narrow = Permissions::from_mode(before.mode() & access.mode);
            file.set_permissions(narrow).map_err(refused)?;
            fchown(file, None, Some(group)).map_err(|source| {
                let _ = file.set_permissions(before); // the refusal is what is told
                CertError::Group {
                    path: path.to_owned(),
                    group,
                    source,
                }
            })?;
        }
        file.set_permissions(Permissions::from_mode(access.mode))
            .map_err(refused)?;
    }
    #[cfg(not(unix))]
    let _ = (file, path, access);
    Ok(())
}

/// Writes a file that must not exist. It has its final permissions before it has any content.
pub(super) fn write_new(path: &Path, content: &str, access: Access) -> Result<(), CertError> {
    let mut file = options(access)
        .open(path)
        .map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => CertError::Exists {
                path: path.to_owned(),
            },
            _ => CertError::Write {
                path: path.to_owned(),
                source,
            },
        })?;
    if let Access::Exactly(access) = access {
        set(&file, path, access).inspect_err(|_| discard(path))?;
    }
    file.write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|source| {
            discard(path);
            CertError::Write {
                path: path.to_owned(),
                source,
            }
        })
}

/// Takes back a file that this process made; it is of no use to anyone, so nor is an error.
pub(super) fn discard(path: &Path) {
    let _ = fs::remove_file(path);
}

fn options(access: Access) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(match access {
            Access::Owner | Access::Exactly(_) => 0o600,
            Access::Everyone => 0o644,
        });
    }
    #[cfg(not(unix))]
    let _ = access;
    options
}
