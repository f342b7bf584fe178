//! What pid 1 says, and how it dies: never silently.

use std::io::Write;

use super::power;

/// One line on the console. A console that is gone or broken stops nothing.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A panic in pid 1 would be a kernel panic without a word about its cause. Say it, save the disk, end the machine.
pub fn never_die_silently() {
    std::panic::set_hook(Box::new(|panic| {
        say(&format!("init: bug: {panic}"));
        if std::process::id() == 1 {
            power::off(power::End::PowerOff);
        }
    }));
}
