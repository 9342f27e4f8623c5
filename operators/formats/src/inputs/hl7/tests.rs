use super::super::testing::{said, shown};
use super::super::{InputConfig, InputFormat, Inputs};
use super::Hl7Notes;
use std::path::Path;

/// A message on the document 4711, sent at a second of the 27th of November.
fn mdm(event: &str, second: u8, more: &str) -> String {
    format!(
        "MSH|^~\\&|EPIC|NORTH|STILLROOM|HQ|202611270800{second:02}+0100||MDM^{event}^MDM_T02|MSG{second}|P|2.5||||||UNICODE UTF-8\r\
         EVN|{event}|20261127080000\r\
         PID|1||99^^^OTHER^PI~p1^^^NORTH^MR||DOE^JANE\r\
         PV1|1|I\r\
         TXA|1|DS|TX|20261127073000||||||||4711^EPIC|4710^EPIC\r\
         {more}"
    )
}

fn obx(number: u8, value_type: &str, value: &str) -> String {
    format!("OBX|{number}|{value_type}|18842-5^Discharge summary^LN||{value}||||||F\r")
}

fn of_bytes(message: &[u8]) -> Vec<String> {
    said(InputFormat::Hl7, &InputConfig::default(), message)
}

fn of(message: &str) -> Vec<String> {
    of_bytes(message.as_bytes())
}

/// The second of the message that was sent at this one.
fn revision(second: u64) -> u64 {
    1_795_762_800 + second
}

fn note(place: u32, second: u64, text: &str) -> String {
    let revision = revision(second);
    format!("message {place}: 4711^EPIC r{revision} p=p1 type=DS site=NORTH at=2026-11-27T07:30:00+01:00 | {text}")
}

#[test]
fn a_document_is_a_note_and_its_edit_a_later_revision() {
    let new =
        mdm("T02", 0, &(obx(1, "TX", r"Fever \T\ rash.") + &obx(2, "TX", "") + &obx(3, "TX", "On aspirin~and more.")));
    let edited = mdm("T08", 7, &obx(1, "FT", r"No fever.\.br\\H\On\N\ aspirin."));
    assert_eq!(
        of(&(new + &edited)),
        [note(1, 0, "Fever & rash.\n\nOn aspirin\nand more."), note(2, 7, "No fever.\nOn aspirin."),]
    );
}

#[test]
fn a_cancellation_withdraws_the_note() {
    assert_eq!(of(&mdm("T11", 9, "")), ["message 1: 4711^EPIC withdrawn"]);
    // Whatever stands in it besides.
    assert_eq!(of(&mdm("T11", 9, &obx(1, "ED", "x"))), ["message 1: 4711^EPIC withdrawn"]);
}

#[test]
fn a_replacement_withdraws_the_note_that_it_replaces() {
    let replaced = "message 1: 4710^EPIC withdrawn".to_owned();
    assert_eq!(of(&mdm("T10", 1, &obx(1, "TX", "new"))), [replaced, note(1, 1, "new")]);
    // An addendum stands beside its parent, and so does an edit.
    for event in ["T06", "T08", "T02"] {
        assert_eq!(of(&mdm(event, 1, &obx(1, "TX", "new"))), [note(1, 1, "new")]);
    }
}

fn oru(more: &str) -> String {
    format!("MSH|^~\\&|LAB|NORTH|||20261127080000||ORU^R01|42|P|2.3\rPID|1||p1\r{more}")
}

#[test]
fn the_texts_of_a_report_are_a_note_each() {
    let message = oru("ORC|RE|9\r\
         OBR|1|8|100^RIS|71020^Chest^C4|||20261127070000|||||||||||||||20261127073000-0500||RAD|F\r\
         OBX|1|ST|IMP^Impression||No pneumonia.||||||F\r\
         OBX|2|NM|1^Dose||7|mSv|||||F\r\
         OBX|3|TX|2^Body||Wrong.||||||W\r\
         OBX|4|FT|2^Body||Clear lungs.||||||C\r\
         OBR|2||101|2^Potassium\r\
         OBX|1|NM|2^Potassium||4.1\r\
         OBR|3|12||3^Note|||20261127\r\
         OBX|1|TX|3||Second.\r\
         PID|2||p2\r\
         OBR|4||103|3^Note|||||||||||||||||||||X\r");
    let at = 1_795_766_400;
    assert_eq!(
        of(&message),
        [
            format!(
                "message 1: 100^RIS r{at} p=p1 type=RAD site=NORTH at=2026-11-27T07:30:00-05:00 | No pneumonia.\nClear lungs."
            ),
            format!("message 1: 12 r{at} p=p1 type=3 site=NORTH at=2026-11-27 | Second."),
            "message 1: 103 withdrawn".to_owned(),
        ]
    );
}

#[test]
fn zones_are_those_of_the_time_or_the_message_or_the_site() {
    let check = |sent: &str, activity: &str, utc_offset: Option<&str>, expected: &str| {
        let mut config = InputConfig::default();
        config.dates.utc_offset = utc_offset.map(str::to_owned);
        let message = format!("MSH|^~\\&|||||{sent}||MDM^T02\rTXA|1||TX|{activity}||||||||n\rOBX|1|TX|||x\r");
        assert_eq!(said(InputFormat::Hl7, &config, message.as_bytes()), [format!("message 1: n {expected} | x")]);
    };
    check("20261127080000", "202611270730", None, "r1795766400 at=2026-11-27T07:30:00");
    check("20261127080000", "202611270730", Some("-05:00"), "r1795784400 at=2026-11-27T07:30:00-05:00");
    check("20261127080000+0100", "202611270730", Some("-05:00"), "r1795762800 at=2026-11-27T07:30:00+01:00");
    check("20261127080000.1234+0100", "20261127073000.5-0800", None, "r1795762800 at=2026-11-27T07:30:00-08:00");
    check("20261127", "20261127", Some("-05:00"), "r1795737600 at=2026-11-27");
    check("202611", "2026", None, "r0");
    check("", "", None, "r0");
}

#[test]
fn delimiters_and_line_ends_are_those_of_the_message() {
    let expected = ["message 1: 4^X r0 p=p1 | one|two\n*three"];
    let own = "MSH#*@!%#######MDM*T02#9\rPID#1##p1\rTXA#1###########4*X\rOBX#1#TX###one|two!.br!!S!three";
    assert_eq!(of(own), expected);
    for end in ["\n", "\r\n", "\r"] {
        let message = mdm("T02", 0, &obx(1, "TX", "x")).replace('\r', end);
        assert_eq!(of(&message), [note(1, 0, "x")], "{end:?}");
    }
    // Where segments end with CR, LF is text.
    assert_eq!(of(&mdm("T02", 0, &obx(1, "TX", "one\ntwo"))), [note(1, 0, "one\ntwo")]);
    let framed = format!("\x0b{}\x1c\r\x0b{}\x1c\r", mdm("T02", 0, &obx(1, "TX", "x")), mdm("T11", 1, ""));
    assert_eq!(of(&framed), [note(1, 0, "x"), "message 2: 4711^EPIC withdrawn".to_owned()]);
}

#[test]
fn texts_are_in_the_declared_character_set() {
    let declared = |charset: &str, text: &[u8]| {
        let message = mdm("T02", 0, "").replace("UNICODE UTF-8", charset);
        of_bytes(&[message.as_bytes(), b"OBX|1|TX|||", text, b"\r"].concat())
    };
    let read = |text: &str| vec![note(1, 0, text)];
    assert_eq!(declared("UNICODE UTF-8", "Fi\u{e8}vre \u{1f912}".as_bytes()), read("Fi\u{e8}vre \u{1f912}"));
    assert_eq!(declared("8859/1", b"Fi\xe8vre \\XE8\\"), read("Fi\u{e8}vre \u{e8}"));
    assert_eq!(declared("", b"Fever"), read("Fever"));
    assert_eq!(declared("ASCII~UNICODE", b"Fever"), read("Fever"));
    assert_eq!(declared("", "Fi\u{e8}vre".as_bytes()), read("Fi\u{e8}vre"));
    let undeclared = declared("", b"zebra\xe8fever");
    assert!(
        undeclared[0].starts_with("message 1: refused, OBX-5 is not UTF-8 from its byte 5 on; declare"),
        "{undeclared:?}"
    );
    let other = declared("UNICODE UTF-16", b"zebra");
    assert!(other[0].starts_with("message 1: refused, is in a character set in MSH-18 that is not read"), "{other:?}");
    let switched = declared("", b"zebra \\C2842\\");
    assert!(switched[0].starts_with("message 1: refused, OBX-5 switches to another character set"), "{switched:?}");
}

#[test]
fn what_is_wrong_names_its_field_and_message_and_no_text() {
    let check = |message: &str, expected: &str| {
        let said = of(message);
        assert!(said.len() == 1 && said[0].starts_with(&format!("message 1: refused, {expected}")), "{said:?}");
        assert!(!said[0].contains("zebra"), "{said:?}");
    };
    let text = obx(1, "TX", "zebra");
    let good = mdm("T02", 3, &text);
    check(
        &mdm("T02", 3, ""),
        "has no text: of its OBX none is of the type TX, FT or ST and stands; there is none (its control id is MSG3)",
    );
    check(
        &mdm("T02", 3, &obx(1, "ED", "zebra")),
        "has no text: of its OBX none is of the type TX, FT or ST and stands; there is ED (its",
    );
    check(&mdm("T01", 3, &text), "is of the type MDM^T01 in MSH-9, which has no text of a note");
    check(&good.replace("MDM^T02", "ADT^A08"), "is of the type ADT^A08 in MSH-9");
    check(&good.replace("MDM^T02^MDM_T02", "zebra fever"), "is of the type ?^T02 in MSH-9");
    check(&good.replace("4711^EPIC", ""), "has no document number in TXA-12; give it one (its control id is MSG3)");
    check(&good.replace("TXA|", "ZXA|"), "has no segment TXA");
    check(&good.replace("20261127073000", "zebra"), "has no time in TXA-4; write it as YYYYMMDDHHMMSS+ZZZZ");
    check(&good.replace("20261127080003", "20260230080003"), "has no time in MSH-7");
    check(&good.replace("PV1|1|I", "zebra fever"), "has a segment 4 without a name; write line ends in texts as");
    check("MSH", "does not begin with MSH");
    check("MSH|", "declares no delimiters");
    check("MSH|^~\\&|||||||ORU^R01\rOBR|1\rOBX|1|TX|||zebra", "has no order number in OBR-3 or OBR-2");
    check("note_id,text\nn,zebra\n", "does not begin with MSH");
    check(&format!("\x0b{good}"), "was cut off: the frame that begins it does not end");
}

#[test]
fn a_message_that_is_wrong_does_not_end_the_file() {
    let good = mdm("T02", 0, &obx(1, "TX", "x"));
    let file = [good.clone(), mdm("T01", 1, ""), "MSH|^^^^|\r".to_owned(), good.clone()].concat();
    let said = of(&file);
    assert_eq!([&said[0], &said[3]], [&note(1, 0, "x"), &note(4, 0, "x")]);
    assert!(said.len() == 4 && said[1].contains("2: refused") && said[2].contains("3: refused"), "{said:?}");
}

#[test]
fn a_message_of_any_length_is_held_only_up_to_a_bound() {
    use std::io::Read;
    let inputs = Inputs::new(&InputConfig::default()).unwrap();
    let begins = mdm("T02", 0, "OBX|1|TX|||");
    let good = mdm("T02", 1, &obx(1, "TX", "x"));
    let endless = begins.as_bytes().chain(std::io::repeat(b'x').take(1 << 22)).chain(&b"\r"[..]).chain(good.as_bytes());
    let notes = Hl7Notes::over(endless, Path::new("a.hl7"), &inputs, 1 << 16);
    let said: Vec<String> = notes.map(|part| shown(part.unwrap())).collect();
    assert_eq!(
        said,
        ["message 1: refused, is too long; split it, or leave out what is not text".to_owned(), note(2, 1, "x")]
    );
}
