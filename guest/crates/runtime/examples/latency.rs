//! What a container start costs, step by step, against the kernel's own floor on the same machine and in the same minute.
//!
//! `cargo run --release -p cubby-runtime --example latency [rounds]`, as root, with a static busybox. Medians in milliseconds;
//! rounds are interleaved, so that noise hits all rows alike.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cubby_runtime::cgroup::Cgroups;
use cubby_runtime::seccomp::default_profile;
use cubby_runtime::{Runtime, Spawn, Stdio, Target};
use oci_spec::runtime::Spec;
use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PARENT: &str = "cubby-latency";

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    network: bool,
    cgroup: bool,
    seccomp: bool,
    exec: bool,
}

const CASES: [Case; 5] = [
    Case { name: "container, no net, no cgroup", network: false, cgroup: false, seccomp: false, exec: false },
    Case { name: "  + seccomp", network: false, cgroup: false, seccomp: true, exec: false },
    Case { name: "  + cgroup", network: false, cgroup: true, seccomp: true, exec: false },
    Case { name: "  + new net namespace", network: true, cgroup: true, seccomp: true, exec: false },
    Case { name: "exec", network: false, cgroup: false, seccomp: true, exec: true },
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    // This example is its own keeper.
    if let [_, verb, _, socket] = &args[..]
        && verb == "keeper"
    {
        cubby_runtime::keeper::run(Path::new(socket));
    }
    let rounds = args.get(1).map_or(Ok(200), |n| n.parse())?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(rounds))
}

async fn measure(rounds: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let rootfs = dir.path().join("rootfs");
    for sub in ["bin", "proc", "sys", "dev", "etc"] {
        std::fs::create_dir_all(rootfs.join(sub))?;
    }
    std::fs::copy("/bin/busybox", rootfs.join("bin/true"))?;
    std::os::unix::fs::symlink("true", rootfs.join("bin/sleep"))?;
    let runtime = Runtime::connect_or_spawn(&dir.path().join("keeper.sock"), &std::env::current_exe()?).await?;
    let mut base = request(&rootfs, "base", CASES[0])?;
    let mut spec = (*base.spec).clone();
    if let Some(process) = spec.process_mut() {
        process.set_args(Some(vec!["/bin/sleep".into(), "100000".into()]));
    }
    base.spec = Arc::new(spec);
    let _base = runtime.spawn(base).await?;
    let mut floor = Vec::new();
    let mut rows = vec![Vec::new(); CASES.len()];
    for round in 0..rounds {
        let start = Instant::now();
        std::process::Command::new(rootfs.join("bin/true")).status()?;
        floor.push(start.elapsed());
        for (case, row) in CASES.iter().zip(&mut rows) {
            row.push(once(&runtime, &rootfs, &format!("c{round}"), *case).await?);
        }
    }
    println!("{:<32} {:>7.2} ms", "floor: posix_spawn of busybox true", median(&mut floor));
    for (case, row) in CASES.iter().zip(&mut rows) {
        println!(
            "{:<32} {:>7.2} ms  (p99 {:.2})",
            case.name,
            median(row),
            row[row.len() * 99 / 100].as_secs_f64() * 1e3
        );
    }
    runtime.quit().await?;
    runtime.lost().await;
    Cgroups::detect()?.forget(PARENT);
    Ok(())
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

async fn once(runtime: &Runtime, rootfs: &Path, key: &str, case: Case) -> Result<Duration> {
    let start = Instant::now();
    let mut request = request(rootfs, key, case)?;
    let cgroup = match case.cgroup {
        true => Some(Cgroups::detect()?.create(PARENT, key, None)?),
        false => None,
    };
    request.cgroup = cgroup.as_ref().map(|cgroup| cgroup.path().clone());
    let process = runtime.spawn(request).await?;
    let exited = runtime.exited(key).await.ok_or("the keeper is lost")?;
    let elapsed = start.elapsed();
    if exited.status.docker_code() != 0 {
        return Err(format!("{:?}", exited.status).into());
    }
    drop(process);
    runtime.release(key).await?;
    if let Some(cgroup) = cgroup {
        cgroup.remove(Duration::from_secs(5))?;
    }
    Ok(elapsed)
}

fn request(rootfs: &Path, key: &str, case: Case) -> Result<Spawn> {
    let network = if case.network { r#",{"type":"network"}"# } else { "" };
    let spec: Spec = serde_json::from_str(&format!(
        r#"{{"ociVersion":"1.0.2","process":{{"user":{{"uid":0,"gid":0}},"args":["/bin/true"],"cwd":"/","env":["PATH=/bin"]}},
        "mounts":[
          {{"destination":"/proc","type":"proc","source":"proc","options":["nosuid","noexec","nodev"]}},
          {{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]}},
          {{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]}},
          {{"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]}},
          {{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["ro","nosuid","noexec","nodev"]}},
          {{"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]}},
          {{"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=67108864"]}}],
        "linux":{{"namespaces":[{{"type":"mount"}},{{"type":"pid"}},{{"type":"ipc"}},{{"type":"uts"}},{{"type":"cgroup"}}{network}],
          "maskedPaths":["/proc/acpi","/proc/kcore","/proc/keys","/proc/timer_list","/proc/scsi","/sys/firmware"],
          "readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]}}}}"#
    ))?;
    let target = if case.exec {
        Target::Exec { container: "base".into() }
    } else {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let rootfs = rustix::mount::open_tree(CWD, rootfs, flags)?;
        Target::Container { rootfs, join: Vec::new(), mounts: Vec::new(), init: false }
    };
    Ok(Spawn {
        key: key.into(),
        meta: Vec::new(),
        spec: Arc::new(spec),
        target,
        stdio: Stdio::default(),
        cgroup: None,
        seccomp: case.seccomp.then(|| default_profile(&[])),
    })
}
