//! Who has the file of a registry: a broker says so in a file beside it, so that others can ask it for what
//! they cannot open.
//!
//! `FILE.http` is written once the registry is open and removed when the broker stops. One that a broker
//! left behind when it was killed is replaced by the next. It names the broker's token, which is another one at
//! each start: who asks sends it along, and a broker with another token refuses, so that nobody changes
//! a registry that he did not mean.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a broker says of itself beside the file of its registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Where its control API listens, if it has one.
    pub http: Option<SocketAddr>,
    /// What it is known by.
    pub token: String,
}

impl Holder {
    /// The broker that has the registry in a file, if one has said so. It means something only while the file
    /// is held: what a broker left behind that was killed is still there.
    #[must_use]
    pub fn of(registry: &Path) -> Option<Self> {
        read(&beside(registry).ok()?)
    }

    /// Removes what a broker left behind. Only who has the registry open knows that it is nobody's.
    pub fn forget(registry: &Path) {
        if let Ok(path) = beside(registry) {
            let _ = fs::remove_file(path); // most often there is none
        }
    }

    /// Says that this process has the registry, for as long as the answer is kept.
    pub(crate) fn announce(self, registry: &Path) -> io::Result<Announcement> {
        let path = beside(registry)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let temporary = path.with_file_name(name);
        let text = serde_json::to_string(&self)? + "\n";
        // Under another name first: nobody is to read half of it.
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, &path))
            .inspect_err(|_| drop(fs::remove_file(&temporary)))?;
        let token = self.token;
        Ok(Announcement { path, token })
    }
}

fn read(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The file beside that of a registry, whatever link that was named by.
fn beside(registry: &Path) -> io::Result<PathBuf> {
    let mut path = registry.canonicalize()?.into_os_string();
    path.push(".http");
    Ok(path.into())
}

/// That a process has a registry, which is said until this is dropped.
#[derive(Debug)]
pub(crate) struct Announcement {
    path: PathBuf,
    token: String,
}

impl Announcement {
    /// What the process is known by.
    #[cfg(feature = "http")]
    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Somebody else may have the registry by now.
        if read(&self.path).is_some_and(|holder| holder.token == self.token) {
            let _ = fs::remove_file(&self.path); // it means nothing once the registry is free
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(token: &str) -> Holder {
        Holder {
            http: Some(([127, 0, 0, 1], 9883).into()),
            token: token.to_owned(),
        }
    }

    #[test]
    fn what_is_said_is_found_until_it_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.redb");
        assert_eq!(Holder::of(&path), None);
        fs::write(&path, "").unwrap();
        let first = holder("1").announce(&path).unwrap();
        assert_eq!(Holder::of(&path), Some(holder("1")));
        // The next one replaces it, and is not taken back by the first.
        let second = holder("2").announce(&path).unwrap();
        drop(first);
        assert_eq!(Holder::of(&path), Some(holder("2")));
        drop(second);
        assert_eq!(Holder::of(&path), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_left_behind_is_forgotten_and_nonsense_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.redb");
        fs::write(&path, "").unwrap();
        std::mem::forget(holder("1").announce(&path).unwrap());
        Holder::forget(&path);
        assert_eq!(Holder::of(&path), None);
        fs::write(folder.path().join("r.redb.http"), "{\"http\":").unwrap();
        assert_eq!(Holder::of(&path), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_the_registry_leads_to_the_same_holder() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("r.redb"), folder.path().join("link"));
        fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let _said = holder("1").announce(&link).unwrap();
        assert_eq!(Holder::of(&path), Some(holder("1")));
    }
}
