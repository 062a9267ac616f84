use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why certificates could not be read, made or issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertError {
    /// A file or folder cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder cannot be made.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A private key cannot be given to a group.
    #[error("cannot give `{}` to the group {group}", path.display())]
    Group {
        /// The private key.
        path: PathBuf,
        /// The number of the group.
        group: u32,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key is there already; nothing is overwritten.
    #[error("`{}` exists and is not overwritten", path.display())]
    Exists {
        /// The file in the way.
        path: PathBuf,
    },
    /// Half of what belongs together.
    #[error(
        "`{}` is there but `{}` is missing: put it back, or remove the first to have both made",
        present.display(), missing.display()
    )]
    Incomplete {
        /// The file that is there.
        present: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// A certificate is to be issued, and the authority's private key is kept elsewhere.
    #[error(
        "cannot issue a certificate without `{}`, the private key of `{}`: put it back, or have \
         certificates issued where it is kept",
        key.display(), certificate.display()
    )]
    NoKey {
        /// The authority's certificate, which is there.
        certificate: PathBuf,
        /// Its private key, which is not.
        key: PathBuf,
    },
    /// The broker has no authority of its own that could issue.
    #[error("the broker has no authority of its own that could issue a certificate")]
    NoAuthority,
    /// A file of a PKI of one's own was named, and not the one that belongs to it.
    #[error("`{named}` needs `{missing}`, which is not set")]
    NotNamed {
        /// The key of the configuration that is set.
        named: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// A file that holds no usable certificate or key.
    #[error("cannot use `{}`", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A private key that is not the certificate's.
    #[error("`{}` is not the private key of `{}`", key.display(), certificate.display())]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// A server certificate that was made without a name that is asked for.
    #[error(
        "`{}` is not valid for `{name}` (`san`): remove it and its key to have both made anew",
        path.display()
    )]
    NotCovered {
        /// The name or address asked for.
        name: String,
        /// The server certificate.
        path: PathBuf,
    },
    /// A name for the server certificate that the authority may not sign for.
    #[error(
        "the authority is limited to other names than `{name}` (`san`): one of another folder may have it"
    )]
    NotPermitted {
        /// The name or address asked for.
        name: String,
    },
    /// An authority with limits is asked for, and there is one without.
    #[error(
        "`{}` exists, is not limited, and is not overwritten: another folder may have one that is",
        path.display()
    )]
    NotLimited {
        /// The authority's certificate.
        path: PathBuf,
    },
    /// A name for the server certificate that is neither a host name nor an address.
    #[error("`{name}` (`san`) is neither a host name nor an IP address")]
    San {
        /// The text given.
        name: String,
    },
    /// A name that cannot be both a Common Name and a file name.
    #[error("`{name}` is no name for a certificate: {reason}")]
    Name {
        /// The text given.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A signing request that is none, or for a key that no certificate is issued for.
    #[error("the certificate signing request cannot be used: {reason}")]
    Request {
        /// What is wrong with it.
        reason: String,
    },
    /// The cryptographic library refused to make a key or a signature.
    #[error("cannot make a key or certificate")]
    Crypto {
        /// What it said.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl CertError {
    /// What is wrong with the file, without its name.
    pub(in crate::net) fn into_cause(self) -> Box<dyn Error + Send + Sync> {
        match self {
            Self::Read { source, .. } => source.into(),
            Self::Invalid { source, .. } => source,
            other => other.into(),
        }
    }

    pub(super) fn invalid(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

impl From<rcgen::Error> for CertError {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto {
            source: error.into(),
        }
    }
}
