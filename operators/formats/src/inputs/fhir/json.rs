//! Values in JSON, by their paths.

use serde_json::Value;

/// The text at `pointer` (RFC 6901), if there is one that is not empty.
///
/// # Errors
/// When something else is there.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> Result<Option<&'v str>, String> {
    match value.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(_) => Err(format!("{} is no text; correct it", shown(pointer))),
    }
}

/// The items of the list at `pointer`; none where there is no list.
///
/// # Errors
/// When something else is there.
pub(super) fn items<'v>(value: &'v Value, pointer: &str) -> Result<&'v [Value], String> {
    match value.pointer(pointer) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("{} is no list; correct it", shown(pointer))),
    }
}

/// `/content/0/attachment` as `content[0].attachment`.
fn shown(pointer: &str) -> String {
    let mut shown = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            shown += &format!("[{part}]");
        } else {
            shown += if shown.is_empty() { "" } else { "." };
            shown += part;
        }
    }
    shown
}

/// What is wrong with something that is no JSON. The parser's own words may quote it, so only the place is taken from them.
pub(super) fn not_json(error: &serde_json::Error) -> String {
    format!("is not JSON: corrupt at line {}, column {}; get it again", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_of_another_type_is_named() {
        let value = json!({"content": [{"attachment": {"data": 7, "title": " t ", "url": null, "creation": ""}}]});
        let at = |name: &str| text(&value, &format!("/content/0/attachment/{name}"));
        assert_eq!(at("data"), Err("content[0].attachment.data is no text; correct it".to_owned()));
        assert_eq!(at("title"), Ok(Some("t")));
        assert_eq!([at("url"), at("creation"), at("hash")], [Ok(None), Ok(None), Ok(None)]);
        assert_eq!(items(&value, "/content").map(<[Value]>::len), Ok(1));
        assert_eq!(items(&value, "/entry").map(<[Value]>::len), Ok(0));
        assert_eq!(items(&value, "/content/0"), Err("content[0] is no list; correct it".to_owned()));
    }
}
