//! What a registry's file keeps when its broker is killed, its disk is full, or it cannot be written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::broker::Broker;
use super::{finish, roundel, run};

/// Changes that are answered before the test is over.
const CHANGES: usize = 10_000;

/// Connections that change the registry at the same time, so that changes are committed together.
const AUTHORS: usize = 8;

/// Changes that each author repeats, with another number each time.
const STEPS: usize = 7;

/// The things and groups of an author.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    groups: BTreeSet<String>,
    things: BTreeMap<String, Thing>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Thing {
    attributes: BTreeMap<String, String>,
    groups: BTreeSet<String>,
}

/// A call of the control plane.
struct Call {
    method: &'static str,
    path: String,
    body: Value,
}

/// The change of an author that has this number, which is carried out in `held`, too.
fn change(author: usize, number: usize, held: &mut Held) -> Call {
    let turn = number / STEPS;
    let thing = |turn: usize| format!("a{author}-{turn}");
    let group = format!("g{author}-{turn}");
    let (method, path, body) = match number % STEPS {
        step @ (0 | 1) => {
            let attributes = pair(turn + step);
            let body = json!({ "attributePayload": { "attributes": attributes } });
            held.things.entry(thing(turn)).or_default().attributes = attributes;
            let method = ["POST", "PATCH"][step];
            (method, format!("/things/{}", thing(turn)), body)
        }
        2 => {
            held.groups.insert(group.clone());
            ("POST", format!("/thing-groups/{group}"), json!({}))
        }
        step @ (3 | 4) => {
            let member = thing(turn.saturating_sub(step - 3));
            let body = json!({ "thingName": member, "thingGroupName": group });
            held.things.entry(member).or_default().groups.insert(group);
            ("PUT", "/thing-groups/addThingToThingGroup".to_owned(), body)
        }
        // One change of several records: the group goes, and its things are not in it any more.
        5 => {
            held.groups.remove(&group);
            for thing in held.things.values_mut() {
                thing.groups.remove(&group);
            }
            ("DELETE", format!("/thing-groups/{group}"), json!({}))
        }
        _ => {
            let oldest = turn.checked_sub(2).map_or("nobody".to_owned(), thing);
            held.things.remove(&oldest);
            ("DELETE", format!("/things/{oldest}"), json!({}))
        }
    };
    Call { method, path, body }
}

/// Two attributes that say the same.
fn pair(value: usize) -> BTreeMap<String, String> {
    ["one", "two"]
        .map(|name| (name.to_owned(), value.to_string()))
        .into()
}

/// What an author holds after so many changes.
fn after(author: usize, changes: usize) -> Held {
    let mut held = Held::default();
    for number in 0..changes {
        change(author, number, &mut held);
    }
    held
}

/// A connection to the control plane.
struct Api(BufReader<TcpStream>);

impl Api {
    fn connect(broker: &Broker) -> Self {
        let stream = TcpStream::connect(broker.address("http")).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self(BufReader::new(stream))
    }

    /// The status and the body of the answer.
    ///
    /// # Errors
    ///
    /// If the broker is gone before it has answered.
    fn call(&mut self, call: &Call) -> io::Result<(u16, String)> {
        let (Call { method, path, .. }, body) = (call, call.body.to_string());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(&["\r\n".to_owned()]) {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            head.push(line);
        }
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.iter().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().unwrap())
        });
        let mut body = vec![0; length.unwrap()];
        self.0.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body).unwrap()))
    }
}

/// A broker with the registry `r.redb`.
fn serve(command: &mut Command) -> Broker {
    Broker::spawn(command.args([
        "serve",
        "--ready",
        "json",
        "--registry",
        "r.redb",
        "--http-port",
        "0",
        "--mqtts-port",
        "off",
        "--mqtt-port",
        "0",
        "--log",
        "error",
    ]))
}

/// Changes the registry until the broker is gone; the number of changes that are answered by then.
fn author(mut api: Api, author: usize, from: usize) -> usize {
    let mut held = Held::default();
    let mut number = from;
    loop {
        match api.call(&change(author, number, &mut held)) {
            Ok((200, _)) => number += 1,
            Ok(answer) => panic!("change {number} of author {author}: {answer:?}"),
            Err(_) => return number,
        }
    }
}

/// What all authors hold, as `roundel registry export` says.
fn exported(folder: &Path) -> Vec<Held> {
    let document = run(
        folder,
        &[
            "registry",
            "export",
            "--registry",
            "r.redb",
            "--format",
            "json",
        ],
    );
    document.assert_done();
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    let mut all: Vec<_> = (0..AUTHORS).map(|_| Held::default()).collect();
    let author = |name: &str| {
        name[1..]
            .split('-')
            .next()
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    for (name, found) in document["things"].as_object().into_iter().flatten() {
        let thing = Thing {
            attributes: serde_json::from_value(found["attributes"].clone()).unwrap(),
            groups: serde_json::from_value(found["groups"].clone()).unwrap_or_default(),
        };
        all[author(name)].things.insert(name.clone(), thing);
    }
    for (name, _) in document["thing_groups"].as_object().into_iter().flatten() {
        all[author(name)].groups.insert(name.clone());
    }
    all
}

/// After each of many ends at any moment every change that was answered is there, and the one that was not is
/// there or not, but not half.
#[test]
fn a_broker_that_is_killed_loses_no_change_that_it_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut done = [0; AUTHORS];
    let mut kills = 0;
    while done.iter().sum::<usize>() < CHANGES {
        let mut broker = serve(&mut roundel(folder.path(), &[]));
        let authors = done.into_iter().enumerate().map(|(number, from)| {
            let api = Api::connect(&broker);
            thread::spawn(move || author(api, number, from))
        });
        let authors: Vec<_> = authors.collect();
        thread::sleep(Duration::from_millis(fastrand::u64(1..800)));
        broker.child.kill().unwrap();
        drop(broker);
        kills += 1;
        let answered = authors.into_iter().map(|author| author.join().unwrap());
        let answered: Vec<_> = answered.collect();
        for (author, found) in exported(folder.path()).into_iter().enumerate() {
            let least = answered[author];
            let states = [after(author, least), after(author, least + 1)];
            let more = states.iter().position(|state| *state == found);
            let Some(more) = more else {
                panic!(
                    "author {author}, after {least} changes and kill {kills}: {found:?}, expected {states:?}"
                )
            };
            done[author] = least + more;
        }
    }
    assert!(kills > 5, "{CHANGES} changes after {kills} kills");
    assert_same_bytes_again(folder.path());
}

/// Export, import, export.
fn assert_same_bytes_again(folder: &Path) {
    for format in ["json", "toml"] {
        let export = |file| {
            let done = run(
                folder,
                &["registry", "export", "--registry", file, "--format", format],
            );
            done.assert_done();
            done.stdout
        };
        let first = export("r.redb");
        let (document, copy) = (format!("out.{format}"), format!("{format}.redb"));
        fs::write(folder.join(&document), &first).unwrap();
        run(
            folder,
            &["registry", "import", &document, "--registry", &copy],
        )
        .assert_done();
        assert_eq!(export(&copy), first);
    }
}

/// A program whose files cannot grow beyond so many KiB: to it, the disk is full.
fn with_full_disk(folder: &Path, kib: u64) -> Command {
    let plain = roundel(folder, &[]);
    let mut command = Command::new("bash");
    // A signal would end it otherwise, as no full disk does.
    let limit = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
    command.args(["-c", &limit]).arg(plain.get_program());
    for (name, _) in plain.get_envs() {
        command.env_remove(name);
    }
    command.current_dir(folder);
    command
}

#[test]
fn a_full_disk_refuses_changes_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    serve(&mut roundel(folder.path(), &[]));
    let size = fs::metadata(folder.path().join("r.redb")).unwrap().len();
    let log = File::create(folder.path().join("log")).unwrap();
    let broker = serve(with_full_disk(folder.path(), size / 1024 + 256).stderr(log));
    let mut api = Api::connect(&broker);
    let value = "v".repeat(700);
    let create = |number: usize| Call {
        method: "POST",
        path: format!("/things/t{number:04}"),
        body: json!({ "attributePayload": { "attributes": { "a": value, "b": value, "c": value } } }),
    };
    let mut kept = 0;
    let refused = loop {
        match api.call(&create(kept)).unwrap() {
            (200, _) => kept += 1,
            refused => break refused,
        }
        assert!(kept < 5000, "the disk is never full");
    };
    assert!(kept > 0, "the disk was full before the first change");
    assert_eq!(refused.0, 500, "{refused:?}");
    for word in ["r.redb", "File too large"] {
        assert!(refused.1.contains(word), "no {word:?} in {refused:?}");
    }
    // Reading goes on, and says nothing of what was refused.
    let count = |api: &mut Api| {
        let describe = |number: usize| Call {
            method: "GET",
            path: format!("/things/t{number:04}"),
            body: json!({}),
        };
        (0..)
            .take_while(|number| api.call(&describe(*number)).unwrap().0 == 200)
            .count()
    };
    assert_eq!(count(&mut api), kept);
    assert_eq!(api.call(&create(kept)).unwrap().0, 500, "still full");
    drop(broker);
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("the registry did not take a change"), "{log}");
    let broker = serve(&mut roundel(folder.path(), &[]));
    let mut api = Api::connect(&broker);
    assert_eq!(count(&mut api), kept);
    assert_eq!(
        api.call(&create(kept)).unwrap().0,
        200,
        "there is room again"
    );
}

/// A program of somebody who is not root, whom permissions do not stop.
fn as_nobody(folder: &Path, line: &[&str]) -> Command {
    let command = roundel(folder, line);
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return command;
    }
    let mut nobody = Command::new("setpriv");
    nobody
        .args(["--reuid", "65534", "--clear-groups"])
        .arg(command.get_program());
    nobody.args(command.get_args()).current_dir(folder);
    for (name, _) in command.get_envs() {
        nobody.env_remove(name);
    }
    nobody
}

#[test]
fn a_read_only_folder_is_said_to_be_one_and_loses_nothing() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("fleet.toml"), "[things.car1]").unwrap();
    let import = ["registry", "import", "fleet.toml", "--registry", "r.redb"];
    run(path, &import).assert_done();
    let before = fs::read(path.join("r.redb")).unwrap();
    let set = |mode: u32, file_mode: u32| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        fs::set_permissions(path.join("r.redb"), PermissionsExt::from_mode(file_mode)).unwrap();
    };
    set(0o555, 0o444);
    let serve = "serve --registry r.redb --mqtts-port off --mqtt-port 0 --http-port off";
    let serve: Vec<_> = serve.split(' ').collect();
    let elsewhere = ["registry", "import", "fleet.toml", "--registry", "new.redb"];
    for (line, file) in [
        (&serve[..], "r.redb"),
        (&import, "r.redb"),
        (&elsewhere, "new.redb"),
    ] {
        finish(&mut as_nobody(path, line)).assert_ended(1, &[file, "Permission denied"]);
    }
    set(0o755, 0o644);
    assert_eq!(fs::read(path.join("r.redb")).unwrap(), before);
    assert!(!path.join("new.redb").exists());
    let exported = run(path, &["registry", "export", "--registry", "r.redb"]);
    assert!(
        exported.stdout.contains("[things.car1]"),
        "{}",
        exported.stdout
    );
}
