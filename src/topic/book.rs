//! The rules of topics once more, written to be read rather than to be fast: what tests hold the
//! rest of this module against.

use super::HashParent;

/// Whether `topic` is a legal Topic Name (MQTT-4.7.0-1, MQTT-4.7.3-1 to -3).
pub(crate) fn is_topic_name(topic: &str) -> bool {
    (1..=65_535).contains(&topic.len()) && !topic.contains(['\0', '+', '#'])
}

/// ShareName and Topic Filter of a legal subscription filter (MQTT-4.7.1-1, -2, MQTT-4.7.3-1 to -3,
/// MQTT-4.8.2-1, -2).
pub(crate) fn parse_filter(full: &str) -> Option<(Option<&str>, &str)> {
    if !(1..=65_535).contains(&full.len()) || full.contains('\0') {
        return None;
    }
    if full.split('/').next() != Some("$share") {
        return is_filter(full).then_some((None, full));
    }
    let mut parts = full.splitn(3, '/').skip(1);
    let (share, filter) = (parts.next()?, parts.next()?);
    let is_legal = !share.is_empty() && !share.contains(['+', '#']) && is_filter(filter);
    is_legal.then_some((Some(share), filter))
}

fn is_filter(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    let is_last = |at: usize| at + 1 == levels.len();
    !filter.is_empty()
        && levels.iter().enumerate().all(|(at, level)| match *level {
            "+" => true,
            "#" => is_last(at),
            level => !level.contains(['+', '#']),
        })
}

/// Whether a legal Topic Filter matches a legal Topic Name.
pub(crate) fn matches(filter: &str, topic: &str, parent: HashParent) -> bool {
    let is_hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    !is_hidden && levels_match(&filter, &topic, parent)
}

fn levels_match(filter: &[&str], topic: &[&str], parent: HashParent) -> bool {
    match (filter, topic) {
        (["#"], []) => parent == HashParent::Matches,
        (["#"], _) | ([], []) => true,
        ([], _) | (_, []) => false,
        ([pattern, filter @ ..], [level, topic @ ..]) => {
            (*pattern == "+" || pattern == level) && levels_match(filter, topic, parent)
        }
    }
}
