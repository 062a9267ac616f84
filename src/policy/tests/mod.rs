//! Tests of the policies as a whole.

mod evaluation;
mod malformed;
mod properties;
mod verdicts;

use std::sync::Arc;

use super::{Document, Policies, Scope};

/// What every ARN of the tests begins with.
pub(super) const PREFIX: &str = "arn:aws:iot:us-east-1:123456789012:";

pub(super) fn document(text: &str) -> Document {
    Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A document of these statements.
pub(super) fn of_statements(statements: &str) -> Document {
    document(&format!(
        r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#
    ))
}

/// The policies of documents of these statements.
pub(super) fn policies(documents: &[&str]) -> Policies {
    let documents = documents.iter().map(|text| Arc::new(of_statements(text)));
    Policies::new(documents, &Scope::default())
}
