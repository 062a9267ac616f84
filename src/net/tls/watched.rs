//! What can be seen of a TLS handshake from outside, for the journal: the hellos, the certificate that the
//! client showed, and the alert at its end. For the log it is the first bytes.
//!
//! The TLS library tells none of that of a handshake that failed. So the bytes are looked at on their way,
//! the first few of them unless the journal is on; what is encrypted, as alerts and certificates of TLS 1.3
//! are, is known from the error and from the verifier.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{AlertDescription, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::protocol::wrong_door::Spoken;
use crate::tap::tls::{HandshakeCause, HandshakeFailure, TlsAlert, TlsInfo};
use crate::tap::{Room, Tap, rule::Direction};

use super::{cipher_name, common_name, fingerprint};

/// Bytes that are kept from the client: a ClientHello has some hundred, with post-quantum keys two thousand.
const INBOUND: usize = 8 * 1024;

/// Bytes that are kept towards the client: a ServerHello.
const OUTBOUND: usize = 2 * 1024;

/// Bytes that are kept from the client without a journal: what it speaks, or the version in its ClientHello.
const FIRST: usize = 16;

/// The type of records of handshakes.
const HANDSHAKE: u8 = 22;

/// The first bytes of an alert that is not encrypted, up to its version and behind that.
const ALERT: ([u8; 2], [u8; 3]) = ([21, 3], [0, 2, 2]);

/// A socket of which what goes over it is seen.
pub(crate) struct Watched {
    stream: TcpStream,
    /// None: the handshake is over.
    seen: Option<Arc<Mutex<Seen>>>,
}

/// What was seen of a handshake.
pub(crate) struct Seen {
    /// The first bytes from the client, and towards it.
    inbound: Vec<u8>,
    outbound: Vec<u8>,
    /// The last bytes towards the client.
    tail: [u8; 7],
    /// The server has said something.
    has_answered: bool,
    shown: Option<Shown>,
    /// For all that the journal wants; `None` where only the first bytes are kept.
    room: Option<Room>,
}

/// A certificate that a client showed.
struct Shown {
    id: String,
    common_name: Option<String>,
}

impl Watched {
    pub(crate) fn new(stream: TcpStream, seen: Arc<Mutex<Seen>>) -> Self {
        let seen = Some(seen);
        Self { stream, seen }
    }

    #[cfg(feature = "doors")]
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn into_socket(self) -> TcpStream {
        self.stream
    }

    /// The handshake is over: nobody looks any more.
    pub(crate) fn forget(&mut self) {
        self.seen = None;
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(seen) = &self.seen {
            let came = buf.filled().get(before..).unwrap_or_default();
            seen.lock().came(came);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let (Some(seen), Poll::Ready(Ok(count))) = (&self.seen, &written) {
            seen.lock().went(bytes.get(..*count).unwrap_or_default());
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if let (Some(seen), Poll::Ready(Ok(count))) = (&self.seen, &written) {
            let (mut seen, mut left) = (seen.lock(), *count);
            for slice in slices {
                let part = slice.get(..left).unwrap_or(slice);
                seen.went(part);
                left -= part.len();
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Keeps so much of `bytes` as there is room for.
fn keep(kept: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let room = most.saturating_sub(kept.len());
    kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
}

impl Seen {
    /// What a handshake is looked at with: closely, if the journal is on and there is room for it.
    pub(crate) fn begin(tap: &Tap) -> Arc<Mutex<Self>> {
        Self::with(tap.room_for_handshake(INBOUND + OUTBOUND))
    }

    pub(crate) fn with(room: Option<Room>) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            inbound: Vec::new(),
            outbound: Vec::new(),
            tail: [0; 7],
            has_answered: false,
            shown: None,
            room,
        }))
    }

    /// Whether the journal wants all that there is.
    fn is_close(&self) -> bool {
        self.room.is_some()
    }

    /// Bytes from the client.
    fn came(&mut self, bytes: &[u8]) {
        let most = if self.is_close() { INBOUND } else { FIRST };
        keep(&mut self.inbound, bytes, most);
    }

    /// Bytes towards the client.
    fn went(&mut self, bytes: &[u8]) {
        self.has_answered = true;
        if !self.is_close() {
            return;
        }
        keep(&mut self.outbound, bytes, OUTBOUND);
        let last = bytes.len().saturating_sub(self.tail.len());
        for byte in bytes.get(last..).unwrap_or_default() {
            self.tail.rotate_left(1);
            self.tail[6] = *byte;
        }
    }

    /// The alert that was sent last, where it can be read.
    fn sent(&self) -> Option<u8> {
        let [kind, major, _, high, low, level, description] = self.tail;
        (([kind, major], [high, low, level]) == ALERT).then_some(description)
    }

    /// Whether what came is no TLS.
    fn is_other(&self) -> bool {
        self.inbound
            .first()
            .is_some_and(|first| *first != HANDSHAKE)
    }

    /// The version at the head of its ClientHello, which is the best that a client speaks that knows nothing of
    /// TLS 1.3.
    fn legacy_version(&self) -> Option<u16> {
        match self.inbound.as_slice() {
            [HANDSHAKE, _, _, _, _, 1, _, _, _, major, minor, ..] => {
                Some(u16::from_be_bytes([*major, *minor]))
            }
            _ => None,
        }
    }

    /// What is known of the TLS that there was to be.
    fn info(&self) -> (TlsInfo, ClientHello) {
        let client = ClientHello::read(&self.inbound);
        let server = ServerHello::read(&self.outbound);
        let mut info = TlsInfo {
            version: server.as_ref().and_then(ServerHello::version),
            cipher: server.map(|server| cipher_name(server.cipher.into())),
            sni: client.sni.clone(),
            ..TlsInfo::default()
        };
        if let Some(shown) = &self.shown {
            info.certificate_id = Some(shown.id.clone());
            info.common_name.clone_from(&shown.common_name);
        }
        (info, client)
    }
}

/// What the journal has of a handshake that ended for `cause`, as far as it was seen.
pub(crate) fn failure(
    seen: &Mutex<Seen>,
    cause: HandshakeCause,
    alert: Option<TlsAlert>,
) -> (TlsInfo, HandshakeFailure) {
    let mut failure = HandshakeFailure::new(cause);
    failure.alert = alert;
    let (info, client) = seen.lock().info();
    failure.alpn_offered = client.alpn;
    failure.versions_offered = client.versions;
    (info, failure)
}

/// What ended a handshake that failed with `error`, and the alert that went with it.
pub(crate) fn cause_of(
    error: &io::Error,
    seen: &Mutex<Seen>,
) -> (HandshakeCause, Option<TlsAlert>) {
    let Some(error) = error.get_ref().and_then(|error| error.downcast_ref()) else {
        return (HandshakeCause::Closed, None);
    };
    if let Error::AlertReceived(alert) = error {
        let alert = TlsAlert::new(Direction::In, u8::from(*alert));
        return (HandshakeCause::AlertReceived, Some(alert));
    }
    let seen = seen.lock();
    let is_other = seen.is_other() && matches!(error, Error::InvalidMessage(_));
    let cause = match is_other {
        true => HandshakeCause::NotTls,
        false => HandshakeCause::AlertSent,
    };
    let sent = seen.sent();
    let code = sent.or_else(|| alert_of(error).map(u8::from));
    (cause, code.map(|code| TlsAlert::new(Direction::Out, code)))
}

/// The alert that goes with an error of a handshake once everything is encrypted. What comes before can be seen.
fn alert_of(error: &Error) -> Option<AlertDescription> {
    match error {
        Error::InvalidCertificate(error) => Some(error.clone().into()),
        Error::NoCertificatesPresented => Some(AlertDescription::CertificateRequired),
        Error::NoApplicationProtocol => Some(AlertDescription::NoApplicationProtocol),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            Some(AlertDescription::UnexpectedMessage)
        }
        Error::PeerMisbehaved(_) => Some(AlertDescription::IllegalParameter),
        _ => None,
    }
}

/// What came of a handshake, as far as it tells why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Nothing,
    /// No TLS, but this.
    Other(Option<Spoken>),
    /// A client that knows no version from 1.2 on, but this one at best.
    Old(&'static str),
    /// What may be TLS as it should be.
    Tls,
    /// The same, and the client has seen the server's certificate.
    Answered,
}

/// What came of a handshake.
pub(crate) fn came(seen: &Mutex<Seen>) -> Came {
    let seen = seen.lock();
    if seen.inbound.is_empty() {
        return Came::Nothing;
    }
    if seen.is_other() {
        return Came::Other(Spoken::of(&seen.inbound));
    }
    match seen.legacy_version() {
        Some(0x0302) => Came::Old("TLS 1.1"),
        Some(0x0301) => Came::Old("TLS 1.0"),
        Some(0x0300) => Came::Old("SSL 3"),
        _ if seen.has_answered => Came::Answered,
        _ => Came::Tls,
    }
}

thread_local! {
    /// Somebody wants to know what certificate is shown.
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
    static SHOWN: RefCell<Option<Shown>> = const { RefCell::new(None) };
}

/// Makes a step of a handshake, and notes the certificate that is verified in it.
pub(crate) fn noting<T>(seen: &Mutex<Seen>, step: impl FnOnce() -> T) -> T {
    if !seen.lock().is_close() {
        return step();
    }
    // Of a step that never came to its end.
    SHOWN.take();
    IS_WATCHED.set(true);
    let made = step();
    IS_WATCHED.set(false);
    if let Some(shown) = SHOWN.take() {
        seen.lock().shown = Some(shown);
    }
    made
}

/// A verifier that says which certificates it gets to see.
#[derive(Debug)]
pub(super) struct Noting(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Noting {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if IS_WATCHED.get() {
            let parsed = X509Certificate::from_der(certificate).ok();
            SHOWN.set(Some(Shown {
                id: fingerprint(certificate),
                common_name: parsed.and_then(|(_, parsed)| common_name(&parsed)),
            }));
        }
        self.0.verify_client_cert(certificate, others, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }
}

/// Extensions of the hellos.
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What a client says first, as far as it was seen.
#[derive(Debug, Default, PartialEq)]
struct ClientHello {
    sni: Option<String>,
    alpn: Vec<String>,
    versions: Vec<String>,
}

impl ClientHello {
    fn read(records: &[u8]) -> Self {
        let mut hello = Self::default();
        // It ends where what was seen ends.
        let _ = hello.fill(&handshake(records));
        hello
    }

    fn fill(&mut self, bytes: &[u8]) -> Option<()> {
        let mut rest = Reader(bytes);
        let legacy = rest.hello(1)?;
        self.versions.push(version_name(legacy));
        rest.long_list()?;
        rest.short_list()?;
        for (kind, mut data) in rest.extensions()? {
            match kind {
                SERVER_NAME => {
                    let mut names = Reader(data.long_list()?);
                    let is_host = names.byte()? == 0;
                    let name = String::from_utf8_lossy(names.long_list()?).into_owned();
                    self.sni = is_host.then_some(name);
                }
                ALPN => {
                    let mut names = Reader(data.long_list()?);
                    while let Some(name) = names.short_list() {
                        self.alpn.push(String::from_utf8_lossy(name).into_owned());
                    }
                }
                SUPPORTED_VERSIONS => {
                    let mut versions = Reader(data.short_list()?);
                    self.versions.clear();
                    while let Some(version) = versions.number() {
                        if !is_grease(version) {
                            self.versions.push(version_name(version));
                        }
                    }
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// What the server answers, as far as it was seen.
struct ServerHello {
    version: u16,
    cipher: u16,
}

impl ServerHello {
    fn read(records: &[u8]) -> Option<Self> {
        let bytes = handshake(records);
        let mut rest = Reader(&bytes);
        let mut version = rest.hello(2)?;
        let cipher = rest.number()?;
        rest.byte()?;
        for (kind, mut data) in rest.extensions().into_iter().flatten() {
            if kind == SUPPORTED_VERSIONS {
                version = data.number()?;
            }
        }
        Some(Self { version, cipher })
    }

    fn version(&self) -> Option<&'static str> {
        match self.version {
            0x0304 => Some("TLSv1.3"),
            0x0303 => Some("TLSv1.2"),
            _ => None,
        }
    }
}

/// The beginning of what records of handshakes carry.
fn handshake(records: &[u8]) -> Vec<u8> {
    let (mut rest, mut carried) = (Reader(records), Vec::new());
    while rest.byte() == Some(HANDSHAKE) && rest.number().is_some() {
        let Some(length) = rest.number() else {
            break;
        };
        carried.extend_from_slice(rest.up_to(length.into()));
    }
    carried
}

/// Values that stand for no version, and keep servers from refusing what they do not know (RFC 8701).
fn is_grease(version: u16) -> bool {
    version & 0x0f0f == 0x0a0a
}

fn version_name(version: u16) -> String {
    match version {
        0x0304 => "TLSv1.3".to_owned(),
        0x0303 => "TLSv1.2".to_owned(),
        0x0302 => "TLSv1.1".to_owned(),
        0x0301 => "TLSv1.0".to_owned(),
        0x0300 => "SSLv3".to_owned(),
        other => format!("{other:#06x}"),
    }
}

/// Takes apart what TLS writes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// So many bytes, or those that there are.
    fn up_to(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).and_then(|bytes| bytes.first().copied())
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    }

    /// What has its length in a byte before it.
    fn short_list(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(length.into())
    }

    /// What has its length in two bytes before it.
    fn long_list(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }

    /// A hello of this kind up to its session id. Returns its version.
    fn hello(&mut self, kind: u8) -> Option<u16> {
        if self.byte()? != kind {
            return None;
        }
        self.take(3)?;
        let version = self.number()?;
        // The random bytes.
        self.take(32)?;
        self.short_list()?;
        Some(version)
    }

    /// Extensions with their data, as far as they are whole.
    fn extensions(&mut self) -> Option<impl Iterator<Item = (u16, Reader<'a>)> + use<'a>> {
        let length = self.number()?;
        let mut rest = Reader(self.up_to(length.into()));
        Some(std::iter::from_fn(move || {
            Some((rest.number()?, Reader(rest.long_list()?)))
        }))
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, ClientConnection, RootCertStore, version};

    use super::*;

    /// The first records of a client of the TLS library.
    fn first_records() -> Vec<u8> {
        let builder = ClientConfig::builder_with_provider(Arc::new(super::super::provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .expect("versions");
        let mut config = builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"mqtt".to_vec(), b"x-amzn-mqtt-ca".to_vec()];
        let name = "broker.example.com".try_into().expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("memory");
        bytes
    }

    #[test]
    fn hello_of_a_client_is_read_as_far_as_it_came() {
        let bytes = first_records();
        let whole = ClientHello::read(&bytes);
        assert_eq!(whole.sni.as_deref(), Some("broker.example.com"));
        assert_eq!(whole.alpn, ["mqtt", "x-amzn-mqtt-ca"]);
        assert_eq!(whole.versions, ["TLSv1.3", "TLSv1.2"]);
        let mut sure = ClientHello::default();
        for length in 0..bytes.len() {
            let part = ClientHello::read(&bytes[..length]);
            // What was known stays known.
            assert!(part.alpn.len() >= sure.alpn.len(), "{length}");
            assert!(part.sni.is_some() >= sure.sni.is_some(), "{length}");
            sure = part;
        }
        // The same in many records.
        let mut cut = Vec::new();
        for piece in bytes[5..].chunks(7) {
            cut.extend([HANDSHAKE, 3, 1, 0, piece.len() as u8]);
            cut.extend(piece);
        }
        assert_eq!(ClientHello::read(&cut), whole);
    }

    #[test]
    fn whatever_comes_is_read_without_a_panic() {
        let bytes = first_records();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            ClientHello::read(&changed);
            ServerHello::read(&changed);
        }
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], &[0x10, 0x20], &[22, 3], &[]] {
            assert_eq!(ClientHello::read(bytes), ClientHello::default());
        }
    }

    #[test]
    fn versions_that_stand_for_none_are_left_out() {
        assert!(is_grease(0x1a1a) && is_grease(0xfafa) && !is_grease(0x0304));
        assert_eq!(version_name(0x0305), "0x0305");
    }

    #[test]
    fn alert_that_is_not_encrypted_is_seen() {
        let seen = Seen::begin(&Tap::new(true, false));
        let mut seen = seen.lock();
        assert_eq!(seen.sent(), None);
        seen.went(&[22, 3, 3, 0, 1, 0]);
        // In two writes.
        seen.went(&[21, 3, 3]);
        assert_eq!(seen.sent(), None);
        seen.went(&[0, 2, 2, 70]);
        assert_eq!(seen.sent(), Some(70));
        assert_eq!(TlsAlert::new(Direction::Out, 70).name(), "protocol_version");
    }

    #[test]
    fn first_bytes_tell_what_came_without_a_journal() {
        let seen = Seen::begin(&Tap::new(false, false));
        assert_eq!(came(&seen), Came::Nothing);
        let came_of = |bytes: &[u8]| {
            let seen = Seen::begin(&Tap::new(false, false));
            // In two reads.
            let (first, rest) = bytes.split_at(bytes.len() / 2);
            seen.lock().came(first);
            seen.lock().came(rest);
            assert!(seen.lock().inbound.len() <= FIRST);
            came(&seen)
        };
        let mut hello = first_records();
        assert_eq!(came_of(&hello), Came::Tls);
        hello[10] = 1;
        assert_eq!(came_of(&hello), Came::Old("TLS 1.0"));
        assert_eq!(
            came_of(b"\x10\x0c\0\x04MQTT"),
            Came::Other(Some(Spoken::Mqtt))
        );
        assert_eq!(came_of(b"\0\0\0\0"), Came::Other(None));
    }

    #[test]
    fn names_of_alerts_are_those_of_the_library_in_another_spelling() {
        for code in 0..=u8::MAX {
            let own = TlsAlert::new(Direction::In, code).name().replace('_', "");
            let theirs = format!("{:?}", AlertDescription::from(code)).to_lowercase();
            let is_known = !theirs.starts_with("alertdescription(");
            if !is_known {
                assert!(
                    ["unknown", "toomanycidsrequested"].contains(&&*own),
                    "{code}"
                );
            } else if !["echrequired", "unrecognizedname"].contains(&&*own) {
                assert_eq!(own, theirs, "{code}");
            }
        }
    }
}
