//! The `filters` query parameter, as moby's `filters.Args` understands it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use regex_lite::Regex;

use crate::error::{Error, Result};

/// Filter name → wanted values. Values of one name are alternatives, names must all match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    /// Parses the parameter: `{"label":["a"]}`, or the older `{"label":{"a":true}}`. Empty text is no filter.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        // Why `Option`: null, of the whole and of each name, is nothing to Go.
        if let Ok(lists) = serde_json::from_str::<Option<BTreeMap<String, Option<BTreeSet<String>>>>>(text) {
            let lists = lists.unwrap_or_default().into_iter();
            return Ok(Self(lists.map(|(name, values)| (name, values.unwrap_or_default())).collect()));
        }
        let maps: BTreeMap<String, BTreeMap<String, bool>> =
            serde_json::from_str(text).map_err(|source| Error::invalid("invalid filter").with_source(source))?;
        Ok(Self(maps.into_iter().map(|(name, values)| (name, values.into_keys().collect())).collect()))
    }

    /// Refuses names that the caller does not know, in dockerd's words.
    pub fn allow(&self, names: &[&str]) -> Result<()> {
        match self.0.keys().find(|name| !names.contains(&name.as_str())) {
            Some(name) => Err(Error::invalid(format!("invalid filter '{name}'"))),
            None => Ok(()),
        }
    }

    /// Adds one wanted value.
    pub fn insert(&mut self, name: &str, value: &str) {
        self.0.entry(name.to_owned()).or_default().insert(value.to_owned());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// True when `name` is not asked for, or asked for without values, or one of its values equals `value`.
    pub fn exact(&self, name: &str, value: &str) -> bool {
        self.0.get(name).is_none_or(|wanted| wanted.is_empty() || wanted.contains(value))
    }

    /// [`Filters::exact`], or one of the values is a regular expression that fits. Source: moby `filters.Args.Match`.
    pub fn matching(&self, name: &str, value: &str) -> bool {
        let fits = |pattern: &str| Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(value));
        self.exact(name, value) || self.values(name).any(fits)
    }

    /// True when `name` is not asked for, or one of its values satisfies `test`.
    pub fn any(&self, name: &str, test: impl Fn(&str) -> bool) -> bool {
        self.0.get(name).is_none_or(|wanted| wanted.iter().any(|value| test(value)))
    }

    /// True when every wanted `label` (`key` or `key=value`) is among `labels`, and no `label!` is.
    pub fn labels(&self, labels: &HashMap<String, String>) -> bool {
        let has = |wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").all(has) && !self.values("label!").any(has)
    }

    /// A filter that is a single boolean: `true`/`1`/`false`/`0`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        let Some(values) = self.0.get(name) else { return Ok(None) };
        let parsed: Option<Vec<bool>> = values
            .iter()
            .map(|value| match value.to_lowercase().as_str() {
                "1" | "true" | "t" => Some(true),
                "0" | "false" | "f" => Some(false),
                _ => None,
            })
            .collect();
        match parsed.as_deref() {
            Some([value]) => Ok(Some(*value)),
            _ => {
                let shown: Vec<&str> = values.iter().map(String::as_str).collect();
                Err(Error::invalid(format!("invalid filter '{name}=[{}]'", shown.join(" "))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_mean_the_same() {
        let lists = Filters::parse(r#"{"label":["a","b=c"]}"#).unwrap();
        assert_eq!(lists, Filters::parse(r#"{"label":{"a":true,"b=c":true}}"#).unwrap());
        assert!(lists.labels(&HashMap::from([("a".into(), "x".into()), ("b".into(), "c".into())])));
        assert!(!lists.labels(&HashMap::from([("a".into(), "x".into())])));
    }

    #[test]
    fn nonsense_and_unknown_names_are_refused() {
        assert!(Filters::parse("nonsense").is_err());
        let filters = Filters::parse(r#"{"bogus":["1"]}"#).unwrap();
        assert_eq!(filters.allow(&["label"]).unwrap_err().message(), "invalid filter 'bogus'");
        assert_eq!(Filters::parse("nonsense").unwrap_err().message(), "invalid filter");
        let flag = Filters::parse(r#"{"dangling":["maybe"]}"#).unwrap().flag("dangling");
        assert_eq!(flag.unwrap_err().message(), "invalid filter 'dangling=[maybe]'");
    }

    #[test]
    fn a_filter_without_values_lets_everything_through() {
        for text in [r#"{"name":[]}"#, r#"{"name":{}}"#, r#"{"name":null}"#, "null"] {
            let filters = Filters::parse(text).unwrap();
            assert!(filters.exact("name", "x") && filters.matching("name", "x"), "{text}");
        }
        let filters = Filters::parse(r#"{"name":["^a+$","[b"]}"#).unwrap();
        assert!(filters.matching("name", "aa") && filters.matching("name", "[b") && !filters.matching("name", "ab"));
    }
}
