//! A broker in this process with a registry, and its clients with certificates.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roundel::aws::registry::{Draft, Error, Means, RegisterStatus, Resource};
use roundel::{Config, IssuedPem, KeyKind, QoS, Server, Subscription};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::*;

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A broker with a registry, and what its clients show.
pub(crate) struct Stand {
    pub(crate) runtime: Runtime,
    pub(crate) server: Server,
    /// Whom its clients trust, PEM.
    ca: String,
}

impl Stand {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let mut config = Config::aws().ephemeral();
        config.listeners.mqtt = Some(0);
        change(&mut config);
        let server = runtime.block_on(Server::start(config)).expect("a server");
        let ca = match (server.ca_pem(), server.ca_file()) {
            (Some(pem), _) => pem.to_owned(),
            (None, file) => fs::read_to_string(file.expect("a file")).expect("an authority"),
        };
        Self {
            runtime,
            server,
            ca,
        }
    }

    pub(crate) fn change<T>(
        &self,
        operation: impl FnOnce(&mut Draft<'_>) -> Result<T, Error>,
    ) -> T {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = u64::try_from(since.expect("after 1970").as_millis()).expect("a date");
        let mut random = || uuid::Uuid::new_v4().as_u128();
        let means = Means {
            now,
            random: &mut random,
        };
        let registry = self.server.registry().expect("a registry");
        registry
            .change(means, operation)
            .expect("an operation that succeeds")
    }

    /// A certificate that is not registered.
    pub(crate) fn issue(&self, name: &str) -> IssuedPem {
        self.server
            .issue_pem(name, KeyKind::Ecdsa)
            .expect("a certificate")
    }

    /// A certificate that is registered and active, to which a policy of these statements is attached.
    pub(crate) fn device(&self, name: &str, statements: &Value) -> IssuedPem {
        let issued = self.issue(name);
        let document = document(statements);
        self.change(|draft| {
            draft.register_certificate_without_ca(&issued.certificate, RegisterStatus::Active)?;
            draft.create_policy(name, &document, Default::default())?;
            let target = draft.arn(&Resource::Certificate(issued.certificate_id.clone()));
            draft.attach_policy(name, &target)
        });
        issued
    }

    pub(crate) fn set_policy(&self, name: &str, statements: &Value) {
        let document = document(statements);
        self.change(|draft| draft.create_policy_version(name, &document, true).map(drop));
    }

    pub(crate) fn dial(&self, identity: &IssuedPem, version: Version) -> Client {
        let address = self.server.addrs().mqtts.expect("a listener");
        let stream = TcpStream::connect(address).expect("it accepts");
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        let name = "localhost".try_into().expect("a name");
        let tls = tls_config(&self.ca, identity);
        let tls = ClientConnection::new(tls, name).expect("a client");
        Client::over(StreamOwned::new(tls, stream), version)
    }

    /// Makes the handshake at an address.
    ///
    /// # Errors
    ///
    /// That of the handshake. Of TLS 1.3, the broker's word on the certificate comes later.
    pub(crate) fn shake_hands(
        &self,
        address: SocketAddr,
        identity: Option<&IssuedPem>,
        alpn: &[&str],
    ) -> io::Result<Tls> {
        let mut stream = TcpStream::connect(address).expect("it accepts");
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        let name = "localhost".try_into().expect("a name");
        let tls = tls_config_with(&self.ca, identity, alpn);
        let mut tls = ClientConnection::new(tls, name).expect("a client");
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(tls, stream))
    }

    #[track_caller]
    pub(crate) fn enter(
        &self,
        identity: &IssuedPem,
        version: Version,
        connect: &Connect,
    ) -> Client {
        let mut client = self.dial(identity, version);
        client.send_connect(connect);
        assert_eq!(client.expect_connack().1, 0, "reason of CONNACK");
        client
    }

    /// Sends a CONNECT that the policies refuse: CONNACK in MQTT 5, just the end in MQTT 3.1.1.
    #[track_caller]
    pub(crate) fn refuse(&self, identity: &IssuedPem, version: Version, connect: &Connect) {
        let mut client = self.dial(identity, version);
        client.send_connect(connect);
        client.expect_refusal(0x87);
    }

    /// Sends a CONNECT of a certificate that has no standing: the connection just ends.
    #[track_caller]
    pub(crate) fn cut(&self, identity: &IssuedPem, version: Version, connect: &Connect) {
        let mut client = self.dial(identity, version);
        client.send_connect(connect);
        client.expect_closed();
    }
}

impl Stand {
    /// Lets so many seconds pass, for live connections too.
    #[track_caller]
    pub(crate) fn pass(&self, seconds: u64) {
        let clock = self.server.clock();
        let passed = clock.advance_with_keep_alive(Duration::from_secs(seconds));
        self.runtime.block_on(passed).expect("a clock that goes on");
    }

    /// What is published on `topic` from now on.
    pub(crate) fn events(&self, topic: &str) -> Subscription {
        let events = self.server.subscribe(topic, QoS::AtLeastOnce);
        events.expect("a subscription")
    }

    /// The next event, in JSON.
    #[track_caller]
    pub(crate) fn event(&self, events: &mut Subscription) -> Value {
        let next = async { tokio::time::timeout(DEADLINE, events.next()).await };
        let message = self.runtime.block_on(next);
        let message = message.expect("an event").expect("a broker");
        serde_json::from_slice(&message.payload).expect("JSON")
    }

    /// Asks over HTTP, and gets a successful answer in JSON.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, target: &str, body: &str) -> Value {
        let (status, answer) = self.call(method, target, body);
        assert_eq!(status, 200, "{target}: {answer}");
        answer
    }

    /// Asks over HTTP, and gets a status and an answer in JSON.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, target: &str, body: &str) -> (u16, Value) {
        let address = self.server.addrs().http.expect("a listener");
        let mut stream = TcpStream::connect(address).expect("it accepts");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let answer = serde_json::from_str(body).expect("JSON");
        (status.expect("a status"), answer)
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.runtime.block_on(self.server.stop());
    }
}

pub(crate) fn tls_config(ca: &str, identity: &IssuedPem) -> Arc<ClientConfig> {
    tls_config_with(ca, Some(identity), &[])
}

/// The configuration of a client that maybe shows a certificate, and that offers these protocols.
pub(crate) fn tls_config_with(
    ca: &str,
    identity: Option<&IssuedPem>,
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).expect("PEM");
    roots.add(ca).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions that the provider knows")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(identity.private_key.as_bytes());
            config
                .with_client_auth_cert(vec![certificate.expect("PEM")], key.expect("PEM"))
                .expect("a key that fits")
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| (*name).into()).collect();
    Arc::new(config)
}

/// A policy of these statements.
pub(crate) fn document(statements: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

/// A statement about resources of this account.
fn statement(effect: &str, actions: &[&str], resources: &[&str]) -> Value {
    let arn = |resource: &&str| format!("arn:aws:iot:us-east-1:123456789012:{resource}");
    let resources: Vec<String> = resources.iter().map(arn).collect();
    let actions: Vec<String> = actions.iter().map(|name| format!("iot:{name}")).collect();
    json!({ "Effect": effect, "Action": actions, "Resource": resources })
}

pub(crate) fn allow(actions: &[&str], resources: &[&str]) -> Value {
    statement("Allow", actions, resources)
}

pub(crate) fn deny(actions: &[&str], resources: &[&str]) -> Value {
    statement("Deny", actions, resources)
}

pub(crate) fn everything() -> Value {
    allow(&["*"], &["*"])
}
