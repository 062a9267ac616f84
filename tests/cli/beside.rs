//! Commands beside a running broker, which has the file of the registry.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use roundel::aws::registry::{Holder, Registry};

use super::broker::Broker;
use super::{Outcome, finish, roundel, run};

/// A folder with a broker that has its registry in it, and what it says on standard error.
struct Stand {
    folder: tempfile::TempDir,
    broker: Option<Broker>,
}

impl Stand {
    fn start(flags: &[&str]) -> Self {
        let mut stand = Self {
            folder: tempfile::tempdir().unwrap(),
            broker: None,
        };
        stand.broker = Some(serve(stand.path(), flags));
        stand
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn http(&self) -> &str {
        self.broker.as_ref().unwrap().address("http")
    }

    #[track_caller]
    fn run(&self, line: &str) -> Outcome {
        run(self.path(), &line.split(' ').collect::<Vec<_>>())
    }

    /// The same, and it has to be done.
    #[track_caller]
    fn done(&self, line: &str) -> String {
        let outcome = self.run(line);
        outcome.assert_done();
        outcome.stdout
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    fn end(&mut self, signal: &str) {
        let broker = self.broker.take().unwrap();
        broker.signal(signal);
        broker.wait();
    }
}

fn serve(folder: &Path, flags: &[&str]) -> Broker {
    let line = ["serve", "--ready", "json", "--mqtts-port", "0"];
    let mut command = roundel(folder, &line);
    if !flags.contains(&"--http-port") {
        command.args(["--http-port", "0"]);
    }
    let log = File::create(folder.join("log")).unwrap();
    Broker::spawn(command.args(flags).stderr(log))
}

const HELD: &str = "certs/registry.redb";
const ADDRESS: &str = "certs/registry.redb.http";

const FLEET: &str = r#"
[policies.own.document]
Version = "2012-10-17"
Statement = [
  { Sid = "in", Effect = "Allow", Action = "iot:Connect", Resource = "*" },
  { Effect = "Allow", Action = "iot:Publish", Resource = "arn:aws:iot:us-east-1:123456789012:topic/${iot:ClientId}/*" },
]

[things.car1]

[[certificates]]
certificate_file = "certs/car1.certificate.pem"
policies = ["own"]
things = ["car1"]
"#;

#[test]
fn certificates_are_registered_through_the_broker_and_after_it_in_the_file() {
    let mut stand = Stand::start(&[]);
    let said = stand.done("cert car1 car2 --out mine");
    let lines: Vec<_> = said.lines().collect();
    let start = format!("registered in {HELD}: ACTIVE ");
    let id = lines[2].strip_prefix(&start).unwrap();
    assert_eq!(lines[1], "mine/car1.private.key");
    assert_eq!(said.matches(&start).count(), 2, "{said}");
    let listed = |export: &str| {
        let ids = export.lines().filter(|line| line.starts_with("id = "));
        (ids.count(), export.contains(id))
    };
    assert_eq!(listed(&stand.done("registry export")), (2, true));
    // The same once more, beside the broker and without it.
    let already = format!("registered already in {HELD}: ACTIVE {id}");
    for _ in 0..2 {
        let again = stand.done("cert car1 --out mine --if-missing");
        assert!(again.contains(&already), "{again}");
        if stand.broker.is_some() {
            stand.end("-TERM");
        }
    }
    let third = stand.done("cert car3 --if-missing");
    assert!(third.contains(&start), "{third}");
    assert_eq!(listed(&stand.done("registry export")), (3, true));
}

#[test]
fn certificates_are_registered_nowhere_where_there_is_no_registry() {
    let stand = Stand::start(&["--registry", "other.redb"]);
    let said = stand.done("cert car1");
    assert!(!said.contains("registered"), "{said}");
    assert!(!stand.has(HELD));
    // What exists is registered where it is asked for.
    let said = stand.done("cert car1 --if-missing --registry other.redb");
    assert!(said.contains("registered in other.redb: ACTIVE "), "{said}");
    let mut command = roundel(stand.path(), &["cert", "car1", "--if-missing"]);
    let outcome = finish(command.env("ROUNDEL_REGISTRY", "other.redb"));
    outcome.assert_done();
    let already = "registered already in other.redb: ACTIVE ";
    assert!(outcome.stdout.contains(already), "{}", outcome.stdout);
    let mut command = roundel(stand.path(), &["cert", "car1", "--if-missing"]);
    let outcome = finish(command.env("ROUNDEL_REGISTRY", "memory"));
    outcome.assert_done();
    assert!(!outcome.stdout.contains("registered"));
}

/// A certificate that somebody revoked does not come back because its files are asked for again.
#[test]
fn a_certificate_that_is_registered_keeps_its_status() {
    let stand = Stand::start(&[]);
    stand.done("cert car1");
    let revoked = "[[certificates]]\ncertificate_file = \"certs/car1.certificate.pem\"\nstatus = \"REVOKED\"\n";
    stand.write("revoked.toml", revoked);
    assert!(
        stand
            .done("registry import revoked.toml")
            .starts_with("changed certificate ")
    );
    let said = stand.done("cert car1 --if-missing");
    assert!(
        said.contains("registered already in certs/registry.redb: REVOKED "),
        "{said}"
    );
}

#[test]
fn one_file_without_the_other_is_not_made_up_for() {
    let stand = Stand::start(&[]);
    stand.done("cert car1");
    let key = stand.path().join("certs/car1.private.key");
    fs::remove_file(&key).unwrap();
    let outcome = stand.run("cert car1 --if-missing");
    outcome.assert_failed(1, &["car1.certificate.pem", "car1.private.key", "missing"]);
    assert!(!key.exists());
}

#[test]
fn a_document_goes_through_the_broker_as_through_the_file() {
    let mut stand = Stand::start(&[]);
    stand.done("cert car1");
    stand.write("fleet.toml", FLEET);
    let said = stand.done("registry import fleet.toml");
    let said: Vec<_> = said.lines().collect();
    assert_eq!(said[..2], ["created policy own", "created thing car1"]);
    assert!(said[2].starts_with("changed certificate "), "{said:?}");
    assert_eq!(stand.done("registry import fleet.toml"), "");
    let through =
        ["toml", "json"].map(|form| stand.done(&format!("registry export --format {form}")));
    // By its address it is the same broker.
    let asked = stand.done(&format!("registry export --http {}", stand.http()));
    assert_eq!(asked, through[0]);
    stand.end("-TERM");
    let direct =
        ["toml", "json"].map(|form| stand.done(&format!("registry export --format {form}")));
    assert_eq!(through, direct);
    assert!(through[0].contains("[things.car1]") && through[1].starts_with("{\n"));
}

#[test]
fn what_is_wrong_with_a_document_is_named_with_its_place_by_the_broker_too() {
    let stand = Stand::start(&[]);
    stand.write("f.toml", "[things.car2]\n\n[things.car1]\ntype = 'van'\n");
    let through = stand.run("registry import f.toml");
    through.assert_failed(2, &["f.toml:3:1: things.car1: ", "van"]);
    let directly = stand.run("registry import f.toml --registry empty.redb");
    assert_eq!(through.stderr, directly.stderr);
    stand.write(
        "g.toml",
        "[[certificates]]\ncertificate_file = 'none.pem'\n",
    );
    stand
        .run("registry import g.toml")
        .assert_failed(2, &["g.toml:2:", "none.pem"]);
    stand.write("h.toml", "[policies.'a.b']\ndocument = '{}'\n");
    stand
        .run("registry import h.toml")
        .assert_failed(2, &["h.toml:2:", "policies.a.b"]);
    assert_eq!(stand.done("registry export"), "");
}

#[test]
fn a_broker_without_a_control_api_is_said_to_have_none() {
    let stand = Stand::start(&["--http-port", "off"]);
    for line in ["registry export", "cert car1"] {
        stand
            .run(line)
            .assert_failed(1, &[HELD, "in use", "without a control API", "--http-port"]);
    }
    // It says how to go on.
    stand
        .run("cert car2")
        .assert_failed(1, &["certs/car2.certificate.pem", "--if-missing"]);
    assert!(stand.has("certs/car2.private.key"));
}

#[test]
fn where_a_broker_listens_is_said_for_as_long_as_it_runs() {
    let mut stand = Stand::start(&[]);
    let holder = Holder::of(&stand.path().join(HELD)).unwrap();
    assert_eq!(holder.http.unwrap().to_string(), stand.http());
    stand.end("-TERM");
    assert!(!stand.has(ADDRESS));
    // One that is killed leaves it behind; who opens the file next takes it away.
    stand.broker = Some(serve(stand.path(), &[]));
    stand.end("-KILL");
    assert!(stand.has(ADDRESS));
    stand.done("registry export");
    assert!(!stand.has(ADDRESS));
}

#[test]
fn an_address_that_was_left_behind_leads_to_no_other_registry() {
    let stand = Stand::start(&[]);
    let other = stand.path().join("other.redb");
    let held = Registry::open(&other, Default::default()).unwrap();
    // As if the broker that listens there now had got the port of one that was killed.
    let left = format!(r#"{{"http":"{}","token":"another"}}"#, stand.http());
    stand.write("other.redb.http", &left);
    stand.write("fleet.toml", "[things.car1]\n");
    let line = "registry import fleet.toml --registry other.redb";
    stand.run(line).assert_failed(
        1,
        &["other.redb", "in use", "cannot be asked", stand.http()],
    );
    assert_eq!(stand.done("registry export"), "");
    drop(held);
    assert_eq!(stand.done(line), "created thing car1\n");
    assert!(!stand.has("other.redb.http"));
}

/// Each of them has the file for a moment, and the broker waits for them as they wait for it.
#[test]
fn commands_at_once_beside_a_broker_that_starts_all_succeed() {
    let mut stand = Stand::start(&[]);
    stand.end("-KILL"); // with an address that leads nowhere
    let names = ["a", "b", "c", "d", "e", "f"];
    let start = |names: &[&str]| {
        let children = names.iter().map(|name| {
            let mut command = roundel(stand.path(), &["cert", name, "--if-missing"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        });
        children.collect::<Vec<_>>()
    };
    let before = start(&names[..4]);
    let broker = serve(stand.path(), &[]);
    let behind = start(&names[4..]);
    let mut ids = Vec::new();
    for child in before.into_iter().chain(behind) {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{complaint}");
        let id = said.lines().nth(2).unwrap().rsplit(' ').next().unwrap();
        ids.push(id.to_owned());
    }
    let log = fs::read_to_string(stand.path().join("log")).unwrap();
    assert!(!log.contains(" WARN "), "{log}");
    stand.broker = Some(broker);
    let export = stand.done(&format!("registry export --http {}", stand.http()));
    for id in ids {
        assert!(export.contains(&id), "{export}");
    }
}

#[test]
fn a_running_broker_says_what_becomes_of_a_request() {
    let stand = Stand::start(&[]);
    let http = stand.http();
    let none = stand.done(&format!(
        "policy explain --client car1 --certificate x connect --http {http}"
    ));
    assert!(none.starts_with("verdict: allowed\nreason: "), "{none}");
    let said = stand.done("cert car1");
    let id = said.lines().nth(2).unwrap().rsplit(' ').next().unwrap();
    stand.write("fleet.toml", FLEET);
    stand.done("registry import fleet.toml");
    let ask = |rest: &str| {
        stand.run(&format!(
            "policy explain --client car1 --certificate {id} --http {http} {rest}"
        ))
    };
    let allowed = ask("publish car1/speed");
    allowed.assert_done();
    assert_eq!(
        allowed.stdout.lines().collect::<Vec<_>>(),
        [
            "verdict: allowed",
            &format!("principal: {id}"),
            "policies: own",
            "asked: iot:Publish topic/car1/speed: allowed",
            "decided by: own: Statement[1]",
            "variable: iot:ClientId is `car1`",
        ]
    );
    let denied = ask("publish car2/speed --retain");
    assert_eq!((denied.status, denied.stderr.as_str()), (Some(1), ""));
    for line in [
        "verdict: implicit deny",
        "asked: iot:RetainPublish topic/car2/speed: implicit deny",
        "near miss: own: Statement[1]: Resource arn:aws:iot:us-east-1:123456789012:topic/${iot:ClientId}/* does not fit",
        "would be allowed by: {",
    ] {
        let found = denied.stdout.lines().any(|said| said.starts_with(line));
        assert!(found, "no {line} in {}", denied.stdout);
    }
    let connect = ask("connect --persistent --will-topic car1/gone");
    connect.assert_done();
    assert!(
        connect
            .stdout
            .contains("decided by: own: Statement[0], Sid in")
    );
    assert_eq!(ask("receive $share/g/car1/speed").status, Some(1));
}

#[test]
fn what_a_broker_cannot_be_asked_is_misuse_and_no_verdict() {
    let stand = Stand::start(&[]);
    let http = stand.http();
    let explain = |rest: &str| stand.run(&format!("policy explain {rest}"));
    for (line, words) in [
        (
            format!("--client car1 publish a --http {http}"),
            &["certificate", "no session"][..],
        ),
        (
            format!("--client car1 --certificate x publish --http {http}"),
            &["resource"],
        ),
        (
            format!("--client car1 --certificate A=b connect --http {http}"),
            &["--certificate"],
        ),
        ("--client car1".to_owned(), &["connect|publish"]),
        ("--client car1 fly".to_owned(), &["fly"]),
        (
            "--client car1 connect --policy p.json".to_owned(),
            &["--policy", "--client"],
        ),
        (
            "--client car1 connect --http example.com:1".to_owned(),
            &["--http", "127.0.0.1:9883"],
        ),
        // Nobody listens there.
        (
            "--client car1 connect --http 127.0.0.1:1".to_owned(),
            &["--http", "127.0.0.1:1"],
        ),
    ] {
        explain(&line).assert_failed(2, words);
    }
}
