use std::sync::Arc;

use super::super::registry::{self, StoreError};

/// Why a request to a shadow is refused: the texts of the service (AWS-SHADOW-12, -34).
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Invalid JSON")]
    InvalidJson,
    /// The same of a payload over MQTT (AWS-SHADOW-35).
    #[error("Payload contains invalid json")]
    InvalidPayload,
    #[error("Missing required node: state")]
    NoState,
    #[error("State node must be an object")]
    State,
    #[error("Desired node must be an object")]
    Desired,
    #[error("Reported node must be an object")]
    Reported,
    #[error("Invalid version")]
    Version,
    #[error("Invalid clientToken")]
    Token,
    #[error("JSON contains too many levels of nesting; maximum is {most}", most = super::LEVELS_MAX)]
    TooDeep,
    #[error("State contains an invalid node")]
    InvalidNode,
    /// A name that no thing and no shadow can have.
    #[error("{0}")]
    Name(String),
    #[error("No shadow exists with name: '{0}'")]
    NoShadow(String),
    #[error("Version conflict")]
    Conflict,
    #[error("The payload exceeds the maximum size allowed")]
    TooLarge,
    #[error("Unsupported documented encoding; supported encoding is UTF-8")]
    Encoding,
    /// There is no room for the request, or for what it would have kept.
    #[error("Too many requests")]
    TooMany,
    /// The file did not take the change.
    #[error("Internal service failure")]
    Internal(Arc<StoreError>),
}

impl Error {
    /// `code` of the error document, and the status of HTTP.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::InvalidJson
            | Self::InvalidPayload
            | Self::NoState
            | Self::State
            | Self::Desired
            | Self::Reported
            | Self::Version
            | Self::Token
            | Self::TooDeep
            | Self::InvalidNode
            | Self::Name(_) => 400,
            Self::NoShadow(_) => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Encoding => 415,
            Self::TooMany => 429,
            Self::Internal(_) => 500,
        }
    }

    /// The name of the exception over HTTP (AWS-OPS-56).
    #[cfg(feature = "http")]
    pub(crate) fn name(&self) -> &'static str {
        match self.code() {
            404 => "ResourceNotFoundException",
            409 => "ConflictException",
            413 => "RequestEntityTooLargeException",
            415 => "UnsupportedDocumentEncodingException",
            429 => "ThrottlingException",
            500 => "InternalFailureException",
            _ => "InvalidRequestException",
        }
    }
}

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        match error {
            registry::Error::InternalFailure(cause) => {
                tracing::error!("the registry did not take a change of a shadow: {cause}");
                Self::Internal(cause)
            }
            error => Self::Name(error.to_string()),
        }
    }
}
