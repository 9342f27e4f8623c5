//! A registry that fails, refuses, or is not there.

use crate::support::{Log, avro, config_of, connect, drain, framed, misbehaving};
use std::sync::Arc;
use stillroom_dataflow::WireFormat;
use stillroom_registry::{
    OutputTopic, RegistryCommitter, RegistryConfig, RegistryError, RegistryFormat, RegistrySource, Schema, SchemaKind,
};
use stillroom_schemas::avro::NOTE;

#[test]
fn a_registry_that_is_not_there_is_named_with_its_url() {
    // A port that nobody listens at: the server that had it is gone.
    let Some(server) = misbehaving() else { return };
    let config = config_of(&server);
    drop(server);
    let error = connect(&config).schema(1).expect_err("nobody answers");
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    let expected = format!("cannot reach the schema registry at {}/schemas/ids/1", config.url);
    assert!(error.to_string().contains(&expected), "{error}");
}

#[test]
fn another_url_stands_in() {
    let (Some(first), Some(second)) = (misbehaving(), misbehaving()) else { return };
    first.state().failing = Some(500);
    let config = RegistryConfig { url: format!("{},{}/", first.url(), second.url()), ..RegistryConfig::default() };
    let registry = connect(&config);
    let id = registry.register("notes-value", &avro(NOTE)).expect("the second takes it");
    assert_eq!(registry.latest("notes-value").expect("the second answers").map(|latest| latest.id), Some(id));
    assert_eq!((first.state().requests.len(), second.state().requests.len()), (2, 2));
}

#[test]
fn an_error_that_passes_is_tried_again_and_one_that_stays_is_told() {
    let Some(server) = misbehaving() else { return };
    let registry = connect(&config_of(&server));
    server.state().failing = Some(503);
    let error = registry.look_up("notes-value", &avro(NOTE)).expect_err("it fails every time");
    assert!(matches!(error, RegistryError::Unwell { status: 503, .. }), "{error}");
    assert_eq!(server.state().requests.len(), 4, "four tries");

    server.state().failing = Some(409);
    let error = registry.register("notes-value", &avro(NOTE)).expect_err("it refuses").to_string();
    assert!(error.contains("answers 409") && error.contains("Error in the backend data store"), "{error}");
    assert_eq!(server.state().requests.len(), 5, "a refusal stays one");
}

#[test]
fn a_password_is_sent_and_never_shown() {
    let Some(server) = misbehaving() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("password");
    std::fs::write(&path, "open sesame\n").expect("it can be written");
    let config =
        RegistryConfig { user: Some("ali".to_owned()), password_file: Some(path.clone()), ..config_of(&server) };
    // Base64 of `ali:open sesame`.
    server.state().authorization = Some("Basic YWxpOm9wZW4gc2VzYW1l".to_owned());
    assert_eq!(connect(&config).schema(1).expect("the password is right"), None);

    std::fs::write(&path, "open barley").expect("it can be written");
    let registry = connect(&config);
    let error = registry.schema(1).expect_err("the password is wrong");
    assert!(matches!(error, RegistryError::Denied { status: 401, .. }), "{error}");
    assert!(error.to_string().contains("the user ali; correct user and password_file"), "{error}");
    let shown = format!("{error} {error:?} {registry:?}");
    assert!(!shown.contains("barley") && !shown.contains("YWxpOm"), "{shown}");

    let error = connect(&config_of(&server)).schema(1).expect_err("no user").to_string();
    assert!(error.contains("nobody (no user is set)"), "{error}");
}

#[test]
fn what_is_no_registry_is_told_so() {
    let Some(server) = misbehaving() else { return };
    let config = RegistryConfig { url: format!("{}/wrong", server.url()), ..RegistryConfig::default() };
    let error = connect(&config).schema(1).expect_err("a path that is not there");
    assert!(matches!(error, RegistryError::NotARegistry { .. }), "{error}");
}

#[test]
fn schemas_that_cannot_be_used_are_named() {
    let Some(server) = misbehaving() else { return };
    let registry = connect(&config_of(&server));
    let check = |schema: serde_json::Value, expected: &str| {
        server.state().schemas.push(schema);
        let id = server.state().schemas.len() as u32;
        let log = Log::create("notes");
        log.produce(&[framed(id, b"")]);
        let format = Arc::new(RegistryFormat::new(Arc::clone(&registry), ["notes"], false));
        let records = drain(&mut RegistrySource::new(log.source(), Arc::clone(&format)));
        let value = records[0].value.clone().expect("no tombstone");
        let error = format.to_json("notes", &value).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    let of = |kind: &str, text: &str| serde_json::json!({"schemaType": kind, "schema": text});
    check(of("PROTOBUF", "syntax = \"proto3\";"), "schema 1 is neither Avro nor JSON Schema");
    check(of("AVRO", "{\"type\":\"nothing\"}"), "schema 2 cannot be used");
    let mut referring = of("AVRO", "\"Ward\"");
    referring["references"] = serde_json::json!([{"name": "Ward", "subject": "wards-value", "version": 1}]);
    check(referring, "schema 3 refers to the subject wards-value, and references are not supported");
    let error = registry.schema(3).expect_err("it refers to another");
    assert!(matches!(error, RegistryError::References { .. }), "{error}");
    let other = registry.schema(1).expect("it is there").map(|Schema { kind, .. }| kind);
    assert_eq!(other, Some(SchemaKind::Other));
}

#[test]
fn a_registry_that_fails_at_the_start_is_told() {
    let Some(server) = misbehaving() else { return };
    server.state().failing = Some(500);
    let log = Log::create("quality");
    let config = config_of(&server);
    let topics = [OutputTopic::quality("quality")];
    let error = RegistryCommitter::open(log.committer(), &connect(&config), &config, &topics).err();
    let error = error.expect("it fails").to_string();
    assert!(error.contains("answers 500") && error.contains("/subjects/quality-value"), "{error}");
}
