//! The keeper by itself, for this crate's tests and benchmarks: `cubby-keeper keeper --socket PATH`, as `cubbyd` takes it.

use std::path::Path;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "keeper", "--socket", socket] => cubby_runtime::keeper::run(Path::new(socket)),
        _ => {
            eprintln!("usage: cubby-keeper keeper --socket PATH");
            std::process::exit(2);
        }
    }
}
