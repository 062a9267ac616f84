//! `roundel trust`. The machine's own store stays as it is: what changes a store runs in a mount namespace
//! with copies of its folders, and is skipped where there are no such namespaces.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::broker::Broker;
use super::store::{Namespace, UPDATE, skip};
use super::{Outcome, finish, run};

impl Namespace {
    fn run(&self, folder: &Path, line: &[&str]) -> Outcome {
        finish(&mut self.command(folder, line))
    }

    fn trust(&self, folder: &Path, flags: &[&str]) -> Outcome {
        let line = [&[env!("CARGO_BIN_EXE_roundel"), "trust"], flags].concat();
        self.run(folder, &line)
    }

    /// Files of the administrator that this program put there.
    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path().join("local")).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files
            .filter(|path| path.display().to_string().contains("roundel"))
            .collect();
        files.sort();
        files
    }

    /// Everything that programs read: names, where they lead, and the bundle.
    fn store(&self) -> (Vec<(PathBuf, PathBuf)>, String) {
        let certs = self.folder.path().join("certs");
        let entries = fs::read_dir(&certs).unwrap();
        let mut links: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read_link(&path).unwrap_or_default()))
            .collect();
        links.sort();
        let bundle = fs::read_to_string(certs.join("ca-certificates.crt")).unwrap();
        (links, bundle)
    }

    /// Whether a client that is told of no CA finds the broker's certificate good: one that reads the
    /// folder of the store, and one that reads its bundle.
    #[track_caller]
    fn is_trusted(&self, broker: &Broker) -> bool {
        let port = |listener| broker.address(listener).rsplit(':').next().unwrap();
        let folder = self.folder.path();
        let to = format!("127.0.0.1:{}", port("mqtts"));
        let by_folder = self.run(
            folder,
            &[
                &["openssl", "s_client", "-verify_return_error"],
                &["-verify_hostname", "localhost", "-connect", &to][..],
            ]
            .concat(),
        );
        let url = format!("https://localhost:{}/mqtt", port("wss"));
        let by_bundle = self.run(folder, &["curl", "--silent", "--show-error", &url]);
        match (by_folder.status, by_bundle.status) {
            (Some(0), Some(0)) => true,
            // What curl says of a certificate whose issuer it does not know.
            (Some(1), Some(60)) => false,
            _ => panic!("{} {}", by_folder.stderr, by_bundle.stderr),
        }
    }
}

/// A broker whose clients need no certificate.
fn broker(folder: &Path) -> Broker {
    let ports = ["--mqtts-port", "0", "--wss-port", "0"];
    Broker::start(folder, &[&ports[..], &["--client-cert", "none"]].concat())
}

#[test]
fn a_broker_is_trusted_from_install_until_uninstall() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let before = namespace.store();
    assert!(!namespace.is_trusted(&broker));

    // Every program is to read the file, whatever whoever installs it keeps to himself.
    let script = r#"umask 077 && exec "$0" trust --install"#;
    let line = ["sh", "-c", script, env!("CARGO_BIN_EXE_roundel")];
    let outcome = namespace.run(folder.path(), &line);
    outcome.assert_done();
    assert!(outcome.stdout.contains("ca.key"), "{}", outcome.stdout);
    assert!(namespace.is_trusted(&broker));
    let files = namespace.files();
    let [file] = files.as_slice() else {
        panic!("{files:?}")
    };
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);

    let after = namespace.store();
    let outcome = namespace.trust(folder.path(), &["--install"]);
    outcome.assert_done();
    assert!(outcome.stdout.contains("already"), "{}", outcome.stdout);
    assert_eq!(namespace.store(), after);

    namespace
        .trust(folder.path(), &["--uninstall"])
        .assert_done();
    assert!(!namespace.is_trusted(&broker));
    assert_eq!(namespace.files(), [] as [PathBuf; 0]);
    assert_eq!(namespace.store(), before);
    namespace
        .trust(folder.path(), &["--uninstall"])
        .assert_done();
}

#[test]
fn each_ca_has_a_file_of_its_own() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (broker(one.path()), broker(other.path()));
    namespace.trust(one.path(), &["--install"]).assert_done();
    namespace.trust(other.path(), &["--install"]).assert_done();
    assert_eq!(namespace.files().len(), 2);
    namespace.trust(one.path(), &["--uninstall"]).assert_done();
    assert!(!namespace.is_trusted(&first));
    assert!(namespace.is_trusted(&second));
}

#[test]
fn an_installation_that_broke_off_is_finished() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    namespace.trust(folder.path(), &["--install"]).assert_done();
    let file = namespace.files().remove(0);
    let content = fs::read(&file).unwrap();
    namespace
        .trust(folder.path(), &["--uninstall"])
        .assert_done();

    fs::write(&file, content).unwrap();
    namespace.trust(folder.path(), &["--install"]).assert_done();
    assert!(namespace.is_trusted(&broker));
    // And the removal of one: the file went, and the command did not run.
    fs::remove_file(&file).unwrap();
    namespace
        .trust(folder.path(), &["--uninstall"])
        .assert_done();
    assert!(!namespace.is_trusted(&broker));
}

#[test]
fn what_is_not_this_ca_is_left_where_it_is() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["cert", "a"]).assert_done();
    namespace.trust(folder.path(), &["--install"]).assert_done();
    let file = namespace.files().remove(0);
    let client = fs::read(folder.path().join("certs/a.certificate.pem")).unwrap();
    for content in [&client[..], b"", b"not a certificate"] {
        fs::write(&file, content).unwrap();
        for flag in ["--install", "--uninstall"] {
            let outcome = namespace.trust(folder.path(), &[flag]);
            outcome.assert_failed(1, &["roundel-", "stays as it is"]);
            assert_eq!(fs::read(&file).unwrap(), content);
        }
    }
}

#[test]
fn a_ca_that_somebody_else_put_there_stays() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let own = namespace.folder.path().join("local/own-roundel.crt");
    fs::copy(folder.path().join("certs/ca.pem"), &own).unwrap();
    assert_eq!(namespace.run(folder.path(), &[UPDATE]).status, Some(0));
    let outcome = namespace.trust(folder.path(), &["--install"]);
    outcome.assert_done();
    assert!(outcome.stdout.contains("already"), "{}", outcome.stdout);
    assert_eq!(namespace.files(), [own]);
    namespace
        .trust(folder.path(), &["--uninstall"])
        .assert_failed(1, &["ca-certificates.crt", "stays"]);
    assert!(namespace.is_trusted(&broker));
}

#[test]
fn an_update_that_fails_is_named_and_leaves_nothing() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["cert", "a"]).assert_done();
    // One fails, the other does nothing.
    for (stand_in, words) in [
        ("/bin/false", [UPDATE, "exit status: 1"]),
        ("/bin/true", [UPDATE, "does not have the CA"]),
    ] {
        let mount = ["mount", "--bind", stand_in, UPDATE];
        assert_eq!(namespace.run(folder.path(), &mount).status, Some(0));
        let outcome = namespace.trust(folder.path(), &["--install"]);
        outcome.assert_failed(1, &words);
        assert_eq!(namespace.files(), [] as [PathBuf; 0]);
    }
}

#[test]
fn who_may_not_is_told_the_command_for_root() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["cert", "a", "--certs", "my certs"]).assert_done();
    let flags = ["--certs", "my certs", "--install"];
    let local = namespace.folder.path().join("local");
    fs::set_permissions(&local, fs::Permissions::from_mode(0o555)).unwrap();
    // Without the right of root to write where it may not.
    let program = env!("CARGO_BIN_EXE_roundel");
    let line = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", program];
    let line = [&line[..], &["trust"], &flags].concat();
    let outcome = namespace.run(folder.path(), &line);
    let certs = folder.path().join("my certs").display().to_string();
    let sudo = format!("(sudo {program} trust --certs '{certs}' --install)");
    outcome.assert_failed(1, &["/usr/local/share/ca-certificates/roundel-", &sudo]);
}

#[test]
fn the_page_names_this_ca_and_what_it_means() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["cert", "a", "--certs", "my certs"]).assert_done();
    let outcome = run(folder.path(), &["trust", "--certs", "my certs"]);
    outcome.assert_done();
    let ca = folder.path().join("my certs/ca.pem").display().to_string();
    let key = folder.path().join("my certs/ca.key").display().to_string();
    for words in [
        "may sign for  every name",
        &format!("Whoever has {key} can sign for every name"),
        "trust --limited",
        "sudo update-ca-certificates",
        "sudo update-ca-trust",
        "sudo security add-trusted-cert",
        "certutil -addstore -f Root",
        &format!("curl --cacert '{ca}'"),
        &format!("export NODE_EXTRA_CA_CERTS='{ca}'"),
        &format!("export AWS_CA_BUNDLE='{ca}'"),
        &format!("ca_filepath=\"{ca}\""),
        "keytool -importcert",
    ] {
        assert!(
            outcome.stdout.contains(words),
            "{words}: {}",
            outcome.stdout
        );
    }
}

#[test]
fn fingerprints_are_those_of_openssl() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["cert", "a"]).assert_done();
    let page = run(folder.path(), &["trust"]).stdout;
    for (digest, case) in [("-sha256", false), ("-sha1", true)] {
        let line = [
            "x509",
            "-in",
            "certs/ca.pem",
            "-noout",
            "-fingerprint",
            digest,
        ];
        let openssl = Command::new("openssl")
            .args(line)
            .current_dir(folder.path())
            .output();
        let Ok(output) = openssl else {
            skip("there is no openssl");
            return;
        };
        let text = String::from_utf8(output.stdout).unwrap();
        let digits = text.trim().rsplit('=').next().unwrap().replace(':', "");
        let digits = if case { digits } else { digits.to_lowercase() };
        assert!(page.contains(&digits), "{digits}: {page}");
    }
}

#[test]
fn without_a_ca_there_is_nothing_to_trust() {
    let folder = tempfile::tempdir().unwrap();
    for flags in [
        &["trust"][..],
        &["trust", "--install"],
        &["trust", "--uninstall"],
    ] {
        run(folder.path(), flags).assert_failed(1, &["certs/ca.pem", "roundel trust --limited"]);
    }
    assert!(!folder.path().join("certs").exists());
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for flags in [
        &["--install", "--uninstall"][..],
        &["--limited", "--uninstall"],
        &["--san", "a.test"],
        &["--limited", "--san", "a b"],
    ] {
        run(folder.path(), &[&["trust"], flags].concat()).assert_failed(2, &["--"]);
    }
    assert!(!folder.path().join("certs").exists());
}

#[test]
fn a_limited_ca_is_for_this_machine_and_what_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let line = ["trust", "--limited", "--san", "broker.test"];
    let outcome = run(folder.path(), &line);
    outcome.assert_done();
    for words in ["localhost", "127.0.0.0/8", "::1/128", "broker.test"] {
        assert!(outcome.stdout.contains(words), "{}", outcome.stdout);
    }
    assert!(
        !outcome.stdout.contains("every name\n"),
        "{}",
        outcome.stdout
    );
    let before = fs::read(folder.path().join("certs/ca.pem")).unwrap();
    run(folder.path(), &line).assert_done();
    run(folder.path(), &["cert", "client"]).assert_done();
    let flags = ["--mqtts-port", "0", "--san", "a.broker.test"];
    drop(Broker::start(folder.path(), &flags));
    assert_eq!(
        fs::read(folder.path().join("certs/ca.pem")).unwrap(),
        before
    );
    for (purpose, file) in [
        ("sslserver", "certs/server.pem"),
        ("sslclient", "certs/client.certificate.pem"),
    ] {
        super::cert::assert_openssl_verifies(folder.path(), &["-purpose", purpose, file]);
    }

    fs::remove_file(folder.path().join("certs/server.pem")).unwrap();
    fs::remove_file(folder.path().join("certs/server.key")).unwrap();
    let flags = [
        "--mqtts-port",
        "0",
        "--http-port",
        "0",
        "--san",
        "elsewhere.test",
    ];
    run(folder.path(), &flags).assert_ended(1, &["elsewhere.test", "--san", "limited"]);
}

#[test]
fn a_ca_without_limits_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["cert", "a"]).assert_done();
    let before = fs::read(folder.path().join("certs/ca.pem")).unwrap();
    run(folder.path(), &["trust", "--limited"]).assert_failed(1, &["certs/ca.pem", "not limited"]);
    assert_eq!(
        fs::read(folder.path().join("certs/ca.pem")).unwrap(),
        before
    );
}

#[test]
fn clients_of_a_limited_ca_connect() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["trust", "--limited"]).assert_done();
    run(folder.path(), &["cert", "car1.test"]).assert_done();
    let certs = folder.path().join("certs");
    super::cert::assert_verifies(
        &certs.join("ca.pem"),
        &certs.join("car1.test.certificate.pem"),
        &certs.join("car1.test.private.key"),
    );
}
