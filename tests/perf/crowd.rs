//! Much of everything: memory with many containers, lists of many, logs at full speed.

use std::time::Instant;

use cubby_harness::{NativeEngine, request};

use crate::{
    cycle::rows,
    page::Page,
    subject::{Subject, body, create, expect, remove, start, wait},
};

const LINES: usize = 200_000;
/// A peer's containers cost tens of megabytes each.
const OF_A_PEER: usize = 20;

/// Right after their start.
pub fn idle(page: &mut Page, engine: &NativeEngine, subjects: &[Subject]) {
    for subject in subjects {
        let budget = if subject.name == "cubby" { "≤ 25 MiB" } else { "" };
        let mib = format!("{:.1}", subject.resident_kib(engine) as f64 / 1024.0);
        page.row(
            &format!("{}: idle, resident, MiB", subject.name),
            mib,
            budget,
            "VmRSS of all its processes, one image loaded",
        );
    }
}

/// 100 and 1,000 running containers (a peer: 20), what each costs, and lists of them.
pub fn memory(page: &mut Page, engine: &NativeEngine, subjects: &[Subject]) {
    for subject in subjects {
        let is_ours = subject.name == "cubby";
        let before = subject.resident_kib(engine);
        let mut ids = Vec::new();
        for wanted in if is_ours { [100, 1000].as_slice() } else { [OF_A_PEER].as_slice() } {
            ids.extend(run(subject, wanted - ids.len()));
            let now = subject.resident_kib(engine);
            let figure = format!(
                "{:.1} MiB in all, {} KiB each",
                now as f64 / 1024.0,
                now.saturating_sub(before) / *wanted as u64
            );
            let what = format!("{}: {wanted} running containers, resident", subject.name);
            page.row(
                &what,
                figure,
                if is_ours { "≤ 1 MiB each" } else { "" },
                "VmRSS of all its processes, network none",
            );
        }
        if is_ours {
            lists(page, &subject.name, subject, &ids);
        }
        remove_all(subject, &ids);
    }
}

/// The same list of every subject: containers that were created and never ran (`CUBBY_BENCH_CREATED`, or 1,000).
pub fn lists_of_created(page: &mut Page, subjects: &[Subject]) {
    let crowd = std::env::var("CUBBY_BENCH_CREATED").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    for subject in subjects {
        let ids = in_parallel(crowd, |_| create(&mut subject.client(), &body(&["true"], "none")));
        lists(page, &format!("{} (created)", subject.name), subject, &ids);
        remove_all(subject, &ids);
    }
}

fn lists(page: &mut Page, name: &str, subject: &Subject, ids: &[String]) {
    let mut client = subject.client();
    let samples = (0..20).map(|_| {
        let begin = Instant::now();
        let list = expect(&mut client, "GET", "/v1.40/containers/json?all=1", "", &[200]);
        assert!(list.as_array().is_some_and(|list| list.len() >= ids.len()));
        begin.elapsed().as_secs_f64() * 1000.0
    });
    let summary = crate::summary::Summary::of(samples.collect()).expect("samples were taken");
    page.row(&format!("{name}: list of {} containers, ms", ids.len()), summary, "", "GET /containers/json?all=1");
}

/// A container prints as fast as it can; then its log is read.
pub fn logs(page: &mut Page, subjects: &[Subject]) {
    let (mut written, mut read) = (vec![Vec::new(); subjects.len()], vec![Vec::new(); subjects.len()]);
    for _ in 0..3 {
        for (n, subject) in subjects.iter().enumerate() {
            let mut client = subject.client();
            let id = create(&mut client, &body(&["seq", "1", &LINES.to_string()], "none"));
            let begin = Instant::now();
            start(&mut client, &id);
            wait(&mut client, &id);
            written[n].push(begin.elapsed().as_secs_f64() * 1000.0);
            let begin = Instant::now();
            let path = format!("/v1.40/containers/{id}/logs?stdout=1");
            let log = request(&subject.socket, "GET", &path, b"").expect("an answer").body;
            read[n].push(begin.elapsed().as_secs_f64() * 1000.0);
            assert!(log.len() > LINES * 6, "the log is whole");
            remove(&mut client, &id);
        }
    }
    rows(
        page,
        subjects,
        written,
        &format!("{LINES} lines printed and logged, ms"),
        "",
        "seq, from start to the end of wait",
    );
    rows(page, subjects, read, &format!("{LINES} lines read back, ms"), "", "GET logs");
}

fn run(subject: &Subject, count: usize) -> Vec<String> {
    in_parallel(count, |_| {
        let mut client = subject.client();
        let id = create(&mut client, &body(&["sleep", "100000"], "none"));
        start(&mut client, &id);
        id
    })
}

fn remove_all(subject: &Subject, ids: &[String]) {
    in_parallel(ids.len(), |n| remove(&mut subject.client(), &ids[n]));
}

fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|first| scope.spawn(move || (first..count).step_by(4).map(work).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no client fails")).collect()
    })
}
