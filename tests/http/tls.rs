//! What `/v1/clients` says about TLS.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use roundel::{Authority, IssuedPem, KeyKind};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::json;

use crate::{
    api::Api,
    support::{Connect, DEADLINE, Encode, Version},
};

#[test]
fn client_is_shown_with_what_its_handshake_settled() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::open(folder.path()).expect("an authority");
    let identity = authority
        .issue_pem("thing-1", KeyKind::Ecdsa)
        .expect("a certificate");
    let api = Api::start_with(|config| {
        config.listeners.mqtts = Some(0);
        config.tls.certs = folder.path().to_owned();
    });
    let _stream = connect(&api, tls_client(&authority, &identity));
    let list = api.get("/v1/clients").json();
    let client = &list["clients"][0];
    assert_eq!(client["listener"], "mqtts");
    let mut tls = client["tls"].clone();
    let cipher = tls["cipher"].take();
    assert!(
        cipher
            .as_str()
            .is_some_and(|cipher| cipher.starts_with("TLS_")),
        "{cipher}"
    );
    assert_eq!(
        tls,
        json!({
            "version": "TLSv1.3",
            "cipher": null,
            "sni": "localhost",
            "alpn": null,
            "certificate_id": identity.certificate_id,
            "common_name": "thing-1",
        })
    );
    for (query, total) in [
        ("cn=ing-", 1),
        ("cn=thing-2", 0),
        ("tls=true&listener=mqtts", 1),
        ("tls=false", 0),
    ] {
        let found = api.get(&format!("/v1/clients?{query}")).json();
        assert_eq!(found["total"], total, "{query}");
    }
}

fn tls_client(authority: &Authority, identity: &IssuedPem) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(authority.ca_file()).expect("a certificate");
    roots.add(ca).expect("a CA");
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.private_key.as_bytes());
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions that the provider knows")
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate.expect("PEM")], key.expect("PEM"))
        .expect("a key that fits")
}

/// Connects over TLS and reads until CONNACK has begun.
fn connect(api: &Api, config: ClientConfig) -> StreamOwned<ClientConnection, TcpStream> {
    let address = api.server().addrs().mqtts.expect("the listener is on");
    let socket = TcpStream::connect(address).expect("the broker accepts");
    socket
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket option");
    let name = "localhost".try_into().expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a configuration");
    let mut stream = StreamOwned::new(connection, socket);
    stream
        .write_all(&Connect::new("a").encode(Version::V5))
        .expect("the broker reads");
    let mut first = [0];
    stream.read_exact(&mut first).expect("CONNACK");
    assert_eq!(first, [0x20]);
    stream
}
