//! Waits for what is so for a moment only: nobody can look while it is, and it counts all the same.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use roundel::rules::{Action, Changes, Match, Rule};
use roundel::{PacketType, WaitError};
use serde_json::{Value, json};

use crate::api::{Answer, Api};
use crate::support::{
    Client, DEADLINE, Disconnect, Encode, PINGREQ, Packet, Subscribe, Unsubscribe, Version,
};

/// Begins to wait, which does not end yet.
async fn begin<F: Future>(waiting: &mut Pin<&mut F>) {
    let first = std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending()));
    assert!(first.await, "it is so already");
}

/// Subscribes to a filter and unsubscribes from it in one write, or the other way round.
fn flicker(client: &mut Client, filter: &str, is_off: bool) {
    let on = Subscribe::new(1).filter(filter, 1).encode(Version::V5);
    let off = Unsubscribe::new(2).filter(filter).encode(Version::V5);
    client.send(if is_off { [off, on] } else { [on, off] }.concat());
    match is_off {
        false => {
            client.expect_suback(1);
            client.expect_unsuback(2);
        }
        true => {
            client.expect_unsuback(2);
            client.expect_suback(1);
        }
    }
}

/// Has it be so for a moment again and again, until whoever asks has seen it. The last answer.
#[track_caller]
fn seen(api: &Api, target: &str, mut act: impl FnMut()) -> Answer {
    thread::scope(|scope| {
        let waiting = scope.spawn(|| api.get(&format!("{target}&wait=20s")));
        while !waiting.is_finished() {
            act();
        }
        let answer = waiting.join().expect("an answer");
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        answer
    })
}

#[test]
fn subscription_of_a_moment_is_seen() {
    let api = Api::start();
    let mut client = api.connect("a");
    for target in [
        "/v1/subscriptions?client=a&filter=x/%2B",
        "/v1/subscriptions?filter=x/%2B",
        "/v1/subscriptions?client=a",
    ] {
        seen(&api, target, || flicker(&mut client, "x/+", false));
    }
    for target in [
        "/v1/groups/g/x?members=1",
        "/v1/groups/g/x?members=1&queued=0",
        "/v1/subscriptions?filter=$share/g/x",
    ] {
        seen(&api, target, || flicker(&mut client, "$share/g/x", false));
    }
}

#[test]
fn end_of_a_subscription_is_seen_although_it_is_back() {
    let api = Api::start();
    let mut client = api.connect("a");
    for filter in ["x", "$share/g/x"] {
        client.subscribe(filter, 1);
        for target in [
            format!("/v1/subscriptions?client=a&filter={filter}&subscribed=false"),
            format!("/v1/subscriptions?filter={filter}&subscribed=false"),
            "/v1/subscriptions?client=a&subscribed=false".to_owned(),
        ] {
            seen(&api, &target, || flicker(&mut client, filter, true));
        }
        if filter != "x" {
            seen(&api, "/v1/groups/g/x?members=0", || {
                flicker(&mut client, filter, true)
            });
        }
        client.unsubscribe(filter);
    }
}

/// The same from Rust, where a wait is known to have begun.
#[test]
fn program_sees_moments_too() {
    let api = Api::start();
    let server = api.server();
    let mut client = api.connect("a");
    let mut flicker = |filter: &str| flicker(&mut client, filter, false);
    api.block_on(async {
        let mut waiting = pin!(server.wait_for_subscription_of("a", "x", DEADLINE));
        begin(&mut waiting).await;
        flicker("x");
        assert_eq!(waiting.await, Ok(()));
        let mut waiting = pin!(server.wait_for_subscription("x", DEADLINE));
        begin(&mut waiting).await;
        flicker("x");
        assert_eq!(waiting.await, Ok(()));
        let mut waiting = pin!(server.wait_for_members("g", "x", 1, DEADLINE));
        let mut idle = pin!(server.wait_for_idle_group("g", "x", DEADLINE));
        begin(&mut waiting).await;
        begin(&mut idle).await;
        flicker("$share/g/x");
        assert_eq!(waiting.await, Ok(()));
        assert_eq!(idle.await, Ok(()));
        let mut waiting = pin!(server.wait_for_client("b", DEADLINE));
        begin(&mut waiting).await;
        api.connect("b").disconnect();
        // That is forgotten before anybody looks.
        server.reset().await;
        assert_eq!(waiting.await, Ok(()));
    });
}

/// `POST /v1/reset` forgets how connections ended, and tells those who wait for one.
#[test]
fn end_of_a_connection_has_its_cause_although_the_broker_is_reset() {
    let api = Api::start();
    let end = |shown: &Value| {
        let end = &shown["last_end"];
        (end["by"].clone(), end["cause"].clone(), end["code"].clone())
    };
    let kicked = (json!("operator"), json!("kicked"), json!(0x98));
    let server = api.server();
    let _client = api.connect("a");
    let ended = api.block_on(async {
        let mut waiting = pin!(server.wait_for_disconnect("a", DEADLINE));
        begin(&mut waiting).await;
        server.reset().await;
        waiting.await
    });
    let ended = ended.expect("it has ended").expect("and how is known");
    assert_eq!((ended.by, ended.cause), ("operator", "kicked"));
    // Over HTTP nobody knows whether a wait has begun: one that comes late finds nothing.
    let is_told = |_| {
        let _client = api.connect("a");
        let shown = thread::scope(|scope| {
            let target = "/v1/clients/a?connected=false&wait=20s";
            let waiting = scope.spawn(|| api.get(target));
            api.get("/v1/clients/a").json();
            api.post("/v1/reset", "").json();
            waiting.join().expect("an answer").json()
        });
        let is_told = shown["last_end"] != json!(null);
        assert!(!is_told || end(&shown) == kicked, "{shown}");
        is_told
    };
    assert!((0..100).any(is_told));
}

/// Rules that leave PINGREQ as it is, and count it.
fn counting(name: &str) -> Rule {
    Rule::new(Match::of(PacketType::Pingreq), Changes::default()).named(name)
}

/// So many of them in one write, and their answers.
fn ping(client: &mut Client, times: usize) {
    client.send(PINGREQ.repeat(times));
    for _ in 0..times {
        assert!(matches!(client.next_packet(), Packet::Pingresp));
    }
}

/// However a rule ends behind its hits, whoever began to wait before is told of them, and nobody waits for more.
#[test]
fn hits_of_a_rule_that_is_gone_behind_them_are_seen() {
    let api = Api::start();
    let (server, rules) = (api.server(), api.server().rules());
    let mut client = api.connect("a");
    for how in [
        "removed by its name",
        "removed by its number",
        "removed with all others",
        "replaced",
        "over by the broker's clock",
    ] {
        let rule = counting("r").expires_after(Duration::from_secs(60));
        let id = rules.add(rule).expect("a rule").to_string();
        api.block_on(async {
            let mut by_name = pin!(rules.wait_for_hits("r", 2, DEADLINE));
            let mut by_number = pin!(rules.wait_for_hits(&id, 2, DEADLINE));
            let mut for_more = pin!(rules.wait_for_hits(&id, 4, DEADLINE));
            begin(&mut by_name).await;
            begin(&mut by_number).await;
            begin(&mut for_more).await;
            ping(&mut client, 3);
            match how {
                "removed by its name" => assert!(rules.remove("r")),
                "removed by its number" => assert!(rules.remove(&id)),
                "removed with all others" => rules.clear(),
                "replaced" => drop(rules.add(counting("r")).expect("a rule")),
                _ => {
                    let clock = server.clock();
                    let advanced = clock.advance(Duration::from_secs(61));
                    advanced.await.expect("the clock moves");
                }
            }
            for waited in [by_name.await, by_number.await] {
                let rule = waited.expect(how);
                // As it stood when it was so.
                assert_eq!((rule.id.to_string(), rule.hits), (id.clone(), 2), "{how}");
            }
            let gone = WaitError::NoRule { key: id.clone() };
            assert_eq!(for_more.await, Err(gone), "{how}");
        });
    }
    // A reset ends the connection, too.
    rules.add(counting("r")).expect("a rule");
    let hits = api.block_on(async {
        let mut waiting = pin!(rules.wait_for_hits("r", 1, DEADLINE));
        begin(&mut waiting).await;
        ping(&mut client, 1);
        server.reset().await;
        waiting.await
    });
    assert_eq!(hits.map(|rule| rule.hits), Ok(1));
}

/// Who waits by a name goes on with the rule that takes it, which counts from the start.
#[test]
fn wait_by_name_goes_on_with_the_rule_that_takes_the_place() {
    let api = Api::start();
    let rules = api.server().rules();
    let mut client = api.connect("a");
    rules.add(counting("r")).expect("a rule");
    api.block_on(async {
        let mut waiting = pin!(rules.wait_for_hits("r", 2, DEADLINE));
        begin(&mut waiting).await;
        ping(&mut client, 1);
        let id = rules.add(counting("r")).expect("a rule");
        ping(&mut client, 1);
        begin(&mut waiting).await;
        ping(&mut client, 1);
        assert!(rules.remove("r"));
        let rule = waiting.await.expect("it has acted twice");
        assert_eq!((rule.id, rule.hits), (id, 2));
    });
}

#[test]
fn packets_that_were_held_together_are_seen_although_they_are_gone() {
    let api = Api::start();
    let (server, rules) = (api.server(), api.server().rules());
    let hold = || {
        let pings = Match::of(PacketType::Pingresp);
        rules
            .add(Rule::new(pings, Action::Hold).named("h"))
            .expect("a rule");
    };
    // They are held once the answer to what was sent behind them is there.
    let send_pings = |client: &mut Client, times| {
        client.send(PINGREQ.repeat(times));
        client.subscribe("t", 0);
    };
    for how in [
        "released",
        "discarded",
        "lost with their connection",
        "forgotten by a reset",
    ] {
        hold();
        let mut client = api.connect("a");
        let held = api.block_on(async {
            let mut waiting = pin!(rules.wait_for_held(2, DEADLINE));
            begin(&mut waiting).await;
            // One after the other is not two at a time.
            send_pings(&mut client, 1);
            assert_eq!(rules.release(1), 1);
            assert!(matches!(client.next_packet(), Packet::Pingresp));
            begin(&mut waiting).await;
            send_pings(&mut client, 2);
            match how {
                "released" => assert_eq!(rules.release(2), 2),
                "discarded" => assert_eq!(rules.discard(2), 2),
                "lost with their connection" => {
                    client.vanish();
                    let gone = server.wait_for_disconnect("a", DEADLINE);
                    gone.await.expect("it is gone");
                }
                _ => server.reset().await,
            }
            waiting.await.expect(how)
        });
        assert!(rules.held().is_empty(), "{how}");
        let held: Vec<_> = held.iter().map(|one| (&*one.rule, &*one.bytes)).collect();
        assert_eq!(held, [("h", &[0xd0, 0][..]); 2], "{how}");
    }
}

/// The same over HTTP, where packets are held and lost with their connection in one write.
#[test]
fn packets_that_are_held_for_a_moment_are_in_the_answer() {
    let api = Api::start();
    let rules = api.server().rules();
    let rule = Rule::new(Match::of(PacketType::Pingreq), Action::Hold).named("h");
    rules.add(rule).expect("a rule");
    for _ in 0..5 {
        let answer = seen(&api, "/v1/held?count=2&limit=1", || {
            let mut client = api.connect("a");
            let leave = Disconnect::default().encode(Version::V5);
            client.send([PINGREQ.repeat(2), leave].concat());
            client.expect_closed();
        });
        let shown = answer.json();
        assert_eq!(shown["total"], 2, "{shown}");
        assert_eq!(shown["held"].as_array().map(Vec::len), Some(1), "{shown}");
        assert_eq!(shown["held"][0]["rule"], "h", "{shown}");
    }
}

/// A wait for its hits ends with the rule, by the broker's clock, and what is due says when.
#[test]
fn rule_whose_time_is_over_ends_the_wait_for_it() {
    let api = Api::start();
    let (server, rules) = (api.server(), api.server().rules());
    let kinds = || {
        let answer = api.get("/v1/deadlines").json();
        let list = answer["deadlines"].as_array().expect("a list").clone();
        let of_rules = list.into_iter().filter(|one| one["kind"] == "end_of_rule");
        of_rules
            .map(|one| one["in_seconds"].as_f64().expect("seconds"))
            .collect::<Vec<_>>()
    };
    let rule = |name: &str, seconds: u64| {
        let expiring = Rule::new(Match::of(PacketType::Pingreq), Action::Drop).named(name);
        expiring.expires_after(Duration::from_secs(seconds))
    };
    rules.add(rule("late", 3600)).expect("a rule");
    rules.add(rule("early", 60)).expect("a rule");
    rules.add(rule("earliest", 10)).expect("a rule");
    assert!(
        matches!(kinds()[..], [first, _, last] if first <= 10.0 && last > 3590.0),
        "{:?}",
        kinds()
    );
    assert!(rules.remove("earliest"));
    assert!(
        matches!(kinds()[..], [first, _] if first > 50.0 && first <= 60.0),
        "{:?}",
        kinds()
    );
    api.block_on(async {
        let mut early = pin!(rules.wait_for_hits("early", 1, DEADLINE));
        let mut late = pin!(rules.wait_for_hits("late", 1, DEADLINE));
        begin(&mut early).await;
        begin(&mut late).await;
        let clock = server.clock();
        clock
            .advance(Duration::from_secs(61))
            .await
            .expect("the clock moves");
        let key = "early".to_owned();
        assert_eq!(early.await, Err(WaitError::NoRule { key }));
        begin(&mut late).await;
        rules.clear();
        let key = "late".to_owned();
        assert_eq!(late.await, Err(WaitError::NoRule { key }));
    });
    assert!(kinds().is_empty(), "{:?}", kinds());
}

/// What is to be in the journal will not be there any more once that is switched off.
#[test]
fn journal_that_is_switched_off_ends_waits_for_its_rows() {
    let api = Api::start_with(|config| config.journal = true);
    let journal = api.server().journal();
    let pings = Match::of(PacketType::Pingreq).into();
    api.block_on(async {
        let mut waiting = pin!(journal.wait(&pings, 0, 1, DEADLINE));
        begin(&mut waiting).await;
        journal.switch(false);
        let error = waiting.await.expect_err("none comes");
        assert!(matches!(error, WaitError::NotInJournal { .. }), "{error}");
        journal.switch(true);
        // That it was off before is no reason not to wait.
        let mut waiting = pin!(journal.wait(&pings, 0, 1, DEADLINE));
        begin(&mut waiting).await;
        api.connect("a").expect_only_pingresp();
        assert_eq!(waiting.await.expect("one came").len(), 1);
    });
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(|| api.get("/v1/journal/wait?type=PINGREQ&count=7&timeout=20s"));
        while !waiting.is_finished() {
            journal.switch(true);
            journal.switch(false);
        }
        waiting.join().expect("an answer")
    });
    assert_eq!(answer.status, 409, "{answer:?}");
}
