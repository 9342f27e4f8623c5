//! SASL/SCRAM over TLS: what works, and what is said when it does not.

use crate::running::DEADLINE;
use crate::site::{Broker, Site};
use crate::support::stderr;
use std::path::PathBuf;
use std::process::Output;
use std::time::Instant;

/// The broker's folder, with passwords and certificates.
fn folder() -> PathBuf {
    std::env::var_os("STILLROOM_TEST_KAFKA_DIR").map_or_else(|| crate::site::root().join("target/kafka"), PathBuf::from)
}

/// Runs `check --connect` over TLS as a user, and tells whether it is well, and what it said.
fn check(site: &Site, user: &str, password: &std::path::Path, ca: &str) -> (bool, String) {
    check_with(site, user, password, ca, &[])
}

fn check_with(site: &Site, user: &str, password: &std::path::Path, ca: &str, more: &[&str]) -> (bool, String) {
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
    command.args(more);
    for setting in settings {
        command.arg("--set").arg(format!("kafka.properties.{setting}"));
    }
    let output: Output = command.env("STILLROOM_LOG", "trace").output().unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap() + &stderr(&output);
    let secret = std::fs::read_to_string(password).unwrap();
    assert!(!said.contains(&secret), "the password was said");
    (output.status.success(), said)
}

#[test]
fn scram_over_tls_works_and_what_is_wrong_is_named() {
    let Some(broker) = Broker::shared() else { return };
    let site = Site::new(&broker, 1);
    let password = folder().join("stillroom.password");

    let (is_well, said) = check(&site, "stillroom", &password, "ca.pem");
    assert!(is_well, "{said}");

    let wrong = site.folder.path().join("wrong");
    std::fs::write(&wrong, "not-the-password").unwrap();
    let (is_well, said) = check(&site, "stillroom", &wrong, "ca.pem");
    assert!(!is_well && said.contains("check sasl.username, sasl.password_file"), "{said}");

    let (is_well, said) = check(&site, "stillroom", &password, "other-ca.pem");
    assert!(!is_well && said.contains("is not signed by a CA of ssl.ca.location"), "{said}");

    let (is_well, said) = check(&site, "limited", &folder().join("limited.password"), "ca.pem");
    assert!(!is_well && said.contains("an ACL is missing"), "{said}");
}

#[test]
fn what_a_user_may_not_do_is_told_before_a_run() {
    let Some(broker) = Broker::shared() else { return };
    let site = Site::new(&broker, 1);
    site.put("note", "fever");
    site.finish(1);
    let password = folder().join("limited.password");
    let check = || check_with(&site, "limited", &password, "ca.pem", &["--take"]);
    let allow = |operations: &[&str], resource: &[&str]| {
        let mut arguments = vec!["--add", "--allow-principal", "User:limited", "--resource-pattern-type", "prefixed"];
        operations.iter().for_each(|operation| arguments.extend(["--operation", operation]));
        arguments.extend(resource);
        broker.tool("org.apache.kafka.tools.AclCommand", &arguments);
    };
    // What a broker was told it may know a moment later.
    let await_said = |expected: &str| {
        let began = Instant::now();
        loop {
            let (is_well, said) = check();
            if said.contains(expected) {
                return is_well;
            }
            assert!(began.elapsed() < DEADLINE, "not {expected}, but {said}");
        }
    };
    assert!(!await_said("an ACL is missing: allow Describe"));
    allow(&["Describe", "Read"], &["--topic", &site.name]);
    assert!(!await_said("this user lacks Write and Alter; add an ACL"));
    allow(&["Write", "Alter"], &["--topic", &site.name]);
    assert!(!await_said("allow Write and Describe on the transactional id"));
    allow(&["Write", "Describe"], &["--transactional-id", &site.name]);
    assert!(!await_said("allow Read on the group"));
    allow(&["Read"], &["--group", &site.name]);
    assert!(await_said(&format!("pass  transactional id {0} and group {0}", site.name)));
}
