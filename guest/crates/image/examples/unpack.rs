//! How long a layer takes from blob to directory: `unpack BLOB DATA_ROOT`. Prints seconds and megabytes per second.

use std::{fs::File, path::Path, process::ExitCode, time::Instant};

use cubby_image::{Limits, Store};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, blob, data_root] = arguments.as_slice() else {
        eprintln!("usage: unpack BLOB DATA_ROOT");
        return ExitCode::from(2);
    };
    match measure(blob, data_root) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(blob: &str, data_root: &str) -> Result<String, Box<dyn std::error::Error>> {
    let store = Store::open(Path::new(data_root), Limits::default())?;
    let start = Instant::now();
    let staged = store.unpack(File::open(blob)?)?;
    let unpacked = start.elapsed();
    let files_mb = staged.files_bytes as f64 / 1e6;
    let pin = store.place(staged)?;
    store.sync()?;
    let rate = files_mb / unpacked.as_secs_f64();
    let (unpacked, synced) = (unpacked.as_secs_f64(), start.elapsed().as_secs_f64());
    Ok(format!("{} {files_mb:.0} MB: unpacked {unpacked:.2} s ({rate:.0} MB/s), synced {synced:.2} s", pin.diff_id()))
}
