//! Go's JSON rules: null is the zero value, a list of words may be a single word, a set is a map of anything.

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A struct whose members have explicit JSON names, are all optional on input (null too) whatever the case of their
/// letters, and all present on output unless marked otherwise.
macro_rules! go_struct {
    ($(#[$meta:meta])* pub struct $name:ident {
        $( $(#[$field_meta:meta])* $json:literal $field:ident : $ty:ty ),* $(,)?
        $( ; flatten $flat:ident : $flat_ty:ty )?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
        pub struct $name {
            $(
                #[serde(rename = $json)]
                $(#[$field_meta])*
                pub $field: $ty,
            )*
            $(
                #[serde(flatten)]
                pub $flat: $flat_ty,
            )?
        }

        impl $crate::containers::model::go::Members for $name {
            fn member<'de, A: serde::de::MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
                $(
                    if name.eq_ignore_ascii_case($json) {
                        self.$field = $crate::containers::model::go::value(map)?;
                        return Ok(true);
                    }
                )*
                $(
                    if $crate::containers::model::go::Members::member(&mut self.$flat, name, map)? {
                        return Ok(true);
                    }
                )?
                Ok(false)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_struct(stringify!($name), &[], $crate::containers::model::go::Reader::default())
            }
        }
    };
}

pub(crate) use go_struct;

/// Where the members of an object go.
pub trait Members {
    /// Takes the value that is next in `map` if `name` is a member's; tells whether it was.
    fn member<'de, A: de::MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Like Go's pointer to an embedded struct: there as soon as one of its members is.
impl<T: Members + Default> Members for Option<T> {
    fn member<'de, A: de::MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        if let Some(present) = self {
            return present.member(name, map);
        }
        let mut fresh = T::default();
        let taken = fresh.member(name, map)?;
        *self = taken.then_some(fresh);
        Ok(taken)
    }
}

/// Reads an object into a `T`.
pub struct Reader<T>(PhantomData<T>);

impl<T> Default for Reader<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Members + Default> de::Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut read = T::default();
        while let Some(name) = map.next_key::<String>()? {
            if !read.member(&name, &mut map)? {
                map.next_value::<de::IgnoredAny>()?;
            }
        }
        Ok(read)
    }
}

/// The next value of a map; null is the type's default.
pub fn value<'de, A: de::MapAccess<'de>, T: Default + Deserialize<'de>>(map: &mut A) -> Result<T, A::Error> {
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

/// Source: Go `strconv.ParseBool`.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

pub fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The value of a Go `map[string]struct{}`: whatever was sent, it is `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Empty;

impl Serialize for Empty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        serializer.serialize_map(Some(0))?.end()
    }
}

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// moby's `strslice.StrSlice`: a list of words, or one word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Sequence(pub Vec<String>);

impl<'de> Deserialize<'de> for Sequence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> de::Visitor<'de> for Words {
            type Value = Sequence;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_str<E>(self, word: &str) -> Result<Sequence, E> {
                Ok(Sequence(vec![word.to_owned()]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut words: A) -> Result<Sequence, A::Error> {
                let mut all = Vec::new();
                while let Some(word) = words.next_element()? {
                    all.push(word);
                }
                Ok(Sequence(all))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, HostConfig};

    #[test]
    fn nulls_single_words_and_unknown_members_are_gos() {
        let config: Config = serde_json::from_str(
            r#"{"Cmd":"true","Env":null,"ExposedPorts":{"80/tcp":null},"Tty":null,"Future":{"a":1}}"#,
        )
        .unwrap();
        assert_eq!(config.cmd.clone().unwrap().0, ["true"]);
        let out = serde_json::to_value(&config).unwrap();
        assert_eq!(out["ExposedPorts"], serde_json::json!({"80/tcp": {}}));
        assert_eq!(out["Env"], serde_json::Value::Null);
        assert!(out.get("StopSignal").is_none());
    }

    #[test]
    fn zero_values_are_present() {
        let out = serde_json::to_value(HostConfig::default()).unwrap();
        for name in ["Memory", "CpuShares", "Binds", "PidsLimit", "ConsoleSize", "Isolation"] {
            assert!(out.get(name).is_some(), "{name}");
        }
        assert!(out.get("Annotations").is_none());
    }

    #[test]
    fn a_wrong_type_is_an_error() {
        assert!(serde_json::from_str::<HostConfig>(r#"{"Memory":"a lot"}"#).is_err());
    }
}
