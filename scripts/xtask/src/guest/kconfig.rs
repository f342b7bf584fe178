//! Kernel configuration: what was asked for, what Kconfig made of it, and the difference, which Kconfig keeps to itself.

use std::collections::BTreeMap;

/// Symbols and values; an unset symbol is `n`.
#[derive(Debug, PartialEq, Eq)]
pub struct Config(BTreeMap<String, String>);

impl Config {
    /// Reads `.config` syntax. The last mention of a symbol counts.
    pub fn parse(text: &str) -> Config {
        let mut symbols = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if let Some(symbol) = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set")) {
                symbols.insert(symbol.to_owned(), "n".to_owned());
            } else if let Some((symbol, value)) = line.split_once('=')
                && symbol.starts_with("CONFIG_")
            {
                symbols.insert(symbol.to_owned(), value.to_owned());
            }
        }
        Config(symbols)
    }

    /// One line for each symbol that did not become what was asked.
    pub fn missing_from(&self, made: &Config) -> Vec<String> {
        self.0
            .iter()
            .filter_map(|(symbol, wanted)| {
                let got = made.0.get(symbol).map_or("n", String::as_str);
                (got != wanted).then(|| format!("{symbol}: asked for {wanted}, got {got}"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_symbol_is_told_and_an_absent_no_is_fine() {
        let wanted = Config::parse("# comment\nCONFIG_A=y\nCONFIG_B=n\nCONFIG_C=\"x\"\n# CONFIG_D is not set\n");
        let made = Config::parse("CONFIG_C=\"x\"\nCONFIG_D=y\n");
        assert_eq!(wanted.missing_from(&made), ["CONFIG_A: asked for y, got n", "CONFIG_D: asked for n, got y"]);
    }
}
