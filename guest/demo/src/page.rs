//! The page. No script, no request to anywhere else: it must look right with no network at all.

use std::time::Duration;

const TEMPLATE: &str = include_str!("page.html");

/// The page for one visit.
pub fn render(hostname: &str, uptime: Duration, visit: u64) -> String {
    TEMPLATE
        .replace("{{hostname}}", &escaped(hostname))
        .replace("{{uptime}}", &spoken(uptime))
        .replace("{{visit}}", &visit.to_string())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in_and_host_names_are_text() {
        let page = render("<b>", Duration::from_secs(61), 7);
        assert!(!page.contains("{{"));
        assert!(page.contains("&lt;b&gt;") && page.contains("1 min 1 s") && page.contains("visit number 7"));
    }

    #[test]
    fn times_are_spoken_in_their_two_largest_units() {
        let spoken = |seconds| spoken(Duration::from_secs(seconds));
        assert_eq!([spoken(5), spoken(3600), spoken(90_000)], ["5 s", "1 h 0 min", "1 d 1 h"]);
    }
}
