//! Hashed passwords: reading, checking and making them.
//!
//! Two forms are read, so that the file of another broker can be used as it is:
//!
//! | form | key derivation | made by |
//! |---|---|---|
//! | `$pbkdf2-sha256$i=ITERATIONS$SALT$HASH` | PBKDF2 with HMAC-SHA-256 | `roundel passwd`, passlib |
//! | `$7$ITERATIONS$SALT$HASH` | PBKDF2 with HMAC-SHA-512 | `mosquitto_passwd` |
//!
//! Salt and hash are base64, with or without padding.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::digest::SHA256_OUTPUT_LEN;
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Iterations of a hash made here: some milliseconds of one core for each CONNECT. Enough for a
/// broker on a developer's machine; hashes with more are read and checked all the same.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(20_000).expect("invariant: not zero");

/// Shorter hashes could be met by chance.
const HASH_MIN: usize = 16;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A password that can be checked and not be read.
///
/// ```
/// use roundel::PasswordHash;
///
/// let salt = *b"sixteen bytes ok"; // random bytes in earnest
/// let hash = PasswordHash::new(b"secret", &salt);
/// assert!(hash.verify(b"secret"));
/// let read: PasswordHash = hash.to_string().parse()?;
/// assert!(!read.verify(b"Secret"));
/// # Ok::<(), roundel::PasswordHashError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    derivation: Derivation,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// Why a text is no password hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordHashError {
    /// Neither of the two forms.
    #[error("it starts neither with `$pbkdf2-sha256$` nor with `$7$`")]
    Form,
    /// Not as many parts as the form has.
    #[error("it lacks a part, or has one too many")]
    Parts,
    /// No number of iterations above zero.
    #[error("`{0}` is no number of iterations")]
    Iterations(String),
    /// A salt or hash that is not base64.
    #[error("its {0} is not base64")]
    Base64(&'static str),
    /// A hash of less than 16 bytes.
    #[error("its hash is too short")]
    Short,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Derivation {
    Sha256,
    Sha512,
}

impl PasswordHash {
    /// Hashes a password with 16 random bytes of salt.
    #[must_use]
    pub fn new(password: &[u8], salt: &[u8; 16]) -> Self {
        let mut hash = vec![0; SHA256_OUTPUT_LEN];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ITERATIONS,
            salt,
            password,
            &mut hash,
        );
        Self {
            derivation: Derivation::Sha256,
            iterations: ITERATIONS,
            salt: salt.to_vec(),
            hash,
        }
    }

    /// Whether this is the password. Takes milliseconds: the iterations of the hash.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        let algorithm = match self.derivation {
            Derivation::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Derivation::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        pbkdf2::verify(algorithm, self.iterations, &self.salt, password, &self.hash).is_ok()
    }
}

impl std::str::FromStr for PasswordHash {
    type Err = PasswordHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (derivation, rest) = if let Some(rest) = text.strip_prefix("$pbkdf2-sha256$") {
            (Derivation::Sha256, rest)
        } else if let Some(rest) = text.strip_prefix("$7$") {
            (Derivation::Sha512, rest)
        } else {
            return Err(PasswordHashError::Form);
        };
        let mut parts = rest.split('$');
        let (Some(iterations), Some(salt), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(PasswordHashError::Parts);
        };
        let hash = decode(hash).ok_or(PasswordHashError::Base64("hash"))?;
        if hash.len() < HASH_MIN {
            return Err(PasswordHashError::Short);
        }
        Ok(Self {
            derivation,
            iterations: parse_iterations(iterations)?,
            salt: decode(salt).ok_or(PasswordHashError::Base64("salt"))?,
            hash,
        })
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.derivation {
            Derivation::Sha256 => "$pbkdf2-sha256$i=",
            Derivation::Sha512 => "$7$",
        };
        let (salt, hash) = (BASE64.encode(&self.salt), BASE64.encode(&self.hash));
        write!(f, "{prefix}{}${salt}${hash}", self.iterations)
    }
}

impl fmt::Debug for PasswordHash {
    /// Leaves salt and hash out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash")
            .field("derivation", &self.derivation)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// Reads `i=20000`, `i=20000,l=32` (the length is that of the hash anyway) or `20000`.
fn parse_iterations(text: &str) -> Result<NonZeroU32, PasswordHashError> {
    let count = text.strip_prefix("i=").unwrap_or(text);
    let count = count.split_once(',').map_or(count, |(count, _)| count);
    count
        .parse()
        .map_err(|_| PasswordHashError::Iterations(text.to_owned()))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    // passlib writes a dot for a plus.
    BASE64.decode(text.replace('.', "+")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOSQUITTO: &str = "$7$101$AAECAwQFBgcICQoL$Xr99N9ym9ys8TWxis5ajETJq6EVYzmc6nb8t3pUYnPBbCA\
        bICS4xejTltonXWCtJNBvA+By+TXUqU6qCblO00w==";
    const SHA256: &str =
        "$pbkdf2-sha256$i=1000$MDEyMzQ1Njc4OWFiY2RlZg$tiKWHy4FAGCWE8gn6GtKhaxD2OeeAUUWXFT/p1aaNl8";

    fn parse(text: &str) -> Result<PasswordHash, PasswordHashError> {
        text.parse()
    }

    #[test]
    fn a_hash_survives_being_written_and_read() {
        let hash = PasswordHash::new(b"secret", &[7; 16]);
        assert!(hash.to_string().starts_with("$pbkdf2-sha256$i=20000$"));
        assert_eq!(parse(&hash.to_string()).unwrap(), hash);
    }

    #[test]
    fn only_the_password_passes() {
        let hash = PasswordHash::new(b"secret", &[7; 16]);
        assert!(hash.verify(b"secret"));
        for wrong in [b"".as_slice(), b"Secret", b"secret ", b"secre"] {
            assert!(!hash.verify(wrong));
        }
    }

    /// Python: `hashlib.pbkdf2_hmac("sha512", b"secret", bytes(range(12)), 101)`.
    #[test]
    fn a_line_of_mosquitto_passwd_is_read() {
        let hash = parse(MOSQUITTO).unwrap();
        assert!(hash.verify(b"secret"));
        assert!(!hash.verify(b"other"));
    }

    /// Python: `hashlib.pbkdf2_hmac("sha256", b"secret", b"0123456789abcdef", 1000)`.
    #[test]
    fn spellings_of_other_programs_are_read() {
        for iterations in ["i=1000", "i=1000,l=32", "1000"] {
            let text = SHA256.replace("i=1000", iterations);
            assert!(parse(&text).unwrap().verify(b"secret"), "{text}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused_with_the_reason() {
        for (text, error) in [
            ("secret", PasswordHashError::Form),
            ("$6$c2FsdA==$aGFzaA==", PasswordHashError::Form),
            ("$7$101$c2FsdA==", PasswordHashError::Parts),
            (
                "$7$101$c2FsdA==$YWJjZGVmZ2hpamtsbW5vcA==$",
                PasswordHashError::Parts,
            ),
            (
                "$7$0$c2FsdA==$YWJjZGVmZ2hpamtsbW5vcA==",
                PasswordHashError::Iterations("0".into()),
            ),
            (
                "$7$101$!$YWJjZGVmZ2hpamtsbW5vcA==",
                PasswordHashError::Base64("salt"),
            ),
            ("$7$101$c2FsdA==$aGFzaA==", PasswordHashError::Short),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
