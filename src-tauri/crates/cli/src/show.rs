//! Words and sizes for people.

use std::fmt::Arguments;
use std::io::Write;

use cubby_host::schema::{MachinePhase, StageName};

/// Prints a line for whoever reads; a reader that left (`| head`) is no error.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::show::line(format_args!($($text)*)) };
}

pub fn line(text: Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

pub fn stage(stage: StageName) -> &'static str {
    match stage {
        StageName::Prepare => "prepare",
        StageName::Power => "power on",
        StageName::Init => "kernel",
        StageName::Disk => "data disk",
        StageName::Engine => "engine",
        StageName::Ready => "Docker API",
    }
}

pub fn phase(phase: MachinePhase) -> &'static str {
    match phase {
        MachinePhase::Off => "off",
        MachinePhase::Starting => "starting",
        MachinePhase::Running => "running",
        MachinePhase::Stopping => "stopping",
        MachinePhase::Failed => "failed",
    }
}

pub fn millis(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{:.1} s", ms as f64 / 1000.0) }
}

pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!([bytes(12), bytes(1536), bytes(64 << 30)], ["12 B", "1.5 KiB", "64.0 GiB"]);
        assert_eq!([millis(12), millis(1234)], ["12 ms", "1.2 s"]);
    }
}
