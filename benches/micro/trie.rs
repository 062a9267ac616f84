//! Matching a topic against many filters, and finding the topics of a filter.
//!
//! `cargo bench -p roundel-benches --bench trie`

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use roundel::internals::{HashParent, Named, Names, Trie, check_topic_name, matches};

/// As large as a subscriber list behind a pointer with its length.
type Value = [u64; 2];

/// Seven filters in ten are exact, the others have their wildcard at different places.
fn filter(number: usize) -> String {
    match number % 10 {
        0..7 => format!("dev/{}/{number}/temp/state", number % 1000),
        7 => format!("dev/{number}/+/b/state"),
        8 => format!("dev/{number}/#"),
        _ => format!("+/{number}/a/b/state"),
    }
}

/// A topic that the filter of the same number matches, and no other.
fn topic(number: usize) -> String {
    match number % 10 {
        0..7 => filter(number),
        7 => format!("dev/{number}/x/b/state"),
        8 => format!("dev/{number}/a/c"),
        _ => format!("x/{number}/a/b/state"),
    }
}

/// The numbers below `count`, a power of ten, in an order that no cache foresees; the step has no
/// factor 2 or 5, so that each comes once.
fn scattered(count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |index| index * 7_368_787 % count)
}

fn trie_of(filters: &[String]) -> Trie<Value> {
    let mut trie = Trie::new(0x5eed);
    for filter in filters {
        trie.get_or_insert_with(filter, || [1, 2]);
    }
    trie
}

fn bench_trie(c: &mut Criterion) {
    for count in [1_000, 100_000, 1_000_000] {
        let filters: Vec<String> = scattered(count).map(filter).collect();
        let mut group = c.benchmark_group(format!("trie/{count}"));
        group.sample_size(10);

        let trie = trie_of(&filters);
        let topics: Vec<String> = scattered(count).map(topic).collect();
        let mut next = topics.iter().cycle();
        group.bench_function("match", |b| {
            b.iter(|| {
                let topic = next.next().expect("endless");
                let mut found = 0;
                trie.visit_matches(topic, HashParent::Matches, &mut |value| found += value[0]);
                assert_eq!(found, 1);
            });
        });
        let mut next = filters.iter().cycle();
        group.bench_function("get", |b| {
            b.iter(|| black_box(trie.get(next.next().expect("endless"))));
        });
        drop(trie);

        group.throughput(Throughput::Elements(count as u64));
        group.bench_function("insert", |b| {
            b.iter_batched(|| (), |()| trie_of(&filters), BatchSize::PerIteration);
        });
        group.bench_function("remove", |b| {
            b.iter_batched(
                || trie_of(&filters),
                |mut trie| {
                    for filter in &filters {
                        black_box(trie.remove(filter));
                    }
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

/// As a message is: topic and value behind one pointer.
struct Numbered {
    topic: String,
    number: usize,
}

impl Named for Box<Numbered> {
    fn topic(&self) -> &str {
        &self.topic
    }
}

fn bench_names(c: &mut Criterion) {
    let topics: Vec<String> = scattered(100_000)
        .map(|n| format!("ret/{}/{}", n / 100, n % 100))
        .collect();
    let mut names = Names::default();
    for (number, topic) in topics.into_iter().enumerate() {
        names.insert(Box::new(Numbered { topic, number }));
    }
    let mut group = c.benchmark_group("names/100000");
    for filter in ["ret/#", "ret/+/5", "ret/500/#", "ret/500/5", "+/+/x"] {
        group.bench_function(filter, |b| {
            b.iter(|| {
                let mut sum = 0;
                names.visit_matches(filter, HashParent::Matches, |value| sum += value.number);
                black_box(sum)
            });
        });
    }
    group.finish();
}

fn bench_single(c: &mut Criterion) {
    let topic = "$aws/things/thermostat-17/shadow/update/accepted";
    c.bench_function("check_topic_name", |b| {
        b.iter(|| check_topic_name(black_box(topic)))
    });
    c.bench_function("matches", |b| {
        let filter = "$aws/things/+/shadow/#";
        b.iter(|| matches(black_box(filter), black_box(topic), HashParent::Matches));
    });
}

criterion_group!(benches, bench_trie, bench_names, bench_single);
criterion_main!(benches);
