//! Subscription identifiers, and answers that say less than they could.

use crate::script::*;
use crate::support::*;

/// AWS-MQTT-26 AWS-FAIL-16 AWS-M5-07
/// A Subscription Identifier ends the connection with 0xA1, and nothing is subscribed to.
#[test]
fn subscription_identifier_ends_the_connection() {
    let topic = fresh("identifier");
    let durable = Connect::new(fresh("identifier")).durable();
    let (mut reader, ..) = enter(aws_broker(), Version::V5, &durable);
    reader.send(
        Subscribe::new(1)
            .filter(&topic, 1)
            .with(subscription_identifier(1)),
    );
    reader.expect_disconnect(0xA1);
    client(Version::V5).publish(&topic, "x", 1);
    let (mut reader, ..) = enter(aws_broker(), Version::V5, &durable);
    reader.expect_only_pingresp();
}

/// AWS-RC-06
/// PUBACK is 0x00 although nobody subscribes.
#[test]
fn puback_does_not_tell_that_nobody_subscribes() {
    let message = Publish::new(fresh("nobody"), "x");
    assert_eq!(client(Version::V5).publish_message(message, 1), 0);
}

/// AWS-RC-05 AWS-SHARE-26
/// UNSUBACK is 0x00 although there was no such subscription.
#[test]
fn unsuback_does_not_tell_that_nothing_was_there() {
    both(|version| {
        let topic = fresh("unknown");
        let share = format!("$share/group/{topic}");
        let mut client = reader(version, &share);
        for filter in [&topic, &share, &share] {
            assert_eq!(client.unsubscribe(filter), 0);
        }
    });
}

/// AWS-MQTT-25
/// Wrong flags in the fixed header of UNSUBSCRIBE end the connection.
#[test]
fn unsubscribe_with_wrong_flags_ends_the_connection() {
    both(|version| {
        let mut client = client(version);
        let mut bytes = Unsubscribe::new(1).filter("a").encode(version);
        bytes[0] = 0xA0;
        client.send(bytes);
        client.expect_error(0x81);
    });
}
