//! The app's window against a bare webview with an empty page: first paint and memory, by `window.mjs`.

use std::{env, path::Path, process::Command};

use serde_json::Value;

use crate::{page::Page, summary::Summary};

pub fn measure(page: &mut Page) {
    let Some(release) = env::var_os("CUBBY_RELEASE_DIR").map(std::path::PathBuf::from) else { return };
    if !release.join("cubby-app").exists() || !release.join("examples/empty_window").exists() {
        println!(
            "the app's window is not measured: build cubby-app and its example empty_window in the release profile"
        );
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("perf/window.mjs");
    let output = Command::new("node")
        .arg(script)
        .env("CUBBY_APP", release.join("cubby-app"))
        .env("CUBBY_EMPTY_WINDOW", release.join("examples/empty_window"))
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("the script prints JSON");
    let of = |what: &str, field: &str| {
        let rows = found[what].as_array().into_iter().flatten();
        Summary::of(rows.filter_map(|row| row[field].as_f64()).collect()).expect("at least one round")
    };
    let (app, empty) = (of("app", "painted_ms"), of("empty", "painted_ms"));
    page.row("app: start to first paint, ms", app, "", "real window under Xvfb, interleaved with the next row");
    page.row("empty webview: start to first paint, ms", empty, "", "WebKitGTK, an empty page");
    page.row(
        "app ÷ empty webview, first paint",
        format!("{:.2}", app.median / empty.median),
        "≤ 1.5, moonshot ≤ 1.15",
        "medians",
    );
    page.row("app at rest: memory of all its processes, MiB", of("app", "memory_mib"), "", "sum of Pss");
    page.row("empty webview at rest, MiB", of("empty", "memory_mib"), "", "sum of Pss");
    if let Some(bytes) = found["app_bytes"].as_f64() {
        page.row(
            "app: size of the program, MB",
            format!("{:.1}", bytes / 1e6),
            "installed app ≤ 60, moonshot ≤ 30",
            "with the pages in it",
        );
    }
}
