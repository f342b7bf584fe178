//! The hypervisor's power button: how a person ends the machine when the control protocol is out of reach.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

const O_NONBLOCK: i32 = nix::libc::O_NONBLOCK;
// Source: include/uapi/linux/input.h and input-event-codes.h; `struct input_event` on 64-bit.
const EVENT_BYTES: usize = 24;
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;

/// Every input device: the appliance has no other than buttons.
pub fn open() -> Vec<File> {
    let Ok(entries) = fs::read_dir("/dev/input") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("event"))
        .filter_map(|entry| fs::OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(entry.path()).ok())
        .collect()
}

/// Reads what there is: whether the power key went down.
pub fn pressed(button: &File) -> bool {
    let mut events = [0; EVENT_BYTES * 16];
    let mut button = button;
    match button.read(&mut events) {
        Ok(len) => events[..len].chunks_exact(EVENT_BYTES).any(is_press),
        Err(_) => false,
    }
}

fn is_press(event: &[u8]) -> bool {
    let half = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    half(16) == EV_KEY && half(18) == KEY_POWER && event[20..24] == 1_i32.to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_power_key_going_down_counts() {
        let event = |kind: u16, code: u16, value: i32| {
            let mut bytes = vec![0; 16];
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
            bytes
        };
        assert!(is_press(&event(EV_KEY, KEY_POWER, 1)));
        assert!(!is_press(&event(EV_KEY, KEY_POWER, 0)));
        assert!(!is_press(&event(EV_KEY, 30, 1)));
        assert!(!is_press(&event(0, KEY_POWER, 1)));
    }
}
