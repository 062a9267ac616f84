//! Retained messages: keeping them, replacing them, and sending them to a new subscription.
//!
//! `cargo bench -p roundel-benches --bench retained`

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use roundel::Config;
use roundel::internals::{Caller, Switchboard};
use roundel_benches::{connect, retained, subscribe};

const MESSAGES: usize = 10_000;

fn join(switchboard: &Switchboard, name: &str) -> Caller {
    let mut caller = switchboard.dial();
    caller.send(switchboard, &connect(name));
    caller.receive(|_| ());
    caller
}

fn bench_retained(c: &mut Criterion) {
    let topics = (0..MESSAGES).map(|number| format!("ret/{}/{}", number / 100, number % 100));
    let packets: Vec<u8> = topics.flat_map(|topic| retained(&topic)).collect();
    let mut group = c.benchmark_group("retained");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    group.sample_size(20);

    group.bench_function("store", |b| {
        let setup = || {
            let switchboard = Switchboard::new(Config::standard());
            let publisher = join(&switchboard, "publisher");
            (switchboard, publisher)
        };
        b.iter_batched(
            setup,
            |(switchboard, mut publisher)| {
                publisher.send(&switchboard, &packets);
                (switchboard, publisher)
            },
            BatchSize::PerIteration,
        );
    });

    let switchboard = Switchboard::new(Config::standard());
    let mut publisher = join(&switchboard, "publisher");
    publisher.send(&switchboard, &packets);
    group.bench_function("replace", |b| {
        b.iter(|| publisher.send(&switchboard, &packets));
    });
    group.bench_function("replay", |b| {
        b.iter_batched(
            || join(&switchboard, "subscriber"),
            |mut subscriber| {
                subscriber.send(&switchboard, &subscribe("ret/#", 0));
                let bytes = subscriber.receive(<[u8]>::len);
                assert!(bytes > MESSAGES * 64, "all messages come: {bytes} bytes");
                subscriber
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, bench_retained);
criterion_main!(benches);
