//! A run of messages from the bytes of the publisher to the bytes of the receivers, and the
//! acknowledgements back: everything but the network.
//!
//! `cargo bench -p roundel-benches --bench publish`
//!
//! Times are per run; the throughput counts deliveries (acknowledgements where those are measured).

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use roundel::Config;
use roundel_benches::{FILTERS, Scene};

/// The part of an exchange that is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Publish,
    Acknowledge,
}

/// Times one part of exchange after exchange.
fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut scene: Scene,
    copies: usize,
    part: Part,
) {
    group.throughput(Throughput::Elements((scene.messages() * copies) as u64));
    group.bench_function(name, |b| {
        b.iter_custom(|exchanges| {
            let mut timed = Duration::ZERO;
            for _ in 0..exchanges {
                let started = Instant::now();
                scene.publish();
                let published = started.elapsed();
                assert!(scene.read() > 0, "the messages arrive");
                let started = Instant::now();
                scene.acknowledge();
                let acknowledged = started.elapsed();
                scene.read();
                timed += match part {
                    Part::Publish => published,
                    Part::Acknowledge => acknowledged,
                };
            }
            timed
        });
    });
}

fn bench_fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan_out");
    for qos in [0, 1] {
        for subscribers in [1, 10, 100, 1_000] {
            let scene = Scene::new("in/+", subscribers, qos, &["in/0"]);
            let name = format!("qos{qos}/{subscribers}");
            bench(&mut group, &name, scene, subscribers, Part::Publish);
        }
    }
    group.finish();
}

fn bench_group(c: &mut Criterion) {
    let mut group = c.benchmark_group("group");
    for qos in [0, 1] {
        for members in [2, 4, 100, 1_000] {
            let scene = Scene::new("$share/group/in/+", members, qos, &["in/0"]);
            let name = format!("qos{qos}/{members}");
            bench(&mut group, &name, scene, 1, Part::Publish);
        }
    }
    group.finish();
}

fn bench_session(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    for (name, part) in [("offer", Part::Publish), ("acknowledge", Part::Acknowledge)] {
        bench(
            &mut group,
            name,
            Scene::new("in/+", 1, 1, &["in/0"]),
            1,
            part,
        );
    }
    group.finish();
}

fn bench_route(c: &mut Criterion) {
    let topics: Vec<String> = (1000..2000).map(|number| format!("in/{number}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut group = c.benchmark_group("route");
    for (name, topics) in [("cached", &topics[..1]), ("uncached", &topics[..])] {
        let scene = Scene::new("in/+", 1, 0, topics).among(FILTERS);
        bench(&mut group, name, scene, 1, Part::Publish);
    }
    group.finish();
}

/// What it costs to ask whether a message is allowed: limits, names and reserved topics of a profile,
/// where policies will be asked as well. Time stands still here, so rates are not limited.
fn bench_rules(c: &mut Criterion) {
    let mut aws = Config::aws();
    aws.limits.publish_rate = None;
    aws.limits.byte_rate = None;
    let mut group = c.benchmark_group("rules");
    for (name, config) in [("standard", Config::standard()), ("aws", aws)] {
        for qos in [0, 1] {
            let scene = Scene::under(config.clone(), "in/+", 1, qos, &["in/0"]);
            bench(
                &mut group,
                &format!("{name}/qos{qos}"),
                scene,
                1,
                Part::Publish,
            );
        }
    }
    group.finish();
}

criterion_group!(
    benches,
    bench_fan_out,
    bench_group,
    bench_session,
    bench_route,
    bench_rules
);
criterion_main!(benches);
