//! Custom authorizers: a function, here a small HTTP server of the test, says who a client without a certificate
//! is and what it may do.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roundel::aws::registry::{AuthorizerUpdate, NewAuthorizer};
use roundel::config::{ClientCert, Lambda, User};
use roundel::{Config, IssuedPem, PasswordHash};
use serde_json::{Value, json};

use crate::doors::{exchange, request};
use crate::stand::{Stand, allow, document, everything};
use crate::support::*;

const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:authorize";

/// How a function answers an event.
enum Reply {
    /// With this result.
    Result(Value),
    /// With this text.
    Text(String),
    /// With this status.
    Status(u16),
    /// Not at all, as long as the caller holds the line.
    Silence,
}

type Answering = Box<dyn Fn(&Value) -> Reply + Send>;

/// A function behind a URL.
struct Function {
    address: SocketAddr,
    answering: Arc<Mutex<Answering>>,
    /// The events that it got, in their order; each caller that hung up is a null.
    events: Receiver<Value>,
}

impl Function {
    fn start(answering: impl Fn(&Value) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let answering: Arc<Mutex<Answering>> = Arc::new(Mutex::new(Box::new(answering)));
        let (own, (tell, events)) = (answering.clone(), channel());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (own, tell) = (own.clone(), tell.clone());
                std::thread::spawn(move || {
                    let (mut stream, event) = read_event(stream);
                    let reply = own.lock().expect("nobody panics")(&event);
                    // The test may be over.
                    let _ = tell.send(event);
                    let (status, body) = match reply {
                        Reply::Result(value) => (200, value.to_string()),
                        Reply::Text(text) => (200, text),
                        Reply::Status(status) => (status, String::new()),
                        Reply::Silence => {
                            let _ = stream.read(&mut [0]);
                            let _ = tell.send(Value::Null);
                            return;
                        }
                    };
                    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
                    // Who has heard enough hangs up.
                    let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes());
                });
            }
        });
        Self {
            address,
            answering,
            events,
        }
    }

    fn answer(&self, answering: impl Fn(&Value) -> Reply + Send + 'static) {
        *self.answering.lock().expect("nobody panics") = Box::new(answering);
    }

    fn event(&self) -> Value {
        self.events.recv_timeout(DEADLINE).expect("an event")
    }
}

/// Reads a POST of an event in JSON.
fn read_event(mut stream: TcpStream) -> (TcpStream, Value) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(
                head.starts_with("POST /authorize?x=1 HTTP/1.1\r\n"),
                "{head}"
            );
            let head = head.to_ascii_lowercase();
            assert!(head.contains("content-type: application/json"), "{head}");
            let length = head.split("content-length: ").nth(1).expect("a length");
            let length = length.lines().next().and_then(|line| line.parse().ok());
            if body.len() >= length.expect("a number") {
                return (stream, serde_json::from_str(body).expect("JSON"));
            }
        }
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).expect("a request");
        bytes.extend(&chunk[..count]);
    }
}

/// A broker whose authorizers ask this function, and one of them: `mine`, which verifies nothing.
fn stand_of(function: &Function) -> Stand {
    stand_with(function, |_| {})
}

fn stand_with(function: &Function, change: impl FnOnce(&mut Config)) -> Stand {
    let url = format!("http://localhost:{}/authorize?x=1", function.address.port());
    let stand = Stand::with(|config| {
        let mut lambda = Lambda::new(ARN);
        lambda.url = Some(url);
        config.lambda = vec![lambda];
        change(config);
    });
    stand.change(|draft| draft.create_authorizer("mine", unsigned()).map(drop));
    stand
}

fn unsigned() -> NewAuthorizer<'static> {
    NewAuthorizer {
        function_arn: ARN,
        token_key_name: Some("tok".to_owned()),
        signing_disabled: true,
        is_active: true,
        ..NewAuthorizer::default()
    }
}

/// The client is `ann`, and may do what these statements say.
fn ann(statements: &Value) -> Value {
    json!({
        "isAuthenticated": true,
        "principalId": "ann",
        "policyDocuments": [document(statements)],
        "disconnectAfterInSeconds": 86400,
        "refreshAfterInSeconds": 86400,
    })
}

fn granting(statements: Value) -> impl Fn(&Value) -> Reply + Send + 'static {
    move |_| Reply::Result(ann(&statements))
}

const MINE: &str = "u?x-amz-customauthorizer-name=mine&tok=t";

fn dial(stand: &Stand, version: Version) -> Client {
    let address = stand.server.addrs().mqtt.expect("a listener");
    Client::dial(address, version)
}

#[track_caller]
fn enter(stand: &Stand, version: Version, connect: &Connect) -> Client {
    let mut client = dial(stand, version);
    client.send_connect(connect);
    assert_eq!(client.expect_connack().1, 0, "reason of CONNACK");
    client
}

#[track_caller]
fn refuse(stand: &Stand, version: Version, connect: &Connect) {
    let mut client = dial(stand, version);
    client.send_connect(connect);
    client.expect_refusal(0x87);
}

/// AWS-AUTH-01 AWS-AUTH-03 AWS-AUTH-07 AWS-ID-11
#[test]
fn a_client_that_names_an_authorizer_is_whom_that_says_it_is() {
    both(|version| {
        let function = Function::start(granting(json!([
            allow(&["Connect"], &["client/car"]),
            allow(&["Publish"], &["topic/${iot:ClientId}/up"]),
            allow(&["Publish"], &["topic/${iot:Connection.Thing.ThingName}"]),
        ])));
        let stand = stand_of(&function);
        let topic = "$aws/events/presence/connected/car";
        let mut events = stand.events(topic);
        let connect = Connect::new("car").user(MINE).password("secret");
        let mut client = enter(&stand, version, &connect);
        let told = stand.event(&mut events);
        assert_eq!(told["principalIdentifier"], "ann");
        let event = function.event();
        assert_eq!(event["token"], "t");
        assert_eq!(event["signatureVerified"], false);
        assert_eq!(event["protocols"], json!(["mqtt"]));
        let expected = json!({"username": MINE, "password": "c2VjcmV0", "clientId": "car"});
        assert_eq!(event["protocolData"], json!({"mqtt": expected}));
        let id = event["connectionMetadata"]["id"].as_str();
        assert_eq!(id.map(str::len), Some(36));
        let up = Publish::new("car/up", "x");
        assert_eq!(client.publish_message(up, 1), 0);
        client.send(Publish::new("car/down", "x").qos(1, 7));
        match version {
            Version::V5 => assert_eq!(client.expect_puback(7), 0x87),
            Version::V3 => client.expect_closed(),
        }
    });
}

/// AWS-AUTH-03 AWS-FAIL-01 AWS-LIFE-19
#[test]
fn who_is_not_authenticated_is_refused_whatever_the_policies() {
    both(|version| {
        let function = Function::start(|_| Reply::Result(json!({"isAuthenticated": false})));
        let stand = stand_of(&function);
        let topic = "$aws/events/presence/connect_failed/car";
        let mut events = stand.events(topic);
        refuse(&stand, version, &Connect::new("car").user(MINE));
        let told = stand.event(&mut events);
        assert_eq!(told["connectFailureReason"], "AUTHORIZATION_FAILED");
        assert!(told["principalIdentifier"].is_null(), "{told}");
        // Nobody else is asked, and who names none is let in: there are no policies.
        function.event();
        enter(&stand, version, &Connect::new("car").user("u?tok=t"));
        let absent = "?x-amz-customauthorizer-name=absent";
        refuse(&stand, version, &Connect::new("car").user(absent));
        stand.change(|draft| {
            let inactive = AuthorizerUpdate {
                is_active: Some(false),
                ..AuthorizerUpdate::default()
            };
            draft.update_authorizer("mine", inactive)
        });
        refuse(&stand, version, &Connect::new("car").user(MINE));
        assert!(function.events.try_recv().is_err(), "nobody was asked");
    });
}

/// AWS-AUTH-01
#[test]
fn the_default_authorizer_says_who_clients_are_that_name_none() {
    let function = Function::start(granting(json!([everything()])));
    let stand = stand_of(&function);
    stand.change(|draft| draft.set_default_authorizer("mine"));
    let plain = Connect::new("car");
    enter(
        &stand,
        Version::V5,
        &plain.clone().user("ann").password("pw"),
    );
    let event = function.event();
    assert!(event.get("token").is_none(), "{event}");
    assert_eq!(event["protocolData"]["mqtt"]["username"], "ann");
    enter(&stand, Version::V5, &plain);
    let event = function.event();
    assert_eq!(event["protocolData"]["mqtt"], json!({"clientId": "car"}));
    // An assigned identifier is none that the client has sent.
    enter(&stand, Version::V5, &Connect::new(""));
    assert_eq!(function.event()["protocolData"]["mqtt"], json!({}));
}

/// AWS-AUTH-02 AWS-FLOW-50
#[test]
fn upgrades_to_websocket_name_authorizers_in_headers_or_in_their_query() {
    let function = Function::start(granting(json!([everything()])));
    let stand = stand_with(&function, |config| config.listeners.ws = Some(0));
    let connect = |target: &str, headers: &str, user: Option<&str>| {
        let address = stand.server.addrs().ws.expect("a listener");
        let stream = TcpStream::connect(address).expect("it accepts");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        let frames = Frames::try_upgrade_with(stream, target, headers).expect("an upgrade");
        let mut client = Client::over(frames, Version::V5);
        let connect = Connect::new("car");
        client.send_connect(&match user {
            Some(user) => connect.user(user),
            None => connect,
        });
        client.expect_connack().1
    };
    let headers = "X-Amz-CustomAuthorizer-Name: mine\r\ntok: in header\r\n";
    assert_eq!(connect("/mqtt", headers, None), 0);
    let event = function.event();
    assert_eq!(event["token"], "in header");
    assert_eq!(event["protocols"], json!(["http", "mqtt"]));
    let http = &event["protocolData"]["http"];
    assert_eq!(http["headers"]["x-amz-customauthorizer-name"], "mine");
    assert_eq!(http["queryString"], "");
    let query = "x-amz-customauthorizer-name=mine&tok=in%20query";
    assert_eq!(connect(&format!("/mqtt?{query}"), "", None), 0);
    let event = function.event();
    assert_eq!(event["token"], "in query");
    let http = &event["protocolData"]["http"];
    assert_eq!(http["queryString"], format!("?{query}"));
    assert_eq!(connect("/mqtt", "", Some(MINE)), 0);
    assert_eq!(function.event()["token"], "t");
    let absent = "X-Amz-CustomAuthorizer-Name: absent\r\n";
    assert_eq!(connect("/mqtt", absent, None), 0x87);
}

#[test]
fn over_tls_a_client_with_a_certificate_needs_no_authorizer() {
    let function = Function::start(granting(json!([allow(&["Connect"], &["*"])])));
    let stand = stand_with(&function, |config| {
        config.tls.client_cert = ClientCert::Optional;
    });
    stand.change(|draft| draft.set_default_authorizer("mine"));
    let device: IssuedPem = stand.device("device", &json!([everything()]));
    let mut own = stand.enter(&device, Version::V5, &Connect::new("own").user(MINE));
    assert_eq!(own.publish_message(Publish::new("a", "x"), 1), 0);
    let address = stand.server.addrs().mqtts.expect("a listener");
    let stream = stand.shake_hands(address, None, &[]);
    let mut other = Client::over(stream.expect("a handshake"), Version::V5);
    other.send_connect(&Connect::new("other"));
    assert_eq!(other.expect_connack().1, 0);
    assert_eq!(other.publish_message(Publish::new("a", "x"), 1), 0x87);
    let event = function.event();
    assert_eq!(event["protocols"], json!(["tls", "mqtt"]));
    let tls = &event["protocolData"]["tls"];
    assert_eq!(*tls, json!({"serverName": "localhost"}));
    assert_eq!(event["protocolData"]["mqtt"]["clientId"], "other");
    assert!(function.events.try_recv().is_err(), "it was asked once");
}

/// There the password is the only word, whomever the client names in its user name.
#[test]
fn at_a_listener_with_passwords_no_authorizer_is_asked() {
    both(|version| {
        let function = Function::start(granting(json!([everything()])));
        let stand = stand_with(&function, |config| {
            config.listeners.mqtt_password = Some(0);
            config.users.push(User {
                name: "ann".to_owned(),
                password_hash: PasswordHash::new(b"secret", b"sixteen bytes ok").to_string(),
            });
        });
        let address = stand.server.addrs().mqtt_password.expect("a listener");
        let enter = |user: &str| {
            let mut client = Client::dial(address, version);
            client.send_connect(&Connect::new("car").user(user).password("secret"));
            client.expect_connack().1
        };
        let refused = match version {
            Version::V5 => 0x86,
            Version::V3 => 4,
        };
        assert_eq!(enter(MINE), refused);
        assert_eq!(enter("ann"), 0);
        assert!(function.events.try_recv().is_err());
        // The same function is asked beside it.
        let mut client = dial(&stand, version);
        client.send_connect(&Connect::new("car").user(MINE));
        assert_eq!(client.expect_connack().1, 0);
        function.event();
    });
}

/// AWS-ENDP-07
#[test]
fn at_the_door_for_everything_a_client_has_an_authorizer() {
    both(|version| {
        let function = Function::start(granting(json!([everything()])));
        let stand = stand_with(&function, |config| config.listeners.alpn = Some(0));
        let address = stand.server.addrs().alpn.expect("a listener");
        let dial = |user: &str| {
            let stream = stand.shake_hands(address, None, &["mqtt"]);
            let mut client = Client::over(stream.expect("a handshake"), version);
            client.send_connect(&Connect::new("car").user(user));
            client
        };
        assert_eq!(dial(MINE).expect_connack().1, 0);
        assert_eq!(function.event()["protocols"], json!(["tls", "mqtt"]));
        dial("?x-amz-customauthorizer-name=absent").expect_refusal(0x87);
    });
}

/// AWS-AUTH-02 AWS-ENDP-10 AWS-ID-42
#[test]
fn over_https_a_device_publishes_what_its_authorizer_allows() {
    let function = Function::start(granting(json!([allow(&["Publish"], &["topic/a"])])));
    let stand = stand_with(&function, |config| config.listeners.alpn = Some(0));
    let mut watcher = dial(&stand, Version::V5);
    watcher.send_connect(&Connect::new("watcher"));
    watcher.expect_connack();
    watcher.subscribe("#", 1);
    let call = |line: &str, headers: &str| {
        let (method, target) = line.split_once(' ').expect("a line");
        let address = stand.server.addrs().alpn.expect("a listener");
        let mut stream = stand.shake_hands(address, None, &[]).expect("a handshake");
        exchange(&mut stream, &request(method, target, headers, "hello")).expect("an answer")
    };
    let named = "x-amz-customauthorizer-name: mine\r\ntok: t\r\n";
    assert_eq!(call("POST /topics/a?qos=1", named).status, 200);
    assert_eq!(watcher.receive().topic, "a");
    let event = function.event();
    assert_eq!(event["token"], "t");
    assert_eq!(event["protocols"], json!(["tls", "http"]));
    let data = &event["protocolData"];
    assert_eq!(data["tls"]["serverName"], "localhost");
    assert_eq!(data["http"]["queryString"], "?qos=1");
    assert_eq!(data["http"]["headers"]["tok"], "t");
    let in_query = "POST /topics/a?x-amz-customauthorizer-name=mine";
    assert_eq!(call(in_query, "").status, 200);
    assert_eq!(watcher.receive().topic, "a");
    for (line, headers) in [
        ("POST /topics/b", named),
        ("POST /topics/a?retain=true", named),
        ("GET /things/car/shadow", named),
        ("POST /topics/a", "x-amz-customauthorizer-name: absent\r\n"),
    ] {
        call(line, headers).expect_forbidden();
    }
    function.answer(|_| Reply::Result(json!({"isAuthenticated": false})));
    call("POST /topics/a", named).expect_forbidden();
    function.answer(|_| Reply::Status(500));
    call("POST /topics/a", named).expect_forbidden();
    watcher.expect_only_pingresp();
}

/// AWS-AUTH-06
#[test]
fn an_answer_is_kept_for_a_connection_over_http_if_the_authorizer_says_so() {
    let function = Function::start(|_| {
        let mut said = ann(&json!([everything()]));
        said["refreshAfterInSeconds"] = json!(300);
        Reply::Result(said)
    });
    let stand = stand_with(&function, |config| config.listeners.alpn = Some(0));
    let address = stand.server.addrs().alpn.expect("a listener");
    let open = || stand.shake_hands(address, None, &[]).expect("a handshake");
    let mut stream = open();
    let mut call = |token: &str, is_asked: bool| {
        let named = format!("x-amz-customauthorizer-name: mine\r\ntok: {token}\r\n");
        let body = fresh("of any length");
        let answer = exchange(&mut stream, &request("POST", "/topics/a", &named, &body));
        assert_eq!(answer.expect("an answer").status, 200);
        assert_eq!(function.events.try_recv().is_ok(), is_asked, "{token}");
    };
    call("t", true);
    call("t", true);
    let keeping = AuthorizerUpdate {
        caching_for_http: Some(true),
        ..AuthorizerUpdate::default()
    };
    stand.change(|draft| draft.update_authorizer("mine", keeping));
    call("t", true);
    call("t", false);
    call("other", true);
    call("other", false);
    // The connection lasts for as long as it is not idle.
    for _ in 0..38 {
        stand.pass(8);
        call("other", false);
        if stand.server.clock().ahead() > Duration::from_secs(295) {
            break;
        }
    }
    stand.pass(8);
    call("other", true);
    stream = open();
    let named = "x-amz-customauthorizer-name: mine\r\ntok: other\r\n";
    let answer = exchange(&mut stream, &request("POST", "/topics/a", named, "x"));
    assert_eq!(answer.expect("an answer").status, 200);
    assert!(function.events.try_recv().is_ok(), "another connection");
}

/// AWS-FLOW-21 AWS-FLOW-23
#[test]
fn a_token_without_the_right_signature_does_not_reach_the_function() {
    let key = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().expect("DER");
    let text = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    let sign = |token: &str| {
        let mut signature = vec![0; key.public_modulus_len()];
        let random = SystemRandom::new();
        key.sign(&RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature)
            .expect("a signature");
        STANDARD.encode(signature).replace('+', "%2B")
    };
    let function = Function::start(granting(json!([everything()])));
    let stand = stand_of(&function);
    stand.change(|draft| {
        let new = NewAuthorizer {
            token_signing_public_keys: [("one".to_owned(), pem.clone())].into(),
            signing_disabled: false,
            ..unsigned()
        };
        draft.create_authorizer("signed", new).map(drop)
    });
    let user = |token: &str, signature: &str| {
        let named = "u?x-amz-customauthorizer-name=signed";
        format!("{named}&x-amz-customauthorizer-signature={signature}&tok={token}&SDK=X")
    };
    both(|version| {
        for wrong in [
            user("other", &sign("token")),
            user("token", ""),
            "u?x-amz-customauthorizer-name=signed&tok=token".to_owned(),
        ] {
            refuse(&stand, version, &Connect::new("car").user(wrong));
        }
    });
    let right = user("token", &sign("token"));
    enter(&stand, Version::V5, &Connect::new("car").user(right));
    let event = function.event();
    assert_eq!(event["signatureVerified"], true);
    assert_eq!(event["token"], "token");
    assert!(function.events.try_recv().is_err(), "it was asked once");
}

/// AWS-AUTH-03 AWS-AUTH-04 AWS-ID-86
#[test]
fn a_function_that_is_dead_or_wrong_lets_nobody_in() {
    let function = Function::start(|_| Reply::Status(500));
    let stand = stand_of(&function);
    both(|version| refuse(&stand, version, &Connect::new("car").user(MINE)));
    for text in [
        "no JSON".to_owned(),
        "{}".to_owned(),
        " ".repeat(256 * 1024 + 1),
        r#"{"isAuthenticated": true, "principalId": "a", "policyDocuments": ["x"]}"#.to_owned(),
        r#"{"errorMessage": "it broke"}"#.to_owned(),
    ] {
        function.answer(move |_| Reply::Text(text.clone()));
        refuse(&stand, Version::V5, &Connect::new("car").user(MINE));
    }
    stand.change(|draft| {
        let unknown = NewAuthorizer {
            function_arn: "arn:of:nothing",
            ..unsigned()
        };
        draft.create_authorizer("lost", unknown).map(drop)
    });
    let lost = Connect::new("car").user("?x-amz-customauthorizer-name=lost");
    refuse(&stand, Version::V5, &lost);
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", nobody.local_addr().expect("an address"));
    drop(nobody);
    let dead = Stand::with(|config| {
        let mut lambda = Lambda::new(ARN);
        lambda.url = Some(url);
        config.lambda = vec![lambda];
    });
    dead.change(|draft| draft.create_authorizer("mine", unsigned()).map(drop));
    refuse(&dead, Version::V5, &Connect::new("car").user(MINE));
}

#[test]
fn a_function_has_five_seconds_and_is_hung_up_on_when_the_client_goes() {
    let function = Function::start(|_| Reply::Silence);
    let stand = stand_of(&function);
    let mut slow = dial(&stand, Version::V5);
    slow.send_connect(&Connect::new("slow").user(MINE));
    let mut gone = dial(&stand, Version::V5);
    gone.send_connect(&Connect::new("gone").user(MINE));
    let asked = [function.event(), function.event()];
    assert!(asked.iter().all(|event| !event.is_null()));
    gone.vanish();
    assert_eq!(function.event(), Value::Null, "the line of who has gone");
    stand.pass(6);
    slow.expect_refusal(0x87);
    assert_eq!(function.event(), Value::Null);
}

/// AWS-AUTH-05 AWS-LIFE-12
#[test]
fn a_connection_ends_when_the_time_is_over_that_the_authorizer_gave() {
    both(|version| {
        let function = Function::start(|_| {
            let mut said = ann(&json!([everything()]));
            said["disconnectAfterInSeconds"] = json!(600);
            Reply::Result(said)
        });
        let stand = stand_of(&function);
        let topic = "$aws/events/presence/disconnected/car";
        let mut events = stand.events(topic);
        let connect = Connect::new("car").user(MINE).keep_alive(1200);
        let mut client = enter(&stand, version, &connect);
        stand.pass(590);
        client.publish("a", "x", 1);
        stand.pass(11);
        client.expect_error(0x87);
        let told = stand.event(&mut events);
        assert_eq!(told["disconnectReason"], "CUSTOMAUTH_TTL_EXPIRATION");
        assert_eq!(told["principalIdentifier"], "ann");
        assert_eq!(told["clientInitiatedDisconnect"], false);
    });
}

/// AWS-AUTH-06
#[test]
fn an_authorizer_is_asked_again_and_what_it_says_then_holds() {
    both(|version| {
        let saying = |statements: Value| {
            move |_: &Value| {
                let mut said = ann(&statements);
                said["refreshAfterInSeconds"] = json!(300);
                Reply::Result(said)
            }
        };
        let common = allow(&["Connect", "Subscribe", "Publish"], &["*"]);
        let before = json!([common, allow(&["Receive"], &["topic/a"])]);
        let function = Function::start(saying(before));
        let stand = stand_of(&function);
        let connect = Connect::new("car").user(MINE).keep_alive(1200);
        let mut client = enter(&stand, version, &connect);
        let first = function.event();
        client.subscribe("+", 1);
        client.publish("a", "a", 1);
        assert_eq!(client.receive().topic, "a");
        // A change of the registry changes nothing for this client.
        stand.change(|draft| {
            let nothing = document(&json!([everything()]));
            draft.create_policy("p", &nothing, Default::default())
        });
        // While it is asked, the client is heard, and goes by what was said before.
        function.answer(|_| Reply::Silence);
        stand.pass(301);
        let again = function.event();
        assert_eq!(again, first, "the same is presented again");
        client.publish("a", "a", 1);
        assert_eq!(client.receive().topic, "a");
        let after = json!([common, allow(&["Receive"], &["topic/b"])]);
        function.answer(saying(after));
        drop(client);
        assert_eq!(function.event(), Value::Null);

        let mut client = enter(&stand, version, &connect);
        function.event();
        client.subscribe("+", 1);
        function.answer(saying(json!([common, allow(&["Receive"], &["topic/c"])])));
        stand.pass(301);
        function.event();
        let mut heard = Vec::new();
        while heard.last().is_none_or(|topic| topic != "c") {
            for topic in ["a", "b", "c"] {
                client.post(topic, "x");
            }
            heard.push(client.receive().topic);
        }
        function.answer(|_| Reply::Result(json!({"isAuthenticated": false})));
        stand.pass(301);
        function.event();
        let mut rest = client.drain();
        rest.retain(|packet| !matches!(packet, Packet::Publish(_)));
        match (version, rest.as_slice()) {
            (Version::V3, []) | (Version::V5, [Packet::Disconnect { reason: 0x87, .. }]) => {}
            (_, rest) => panic!("{rest:?}"),
        }
    });
}

/// The results that the configuration has, by token and user name.
#[test]
fn results_of_the_configuration_need_no_function() {
    let stand = Stand::with(|config| {
        let mut lambda = Lambda::new(ARN);
        let ann = ann(&json!([everything()])).to_string();
        lambda.results = [("t".to_owned(), ann.clone()), ("bob".to_owned(), ann)].into();
        lambda.result = Some(r#"{"isAuthenticated": false}"#.to_owned());
        config.lambda = vec![lambda];
    });
    stand.change(|draft| draft.create_authorizer("mine", unsigned()).map(drop));
    let named = "x-amz-customauthorizer-name=mine";
    both(|version| {
        for user in [format!("x?{named}&tok=t"), format!("bob?{named}&tok=x")] {
            enter(&stand, version, &Connect::new("car").user(user));
        }
        for user in [format!("x?{named}"), format!("?{named}&tok=bob1")] {
            refuse(&stand, version, &Connect::new("car").user(user));
        }
    });
}

/// AWS-OPS-47
#[test]
fn an_authorizer_can_be_tried_out_over_http() {
    let function = Function::start(|event: &Value| match event["token"].as_str() {
        Some("good") => Reply::Result(ann(&json!([everything()]))),
        Some("bad") => Reply::Result(json!({"isAuthenticated": false})),
        _ => Reply::Text("[]".to_owned()),
    });
    let stand = stand_with(&function, |config| config.listeners.http = Some(0));
    let body = json!({
        "token": "good",
        "httpContext": {"headers": {"a": "b"}, "queryString": "?c=d"},
        "mqttContext": {"username": "u", "password": "cGFzcw==", "clientId": "car"},
        "tlsContext": {"serverName": "iot.test"},
    });
    let said = stand.ask("POST", "/authorizer/mine/test", &body.to_string());
    assert_eq!(said["isAuthenticated"], true);
    assert_eq!(said["principalId"], "ann");
    assert_eq!(said["policyDocuments"][0], document(&json!([everything()])));
    assert_eq!(said["refreshAfterInSeconds"], 86400);
    let event = function.event();
    assert_eq!(event["protocols"], json!(["tls", "http", "mqtt"]));
    let expected = json!({
        "tls": {"serverName": "iot.test"},
        "http": {"headers": {"a": "b"}, "queryString": "?c=d"},
        "mqtt": {"username": "u", "password": "cGFzcw==", "clientId": "car"},
    });
    assert_eq!(event["protocolData"], expected);
    let said = stand.ask("POST", "/authorizer/mine/test", r#"{"token": "bad"}"#);
    assert_eq!(said["isAuthenticated"], false);
    let (status, said) = stand.call("POST", "/authorizer/mine/test", "{}");
    assert_eq!(status, 400, "{said}");
    let message = said["message"].as_str().expect("a message");
    assert!(message.contains("cannot be read"), "{message}");
    let (status, _) = stand.call("POST", "/authorizer/absent/test", "{}");
    assert_eq!(status, 404);
}
