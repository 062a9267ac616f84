//! QoS 2, which the service does not have.

use crate::script::*;
use crate::support::*;

/// AWS-MQTT-02 AWS-MQTT-03 AWS-FAIL-10
/// A PUBLISH with QoS 2 is neither answered nor delivered: it ends the connection.
#[test]
fn publish_with_qos_2_ends_the_connection() {
    both(|version| {
        let topic = fresh("qos2");
        let mut reader = reader(version, &topic);
        let mut author = client(version);
        author.send(Publish::new(&topic, "x").qos(2, 1));
        author.expect_error(0x9B);
        reader.expect_only_pingresp();
    });
}

/// AWS-MQTT-04 AWS-OPEN-03
/// A SUBSCRIBE with QoS 2 gets no SUBACK, whatever else it asks for, and subscribes to nothing.
#[test]
fn subscribe_with_qos_2_ends_the_connection() {
    both(|version| {
        let topic = fresh("qos2");
        let durable = Connect::new(fresh("qos2")).durable();
        let (mut reader, ..) = enter(aws_broker(), version, &durable);
        reader.send(Subscribe::new(1).filter(&topic, 1).filter(fresh("b"), 2));
        reader.expect_error(0x9B);
        client(version).publish(&topic, "x", 1);
        let (mut reader, ..) = enter(aws_broker(), version, &durable);
        reader.expect_only_pingresp();
    });
}

/// AWS-MQTT-01
/// No packet of the QoS 2 exchange is accepted.
#[test]
fn packets_of_qos_2_end_the_connection() {
    both(|version| {
        for packet in [pubrec(1), pubrel(1), pubcomp(1)] {
            let mut client = client(version);
            client.send(packet);
            client.expect_error(0x82);
        }
    });
}

/// AWS-MQTT-29
/// A subscriber gets the lower of the QoS of message and subscription.
#[test]
fn each_subscriber_has_its_qos() {
    both(|version| {
        let topic = fresh("qos");
        let mut readers = [0, 1].map(|qos| {
            let mut reader = client(version);
            assert_eq!(reader.subscribe(&topic, qos), qos);
            reader
        });
        let mut author = client(version);
        for published in [0, 1] {
            author.publish(&topic, "x", published);
            for (granted, reader) in readers.iter_mut().enumerate() {
                assert_eq!(
                    usize::from(reader.receive().qos),
                    granted.min(published.into())
                );
            }
        }
    });
}
