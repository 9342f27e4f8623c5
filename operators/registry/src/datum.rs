//! From a datum in Avro's binary encoding to JSON.
//!
//! Written here and not taken from `apache-avro`, whose reader takes a string, a boolean or a union at the end of a message that
//! was cut off for null, and reserves memory by what a message says of its length. This one reads every byte or fails, allocates
//! in proportion to what it has read, and writes the JSON without a tree in between.
//! The encoding: <https://avro.apache.org/docs/1.12.0/specification/#binary-encoding>.

use crate::shape::{SCHEMA_NODES_MAX, Shape};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Why a datum cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Avro datum is damaged before byte {at}: {what}")]
pub(crate) struct DatumError {
    at: usize,
    what: &'static str,
}

/// The JSON of a datum that was written with the schema of `shape`: bytes as Base64, enums and map keys as strings, a union as its
/// branch alone, a field that is null as null.
pub(crate) fn datum_to_json(shape: &Shape, datum: &[u8]) -> Result<Vec<u8>, DatumError> {
    // All but null, and records without fields, take at least a byte: a union one for two values. So a datum that needs more values
    // than this says that it holds ever more of nothing.
    let values_left = SCHEMA_NODES_MAX + 2 * datum.len();
    let mut reading = Reading { datum, at: 0, values_left, json: Vec::with_capacity(2 * datum.len()) };
    match reading.value(shape) {
        Ok(()) if reading.at == datum.len() => Ok(reading.json),
        Ok(()) => Err(reading.error("it goes on after its end")),
        Err(what) => Err(reading.error(what)),
    }
}

struct Reading<'a> {
    datum: &'a [u8],
    at: usize,
    values_left: usize,
    json: Vec<u8>,
}

/// What is wrong.
type Step<T> = Result<T, &'static str>;

impl<'a> Reading<'a> {
    fn error(&self, what: &'static str) -> DatumError {
        DatumError { at: self.at, what }
    }

    fn value(&mut self, shape: &Shape) -> Step<()> {
        self.values_left = self.values_left.checked_sub(1).ok_or("it has more values than bytes")?;
        match shape {
            Shape::Null => self.write(&()),
            Shape::Boolean => match self.take(1)? {
                [0] => self.write(&false),
                [1] => self.write(&true),
                _ => Err("a boolean is neither 0 nor 1"),
            },
            Shape::Int => {
                let value = self.long()?;
                self.write(&i32::try_from(value).map_err(|_| "an int has over 32 bits")?)
            }
            Shape::Long => {
                let value = self.long()?;
                self.write(&value)
            }
            Shape::Float => {
                let value = f32::from_le_bytes(self.array()?);
                if value.is_finite() { self.write(&value) } else { Err("a float is not finite") }
            }
            Shape::Double => {
                let value = f64::from_le_bytes(self.array()?);
                if value.is_finite() { self.write(&value) } else { Err("a double is not finite") }
            }
            Shape::Bytes => {
                let bytes = self.counted()?;
                self.write(&STANDARD.encode(bytes))
            }
            Shape::Fixed(length) => {
                let bytes = self.take(*length)?;
                self.write(&STANDARD.encode(bytes))
            }
            Shape::String => self.string(),
            Shape::Enum(symbols) => {
                let symbol = self.pick(symbols, "an enum has no such symbol")?;
                self.write(symbol)
            }
            Shape::Union(branches) => {
                let branch = self.pick(branches, "a union has no such branch")?;
                self.value(branch)
            }
            Shape::Array(items) => self.blocks([b'[', b']'], |reading| reading.value(items)),
            Shape::Map(values) => self.blocks([b'{', b'}'], |reading| {
                reading.string()?;
                reading.json.push(b':');
                reading.value(values)
            }),
            Shape::Record(fields) => self.record(fields),
        }
    }

    fn record(&mut self, fields: &[(String, Shape)]) -> Step<()> {
        self.json.push(b'{');
        for (index, (name, shape)) in fields.iter().enumerate() {
            self.separate(index == 0);
            self.write(name)?;
            self.json.push(b':');
            self.value(shape)?;
        }
        self.json.push(b'}');
        Ok(())
    }

    /// Items in blocks, each with its count before it; a count of 0 ends them. After a negative count stands the size of the block,
    /// which only helps to skip it.
    fn blocks(&mut self, [open, close]: [u8; 2], item: impl Fn(&mut Self) -> Step<()>) -> Step<()> {
        self.json.push(open);
        let mut is_first = true;
        loop {
            let count = self.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                self.separate(is_first);
                is_first = false;
                item(self)?;
            }
        }
        self.json.push(close);
        Ok(())
    }

    fn separate(&mut self, is_first: bool) {
        if !is_first {
            self.json.push(b',');
        }
    }

    fn string(&mut self) -> Step<()> {
        let text = std::str::from_utf8(self.counted()?).map_err(|_| "a string is not UTF-8")?;
        self.write(text)
    }

    fn pick<'s, T>(&mut self, choices: &'s [T], otherwise: &'static str) -> Step<&'s T> {
        usize::try_from(self.long()?).ok().and_then(|index| choices.get(index)).ok_or(otherwise)
    }

    fn counted(&mut self) -> Step<&'a [u8]> {
        let length = self.long()?;
        self.take(usize::try_from(length).map_err(|_| "a length is negative")?)
    }

    /// A variable-length zigzag number.
    fn long(&mut self) -> Step<i64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err("a number has over 64 bits")
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn take(&mut self, length: usize) -> Step<&'a [u8]> {
        let bytes = self.datum[self.at..].get(..length).ok_or("it ends too early")?;
        self.at += length;
        Ok(bytes)
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Step<()> {
        serde_json::to_writer(&mut self.json, value).map_err(|_| "a value cannot be written as JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apache_avro::Schema;
    use apache_avro::types::Value;
    use apache_avro::writer::datum::GenericDatumWriter;
    use proptest::prelude::*;

    const EVERYTHING: &str = r#"{"type":"record","name":"R","fields":[
        {"name":"null","type":"null"}, {"name":"boolean","type":"boolean"}, {"name":"int","type":"int"},
        {"name":"long","type":"long"}, {"name":"float","type":"float"}, {"name":"double","type":"double"},
        {"name":"bytes","type":"bytes"}, {"name":"string","type":"string"},
        {"name":"fixed","type":{"type":"fixed","name":"F","size":2}},
        {"name":"enum","type":{"type":"enum","name":"E","symbols":["a","b"]}},
        {"name":"array","type":{"type":"array","items":["null","string"]}},
        {"name":"map","type":{"type":"map","values":"long"}},
        {"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;

    /// A value of every type, and the JSON that is expected of it. A map has one entry at most: its order is not defined.
    fn everything() -> impl Strategy<Value = (Value, serde_json::Value)> {
        let numbers = (any::<bool>(), any::<i32>(), any::<i64>(), -1e30f32..1e30, -1e300f64..1e300);
        let texts = (any::<Vec<u8>>(), ".*", any::<[u8; 2]>(), 0u32..2);
        let many = (prop::collection::vec(prop::option::of(".*"), 0..4), prop::option::of((".*", any::<i64>())));
        (numbers, texts, many).prop_map(|((boolean, int, long, float, double), (bytes, text, fixed, symbol), (items, entry))| {
            let name = ["a", "b"][symbol as usize];
            // As a double it would be written with the digits of a double.
            let shortest: f64 = float.to_string().parse().unwrap();
            let json = serde_json::json!({
                "null": null, "boolean": boolean, "int": int, "long": long, "float": shortest, "double": double,
                "bytes": STANDARD.encode(&bytes), "string": text, "fixed": STANDARD.encode(fixed), "enum": name,
                "array": items, "map": entry.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(), "time": long,
            });
            let item = |item: &Option<String>| match item {
                None => Value::Union(0, Box::new(Value::Null)),
                Some(text) => Value::Union(1, Box::new(Value::String(text.clone()))),
            };
            let fields = [
                ("null", Value::Null),
                ("boolean", Value::Boolean(boolean)),
                ("int", Value::Int(int)),
                ("long", Value::Long(long)),
                ("float", Value::Float(float)),
                ("double", Value::Double(double)),
                ("bytes", Value::Bytes(bytes)),
                ("string", Value::String(text)),
                ("fixed", Value::Fixed(2, fixed.to_vec())),
                ("enum", Value::Enum(symbol, name.to_owned())),
                ("array", Value::Array(items.iter().map(item).collect())),
                ("map", Value::Map(entry.into_iter().map(|(key, value)| (key, Value::Long(value))).collect())),
                ("time", Value::TimestampMillis(long)),
            ];
            (Value::Record(fields.map(|(name, value)| (name.to_owned(), value)).to_vec()), json)
        })
    }

    fn written(value: Value) -> Vec<u8> {
        let schema = Schema::parse_str(EVERYTHING).unwrap();
        GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap()
    }

    fn check(schema: &str, datum: &[u8], expected: &str) {
        let outcome = match datum_to_json(&Shape::of(schema).unwrap(), datum) {
            Ok(json) => String::from_utf8(json).unwrap(),
            Err(error) => error.to_string(),
        };
        assert_eq!(outcome, expected, "{schema}: {datum:?}");
    }

    fn check_damaged(schema: &str, datum: &[u8], at: usize, what: &str) {
        check(schema, datum, &format!("the Avro datum is damaged before byte {at}: {what}"));
    }

    #[test]
    fn examples_of_the_specification() {
        for (datum, expected) in [(&[0][..], "0"), (&[1], "-1"), (&[2], "1"), (&[0x7f], "-64"), (&[0x80, 1], "64")] {
            check(r#""long""#, datum, expected);
        }
        check(r#""string""#, b"\x06foo", r#""foo""#);
        check(r#"["null","string"]"#, b"\x02\x02a", r#""a""#);
        check(r#"["null","string"]"#, b"\x00", "null");
        check(r#"{"type":"array","items":"long"}"#, &[4, 6, 54, 0], "[3,27]");
        // The same in two blocks, the second with its size.
        check(r#"{"type":"array","items":"long"}"#, &[2, 6, 1, 2, 54, 0], "[3,27]");
        let fields = r#"{"name":"a","type":"long"},{"name":"b","type":"string"}"#;
        let record = format!(r#"{{"type":"record","name":"test","fields":[{fields}]}}"#);
        check(&record, b"\x36\x06foo", r#"{"a":27,"b":"foo"}"#);
    }

    #[test]
    fn the_greatest_numbers() {
        let max = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        check(r#""long""#, &max, "9223372036854775807");
        let min = [0xff; 9].into_iter().chain([1]).collect::<Vec<_>>();
        check(r#""long""#, &min, "-9223372036854775808");
        check_damaged(r#""int""#, &max, 10, "an int has over 32 bits");
        check_damaged(r#""long""#, &[0xff; 11], 10, "a number has over 64 bits");
        check_damaged(r#""double""#, &f64::NAN.to_le_bytes(), 8, "a double is not finite");
    }

    #[test]
    fn damage_is_named() {
        check_damaged(r#""string""#, b"\x06fo", 1, "it ends too early");
        check_damaged(r#""string""#, b"\x06fooo", 4, "it goes on after its end");
        check_damaged(r#""string""#, b"\x02\xff", 2, "a string is not UTF-8");
        check_damaged(r#""string""#, b"\x01", 1, "a length is negative");
        check_damaged(r#""boolean""#, b"\x02", 1, "a boolean is neither 0 nor 1");
        check_damaged(r#"["null","long"]"#, b"\x04", 1, "a union has no such branch");
        check_damaged(r#"["null","long"]"#, b"", 0, "it ends too early");
        check_damaged(r#"{"type":"enum","name":"E","symbols":["a"]}"#, b"\x02", 1, "an enum has no such symbol");
    }

    #[test]
    fn memory_follows_the_bytes_and_not_what_they_say() {
        let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        check_damaged(r#""bytes""#, &many, 10, "it ends too early");
        check_damaged(r#"{"type":"array","items":"long"}"#, &many, 10, "it ends too early");
        check_damaged(r#"{"type":"array","items":"null"}"#, &many, 10, "it has more values than bytes");
        let nothing = r#"{"type":"array","items":{"type":"record","name":"R","fields":[]}}"#;
        check_damaged(nothing, &many, 10, "it has more values than bytes");
    }

    proptest! {
        #[test]
        fn what_apache_avro_writes_is_read((value, expected) in everything()) {
            let shape = Shape::of(EVERYTHING).unwrap();
            let datum = written(value);
            let json: serde_json::Value = serde_json::from_slice(&datum_to_json(&shape, &datum).unwrap()).unwrap();
            // `serde_json` may be off by the last bit when it reads a number: both sides are read from text.
            prop_assert_eq!(json, serde_json::from_str::<serde_json::Value>(&expected.to_string()).unwrap());
            for length in 0..datum.len() {
                prop_assert!(datum_to_json(&shape, &datum[..length]).is_err(), "cut at {}", length);
            }
        }

        #[test]
        fn any_bytes_are_json_or_an_error(datum in prop::collection::vec(any::<u8>(), 0..200)) {
            for schema in [EVERYTHING, stillroom_schemas::avro::NOTE, stillroom_schemas::avro::EXTRACTION] {
                if let Ok(json) = datum_to_json(&Shape::of(schema).unwrap(), &datum) {
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
                }
            }
        }

        #[test]
        fn one_changed_byte_is_json_or_an_error((value, _) in everything(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut datum = written(value);
            let at = at.index(datum.len());
            datum[at] = byte;
            if let Ok(json) = datum_to_json(&Shape::of(EVERYTHING).unwrap(), &datum) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
            }
        }
    }
}
