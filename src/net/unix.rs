//! MQTT over a Unix socket: its file, from where it is bound until the broker stops.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket as RawSocket, Type};
use tokio::net::UnixListener;

use super::Shared;
use super::listener::{self, BACKLOG};

/// A Unix socket that listens. Its file is removed when this is dropped, unless it is another's by then.
pub(crate) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// What the file is known by: its device and its number there.
    identity: (u64, u64),
}

impl UnixSocket {
    /// Listens at a path, where only the owner of this process can connect. A socket that nobody listens at any more
    /// gives way.
    ///
    /// # Errors
    ///
    /// Somebody who listens there, a file that is no socket, and what the system says: a path that is too long, or in
    /// no folder.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let address = SockAddr::unix(&path)?;
        remove_stale(&path, &address)?;
        let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address)?;
        let identity = identity(&fs::symlink_metadata(&path)?);
        // Nobody can connect before it listens.
        let listening = fs::set_permissions(&path, Permissions::from_mode(0o600))
            .and_then(|()| socket.listen(BACKLOG))
            .and_then(|()| UnixListener::from_std(socket.into()));
        match listening {
            Ok(listener) => Ok(Self {
                listener,
                path,
                identity,
            }),
            Err(error) => {
                remove(&path, identity);
                Err(error)
            }
        }
    }

    /// Where it is; absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        remove(&self.path, self.identity);
    }
}

/// Accepts connections until the server stops.
pub(crate) async fn accept(shared: Arc<Shared>, socket: UnixSocket) {
    let listener = &socket.listener;
    let accept = || listener.accept();
    listener::accept_each(&shared, NAME, accept, |(stream, _)| {
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        listener::take_unix(&shared, stream, pid);
    })
    .await;
}

/// What the listener is called.
pub(super) const NAME: &str = "unix";

/// Removes a socket that a process left behind.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let reason = "there is a file that is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
    }
    let probe = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    // Who has too many that wait for it listens, too.
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            remove(path, identity(&found));
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => {
            let reason = "another process listens there";
            Err(io::Error::new(io::ErrorKind::AddrInUse, reason))
        }
    }
}

/// Removes the file, unless somebody has put another in its place.
fn remove(path: &Path, own: (u64, u64)) {
    if fs::symlink_metadata(path).is_ok_and(|found| identity(&found) == own) {
        // What cannot be removed stays, and gives way to the next that listens.
        let _ = fs::remove_file(path);
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as StdListener;

    use super::*;

    fn refusal(path: &Path) -> io::Error {
        UnixSocket::bind(path).err().expect("it is refused")
    }

    #[tokio::test]
    async fn file_is_the_owners_alone_and_goes_with_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mqtt");
        let socket = UnixSocket::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(refusal(&path).kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn socket_that_was_left_behind_gives_way_and_no_other_file_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mqtt");
        drop(StdListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(UnixSocket::bind(&path).unwrap());
        fs::write(&path, "mine").unwrap();
        assert_eq!(refusal(&path).kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn file_that_another_put_in_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mqtt");
        let socket = UnixSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = StdListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
    }
}
