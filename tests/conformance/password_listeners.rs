//! Listeners that ask for a password beside others that do not.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::*;

/// Ann's password is `secret`.
const CONFIG: &str = "
password_listener = ['mqtt=0', 'ws=0']
[[users]]
name = \"ann\"
password_hash = \"$pbkdf2-sha256$i=1000$c2l4dGVlbiBieXRlcyBvaw$Yic6xB2Azj4fBhKstNB7WLaiOcN8ifBRJ7emnjo3D3c\"
";

/// A listener for users and the open one beside it.
const PAIRS: [(Door, &str); 2] = [
    (Door::Tcp, "mqtt-password"),
    (Door::WebSocket, "ws-password"),
];

fn broker(profile: &str) -> TestBroker {
    let flags = ["--profile", profile, "--ws-port", "0", "--http-port", "0"];
    TestBroker::start_with_config(&flags, CONFIG)
}

fn dial(broker: &TestBroker, door: Door, listener: &str, version: Version) -> Client {
    let address = broker.address(listener).expect("the listener is on");
    let stream = TcpStream::connect(address).expect("the broker accepts");
    door.enter(broker, stream, version)
}

/// Connects with this CONNECT and returns the reason in CONNACK.
fn reason(mut client: Client, connect: &Connect) -> u8 {
    client.send_connect(connect);
    client.expect_connack().1
}

/// The right password is let in there, and nothing else is: not a wrong one, not a name alone, not nobody.
#[test]
fn only_users_get_in_at_a_listener_with_passwords() {
    for profile in ["standard", "aws"] {
        let own = broker(profile);
        for (door, listener) in PAIRS {
            both(|version| {
                let ask = |connect: &Connect| reason(dial(&own, door, listener, version), connect);
                let refused = match version {
                    Version::V5 => 0x86,
                    Version::V3 => 4,
                };
                let ann = || Connect::new(fresh("c")).user("ann");
                let at = format!("{profile} {listener}");
                assert_eq!(ask(&ann().password("wrong")), refused, "{at}");
                assert_eq!(ask(&ann()), refused, "{at}");
                assert_eq!(ask(&Connect::new(fresh("c"))), refused, "{at}");
                assert_eq!(ask(&ann().password("secret")), 0, "{at}");
            });
        }
    }
}

/// Nobody needs a name at the listeners beside them, and a wrong password is none there.
#[test]
fn listeners_beside_those_with_passwords_are_open() {
    for profile in ["standard", "aws"] {
        let own = broker(profile);
        for (door, _) in PAIRS {
            both(|version| {
                let ask = |connect: &Connect| reason(door.dial(&own, version), connect);
                assert_eq!(ask(&Connect::new(fresh("c"))), 0, "{profile} {door:?}");
                let wrong = Connect::new(fresh("c")).user("ann").password("wrong");
                assert_eq!(ask(&wrong), 0, "{profile} {door:?}");
            });
        }
    }
}

/// Logs, the control API and packet rules call a listener by its name in the ready line.
#[test]
fn listeners_with_passwords_have_names_of_their_own() {
    let own = broker("standard");
    let dropped = json!({"type": "PUBLISH", "direction": "in", "listener": "ws-password"});
    own.post_json("/v1/rules", &json!({"match": dropped, "do": "drop"}));
    for (door, listener) in PAIRS {
        let client_id = fresh("named");
        let mut client = dial(&own, door, listener, Version::V5);
        client.send_connect(&Connect::new(&client_id).user("ann").password("secret"));
        assert_eq!(client.expect_connack().1, 0);
        let clients = own.get("/v1/clients");
        let clients: Value = serde_json::from_str(&clients).expect("JSON");
        let found = clients["clients"].as_array().expect("a list").iter();
        let mut found = found.filter(|client| client["client_id"] == client_id);
        assert_eq!(found.next().expect("the client")["listener"], listener);
        // The rule holds where it says.
        assert_eq!(client.subscribe("own", 0), 0);
        client.post("own", "here");
        match listener {
            "ws-password" => client.expect_only_pingresp(),
            _ => assert_eq!(client.receive().text(), "here"),
        }
    }
}
