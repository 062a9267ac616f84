//! Authorizers, and which one is the default (AWS-OPS-46, -47).

use std::collections::BTreeMap;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::aws::authorizer::{Answer, Evidence, Http, Mqtt, Proof, Question, question_of};
use crate::aws::registry::{Authorizer, AuthorizerUpdate, Draft, NewAuthorizer, Resource, State};

use super::super::Api;
use super::authorities::either;
use super::call::{Call, Tag, by_key, listed, seconds, with_marker};
use super::operation::{Answered, Operation};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 9] = [
    Operation::change(
        "CreateAuthorizer",
        "POST /authorizer/{authorizerName}",
        create_authorizer,
    )
    .differs("Keys have to be RSA keys of 2,048 bits at least."),
    Operation::read(
        "DescribeAuthorizer",
        "GET /authorizer/{authorizerName}",
        describe_authorizer,
    ),
    Operation::change(
        "UpdateAuthorizer",
        "PUT /authorizer/{authorizerName}",
        update_authorizer,
    ),
    Operation::change(
        "DeleteAuthorizer",
        "DELETE /authorizer/{authorizerName}",
        delete_authorizer,
    )
    .differs("One that is ACTIVE or the default: DeleteConflictException."),
    Operation::read("ListAuthorizers", "GET /authorizers/", list_authorizers),
    Operation::change(
        "SetDefaultAuthorizer",
        "POST /default-authorizer",
        set_default_authorizer,
    )
    .differs("The same one again is no error."),
    Operation::read(
        "DescribeDefaultAuthorizer",
        "GET /default-authorizer",
        describe_default_authorizer,
    ),
    Operation::change(
        "ClearDefaultAuthorizer",
        "DELETE /default-authorizer",
        clear_default_authorizer,
    ),
    Operation::wait(
        "TestInvokeAuthorizer",
        "POST /authorizer/{authorizerName}/test",
        |api, call| Box::pin(test_invoke_authorizer(api, call)),
    )
    .differs("What a token or its signature lacks: InvalidRequestException."),
];

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    Active,
    #[default]
    Inactive,
}

impl Status {
    fn is_active(self) -> bool {
        self == Self::Active
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewBody {
    authorizer_function_arn: String,
    token_key_name: Option<String>,
    token_signing_public_keys: Option<BTreeMap<String, String>>,
    status: Option<Status>,
    tags: Option<Vec<Tag>>,
    #[serde(default)]
    signing_disabled: bool,
    #[serde(default)]
    enable_caching_for_http: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateBody {
    authorizer_function_arn: Option<String>,
    token_key_name: Option<String>,
    token_signing_public_keys: Option<BTreeMap<String, String>>,
    status: Option<Status>,
    enable_caching_for_http: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NameBody {
    authorizer_name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TestBody {
    token: Option<String>,
    token_signature: Option<String>,
    http_context: Option<HttpContext>,
    mqtt_context: Option<MqttContext>,
    tls_context: Option<TlsContext>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HttpContext {
    headers: BTreeMap<String, String>,
    query_string: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MqttContext {
    username: Option<String>,
    /// In Base64.
    password: Option<String>,
    client_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TlsContext {
    server_name: Option<String>,
}

/// An authorizer as lists and changes name it.
fn named(state: &State, name: &str) -> Value {
    let arn = state.arn(&Resource::Authorizer(name.to_owned()));
    json!({ "authorizerName": name, "authorizerArn": arn })
}

fn described(state: &State, authorizer: &Authorizer) -> Value {
    let mut members = named(state, &authorizer.name);
    members["authorizerFunctionArn"] = json!(authorizer.function_arn);
    members["tokenKeyName"] = json!(authorizer.token_key_name);
    members["tokenSigningPublicKeys"] = json!(authorizer.token_signing_public_keys);
    members["status"] = json!(if authorizer.is_active {
        "ACTIVE"
    } else {
        "INACTIVE"
    });
    members["creationDate"] = json!(seconds(authorizer.created));
    members["lastModifiedDate"] = json!(seconds(authorizer.modified));
    members["signingDisabled"] = json!(authorizer.signing_disabled);
    members["enableCachingForHttp"] = json!(authorizer.caching_for_http);
    json!({ "authorizerDescription": members })
}

fn create_authorizer(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let (name, body): (_, NewBody) = (call.path("authorizerName"), call.body()?);
    let new = NewAuthorizer {
        function_arn: &body.authorizer_function_arn,
        token_key_name: body.token_key_name,
        token_signing_public_keys: body.token_signing_public_keys.unwrap_or_default(),
        is_active: body.status.unwrap_or_default().is_active(),
        signing_disabled: body.signing_disabled,
        caching_for_http: body.enable_caching_for_http,
        tags: by_key(body.tags),
    };
    draft.create_authorizer(name, new)?;
    Ok(named(draft, name))
}

fn describe_authorizer(state: &State, call: &Call) -> Answered {
    let authorizer = state.describe_authorizer(call.path("authorizerName"))?;
    Ok(described(state, &authorizer))
}

fn update_authorizer(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let (name, body): (_, UpdateBody) = (call.path("authorizerName"), call.body()?);
    let update = AuthorizerUpdate {
        function_arn: body.authorizer_function_arn.as_deref(),
        token_key_name: body.token_key_name.map(Some),
        token_signing_public_keys: body.token_signing_public_keys,
        is_active: body.status.map(Status::is_active),
        caching_for_http: body.enable_caching_for_http,
    };
    draft.update_authorizer(name, update)?;
    Ok(named(draft, name))
}

fn delete_authorizer(draft: &mut Draft<'_>, call: &Call) -> Answered {
    draft.delete_authorizer(call.path("authorizerName"))?;
    Ok(Value::Null)
}

fn list_authorizers(state: &State, call: &Call) -> Answered {
    let is_active = either(call, "status", "ACTIVE", "INACTIVE")?;
    let authorizers = state.list_authorizers(is_active, call.dated_page()?)?;
    let authorizers = authorizers.map(|authorizer| named(state, &authorizer.name));
    Ok(listed(with_marker("authorizers"), authorizers))
}

fn set_default_authorizer(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let NameBody { authorizer_name } = call.body()?;
    draft.set_default_authorizer(&authorizer_name)?;
    Ok(named(draft, &authorizer_name))
}

fn describe_default_authorizer(state: &State, _: &Call) -> Answered {
    let authorizer = state.describe_default_authorizer()?;
    Ok(described(state, &authorizer))
}

fn clear_default_authorizer(draft: &mut Draft<'_>, _: &Call) -> Answered {
    draft.clear_default_authorizer()?;
    Ok(Value::Null)
}

async fn test_invoke_authorizer(api: Api, call: Call) -> Answered {
    let body: TestBody = call.body()?;
    let state = api.host.required()?.state();
    let authorizer = state.describe_authorizer(call.path("authorizerName"))?;
    let asked = ask(&authorizer, &body, call.id)?;
    let _place = api.host.place_to_wait()?;
    let functions = &api.host.functions;
    let called = functions
        .call(&api.engine, &asked.function, asked.event, &asked.keys)
        .await;
    let outcome = called.map_err(|why| invalid_response(&why.to_string()))?;
    let read = Answer::read(&outcome.body).and_then(|answer| {
        answer.authorization()?;
        Ok(answer)
    });
    let answer = read.map_err(|why| invalid_response(&why))?;
    Ok(json!({
        "isAuthenticated": answer.is_authenticated,
        "principalId": answer.principal_id,
        "policyDocuments": answer.documents(),
        "refreshAfterInSeconds": answer.refresh_after_in_seconds,
        "disconnectAfterInSeconds": answer.disconnect_after_in_seconds,
    }))
}

/// The question that a client would raise who presents what a request says.
fn ask(authorizer: &Authorizer, body: &TestBody, id: Uuid) -> Result<Question, Refusal> {
    let http = body.http_context.as_ref();
    let headers: Option<Vec<_>> = http.map(|http| http.headers.clone().into_iter().collect());
    let query = http.map_or("", |http| http.query_string.trim_start_matches('?'));
    let mqtt = body.mqtt_context.as_ref();
    let password = mqtt.and_then(|mqtt| mqtt.password.as_deref());
    let password = password.map(|text| STANDARD.decode(text)).transpose();
    let password = password
        .map_err(|error| Refusal::invalid(format!("Value at 'mqttContext.password': {error}")))?;
    let evidence = Evidence {
        server_name: body
            .tls_context
            .as_ref()
            .map(|tls| tls.server_name.as_deref()),
        http: headers.as_ref().map(|headers| Http { headers, query }),
        mqtt: mqtt.map(|mqtt| Mqtt {
            username: mqtt.username.as_deref(),
            password: password.as_deref(),
            client_id: mqtt.client_id.as_deref(),
        }),
        connection: id.to_string(),
    };
    let proof = Proof {
        token: body.token.as_deref(),
        signature: body.token_signature.as_deref(),
    };
    let asked = question_of(authorizer, &evidence, proof);
    asked.map_err(|why| Refusal::invalid(format!("Authorizer {}: {why}.", authorizer.name)))
}

/// What the function of an authorizer answers is no answer.
fn invalid_response(why: &str) -> Refusal {
    let name = "InvalidResponseException";
    Refusal::new(StatusCode::BAD_REQUEST, name, why)
}
