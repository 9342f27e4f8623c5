//! SASL/SCRAM over TLS: what works, and what is said when it does not.

use crate::site::{Broker, Site};
use crate::support::stderr;
use std::path::PathBuf;
use std::process::Output;

/// The broker's folder, with passwords and certificates.
fn folder() -> PathBuf {
    std::env::var_os("STILLROOM_TEST_KAFKA_DIR").map_or_else(|| crate::site::root().join("target/kafka"), PathBuf::from)
}

/// Runs `check --connect` over TLS as a user, and tells whether it is well, and what it said.
fn check(site: &Site, user: &str, password: &std::path::Path, ca: &str) -> (bool, String) {
    let port: u16 = site.broker.servers.rsplit_once(':').unwrap().1.parse().unwrap();
    let settings = [
        format!("bootstrap.servers=localhost:{}", port + 1),
        "security.protocol=SASL_SSL".to_owned(),
        "sasl.mechanism=SCRAM-SHA-512".to_owned(),
        format!("sasl.username={user}"),
        format!("sasl.password_file={}", password.display()),
        format!("ssl.ca.location={}", folder().join("tls").join(ca).display()),
    ];
    let mut command = site.command(&["check", "--connect", "--create"]);
    for setting in settings {
        command.arg("--set").arg(format!("kafka.properties.{setting}"));
    }
    let output: Output = command.env("STILLROOM_LOG", "trace").output().unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap() + &stderr(&output);
    (output.status.success(), said)
}

#[test]
fn scram_over_tls_works_and_what_is_wrong_is_named() {
    let Some(broker) = Broker::shared() else { return };
    let site = Site::new(&broker, 1);
    let password = folder().join("stillroom.password");
    let secret = std::fs::read_to_string(&password).unwrap();
    let silent = |said: &str| assert!(!said.contains(&secret), "the password was said");

    let (is_well, said) = check(&site, "stillroom", &password, "ca.pem");
    assert!(is_well, "{said}");
    silent(&said);

    let wrong = site.folder.path().join("wrong");
    std::fs::write(&wrong, "not-the-password").unwrap();
    let (is_well, said) = check(&site, "stillroom", &wrong, "ca.pem");
    assert!(!is_well && said.contains("check sasl.username, sasl.password_file"), "{said}");
    assert!(!said.contains("not-the-password"), "the password was said");

    let (is_well, said) = check(&site, "stillroom", &password, "other-ca.pem");
    assert!(!is_well && said.contains("is not signed by a CA of ssl.ca.location"), "{said}");
    silent(&said);

    let (is_well, said) = check(&site, "limited", &folder().join("limited.password"), "ca.pem");
    assert!(!is_well && said.contains("an ACL is missing"), "{said}");
}
