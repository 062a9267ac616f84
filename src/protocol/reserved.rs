//! Topics under `$aws/`: whose they are, and who may publish and subscribe there (`AWS-RSV`). Refusals and
//! `docs/reserved-topics.md` are made from this one table.

use crate::config::{Config, RegistryPlace};

/// Topics that belong together.
pub(crate) struct Row {
    /// Levels with a slash in between. One in braces stands for several words ([`is_one_of`]), `#` at the end for
    /// one or more levels of any kind.
    pattern: &'static str,
    /// What they are for.
    #[cfg_attr(
        not(all(test, feature = "aws")),
        expect(dead_code, reason = "for the documentation")
    )]
    service: &'static str,
    standing: Standing,
    /// The behaviours of the service that it rests on.
    #[cfg_attr(
        not(all(test, feature = "aws")),
        expect(dead_code, reason = "for the documentation")
    )]
    rules: &'static str,
}

/// How it is with a row here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Clients publish and subscribe, as their policies allow, where shadows are answered.
    Shadow,
    /// The broker publishes, and clients subscribe, where it tells of events.
    Events,
    /// Nobody publishes or subscribes: it is not there, for this reason.
    Absent(&'static str),
}

const fn row(
    pattern: &'static str,
    service: &'static str,
    standing: Standing,
    rules: &'static str,
) -> Row {
    Row {
        pattern,
        service,
        standing,
        rules,
    }
}

/// What is not there yet.
const JOBS: Standing = Standing::Absent("jobs are not there yet");
const PROVISIONING: Standing = Standing::Absent("fleet provisioning is not there yet");
const RULES: Standing = Standing::Absent("rules and Basic Ingest are not there yet");
const ELSE: Standing = Standing::Absent("this service is not there");

const REQUEST: &str = "a request to Device Shadow";
const ANSWER: &str = "answers of Device Shadow";
const CHANGE: &str = "changes of shadows";

#[rustfmt::skip] // a table
const ROWS: [Row; 19] = [
    row("$aws/things/{thing}/shadow/{request}", REQUEST, Standing::Shadow, "AWS-SHADOW-02, -15"),
    row("$aws/things/{thing}/shadow/{request}/{outcome}", ANSWER, Standing::Shadow, "AWS-SHADOW-02, -16, -49"),
    row("$aws/things/{thing}/shadow/update/{change}", CHANGE, Standing::Shadow, "AWS-SHADOW-03, -49"),
    row("$aws/things/{thing}/shadow/name/{shadow}/{request}", REQUEST, Standing::Shadow, "AWS-SHADOW-02, -15"),
    row("$aws/things/{thing}/shadow/name/{shadow}/{request}/{outcome}", ANSWER, Standing::Shadow, "AWS-SHADOW-02, -16, -49"),
    row("$aws/things/{thing}/shadow/name/{shadow}/update/{change}", CHANGE, Standing::Shadow, "AWS-SHADOW-03, -49"),
    row("$aws/events/#", "lifecycle, registration and registry events", Standing::Events, "AWS-LIFE-01, AWS-RSV-04 to -07"),
    row("$aws/things/{thing}/jobs/#", "jobs", JOBS, "AWS-RSV-10, AWS-JOBS"),
    row("$aws/certificates/#", "fleet provisioning", PROVISIONING, "AWS-RSV-10, AWS-PROV"),
    row("$aws/provisioning-templates/#", "fleet provisioning", PROVISIONING, "AWS-RSV-10, AWS-PROV"),
    row("$aws/rules/#", "Basic Ingest", RULES, "AWS-RSV-01 to -03"),
    row("$aws/things/{thing}/defender/#", "Device Defender", ELSE, "AWS-RSV-08"),
    row("$aws/things/{thing}/streams/#", "streams", ELSE, "AWS-RSV-09"),
    row("$aws/things/{thing}/tunnels/#", "secure tunneling", ELSE, "AWS-RSV-09"),
    row("$aws/things/{thing}/#", "what no service has", ELSE, "AWS-SHADOW-49"),
    row("$aws/commands/#", "commands", ELSE, "AWS-RSV-09"),
    row("$aws/device_location/#", "device location", ELSE, "AWS-RSV-09"),
    row("$aws/sitewise/#", "SiteWise", ELSE, "AWS-RSV-09"),
    row("$aws/#", "what no service has", ELSE, "AWS-MQTT-16 to -18"),
];

/// What a level of a pattern in braces stands for.
fn is_one_of(kind: &str, level: &str) -> bool {
    match kind {
        "{thing}" => is_thing_name(level),
        "{shadow}" => is_shadow_name(level),
        "{request}" => matches!(level, "get" | "update" | "delete"),
        "{outcome}" => matches!(level, "accepted" | "rejected"),
        "{change}" => matches!(level, "delta" | "documents"),
        word => word == level,
    }
}

/// Whether a thing may be called so (AWS-API-45).
pub(crate) fn is_thing_name(name: &str) -> bool {
    let allows = |c: char| c.is_ascii_alphanumeric() || ":_-".contains(c);
    (1..=128).contains(&name.len()) && name.chars().all(allows)
}

/// Whether a shadow may be called so (AWS-SHADOW-45).
pub(crate) fn is_shadow_name(name: &str) -> bool {
    let allows = |c: char| c.is_ascii_alphanumeric() || "$:_-".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(allows)
}

impl Row {
    /// Whether a topic is one of these, or a filter may match some of them.
    fn meets(&self, filter: &str) -> bool {
        let mut levels = filter.split('/');
        for kind in self.pattern.split('/') {
            match (kind, levels.next()) {
                ("#", Some(_)) | (_, Some("#")) => return true,
                (_, Some("+")) => {}
                (kind, Some(level)) if is_one_of(kind, level) => {}
                _ => return false,
            }
        }
        levels.next().is_none_or(|level| level == "#")
    }

    /// Why nobody may publish there, if so.
    fn bars_publishing(&self, config: &Config) -> Option<&'static str> {
        match self.standing {
            Standing::Shadow => no_shadows(config),
            Standing::Events => Some("the broker publishes its events there"),
            Standing::Absent(why) => Some(why),
        }
    }

    /// Why nobody may subscribe there, if so.
    fn bars_subscribing(&self, config: &Config) -> Option<&'static str> {
        match self.standing {
            Standing::Shadow => no_shadows(config),
            Standing::Events if config.aws.lifecycle_events => None,
            Standing::Events => Some("aws.lifecycle_events is off"),
            Standing::Absent(why) => Some(why),
        }
    }
}

fn no_shadows(config: &Config) -> Option<&'static str> {
    if cfg!(not(feature = "aws")) {
        Some("this build lacks the feature aws")
    } else if !config.aws.shadows {
        Some("aws.shadows is off")
    } else if config.registry == RegistryPlace::Off {
        Some("shadows need a registry, and this broker has none (`registry`)")
    } else {
        None
    }
}

/// Why a client may not publish to a topic that starts with `$`, if it may not.
pub(crate) fn bars_publishing(topic: &str, config: &Config) -> Option<&'static str> {
    let row = ROWS.iter().find(|row| row.meets(topic));
    row.map_or(Some("it is no topic of a service"), |row| {
        row.bars_publishing(config)
    })
}

/// Why a client may not subscribe to a filter that starts with `$`, if it may not: some topic that it
/// matches has to be there. Whoever wants one spells where it is; `$aws/#` and `$aws/+/x` are too wide.
pub(crate) fn bars_subscribing(filter: &str, config: &Config) -> Option<&'static str> {
    let mut why = None;
    if filter
        .split('/')
        .take(2)
        .any(|level| level == "+" || level == "#")
    {
        return Some("two levels have to be spelled out");
    }
    for row in ROWS.iter().filter(|row| row.meets(filter)) {
        let bar = row.bars_subscribing(config)?;
        why.get_or_insert(bar);
    }
    why.or(Some("it is no topic of a service"))
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use std::fmt::Write as _;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn aws() -> Config {
        Config {
            registry: RegistryPlace::Memory,
            ..Config::aws()
        }
    }

    #[test]
    fn topics_of_shadows_are_open_and_others_say_why_not() {
        let config = aws();
        for topic in [
            "$aws/things/t/shadow/get",
            "$aws/things/a:b_c-1/shadow/update",
            "$aws/things/t/shadow/name/$s/delete",
            "$aws/things/t/shadow/update/delta",
            "$aws/things/t/shadow/name/s/update/documents",
            "$aws/things/t/shadow/get/rejected",
        ] {
            assert_eq!(bars_publishing(topic, &config), None, "{topic}");
        }
        for (topic, part) in [
            ("$aws/things/t/jobs/get", "jobs are not there yet"),
            ("$aws/things/t/shadow/foo", "not there"),
            ("$aws/things/t/shadow", "not there"),
            ("$aws/things/t/shadow/get/accepted/x", "not there"),
            ("$aws/things/t/shadow/name//get", "not there"),
            ("$aws/things/a b/shadow/get", "not there"),
            ("$aws/rules/r/x", "Basic Ingest"),
            ("$aws/events/presence/connected/c", "its events"),
            (
                "$aws/provisioning-templates/t/provision/json",
                "provisioning",
            ),
            ("$aws", "no topic of a service"),
            ("$other", "no topic of a service"),
        ] {
            let why = bars_publishing(topic, &config);
            assert!(
                why.is_some_and(|why| why.contains(part)),
                "{topic}: {why:?}"
            );
        }
    }

    /// AWS-FLOW-30
    #[test]
    fn filters_are_open_that_match_something() {
        let config = aws();
        for filter in [
            "$aws/things/t/shadow/get/+",
            "$aws/things/+/shadow/#",
            "$aws/things/t/#",
            "$aws/things/#",
            "$aws/things/+/+/+/+",
            "$aws/things/t/shadow/name/+/update/delta",
            "$aws/events/presence/#",
        ] {
            assert_eq!(bars_subscribing(filter, &config), None, "{filter}");
        }
        for filter in [
            "$aws/#",
            "$aws/+/t/shadow/get",
            "$aws/things/t/jobs/#",
            "$aws/things/t/shadow/foo",
            "$aws/things/t/shadow/get/+/x",
            "$aws/rules/#",
            "$aws/things/t/shadow",
            "$SYS/#",
        ] {
            assert!(bars_subscribing(filter, &config).is_some(), "{filter}");
        }
    }

    #[test]
    fn switches_and_what_is_missing_close_topics() {
        let topic = "$aws/things/t/shadow/get";
        let mut config = aws();
        config.aws.shadows = false;
        assert_eq!(bars_publishing(topic, &config), Some("aws.shadows is off"));
        let mut config = aws();
        config.registry = RegistryPlace::Off;
        assert!(bars_publishing(topic, &config).is_some());
        let mut config = aws();
        config.aws.lifecycle_events = false;
        assert!(bars_subscribing("$aws/events/#", &config).is_some());
    }

    const HEAD: &str = "\
# Reserved topics

Topics under `$aws/`, and who publishes and subscribes there in the `aws` profile, as far as policies allow it besides
(`ROUNDEL_WRITE_DOCUMENTS=1 cargo test --lib reserved` writes this page from the code). The first row that a topic is of counts. What
is refused is refused as AWS-FAIL-08 and AWS-FAIL-09 say: MQTT 3.1.1 is closed, MQTT 5 gets 0x90 for a PUBLISH and 0x8F for a filter. A
filter has to spell out two levels, and to match some topic that is there.

`{request}` is get, update or delete; `{outcome}` accepted or rejected; `{change}` delta or documents.

| topics | what they are for | publish | subscribe | rows |
|---|---|---|---|---|
";

    #[test]
    fn document_lists_the_rows() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reserved-topics.md");
        let mut expected = HEAD.to_owned();
        let config = aws();
        for row in &ROWS {
            let say =
                |bar: Option<&str>| bar.map_or("clients".to_owned(), |why| format!("no: {why}"));
            let _ = writeln!(
                expected,
                "| `{}` | {} | {} | {} | {} |",
                row.pattern,
                row.service,
                say(row.bars_publishing(&config)),
                say(row.bars_subscribing(&config)),
                row.rules
            );
        }
        if std::env::var_os("ROUNDEL_WRITE_DOCUMENTS").is_some() {
            fs::write(&path, &expected).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "docs/reserved-topics.md is another one");
    }
}
