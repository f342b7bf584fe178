//! Restart policies.

use super::refuse;
use crate::{containers::model::RestartPolicy, error::Result};

/// Source: moby `ValidateRestartPolicy`.
pub fn check_restart_policy(policy: &RestartPolicy) -> Result<()> {
    let count = policy.maximum_retry_count;
    match policy.name.as_str() {
        "always" | "unless-stopped" | "no" if count != 0 => {
            let negative = if count < 0 { " and cannot be negative" } else { "" };
            refuse(format!("invalid restart policy: maximum retry count can only be used with 'on-failure'{negative}"))
        }
        "on-failure" if count < 0 => refuse("invalid restart policy: maximum retry count cannot be negative"),
        "" | "always" | "unless-stopped" | "no" | "on-failure" => Ok(()),
        other => refuse(format!(
            "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
             'unless-stopped'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies_are_checked() {
        let policy = |name: &str, count| RestartPolicy { name: name.into(), maximum_retry_count: count };
        assert!(check_restart_policy(&policy("on-failure", 3)).is_ok());
        assert_eq!(
            check_restart_policy(&policy("always", -1)).unwrap_err().message(),
            "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative"
        );
        assert!(check_restart_policy(&policy("sometimes", 0)).is_err());
    }
}
