//! Times as Docker's clients read them: RFC 3339 in UTC with nanoseconds.

use std::time::{Duration, SystemTime};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Go's `RFC3339Nano`: trailing zeros of the fraction are dropped, UTC is `Z`.
pub fn rfc3339_nano(at: SystemTime) -> String {
    // Why: only years beyond 9999 cannot be written; Go's zero time is what dockerd shows for "never".
    OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_else(|_| ZERO.to_owned())
}

/// What dockerd writes for a time that never was.
pub const ZERO: &str = "0001-01-01T00:00:00Z";

/// Go's durations: `1h30m`, `10s`, `1.5h`.
pub fn go_duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = tail;
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn fractions_are_as_go_writes_them() {
        assert_eq!(rfc3339_nano(UNIX_EPOCH), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339_nano(UNIX_EPOCH + Duration::from_millis(1500)), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(go_duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(go_duration("1.5s"), Some(Duration::from_millis(1500)));
        for bad in ["", "5", "x", "5y", "h"] {
            assert_eq!(go_duration(bad), None, "{bad}");
        }
    }
}
