//! Who makes a call, as far as that has to be shown, and whether its policies allow it.
//!
//! | comes through | may do |
//! | --- | --- |
//! | the API's own port | everything; once there are access keys, what is signed with one of them |
//! | the door for everything, from this machine | the same |
//! | the door for everything, from another machine | what is signed with an access key |
//! | either door, with a certificate | the data planes, as the policies of the certificate say |
//! | the API's port or the door for everything, and names an authorizer | the data planes, as that says |
//!
//! The policy of an access key binds it to the data planes in the same way; the control plane asks no policy
//! (AWS-ID-45).

use std::sync::Arc;

use axum::http::request::Parts;

use crate::auth::Principal;
use crate::aws::authority::{Asked, Client};
use crate::config::Config;
use crate::policy::{Action, Context, Details};

use super::super::arrival::{Arrival, Entrance};
use super::call::Call;
use super::caller::Caller;
use super::host::Host;
use super::operation::{Operation, Service};
use super::refusal::Refusal;
use super::signature;

/// What shows who makes a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing has to.
    Needless,
    /// This certificate does, since the handshake.
    Certificate(Arc<str>),
    /// Its signature has to.
    Signature,
    /// Its authorizer says.
    Authorizer,
}

impl Proof {
    /// What shows who makes a call, before its body is read.
    ///
    /// # Errors
    ///
    /// 403 for who has nothing to show.
    pub(super) fn wanted(
        config: &Config,
        caller: &Caller,
        arrival: Option<&Arrival>,
        operation: &Operation,
    ) -> Result<Self, Refusal> {
        let has_keys = !config.access_keys.is_empty();
        let has_certificate = arrival.is_some_and(|arrival| {
            arrival.certificate.is_some() || arrival.takes_certificates_only()
        });
        if caller.names_authorizer() && operation.service != Service::Iot && !has_certificate {
            return Ok(Self::Authorizer);
        }
        let by_key = match has_keys {
            true => Self::Signature,
            false => Self::Needless,
        };
        let Some(arrival) = arrival.filter(|arrival| arrival.entrance != Entrance::Own) else {
            return Ok(by_key);
        };
        let takes_signatures = !arrival.takes_certificates_only();
        match &arrival.certificate {
            Some(id) if !(takes_signatures && has_keys && caller.is_signed()) => {
                if operation.service == Service::Iot {
                    let text =
                        "The control plane takes no client certificates: sign with an access key.";
                    return Err(Refusal::forbidden(text));
                }
                Ok(Self::Certificate(id.clone()))
            }
            None if !takes_signatures => Err(Refusal::forbidden("A client certificate is needed.")),
            _ if has_keys || arrival.is_from_this_machine() => Ok(by_key),
            _ => Err(Refusal::forbidden(
                "From another machine a client certificate is needed, or a signature with an access key of the \
                 configuration, and it has none.",
            )),
        }
    }

    /// Whom it shows, if it has to be anybody.
    ///
    /// # Errors
    ///
    /// 403 for a signature that is missing or wrong.
    pub(super) fn principal(
        self,
        config: &Config,
        parts: &Parts,
        body: &[u8],
        now: i64,
    ) -> Result<Option<Principal>, Refusal> {
        match self {
            Self::Needless | Self::Authorizer => Ok(None),
            Self::Certificate(id) => Ok(Some(Principal::Certificate(id))),
            Self::Signature => {
                let id = signature::check(config, parts, body, now)?;
                Ok(Some(Principal::AccessKey(id)))
            }
        }
    }
}

/// Asks the policies of who makes a call (AWS-ID-42 to -44).
///
/// # Errors
///
/// 403 if they do not allow it.
pub(super) fn check(host: &Host, operation: &Operation, call: &Call) -> Result<(), Refusal> {
    let authorization = call.authorization.as_deref();
    let authorized = authorization.map(|said| Principal::Authorized(said.principal.clone()));
    let Some(principal) = authorized.as_ref().or(call.principal.as_ref()) else {
        return Ok(());
    };
    let (Some(authority), true) = (host.authority(), operation.service != Service::Iot) else {
        return Ok(());
    };
    let caller = Client {
        principal: principal.clone(),
        source: call.arrival.as_deref().map(source).unwrap_or_default(),
    };
    let now = host.engine().clock.now().now;
    let asked = asked(operation, call)?;
    let Err(reason) = authority.permit(caller, authorization, &asked, now) else {
        return Ok(());
    };
    if let Some(asked) = asked.first() {
        let source = call.arrival.as_deref().map(source).unwrap_or_default();
        let deed = (asked.action.name(), asked.resource.as_str());
        authority.note_call(Some(principal), source, deed, &reason, now);
    }
    if let Some(arrival) = &call.arrival {
        let (listener, peer) = (arrival.entrance.listener(), arrival.peer);
        let principal = principal.name();
        tracing::info!(
            listener,
            %peer,
            principal,
            operation = operation.name,
            reason,
            "call refused"
        );
    }
    Err(Refusal::forbidden(reason))
}

/// Keeps the refusal of a call that has not shown who makes it.
pub(super) fn note_unproven(
    host: &Host,
    operation: &Operation,
    path: &str,
    arrival: Option<&Arrival>,
    refusal: &Refusal,
) {
    if let (Some(authority), true) = (host.authority(), refusal.is_forbidden()) {
        let (source, now) = (
            arrival.map(source).unwrap_or_default(),
            host.engine().clock.now().now,
        );
        authority.note_call(None, source, (operation.name, path), refusal.message(), now);
    }
}

/// What policies see of where a call comes from.
fn source(arrival: &Arrival) -> Context {
    Context {
        source_ip: arrival.peer.socket_addr().map(|peer| peer.ip()),
        domain_name: arrival.sni.as_deref().map(str::to_owned),
        ..Context::default()
    }
}

/// What policies are asked about a call.
fn asked<'c>(operation: &Operation, call: &'c Call) -> Result<Vec<Asked<'c>>, Refusal> {
    let unknown = |_| Refusal::forbidden("No policy allows this operation.");
    let action: Action = operation.name.parse().map_err(unknown)?;
    let resource = match action.resource_type() {
        "topic" => format!("topic/{}", call.path("topic")),
        "client" => format!("client/{}", call.path("clientId")),
        "thing" => match call.given("name") {
            Some(shadow) => format!("thing/{}/{shadow}", call.path("thingName")),
            None => format!("thing/{}", call.path("thingName")),
        },
        other => other.to_owned(),
    };
    let is_retained = action == Action::Publish && call.flag("retain")?;
    let details = match action {
        Action::SendDirectMessage => Details {
            topic: call.text("topic"),
            ..Details::default()
        },
        Action::GetConnection => Details {
            socket_information: Some(call.flag("includeSocketInformation")?),
            ..Details::default()
        },
        _ => Details::default(),
    };
    let actions = [Some(action), is_retained.then_some(Action::RetainPublish)];
    let asked = actions.into_iter().flatten().map(|action| Asked {
        action,
        resource: resource.clone(),
        details,
    });
    Ok(asked.collect())
}

#[cfg(all(test, feature = "doors"))]
mod tests {
    use axum::http::HeaderName;
    use axum::http::{HeaderMap, Uri};

    use super::super::route;
    use super::*;
    use crate::broker::{ConnectionFacts, PeerAddr, TlsDetails, TlsFacts};
    use crate::config::AccessKey;
    use crate::net::doors::HTTP_CERTIFIED;

    const HERE: &str = "127.0.0.1:1";
    const THERE: &str = "192.0.2.1:1";

    fn arrival(entrance: Entrance, peer: &str, has_certificate: bool, alpn: &str) -> Arc<Arrival> {
        let tls = TlsFacts {
            certificate_id: has_certificate.then(|| "c0".into()),
            certificate: None,
            sni: None,
            details: TlsDetails {
                version: "TLSv1.3",
                cipher: "",
                alpn: Some(alpn.into()),
                common_name: None,
            },
        };
        let peer = PeerAddr::Ip(peer.parse().expect("an address"));
        let facts = ConnectionFacts::new(entrance.listener(), peer, Some(tls));
        Arrival::new(entrance, &facts)
    }

    /// What has to be shown for a call of the control plane, and for one of the data plane: a letter each.
    fn wanted(arrival: Option<&Arrival>, has_keys: bool, shown: Option<(&str, &str)>) -> String {
        let mut config = Config::aws();
        if has_keys {
            config.access_keys.push(AccessKey {
                id: "AKIDEXAMPLE".to_owned(),
                secret: "secret".to_owned(),
                policy: None,
            });
        }
        let header = |(name, value): (&str, &str)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, value.parse().expect("a value"))
        };
        let headers = HeaderMap::from_iter(shown.map(header));
        let caller = Caller::of(&headers, &Uri::from_static("/"));
        let letter = |name: &str| {
            let mut all = route::OPERATIONS.iter().copied().flatten();
            let operation = all.find(|operation| operation.name == name);
            match Proof::wanted(&config, &caller, arrival, operation.expect("an operation")) {
                Ok(Proof::Needless) => 'n',
                Ok(Proof::Certificate(_)) => 'c',
                Ok(Proof::Signature) => 's',
                Ok(Proof::Authorizer) => 'a',
                Err(_) => '-',
            }
        };
        ["ListThings", "Publish"].map(letter).iter().collect()
    }

    /// Columns: with nothing, a signature, an authorizer; and the same where there are access keys.
    #[test]
    fn what_has_to_be_shown_follows_from_where_a_call_comes_from() {
        let (door, devices) = (Entrance::Door, Entrance::DeviceDoor);
        for (arrival, expected) in [
            (None, "nn nn na ss ss sa"),
            (
                Some(arrival(Entrance::Own, THERE, false, "")),
                "nn nn na ss ss sa",
            ),
            (
                Some(arrival(door, HERE, false, "http/1.1")),
                "nn nn na ss ss sa",
            ),
            (
                Some(arrival(door, THERE, false, "http/1.1")),
                "-- -- -a ss ss sa",
            ),
            (
                Some(arrival(door, HERE, true, "http/1.1")),
                "-c -c -c -c ss -c",
            ),
            (
                Some(arrival(door, THERE, true, "http/1.1")),
                "-c -c -c -c ss -c",
            ),
            (
                Some(arrival(door, HERE, true, HTTP_CERTIFIED)),
                "-c -c -c -c -c -c",
            ),
            (Some(arrival(devices, HERE, true, "")), "-c -c -c -c -c -c"),
            (Some(arrival(devices, HERE, false, "")), "-- -- -- -- -- --"),
        ] {
            let shown = [
                None,
                Some(("authorization", "AWS4-HMAC-SHA256 x")),
                Some(("x-amz-customauthorizer-name", "mine")),
            ];
            let columns = [false, true]
                .map(|has_keys| shown.map(|shown| wanted(arrival.as_deref(), has_keys, shown)));
            let text = arrival.map_or("no arrival".to_owned(), |arrival| {
                format!(
                    "{:?} {} {:?}",
                    arrival.entrance, arrival.peer, arrival.certificate
                )
            });
            assert_eq!(columns.as_flattened().join(" "), expected, "{text}");
        }
    }
}
