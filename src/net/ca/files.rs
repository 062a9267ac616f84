//! Files of the authority: never overwritten, keys readable by their owner only.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;

use super::CertError;

/// Locked while the folder is read or filled. It stays: removing it would let a process that
/// waits for it and one that makes a new file both believe that they hold the lock.
const LOCK: &str = ".lock";

/// Who may read a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    Owner,
    Everyone,
}

/// Makes the folder if need be and locks it until the answer is dropped.
///
/// A folder that is complete may be read-only, and some network file systems know no locks: in
/// both cases there is nothing to wait for, and [`write_new`] still overwrites nothing.
pub(super) fn lock(folder: &Path) -> Result<Option<File>, CertError> {
    create_folder(folder)?;
    let path = folder.join(LOCK);
    let Ok(file) = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
    else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            file.lock()
                .map_err(|source| CertError::Write { path, source })?;
            Ok(Some(file))
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

pub(super) fn create_folder(folder: &Path) -> Result<(), CertError> {
    fs::create_dir_all(folder).map_err(|source| CertError::Write {
        path: folder.to_owned(),
        source,
    })
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

pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    fs::read(path).map_err(|source| CertError::Read {
        path: path.to_owned(),
        source,
    })
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
            Access::Owner => 0o600,
            Access::Everyone => 0o644,
        });
    }
    #[cfg(not(unix))]
    let _ = access;
    options
}
