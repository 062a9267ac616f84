//! The layers of `docs/architecture.md`, held against the source: a module uses what is below it. And the
//! pages, whose links lead somewhere, and `deny.toml`, held against what the crate is made of.

#[path = "tidy/deny.rs"]
mod deny;
#[path = "tidy/pages.rs"]
mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer, the lowest first. A module may use its own layer and those below.
const LAYERS: [&[&str]; 11] = [
    &[
        "config", "time", "auth", "budget", "table", "chunked", "chance", "excerpt", "nearest",
        "objects",
    ],
    &["codec", "topic", "policy"],
    &["message"],
    &["protocol"],
    &["tap"],
    &["broker"],
    &["aws"],
    &["client"],
    &["engine"],
    &["net", "http", "local", "server"],
    &["cli", "main", "lib", "sim", "fuzz", "internals"],
];

fn layer(module: &str) -> usize {
    LAYERS
        .iter()
        .position(|layer| layer.contains(&module))
        .unwrap_or_else(|| {
            panic!("module `{module}` has no layer: add it here and to the document")
        })
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The top-level modules that a file names: behind `crate::`, or behind as many `super::` as lead there
/// from a module at this depth.
fn uses(text: &str, depth: usize) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(move |line| {
            let from_root = line.match_indices("crate::");
            let mut starts: Vec<usize> = from_root.map(|(at, found)| at + found.len()).collect();
            // A module inside of a file is one deeper, and its lines begin further to the right.
            let inside = (line.len() - line.trim_start().len()) / 4;
            let up = format!("use {}", "super::".repeat(depth + inside));
            starts.extend(line.find(&up).map(|at| at + up.len()));
            starts.into_iter().map(|start| {
                line[start..]
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
                    .unwrap_or_default()
            })
        })
}

/// How deep the module of a file is: 1 for those of the crate itself.
fn depth(relative: &Path) -> usize {
    let names = relative.iter().count();
    match relative.file_name() {
        Some(name) if name == "mod.rs" => names - 1,
        _ => names,
    }
}

#[test]
fn no_module_uses_a_layer_above_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50, "the sources were not found");
    let mut edges = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&root).unwrap();
        let module = relative
            .iter()
            .next()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs");
        let own = layer(module);
        for used in uses(&fs::read_to_string(&file).unwrap(), depth(relative)) {
            let is_module = LAYERS.iter().any(|layer| layer.contains(&used));
            if is_module && layer(used) > own {
                edges.push(format!("{}: uses {used}", relative.display()));
            }
        }
    }
    assert!(edges.is_empty(), "upward edges:\n{}", edges.join("\n"));
}

/// What a file of the broker names of the broker: whole words behind `crate::broker::`, or behind as many
/// `super::` as lead there from a module at this depth.
fn names_of_broker(code: &str, depth: usize) -> BTreeSet<&str> {
    let up = "super::".repeat(depth);
    let from_root = code.match_indices("crate::broker::");
    let from_below = code.match_indices(&up).filter(|(at, found)| {
        let (before, behind) = (&code[..*at], &code[at + found.len()..]);
        !before.ends_with("super::") && !behind.starts_with("super::")
    });
    let mut names = BTreeSet::new();
    for (at, found) in from_root.chain(from_below) {
        let rest = &code[at + found.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(first_word(rest));
            continue;
        };
        let mut within = 0;
        let mut is_next = true;
        for (at, c) in list.char_indices() {
            match c {
                '}' if within == 0 => break,
                '{' => within += 1,
                '}' => within -= 1,
                ',' if within == 0 => is_next = true,
                c if is_next && !c.is_whitespace() => {
                    names.insert(first_word(&list[at..]));
                    is_next = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or_default()
}

/// Modules, and those that each of them names.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// A way through the graph that leads back to where it began, if there is one.
fn circle(graph: &Graph) -> Option<Vec<&str>> {
    /// Goes on from the end of a path; what is `done` leads to no circle.
    fn search<'a>(graph: &'a Graph, path: &mut Vec<&'a str>, done: &mut BTreeSet<&'a str>) -> bool {
        let end = *path.last().expect("a path has a beginning");
        for next in graph.get(end).into_iter().flatten() {
            if let Some(start) = path.iter().position(|module| module == next) {
                path.drain(..start);
                path.push(next);
                return true;
            }
            if done.contains(next.as_str()) {
                continue;
            }
            path.push(next);
            if search(graph, path, done) {
                return true;
            }
            path.pop();
        }
        done.insert(end);
        false
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|start| {
        let mut path = vec![start.as_str()];
        let is_new = !done.contains(start.as_str());
        (is_new && search(graph, &mut path, &mut done)).then_some(path)
    })
}

/// These know nothing of the broker that they are parts of, so that nothing leads from them around the
/// graph of the modules. The others add to what it does, and `turn` hands it to work that was put off.
const KNOW_NO_BROKER: [&str; 19] = [
    "bounds",
    "captures",
    "discard",
    "facts",
    "gate",
    "group_names",
    "last_values",
    "observers",
    "history",
    "ordered",
    "outbox",
    "part_bounds",
    "random",
    "retained",
    "routing",
    "schedule",
    "session",
    "share",
    "watch",
];

#[test]
fn modules_of_the_broker_form_no_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broker");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let (mut graph, mut faults) = (Graph::new(), Vec::new());
    let mut named = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&root).unwrap();
        let is_test = relative.iter().any(|part| part == "tests") || relative.ends_with("tests.rs");
        // The broker itself consists of all of them.
        if is_test || relative == Path::new("mod.rs") {
            continue;
        }
        let module = relative.iter().next().unwrap().to_str().unwrap();
        let module = module.trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines = code.lines().filter(|l| !l.trim_start().starts_with("//"));
        let code = lines.collect::<Vec<_>>().join("\n");
        let names = names_of_broker(&code, depth(relative));
        let names = names.into_iter().map(str::to_owned);
        named.push((
            relative.display().to_string(),
            module.clone(),
            names.collect::<Vec<_>>(),
        ));
        graph.entry(module).or_default();
    }
    for (file, module, names) in named {
        for name in names {
            if name == "Broker" {
                if KNOW_NO_BROKER.contains(&module.as_str()) {
                    faults.push(format!("{file}: names `Broker`, which is above it"));
                }
            } else if !graph.contains_key(&name) {
                faults.push(format!(
                    "{file}: names `{name}`, not the module that it is in"
                ));
            } else if name != module {
                graph.get_mut(&module).expect("all are in it").insert(name);
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for module in KNOW_NO_BROKER {
        assert!(graph.contains_key(module), "there is no module `{module}`");
    }
    assert!(graph["share"].contains("session") && graph["session"].contains("outbox"));
    if let Some(circle) = circle(&graph) {
        panic!(
            "modules name each other in a circle: {}",
            circle.join(" -> ")
        );
    }
}

#[test]
fn circle_is_found_wherever_it_is() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph
                .entry((*from).to_owned())
                .or_default()
                .insert((*to).to_owned());
        }
        graph
    };
    let tree = graph(&[("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")]);
    assert_eq!(circle(&tree), None);
    let ring = graph(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")]);
    assert_eq!(circle(&ring), Some(vec!["b", "c", "d", "b"]));

    let code = "use super::{a::{X, y}, b};\nuse crate::broker::c::Z;\nuse super::super::d;";
    let names: Vec<_> = names_of_broker(code, 1).into_iter().collect();
    assert_eq!(names, ["a", "b", "c"]);
    let names: Vec<_> = names_of_broker(code, 2).into_iter().collect();
    assert_eq!(names, ["c", "d"]);
}

/// What a struct of everything would hand to them.
#[test]
fn programs_and_the_api_get_no_more_of_a_server_than_they_need() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![root.join("local.rs")];
    sources(&root.join("http"), &mut files);
    assert!(files.len() > 10, "the sources were not found");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // What is imported from it: one name, or some in braces.
        let names_shared = text.split("net::").skip(1).any(|imported| {
            let names = match imported.strip_prefix('{') {
                Some(names) => names.split('}').next().unwrap_or_default(),
                None => imported.split([';', ':', ',']).next().unwrap_or_default(),
            };
            let mut names = names.split(|c: char| !c.is_alphanumeric());
            names.any(|name| name == "Shared")
        });
        assert!(!names_shared, "{}: names `net::Shared`", file.display());
        let is_local = file.ends_with("local.rs");
        let names_net = uses(&text, 1).any(|module| module == "net");
        assert!(!(is_local && names_net), "local.rs: names `net`");
    }
}

#[test]
fn the_core_is_synchronous_and_reads_no_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for module in [
        "codec", "topic", "policy", "message", "protocol", "tap", "broker", "aws", "client",
    ] {
        let mut files = Vec::new();
        sources(&root.join(module), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            // Tests make a start time of their own.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            if file.components().any(|part| part.as_os_str() == "tests")
                || file.file_name().is_some_and(|name| name == "tests.rs")
            {
                continue;
            }
            for banned in ["async fn", "tokio::", "Instant::now()", "SystemTime::now()"] {
                assert!(!code.contains(banned), "{}: `{banned}`", file.display());
            }
        }
    }
}

/// What has one place: a text, the files that may hold it, and the promise that it would break elsewhere.
const ONE_PLACE: &[(&[&str], &[&str], &str)] = &[
    (
        &[
            "encode_ack(",
            "encode_connack(",
            "encode_disconnect(",
            "encode_pingresp(",
            "encode_suback(",
            "encode_unsuback(",
            "encode_head(",
            "publish.encode(",
        ],
        &["broker/outbox/compose.rs"],
        "one exit: packets towards a client are composed",
    ),
    (
        &["codec::split(", "codec::split_short_ack("],
        // The program's own end of a subscription reads what the broker wrote.
        &["client/frames.rs", "local.rs"],
        "one entrance: packets from a client are taken off their bytes",
    ),
    (
        &["routing.with_route", "retained.store(", ".store_up_to("],
        &["broker/deliver/mod.rs", "broker/retained.rs"],
        "one door: messages are retained and routed",
    ),
    (
        &["impl Shared for"],
        &["broker/share/mod.rs"],
        "one kind of group: what a session's place names",
    ),
    (
        &["Turn::new("],
        &["net/driver.rs"],
        "one turn: connections are driven",
    ),
    (
        &[".try_write("],
        // The writer's bytes, and the links themselves: what TLS and WebSocket hold back.
        &[
            "broker/outbox/chunks.rs",
            "net/driver.rs",
            "net/tcp.rs",
            "net/tls_link.rs",
            "net/ws/link.rs",
        ],
        "one writer: links are written to",
    ),
    (
        &["SystemTime::now("],
        // What certificates are valid at is the machine's time, whatever a test makes of the broker's;
        // commands on policies and registries have no broker.
        &[
            "time.rs",
            "net/ca/certificate.rs",
            "cli/policy.rs",
            "cli/registry.rs",
        ],
        "one clock: the date is read",
    ),
    (
        &["condition.holds(", ".applies(facts)"],
        &["policy/policies.rs"],
        "one verdict: statements are applied to requests",
    ),
    (
        &["reserved::bars_", ".take(message, "],
        &["protocol/rules.rs", "broker/deliver/mod.rs"],
        "one list of reserved topics, and one way to a service: topics are let in, requests handed over",
    ),
];

#[test]
fn each_promise_has_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut strays = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&root).unwrap().display().to_string();
        // Those who play the clients, or measure single parts.
        let is_test = ["codec/", "sim/", "fuzz/", "internals.rs"]
            .iter()
            .any(|start| relative.starts_with(start))
            || relative.contains("tests");
        if is_test {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for (names, places, promise) in ONE_PLACE {
            for name in names.iter().filter(|name| code.contains(**name)) {
                if !places.contains(&relative.as_str()) {
                    strays.push(format!("{relative}: `{name}` ({promise} in {places:?})"));
                }
            }
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

/// Prints the rooms with their lines, and which room uses which how often:
/// `cargo test --all-features --test tidy -- --ignored --nocapture rooms`.
#[test]
#[ignore = "for people: it checks nothing"]
fn print_the_rooms() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    files.sort();
    let mut rooms = BTreeMap::<String, (usize, BTreeMap<String, usize>)>::new();
    for file in &files {
        let relative = file.strip_prefix(&root).unwrap();
        let text = fs::read_to_string(file).unwrap();
        println!("{:5} {}", text.lines().count(), relative.display());
        let name = relative.iter().next().unwrap().to_str().unwrap();
        let room = rooms
            .entry(name.trim_end_matches(".rs").to_owned())
            .or_default();
        room.0 += text.lines().count();
        for used in uses(&text, depth(relative)) {
            *room.1.entry(used.to_owned()).or_default() += 1;
        }
    }
    for (room, (lines, uses)) in &rooms {
        let arrows = uses
            .iter()
            .filter(|(used, _)| *used != room && rooms.contains_key(*used))
            .map(|(used, count)| format!("{used} {count}"));
        println!(
            "{room} ({lines} lines) -> {}",
            arrows.collect::<Vec<_>>().join(", ")
        );
    }
}
