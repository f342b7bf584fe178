//! Bytes of a hostile peer as frames of every protocol between host and guest. What is accepted must survive being written and read
//! again: a message that changes on the way would be understood differently by the two sides.
#![no_main]

use cubby_wire::{boot, control, files, forward, frame, publish};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn messages<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(mut bytes: &[u8]) {
    while let Ok(Some(message)) = frame::read_blocking::<T>(&mut bytes) {
        // A message that grows beyond a frame by being written in full is refused, not cut.
        let Ok(again) = frame::encode(&message) else { continue };
        let read = frame::read_blocking::<T>(&mut &again[..]).expect("our own frame").expect("a whole one");
        assert_eq!(read, message);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 9 {
        0 => messages::<boot::BootMessage>(bytes),
        1 => messages::<control::Request>(bytes),
        2 => messages::<control::Reply>(bytes),
        3 => messages::<forward::Dial>(bytes),
        4 => messages::<forward::Dialled>(bytes),
        5 => messages::<publish::Publish>(bytes),
        6 => messages::<publish::Published>(bytes),
        7 => messages::<files::ToGuest>(bytes),
        _ => messages::<files::ToHost>(bytes),
    }
});
