//! What reading a datum needs of an Avro schema.
//!
//! Names are replaced by what they stand for, so that a schema is a tree of bounded size and depth: a record that holds itself
//! could be nested as deep as a message is long. No record of stillroom needs that.

use apache_avro::Schema;
use apache_avro::schema::{Name, UuidSchema};
use std::collections::HashMap;

/// Nodes of a schema at most, with names replaced.
pub(crate) const SCHEMA_NODES_MAX: usize = 10_000;

/// Levels of a schema at most.
const SCHEMA_LEVELS_MAX: usize = 64;

/// A schema without names and references. Logical types are what they are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    Record(Vec<(String, Shape)>),
}

impl Shape {
    /// The shape of the schema in `text`; the error says what is wrong with the schema.
    pub(crate) fn of(text: &str) -> Result<Shape, String> {
        let schema = Schema::parse_str(text).map_err(|error| error.to_string())?;
        let mut shaping = Shaping { named: HashMap::new(), nodes: 0 };
        let shape = shaping.shape(&schema)?;
        match shape.levels() {
            levels if levels > SCHEMA_LEVELS_MAX => {
                Err(format!("it is nested {levels} deep, over {SCHEMA_LEVELS_MAX}"))
            }
            _ => Ok(shape),
        }
    }

    fn children(&self) -> Box<dyn Iterator<Item = &Shape> + '_> {
        match self {
            Shape::Array(inner) | Shape::Map(inner) => Box::new(std::iter::once(&**inner)),
            Shape::Union(branches) => Box::new(branches.iter()),
            Shape::Record(fields) => Box::new(fields.iter().map(|(_, shape)| shape)),
            _ => Box::new(std::iter::empty()),
        }
    }

    fn nodes(&self) -> usize {
        1 + self.children().map(Shape::nodes).sum::<usize>()
    }

    fn levels(&self) -> usize {
        1 + self.children().map(Shape::levels).max().unwrap_or(0)
    }
}

struct Shaping {
    /// Complete types by name; none while a type is not complete.
    named: HashMap<Name, Option<Shape>>,
    nodes: usize,
}

impl Shaping {
    fn shape(&mut self, schema: &Schema) -> Result<Shape, String> {
        self.count(1)?;
        Ok(match schema {
            Schema::Null => Shape::Null,
            Schema::Boolean => Shape::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Shape::Int,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Shape::Long,
            Schema::Float => Shape::Float,
            Schema::Double => Shape::Double,
            Schema::Bytes => Shape::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Shape::String,
            Schema::Fixed(fixed) => self.complete(&fixed.name, Shape::Fixed(fixed.size)),
            Schema::Enum(symbols) => self.complete(&symbols.name, Shape::Enum(symbols.symbols.clone())),
            Schema::Array(array) => Shape::Array(Box::new(self.shape(&array.items)?)),
            Schema::Map(map) => Shape::Map(Box::new(self.shape(&map.types)?)),
            Schema::Union(union) => {
                Shape::Union(union.variants().iter().map(|branch| self.shape(branch)).collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => {
                self.named.insert(record.name.clone(), None);
                let fields = record.fields.iter().map(|field| Ok((field.name.clone(), self.shape(&field.schema)?)));
                let fields = fields.collect::<Result<_, String>>()?;
                self.complete(&record.name, Shape::Record(fields))
            }
            Schema::Ref { name } => self.referred(name)?,
            Schema::Decimal(_) | Schema::BigDecimal | Schema::Duration(_) | Schema::Uuid(_) => {
                return Err("it has a decimal, a duration or a uuid of bytes, which no record of ours has".to_owned());
            }
        })
    }

    fn complete(&mut self, name: &Name, shape: Shape) -> Shape {
        self.named.insert(name.clone(), Some(shape.clone()));
        shape
    }

    fn referred(&mut self, name: &Name) -> Result<Shape, String> {
        match self.named.get(name) {
            Some(Some(shape)) => {
                let shape = shape.clone();
                self.count(shape.nodes())?;
                Ok(shape)
            }
            Some(None) => Err(format!("its type {} holds itself, which no record of ours does", name.fullname(None))),
            None => Err(format!("it does not define its type {}", name.fullname(None))),
        }
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes += nodes;
        if self.nodes > SCHEMA_NODES_MAX { Err(format!("it has over {SCHEMA_NODES_MAX} nodes")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, fields: &str) -> String {
        format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
    }

    #[test]
    fn names_are_replaced_within_their_namespace() {
        let text = r#"{"type":"record","name":"R","namespace":"n","fields":[
            {"name":"a","type":{"type":"enum","name":"E","symbols":["x"]}},
            {"name":"b","type":["null","E"]},
            {"name":"c","type":"n.E"}]}"#;
        let symbols = || Shape::Enum(vec!["x".to_owned()]);
        let fields = [("a", symbols()), ("b", Shape::Union(vec![Shape::Null, symbols()])), ("c", symbols())];
        assert_eq!(Shape::of(text), Ok(Shape::Record(fields.map(|(name, shape)| (name.to_owned(), shape)).to_vec())));
    }

    #[test]
    fn schemas_without_bounds_are_refused() {
        let check = |text: &str, expected: &str| {
            let error = Shape::of(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(&record("R", r#"{"name":"next","type":["null","R"]}"#), "its type R holds itself");
        check(r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#, "a decimal");
        check("{", "");
        // Each type holds the one before, twice.
        let twice = |n: usize| format!(r#"{{"name":"a","type":"T{}"}},{{"name":"b","type":"T{}"}}"#, n - 1, n - 1);
        let types: Vec<_> = (1..40).map(|n| record(&format!("T{n}"), &twice(n))).collect();
        check(&format!("[{},{}]", record("T0", ""), types.join(",")), "over 10000 nodes");
        // And once.
        let once = |n: usize| format!(r#"{{"name":"a","type":"T{}"}}"#, n - 1);
        let types: Vec<_> = (1..100).map(|n| record(&format!("T{n}"), &once(n))).collect();
        check(&format!("[{},{}]", record("T0", ""), types.join(",")), "it is nested 101 deep, over 64");
    }
}
