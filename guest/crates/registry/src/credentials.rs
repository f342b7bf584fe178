//! Who we are to a registry. Secrets never show in debug output.

use std::{collections::HashMap, fmt};

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use serde::Deserialize;

use crate::error::{Error, Result};

/// Source: API 1.50 `X-Registry-Auth` (`AuthConfig`).
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    #[default]
    Anonymous,
    Basic {
        username: String,
        password: String,
    },
    /// A refresh token that the registry's login gave out.
    Identity(String),
    /// A bearer token, sent as it is.
    Registry(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { username, .. } => write!(f, "Basic({username:?}, <redacted>)"),
            Self::Identity(_) => f.write_str("Identity(<redacted>)"),
            Self::Registry(_) => f.write_str("Registry(<redacted>)"),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthConfig {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Clients differ in alphabet and padding; all four are in use.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

fn decode(text: &str) -> Option<Vec<u8>> {
    let alphabets = [base64::alphabet::URL_SAFE, base64::alphabet::STANDARD];
    alphabets.iter().find_map(|alphabet| GeneralPurpose::new(alphabet, LENIENT).decode(text).ok())
}

impl Credentials {
    /// Reads the `X-Registry-Auth` header; absent, empty and `{}` are anonymous.
    ///
    /// # Errors
    /// Configuration, when it is neither base64 nor JSON.
    pub fn from_header(header: Option<&str>) -> Result<Self> {
        let Some(text) = header.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(Self::Anonymous) };
        let invalid = || Error::Configuration("invalid X-Registry-Auth header".to_owned());
        let json = decode(text).ok_or_else(invalid)?;
        if json.is_empty() {
            return Ok(Self::Anonymous);
        }
        Self::from_json(&json)
    }

    /// Reads the `X-Registry-Config` header: one `AuthConfig` for each registry's name. Absent means none.
    ///
    /// # Errors
    /// Configuration, when it is neither base64 nor JSON.
    pub fn map_from_header(header: Option<&str>) -> Result<HashMap<String, Self>> {
        let Some(text) = header.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(HashMap::new()) };
        let invalid = || Error::Configuration("invalid X-Registry-Config header".to_owned());
        let json = decode(text).ok_or_else(invalid)?;
        let all: HashMap<String, Box<serde_json::value::RawValue>> =
            serde_json::from_slice(&json).map_err(|_| invalid())?;
        all.into_iter().map(|(host, one)| Ok((host, Self::from_json(one.get().as_bytes())?))).collect()
    }

    /// Reads an `AuthConfig` body, as `/auth` takes it.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let config: AuthConfig = serde_json::from_slice(json)
            .map_err(|error| Error::Configuration(format!("invalid X-Registry-Auth header: {error}")))?;
        let filled = |field: Option<String>| field.filter(|text| !text.is_empty());
        if let Some(token) = filled(config.registrytoken) {
            return Ok(Self::Registry(token));
        }
        if let Some(token) = filled(config.identitytoken) {
            return Ok(Self::Identity(token));
        }
        if let Some(username) = filled(config.username) {
            return Ok(Self::Basic { username, password: config.password.unwrap_or_default() });
        }
        let pair = filled(config.auth).and_then(|text| String::from_utf8(decode(&text)?).ok());
        let pair = pair.as_deref().and_then(|text| text.split_once(':'));
        Ok(pair.map_or(Self::Anonymous, |(user, password)| Self::Basic {
            username: user.to_owned(),
            password: password.to_owned(),
        }))
    }

    /// The value of an `Authorization` header for the basic scheme.
    pub(crate) fn basic(&self) -> Option<String> {
        let Self::Basic { username, password } = self else { return None };
        Some(format!("Basic {}", general_purpose::STANDARD.encode(format!("{username}:{password}"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_all_clients_are_read_and_secrets_hidden() {
        let json = br#"{"username":"u","password":"p?>"}"#;
        let expected = Credentials::Basic { username: "u".into(), password: "p?>".into() };
        for encoded in [
            general_purpose::URL_SAFE.encode(json),
            general_purpose::URL_SAFE_NO_PAD.encode(json),
            general_purpose::STANDARD.encode(json),
        ] {
            assert_eq!(Credentials::from_header(Some(&encoded)).unwrap(), expected);
        }
        assert!(!format!("{expected:?}").contains("p?>"));
        assert_eq!(Credentials::from_header(None).unwrap(), Credentials::Anonymous);
        assert_eq!(Credentials::from_header(Some("e30=")).unwrap(), Credentials::Anonymous);
        assert!(Credentials::from_header(Some("!!!")).is_err());
    }
}
