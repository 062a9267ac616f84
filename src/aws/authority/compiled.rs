//! Policies that were made ready, and who else has them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::policy::{Policies, Scope};

use super::super::registry::PolicyFact;

/// Sets of policies that are kept ready before the first look for those that nobody has any more.
const TIDIED_AT: usize = 64;

/// Policies that were made ready, shared by all who have the same ones: by the addresses of their
/// documents, which last for as long as the policies do.
#[derive(Default)]
pub(super) struct Compiled {
    known: HashMap<Vec<usize>, Weak<Policies>>,
    /// Those that nobody has any more are looked for when there are so many.
    tidied_at: usize,
}

impl Compiled {
    pub(super) fn of(&mut self, facts: &[PolicyFact], scope: &Scope) -> Arc<Policies> {
        let documents = facts.iter().map(|fact| &fact.document);
        let addresses: Vec<usize> = documents
            .clone()
            .map(|one| Arc::as_ptr(one).addr())
            .collect();
        if let Some(known) = self.known.get(&addresses).and_then(Weak::upgrade) {
            return known;
        }
        if self.known.len() >= self.tidied_at {
            self.known.retain(|_, policies| policies.strong_count() > 0);
            self.tidied_at = 2 * self.known.len() + TIDIED_AT;
        }
        let made = Arc::new(Policies::new(documents.cloned(), scope));
        self.known.insert(addresses, Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Document;

    fn fact(name: &str) -> PolicyFact {
        let document = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}"#;
        PolicyFact {
            name: name.to_owned(),
            version: 1,
            document: Arc::new(Document::parse(document).unwrap()),
        }
    }

    #[test]
    fn clients_with_the_same_policies_share_them_while_somebody_has_them() {
        let (mut compiled, scope) = (Compiled::default(), Scope::default());
        let facts = [fact("a"), fact("b")];
        let one = compiled.of(&facts, &scope);
        assert!(Arc::ptr_eq(&one, &compiled.of(&facts, &scope)));
        assert!(!Arc::ptr_eq(&one, &compiled.of(&facts[..1], &scope)));
        for _ in 0..1000 {
            compiled.of(&[fact("passing")], &scope);
        }
        assert!(
            compiled.known.len() < 4 * TIDIED_AT,
            "{}",
            compiled.known.len()
        );
        assert!(Arc::ptr_eq(&one, &compiled.of(&facts, &scope)));
    }
}
