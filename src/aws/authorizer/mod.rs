//! Custom authorizers: who clients are that have no certificate, as a function says (AWS-AUTH-01 to -07).
//!
//! What a client has presented is the [`Evidence`]; from it and the registry follows a [`Question`]: which
//! function is asked, and with what event. What that answers is an [`Answer`]. Asking is for others.

mod answer;
mod evidence;

use std::sync::Arc;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::registry::{Authorizer, State, rsa_public_key};

pub(crate) use answer::Answer;
#[cfg(any(feature = "http", feature = "websocket"))]
pub(crate) use evidence::headers_of;
pub(crate) use evidence::{Evidence, Http, Mqtt};

/// Names under which a client presents what all authorizers have in common (AWS-AUTH-01, -02).
pub(crate) const NAME: &str = "x-amz-customauthorizer-name";
const SIGNATURE: &str = "x-amz-customauthorizer-signature";

/// What a function is asked.
#[derive(Debug)]
pub(crate) struct Question {
    /// The name of the authorizer.
    pub(crate) authorizer: String,
    /// The ARN of its function.
    pub(crate) function: String,
    /// In JSON.
    pub(crate) event: String,
    /// Whether the answer holds for further requests on a connection (`enableCachingForHttp`).
    #[cfg(feature = "http")]
    pub(crate) is_kept: bool,
    /// What the event is about: the token, then the user name without parameters, as far as there are any.
    pub(crate) keys: Vec<String>,
}

/// What is to be proven by a signature, and the signature in Base64.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Proof<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) signature: Option<&'a str>,
}

/// Whether an authorizer says who a client is that has presented this: it names one, or there is a default.
pub(crate) fn is_asked(state: &State, evidence: &Evidence<'_>) -> bool {
    state.default_authorizer().is_some() || evidence.find(NAME).is_some()
}

/// What is asked about a client.
///
/// # Errors
///
/// Why nobody is asked, and the client is refused.
pub(crate) fn question(state: &State, evidence: &Evidence<'_>) -> Result<Question, String> {
    let authorizer = choose(state, evidence)?;
    let token = authorizer.token_key_name.as_deref();
    let token = token.and_then(|name| evidence.find(name));
    let signature = evidence.find(SIGNATURE);
    let proof = Proof {
        token: token.as_deref(),
        signature: signature.as_deref(),
    };
    question_of(&authorizer, evidence, proof)
        .map_err(|why| format!("authorizer {}: {why}", authorizer.name))
}

/// The authorizer that a client names, or else the default one.
fn choose(state: &State, evidence: &Evidence<'_>) -> Result<Arc<Authorizer>, String> {
    let named = evidence.find(NAME);
    let found = match &named {
        Some(name) => state.describe_authorizer(name),
        None => state.describe_default_authorizer(),
    };
    let authorizer = found.map_err(|error| error.to_string())?;
    match authorizer.is_active {
        true => Ok(authorizer),
        false => Err(format!("authorizer {} is INACTIVE", authorizer.name)),
    }
}

/// What this authorizer's function is asked, whether or not it is active.
///
/// # Errors
///
/// What the token lacks.
pub(crate) fn question_of(
    authorizer: &Authorizer,
    evidence: &Evidence<'_>,
    proof: Proof<'_>,
) -> Result<Question, &'static str> {
    if !authorizer.signing_disabled {
        check(authorizer, proof)?;
    }
    let user = evidence.user();
    Ok(Question {
        authorizer: authorizer.name.clone(),
        function: authorizer.function_arn.clone(),
        #[cfg(feature = "http")]
        is_kept: authorizer.caching_for_http,
        event: evidence.event(proof.token, !authorizer.signing_disabled),
        keys: proof
            .token
            .into_iter()
            .chain(user)
            .map(str::to_owned)
            .collect(),
    })
}

/// Whether a token was signed with one of the keys.
fn check(authorizer: &Authorizer, proof: Proof<'_>) -> Result<(), &'static str> {
    let token = proof.token.ok_or("the client presents no token")?;
    let signature = proof
        .signature
        .ok_or("the client presents no signature of its token")?;
    let signature = STANDARD.decode(signature);
    let signature = signature.map_err(|_| "the signature of the token is not in Base64")?;
    let mut keys = authorizer.token_signing_public_keys.values();
    let is_signed = keys.any(|pem| {
        rsa_public_key(pem).is_ok_and(|der| {
            let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der);
            key.verify(token.as_bytes(), &signature).is_ok()
        })
    });
    match is_signed {
        true => Ok(()),
        false => Err("the signature of the token is of none of its keys"),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
    use serde_json::{Value, json};

    use super::*;
    use crate::aws::registry::{AuthorizerUpdate, Draft, Error, Means, NewAuthorizer, Registry};
    use crate::policy::Scope;

    struct Signer(KeyPair);

    impl Signer {
        fn new() -> Self {
            Self(KeyPair::generate(KeySize::Rsa2048).unwrap())
        }

        fn pem(&self) -> String {
            let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
            let text = STANDARD.encode(der.as_ref());
            format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
        }

        fn sign(&self, token: &str) -> String {
            let mut signature = vec![0; self.0.public_modulus_len()];
            let random = SystemRandom::new();
            self.0
                .sign(&RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature)
                .unwrap();
            STANDARD.encode(signature)
        }
    }

    fn registry(change: impl FnOnce(&mut Draft<'_>) -> Result<(), Error>) -> Registry {
        let registry = Registry::in_memory(Scope::default());
        let means = Means {
            now: 0,
            random: &mut || 0,
        };
        registry.change(means, change).unwrap();
        registry
    }

    fn unsigned(is_active: bool) -> NewAuthorizer<'static> {
        NewAuthorizer {
            function_arn: "f",
            token_key_name: Some("tok".to_owned()),
            signing_disabled: true,
            is_active,
            ..NewAuthorizer::default()
        }
    }

    fn by_name(username: &str) -> Evidence<'_> {
        Evidence {
            mqtt: Some(Mqtt {
                username: Some(username),
                password: None,
                client_id: Some("car"),
            }),
            ..Evidence::default()
        }
    }

    fn ask(registry: &Registry, username: &str) -> Result<Question, String> {
        question(&registry.state(), &by_name(username))
    }

    /// AWS-AUTH-01
    #[test]
    fn the_authorizer_is_the_one_that_is_named_or_the_default() {
        let registry = registry(|draft| {
            draft.create_authorizer("named", unsigned(true))?;
            draft.create_authorizer("sleeps", unsigned(false))?;
            Ok(())
        });
        let asked = ask(&registry, "u?x-amz-customauthorizer-name=named&tok=t").unwrap();
        assert_eq!(asked.authorizer, "named");
        assert_eq!(asked.keys, ["t", "u"]);
        let sleeps = ask(&registry, "?x-amz-customauthorizer-name=sleeps").unwrap_err();
        assert_eq!(sleeps, "authorizer sleeps is INACTIVE");
        let absent = ask(&registry, "?x-amz-customauthorizer-name=absent").unwrap_err();
        assert_eq!(absent, "Authorizer absent not found.");
        assert!(!is_asked(&registry.state(), &by_name("u?tok=t")));
        let means = Means {
            now: 0,
            random: &mut || 0,
        };
        registry
            .change(means, |draft| draft.set_default_authorizer("sleeps"))
            .unwrap();
        assert!(is_asked(&registry.state(), &by_name("u?tok=t")));
        let default = ask(&registry, "u?tok=t").unwrap_err();
        assert_eq!(default, "authorizer sleeps is INACTIVE");
    }

    #[test]
    fn a_token_passes_with_the_signature_of_any_key_and_no_other() {
        let (one, other, stranger) = (Signer::new(), Signer::new(), Signer::new());
        let keys = [("one", &one), ("other", &other)];
        let registry = registry(|draft| {
            let new = NewAuthorizer {
                token_signing_public_keys: keys
                    .map(|(name, key)| (name.to_owned(), key.pem()))
                    .into(),
                signing_disabled: false,
                ..unsigned(true)
            };
            draft.create_authorizer("a", new).map(drop)
        });
        let named = "u?x-amz-customauthorizer-name=a";
        let ask_with = |token: &str, signature: &str| {
            let signature = signature.replace('+', "%2B");
            ask(
                &registry,
                &format!("{named}&tok={token}&x-amz-customauthorizer-signature={signature}"),
            )
        };
        for signer in [&one, &other] {
            let asked = ask_with("secret", &signer.sign("secret")).unwrap();
            let event: Value = serde_json::from_str(&asked.event).unwrap();
            assert_eq!(event["token"], "secret");
            assert_eq!(event["signatureVerified"], true);
        }
        for (token, signature, why) in [
            ("secret", stranger.sign("secret"), "of none of its keys"),
            ("secrets", one.sign("secret"), "of none of its keys"),
            ("secret", String::new(), "of none of its keys"),
            ("secret", "?".to_owned(), "not in Base64"),
        ] {
            let refused = ask_with(token, &signature).unwrap_err();
            assert!(refused.ends_with(why), "{refused}");
        }
        let refused = ask(&registry, named).unwrap_err();
        assert_eq!(refused, "authorizer a: the client presents no token");
        let refused = ask(&registry, &format!("{named}&tok=t")).unwrap_err();
        assert!(refused.contains("no signature"), "{refused}");
        let means = Means {
            now: 0,
            random: &mut || 0,
        };
        let update = AuthorizerUpdate {
            token_signing_public_keys: Some([("one".to_owned(), one.pem())].into()),
            ..AuthorizerUpdate::default()
        };
        registry
            .change(means, |draft| draft.update_authorizer("a", update))
            .unwrap();
        assert!(ask_with("secret", &other.sign("secret")).is_err());
    }

    /// AWS-AUTH-02 AWS-AUTH-07
    #[test]
    fn an_event_has_what_was_presented_on_each_way() {
        let headers = [
            ("host".to_owned(), "localhost".to_owned()),
            ("X-Amz-CustomAuthorizer-Name".to_owned(), "a".to_owned()),
        ];
        let evidence = Evidence {
            server_name: Some(Some("iot.test")),
            http: Some(Http {
                headers: &headers,
                query: "tok=a%20b&x=1",
            }),
            mqtt: Some(Mqtt {
                username: Some("u?SDK=Test"),
                password: Some(b"pass"),
                client_id: None,
            }),
            connection: "id".to_owned(),
        };
        let registry = registry(|draft| draft.create_authorizer("a", unsigned(true)).map(drop));
        let asked = question(&registry.state(), &evidence).unwrap();
        assert_eq!(asked.keys, ["a b", "u"]);
        let event: Value = serde_json::from_str(&asked.event).unwrap();
        let expected = json!({
            "token": "a b",
            "signatureVerified": false,
            "protocols": ["tls", "http", "mqtt"],
            "protocolData": {
                "tls": {"serverName": "iot.test"},
                "http": {
                    "headers": {"host": "localhost", "X-Amz-CustomAuthorizer-Name": "a"},
                    "queryString": "?tok=a%20b&x=1",
                },
                "mqtt": {"username": "u?SDK=Test", "password": "cGFzcw=="},
            },
            "connectionMetadata": {"id": "id"},
        });
        assert_eq!(event, expected);
    }
}
