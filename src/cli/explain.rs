//! `roundel policy explain --client`: what a running broker lets a client do, and why.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::client::{Call, Client, HttpAddr};
use super::failure::Failure;
use super::log::printing;

/// What is offline only: there it is said, here the broker knows it.
const OFFLINE: [&str; 15] = [
    "policies",
    "action",
    "resource",
    "client_id",
    "thing",
    "thing_type",
    "attributes",
    "certificate_id",
    "source_ip",
    "domain_name",
    "topic",
    "socket_information",
    "time",
    "region",
    "account",
];

#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// Client identifier: a running broker is asked what it lets that client do now
    #[arg(long, value_name = "ID", conflicts_with_all = OFFLINE, conflicts_with = "any_account", requires = "deed")]
    pub(crate) client: Option<String>,
    /// With --client: what it does
    #[arg(
        value_enum,
        value_name = "connect|publish|subscribe|receive",
        requires = "client"
    )]
    deed: Option<Deed>,
    /// With --client: the topic, the filter, or for connect another client identifier
    #[arg(value_name = "RESOURCE", requires = "client")]
    what: Option<String>,
    /// With --client: the message, or the will, is to be retained
    #[arg(long, requires = "client")]
    retain: bool,
    /// With --client: where the broker's control API listens
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:9883",
        requires = "client"
    )]
    http: HttpAddr,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Deed {
    Connect,
    Publish,
    Subscribe,
    Receive,
}

/// What both forms know.
pub(crate) struct Details<'a> {
    pub(crate) certificate: Option<&'a str>,
    pub(crate) persistent: bool,
    pub(crate) will_topic: Option<&'a str>,
}

/// What a broker answers; what else it may say is not looked at.
#[derive(Deserialize)]
struct Explained {
    principal: Option<String>,
    allowed: bool,
    reason: Option<String>,
    policies: Vec<String>,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    action: String,
    resource: String,
    verdict: String,
    decided_by: Option<Decider>,
    lasting: bool,
    variables: BTreeMap<String, Option<String>>,
    near_misses: Vec<NearMiss>,
    would_be_allowed_by: Option<Value>,
}

#[derive(Deserialize)]
struct NearMiss {
    #[serde(flatten)]
    statement: Decider,
    why: String,
}

#[derive(Deserialize)]
struct Decider {
    policy: String,
    statement: usize,
    sid: Option<String>,
}

/// Asks, and prints what the broker says. Status 0: allowed; 1: denied.
pub(crate) fn ask(
    client: &str,
    args: &AskArgs,
    details: &Details<'_>,
) -> Result<ExitCode, Failure> {
    let call = Call {
        method: "GET",
        target: &target(client, args, details),
        accept: "application/json",
        body: None,
    };
    // Status 1 is a verdict.
    let failed = |error: &dyn fmt::Display| {
        Failure::misused(format!(
            "--http: cannot ask the broker at {}: {error}",
            args.http
        ))
    };
    let answer = Client::new(args.http).call(&call);
    let answer = answer.map_err(|error| failed(&error))?;
    let explained: Explained = serde_json::from_str(&answer).map_err(|error| failed(&error))?;
    super::print(&report(&explained))?;
    Ok(match explained.allowed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn target(client: &str, args: &AskArgs, details: &Details<'_>) -> String {
    let flag = |is_set: bool| is_set.then_some("true");
    let deed = args.deed.and_then(|deed| deed.to_possible_value());
    let parameters = [
        ("client", Some(client)),
        ("action", deed.as_ref().map(|deed| deed.get_name())),
        ("resource", args.what.as_deref()),
        ("certificate", details.certificate),
        ("retain", flag(args.retain)),
        ("persistent", flag(details.persistent)),
        ("will_topic", details.will_topic),
    ];
    let given = parameters.into_iter().filter_map(|(name, value)| {
        let value = utf8_percent_encode(value?, NON_ALPHANUMERIC);
        Some(format!("{name}={value}"))
    });
    format!("/v1/policy/explain?{}", given.collect::<Vec<_>>().join("&"))
}

/// The verdict, what it comes from, and what would make it another one: for each question that the
/// policies were asked.
fn report(explained: &Explained) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // A String takes whatever is written.
        let _ = writeln!(text, "{name}: {}", printing(value));
    };
    line("verdict", verdict(explained));
    if let Some(reason) = &explained.reason {
        line("reason", reason);
    }
    if let Some(id) = &explained.principal {
        line("principal", id);
    }
    if !explained.policies.is_empty() {
        line("policies", &explained.policies.join(", "));
    }
    for check in &explained.checks {
        let Check {
            action, resource, ..
        } = check;
        line(
            "asked",
            &format!("{action} {resource}: {}", spaced(&check.verdict)),
        );
        if !check.lasting {
            line("time", "at another time there may be another verdict");
        }
        if let Some(decider) = &check.decided_by {
            line("decided by", &decider.to_string());
        }
        for (name, value) in &check.variables {
            match value {
                Some(value) => line("variable", &format!("{name} is `{value}`")),
                None => line("variable", &format!("{name} has no value")),
            }
        }
        for NearMiss { statement, why } in &check.near_misses {
            line("near miss", &format!("{statement}: {why}"));
        }
        if let Some(grant) = &check.would_be_allowed_by {
            line("would be allowed by", &grant.to_string());
        }
    }
    text
}

impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: Statement[{}]", self.policy, self.statement)?;
        match &self.sid {
            Some(sid) => write!(f, ", Sid {sid}"),
            None => Ok(()),
        }
    }
}

/// That of the question that decided.
fn verdict(explained: &Explained) -> &str {
    if explained.allowed {
        return "allowed";
    }
    let mut denied = explained.checks.iter().map(|check| check.verdict.as_str());
    spaced(
        denied
            .find(|verdict| *verdict != "allowed")
            .unwrap_or("denied"),
    )
}

/// As the offline form writes it.
fn spaced(verdict: &str) -> &str {
    match verdict {
        "explicit_deny" => "explicit deny",
        "implicit_deny" => "implicit deny",
        other => other,
    }
}
