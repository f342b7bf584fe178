//! A value as Go's decoder puts it into a type.
//!
//! A deserializer of `serde_json::Value` with three differences: members of structs are found whatever the case of their
//! letters, null and absent are the zero value of any type, and what does not fit is told as Go tells it. A path goes along
//! for that, so its cost is one of refusals and nested structs.

use std::{borrow::Cow, fmt};

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    value::StringDeserializer,
};
use serde_json::{Map, Number, Value};

pub fn decode<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    T::deserialize(Lenient { value, place: Cow::Owned(Place::default()) }).map_err(|fault| fault.0)
}

#[derive(Debug)]
pub struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Where in a request a value stands: the innermost struct, and the members from the outermost one on.
#[derive(Clone, Default)]
struct Place {
    of: &'static str,
    path: String,
}

struct Lenient<'p> {
    value: Value,
    place: Cow<'p, Place>,
}

impl Lenient<'_> {
    /// Source: Go `UnmarshalTypeError.Error`.
    fn mismatch(&self, kind: &str) -> Fault {
        let found = match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) if is_numeric(kind) => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        let Place { of, path } = self.place.as_ref();
        Fault(match of.is_empty() {
            true => format!("json: cannot unmarshal {found} into Go value of type {kind}"),
            false => format!("json: cannot unmarshal {found} into Go struct field {of}.{path} of type {kind}"),
        })
    }
}

fn is_numeric(kind: &str) -> bool {
    kind.starts_with("int") || kind.starts_with("uint") || kind.starts_with("float")
}

macro_rules! numbers {
    ($($method:ident $visit:ident $ty:ty, $wide:ident, $name:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let fitting = match &self.value {
                Value::Null => Some(<$ty>::default()),
                Value::Number(number) => number.$wide().and_then(|wide| <$ty>::try_from(wide).ok()),
                _ => None,
            };
            visitor.$visit(fitting.ok_or_else(|| self.mismatch($name))?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient<'_> {
    type Error = Fault;

    numbers! {
        deserialize_i8 visit_i8 i8, as_i64, "int8";
        deserialize_i16 visit_i16 i16, as_i64, "int16";
        deserialize_i32 visit_i32 i32, as_i64, "int32";
        deserialize_i64 visit_i64 i64, as_i64, "int64";
        deserialize_u8 visit_u8 u8, as_u64, "uint8";
        deserialize_u16 visit_u16 u16, as_u64, "uint16";
        deserialize_u32 visit_u32 u32, as_u64, "uint32";
        deserialize_u64 visit_u64 u64, as_u64, "uint64";
        deserialize_f64 visit_f64 f64, as_f64, "float64";
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor.visit_bool(false),
            Value::Bool(value) => visitor.visit_bool(*value),
            _ => Err(self.mismatch("bool")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => visitor.visit_string(String::new()),
            Value::String(value) => visitor.visit_string(value),
            _ => Err(self.mismatch("string")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_string(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_string(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => visitor.visit_enum(StringDeserializer::<Fault>::new(String::new())),
            Value::String(value) => visitor.visit_enum(StringDeserializer::<Fault>::new(value)),
            _ => Err(self.mismatch("string")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        let values = match self.value.take() {
            Value::Null => Vec::new(),
            Value::Array(values) => values,
            other => {
                self.value = other;
                return Err(self.mismatch("[]string"));
            }
        };
        visitor.visit_seq(Elements { values: values.into_iter(), place: &self.place })
    }

    /// A Go array takes what there is, and fills up with zeros.
    fn deserialize_tuple<V: Visitor<'de>>(mut self, length: usize, visitor: V) -> Result<V::Value, Fault> {
        if let Value::Array(values) = &mut self.value {
            values.resize(length, Value::Null);
        } else if self.value.is_null() {
            self.value = Value::Array(vec![Value::Null; length]);
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        let members = match self.value.take() {
            Value::Null => Map::new(),
            Value::Object(members) => members,
            other => {
                self.value = other;
                return Err(self.mismatch("map[string]string"));
            }
        };
        let members = members.into_iter().collect::<Vec<_>>().into_iter();
        visitor.visit_map(Members { members, next: None, of: None, place: &self.place })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let members = match self.value.take() {
            Value::Null => Map::new(),
            Value::Object(members) => members,
            other => {
                self.value = other;
                return Err(self.mismatch(name));
            }
        };
        let members = canonical(members, fields).into_iter();
        visitor.visit_map(Members { members, next: None, of: Some(name), place: &self.place })
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(_) => self.deserialize_bool(visitor),
            Value::Number(number) => visit_number(number, visitor),
            Value::String(_) => self.deserialize_string(visitor),
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple_struct ignored_any
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Fault> {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(value), ..) => visitor.visit_u64(value),
        (_, Some(value), _) => visitor.visit_i64(value),
        (.., Some(value)) => visitor.visit_f64(value),
        _ => Err(Fault::custom("a number that is none")),
    }
}

/// Members under the names of a struct's fields, of equal ones the last, and null for each field that is absent.
fn canonical(members: Map<String, Value>, fields: &'static [&'static str]) -> Vec<(String, Value)> {
    let mut named: Vec<(String, Value)> = Vec::with_capacity(fields.len());
    for (name, value) in members {
        let exact = fields.iter().find(|field| **field == name);
        let field = exact.or_else(|| fields.iter().find(|field| field.eq_ignore_ascii_case(&name)));
        let name = field.map_or(name, |&field| field.to_owned());
        match named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => named.push((name, value)),
        }
    }
    for field in fields {
        if !named.iter().any(|(known, _)| known == field) {
            named.push(((*field).to_owned(), Value::Null));
        }
    }
    named
}

struct Elements<'p> {
    values: std::vec::IntoIter<Value>,
    place: &'p Place,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let element = |value| seed.deserialize(Lenient { value, place: Cow::Borrowed(self.place) });
        self.values.next().map(element).transpose()
    }
}

struct Members<'p> {
    members: std::vec::IntoIter<(String, Value)>,
    next: Option<(String, Value)>,
    /// The struct whose members they are; none for a map's.
    of: Option<&'static str>,
    place: &'p Place,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.next = self.members.next();
        let key = |(name, _): &(String, Value)| seed.deserialize(name.clone().into_deserializer());
        self.next.as_ref().map(key).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (name, value) = self.next.take().ok_or_else(|| Fault::custom("a value without a name"))?;
        let place = match self.of {
            None => Cow::Borrowed(self.place),
            Some(of) => {
                let path = match self.place.path.as_str() {
                    "" => name,
                    path => format!("{path}.{name}"),
                };
                Cow::Owned(Place { of, path })
            }
        };
        seed.deserialize(Lenient { value, place })
    }
}
