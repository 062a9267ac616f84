//! PUBLISH from bytes and to bytes: what is done most.
//!
//! `cargo bench -p roundel-benches --bench codec`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use roundel::Version;
use roundel::internals::{decode_publish, encode_publish};
use roundel_benches::{PAYLOAD, publish};

const TOPIC: &str = "plant/7/line/3/temperature";

fn bench_decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for (name, packet_id) in [("qos0", None), ("qos1", Some(7))] {
        let packet = publish(TOPIC, packet_id);
        group.bench_function(name, |b| {
            b.iter(|| decode_publish(black_box(&packet), Version::V5).expect("a PUBLISH"));
        });
    }
    group.finish();
}

fn bench_encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for (name, packet_id) in [("qos0", None), ("qos1", Some(7))] {
        let mut out = Vec::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                encode_publish(Version::V5, black_box(TOPIC), &PAYLOAD, packet_id, &mut out);
                black_box(out.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench_decode, bench_encode);
criterion_main!(benches);
