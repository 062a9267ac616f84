//! The control API: its paths, what it answers where there is none, and its resources, one file each.

#[cfg(feature = "aws")]
mod certificates;
mod clients;
mod clock;
mod deadlines;
mod events;
mod groups;
#[cfg(feature = "aws")]
mod identity;
mod info;
mod journal;
mod matching;
mod message;
mod messages;
mod openapi;
mod operator;
mod packets;
#[cfg(feature = "aws")]
mod policy;
mod publish;
mod quick_start;
#[cfg(feature = "aws")]
mod refusals;
#[cfg(feature = "aws")]
mod refused_calls;
#[cfg(feature = "aws")]
mod registry;
mod retained;
mod rules;
#[cfg(feature = "aws")]
mod shadows;
mod stats;
mod subscribe;
mod subscriptions;
mod topics;
mod values;

use axum::Router;
use axum::routing::{get, post};

use crate::broker::Page;

use super::Api;
use super::error::{unknown_path, wrong_method};
use super::query::OwnedPageOf;

pub(super) use stats::Stats;

/// Every path below `/v1`, and the answer to any other.
pub(super) fn router() -> Router<Api> {
    let router = Router::new()
        .route("/stats", get(stats::show))
        .route("/info", get(info::show))
        .route("/quick-start", get(quick_start::show))
        .route("/events", get(events::stream))
        .route("/clients", get(clients::list))
        .route(
            "/clients/{id}",
            get(clients::show).delete(clients::disconnect),
        )
        .route("/clients/{id}/history", get(clients::history))
        .route("/groups", get(groups::list))
        .route("/groups/{share}/{filter}", get(groups::show))
        .route("/subscriptions", get(subscriptions::list))
        .route("/subscribe", get(subscribe::stream))
        .route(
            "/subscribe/{client_id}",
            post(subscribe::add).delete(subscribe::remove),
        )
        .route("/messages", get(messages::capture))
        .route("/deadlines", get(deadlines::list))
        .route("/reset", post(operator::reset))
        .route("/outage", post(operator::outage))
        .route("/topics", get(topics::list))
        .route("/topics/values", get(values::list))
        .route("/topics/value", get(values::show))
        .route("/topics/levels", get(values::levels))
        .route("/topics/{topic}/last", get(values::show_last))
        .route("/retained", get(retained::list).delete(retained::delete))
        .route("/clock", get(clock::show))
        .route("/clock/advance", post(clock::advance))
        .route("/publish", post(publish::publish))
        .route(
            "/rules",
            get(rules::list).post(rules::add).delete(rules::clear),
        )
        .route("/rules/{id}", get(rules::show_one).delete(rules::remove))
        .route("/held", get(rules::held))
        .route("/held/release", post(rules::release))
        .route("/held/discard", post(rules::discard))
        .route("/inject", post(rules::inject))
        .route(
            "/journal",
            get(journal::list)
                .put(journal::switch)
                .delete(journal::clear),
        )
        .route("/journal/wait", get(journal::wait))
        .route("/journal/{number}", get(journal::show_one))
        .route("/openapi.json", get(openapi::show))
        .fallback(unknown_path);
    #[cfg(feature = "aws")]
    let router = router
        .route("/policy/explain", get(policy::explain))
        .route("/refused-calls", get(refused_calls::list))
        .route("/refusals", get(refusals::list))
        .route("/identity/{kind}", get(identity::list))
        .route("/identity/{kind}/{name}", get(identity::show))
        .route("/shadows", get(shadows::list))
        .route("/shadows/{thing}", get(shadows::show_classic))
        .route("/shadows/{thing}/{name}", get(shadows::show_named))
        .route(
            "/registry",
            get(registry::export)
                .put(registry::import)
                .post(registry::import),
        )
        .route("/certificates", post(certificates::add));
    router.method_not_allowed_fallback(wrong_method)
}

/// What `show` makes of the entries of a page. Where one has gone since the page was made, what
/// comes behind the page takes its place, so that a page is short only at the end of its list.
fn shown<'a, K, T>(
    entries: Vec<K>,
    page: &'a OwnedPageOf,
    mut next_page: impl FnMut(&OwnedPageOf) -> Page<K> + 'a,
    name: fn(&K) -> &str,
    mut show: impl FnMut(&K) -> Option<T> + 'a,
) -> impl Iterator<Item = T> + 'a
where
    K: 'a,
    T: 'a,
{
    let mut missing = 0;
    let mut last = None;
    let mut is_full = entries.len() == page.limit();
    let mut entries = entries.into_iter();
    std::iter::from_fn(move || {
        loop {
            for entry in entries.by_ref() {
                let found = show(&entry);
                last = Some(entry);
                match found {
                    Some(found) => return Some(found),
                    None => missing += 1,
                }
            }
            let behind = last.take().filter(|_| is_full && missing > 0)?;
            let rest = page.behind(name(&behind), missing);
            let found = next_page(&rest).entries;
            is_full = found.len() == missing;
            missing = 0;
            entries = found.into_iter();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_have_gone_are_made_up_for_by_those_behind() {
        let all: Vec<u32> = (10..30).collect();
        let page_of = |page: &OwnedPageOf| {
            let page = page.as_page();
            let rest = all.iter().map(ToString::to_string);
            let rest = rest.filter(|key| page.after.is_none_or(|after| **key > *after));
            Page {
                entries: rest.take(page.limit).collect::<Vec<_>>(),
                total: all.len(),
            }
        };
        // All below 20 go at the moment when they are to be shown.
        let show = |key: &String| (**key >= *"20").then(|| key.clone());
        for (limit, expected) in [(1, &["20"][..]), (3, &["20", "21", "22"])] {
            let page = OwnedPageOf::first(limit);
            let first = page_of(&page).entries;
            let found: Vec<_> = shown(first, &page, page_of, |key| key, show).collect();
            assert_eq!(found, expected);
        }
        let page = OwnedPageOf::first(1000);
        let first = page_of(&page).entries;
        let found = shown(first, &page, page_of, |key| key, show);
        assert_eq!(found.count(), 10);
    }
}
