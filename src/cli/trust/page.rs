//! What `roundel trust` says: commands to copy, with the paths of this CA.

use std::fmt::Write as _;
use std::path::Path;

use roundel::CaCertificate;

use super::super::shell_word;
use super::as_root;
use super::store::{LAYOUTS, Layout, Store};

/// The keychain that all users of a Mac share.
const KEYCHAIN: &str = "/Library/Keychains/System.keychain";

/// A system whose store is changed by commands.
struct System {
    name: &'static str,
    add: String,
    remove: String,
}

/// The whole page: this CA and what it means, this system first, the others, and programs by themselves.
pub(super) fn text(ca: &CaCertificate, store: Option<&Store>, program: &str) -> String {
    let mut page = format!(
        "CA            {}\nSHA-256       {}\nmay sign for  {}\n",
        ca.file.display(),
        ca.fingerprint,
        ca.limits.as_deref().unwrap_or("every name"),
    );
    let own = store.map_or(own_system(), |store| Some(store.layout.systems));
    if let Some(store) = store {
        let word = match store.has(ca) {
            Ok(true) => "yes".to_owned(),
            Ok(false) => "no".to_owned(),
            Err(error) => format!("not known: {error}"),
        };
        let _ = writeln!(page, "in the store  {word}"); // a String takes whatever is written
    }
    let _ = write!(page, "\n{}\n", meaning(ca));
    if ca.limits.is_none() {
        page.push_str(LIMITED);
    }
    let (this, others): (Vec<_>, Vec<_>) = systems(ca)
        .into_iter()
        .partition(|system| Some(system.name) == own);
    for system in this {
        let _ = write!(page, "\nThis system ({})\n", system.name);
        if store.is_some() {
            for flag in ["--install", "--uninstall"] {
                let _ = writeln!(page, "  {}", as_root(ca, flag, program));
            }
            page.push_str("which is\n");
        }
        let _ = write!(page, "  {}\n  {}\n", system.add, system.remove);
    }
    for system in others {
        let System { name, add, remove } = system;
        let _ = write!(page, "\n{name}\n  {add}\n  {remove}\n");
    }
    page.push_str(&programs(ca));
    page
}

const LIMITED: &str = "\
A CA that may sign for names of this machine only, in a folder that has none yet:
  roundel trust --limited --certs DIR
OpenSSL (curl, Python, Node), rustls and the SDKs for devices look at such limits, Java does not look at those of a root.
";

/// What it means that a machine trusts a CA.
pub(super) fn meaning(ca: &CaCertificate) -> String {
    let key = ca.key.display();
    match &ca.limits {
        None => format!(
            "Whoever has {key} can sign for every name, and this machine believes it once it trusts the CA."
        ),
        Some(limits) => format!(
            "Whoever has {key} can sign for {limits}, and this machine believes it once it trusts the CA; \
             for every name where a program does not look at the limits of a CA (Java)."
        ),
    }
}

/// Why the store of this system is not changed, and what does it.
pub(super) fn no_store(ca: &CaCertificate, install: bool) -> String {
    let own = own_system();
    match systems(ca).into_iter().find(|system| Some(system.name) == own) {
        Some(system) => {
            let command = if install { system.add } else { system.remove };
            format!("the store of this system is changed by its own command: {command}")
        }
        None => "no store of a kind that is known was found on this system: on Debian, Ubuntu and Alpine the package \
             ca-certificates makes it"
            .to_owned(),
    }
}

/// The system that is known without looking at files.
fn own_system() -> Option<&'static str> {
    match std::env::consts::OS {
        "macos" => Some("macOS"),
        "windows" => Some("Windows, as administrator"),
        _ => None,
    }
}

fn systems(ca: &CaCertificate) -> Vec<System> {
    let file = word(&ca.file);
    let thumbprint = ca.sha1();
    let mut systems: Vec<_> = LAYOUTS.iter().map(|layout| linux(layout, ca)).collect();
    systems.push(System {
        name: "macOS",
        add: format!("sudo security add-trusted-cert -d -r trustRoot -k {KEYCHAIN} {file}"),
        remove: format!("sudo security delete-certificate -t -Z {thumbprint} {KEYCHAIN}"),
    });
    systems.push(System {
        name: "Windows, as administrator",
        add: format!("certutil -addstore -f Root \"{}\"", ca.file.display()),
        remove: format!("certutil -delstore Root {thumbprint}"),
    });
    systems
}

fn linux(layout: &'static Layout, ca: &CaCertificate) -> System {
    let (own, command) = (word(&ca.file), layout.command);
    let file = word(&layout.file(Path::new("/"), ca));
    let went = layout.went.map_or(String::new(), |flag| format!(" {flag}"));
    System {
        name: layout.systems,
        add: format!("sudo install -m 644 {own} {file} && sudo {command}"),
        remove: format!("sudo rm {file} && sudo {command}{went}"),
    }
}

/// How programs are told of the CA that do not ask the store, or where that stays as it is.
fn programs(ca: &CaCertificate) -> String {
    let file = word(&ca.file);
    // A string of JSON is one of Python, JavaScript and Java, too.
    let literal = serde_json::Value::from(ca.file.display().to_string());
    let set = |name: &str| match cfg!(windows) {
        true => format!(
            "$env:{name} = '{}'",
            ca.file.display().to_string().replace('\'', "''")
        ),
        false => format!("export {name}={file}"),
    };
    let [python, requests, aws, node] = [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "AWS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
    ]
    .map(set);
    format!(
        "\n\
Programs by themselves, without root
  curl                         curl --cacert {file}
  mosquitto_sub, mosquitto_pub --cafile {file}
  Python (ssl)                 {python}
  Python (requests)            {requests}
  boto3, AWS CLI               {aws}
  awsiotsdk (PyPI)             ca_filepath={literal}, in the builder
  Node                         {node}
  aws-iot-device-sdk-v2 (npm)  .withCertificateAuthorityFromPath(undefined, {literal})
  Java                         keytool -importcert -noprompt -alias roundel -file {file} -keystore roundel.jks -storepass changeit
                               java -Djavax.net.ssl.trustStore=roundel.jks -Djavax.net.ssl.trustStorePassword=changeit
NODE_EXTRA_CA_CERTS adds to what a program trusts, the others replace it. The device SDKs read no such variable: they go by
the store or the option. Firefox has a store of its own, and so has Chrome on Linux.
"
    )
}

fn word(path: &Path) -> String {
    shell_word(&path.display().to_string())
}
