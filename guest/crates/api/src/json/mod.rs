//! JSON bodies as dockerd reads them: Go's decoder, its leniency and its messages.
//!
//! One value, then nothing but white space ([`syntax`]); members are found whatever the case of their letters, null and
//! absent are the zero value ([`lenient`]). Source: Go `encoding/json`, moby `httputils.ReadJSON`.

mod lenient;
mod syntax;

use serde::de::DeserializeOwned;

/// Why a body was not read, in dockerd's words.
pub type Fault = String;

/// Reads a whole body.
///
/// # Errors
/// A body without a value, with bad syntax, with something behind the value, or with a value of the wrong type.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    if body.iter().all(|&byte| syntax::is_space(byte)) {
        return Err("invalid JSON: got EOF while reading request body".to_owned());
    }
    let end = syntax::first_value(body).map_err(|fault| format!("invalid JSON: {fault}"))?;
    // Why lossy: Go replaces what is no UTF-8.
    let text = String::from_utf8_lossy(&body[..end]);
    let decoded = serde_json::from_str(&text).map_err(|error| error.to_string()).and_then(lenient::decode);
    let value = decoded.map_err(|fault| format!("invalid JSON: {fault}"))?;
    // Source: Go `Decoder.More`, to which a closing bracket is the end, too.
    match body[end..].iter().find(|&&byte| !syntax::is_space(byte)) {
        None | Some(b']' | b'}') => Ok(value),
        Some(_) => Err("unexpected content after JSON".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use cubby_engine::containers::model::{CreateRequest, UpdateRequest};
    use serde_json::Value;

    use super::*;

    fn refused<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> String {
        decode::<T>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn syntax_is_told_in_gos_words() {
        for (body, fault) in [
            ("", "invalid JSON: got EOF while reading request body"),
            (" \n", "invalid JSON: got EOF while reading request body"),
            ("{invalid json", "invalid JSON: invalid character 'i' looking for beginning of object key string"),
            ("{} trailing", "unexpected content after JSON"),
            (r#"{"a":1"#, "invalid JSON: unexpected EOF"),
            ("nope", "invalid JSON: invalid character 'o' in literal null (expecting 'u')"),
        ] {
            assert_eq!(refused::<Value>(body), fault, "{body}");
        }
        assert!(decode::<Value>(b"{} }").is_ok());
    }

    #[test]
    fn members_are_found_whatever_their_case_and_null_is_zero() {
        let body = br#"{"image":"a","CMD":["b"],"hostconfig":{"MEMORY":7,"binds":null,"portbindings":{"80/tcp":[{"hostport":"1"}]}},"Future":1}"#;
        let request: CreateRequest = decode(body).unwrap();
        let config = request.config.unwrap();
        assert_eq!((config.image.as_str(), config.cmd.unwrap().0), ("a", vec!["b".to_owned()]));
        assert_eq!(request.host_config.resources.memory, 7);
        let ports = request.host_config.port_bindings.unwrap();
        assert_eq!(ports["80/tcp"].as_ref().unwrap()[0].host_port, "1");
        let update: UpdateRequest = decode(br#"{"memory":5,"restartpolicy":{"name":"always"}}"#).unwrap();
        assert_eq!((update.resources.memory, update.restart_policy.name.as_str()), (5, "always"));
        let nothing: CreateRequest = decode(br#"{"HostConfig":{}}"#).unwrap();
        assert!(nothing.config.is_none());
    }

    #[test]
    fn wrong_types_are_told_in_gos_words() {
        for (body, fault) in [
            (r#"{"Image":1}"#, "json: cannot unmarshal number into Go struct field CreateRequest.Image of type string"),
            (
                r#"{"HostConfig":{"Memory":"much"}}"#,
                "json: cannot unmarshal string into Go struct field HostConfig.HostConfig.Memory of type int64",
            ),
            (
                r#"{"HostConfig":{"BlkioWeight":70000}}"#,
                "json: cannot unmarshal number 70000 into Go struct field HostConfig.HostConfig.BlkioWeight of type uint16",
            ),
            (
                r#"{"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":8080}]}}}"#,
                "json: cannot unmarshal number into Go struct field PortBinding.HostConfig.PortBindings.HostPort of type string",
            ),
            (r#"{"Tty":"yes"}"#, "json: cannot unmarshal string into Go struct field CreateRequest.Tty of type bool"),
            ("[]", "json: cannot unmarshal array into Go value of type CreateRequest"),
        ] {
            assert_eq!(refused::<CreateRequest>(body), format!("invalid JSON: {fault}"), "{body}");
        }
    }
}
