//! Bodies against the types of Docker's published API.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What in `value` is not a `T`: a required member that is missing, a type that is another, a member that nobody knows.
pub fn is<T: Serialize + DeserializeOwned>(value: &Value) -> Vec<String> {
    is_with::<T>(value, &[])
}

/// [`is`], with members that dockerd sends, too, and its description leaves out.
pub fn is_with<T: Serialize + DeserializeOwned>(value: &Value, undocumented: &[&str]) -> Vec<String> {
    let typed: T = match serde_json::from_value(value.clone()) {
        Ok(typed) => typed,
        Err(error) => return vec![error.to_string()],
    };
    let mut faults = Vec::new();
    let known = serde_json::to_value(typed).expect("what was read can be written");
    compare("", value, &known, &mut faults);
    faults.retain(|fault| !undocumented.iter().any(|name| fault.starts_with(&format!("{name} is not"))));
    faults
}

/// Members that `known`, which was read from `value` and written again, has lost.
fn compare(at: &str, value: &Value, known: &Value, faults: &mut Vec<String>) {
    match (value, known) {
        (Value::Object(members), Value::Object(known)) => {
            for (name, member) in members {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                match known.get(name) {
                    Some(known) => compare(&at, member, known, faults),
                    // Nothing is lost with these: absent means the same.
                    None if member.is_null() => {}
                    None => faults.push(format!("{at} is not in the published type: {member}")),
                }
            }
        }
        (Value::Array(entries), Value::Array(known)) => {
            for (n, (entry, known)) in entries.iter().zip(known).enumerate() {
                compare(&format!("{at}[{n}]"), entry, known, faults);
            }
        }
        _ => {}
    }
}

/// `value` has all these members, whatever they are: dockerd always sends them.
pub fn has(value: &Value, members: &[&str]) -> Vec<String> {
    let missing = members.iter().filter(|member| value.get(**member).is_none());
    missing.map(|member| format!("{member} is missing")).collect()
}

#[test]
fn what_does_not_fit_is_found() {
    use bollard_stubs::models::{ContainerCreateResponse, ContainerWaitResponse};
    use serde_json::json;
    assert!(is::<ContainerCreateResponse>(&json!({ "Id": "a", "Warnings": [] })).is_empty());
    assert!(is::<ContainerCreateResponse>(&json!({ "Warnings": [] }))[0].contains("Id"));
    assert!(is::<ContainerCreateResponse>(&json!({ "Id": "a", "Warnings": [], "id": 1 }))[0].starts_with("id is not"));
    assert!(!is::<ContainerWaitResponse>(&json!({ "StatusCode": "0" })).is_empty());
    let nested = json!({ "StatusCode": 0, "Error": { "Message": "", "Kind": 1 } });
    assert!(is::<ContainerWaitResponse>(&nested)[0].starts_with("Error.Kind is not"));
    assert_eq!(has(&json!({ "A": null }), &["A", "B"]), ["B is missing"]);
}
