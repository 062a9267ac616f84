//! `/v1/clock`: everything that the broker does after a time is moved forward, in its order.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::{
    api::Api,
    support::{
        Connect, Publish, Version, Will, eventually, message_expiry, session_expiry, will_delay,
    },
};

fn advance(api: &Api, seconds: u32) {
    let answer = api.post(
        "/v1/clock/advance",
        &json!({ "seconds": seconds }).to_string(),
    );
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn clock_tells_how_far_it_is_ahead() {
    let api = Api::start();
    let clock = api.get("/v1/clock").json();
    assert_eq!(clock["ahead_seconds"], 0.0);
    let before = clock["now"].as_str().expect("a time").to_owned();
    let answer = api
        .post("/v1/clock/advance", r#"{"seconds": 86400.5}"#)
        .json();
    assert_eq!(answer["ahead_seconds"], 86400.5);
    let after = answer["now"].as_str().expect("a time");
    assert!(
        after > before.as_str() && after[..10] > before[..10],
        "{before} {after}"
    );
    assert!(after.ends_with('Z'), "{after}");
}

#[test]
fn what_is_no_time_to_move_by_is_refused_by_name() {
    let api = Api::start();
    for body in [
        r#"{"seconds": -1}"#,
        r#"{"seconds": "60"}"#,
        r#"{"seconds": 1e300}"#,
        r#"{"seconds": 4000000000}"#,
    ] {
        api.post("/v1/clock/advance", body)
            .expect_error(400, Some("seconds"));
    }
    for body in ["{}", r#"{"seconds": 1, "minutes": 2}"#, "[]"] {
        assert_eq!(api.post("/v1/clock/advance", body).status, 400, "{body}");
    }
    let keep_alive = r#"{"seconds": 1, "keep_alive": 1}"#;
    api.post("/v1/clock/advance", keep_alive)
        .expect_error(400, Some("keep_alive"));
    assert_eq!(api.get("/v1/clock").json()["ahead_seconds"], 0.0);
    assert_eq!(api.get("/v1/clock/advance").status, 405);
}

/// MQTT-3.1.2-23: the session is there until its interval has passed, and not after it.
#[test]
fn sessions_expire_when_the_clock_gets_there() {
    let api = Api::start();
    let connect = Connect::new("a").with(session_expiry(3600));
    api.open(Version::V5, &connect).disconnect();
    eventually("a has left", || {
        api.get("/v1/clients/a").json()["connected"] == false
    });
    advance(&api, 3598);
    assert_eq!(api.get("/v1/clients/a").status, 200);
    advance(&api, 3);
    assert_eq!(api.get("/v1/clients/a").status, 404);
}

/// MQTT-3.1.3-9: of the will's delay and the session's end, what comes first sends the will; and when
/// the answer is there the message is on its way.
#[test]
fn a_delayed_will_is_published_at_its_time_and_expires_at_its_own() {
    let api = Api::start();
    let mut watcher = api.connect("watcher");
    watcher.subscribe("wills/#", 1);
    let will = Will::new("wills/a", "gone")
        .qos(1)
        .with(will_delay(60))
        .with(message_expiry(30));
    let connect = Connect::new("a").with(session_expiry(3600)).will(will);
    api.open(Version::V5, &connect).vanish();
    eventually("a has left", || {
        api.get("/v1/clients/a").json()["connected"] == false
    });
    let late = Connect::new("late").with(session_expiry(3600));
    let mut sleeper = api.open(Version::V5, &late);
    sleeper.subscribe("wills/#", 1);
    sleeper.disconnect();
    advance(&api, 50);
    watcher.expect_silence();
    // At 60 s the will comes, and at 90 s what waits for the sleeper is over: one jump does both.
    advance(&api, 100);
    let delivery = watcher.receive();
    assert_eq!(delivery.payload, b"gone");
    let mut sleeper = api.open(Version::V5, &late.resume());
    sleeper.expect_silence();
}

#[test]
fn messages_expire_while_they_wait_and_while_they_are_retained() {
    let api = Api::start();
    let connect = Connect::new("sleeper").with(session_expiry(u32::MAX));
    let mut sleeper = api.open(Version::V5, &connect);
    sleeper.subscribe("news/#", 1);
    sleeper.disconnect();
    let mut publisher = api.connect("publisher");
    for seconds in [60, 3600] {
        let message =
            Publish::new("news/x", format!("for {seconds}")).with(message_expiry(seconds));
        publisher.publish_message(message, 1);
        let kept = Publish::new(format!("kept/{seconds}"), "x")
            .retain()
            .with(message_expiry(seconds));
        publisher.publish_message(kept, 1);
    }
    advance(&api, 61);
    let mut sleeper = api.open(Version::V5, &connect.resume());
    assert_eq!(sleeper.receive().payload, b"for 3600");
    sleeper.expect_silence();
    let retained = api.get("/v1/retained").json();
    assert_eq!(retained["total"], 1, "{retained}");
    assert_eq!(retained["retained"][0]["topic"], "kept/3600");
}

/// Nobody could have sent PINGREQ in the time that was skipped.
#[test]
fn live_connections_keep_their_keep_alive() {
    let api = Api::start();
    let mut client = api.open(Version::V5, &Connect::new("a").keep_alive(10));
    client.subscribe("x", 1);
    advance(&api, 100_000);
    client.expect_only_pingresp();
    api.connect("b").publish("x", "still there", 1);
    assert_eq!(client.receive().payload, b"still there");
}

/// MQTT-3.1.2-22, on request: the connection ends, and its will and the end of its session follow in
/// the same jump.
#[test]
fn keep_alives_run_out_on_request() {
    let api = Api::start();
    let mut watcher = api.open(Version::V5, &Connect::new("watcher").keep_alive(0));
    watcher.subscribe("wills/#", 1);
    let will = Will::new("wills/a", "gone").qos(1).with(will_delay(30));
    let connect = Connect::new("a")
        .keep_alive(10)
        .with(session_expiry(60))
        .will(will);
    let mut client = api.open(Version::V5, &connect);
    let answer = |seconds: u32| {
        let body = json!({ "seconds": seconds, "keep_alive": true }).to_string();
        assert_eq!(api.post("/v1/clock/advance", &body).status, 200);
    };
    answer(14);
    client.expect_only_pingresp();
    // 15 s, then 30 s of delay, then the session's 60 s from the end of the connection.
    answer(15 + 59);
    client.expect_error(0x8d);
    assert_eq!(watcher.receive().payload, b"gone");
    assert_eq!(api.get("/v1/clients/a").status, 200);
    answer(3);
    assert_eq!(api.get("/v1/clients/a").status, 404);
    watcher.expect_only_pingresp();
}

/// What waits before CONNECT goes by the clock of live connections: a handshake, an upgrade, CONNECT
/// itself.
#[test]
fn connections_that_say_nothing_have_no_more_than_their_time() {
    let api = Api::start_with(|config| {
        config.listeners.mqtts = Some(0);
        config.listeners.ws = Some(0);
        config.tls.in_memory = true;
        config.tls.handshake_timeout = Duration::from_secs(3600);
        config.limits.connect_timeout = Duration::from_secs(3600);
    });
    let addrs = api.server().addrs();
    let listeners = [addrs.mqtt, addrs.mqtts, addrs.ws];
    let silent: Vec<TcpStream> = listeners
        .into_iter()
        .flatten()
        .map(|address| {
            let stream = TcpStream::connect(address).expect("it accepts");
            stream.set_nonblocking(true).expect("an option");
            stream
        })
        .collect();
    assert_eq!(silent.len(), 3);
    advance(&api, 7200);
    for stream in &silent {
        let read = stream.peek(&mut [0]);
        assert!(read.is_err(), "its time has not passed: {read:?}");
    }
    let body = json!({ "seconds": 3601, "keep_alive": true }).to_string();
    // One that the broker takes only now has its time from now on.
    eventually("all are closed", || {
        assert_eq!(api.post("/v1/clock/advance", &body).status, 200);
        let mut all = silent.iter();
        all.all(|stream| matches!(stream.peek(&mut [0]), Ok(0)))
    });
}

/// From a program: [`roundel::Handle::clock`].
#[test]
fn a_program_moves_the_clock_too() {
    let api = Api::start();
    let clock = api.server().clock();
    let hour = Duration::from_secs(3600);
    let connect = Connect::new("a").with(session_expiry(3600));
    api.open(Version::V5, &connect).disconnect();
    eventually("a has left", || {
        api.get("/v1/clients/a").json()["connected"] == false
    });
    api.block_on(clock.advance(hour + hour)).expect("it runs");
    assert_eq!(api.get("/v1/clients/a").status, 404);
    assert_eq!(clock.ahead(), 2 * hour);
    let much = hour * 24 * 365 * 200;
    let error = api.block_on(clock.advance(much)).expect_err("too far");
    assert_eq!(error, roundel::AdvanceError::TooFar);
}

/// Hours of a session pass in moments, and a client whose keep-alive is shorter need not hurry.
#[test]
fn clock_runs_as_fast_as_it_is_told_and_keep_alives_do_not() {
    const SCALE: f64 = 3600.0;
    let api = Api::start_with(|config| config.time_scale = SCALE);
    let mut client = api.open(
        Version::V5,
        &Connect::new("there all the time").keep_alive(60),
    );
    let mut watcher = api.connect("watcher");
    watcher.subscribe("wills/#", 1);
    let will = Will::new("wills/a", "gone").qos(1).with(will_delay(600));
    let connect = Connect::new("a").with(session_expiry(1200)).will(will);
    api.open(Version::V5, &connect).vanish();
    assert_eq!(watcher.receive().payload, b"gone");
    eventually("its session has ended", || {
        api.get("/v1/clients/a").status == 404
    });
    let clock = api.get("/v1/clock").json();
    assert_eq!(clock["scale"], SCALE);
    let ahead = clock["ahead_seconds"].as_f64().expect("a number");
    assert!(ahead > 1199.0, "{ahead}");
    client.expect_only_pingresp();
    // What is moved forward is added to that.
    advance(&api, 1_000_000);
    let clock = api.server().clock();
    assert!(clock.ahead() > Duration::from_secs(1_001_199));
    assert_eq!(clock.scale(), SCALE);
}

/// One jump, and everything in it happens at its own time: what is due first comes first.
#[test]
fn what_is_due_in_one_jump_comes_in_order() {
    let api = Api::start();
    let mut watcher = api.connect("watcher");
    watcher.subscribe("wills/#", 1);
    let delays = [30, 10, 50, 20, 40];
    for delay in delays {
        let will = Will::new(format!("wills/{delay}"), "gone")
            .qos(1)
            .with(will_delay(delay));
        let id = format!("client-{delay}");
        let connect = Connect::new(&id).with(session_expiry(3600)).will(will);
        api.open(Version::V5, &connect).vanish();
        eventually("it has left", || {
            api.get(&format!("/v1/clients/{id}")).json()["connected"] == false
        });
    }
    advance(&api, 100);
    let mut topics: Vec<_> = delays.iter().map(|_| watcher.receive().topic).collect();
    let came = topics.clone();
    topics.sort_unstable();
    assert_eq!(came, topics);
}

/// A long way with many deadlines on it keeps nobody waiting, and ends.
#[test]
fn many_deadlines_in_one_jump_keep_nobody_waiting() {
    const SESSIONS: u32 = 2000;
    let api = Api::start();
    for index in 0..SESSIONS {
        let connect = Connect::new(format!("{index}")).with(session_expiry(1 + index * 30));
        api.open(Version::V5, &connect).disconnect();
    }
    eventually("all have left", || {
        api.get("/v1/stats").json()["clients_connected"] == 0
    });
    let mut client = api.connect("there all the time");
    thread::scope(|scope| {
        let jump = scope.spawn(|| advance(&api, SESSIONS * 30));
        while !jump.is_finished() {
            client.expect_only_pingresp();
        }
    });
    assert_eq!(api.get("/v1/clients").json()["total"], 1);
}
