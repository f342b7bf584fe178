//! Any bytes as the body of a request: what Go's decoder takes is read, into the same value whatever the case of the letters.
#![no_main]

use cubby_api::json::decode;
use cubby_engine::{
    containers::model::{CreateRequest, UpdateRequest},
    exec::{ExecOptions, ExecStartOptions},
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What was read is written, and read again as the same.
fn same_again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(body: &[u8]) {
    let Ok(first) = decode::<T>(body) else { return };
    let written = serde_json::to_vec(&first).expect("models encode");
    assert_eq!(decode::<T>(&written).as_ref(), Ok(&first));
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, body)) = data.split_first() else { return };
    match kind % 6 {
        0 => same_again::<CreateRequest>(body),
        1 => same_again::<UpdateRequest>(body),
        2 => same_again::<ExecOptions>(body),
        3 => same_again::<ExecStartOptions>(body),
        4 => _ = decode::<bollard_stubs::models::VolumeCreateOptions>(body),
        _ => _ = decode::<bollard_stubs::models::NetworkCreateRequest>(body),
    }
    // Our scanner and serde's agree on what is JSON; serde's alone minds numbers, depth and halves of characters.
    let strict = serde_json::from_slice::<Value>(body).is_ok();
    let ours = decode::<Value>(body);
    assert!(!strict || ours.is_ok(), "{ours:?}");
});
