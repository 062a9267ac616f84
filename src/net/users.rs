//! User names and passwords of the configuration.

use crate::broker::Credentials;
use crate::config::User;

/// Whether a CONNECT named a user of the list with the right password. Takes milliseconds of CPU.
#[cfg(feature = "tls")]
pub(super) fn verify(users: &[User], credentials: &Credentials) -> bool {
    use crate::auth::password::PasswordHash;

    let (Some(name), Some(password)) = (&credentials.username, &credentials.password) else {
        return false;
    };
    let hash = users
        .iter()
        .find(|user| *user.name == **name)
        .and_then(|user| user.password_hash.parse::<PasswordHash>().ok());
    hash.is_some_and(|hash| hash.verify(password))
}

/// Without the cryptography nobody's password can be checked, so nobody on the list gets in; a
/// configuration from a file was refused before it came to this.
#[cfg(not(feature = "tls"))]
pub(super) fn verify(_users: &[User], _credentials: &Credentials) -> bool {
    false
}
