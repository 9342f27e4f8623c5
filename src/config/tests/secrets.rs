//! Secrets: where they are taken from, and that none is shown.

use super::*;
use std::fs;

#[test]
fn secrets_are_taken_from_the_file_only() {
    check_environment(
        "STILLROOM__KAFKA__PROPERTIES__SASL__PASSWORD=hunter2",
        "STILLROOM__KAFKA__PROPERTIES__SASL__PASSWORD: kafka.properties.sasl.password is a secret, which others can read in \
         the environment; write it to a file, and the file's path to kafka.properties.sasl.password_file",
    );
    for name in
        ["ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.config", "sasl.oauthbearer.client.secret", "a.token"]
    {
        check_sets(
            &format!("kafka.properties.{name}=hunter2"),
            &format!(
                "--set: kafka.properties.{name} is a secret, which others can read in the list of processes; write it to a file, \
                 and the file's path to kafka.properties.{name}_file"
            ),
        );
    }
    check_sets(
        "kafka.properties.sasl.password_file=/run/secrets/kafka",
        "kafka.properties.sasl.password_file = \"/run/secrets/kafka\"    # --set",
    );
    check_environment(
        "STILLROOM__KAFKA__PROPERTIES__SASL__PASSWORD_FILE=/s",
        "kafka.properties.sasl.password_file = \"/s\"    # STILLROOM__KAFKA__PROPERTIES__SASL__PASSWORD_FILE",
    );
}

#[test]
fn secrets_are_never_shown() {
    let file = "[kafka.properties]\nsasl.password = 'hunter2'\nsasl.username = 'sam'\nsasl.oauthbearer.token.endpoint.url = 'u'";
    check_file(
        file,
        "kafka.properties.sasl.oauthbearer.token.endpoint.url = \"u\"    # stillroom.toml\n\
         kafka.properties.sasl.password = \"****\"    # stillroom.toml\n\
         kafka.properties.sasl.username = \"sam\"    # stillroom.toml",
    );
    let loaded = load(Input { file, ..Input::default() }).unwrap();
    assert_eq!(loaded.config.kafka.properties["sasl.password"], "hunter2");
    let shown = loaded.show().unwrap();
    assert!(shown.contains("\"sasl.password\" = \"****\""), "{shown}");
    let debug = format!("{:?}", loaded);
    assert!(!shown.contains("hunter2") && !debug.contains("hunter2") && debug.contains("****"), "{debug}");
    check_file(
        "[kafka.properties]\nsasl.password = '****'",
        "stillroom.toml: kafka.properties.sasl.password is ****, which stands for a secret that was not shown; write \
         sasl.password_file",
    );
}

#[test]
fn errors_do_not_show_secrets() {
    check_file(
        "[kafka.properties]\nsasl.password = ['hunter2']",
        "stillroom.toml: kafka.properties.sasl.password is ****; write a text, a number, or true or false",
    );
    check_file(
        "[kafka.properties]\nsasl.password = 2020-01-01",
        "stillroom.toml: kafka.properties.sasl.password is ****; write a text, a number, or true or false",
    );
    check_file(
        "[registry]\npassword = 'hunter2'",
        "stillroom.toml: registry.password is not a setting; did you mean registry.password_file?",
    );
    for value in ["hunter2", "'hunter2", "\"hunter2\\q\"", "'a' hunter2", "{ hunter2", "[hunter2]"] {
        let error = load(Input { file: &format!("[kafka.properties]\n\nsasl.password = {value}"), ..Input::default() });
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.starts_with("stillroom.toml: line 3 is not TOML: ") && !error.contains("hunter2"), "{error}");
    }
}

/// The property that `sasl.password_file` becomes, or the error with the path as `FILE`.
fn check_secret(content: Option<&[u8]>, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    if let Some(content) = content {
        fs::write(&path, content).unwrap();
    }
    let shown = path.to_str().unwrap();
    let properties = [("sasl.password_file", shown), ("client.id", "a")];
    let properties = properties.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let resolved = match (KafkaConfig { properties, ..KafkaConfig::default() }).resolved() {
        Ok(resolved) => format!("{resolved:?}"),
        Err(error) => error.to_string().replace(shown, "FILE"),
    };
    assert_eq!(resolved, expected);
}

#[test]
fn secrets_are_read_from_their_files() {
    check_secret(Some(b"hunter2"), r#"{"client.id": "a", "sasl.password": "hunter2"}"#);
    check_secret(Some(b"hunter2\n"), r#"{"client.id": "a", "sasl.password": "hunter2"}"#);
    check_secret(Some(b"hunter2\r\n"), r#"{"client.id": "a", "sasl.password": "hunter2"}"#);
    check_secret(Some(b" hunter2\n\n"), r#"{"client.id": "a", "sasl.password": " hunter2\n"}"#);
    let empty = "kafka.properties.sasl.password_file: FILE is empty; write the secret into it";
    check_secret(Some(b""), empty);
    check_secret(Some(b"\n"), empty);
    let unreadable = "kafka.properties.sasl.password_file cannot be read from FILE; name a file that holds the secret";
    check_secret(None, unreadable);
    check_secret(Some(b"hunter2\xff"), unreadable);
    check_secret(
        Some(&[b'a'; (64 << 10) + 1]),
        "kafka.properties.sasl.password_file: FILE has more than 65536 bytes; name a file that holds the secret alone",
    );
}

#[test]
fn a_secret_is_given_once() {
    let clash = "kafka.properties.sasl.password_file is given, and sasl.password too; keep one of them";
    let file = "[kafka.properties]\nsasl.password = 'hunter2'\nsasl.password_file = '/s'";
    check_file(file, &format!("stillroom.toml: {clash}"));
    let properties = [("sasl.password", "hunter2"), ("sasl.password_file", "/s")];
    let properties = properties.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let error = (KafkaConfig { properties, ..KafkaConfig::default() }).resolved().unwrap_err();
    assert_eq!(error.to_string(), clash);
}
