//! Lives of containers over the API: one at a time, sixteen at once, and processes in a running one.

use std::time::Instant;

use cubby_harness::{NativeEngine, request};
use serde_json::json;

use crate::{
    page::Page,
    subject::{self, Subject, body, create, cycle, expect, remove, start},
    summary::Summary,
};

const AT_ONCE: usize = 16;
const EACH: usize = 4;

/// Rounds of the interleaved cases; `CUBBY_BENCH_ROUNDS` where a peer is slow.
fn rounds() -> usize {
    std::env::var("CUBBY_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

pub fn measure(page: &mut Page, engine: &NativeEngine, subjects: &[Subject]) {
    one_at_a_time(page, subjects);
    sixteen_at_once(page, subjects);
    exec(page, subjects);
    let idle = subject::all(engine).first().map_or(0, |cubby| cubby.resident_kib(engine));
    page.row(
        "cubby: engine and keeper after all this, resident, MiB",
        format!("{:.1}", idle as f64 / 1024.0),
        "",
        "VmRSS",
    );
}

fn one_at_a_time(page: &mut Page, subjects: &[Subject]) {
    for network in ["bridge", "none"] {
        let mut samples = vec![Vec::new(); subjects.len()];
        for _ in 0..rounds() {
            for (subject, samples) in subjects.iter().zip(&mut samples) {
                samples.push(cycle(&subject.socket, network));
            }
        }
        let budget = if network == "bridge" { "≤ 0.1× dockerd 28" } else { "" };
        let what = format!("create+start+wait+remove, network {network}, ms");
        rows(page, subjects, samples, &what, budget, "one kept-alive connection, interleaved rounds");
    }
}

fn sixteen_at_once(page: &mut Page, subjects: &[Subject]) {
    let mut samples = vec![Vec::new(); subjects.len()];
    for _ in 0..EACH {
        for (subject, samples) in subjects.iter().zip(&mut samples) {
            let lives = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| cycle(&subject.socket, "bridge"))).collect();
                threads.into_iter().map(|thread| thread.join().expect("no client fails")).collect::<Vec<_>>()
            });
            samples.extend(lives);
        }
    }
    let what = format!("the same, {AT_ONCE} at once, ms");
    rows(page, subjects, samples, &what, "", "network bridge; all lives of all rounds");
}

fn exec(page: &mut Page, subjects: &[Subject]) {
    let ids: Vec<String> = subjects
        .iter()
        .map(|subject| {
            let mut client = subject.client();
            let id = create(&mut client, &body(&["sleep", "100000"], "none"));
            start(&mut client, &id);
            id
        })
        .collect();
    let mut samples = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds() / 2 {
        for ((subject, id), samples) in subjects.iter().zip(&ids).zip(&mut samples) {
            samples.push(one_exec(subject, id));
        }
    }
    rows(
        page,
        subjects,
        samples,
        "exec of true, ms",
        "≤ 0.6× dockerd 28",
        "create, start attached to its end, inspect",
    );
    for (subject, id) in subjects.iter().zip(&ids) {
        remove(&mut subject.client(), id);
    }
}

fn one_exec(subject: &Subject, container: &str) -> f64 {
    let mut client = subject.client();
    let config = json!({ "Cmd": ["true"], "AttachStdout": true }).to_string();
    let begin = Instant::now();
    let path = format!("/v1.40/containers/{container}/exec");
    let id = expect(&mut client, "POST", &path, &config, &[201])["Id"].as_str().expect("an id").to_owned();
    let options = json!({ "Detach": false, "Tty": false }).to_string();
    let path = format!("/v1.40/exec/{id}/start");
    request(&subject.socket, "POST", &path, options.as_bytes()).expect("an answer");
    expect(&mut client, "GET", &format!("/v1.40/exec/{id}/json"), "", &[200]);
    begin.elapsed().as_secs_f64() * 1000.0
}

/// A row for each subject, with its ratio to Cubby where it is another.
pub fn rows(page: &mut Page, subjects: &[Subject], samples: Vec<Vec<f64>>, what: &str, budget: &str, how: &str) {
    let summaries: Vec<Summary> =
        samples.into_iter().map(|samples| Summary::of(samples).expect("rounds were run")).collect();
    let ours = summaries[0].median;
    for (subject, summary) in subjects.iter().zip(&summaries) {
        let is_ours = subject.name == "cubby";
        let figure = if is_ours {
            summary.to_string()
        } else {
            format!("{summary}; cubby is {:.3}× of it", ours / summary.median)
        };
        page.row(&format!("{}: {what}", subject.name), figure, if is_ours { budget } else { "" }, how);
    }
}
