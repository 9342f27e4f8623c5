use super::super::testing::{said, shown};
use super::super::{InputConfig, InputFormat, Inputs};
use super::FhirNotes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::Path;

/// A document as a server exports it.
fn document(id: &str, text: &str) -> Value {
    json!({
        "resourceType": "DocumentReference",
        "id": id,
        "meta": {"versionId": "3", "lastUpdated": "2026-11-27T09:00:00.000+01:00"},
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": format!("urn:oid:1.2.3.{id}")},
        "identifier": [{"system": "urn:x:documents", "value": format!("doc-{id}")}],
        "status": "current",
        "type": {"coding": [{"system": "urn:x:types", "code": "DS"}, {"system": "http://loinc.org", "code": "18842-5"}]},
        "subject": {"reference": "Patient/p1", "display": "somebody"},
        "date": "2026-11-27T08:00:00-05:00",
        "custodian": {"reference": "Organization/north"},
        "content": [{"attachment": {"contentType": "text/plain; charset=utf-8", "data": STANDARD.encode(text)}}],
    })
}

/// The document with something else at a field.
fn with(mut document: Value, field: &str, value: Value) -> Value {
    document[field] = value;
    document
}

/// With an attachment alone.
fn attached(attachment: Value) -> Value {
    with(document("d", ""), "content", json!([{ "attachment": attachment }]))
}

fn lines(resources: &[Value]) -> Vec<u8> {
    resources.iter().map(|resource| format!("{resource}\n")).collect::<String>().into_bytes()
}

fn of(resource: &Value) -> String {
    let parts = said(InputFormat::Fhir, &InputConfig::default(), &lines(std::slice::from_ref(resource)));
    parts.join("; ")
}

#[test]
fn a_document_is_a_note() {
    let text = "\u{1f912} Fever, no rash.\r\nOn aspirin.";
    let expected = format!("line 1: d1 r3 p=p1 type=18842-5 site=north at=2026-11-27T08:00:00-05:00 | {text}");
    assert_eq!(of(&document("d1", text)), expected);
    // The least that the specification demands.
    let least = json!({
        "resourceType": "DocumentReference", "status": "current", "identifier": [{"value": "x"}],
        "content": [{"attachment": {"contentType": "TEXT/PLAIN", "data": "eA ==\n"}}]
    });
    assert_eq!(of(&least), "line 1: x r0 | x");
}

#[test]
fn fields_are_read_wherever_servers_have_them() {
    let check = |field: &str, value: Value, expected: &str| {
        let shown = of(&with(document("d", "t"), field, value.clone()));
        assert!(shown.contains(expected), "{shown} has no {expected} of {field} {value}");
    };
    check("subject", json!({"reference": "https://ehr.example/fhir/Patient/p2/_history/4"}), " p=p2 ");
    check("subject", json!({"reference": "urn:uuid:0c1d"}), " p=0c1d ");
    check("subject", json!({"identifier": {"value": "p3"}}), " p=p3 ");
    check("subject", json!({"reference": "Group/g1"}), "r3 type=");
    check("subject", json!({"reference": "#contained"}), "r3 type=");
    check("type", json!({"coding": [{"code": "DS"}]}), " type=DS ");
    check("type", json!({"text": "Discharge"}), " type=Discharge ");
    check("custodian", json!({"display": "North"}), " site=North ");
    check("meta", json!({"versionId": "MTY", "lastUpdated": "1970-01-02T00:00:01Z"}), "d r86401 ");
    check("meta", json!({"lastUpdated": "1970-01-02T00:00:01Z"}), "d r86401 ");
    check("meta", json!({"versionId": "-1"}), "d r0 ");
    check("date", Value::Null, "site=north | t");
}

#[test]
fn the_note_is_called_as_the_site_says() {
    let mut config = InputConfig::default();
    config.fhir.note_id_system = Some("urn:x:documents".to_owned());
    let of = |resource: &Value| said(InputFormat::Fhir, &config, &lines(std::slice::from_ref(resource)));
    assert!(of(&document("d1", "t"))[0].starts_with("line 1: doc-d1 r3 "));
    let other = with(document("d1", "t"), "identifier", json!([{"system": "urn:y", "value": "1"}]));
    assert_eq!(
        of(&other),
        [
            "line 1: refused, has no identifier of the system urn:x:documents, which note_id_system names; correct one of them"
        ]
    );
    let identified =
        json!([{"code": "replaces", "target": {"identifier": {"system": "urn:x:documents", "value": "doc-d0"}}}]);
    assert_eq!(of(&with(document("d1", "t"), "relatesTo", identified))[0], "line 1: doc-d0 withdrawn");
    let by_id = json!([{"code": "replaces", "target": {"reference": "DocumentReference/d0"}}]);
    assert!(of(&with(document("d1", "t"), "relatesTo", by_id))[0].contains("replaces a document by another name"));
}

#[test]
fn what_is_not_current_is_withdrawn() {
    for (field, value) in [("status", "entered-in-error"), ("status", "superseded"), ("docStatus", "entered-in-error")]
    {
        assert_eq!(of(&with(document("d1", "t"), field, json!(value))), "line 1: d1 withdrawn", "{field} {value}");
    }
    // Nothing else of it matters.
    assert_eq!(
        of(&with(with(document("d1", "t"), "status", json!("superseded")), "content", json!(7))),
        "line 1: d1 withdrawn"
    );
}

#[test]
fn a_document_withdraws_those_that_it_replaces() {
    let related = |of: Value| with(document("d2", "t"), "relatesTo", of);
    let replaces = |reference: &str| json!({"code": "replaces", "target": {"reference": reference}});
    let note = "line 1: d2 r3 p=p1 type=18842-5 site=north at=2026-11-27T08:00:00-05:00 | t";
    let both = related(json!([
        replaces("DocumentReference/d1"),
        replaces("https://ehr.example/DocumentReference/d0/_history/2")
    ]));
    assert_eq!(of(&both), format!("line 1: d1 withdrawn; line 1: d0 withdrawn; {note}"));
    assert_eq!(of(&related(json!([{"code": "appends", "target": {"reference": "DocumentReference/d1"}}]))), note);
    assert_eq!(of(&related(json!([replaces("DocumentReference/d2")]))), note);
}

#[test]
fn of_a_bundle_the_entries_are_taken() {
    let bundle = json!({
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": {"resourceType": "Patient", "id": "p1"}},
            {"fullUrl": "urn:uuid:1", "resource": with(document("", "one"), "meta", json!({}))},
            {"resource": document("d2", "two")},
            {"fullUrl": "urn:uuid:3", "resource": with(document("d3", "three"), "relatesTo", json!([
                {"code": "replaces", "target": {"reference": "urn:uuid:1"}}
            ]))},
            {"request": {"method": "DELETE", "url": "DocumentReference/d4"}},
            {"request": {"method": "DELETE", "url": "Patient/p4"}},
            {"request": {"method": "DELETE", "url": "DocumentReference?identifier=x"}},
            {"resource": attached(json!({"contentType": "application/pdf", "data": "eA=="}))},
        ],
    });
    let rest = "p=p1 type=18842-5 site=north at=2026-11-27T08:00:00-05:00 |";
    let expected = |place: &dyn Fn(u32) -> String| {
        vec![
            format!("{}: urn:oid:1.2.3. r0 {rest} one", place(2)),
            format!("{}: d2 r3 {rest} two", place(3)),
            format!("{}: urn:oid:1.2.3. withdrawn", place(4)),
            format!("{}: d3 r3 {rest} three", place(4)),
            format!("{}: d4 withdrawn", place(5)),
            format!(
                "{}: refused, request.url deletes a document by another name than note ids have; withdraw that note by itself",
                place(7)
            ),
            format!(
                "{}: refused, content is of the type application/pdf and only text/plain is read; have the source send that, \
                 or convert it before",
                place(8)
            ),
        ]
    };
    let pretty = serde_json::to_vec_pretty(&bundle).unwrap();
    let config = InputConfig::default();
    let whole = FhirNotes::over(&pretty[..], Path::new("bundle.json"), &Inputs::new(&config).unwrap(), 1 << 20);
    let by_entry = expected(&|number| format!("entry {number}"));
    assert_eq!(whole.map(|part| shown(part.unwrap())).collect::<Vec<_>>(), by_entry);
    // In NDJSON a bundle is a line, and others follow.
    let both = lines(&[bundle, document("d9", "nine")]);
    let mut by_line = expected(&|_| "line 1".to_owned());
    by_line.push(format!("line 2: d9 r3 {rest} nine"));
    assert_eq!(said(InputFormat::Fhir, &config, &both), by_line);
}

#[test]
fn a_history_is_read_from_its_oldest_version_on() {
    let version = |number: &str, text: &str, status: &str| {
        let document = with(document("d1", text), "meta", json!({ "versionId": number }));
        json!({"resource": with(document, "status", json!(status))})
    };
    let of = |newest: &Value| {
        let entries = json!([newest, version("1", "one", "current")]);
        let bundle = json!({"resourceType": "Bundle", "type": "history", "entry": entries});
        said(InputFormat::Fhir, &InputConfig::default(), &lines(&[bundle]))
    };
    let rest = "p=p1 type=18842-5 site=north at=2026-11-27T08:00:00-05:00 |";
    let first = format!("line 1: d1 r1 {rest} one");
    assert_eq!(of(&version("2", "two", "current")), [first.clone(), format!("line 1: d1 r2 {rest} two")]);
    let withdrawn = [first, "line 1: d1 withdrawn".to_owned()];
    assert_eq!(of(&version("2", "two", "entered-in-error")), withdrawn);
    for url in ["DocumentReference/d1", "DocumentReference/d1/_history/2"] {
        assert_eq!(of(&json!({"request": {"method": "DELETE", "url": url}})), withdrawn, "{url}");
    }
}

#[test]
fn one_resource_may_be_a_file_in_any_layout() {
    let pretty = serde_json::to_string_pretty(&document("d1", "t")).unwrap();
    let note = "d1 r3 p=p1 type=18842-5 site=north at=2026-11-27T08:00:00-05:00 | t";
    let of = |text: String| said(InputFormat::Fhir, &InputConfig::default(), text.as_bytes());
    // A file called .ndjson is one of lines.
    assert!(of(pretty.clone()).iter().all(|part| part.contains("refused")));
    let inputs = Inputs::new(&InputConfig::default()).unwrap();
    for text in [pretty.clone(), format!("\u{feff}{pretty}\n\n"), pretty.replace('\n', "\r\n")] {
        let parts = FhirNotes::over(text.as_bytes(), Path::new("a.json"), &inputs, 1 << 20);
        assert_eq!(parts.map(|part| shown(part.unwrap())).collect::<Vec<_>>(), [format!("file: {note}")]);
    }
}

#[test]
fn what_is_wrong_names_its_field_and_no_text() {
    let check = |resource: Value, expected: &str| {
        let shown = of(&resource);
        assert!(shown.starts_with(&format!("line 1: refused, {expected}")), "{shown}");
        assert!(!shown.contains("zebra"), "{shown}");
    };
    let data = |data: &str| attached(json!({"contentType": "text/plain", "data": data}));
    check(data("zebra fever!"), "content[0].attachment.data is no Base64; get it again");
    check(data("emVicmE"), "content[0].attachment.data is no Base64");
    check(data(&STANDARD.encode(b"zebra\xe9")), "content[0].attachment.data is not UTF-8 from its byte 5 on");
    check(attached(json!({"contentType": "text/plain", "data": 7})), "content[0].attachment.data is no text");
    check(attached(json!({"contentType": "text/plain"})), "content[0].attachment has no data");
    check(
        attached(json!({"contentType": "text/plain", "url": "Binary/1"})),
        "content[0].attachment has its data at a URL",
    );
    check(
        attached(json!({"contentType": "text/plain; charset=utf-16", "data": "eA=="})),
        "content[0].attachment.data is in a charset",
    );
    check(
        attached(json!({"contentType": "text/html", "data": "eA=="})),
        "content is of the type text/html and only text/plain is read",
    );
    check(attached(json!({"data": "eA=="})), "content is of the type that contentType does not tell");
    check(attached(json!({"contentType": "zebra fever"})), "content is of the type that contentType tells");
    check(with(document("d", ""), "content", json!([])), "content is empty");
    check(with(document("d", ""), "content", json!({})), "content is no list");
    check(with(document("d", ""), "status", json!("zebra")), "status is none of current");
    check(with(document("d", ""), "date", json!("zebra")), "date is no instant");
    check(with(document("d", ""), "meta", json!({"lastUpdated": "zebra"})), "meta.lastUpdated is no instant");
    check(with(document("d", ""), "id", json!(7)), "id is no text");
    check(json!({"resourceType": "DocumentReference", "content": []}), "has neither an id nor an identifier");
    check(json!({"note_id": "n", "text": "zebra"}), "has no resourceType");
    check(json!({"resourceType": "Bundle", "entry": {}}), "entry is no list");
    check(json!(["zebra"]), "has no resourceType");
}

#[test]
fn the_first_plain_text_is_read_in_its_charset() {
    let contents = json!([
        {"attachment": {"contentType": "application/pdf", "data": "eA=="}},
        {"attachment": {"contentType": "text/plain", "url": "Binary/1"}},
        {"attachment": {"contentType": "text/plain;charset=ISO-8859-1", "data": STANDARD.encode(b"Fi\xe8vre")}},
        {"attachment": {"contentType": "text/plain", "data": "eA=="}},
    ]);
    assert!(of(&with(document("d", ""), "content", contents)).ends_with("| Fi\u{e8}vre"));
}

#[test]
fn lines_that_are_wrong_do_not_end_the_file() {
    let good = document("d1", "t").to_string();
    let cut = &good[..good.len() / 2];
    let deep = "[".repeat(100_000);
    let text = format!("{good}\n\n{cut}\n{{\"id\":\"\\ud800\"}}\n{deep}\n{{\"id\":\"\u{1f912}\"\n{good}\n{cut}");
    let said = said(InputFormat::Fhir, &InputConfig::default(), text.as_bytes());
    let expected = [
        "line 1: d1 r3 ",
        "line 3: refused, is not JSON: corrupt at line 1, column ",
        "line 4: refused, is not JSON: corrupt at line 1, column ",
        "line 5: refused, is not JSON: corrupt at line 1, column ",
        "line 6: refused, is not JSON: corrupt at line 1, column ",
        "line 7: d1 r3 ",
        "line 8: refused, is not JSON: corrupt at line 1, column ",
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    assert!(said.iter().zip(expected).all(|(said, expected)| said.starts_with(expected)), "{said:?}");
}

#[test]
fn a_file_without_documents_says_so_unless_it_is_empty() {
    let patient = json!({"resourceType": "Patient", "id": "p1"});
    assert_eq!(of(&patient), "file: refused, holds no DocumentReference; give the file that has the documents");
    assert_eq!(said(InputFormat::Fhir, &InputConfig::default(), b""), Vec::<String>::new());
}

#[test]
fn a_resource_that_is_too_large_is_passed_over() {
    let inputs = Inputs::new(&InputConfig::default()).unwrap();
    let small = document("d1", "t");
    let large = document("d2", &"fever ".repeat(1000)).to_string();
    let parts = |name: &str, text: &str| -> Vec<String> {
        FhirNotes::over(text.as_bytes(), Path::new(name), &inputs, 2000).map(|part| shown(part.unwrap())).collect()
    };
    let shown = parts("a.ndjson", &format!("{large}\n{small}\n"));
    assert_eq!(shown[0], "line 1: refused, has over 2000 bytes; split it");
    assert!(shown[1].starts_with("line 2: d1 r3 ") && shown.len() == 2);
    let whole = parts("a.json", &large.replacen('{', "{\n", 1));
    assert_eq!(whole, ["file: refused, has over 2000 bytes as one resource; write its entries as NDJSON, a line each"]);
}
