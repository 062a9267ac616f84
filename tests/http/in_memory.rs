//! Connections in memory, and tests in which no time passes; the assertions.

use std::io::ErrorKind;
use std::pin::pin;
use std::time::{Duration, Instant};

use roundel::config::Listeners;
use roundel::journal::{AbsenceError, JournalQuery};
use roundel::rules::{Action, Changes, Direction, Match, Rule, When};
use roundel::{
    Config, Connection, Handle, Message, PacketFields, PacketType, PropertyName, QoS, Server,
};
use rumqttc_v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The broker's time, where the test's stands still.
const LATER: Duration = Duration::from_secs(600);

/// A broker without a single socket.
async fn server() -> Server {
    let mut config = Config::standard();
    config.listeners = Listeners::none();
    Server::start(config).await.expect("nothing is bound")
}

/// An MQTT 5 CONNECT for a new session, with this Keep Alive.
fn connect(client_id: &str, keep_alive: u16) -> Vec<u8> {
    let id = client_id.as_bytes();
    let mut packet = vec![0x10, 13 + id.len() as u8, 0, 4];
    packet.extend(b"MQTT\x05\x02");
    packet.extend(keep_alive.to_be_bytes());
    packet.extend([0, 0, id.len() as u8]);
    packet.extend(id);
    packet
}

/// A connection of a client with a session.
async fn client(server: &Handle, client_id: &str, keep_alive: u16) -> Connection {
    let mut connection = server.connect().expect("there is room");
    let packet = connect(client_id, keep_alive);
    connection.write_all(&packet).await.expect("it is read");
    let mut connack = [0; 2];
    connection.read_exact(&mut connack).await.expect("CONNACK");
    let mut rest = vec![0; connack[1].into()];
    connection.read_exact(&mut rest).await.expect("its rest");
    assert_eq!((connack[0], rest[1]), (0x20, 0));
    connection
}

fn rumqttc(server: &Handle, client_id: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(client_id, "in-memory");
    options.set_keep_alive(30);
    let server = server.clone();
    options.set_socket_connector(move |_, _| {
        let connection = server.connect();
        async move { connection }
    });
    AsyncClient::builder(options).capacity(10).build()
}

async fn incoming(events: &mut EventLoop) -> Incoming {
    loop {
        if let Event::Incoming(packet) = events.poll().await.expect("a connection") {
            return packet;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rumqttc_talks_to_the_broker_without_a_socket() {
    let server = server().await;
    let (client, mut events) = rumqttc(&server, "car1");
    assert!(matches!(incoming(&mut events).await, Incoming::ConnAck(_)));
    client
        .subscribe("cars/+", rumqttc_v5::QoS::AtLeastOnce)
        .await
        .expect("room");
    assert!(matches!(incoming(&mut events).await, Incoming::SubAck(_)));
    let message = Message::new("cars/1", "on").with_qos(QoS::AtLeastOnce);
    let reached = server.publish(&message).expect("a topic");
    assert_eq!(reached.subscribers, 1);
    let Incoming::Publish(received) = incoming(&mut events).await else {
        panic!("a PUBLISH");
    };
    assert_eq!(&*received.payload, b"on");
    let seen = server.client("car1").expect("it is connected");
    assert_eq!((seen.listener, seen.peer), (Some("memory"), None));
}

/// MQTT-3.1.2-22, and a client that waits for PINGRESP: minutes of both in no time.
#[tokio::test(start_paused = true)]
async fn time_stands_still_and_timers_are_due_at_once() {
    let real = Instant::now();
    let server = server().await;
    let mute = Rule::new(Match::of(PacketType::Pingresp).client("car1"), Action::Drop);
    server.rules().add(mute).expect("a rule");
    let (_client, mut events) = rumqttc(&server, "car1");
    assert!(matches!(incoming(&mut events).await, Incoming::ConnAck(_)));
    let begun = tokio::time::Instant::now();
    let error = loop {
        if let Err(error) = events.poll().await {
            break error;
        }
    };
    assert!(error.to_string().contains("ping"), "{error}");
    assert!(
        begun.elapsed() >= Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );

    let mut silent = client(&server, "silent", 10).await;
    let begun = tokio::time::Instant::now();
    let silence = server.expect("silent").within(LATER);
    let end = silence.to_disconnect().await.expect("it was there");
    assert_eq!(end.cause, "keep_alive_timeout");
    let took = begun.elapsed().as_secs_f64();
    assert!((15.0..16.0).contains(&took), "{took} s");
    let mut farewell = Vec::new();
    silent.read_to_end(&mut farewell).await.expect("its end");
    assert_eq!(farewell[..3], [0xe0, farewell[1], 0x8d]);
    assert!(real.elapsed() < LATER / 20, "{:?}", real.elapsed());
}

#[tokio::test]
async fn rules_do_to_it_what_they_do_to_a_socket() {
    let server = server().await;
    let rules = server.rules();
    let (ping, pingresp) = ([0xc0, 0], [0xd0, 0]);
    let mut reset = client(&server, "reset", 0).await;
    let on_ping = Match::of(PacketType::Pingreq);
    let action = Action::Reset(When::Before);
    rules
        .add(Rule::new(on_ping.clone().client("reset"), action))
        .expect("a rule");
    reset.write_all(&ping).await.expect("it is read");
    let error = reset.read(&mut [0; 8]).await.expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let mut half = client(&server, "half", 0).await;
    let action = Action::HalfClose(When::After);
    rules
        .add(Rule::new(on_ping.client("half"), action))
        .expect("a rule");
    half.write_all(&ping).await.expect("it is read");
    let mut rest = Vec::new();
    half.read_to_end(&mut rest).await.expect("its end");
    half.write_all(&ping).await.expect("this direction is open");

    let mut held = client(&server, "held", 0).await;
    let hold = Match::of(PacketType::Pingresp).client("held");
    rules.add(Rule::new(hold, Action::Hold)).expect("a rule");
    held.write_all(&ping).await.expect("it is read");
    rules.wait_for_held(1, LATER).await.expect("PINGRESP");
    rules.release(1);
    let mut answer = [0; 2];
    held.read_exact(&mut answer).await.expect("PINGRESP");
    assert_eq!(answer, pingresp);
}

#[tokio::test]
async fn rules_are_written_in_rust_as_over_http() {
    let server = server().await;
    let (rules, journal) = (server.rules(), server.journal());
    journal.switch(true);
    let error = rules
        .wait_for_hits("none", 1, LATER)
        .await
        .expect_err("no rule");
    assert_eq!(error.to_string(), "there is no packet rule 'none'");
    let changes = Changes::default()
        .session_present(true)
        .property(PropertyName::RECEIVE_MAXIMUM, 1)
        .property(PropertyName::REASON_STRING, "mind")
        .without_property(PropertyName::TOPIC_ALIAS_MAXIMUM);
    let connack = Match::of(PacketType::Connack)
        .client("a*")
        .reason(0)
        .listener("memory");
    let rule = Rule::new(connack, changes).named("modest").times(1);
    rules.add(rule).expect("a rule");
    let mut client = client(&server, "a1", 0).await;
    rules
        .wait_for_hits("modest", 1, LATER)
        .await
        .expect("it has acted");
    let error = rules.wait_for_hits("modest", 2, Duration::ZERO).await;
    let error = error.expect_err("it acts once").to_string();
    assert!(
        error.ends_with("but not within 0ns: it has 1 times"),
        "{error}"
    );

    let packet = PacketFields::new(PacketType::Publish)
        .with_message("t", "x", 1)
        .with_packet_id(7)
        .with_property(PropertyName::USER_PROPERTY, ("name", "value"));
    assert!(
        server
            .rules()
            .inject("a1", Direction::Out, &packet.clone().into())
    );
    let mut bytes = vec![0; 23];
    client.read_exact(&mut bytes).await.expect("the PUBLISH");
    assert_eq!(
        bytes,
        b"\x32\x15\0\x01t\0\x07\x0e\x26\0\x04name\0\x05valuex"[..]
    );

    let publishes = JournalQuery::of(PacketType::Publish);
    let row = journal
        .wait(&publishes, 0, 1, LATER)
        .await
        .expect("it is there")
        .remove(0);
    assert_eq!(row.packet(), Some(packet));
    let error = journal
        .wait_for_none(&publishes, 0, LATER)
        .await
        .expect_err("one is");
    assert_eq!(error, AbsenceError::Present(row.clone().into()));
    let error = journal
        .wait(&publishes, 0, 2, Duration::ZERO)
        .await
        .expect_err("one is");
    assert!(
        error
            .to_string()
            .contains("2 rows of the journal are to be PUBLISH, but not"),
        "{error}"
    );
    assert!(error.to_string().contains(&row.to_string()), "{error}");
    let connected = JournalQuery::event("connected");
    let rows = journal.rows(&connected, 0, 10);
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].event(), rows[0].packet()),
        (Some("connected"), None)
    );
    let capture = journal.pcapng(&JournalQuery::default(), 0, 100);
    assert_eq!(capture[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
}

#[tokio::test]
async fn nobody_connects_in_an_outage_or_to_a_broker_that_has_stopped() {
    let server = server().await;
    let handle = server.handle();
    let mut lost = client(&server, "lost", 0).await;
    assert_eq!(server.outage(LATER).await, 1);
    assert_eq!(lost.read(&mut [0; 8]).await.expect("its end"), 0);
    let refusal = |handle: &Handle| handle.connect().expect_err("it is refused").kind();
    assert_eq!(refusal(&handle), ErrorKind::ConnectionRefused);
    server.outage(Duration::ZERO).await;
    // From a thread that knows nothing of the runtime.
    let from_outside = handle.clone();
    let connected = std::thread::spawn(move || from_outside.connect());
    let connection = connected.join().expect("no panic").expect("there is room");
    drop(connection);
    let mut told = client(&server, "told", 0).await;
    let reading = async move {
        let mut farewell = Vec::new();
        told.read_to_end(&mut farewell).await.expect("its end");
        farewell
    };
    let ((), farewell) = tokio::join!(server.stop(), reading);
    assert_eq!((farewell[0], farewell[2]), (0xe0, 0x8b));
    assert_eq!(refusal(&handle), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn limit_of_connections_holds_in_memory_too() {
    let mut config = Config::standard();
    config.listeners = Listeners::none();
    config.limits.connections = 1;
    let server = Server::start(config).await.expect("nothing is bound");
    let first = client(&server, "first", 0).await;
    let error = server.connect().expect_err("one is all");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(server.stats().connections_refused, 1);
    drop(first);
    server.expect("first").to_disconnect().await;
}

#[tokio::test]
async fn stats_deadlines_retained_and_captured_messages_are_seen() {
    let server = server().await;
    let mut durable = server.connect().expect("there is room");
    let packet = b"\x10\x12\0\x04MQTT\x05\x02\0\0\x05\x11\0\0\0\x3c\0\0";
    durable.write_all(packet).await.expect("it is read");
    durable.read_exact(&mut [0; 2]).await.expect("CONNACK");
    let client_id = server.clients().remove(0).client_id;
    drop(durable);
    server.expect(&*client_id).to_disconnect().await;
    let deadlines = server.deadlines();
    let expiry = deadlines
        .iter()
        .find(|deadline| deadline.kind == "session_expiry");
    let expiry = expiry.expect("its session expires");
    assert_eq!(expiry.client_id.as_deref(), Some(&*client_id));
    assert!(expiry.within <= Duration::from_secs(60) && !expiry.within.is_zero());

    let captured = server
        .wait_for_messages("kept/#", 2, LATER)
        .expect("a filter");
    let message = Message::new("kept/1", "x")
        .with_qos(QoS::ExactlyOnce)
        .with_user_property("name", "value")
        .retained();
    server.publish(&message).expect("a topic");
    server
        .publish(&Message::new("other", "y").retained())
        .expect("a topic");
    server
        .publish(&Message::new("kept/2", "z"))
        .expect("a topic");
    let captured = captured.await.expect("both came");
    assert_eq!(captured, [message.clone(), Message::new("kept/2", "z")]);
    assert_eq!(
        server.retained(Some("kept/+")).expect("a filter"),
        [message]
    );
    assert_eq!(server.retained(None).expect("all").len(), 2);
    let error = server.retained(Some("a/#/b")).expect_err("it is none");
    assert!(error.to_string().contains("a/#/b"), "{error}");
    let error = server.wait_for_messages("$share/g/t", 1, LATER).err();
    assert!(error.is_some_and(|error| error.to_string().contains("shared")));
    let late = server
        .wait_for_messages("t", 1, Duration::ZERO)
        .expect("a filter");
    let error = late.await.expect_err("none came").to_string();
    assert_eq!(
        error,
        "a message on 't' is to be published, but not within 0ns: 0 came"
    );

    let stats = server.stats();
    assert_eq!(
        (stats.sessions, stats.clients_connected, stats.retained),
        (1, 0, 2)
    );
    assert_eq!(stats.connections_opened, 1);
    server
        .clock()
        .advance(Duration::from_secs(61))
        .await
        .expect("it moves");
    assert_eq!(server.stats().sessions, 0);
}

#[tokio::test]
async fn subscription_is_a_stream() {
    let server = server().await;
    let subscription = server.subscribe("t", QoS::AtMostOnce).expect("a filter");
    let publisher = server.handle();
    let reading = tokio::spawn(async move {
        let mut messages = pin!(subscription);
        let mut found = Vec::new();
        while let Some(message) =
            std::future::poll_fn(|cx| futures_core::Stream::poll_next(messages.as_mut(), cx)).await
        {
            found.push(message.payload);
        }
        found
    });
    for payload in ["1", "2", "3"] {
        publisher
            .publish(&Message::new("t", payload))
            .expect("a topic");
        tokio::task::yield_now().await;
    }
    server.stop().await;
    assert_eq!(reading.await.expect("no panic"), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn assertions_wait_for_what_they_say_and_show_the_journal_when_it_does_not_come() {
    let server = server().await;
    let failure = |expecting: tokio::task::JoinHandle<()>| async move {
        let panic = expecting.await.expect_err("it fails").into_panic();
        *panic.downcast::<String>().expect("a text")
    };
    let car = server.expect("car1");
    let text = failure(tokio::spawn(async move {
        car.to_send(Match::of(PacketType::Pingreq)).await;
    }));
    assert!(text.await.contains("the journal is off"));

    server.journal().switch(true);
    let car = server.expect("car1");
    let group = server.expect_group("workers", "t");
    let (client, mut events) = rumqttc(&server, "car1");
    let filter = "$share/workers/t";
    client
        .subscribe(filter, rumqttc_v5::QoS::AtLeastOnce)
        .await
        .expect("room");
    while !matches!(incoming(&mut events).await, Incoming::SubAck(_)) {}
    car.to_connect().await;
    car.to_subscribe(filter).await;
    group.to_have_members(1).await;
    group.to_be_idle().await;
    let suback = car.to_receive(Match::of(PacketType::Suback)).await;
    assert_eq!(suback.client.as_deref(), Some("car1"));
    car.not_to_send(Match::of(PacketType::Publish)).await;

    let silent = car.clone().within(LATER);
    let text = failure(tokio::spawn(async move {
        let publish = Match::of(PacketType::Publish)
            .topic("a/+")
            .qos(QoS::AtLeastOnce);
        silent.to_send(publish).await;
    }));
    let text = text.await;
    for part in [
        "client 'car1' is to send PUBLISH, topic a/+, qos 1, but did not within 600s",
        "expected at tests/http/in_memory.rs:",
        "car1 -> SUBSCRIBE $share/workers/t id 1, ",
        "car1 <- SUBACK id 1 0x01, ",
        "car1 subscribed",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = failure(tokio::spawn(async move {
        car.not_to_send(Match::of(PacketType::Subscribe)).await;
    }));
    let text = text.await;
    assert!(
        text.contains("is not to send SUBSCRIBE, but there is row"),
        "{text}"
    );
    let text = failure(tokio::spawn(async move {
        group.within(Duration::ZERO).to_have_members(2).await;
    }));
    let text = text.await;
    assert!(
        text.contains("is to have 2 members, but not within"),
        "{text}"
    );
}
