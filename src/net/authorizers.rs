//! Authorizers of clients: what a client presents is put before the function of its authorizer, whose answer says
//! who it is. Few functions are asked at a time, for clients of each address in turn.

use std::sync::Arc;

use uuid::Uuid;

use crate::auth::Source;
use crate::aws::authority::Authority;
use crate::aws::authorizer::{Answer, Evidence, Http, Mqtt, Question, question};
use crate::broker::access::Authorization;
use crate::client::{Application, Verdict};
use crate::engine::Engine;

use super::Shared;
use super::functions::Functions;
use super::gate::Gate;

/// Functions that are asked at the same time.
const AT_ONCE: usize = 64;

/// Those that may wait for that. Half of them are for one address.
const WAITING: usize = 1024;

/// What asks authorizers.
pub(crate) struct Authorizers {
    authority: Option<Arc<Authority>>,
    gate: Gate,
}

impl Authorizers {
    /// For those of a registry, if there is one.
    pub(crate) fn new(authority: Option<Arc<Authority>>) -> Self {
        Self {
            authority,
            gate: Gate::new(AT_ONCE, WAITING),
        }
    }
}

/// Finds out whom a client is.
pub(super) async fn authorize(
    shared: Arc<Shared>,
    source: Source,
    application: Arc<Application>,
) -> Verdict {
    let limit = shared.engine.broker.config().limits.connect_timeout;
    let entering = shared.authorizers.gate.enter(source);
    let entered = tokio::select! {
        entered = shared.engine.clock.timeout(limit, entering) => entered,
        () = shared.engine.stopping.cancelled() => return Verdict::Busy,
    };
    let Ok(Ok(_place)) = entered else {
        return Verdict::Busy;
    };
    let asked = tokio::select! {
        asked = ask(&shared, &application) => asked,
        () = shared.engine.stopping.cancelled() => return Verdict::Busy,
    };
    match asked {
        Ok(authorization) => Verdict::Authorized(Arc::new(authorization)),
        Err(why) => Verdict::Unauthorized(why),
    }
}

/// What the authorizer says, or why the client is refused.
async fn ask(shared: &Shared, application: &Application) -> Result<Authorization, String> {
    let Some(authority) = &shared.authorizers.authority else {
        return Err("there is no registry".to_owned());
    };
    let asked = question(&authority.registry().state(), &evidence(application))?;
    put(&shared.engine, &shared.functions, asked).await
}

/// Puts a question before the function of its authorizer.
///
/// # Errors
///
/// Why whom it is about is refused.
pub(crate) async fn put(
    engine: &Engine,
    functions: &Functions,
    asked: Question,
) -> Result<Authorization, String> {
    let name = &asked.authorizer;
    let called = functions
        .call(engine, &asked.function, asked.event, &asked.keys)
        .await;
    let outcome = called.map_err(|why| format!("authorizer {name}: {why}"))?;
    let said = Answer::read(&outcome.body).and_then(|answer| answer.authorization());
    match said.map_err(|why| format!("authorizer {name}: {why}"))? {
        Some(authorization) => Ok(authorization),
        None => Err(format!(
            "authorizer {name} does not authenticate the client"
        )),
    }
}

fn evidence(application: &Application) -> Evidence<'_> {
    let facts = &application.facts;
    let tls = facts.tls();
    Evidence {
        server_name: tls.map(|tls| tls.sni.as_deref()),
        http: facts.upgrade().map(Http::from),
        mqtt: Some(Mqtt {
            username: application.credentials.username.as_deref(),
            password: application.credentials.password.as_deref(),
            client_id: application.client_id.as_deref(),
        }),
        connection: application.id.get_or_init(Uuid::new_v4).to_string(),
    }
}
