//! Certificates that a registry knows, or whose authority it knows, at the TLS listener; and what is told of
//! changes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use roundel::aws::registry::{
    CaUpdate, CertificateMode, CertificateStatus, Error, EventType, NewCa, NewThing, RegisterStatus,
};
use roundel::{Authority, IssuedPem, KeyKind};
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use crate::stand::{Stand, tls_config};
use crate::support::*;

/// An authority that the broker does not know, and of the same name as the broker's own one.
struct Elsewhere {
    authority: Authority,
    _folder: tempfile::TempDir,
}

impl Elsewhere {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            authority: Authority::open(folder.path()).expect("an authority"),
            _folder: folder,
        }
    }

    fn issue(&self, name: &str) -> IssuedPem {
        let issued = self.authority.issue_pem(name, KeyKind::Ecdsa);
        issued.expect("a certificate")
    }

    /// Registers it, so that its certificates register themselves if that is wanted; its id.
    fn register(&self, stand: &Stand, auto_registration: bool) -> String {
        let ca = std::fs::read_to_string(self.authority.ca_file()).expect("PEM");
        stand.change(|draft| {
            let new = NewCa {
                certificate: &ca,
                is_active: true,
                auto_registration,
                mode: CertificateMode::SniOnly,
                ..NewCa::default()
            };
            draft.register_ca_certificate(new).map(|ca| ca.id.clone())
        })
    }
}

/// Whether the handshake of a client with this certificate fails.
fn is_stranger(stand: &Stand, identity: &IssuedPem) -> bool {
    let address = stand.server.addrs().mqtts.expect("a listener");
    let stream = TcpStream::connect(address).expect("it accepts");
    let limit = Some(DEADLINE);
    stream.set_read_timeout(limit).expect("a socket option");
    let ca = stand.server.ca_pem().expect("an authority");
    let name = "localhost".try_into().expect("a name");
    let tls = ClientConnection::new(tls_config(ca, identity), name).expect("a client");
    let mut tls = StreamOwned::new(tls, stream);
    // PINGREQ: who gets through the handshake is shown the door without an alert.
    let sent = tls.write_all(&[0xC0, 0]).and_then(|()| tls.flush());
    let alert = sent.and_then(|()| tls.read(&mut [0; 1])).err();
    alert.is_some_and(|alert| alert.to_string().contains("fatal alert"))
}

/// AWS-ID-04 AWS-ID-05 AWS-TLS-12 AWS-RSV-06
#[test]
fn a_certificate_of_a_registered_authority_registers_itself_and_waits() {
    both(|version| {
        let stand = Stand::start();
        let elsewhere = Elsewhere::new();
        let device = elsewhere.issue("device");
        assert!(is_stranger(&stand, &device));
        let ca = elsewhere.register(&stand, true);
        let topic = format!("$aws/events/certificates/registered/{ca}");
        let mut events = stand.events(&topic);
        let connect = || Connect::new("car");
        stand.cut(&device, version, &connect());
        let registry = stand.server.registry().expect("a registry");
        let id = &device.certificate_id;
        let known = || {
            let state = registry.state();
            state.describe_certificate(id).expect("it is registered")
        };
        assert_eq!(known().status, CertificateStatus::PendingActivation);
        assert_eq!(known().ca.as_ref(), Some(&ca));
        let first = stand.event(&mut events);
        assert_eq!(first["certificateId"], id.as_str());
        assert_eq!(first["caCertificateId"], ca);
        assert_eq!(first["certificateStatus"], "PENDING_ACTIVATION");
        assert_eq!(first["awsAccountId"], "123456789012");
        assert_eq!(first["sourceIp"], "127.0.0.1");
        assert_eq!(first["certificateRegistrationTimestamp"], Value::Null);
        assert_eq!(first["timestamp"], known().created);
        stand.cut(&device, version, &connect());
        let second = stand.event(&mut events);
        let created = known().created.to_string();
        assert_eq!(second["certificateRegistrationTimestamp"], created);
        stand.change(|draft| draft.update_certificate(id, RegisterStatus::Active));
        stand.enter(&device, version, &connect());
        stand.change(|draft| draft.update_certificate(id, RegisterStatus::Inactive));
        stand.cut(&device, version, &connect());
        assert!(events.take().is_none(), "it does not wait any more");
    });
}

/// AWS-OPS-45 AWS-RSV-04
#[test]
fn changes_of_the_registry_are_published_where_that_is_switched_on() {
    let stand = Stand::start();
    let own = stand.issue("own");
    let mut client = stand.enter(&own, Version::V5, &Connect::new("car"));
    client.subscribe("$aws/events/thing/+/created", 1);
    let create = |name| {
        stand.change(|draft| draft.create_thing(name, NewThing::default()).map(drop));
    };
    create("quiet");
    stand.change(|draft| {
        draft.update_event_configurations([(EventType::Thing, true)]);
        Ok(())
    });
    create("heard");
    let event = client.receive();
    assert_eq!(event.topic, "$aws/events/thing/heard/created");
    let payload: Value = serde_json::from_slice(&event.payload).expect("JSON");
    assert_eq!(payload["eventType"], "THING_EVENT");
}

/// AWS-ID-01: who is not registered needs an authority that is active; who is, none.
#[test]
fn authorities_are_trusted_while_they_are_active_and_registered_certificates_always() {
    let stand = Stand::start();
    let elsewhere = Elsewhere::new();
    let device = elsewhere.issue("device");
    let ca = elsewhere.register(&stand, false);
    assert!(!is_stranger(&stand, &device));
    let own = stand.issue("own");
    assert!(!is_stranger(&stand, &own), "nobody else lost anything");
    stand.change(|draft| {
        let update = CaUpdate {
            is_active: Some(false),
            ..CaUpdate::default()
        };
        draft.update_ca_certificate(&ca, update)?;
        draft.delete_ca_certificate(&ca)
    });
    assert!(is_stranger(&stand, &device));
    stand.change(|draft| {
        let active = RegisterStatus::Active;
        let registered = draft.register_certificate_without_ca(&device.certificate, active);
        registered.map(drop)
    });
    stand.enter(&device, Version::V5, &Connect::new("car"));
    stand.change(|draft| {
        draft.update_certificate(&device.certificate_id, RegisterStatus::Inactive)?;
        draft.delete_certificate(&device.certificate_id, false)
    });
    assert!(is_stranger(&stand, &device));
}

/// What looks as if it were of a registered authority, and is of the broker's own of the same name.
#[test]
fn a_certificate_of_the_own_authority_stays_what_it_is() {
    let stand = Stand::start();
    let elsewhere = Elsewhere::new();
    elsewhere.register(&stand, true);
    let own = stand.issue("own");
    stand.enter(&own, Version::V5, &Connect::new("car"));
    let registry = stand.server.registry().expect("a registry");
    let known = registry.state().describe_certificate(&own.certificate_id);
    assert!(
        matches!(known, Err(Error::ResourceNotFound(_))),
        "{known:?}"
    );
}
