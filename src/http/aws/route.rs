//! Which operation a request line is.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;
use percent_encoding::percent_decode_str;

use super::caller::Caller;
use super::operation::{Operation, Service};
use super::{
    attachments, authorities, authorizers, certificates, connections, endpoint, evaluation, events,
    groups, messages, policies, retained, shadows, tags, things, types, unanswered,
};

/// All operations, by resource.
pub(super) const OPERATIONS: &[&[Operation]] = &[
    &endpoint::OPERATIONS,
    &things::OPERATIONS,
    &types::OPERATIONS,
    &groups::OPERATIONS,
    &certificates::OPERATIONS,
    &authorities::OPERATIONS,
    &authorizers::OPERATIONS,
    &policies::OPERATIONS,
    &attachments::OPERATIONS,
    &evaluation::OPERATIONS,
    &events::OPERATIONS,
    &tags::OPERATIONS,
    &shadows::OPERATIONS,
    &messages::OPERATIONS,
    &retained::OPERATIONS,
    &connections::OPERATIONS,
    unanswered::OPERATIONS,
];

/// The operations of a method by their paths. Those of one path are of different services.
type Paths = matchit::Router<Vec<&'static Operation>>;

static ROUTES: LazyLock<HashMap<&'static str, Paths>> = LazyLock::new(routes);

/// An operation, and the members that its path has.
pub(super) struct Found {
    pub(super) operation: &'static Operation,
    pub(super) members: Vec<(&'static str, String)>,
}

/// Finds the operation of a request line. Segments are told apart before they are decoded (AWS-OPS-04); a topic
/// may also come with its slashes as they are, which is how the guide's programs send it (AWS-HTTP-01).
pub(super) fn find(method: &Method, path: &str, caller: &Caller) -> Option<Found> {
    let matched = ROUTES.get(method.as_str())?.at(path).ok()?;
    let operation = choose(matched.value, caller.service())?;
    let mut values: Vec<(&str, &str)> = matched.params.iter().collect();
    values.sort_unstable_by_key(|(place, _)| *place);
    let values = values.into_iter().map(|(_, value)| {
        let value = percent_decode_str(value).decode_utf8();
        value.map(std::borrow::Cow::into_owned)
    });
    let values = values.collect::<Result<Vec<_>, _>>().ok()?;
    let names = members(operation.path());
    Some(Found {
        operation,
        members: names.zip(values).collect(),
    })
}

/// The one of the service that is named. Without a name a device asks, which has the data planes (AWS-OPS-03);
/// and a wrong name is no reason to refuse what only one service has.
fn choose(
    operations: &[&'static Operation],
    service: Option<Service>,
) -> Option<&'static Operation> {
    let own = operations.iter().find(|operation| match service {
        Some(service) => operation.service == service,
        None => operation.service != Service::Iot,
    });
    own.or_else(|| operations.first()).copied()
}

/// The names of the members in a path: `thingName` of `/things/{thingName}`; `{arn+}` takes several segments.
fn members(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.strip_suffix('+').unwrap_or(name))
    })
}

fn routes() -> HashMap<&'static str, Paths> {
    let mut lines: HashMap<(&str, String), Vec<&'static Operation>> = HashMap::new();
    for operation in OPERATIONS.iter().copied().flatten() {
        let line = (operation.method(), pattern(operation.path()));
        lines.entry(line).or_default().push(operation);
    }
    let mut routes: HashMap<_, Paths> = HashMap::new();
    for ((method, pattern), operations) in lines {
        let inserted = routes
            .entry(method)
            .or_default()
            .insert(pattern, operations);
        debug_assert!(
            inserted.is_ok(),
            "request lines of the models do not contradict"
        );
    }
    routes
}

/// A path in which members have their places for names: the models name one place in several ways.
fn pattern(path: &'static str) -> String {
    let mut place = 0;
    let segments = path
        .split('/')
        .map(|segment| match segment.strip_prefix('{') {
            Some(name) => {
                place += 1;
                let takes_all = name.ends_with("+}") || name == "topic}";
                let all = if takes_all { "*" } else { "" };
                format!("{{{all}{place}}}")
            }
            None => segment.to_owned(),
        });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Uri, header::AUTHORIZATION};

    use super::*;

    fn find_as(scope: Option<&str>, method: Method, path: &str) -> Option<Found> {
        let mut headers = HeaderMap::new();
        if let Some(scope) = scope {
            let value = format!("AWS4-HMAC-SHA256 Credential=A/20261128/r/{scope}/aws4_request");
            headers.insert(AUTHORIZATION, value.parse().expect("a value"));
        }
        find(&method, path, &Caller::of(&headers, &Uri::from_static("/")))
    }

    #[test]
    fn every_operation_is_found_by_its_own_line() {
        for operation in OPERATIONS.iter().copied().flatten() {
            let scope = match operation.service {
                Service::Iot => "iot",
                Service::IotData => "iotdata",
                Service::IotJobsData => "iot-jobs-data",
            };
            let method: Method = operation.method().parse().expect("a method");
            let path = operation.path().replace(['{', '}', '+'], "");
            let found = find_as(Some(scope), method, &path).expect(operation.name);
            assert_eq!(found.operation.name, operation.name);
            for (name, value) in &found.members {
                assert_eq!(name, value, "{}", operation.name);
            }
        }
    }

    #[test]
    fn all_operations_of_the_models_are_known_once() {
        let of = |service| {
            let all = OPERATIONS.iter().copied().flatten();
            let names = all.filter(|operation| operation.service == service);
            let mut names: Vec<_> = names.map(|operation| operation.name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{service:?}");
            count
        };
        assert_eq!(of(Service::Iot), 272);
        assert_eq!(of(Service::IotData), 11);
        assert_eq!(of(Service::IotJobsData), 5);
    }

    #[test]
    fn service_of_the_signature_decides_where_two_have_a_line() {
        for (scope, expected) in [
            (Some("iot"), Service::Iot),
            (Some("iot-jobs-data"), Service::IotJobsData),
            (None, Service::IotJobsData),
        ] {
            let found = find_as(scope, Method::GET, "/things/car1/jobs").expect("an operation");
            assert_eq!(found.operation.service, expected, "{scope:?}");
        }
        // A hand-written caller that signs for another one.
        let found = find_as(Some("iotdata"), Method::GET, "/things").expect("an operation");
        assert_eq!(found.operation.name, "ListThings");
    }

    #[test]
    fn segments_are_told_apart_before_they_are_decoded() {
        let arn = "arn%3Aaws%3Aiot%3Aus-east-1%3A1%3Athinggroup%2Fab";
        let path = format!("/attached-policies/{arn}");
        let found = find_as(None, Method::POST, &path).expect("an operation");
        assert_eq!(found.operation.name, "ListAttachedPolicies");
        let expected = "arn:aws:iot:us-east-1:1:thinggroup/ab".to_owned();
        assert_eq!(found.members, [("target", expected)]);
        for (path, topic) in [
            ("/topics/my/topic", "my/topic"),
            ("/topics/a%2Fb/c%25", "a/b/c%"),
            (
                "/topics/$aws/things/t/shadow/get",
                "$aws/things/t/shadow/get",
            ),
            ("/topics//a/", "/a/"),
        ] {
            let found = find_as(None, Method::POST, path).expect(path);
            assert_eq!(found.members, [("topic", topic.to_owned())], "{path}");
        }
        assert!(find_as(None, Method::POST, "/topics/").is_none());
        for path in [
            "/things/",
            "/things/a/b/c",
            "/things/%ff",
            "//things",
            "/thing",
        ] {
            assert!(find_as(None, Method::GET, path).is_none(), "{path}");
        }
        let found = find_as(None, Method::GET, "/thing-groups/addThingToThingGroup");
        assert_eq!(
            found.expect("an operation").operation.name,
            "DescribeThingGroup"
        );
    }
}
