//! `--key value` arguments, and what every scenario shares.

use crate::net::Target;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

pub struct Args(BTreeMap<String, String>);

pub fn die(msg: &str) -> ! {
    eprintln!("mqload: {msg}");
    std::process::exit(2);
}

impl Args {
    pub fn parse(words: impl Iterator<Item = String>) -> Self {
        let mut m = BTreeMap::new();
        let mut words = words.peekable();
        while let Some(w) = words.next() {
            let Some(k) = w.strip_prefix("--") else {
                die(&format!("unexpected argument {w}"))
            };
            let v = match words.peek() {
                Some(v) if !v.starts_with("--") => words.next().unwrap(),
                _ => "true".into(),
            };
            m.insert(k.to_owned(), v);
        }
        Args(m)
    }

    pub fn opt(&self, k: &str) -> Option<&str> {
        self.0.get(k).map(String::as_str)
    }

    pub fn get<T: FromStr>(&self, k: &str, default: T) -> T {
        match self.0.get(k) {
            None => default,
            Some(v) => v
                .parse()
                .unwrap_or_else(|_| die(&format!("bad value for --{k}: {v}"))),
        }
    }

    pub fn flag(&self, k: &str) -> bool {
        self.opt(k) == Some("true")
    }

    pub fn target(&self) -> Target {
        let addr = format!("127.0.0.1:{}", self.get("port", 1883u16))
            .parse()
            .unwrap();
        Target {
            addr,
            tls: self.tls(),
            v5: self.get("mqtt", 5u8) == 5,
        }
    }

    /// TLS when `--ca` is given; mutual when `--cert` and `--key` are too.
    fn tls(&self) -> Option<Arc<rustls::ClientConfig>> {
        let ca = self.opt("ca")?;
        let mut roots = rustls::RootCertStore::empty();
        for c in CertificateDer::pem_file_iter(ca).unwrap_or_else(|e| die(&format!("--ca: {e}"))) {
            roots
                .add(c.expect("ca certificate"))
                .expect("ca certificate");
        }
        let versions: &[&rustls::SupportedProtocolVersion] = match self.opt("tls").unwrap_or("1.3")
        {
            "1.2" => &[&rustls::version::TLS12],
            "1.3" => &[&rustls::version::TLS13],
            v => die(&format!("--tls {v}")),
        };
        let b = rustls::ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(roots);
        let mut cfg = match (self.opt("cert"), self.opt("key")) {
            (Some(c), Some(k)) => {
                let chain = CertificateDer::pem_file_iter(c)
                    .expect("--cert")
                    .map(|c| c.unwrap())
                    .collect();
                let key = PrivateKeyDer::from_pem_file(k).expect("--key");
                b.with_client_auth_cert(chain, key)
                    .expect("client certificate")
            }
            _ => b.with_no_client_auth(),
        };
        cfg.resumption = rustls::client::Resumption::disabled();
        Some(Arc::new(cfg))
    }
}
