//! What CONNACK states, and what it makes of the wishes of CONNECT.

use crate::script::*;
use crate::support::*;

/// AWS-M5-01 AWS-M5-02 AWS-M5-03 AWS-M5-04 AWS-M5-05 AWS-M5-06 AWS-M5-07 AWS-M5-08 AWS-M5-09 AWS-M5-11
/// AWS-LIM-02
/// Every limit is stated, also where nothing was changed, and nothing else is.
#[test]
fn connack_states_every_limit() {
    let asked = Connect::new(fresh("stated"))
        .keep_alive(60)
        .with(session_expiry(600));
    let (_, session_present, props) = enter(aws_broker(), Version::V5, &asked);
    assert!(!session_present);
    let stated = [
        (RECEIVE_MAXIMUM, 100),
        (MAXIMUM_QOS, 1),
        (RETAIN_AVAILABLE, 1),
        (MAXIMUM_PACKET_SIZE, 149_504),
        (TOPIC_ALIAS_MAXIMUM, 8),
        (WILDCARD_SUBSCRIPTION_AVAILABLE, 1),
        (SUBSCRIPTION_IDENTIFIERS_AVAILABLE, 0),
        (SHARED_SUBSCRIPTION_AVAILABLE, 1),
        (SESSION_EXPIRY_INTERVAL, 600),
        (SERVER_KEEP_ALIVE, 60),
    ];
    for (id, value) in stated {
        assert_eq!(props.number(id), Some(value), "property {id:#04x}");
    }
    assert_eq!(props.0.len(), stated.len(), "{props:?}");
}

/// AWS-M5-10 AWS-CONN-03
/// A client without an identifier gets `$GEN/` and a UUID, another one each time.
#[test]
fn empty_client_identifiers_are_replaced() {
    let assigned = [(); 2].map(|()| {
        let (_, _, props) = enter(aws_broker(), Version::V5, &Connect::new(""));
        props
            .text(ASSIGNED_CLIENT_IDENTIFIER)
            .expect("an identifier")
    });
    for id in &assigned {
        let id = id.strip_prefix("$GEN/").expect("the prefix of the service");
        assert!(is_uuid(id), "{id}");
    }
    assert_ne!(assigned[0], assigned[1]);
    // MQTT 3.1.1 cannot say it, but the client is served.
    enter(aws_broker(), Version::V3, &Connect::new(""))
        .0
        .expect_only_pingresp();
}

/// AWS-SESS-03 AWS-SESS-04 AWS-SESS-05 AWS-LIM-24
/// A session lives as long as the client asks, at most an hour; CONNACK says how long.
#[test]
fn session_expiry_is_capped_at_an_hour() {
    let granted = |props: Option<u32>| {
        let mut connect = Connect::new(fresh("expiry"));
        connect.props.0.extend(props.map(session_expiry));
        let (_, _, props) = enter(aws_broker(), Version::V5, &connect);
        props.number(SESSION_EXPIRY_INTERVAL)
    };
    for (asked, got) in [
        (None, 0),
        (Some(0), 0),
        (Some(600), 600),
        (Some(3600), 3600),
        (Some(3601), 3600),
        (Some(600_000), 3600),
        (Some(u32::MAX), 3600),
    ] {
        assert_eq!(granted(asked), Some(got), "asked for {asked:?}");
    }
}

/// AWS-CONN-07 AWS-CONN-08 AWS-CONN-12
/// Keep-alive is brought into 30 to 1,200 seconds; CONNACK says so always.
#[test]
fn keep_alive_is_clamped() {
    for (asked, got) in [
        (0, 1200),
        (1, 30),
        (29, 30),
        (30, 30),
        (1000, 1000),
        (1200, 1200),
        (1201, 1200),
        (65_535, 1200),
    ] {
        let connect = Connect::new(fresh("alive")).keep_alive(asked);
        let (_, _, props) = enter(aws_broker(), Version::V5, &connect);
        assert_eq!(
            props.number(SERVER_KEEP_ALIVE),
            Some(got),
            "asked for {asked}"
        );
    }
}

/// AWS-CONN-08
/// A client with a keep-alive of a second may be silent for longer than a second and a half.
#[test]
fn silent_client_with_a_short_keep_alive_lives_on() {
    both(|version| {
        let own = aws("");
        let connect = Connect::new(fresh("silent")).keep_alive(1);
        let (mut client, ..) = enter(&own, version, &connect);
        own.advance_all(std::time::Duration::from_secs(40));
        client.expect_only_pingresp();
    });
}

/// AWS-CONN-07 AWS-CONN-10 AWS-FAIL-13
/// A client without a keep-alive has one all the same: silence ends its connection, with 0x8D.
#[test]
fn silence_ends_a_connection_without_keep_alive() {
    let own = aws("[limits]\nkeep_alive = [\"1s\", \"1s\"]\n");
    both(|version| {
        let (mut client, ..) = enter(&own, version, &Connect::new(fresh("silent")));
        client.expect_error(0x8D);
    });
}

/// Whether `text` has the form of a UUID.
pub(crate) fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && (parts.iter()).all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
