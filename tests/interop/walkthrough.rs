//! `docs/walkthrough.md`, command by command as it stands there, with the ports of this broker.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::broker::{binary, python_folder, without_settings};
use crate::process::Process;
use crate::trial;

/// Whose calls the page sends to the broker, and how.
const ENDPOINT: &str = "export AWS_ENDPOINT_URL_IOT=http://127.0.0.1:9883\n";

/// A policy of the SDK's sample, with account and Region filled in.
const SAMPLE: &str = r#"{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": [
    "arn:aws:iot:us-east-1:123456789012:topic/test/topic",
    "arn:aws:iot:us-east-1:123456789012:topic/$share/*/test/topic"]},
  {"Effect": "Allow", "Action": ["iot:Subscribe"], "Resource": [
    "arn:aws:iot:us-east-1:123456789012:topicfilter/test/topic",
    "arn:aws:iot:us-east-1:123456789012:topicfilter/$share/*/test/topic"]},
  {"Effect": "Allow", "Action": ["iot:Connect"], "Resource": [
    "arn:aws:iot:us-east-1:123456789012:client/test-*"]}]}"#;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("walkthrough::as_it_stands", as_it_stands),
        trial(
            "walkthrough::in_the_order_of_the_post",
            in_the_order_of_the_post,
        ),
        trial("walkthrough::who_is_refused", who_is_refused),
    ]
}

/// The page from its first command to "Nothing is left" (AWS-BLOG-01 to -05, AWS-API-48).
fn as_it_stands() {
    let page = Page::read();
    let stand = Stand::start(&page, By::Variable);
    for block in page.blocks("Step 1: a policy and five things") {
        stand.run(block);
    }
    let subscribers = page.blocks("Step 2: three subscribers");
    let mut subscribers: Vec<_> = subscribers.map(|block| stand.subscribe(block)).collect();
    let mut sent = Vec::new();
    for (block, car) in page.blocks("Step 2: two cars").zip(["car1", "car2"]) {
        stand.run(block);
        let speeds = ["75", "77", "79"];
        sent.extend(speeds.map(|speed| format!(r#"{{"ID": "{car}", "speed": "{speed}"}}"#)));
        // The next car starts when consumer3 has everything from this one.
        messages(&mut subscribers[2], sent.len());
    }
    let received = subscribers.iter_mut().zip([3, 3, 6]);
    let received = received.map(|(terminal, count)| messages(terminal, count));
    let received: Vec<_> = received.collect();
    let every_other = |first| sent.iter().skip(first).step_by(2).cloned().collect();
    assert_eq!(received, [every_other(0), every_other(1), sent.clone()]);
    for block in page.blocks("Clean-up") {
        stand.run(block);
    }
    // Whoever is connected goes with the certificate.
    for terminal in &mut subscribers {
        terminal.wait_for("the end", |line| line == "Received DISCONNECT (135)");
    }
    stand.assert_nothing_is_left(&page);
}

/// The certificates first: what refuses, with which exception, and what it names (AWS-OPS-28, -36). One thing
/// is enough for that.
fn in_the_order_of_the_post() {
    let page = Page::read().with_only("car1");
    let stand = Stand::start(&page, By::Flag);
    for block in page.blocks("Step 1: a policy and five things") {
        stand.run(block);
    }
    let principal = "--thing-name car1 --query 'principals[0]' --output text";
    let arn = stand.run(&format!("aws iot list-thing-principals {principal}"));
    let arn = arn.trim();
    let (_, id) = arn.split_once('/').expect("an ARN");
    let delete = format!("aws iot delete-certificate --certificate-id {id}");
    let deactivate =
        format!("aws iot update-certificate --certificate-id {id} --new-status INACTIVE");
    stand.refuse(
        &delete,
        "DeleteCertificate",
        &["CertificateStateException", id],
    );
    stand.run(&deactivate);
    stand.refuse(
        &delete,
        "DeleteCertificate",
        &["DeleteConflictException", "car1"],
    );
    stand.refuse(
        &format!("{delete} --force-delete"),
        "DeleteCertificate",
        &["DeleteConflictException", "car1"],
    );
    let thing = "aws iot delete-thing --thing-name car1";
    stand.refuse(
        thing,
        "DeleteThing",
        &["InvalidRequestException", "Cannot delete", id],
    );
    stand.refuse(
        "aws iot delete-policy --policy-name cars",
        "DeletePolicy",
        &["DeleteConflictException", arn],
    );
    for block in page.blocks("The clean-up in the order of the post") {
        stand.run(block);
    }
    stand.assert_nothing_is_left(&page);
}

/// Clients with the policy of the SDK's sample, and certificates that do not hold (AWS-ID-01 to -05).
fn who_is_refused() {
    let page = Page::read();
    let stand = Stand::start(&page, By::Variable);
    fs::write(stand.folder.path().join("sample.json"), SAMPLE).expect("a file");
    let id = stand.run(
        "aws iot create-policy --policy-name sample --policy-document file://sample.json >created
         arn=$(aws iot create-keys-and-certificate --set-as-active \
           --certificate-pem-outfile a.pem --private-key-outfile a.key --query certificateArn --output text)
         aws iot attach-policy --policy-name sample --target $arn
         echo ${arn##*/}",
    );
    let device = Device {
        stand: &stand,
        flags: "--cert a.pem --key a.key".to_owned(),
    };
    refused_by_policy(&device);
    refused_by_status(&device, id.trim());
    stand.run("roundel cert stranger --certs other >issued");
    let stranger = Device {
        stand: &stand,
        flags: "--cert other/stranger.certificate.pem --key other/stranger.private.key".to_owned(),
    };
    stranger.publish("test-1", "test/topic").assert_cut();
}

fn refused_by_policy(device: &Device<'_>) {
    for (filter, code) in [
        ("test/topic", 1),
        ("$share/g/test/topic", 1),
        ("test/#", 135),
        ("$share/g/other/topic", 135),
        ("other/topic", 135),
    ] {
        let Said { text, .. } = device.subscribe(filter);
        let subscribed = format!("Subscribed (mid: 1): {code}");
        let is_there = text.lines().any(|line| line == subscribed);
        assert!(is_there, "{filter}: {text}");
    }
    device.publish("test-1", "test/topic").assert_published();
    let stranger = device.publish("car1", "test/topic");
    assert!(
        stranger.text.contains("Not authorized"),
        "{}",
        stranger.text
    );
    stranger.assert_cut();
    let elsewhere = device.publish("test-1", "other/topic");
    assert!(!elsewhere.text.contains("RC:0)"), "{}", elsewhere.text);
}

fn refused_by_status(device: &Device<'_>, id: &str) {
    let update = |status: &str| {
        let update = "aws iot update-certificate --certificate-id";
        device
            .stand
            .run(&format!("{update} {id} --new-status {status}"));
    };
    update("INACTIVE");
    device.publish("test-1", "test/topic").assert_cut();
    update("ACTIVE");
    device.publish("test-1", "test/topic").assert_published();
    update("INACTIVE");
    let delete = "aws iot delete-certificate --force-delete --certificate-id";
    device.stand.run(&format!("{delete} {id}"));
    device.publish("test-1", "test/topic").assert_cut();
}

/// A client of mosquitto with a certificate.
struct Device<'a> {
    stand: &'a Stand,
    flags: String,
}

/// What became of a client, and what it said.
struct Said {
    succeeded: bool,
    text: String,
}

impl Device<'_> {
    /// Publishes one message with QoS 1.
    fn publish(&self, id: &str, topic: &str) -> Said {
        self.run("mosquitto_pub -m hello", id, topic)
    }

    /// Subscribes with QoS 1, and leaves.
    fn subscribe(&self, filter: &str) -> Said {
        self.run("mosquitto_sub -E", "test-2", filter)
    }

    fn run(&self, program: &str, id: &str, topic: &str) -> Said {
        let output = self.stand.output(&format!(
            "{program} --cafile certs/ca.pem {} -h $endpoint -p 8883 -V mqttv5 -q 1 -d -i {id} -t '{topic}'",
            self.flags
        ));
        Said {
            succeeded: output.status.success(),
            text: both(&output),
        }
    }
}

impl Said {
    #[track_caller]
    fn assert_published(&self) {
        let is_done = self.succeeded && self.text.contains("RC:0)");
        assert!(is_done, "{}", self.text);
    }

    /// Its connection was not made, or ended at once.
    #[track_caller]
    fn assert_cut(&self) {
        let is_connected = self.succeeded || self.text.contains("CONNACK (0)");
        assert!(!is_connected, "{}", self.text);
    }
}

/// What a command printed and what it complained of.
fn both(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Waits until a subscriber has printed so many messages, and returns them.
fn messages(terminal: &mut Process, count: usize) -> Vec<String> {
    let is_message = |line: &str| line.starts_with('{');
    loop {
        let seen = terminal.seen().iter().filter(|line| is_message(line));
        let seen: Vec<_> = seen.cloned().collect();
        if seen.len() >= count {
            return seen;
        }
        terminal.wait_for("a message", is_message);
    }
}

/// The page: its commands, and the headings they stand under.
struct Page(Vec<(String, String)>);

impl Page {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/walkthrough.md");
        let text = fs::read_to_string(path).expect("the page");
        let sections = text.split("\n## ").skip(1);
        let blocks = sections.flat_map(|section| {
            let heading = section.lines().next().unwrap_or_default();
            let blocks = section.split("```sh\n").skip(1);
            blocks.map(|block| {
                let (block, _) = block.split_once("```").expect("a block ends");
                (heading.to_owned(), block.to_owned())
            })
        });
        Self(blocks.collect())
    }

    /// The same with one thing instead of five.
    fn with_only(self, name: &str) -> Self {
        let only = |(heading, block): (String, String)| {
            let names = "car1 car2 subscriber2a subscriber2b consumer3;";
            (heading, block.replace(names, &format!("{name};")))
        };
        Self(self.0.into_iter().map(only).collect())
    }

    /// The commands under a heading.
    #[track_caller]
    fn blocks(&self, heading: &str) -> impl Iterator<Item = &str> {
        let found = self.0.iter().filter(move |(own, _)| own == heading);
        let blocks: Vec<_> = found.map(|(_, block)| block.as_str()).collect();
        assert!(!blocks.is_empty(), "no commands under {heading:?}");
        blocks.into_iter()
    }
}

/// How the CLI learns of the broker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Variable,
    Flag,
}

/// A folder in which the page is followed, with the broker of its first command.
struct Stand {
    // Fields are dropped in this order: the process first, then its folder.
    broker: Process,
    folder: TempDir,
    by: By,
    prelude: String,
    ready: Value,
}

impl Stand {
    fn start(page: &Page, by: By) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("bin")).expect("a folder");
        symlink(binary(), folder.path().join("bin/roundel")).expect("a link");
        let serve: String = page.blocks("The broker").collect();
        let mut command = shell(&folder, &format!("exec {serve}"));
        let settings = [
            ("READY", "json"),
            ("MQTTS_PORT", "0"),
            ("HTTP_PORT", "0"),
            ("DIE_WITH_PARENT", "true"),
        ];
        for (name, value) in settings {
            command.env(format!("ROUNDEL_{name}"), value);
        }
        let mut broker = Process::start("roundel", &mut command);
        let line = broker.wait_for("the ready line", |line| line.starts_with('{'));
        let mut stand = Self {
            broker,
            folder,
            by,
            prelude: String::new(),
            ready: serde_json::from_str(&line).expect("JSON"),
        };
        stand.prelude = stand.prelude(page);
        stand
    }

    /// What a terminal begins with. The endpoint is asked for once, because each start of the CLI takes half a
    /// second.
    fn prelude(&self, page: &Page) -> String {
        let commands: String = page.blocks("Every other terminal").collect();
        assert!(
            commands.contains(ENDPOINT),
            "where the broker is: {commands}"
        );
        let commands = match self.by {
            By::Variable => commands,
            By::Flag => commands.replace(ENDPOINT, ""),
        };
        let endpoint = self.run(&format!("{commands}echo $endpoint"));
        let (exports, _) = commands.split_once("endpoint=$(").expect("it is asked for");
        format!("{exports}endpoint={endpoint}")
    }

    /// Commands in a terminal of their own.
    fn command(&self, block: &str) -> Command {
        let mut text = format!("{}{block}", self.prelude);
        if self.by == By::Flag {
            text = text.replace("aws iot ", "aws --endpoint-url http://127.0.0.1:9883 iot ");
        }
        let port = |listener: &str| {
            let address = self.ready["listeners"][listener]
                .as_str()
                .expect("the listener is on");
            address.rsplit_once(':').expect("a port").1.to_owned()
        };
        let text = text.replace(":9883", &format!(":{}", port("http")));
        let text = text.replace("-p 8883", &format!("-p {}", port("mqtts")));
        // So that a signal to the terminal reaches its client.
        shell(
            &self.folder,
            &text.replace("\nmosquitto_sub", "\nexec mosquitto_sub"),
        )
    }

    fn output(&self, block: &str) -> Output {
        self.command(block).output().expect("bash")
    }

    /// Runs commands to their end, and returns what they printed.
    #[track_caller]
    fn run(&self, block: &str) -> String {
        let output = self.output(block);
        let log = self.broker.transcript();
        assert!(output.status.success(), "{block}\n{}{log}", both(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A call of the CLI that fails with words of its message.
    #[track_caller]
    fn refuse(&self, block: &str, operation: &str, words: &[&str]) {
        let output = self.output(block);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{block} was carried out");
        let name = format!("when calling the {operation} operation");
        for word in words.iter().copied().chain([name.as_str()]) {
            assert!(error.contains(word), "{block}: no {word:?} in {error}");
        }
    }

    /// Commands that go on until a signal, once the client of them is subscribed.
    #[track_caller]
    fn subscribe(&self, block: &str) -> Process {
        let mut process = Process::start("mosquitto_sub", &mut self.command(block));
        let subscribed = process.wait_for("SUBACK", |line| line.starts_with("Subscribed"));
        assert_eq!(subscribed, "Subscribed (mid: 1): 0");
        process
    }

    #[track_caller]
    fn assert_nothing_is_left(&self, page: &Page) {
        for block in page.blocks("Nothing is left") {
            let printed = self.run(block);
            let lists = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
            let lists: Vec<_> = lists.map(|list| list.expect("JSON")).collect();
            assert_eq!(lists, vec![json!([]); 3]);
        }
    }
}

/// A shell in the folder that stops at the first command that fails, with the CLI and the broker to be found.
fn shell(folder: &TempDir, text: &str) -> Command {
    // mosquitto prints each line at once, as it does on a terminal.
    let mut command = Command::new("stdbuf");
    command
        .args(["-oL", "bash", "-euo", "pipefail", "-c", text])
        .current_dir(folder.path());
    without_settings(&mut command);
    let own = [folder.path().join("bin"), python_folder()];
    let path = env::var_os("PATH").unwrap_or_default();
    let path = own.into_iter().chain(env::split_paths(&path));
    command.env(
        "PATH",
        env::join_paths(path).expect("folders without colons"),
    );
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command
}
