//! Signal names and numbers.

use crate::error::{Error, Result};

const NAMES: &[(&str, i32)] = &[
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
];
const RT_MIN: i32 = 34;
const RT_MAX: i32 = 64;

pub const KILL: i32 = 9;
pub const TERM: i32 = 15;

/// `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`.
///
/// # Errors
/// Invalid, in moby's words.
pub fn parse(text: &str) -> Result<i32> {
    number(text).ok_or_else(|| Error::invalid(format!("invalid signal: {text}")))
}

fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RT_MAX).contains(&number).then_some(number);
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let realtime = match name {
        "RTMIN" => Some(RT_MIN),
        "RTMAX" => Some(RT_MAX),
        _ => None,
    };
    let offset = |prefix: &str| name.strip_prefix(prefix)?.parse::<u8>().ok().map(i32::from);
    realtime
        .or_else(|| offset("RTMIN+").map(|n| RT_MIN + n))
        .or_else(|| offset("RTMAX-").map(|n| RT_MAX - n))
        .filter(|number| (RT_MIN..=RT_MAX).contains(number))
        .or_else(|| NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in
            [("TERM", 15), ("SIGKILL", 9), ("sigint", 2), ("10", 10), ("RTMIN", 34), ("SIGRTMIN+3", 37), ("64", 64)]
        {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in ["", "0", "65", "-1", "SIGNOPE", "RTMIN+99", "SIG", "1.5"] {
            assert_eq!(parse(bad).unwrap_err().message(), format!("invalid signal: {bad}"));
        }
    }
}
