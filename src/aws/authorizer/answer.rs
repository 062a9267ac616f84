//! What the function of an authorizer answers (AWS-AUTH-03 to -06).

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::broker::access::Authorization;
use crate::objects::from_json;
use crate::policy::Document;

/// Characters of a principal's name.
const PRINCIPAL_MAX: usize = 128;

/// Documents, and characters of each.
const DOCUMENTS_MAX: usize = 10;
const DOCUMENT_MAX: usize = 2048;

/// Bounds of both times, and what it is if nobody says when a connection ends, in seconds.
const SHORTEST: u64 = 300;
const LONGEST: u64 = 86_400;

/// An answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) is_authenticated: bool,
    pub(crate) principal_id: Option<String>,
    /// Each an object, or its text.
    policy_documents: Option<Vec<Value>>,
    pub(crate) disconnect_after_in_seconds: Option<i64>,
    pub(crate) refresh_after_in_seconds: Option<i64>,
}

impl Answer {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        from_json(json).map_err(|error| format!("its answer cannot be read: {error}"))
    }

    /// The texts of its documents.
    pub(crate) fn documents(&self) -> Vec<String> {
        let documents = self.policy_documents.iter().flatten();
        let text = |document: &Value| match document {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        documents.map(text).collect()
    }

    /// What it means for the client; nothing if that is not whom it says it is.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer.
    pub(crate) fn authorization(&self) -> Result<Option<Authorization>, String> {
        if !self.is_authenticated {
            return Ok(None);
        }
        let principal = self.principal_id.as_deref().unwrap_or_default();
        let is_principal = (1..=PRINCIPAL_MAX).contains(&principal.len())
            && principal.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_principal {
            return Err("principalId is not 1 to 128 letters and digits".to_owned());
        }
        let documents = self.documents();
        if documents.len() > DOCUMENTS_MAX {
            return Err(format!(
                "policyDocuments has {} documents, more than {DOCUMENTS_MAX}",
                documents.len()
            ));
        }
        let size = documents.iter().map(String::len).sum();
        let documents = documents.iter().enumerate();
        let documents = documents.map(|(number, text)| {
            let document = parse(text);
            document.map_err(|error| format!("policyDocuments[{number}]: {error}"))
        });
        let ends = self.disconnect_after_in_seconds;
        Ok(Some(Authorization {
            principal: principal.into(),
            documents: documents.collect::<Result<_, _>>()?,
            size,
            disconnect_after: ends.map_or(Duration::from_secs(LONGEST), within),
            refresh_after: self.refresh_after_in_seconds.map(within),
        }))
    }
}

/// AWS-AUTH-04 AWS-ID-86
fn parse(text: &str) -> Result<Arc<Document>, String> {
    let characters = text.chars().count();
    if characters > DOCUMENT_MAX {
        return Err(format!("{characters} characters, more than {DOCUMENT_MAX}"));
    }
    let document = Document::parse(text);
    document.map(Arc::new).map_err(|error| error.to_string())
}

/// A time within its bounds (AWS-AUTH-05, -06).
fn within(seconds: i64) -> Duration {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Duration::from_secs(seconds.clamp(SHORTEST, LONGEST))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
        })
    }

    fn read(answer: &Value) -> Result<Option<Authorization>, String> {
        Answer::read(answer.to_string().as_bytes())?.authorization()
    }

    #[test]
    fn an_answer_says_who_it_is_what_that_may_do_and_for_how_long() {
        let answer = json!({
            "isAuthenticated": true,
            "principalId": "ann1",
            "policyDocuments": [document(), document().to_string()],
            "disconnectAfterInSeconds": 600,
            "refreshAfterInSeconds": 400,
            "context": {"of": "others"},
        });
        let said = read(&answer).unwrap().unwrap();
        assert_eq!((&*said.principal, said.documents.len()), ("ann1", 2));
        assert_eq!(said.disconnect_after, Duration::from_secs(600));
        assert_eq!(said.refresh_after, Some(Duration::from_secs(400)));
        assert!(read(&json!({"isAuthenticated": false})).unwrap().is_none());
    }

    /// AWS-AUTH-05 AWS-AUTH-06
    #[test]
    fn times_are_kept_within_their_bounds() {
        let times = |ends: Value, refresh: Value| {
            let answer = json!({
                "isAuthenticated": true,
                "principalId": "a",
                "disconnectAfterInSeconds": ends,
                "refreshAfterInSeconds": refresh,
            });
            let said = read(&answer).unwrap().unwrap();
            let refresh = said.refresh_after.map(|time| time.as_secs());
            (said.disconnect_after.as_secs(), refresh)
        };
        assert_eq!(times(Value::Null, Value::Null), (86_400, None));
        assert_eq!(times(json!(299), json!(-1)), (300, Some(300)));
        assert_eq!(times(json!(86_401), json!(86_401)), (86_400, Some(86_400)));
    }

    /// AWS-AUTH-03 AWS-AUTH-04
    #[test]
    fn an_answer_out_of_bounds_is_none() {
        let with = |change: fn(&mut Value)| {
            let mut answer = json!({
                "isAuthenticated": true,
                "principalId": "a",
                "policyDocuments": [document()],
            });
            change(&mut answer);
            read(&answer).map(|_| ()).unwrap_err()
        };
        for (change, why) in [
            (
                (|answer| answer["isAuthenticated"] = json!("yes")) as fn(&mut Value),
                "cannot be read",
            ),
            (|answer| *answer = json!([]), "cannot be read"),
            (|answer| answer["principalId"] = Value::Null, "principalId"),
            (|answer| answer["principalId"] = json!("a-b"), "principalId"),
            (
                |answer| answer["principalId"] = json!("a".repeat(129)),
                "principalId",
            ),
            (
                |answer| answer["policyDocuments"] = vec![document(); 11].into(),
                "11 documents",
            ),
            (
                |answer| {
                    let text = format!("{}{}", document(), " ".repeat(2048));
                    answer["policyDocuments"] = json!([text]);
                },
                "policyDocuments[0]",
            ),
            (
                |answer| answer["policyDocuments"] = json!([document(), {}]),
                "policyDocuments[1]",
            ),
            (
                |answer| answer["refreshAfterInSeconds"] = json!("300"),
                "cannot be read",
            ),
        ] {
            let wrong = with(change);
            assert!(wrong.contains(why), "{wrong}");
        }
    }
}
