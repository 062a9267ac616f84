//! What the registry costs with 100,000 things and certificates:
//! `cargo test --release --all-features --lib aws::registry::tests::figures -- --ignored --nocapture`.

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use super::*;

const MANY: u32 = 100_000;

/// Threads that create things at once: what waits meanwhile is committed together.
const CALLERS: u32 = 256;

/// Time of the processor that this process has taken, in clock ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .map(|t| t.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(10 * ticks)
}

fn thing(number: u32) -> NewThing {
    NewThing {
        thing_type: None,
        attributes: Attributes::from([("site".to_owned(), format!("s{}", number % 100))]),
    }
}

#[test]
#[ignore = "for people: it checks nothing"]
fn print_what_100_000_things_cost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.redb");
    let registry = Registry::open(&path, Scope::default()).unwrap();
    let (next, before, start) = (AtomicU32::new(0), cpu(), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= MANY {
                        break;
                    }
                    let means = Means {
                        now: NOW,
                        random: &mut || u128::from(number),
                    };
                    let name = format!("thing-{number}");
                    let created = registry.change(means, |d| d.create_thing(&name, thing(number)));
                    created.unwrap();
                }
            });
        }
    });
    let (spent, took) = (cpu() - before, start.elapsed());
    println!(
        "CreateThing, {CALLERS} callers: {:?} of CPU a call, {took:?} in all",
        spent / MANY
    );
    let in_memory = Office::in_memory();
    let start = Instant::now();
    in_memory
        .change(|d| {
            for number in 0..MANY {
                d.create_thing(&format!("thing-{number}"), thing(number))?;
            }
            Ok(())
        })
        .unwrap();
    println!("CreateThing without commit: {:?}", start.elapsed() / MANY);
    add_certificates(&registry);
    print_pages(&registry.state());
    drop(registry);
    let size = path.metadata().unwrap().len() >> 20;
    let start = Instant::now();
    let registry = Registry::open(&path, Scope::default()).unwrap();
    println!("open: {:?} for {size} MiB", start.elapsed());
    let state = registry.state();
    let id = format!("{:064x}", 7);
    let start = Instant::now();
    for _ in 0..1000 {
        assert!(state.view(&id, "thing-7", NOW).is_some());
    }
    println!("view: {:?}", start.elapsed() / 1000);
}

/// As large as those of ECDSA keys are.
fn add_certificates(registry: &Registry) {
    let pem = Pki::new("CA").leaf("device");
    let means = Means {
        now: NOW,
        random: &mut || 0,
    };
    let start = Instant::now();
    registry
        .change(means, |d| {
            for number in 0..MANY {
                d.put(Certificate {
                    id: format!("{number:064x}"),
                    pem: pem.as_str().into(),
                    status: CertificateStatus::Active,
                    mode: CertificateMode::Default,
                    ca: None,
                    created: NOW + u64::from(number),
                    modified: NOW,
                    version: 1,
                    generation: String::new(),
                    not_before: 0,
                    not_after: i64::MAX,
                    policies: [].into(),
                });
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    println!("{MANY} certificates in one change: {:?}", start.elapsed());
}

fn print_pages(state: &State) {
    let print = |what: &str, list: &dyn Fn(Page<'_>) -> Option<String>| {
        let (mut token, mut count, mut longest) = (None, 0, Duration::ZERO);
        let all = Instant::now();
        loop {
            let start = Instant::now();
            token = list(Page {
                token: token.as_deref(),
                ..Page::default()
            });
            longest = longest.max(start.elapsed());
            count += 1;
            if token.is_none() {
                break;
            }
        }
        let mean = all.elapsed() / count;
        println!("page of {what}: {mean:?}, the longest {longest:?}");
    };
    let all = ThingFilter::default();
    let site = ThingFilter {
        attribute: Some("site"),
        value: Some("s7"),
        ..ThingFilter::default()
    };
    print("things", &|page| {
        state.list_things(&all, page).unwrap().next
    });
    print("things by attribute", &|page| {
        state.list_things(&site, page).unwrap().next
    });
    print("certificates", &|page| {
        state.list_certificates(page).unwrap().next
    });
}
