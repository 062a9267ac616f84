//! What was asked for and is not implemented, for users to see what their tools want.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Names that are kept apart. Operations are fewer; services that are none of ours may have any name.
const NAMES: usize = 512;

/// What further ones are counted under.
const OTHERS: &str = "others";

/// Calls by service and operation.
#[derive(Default)]
pub(in crate::http) struct RefusedCalls(Mutex<BTreeMap<(String, String), u64>>);

impl RefusedCalls {
    /// Counts a call, and has the first one of its kind logged.
    pub(super) fn note(&self, service: &str, operation: &str) {
        let mut calls = self.0.lock();
        let mut key = (service.to_owned(), operation.to_owned());
        if calls.len() >= NAMES && !calls.contains_key(&key) {
            key = (OTHERS.to_owned(), OTHERS.to_owned());
        }
        let count = calls.entry(key).or_default();
        *count += 1;
        if *count == 1 {
            tracing::warn!(
                service,
                operation,
                "an operation that is not implemented was called"
            );
        }
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// All of them: service, operation, how often.
    pub(in crate::http) fn list(&self) -> Vec<(String, String, u64)> {
        let calls = self.0.lock();
        let calls = calls.iter();
        calls
            .map(|((service, operation), count)| (service.clone(), operation.clone(), *count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_name_and_there_is_an_end_to_names() {
        let calls = RefusedCalls::default();
        for number in 0..2 * NAMES {
            calls.note(&format!("service{number}"), "any operation");
        }
        calls.note("service1", "any operation");
        let list = calls.list();
        assert_eq!(list.len(), NAMES + 1);
        assert_eq!(
            list[0],
            (OTHERS.to_owned(), OTHERS.to_owned(), NAMES as u64)
        );
        let one = list.iter().find(|(service, ..)| service == "service1");
        assert_eq!(one.map(|(.., count)| *count), Some(2));
    }
}
