//! Random topics and filters over a small alphabet, so that they collide, nest and match often.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::HashParent;

/// A legal Topic Name; levels may be empty or start with `$`, and some are too long to lie in place.
pub(super) fn topic() -> impl Strategy<Value = String> {
    let level = select(vec![
        "a",
        "b",
        "ab",
        "",
        "$s",
        "a-level-of-more-than-22-bytes",
    ]);
    vec(level, 1..6)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("empty", |topic| !topic.is_empty())
}

/// A legal Topic Filter.
pub(super) fn filter() -> impl Strategy<Value = String> {
    let level = select(vec![
        "a",
        "b",
        "+",
        "+",
        "",
        "$s",
        "a-level-of-more-than-22-bytes",
    ]);
    (vec(level, 0..5), select(vec!["a", "", "+", "#", "#"]))
        .prop_map(|(mut levels, last)| {
            levels.push(last);
            levels.join("/")
        })
        .prop_filter("empty", |filter| !filter.is_empty())
}

/// Either reading of `#`.
pub(super) fn parent() -> impl Strategy<Value = HashParent> {
    select(vec![HashParent::Matches, HashParent::Excluded])
}

/// What a test does to a collection.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Insert(String),
    Remove(String),
}

/// A sequence of inserts, and removals that mostly hit.
pub(super) fn steps(path: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<Step>> {
    let step = (path, any::<prop::sample::Index>(), 0..3);
    vec(step, 1..60).prop_map(|choices| {
        let paths: Vec<String> = choices.iter().map(|(path, ..)| path.clone()).collect();
        let step = |(path, index, kind): (String, prop::sample::Index, i32)| match kind {
            0 => Step::Remove(index.get(&paths).clone()),
            _ => Step::Insert(path),
        };
        choices.into_iter().map(step).collect()
    })
}
