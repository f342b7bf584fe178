//! How long the window took to show something: read by the bench, and logged.

use std::time::{SystemTime, UNIX_EPOCH};

/// When this process began, Unix milliseconds.
pub struct Started(f64);

impl Started {
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1000.0))
    }

    /// The page reports once. `CUBBY_PRINT_PAINT=1` prints the line that the bench reads.
    pub fn report(&self, first_paint_unix_ms: f64, interactive_unix_ms: f64) {
        let first_paint_ms = (first_paint_unix_ms - self.0).round();
        let interactive_ms = (interactive_unix_ms - self.0).round();
        tracing::info!(first_paint_ms, interactive_ms, "window painted");
        if std::env::var_os("CUBBY_PRINT_PAINT").is_some() {
            println!("{{\"first_paint_ms\":{first_paint_ms},\"interactive_ms\":{interactive_ms}}}");
        }
    }
}
