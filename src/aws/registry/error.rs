use std::sync::Arc;

use super::store::StoreError;

/// Why an operation is refused. Each variant is an exception of the service; what it says stands in its
/// `message` (AWS-API-41).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A member that is missing, malformed or does not go with the others.
    #[error("{0}")]
    InvalidRequest(String),
    /// A policy document that is none.
    #[error("{0}")]
    MalformedPolicy(String),
    /// A certificate that cannot be taken.
    #[error("{0}")]
    CertificateValidation(String),
    /// A verification certificate without the registration code.
    #[error("{0}")]
    RegistrationCodeValidation(String),
    /// There is none of that name.
    #[error("{0}")]
    ResourceNotFound(String),
    /// The status of a certificate forbids it.
    #[error("{0}")]
    CertificateState(String),
    /// There is one already.
    #[error("{message}")]
    ResourceAlreadyExists {
        /// What there is.
        message: String,
        /// The identifier of the one that there is (AWS-API-42).
        id: String,
        /// Its ARN.
        arn: String,
    },
    /// The version is another one than was expected.
    #[error("{0}")]
    VersionConflict(String),
    /// Something depends on it.
    #[error("{0}")]
    DeleteConflict(String),
    /// Several authorities may have signed a certificate.
    #[error("{0}")]
    CertificateConflict(String),
    /// A policy has as many versions as it may have.
    #[error("{0}")]
    VersionsLimitExceeded(String),
    /// There are as many as there may be.
    #[error("{0}")]
    LimitExceeded(String),
    /// The file did not take the change, which has not happened.
    #[error("{}", told(.0))]
    InternalFailure(Arc<StoreError>),
}

/// A refusal of the file with its cause, for those who see no more than a message.
fn told(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Error {
    /// The name of the exception, as clients compare it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "InvalidRequestException",
            Self::MalformedPolicy(_) => "MalformedPolicyException",
            Self::CertificateValidation(_) => "CertificateValidationException",
            Self::RegistrationCodeValidation(_) => "RegistrationCodeValidationException",
            Self::ResourceNotFound(_) => "ResourceNotFoundException",
            Self::CertificateState(_) => "CertificateStateException",
            Self::ResourceAlreadyExists { .. } => "ResourceAlreadyExistsException",
            Self::VersionConflict(_) => "VersionConflictException",
            Self::DeleteConflict(_) => "DeleteConflictException",
            Self::CertificateConflict(_) => "CertificateConflictException",
            Self::VersionsLimitExceeded(_) => "VersionsLimitExceededException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::InternalFailure(_) => "InternalFailureException",
        }
    }

    /// The status of HTTP that goes with it (AWS-API-41).
    pub fn status(&self) -> u16 {
        match self {
            Self::InvalidRequest(_)
            | Self::MalformedPolicy(_)
            | Self::CertificateValidation(_)
            | Self::RegistrationCodeValidation(_) => 400,
            Self::ResourceNotFound(_) => 404,
            Self::CertificateState(_) => 406,
            Self::ResourceAlreadyExists { .. }
            | Self::VersionConflict(_)
            | Self::DeleteConflict(_)
            | Self::CertificateConflict(_)
            | Self::VersionsLimitExceeded(_) => 409,
            Self::LimitExceeded(_) => 410,
            Self::InternalFailure(_) => 500,
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidRequest(message.into())
    }

    /// "Thing car1 not found."
    pub(super) fn not_found(what: &str, name: &str) -> Self {
        Self::ResourceNotFound(format!("{what} {name} not found."))
    }
}
