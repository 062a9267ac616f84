//! One request of the table, made by a client.

use std::net::TcpListener;

use rcgen::KeyPair;
use roundel::aws::registry::{
    Draft, Error, NewGroup, NewThing, PrincipalType, RegisterStatus, Resource,
};
use roundel::{Config, IssuedPem};

use serde_json::json;
use tempfile::TempDir;

use crate::stand::{Stand, allow, document, everything};
use crate::support::*;
use crate::table::{Block, Place, Request, Verdict};

use super::call;
use super::certificate::Issuer;
use super::inquiry::Compared;

/// What a request may need beside what its policies are asked.
const ACTIONS: [&str; 5] = [
    "Connect",
    "Publish",
    "RetainPublish",
    "Subscribe",
    "Receive",
];

/// Brokers to try requests at, in one version.
pub(super) struct Bench {
    version: Version,
    pub(super) compared: Compared,
    plain: Site,
    /// Topics that begin with `$` are topics like others here: what is behind them is not there yet.
    reserved: Site,
    /// Its clients come from another address; none on a machine that has only one kind.
    elsewhere: Option<Site>,
}

/// A broker, and a client of it that may do everything.
struct Site {
    watcher: Client,
    stand: Stand,
    issuer: Issuer,
    _certificates: TempDir,
}

/// A request and who makes it.
struct Trial<'t> {
    site: &'t mut Site,
    version: Version,
    request: &'t Request,
    device: IssuedPem,
}

impl Bench {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            compared: Compared::default(),
            plain: Site::open(|_| {}),
            reserved: Site::open(|config| config.aws.refuse_reserved_topics = false),
            elsewhere: TcpListener::bind("[::1]:0").ok().map(|_| {
                Site::open(|config| config.listeners.host = "::1".parse().expect("it is one"))
            }),
        }
    }

    /// Makes a request under the policies of its block, and sees what becomes of it.
    pub(super) fn try_out(&mut self, block: &Block, request: &Request) {
        // It tells which one it was when the test fails.
        eprintln!("{:?}: {}", self.version, request.name());
        let is_reserved = |resource: &str| resource.contains("/$aws/");
        let is_elsewhere = |address: &str| !address.starts_with("127.");
        let site = if request.get("from").is_some_and(is_elsewhere) {
            match &mut self.elsewhere {
                Some(elsewhere) => elsewhere,
                None => return eprintln!("left out: this machine has no IPv6"),
            }
        } else if request
            .questions
            .iter()
            .any(|asked| is_reserved(asked.resource))
        {
            &mut self.reserved
        } else {
            &mut self.plain
        };
        let device = site.enrol(block, request);
        self.compared.ask(&site.stand, request, &device);
        let mut trial = Trial {
            version: self.version,
            request,
            device,
            site,
        };
        match request.questions[0].action {
            "Connect" => trial.connect(),
            "Publish" => trial.publish(),
            "Subscribe" => trial.subscribe(),
            "Receive" => trial.receive(),
            other => panic!("no way to try {other}"),
        }
        let device = trial.device;
        site.stand.change(|draft| dismiss(draft, request, &device));
    }
}

impl Bench {
    /// Makes a request over HTTPS under the policies of its block.
    pub(super) fn try_call(&mut self, block: &Block, request: &Request) {
        eprintln!("{}", request.name());
        let site = &mut self.plain;
        let device = site.enrol(block, request);
        call::try_out(&site.stand, request, &device);
    }
}

impl Site {
    fn open(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let stand = Stand::with(|config| {
            config.tls.in_memory = false;
            config.tls.certs = folder.path().to_owned();
            config.listeners.http = Some(0);
            config.listeners.https = Some(0);
            change(config);
        });
        let watcher = stand.device("watcher", &json!([everything()]));
        Self {
            watcher: stand.enter(&watcher, Version::V5, &Connect::new("watcher")),
            issuer: Issuer::open(folder.path()),
            stand,
            _certificates: folder,
        }
    }

    /// Makes the client of a request known, with the policies of its block and what it needs beside them.
    fn enrol(&self, block: &Block, request: &Request) -> IssuedPem {
        let key = KeyPair::generate().expect("a key");
        let pem = self.issuer.issue(request.all("Subject."), &key);
        let is_asked = |action: &&str| {
            request
                .questions
                .iter()
                .any(|asked| asked.action == *action)
        };
        let others: Vec<&str> = ACTIONS
            .into_iter()
            .filter(|action| !is_asked(action))
            .collect();
        let id = self.stand.change(|draft| {
            let registered = draft.register_certificate_without_ca(&pem, RegisterStatus::Active)?;
            let certificate = draft.arn(&Resource::Certificate(registered.id.clone()));
            let group = join(draft, request, &certificate)?;
            attach(
                draft,
                &document(&json!([allow(&others, &["*"])])),
                None,
                &certificate,
            )?;
            for policy in &block.policies {
                let target = match policy.place {
                    Place::Certificate => &certificate,
                    Place::Group => &group,
                };
                attach(draft, &policy.document, policy.earlier.as_deref(), target)?;
            }
            Ok(registered.id.clone())
        });
        IssuedPem {
            certificate: pem,
            private_key: key.serialize_pem(),
            certificate_id: id,
        }
    }

    /// What is retained on a topic.
    fn kept(&mut self, topic: &str) -> Vec<String> {
        self.watcher.unsubscribe(topic);
        self.watcher.subscribe(topic, 1);
        heard(&mut self.watcher)
    }

    /// Forgets a topic, and what is retained there.
    fn leave(&mut self, topic: &str) {
        self.watcher.unsubscribe(topic);
        if !topic.starts_with('$') {
            self.watcher.retain(topic, "", 1);
        }
    }
}

/// The thing of a request, attached as it says, in a group of a group whose ARN is the answer. Without one there
/// is a thing with the name of the client all the same: it is another one's.
fn join(draft: &mut Draft<'_>, request: &Request, certificate: &str) -> Result<String, Error> {
    if let Some(name) = request.get("type") {
        draft.create_thing_type(name, Default::default(), Default::default())?;
    }
    let (parent, group) = (fresh("parent"), fresh("group"));
    draft.create_thing_group(&parent, NewGroup::default())?;
    let inside = NewGroup {
        parent: Some(parent.clone()),
        ..NewGroup::default()
    };
    draft.create_thing_group(&group, inside)?;
    if let Some(name) = thing(request) {
        let attributes = request.all("attr.");
        let new = NewThing {
            thing_type: request.get("type").map(str::to_owned),
            attributes: attributes
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        draft.create_thing(name, new)?;
        draft.add_thing_to_group(&group, name)?;
        let is_alone = request.has("thing") && request.get("client") != Some(name);
        let kind = match is_alone {
            true => PrincipalType::ExclusiveThing,
            false => PrincipalType::NonExclusiveThing,
        };
        if is_attached(request) {
            draft.attach_thing_principal(name, certificate, kind)?;
        }
    }
    Ok(draft.arn(&Resource::ThingGroup(parent)))
}

/// Undoes it, so that another client can have the name.
fn dismiss(draft: &mut Draft<'_>, request: &Request, device: &IssuedPem) -> Result<(), Error> {
    let Some(name) = thing(request) else {
        return Ok(());
    };
    if is_attached(request) {
        let certificate = draft.arn(&Resource::Certificate(device.certificate_id.clone()));
        draft.detach_thing_principal(name, &certificate)?;
    }
    draft.delete_thing(name, None)
}

/// The name of a thing in the registry; `+` is none.
fn thing(request: &Request) -> Option<&'static str> {
    let own = request.get("thing").or(request.get("attached"));
    own.or(request.get("client")).filter(|name| *name != "+")
}

fn is_attached(request: &Request) -> bool {
    request.has("thing") || request.has("attached")
}

fn attach(
    draft: &mut Draft<'_>,
    document: &str,
    earlier: Option<&str>,
    target: &str,
) -> Result<(), Error> {
    let name = fresh("policy");
    draft.create_policy(&name, earlier.unwrap_or(document), Default::default())?;
    if earlier.is_some() {
        draft.create_policy_version(&name, document, true)?;
    }
    draft.attach_policy(&name, target)
}

impl Trial<'_> {
    fn is_allowed(&self) -> bool {
        let mut questions = self.request.questions.iter();
        questions.all(|asked| asked.verdict == Verdict::Allowed)
    }

    /// Whether a message comes through: one of the resources allows it, and none denies it (AWS-OPEN-08).
    fn is_received(&self) -> bool {
        let questions = self.request.questions.iter();
        let receive = questions.filter(|asked| asked.action == "Receive");
        let verdicts: Vec<_> = receive.map(|asked| asked.verdict).collect();
        let is_denied = verdicts.contains(&Verdict::ExplicitDeny);
        verdicts.is_empty() || (verdicts.contains(&Verdict::Allowed) && !is_denied)
    }

    /// What is asked about first, behind this type of resource.
    fn name(&self, kind: &str) -> String {
        let resource = self.request.questions[0].resource;
        let name = resource
            .strip_prefix(kind)
            .expect("a resource of that type");
        // Nobody chooses the id of a certificate.
        match self.request.get("certificate") {
            Some(id) => name.replace(id, &self.device.certificate_id),
            None => name.to_owned(),
        }
    }

    fn enter(&self) -> Client {
        let connect = Connect::new(self.request.get("client").expect("a client"));
        self.site.stand.enter(&self.device, self.version, &connect)
    }

    fn connect(&mut self) {
        let plain = Connect::new(self.name("client/"));
        let ways = match (self.request.has("persistent"), self.version) {
            (false, _) => vec![plain],
            (true, Version::V3) => vec![plain.resume()],
            (true, Version::V5) => vec![plain.clone().resume(), plain.with(session_expiry(300))],
        };
        for connect in ways {
            match self.request.get("will") {
                Some(topic) => self.connect_with_will(topic, connect),
                None if self.is_allowed() => {
                    let client = self.site.stand.enter(&self.device, self.version, &connect);
                    client.disconnect();
                }
                None => self.site.stand.refuse(&self.device, self.version, &connect),
            }
        }
    }

    /// The will comes if the client got in, and else does not.
    fn connect_with_will(&mut self, topic: &str, connect: Connect) {
        let text = fresh("will");
        let retain = self.request.has("retain");
        let will = Will::new(topic, &text).qos(1);
        let will = if retain { will.retain() } else { will };
        let connect = connect.will(will);
        self.site.watcher.subscribe(topic, 1);
        let mut expected = Vec::new();
        if self.is_allowed() {
            let client = self.site.stand.enter(&self.device, self.version, &connect);
            client.vanish();
            expected.push(text);
        } else {
            self.site.stand.refuse(&self.device, self.version, &connect);
        }
        assert_eq!(heard(&mut self.site.watcher), expected);
        expected.retain(|_| retain);
        assert_eq!(self.site.kept(topic), expected);
        self.site.leave(topic);
    }

    fn publish(&mut self) {
        let topic = self.name("topic/");
        let retain = self.request.has("retain");
        for qos in [0, 1] {
            let text = match self.request.has("empty") {
                true => String::new(),
                false => fresh("message"),
            };
            let message = Publish::new(&topic, &text);
            let message = if retain { message.retain() } else { message };
            let before = "there before";
            if retain {
                self.site.watcher.retain(&topic, before, 1);
            }
            self.site.watcher.subscribe(&topic, 1);
            heard(&mut self.site.watcher);
            let mut client = self.enter();
            let (heard_live, kept) = if self.is_allowed() {
                assert_eq!(client.publish_message(message, qos), 0);
                client.disconnect();
                (vec![text.clone()], text)
            } else {
                self.refuse_publish(client, message, qos);
                (vec![], before.to_owned())
            };
            assert_eq!(heard(&mut self.site.watcher), heard_live);
            let kept = if retain { vec![kept] } else { vec![] };
            assert_eq!(self.site.kept(&topic), kept);
            self.site.leave(&topic);
        }
    }

    /// AWS-FAIL-02 AWS-FAIL-03
    fn refuse_publish(&self, mut client: Client, message: Publish, qos: u8) {
        match (self.version, qos) {
            (Version::V5, 1) => {
                assert_eq!(client.publish_message(message, 1), 0x87);
                assert_eq!(heard(&mut client), [""; 0]);
                client.disconnect();
            }
            (Version::V3, 1) => {
                client.send(message.qos(1, 7));
                client.expect_closed();
            }
            _ => {
                client.send(message);
                client.expect_error(0x87);
            }
        }
    }

    fn subscribe(&mut self) {
        let filter = self.name("topicfilter/");
        let mut client = self.enter();
        let is_granted = self.request.questions[0].verdict == Verdict::Allowed;
        if is_granted {
            assert_eq!(client.subscribe(&filter, 1), 1);
        } else if self.version == Version::V5 {
            // AWS-FAIL-04
            assert_eq!(client.subscribe(&filter, 1), 0x87);
        } else {
            client.send(Subscribe::new(1).filter(&filter, 1));
            return client.expect_closed();
        }
        let text = fresh("message");
        self.site.watcher.publish(&a_topic_of(&filter), &text, 1);
        let comes = is_granted && self.is_received();
        let expected = if comes { vec![text] } else { vec![] };
        assert_eq!(heard(&mut client), expected);
        client.disconnect();
    }

    /// AWS-FAIL-05
    fn receive(&mut self) {
        let topic = self.name("topic/");
        let filter = self.request.get("through").unwrap_or(&topic);
        let mut client = self.enter();
        assert_eq!(client.subscribe(filter, 1), 1);
        let text = fresh("message");
        let expected = match self.is_received() {
            true => vec![text.clone()],
            false => vec![],
        };
        self.site.watcher.publish(&topic, &text, 1);
        assert_eq!(heard(&mut client), expected);
        // AWS-ID-40: retained ones come to a subscription of the topic itself.
        if filter == topic && !topic.starts_with('$') {
            client.unsubscribe(filter);
            self.site.watcher.retain(&topic, &text, 1);
            assert_eq!(client.subscribe(filter, 1), 1);
            assert_eq!(heard(&mut client), expected);
            self.site.leave(&topic);
        }
        client.disconnect();
    }
}

/// A topic that a filter matches, of a group or not.
fn a_topic_of(filter: &str) -> String {
    let shared = filter.strip_prefix("$share/");
    let filter = shared.map_or(filter, |rest| rest.split_once('/').expect("a filter").1);
    filter.replace(['+', '#'], "x")
}

/// The payloads of all messages that are on their way to a client.
fn heard(client: &mut Client) -> Vec<String> {
    let mut texts = Vec::new();
    client.send(PINGREQ);
    loop {
        match client.next_packet() {
            Packet::Publish(delivery) => {
                client.acknowledge(&delivery);
                texts.push(delivery.text().to_owned());
            }
            Packet::Pingresp => return texts,
            other => panic!("expected PUBLISH or PINGRESP, got {other:?}"),
        }
    }
}
