//! `roundel policy`: what policies of AWS IoT mean, before a device asks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use roundel::policy::{
    Action, Attachment, Certificate, Context, Decision, Details, Document, Place, Policies,
    Request, Scope, Thing, Verdict, parse_time,
};

use super::deferred::Deferred;
use super::explain::{self, AskArgs};
use super::failure::Failure;

/// What is read of a file: more than the longest document, even if all of it takes four bytes a character.
const FILE_MAX: u64 = 2 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Reads policies and says what in them cannot have an effect
    Check(Deferred<CheckArgs>),
    /// Says what becomes of a request, and why: status 0 when it is allowed, 1 when it is denied
    Explain(Deferred<Box<ExplainArgs>>),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// JSON documents
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    scope: ScopeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// JSON document that the client or a group of its thing has; may be repeated
    #[arg(
        long = "policy",
        required_unless_present = "client",
        value_name = "FILE"
    )]
    policies: Vec<PathBuf>,
    /// What is asked for: Connect, Publish, Subscribe, Receive, ...
    #[arg(long, required_unless_present = "client")]
    action: Option<Action>,
    /// Of what: client/ID, topic/NAME, topicfilter/FILTER, thing/NAME, the ARN of it, or *
    #[arg(long, required_unless_present = "client")]
    resource: Option<String>,
    /// Client identifier; without it the request is one over HTTPS
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Thing that the certificate is attached to
    #[arg(long, value_name = "NAME")]
    thing: Option<String>,
    /// Type of the thing
    #[arg(long, value_name = "TYPE", requires = "thing")]
    thing_type: Option<String>,
    /// Attribute of the thing; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", requires = "thing", value_parser = pair)]
    attributes: Vec<(String, String)>,
    /// Id of the certificate
    #[arg(long, value_name = "ID")]
    certificate_id: Option<String>,
    /// Field of the certificate, as Subject.CommonName=car1; may be repeated. With --client: the id or the
    /// ARN of the certificate, if it is not that of the connection
    #[arg(long, value_name = "FIELD=VALUE|ID")]
    certificate: Vec<String>,
    /// Address that the client comes from
    #[arg(long, value_name = "ADDR")]
    source_ip: Option<IpAddr>,
    /// Name of the server that the client asks for
    #[arg(long, value_name = "NAME")]
    domain_name: Option<String>,
    /// CONNECT asks for a persistent session
    #[arg(long)]
    persistent: bool,
    /// Topic of the will in CONNECT
    #[arg(long, value_name = "TOPIC")]
    will_topic: Option<String>,
    /// Topic of a direct message
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// GetConnection asks for addresses and ports
    #[arg(long)]
    socket_information: bool,
    /// When, as 2026-11-28T17:38:11Z or in seconds since 1970 [default: now]
    #[arg(long, value_parser = time)]
    time: Option<i64>,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct ScopeArgs {
    /// Region that resources are in [default: us-east-1]
    #[arg(long)]
    region: Option<String>,
    /// Account that resources are in [default: 123456789012]
    #[arg(long)]
    account: Option<String>,
    /// Lets policies name any account and Region
    #[arg(long)]
    any_account: bool,
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn time(text: &str) -> Result<i64, String> {
    parse_time(text).ok_or_else(|| "it is no time as 2026-11-28T17:38:11Z".to_owned())
}

/// Status 0: valid, or allowed; 1: denied.
pub(crate) fn run(command: &PolicyCommand) -> Result<ExitCode, Failure> {
    match command {
        PolicyCommand::Check(Deferred(args)) => check(args),
        PolicyCommand::Explain(Deferred(args)) => match &args.ask.client {
            Some(client) => ask(client, args),
            None => explain(args),
        },
    }
}

impl ScopeArgs {
    fn scope(&self) -> Scope {
        let default = Scope::default();
        Scope {
            region: self.region.clone().unwrap_or(default.region),
            account: self.account.clone().unwrap_or(default.account),
            any: self.any_account,
            ..Scope::default()
        }
    }
}

fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let scope = args.scope.scope();
    let mut failures = Vec::new();
    for file in &args.files {
        let name = file.display();
        let document = match read(file) {
            Ok(document) => document,
            Err(message) => {
                failures.push(message);
                continue;
            }
        };
        let count = document.statements().len();
        let plural = if count == 1 { "" } else { "s" };
        let mut text = format!(
            "{name}: valid, {count} statement{plural}, {} of 2048 characters\n",
            document.length()
        );
        for remark in document.remarks(&scope) {
            let _ = writeln!(text, "{name}: {remark}"); // a String takes whatever is written
        }
        super::print(&text)?;
    }
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::misused(failures.join("; ")))
}

/// The document of a file, or what is wrong with it.
fn read(file: &Path) -> Result<Document, String> {
    let name = file.display();
    let text = read_text(file).map_err(|error| format!("cannot read `{name}`: {error}"))?;
    Document::parse(&text).map_err(|error| format!("{name}: {error}"))
}

fn read_text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(FILE_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The form that a running broker answers.
fn ask(client: &str, args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let certificate = match args.certificate.as_slice() {
        [] => None,
        [id] if !id.contains('=') => Some(id.as_str()),
        _ => {
            let message = "--certificate: the id or the ARN of one certificate is wanted";
            return Err(Failure::misused(message.to_owned()));
        }
    };
    let details = explain::Details {
        certificate,
        persistent: args.persistent,
        will_topic: args.will_topic.as_deref(),
    };
    explain::ask(client, &args.ask, &details)
}

/// The form that only looks at files.
fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let (Some(action), Some(resource)) = (args.action, &args.resource) else {
        let message = "--action and --resource are wanted";
        return Err(Failure::misused(message.to_owned()));
    };
    let documents = args.policies.iter().map(|file| read(file).map(Arc::new));
    let documents = documents
        .collect::<Result<Vec<_>, _>>()
        .map_err(Failure::misused)?;
    let scope = args.scope.scope();
    let resource = without_prefix(action, resource, &scope)?;
    let context = args.context()?;
    let policies = Policies::new(documents, &scope);
    let request = Request {
        action,
        resource: &resource,
        context: &context,
        details: Details {
            persistent: args.persistent,
            will_topic: args.will_topic.as_deref(),
            topic: args.topic.as_deref(),
            socket_information: (action == Action::GetConnection)
                .then_some(args.socket_information),
        },
        time: Some(args.time.unwrap_or_else(now)),
    };
    let decision = policies.evaluate(&request);
    super::print(&report(args, &policies, &request, decision))?;
    Ok(match decision.verdict {
        Verdict::Allowed => ExitCode::SUCCESS,
        Verdict::ExplicitDeny | Verdict::ImplicitDeny => ExitCode::FAILURE,
    })
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs().try_into().unwrap_or(i64::MAX))
}

/// The resource without what an ARN has before it.
fn without_prefix(action: Action, resource: &str, scope: &Scope) -> Result<String, Failure> {
    let wanted = action.resource_type();
    let own = resource.strip_prefix(&scope.prefix()).unwrap_or(resource);
    let is_fitting = match own.split_once('/') {
        Some((named, name)) => named == wanted && !name.is_empty(),
        None => own == wanted,
    };
    if is_fitting {
        return Ok(own.to_owned());
    }
    let form = match wanted {
        "*" => "`*`".to_owned(),
        wanted => format!("`{wanted}/NAME`, or that behind `{}`", scope.prefix()),
    };
    let message = format!("--resource: {action} is about {form}, not `{resource}`");
    Err(Failure::misused(message))
}

impl ExplainArgs {
    fn context(&self) -> Result<Context, Failure> {
        let mut certificate = self.certificate_id.as_ref().map(Certificate::new);
        for field in &self.certificate {
            let wrong = |reason: &str| Failure::misused(format!("--certificate: {reason}"));
            let (field, value) = pair(field).map_err(|reason| wrong(&reason))?;
            let known = certificate.ok_or_else(|| wrong("--certificate-id is wanted, too"))?;
            certificate = Some(known.with(&field, &value).map_err(Failure::misuse)?);
        }
        Ok(Context {
            client_id: self.client_id.clone(),
            thing: match &self.thing {
                Some(name) => Attachment::Attached(Thing {
                    name: name.clone(),
                    type_name: self.thing_type.clone(),
                    attributes: self.attributes.iter().cloned().collect::<BTreeMap<_, _>>(),
                }),
                None if self.client_id.is_some() => Attachment::Detached,
                None => Attachment::Unknown,
            },
            certificate,
            source_ip: self.source_ip,
            domain_name: self.domain_name.clone(),
        })
    }
}

/// The verdict, what it comes from, and what would make it another one.
fn report(
    args: &ExplainArgs,
    policies: &Policies,
    request: &Request<'_>,
    decision: Decision,
) -> String {
    let verdict = match decision.verdict {
        Verdict::Allowed => "allowed",
        Verdict::ExplicitDeny => "explicit deny",
        Verdict::ImplicitDeny => "implicit deny",
    };
    let mut text = format!("verdict: {verdict}\n");
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}: {value}"); // a String takes whatever is written
    };
    let statement_at = |place: Place| {
        let file = args.policies.get(place.document);
        let file = file.map_or(String::new(), |file| file.display().to_string());
        let sid = policies
            .statement(place)
            .and_then(|statement| statement.sid());
        let sid = sid.map_or(String::new(), |sid| format!(", Sid {sid}"));
        format!("{file}: Statement[{}]{sid}", place.statement)
    };
    if !decision.is_lasting {
        line("time", "at another time there may be another verdict");
    }
    if let Some(place) = decision.decided_by {
        line("decided by", &statement_at(place));
    }
    for (name, value) in policies.variables(request) {
        match value {
            Some(value) => line("variable", &format!("{name} is `{value}`")),
            None => line("variable", &format!("{name} has no value")),
        }
    }
    if decision.verdict == Verdict::ImplicitDeny {
        for miss in policies.near_misses(request) {
            line(
                "near miss",
                &format!("{}: {}", statement_at(miss.place), miss.why),
            );
        }
        line("would be allowed by", &policies.smallest_grant(request));
    }
    text
}
