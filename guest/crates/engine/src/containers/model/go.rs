//! Go's JSON rules: null is the zero value, a list of words may be a single word, a set is a map of anything.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A struct whose members have explicit JSON names, are all optional on input (null too), and all present on output
/// unless marked otherwise.
macro_rules! go_struct {
    ($(#[$meta:meta])* pub struct $name:ident {
        $( $(#[$field_meta:meta])* $json:literal $field:ident : $ty:ty ),* $(,)?
        $( ; flatten $flat:ident : $flat_ty:ty )?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                #[serde(rename = $json, deserialize_with = "crate::containers::model::go::nil")]
                $(#[$field_meta])*
                pub $field: $ty,
            )*
            $(
                #[serde(flatten)]
                pub $flat: $flat_ty,
            )?
        }
    };
}

/// Null or absent is the type's default.
pub fn nil<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
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
