#!/bin/sh
# Builds the target with coverage instrumentation, as cargo-fuzz would, and runs it for $1 seconds (default 60).
set -eu
cd "$(dirname "$0")"
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks"
cargo +nightly build --release --target "$host"
exec "${CARGO_TARGET_DIR:-target}/$host/release/requests" -max_total_time="${1:-60}" -timeout=20 -rss_limit_mb=1024 \
    -max_len=4096 -print_final_stats=1 corpus/requests
