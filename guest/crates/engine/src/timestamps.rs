//! Times as Docker's clients read them: RFC 3339 in UTC with nanoseconds.

use std::time::SystemTime;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Go's `RFC3339Nano`: trailing zeros of the fraction are dropped, UTC is `Z`.
pub fn rfc3339_nano(at: SystemTime) -> String {
    // Why: only years beyond 9999 cannot be written; Go's zero time is what dockerd shows for "never".
    OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_else(|_| ZERO.to_owned())
}

/// What dockerd writes for a time that never was.
pub const ZERO: &str = "0001-01-01T00:00:00Z";

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn fractions_are_as_go_writes_them() {
        assert_eq!(rfc3339_nano(UNIX_EPOCH), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339_nano(UNIX_EPOCH + Duration::from_millis(1500)), "1970-01-01T00:00:01.5Z");
    }
}
