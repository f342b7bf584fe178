//! Top: a container's processes, as `ps` would show them.
//!
//! Read from `/proc`, without a `ps`: the guest has none. The default columns are those of `ps -ef`; `aux` and `-o LIST`
//! are understood, other options leave the default.

use std::{fs, time::SystemTime};

use serde::Serialize;

use super::Containers;
use crate::error::{Error, Result};

/// Ticks of the process clock in a second.
const HZ: u64 = 100;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Top {
    #[serde(rename = "Titles")]
    pub titles: Vec<String>,
    #[serde(rename = "Processes")]
    pub processes: Vec<Vec<String>>,
}

/// Titles and what they show.
const FULL: &[(&str, &str)] = &[
    ("UID", "user"),
    ("PID", "pid"),
    ("PPID", "ppid"),
    ("C", "c"),
    ("STIME", "stime"),
    ("TTY", "tty"),
    ("TIME", "time"),
    ("CMD", "args"),
];
const AUX: &[(&str, &str)] = &[
    ("USER", "user"),
    ("PID", "pid"),
    ("%CPU", "pcpu"),
    ("%MEM", "pmem"),
    ("VSZ", "vsz"),
    ("RSS", "rss"),
    ("TTY", "tty"),
    ("STAT", "stat"),
    ("START", "stime"),
    ("TIME", "time"),
    ("COMMAND", "args"),
];

impl Containers {
    pub async fn top(&self, name: &str, ps_args: &str) -> Result<Top> {
        let container = self.find(name)?;
        let state = container.record().state.clone();
        if !state.running {
            return Err(super::kill::not_running(&container.id));
        }
        if state.restarting {
            return Err(Error::conflict(format!(
                "Container {} is restarting, wait until the container is running",
                container.id
            )));
        }
        let columns = columns(ps_args)?;
        let cgroup = container.live().as_ref().map(|live| live.cgroup.clone());
        let cgroup = cgroup.ok_or_else(|| super::kill::not_running(&container.id))?;
        let read = tokio::task::spawn_blocking(move || {
            let mut pids = cgroup.pids().map_err(|source| Error::system("list the processes", source))?;
            pids.sort_unstable();
            Ok::<_, Error>(pids.into_iter().filter_map(Process::read).collect::<Vec<_>>())
        });
        let processes = read.await.map_err(|error| Error::internal(error.to_string()))??;
        let rows = processes.iter().map(|process| {
            columns.iter().map(|(_, what)| process.show(what).unwrap_or_else(|| "-".to_owned())).collect()
        });
        let top = Top { titles: columns.iter().map(|(title, _)| title.clone()).collect(), processes: rows.collect() };
        self.event(&container.record(), "top", &[]);
        Ok(top)
    }
}

fn columns(ps_args: &str) -> Result<Vec<(String, String)>> {
    let owned = |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let words: Vec<&str> = ps_args.split_whitespace().collect();
    let listed = words.iter().position(|word| {
        *word == "-o" || *word == "o" || (word.starts_with('-') && !word.starts_with("--") && word.ends_with('o'))
    });
    if let Some(list) = listed.and_then(|place| words.get(place + 1)) {
        let wanted: Vec<(String, String)> =
            list.split(',').map(|what| (title(what).to_owned(), what.to_owned())).collect();
        if !wanted.iter().any(|(title, _)| title == "PID") {
            return Err(Error::internal("Couldn't find PID field in ps output"));
        }
        return Ok(wanted);
    }
    Ok(match words.first().map(|word| word.trim_start_matches('-')) {
        Some("aux" | "au" | "ux" | "u") => owned(AUX),
        _ => owned(FULL),
    })
}

fn title(what: &str) -> &str {
    match what {
        "pid" => "PID",
        "ppid" => "PPID",
        "user" | "uname" | "euser" => "USER",
        "uid" | "euid" => "UID",
        "comm" | "ucmd" | "args" | "command" => "COMMAND",
        "cmd" => "CMD",
        "time" | "cputime" => "TIME",
        "tty" | "tname" | "tt" => "TT",
        "stat" => "STAT",
        "state" | "s" => "S",
        "rss" | "rssize" => "RSS",
        "vsz" | "vsize" => "VSZ",
        "pcpu" | "%cpu" => "%CPU",
        "pmem" | "%mem" => "%MEM",
        "stime" | "start" => "STIME",
        "nlwp" | "thcount" => "NLWP",
        "ni" | "nice" => "NI",
        other => other,
    }
}

/// What `/proc/PID` tells.
struct Process {
    pid: i32,
    uid: u32,
    comm: String,
    args: String,
    state: String,
    ppid: i32,
    tty: i64,
    ticks: u64,
    nice: i64,
    threads: u64,
    started_ticks: u64,
    vsz_bytes: u64,
    rss_pages: u64,
}

impl Process {
    /// `None` when it has ended meanwhile.
    fn read(pid: i32) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let directory = format!("/proc/{pid}");
        let uid = fs::metadata(&directory).ok()?.uid();
        let stat = fs::read_to_string(format!("{directory}/stat")).ok()?;
        let command = fs::read(format!("{directory}/cmdline")).unwrap_or_default();
        let words: Vec<String> = command
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        Self::parse(pid, uid, &stat, words.join(" "))
    }

    fn parse(pid: i32, uid: u32, stat: &str, args: String) -> Option<Self> {
        // Why from the last bracket: a name may have brackets and spaces.
        let (head, tail) = stat.rsplit_once(") ")?;
        let comm = head.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<i64>().ok();
        let unsigned = |index: usize| number(index).and_then(|value| u64::try_from(value).ok());
        let args = if args.is_empty() { format!("[{comm}]") } else { args };
        Some(Self {
            pid,
            uid,
            comm,
            args,
            state: (*fields.first()?).to_owned(),
            ppid: number(1)? as i32,
            tty: number(4)?,
            ticks: unsigned(11)? + unsigned(12)?,
            nice: number(16)?,
            threads: unsigned(17)?,
            started_ticks: unsigned(19)?,
            vsz_bytes: unsigned(20)?,
            rss_pages: unsigned(21)?,
        })
    }

    fn show(&self, what: &str) -> Option<String> {
        Some(match what {
            "pid" => self.pid.to_string(),
            "ppid" => self.ppid.to_string(),
            "user" | "uname" | "euser" if self.uid == 0 => "root".to_owned(),
            "user" | "uname" | "euser" | "uid" | "euid" => self.uid.to_string(),
            "comm" | "ucmd" => self.comm.clone(),
            "args" | "cmd" | "command" => self.args.clone(),
            "time" | "cputime" => clock(self.ticks / HZ),
            "tty" | "tname" | "tt" => terminal(self.tty),
            "stat" | "state" | "s" => self.state.clone(),
            "rss" | "rssize" => (self.rss_pages * 4).to_string(),
            "vsz" | "vsize" => (self.vsz_bytes / 1024).to_string(),
            "c" => (self.busy() as u64).to_string(),
            "pcpu" | "%cpu" => format!("{:.1}", self.busy()),
            "pmem" | "%mem" => format!("{:.1}", self.share()),
            "stime" | "start" => self.start_time()?,
            "nlwp" | "thcount" => self.threads.to_string(),
            "ni" | "nice" => self.nice.to_string(),
            _ => return None,
        })
    }

    fn age_s(&self) -> Option<u64> {
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        Some((uptime as u64).saturating_sub(self.started_ticks / HZ))
    }

    /// Percent of one processor since its start.
    fn busy(&self) -> f64 {
        let age = self.age_s().unwrap_or(1).max(1);
        100.0 * (self.ticks as f64 / HZ as f64) / age as f64
    }

    /// Percent of the machine's memory.
    fn share(&self) -> f64 {
        let info = rustix::system::sysinfo();
        let total = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit)).max(1);
        100.0 * (self.rss_pages * 4096) as f64 / total as f64
    }

    /// `15:04`, in UTC.
    fn start_time(&self) -> Option<String> {
        let at = SystemTime::now().checked_sub(std::time::Duration::from_secs(self.age_s()?))?;
        let at = time::OffsetDateTime::from(at);
        Some(format!("{:02}:{:02}", at.hour(), at.minute()))
    }
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The name of a terminal by its device number. Source: linux/kdev_t.h, Documentation/admin-guide/devices.txt.
fn terminal(device: i64) -> String {
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "42 (a) b) S 1 42 42 34817 42 4194560 90 0 0 0 250 150 0 0 20 0 3 0 100 4096000 25 18446744073709551615";

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let process = Process::parse(42, 0, STAT, String::new()).unwrap();
        assert_eq!((process.comm.as_str(), process.ppid, process.threads), ("a) b", 1, 3));
        assert_eq!(process.show("time").unwrap(), "00:00:04");
        assert_eq!(process.show("tty").unwrap(), "pts/1");
        assert_eq!(process.show("args").unwrap(), "[a) b]");
        assert!(Process::parse(1, 0, "1 (x", String::new()).is_none());
    }

    #[test]
    fn columns_are_chosen() {
        let titles = |args: &str| columns(args).unwrap().into_iter().map(|(title, _)| title).collect::<Vec<_>>();
        assert_eq!(titles("")[0], "UID");
        assert_eq!(titles("aux")[2], "%CPU");
        assert_eq!(titles("-eo pid,comm"), ["PID", "COMMAND"]);
        assert!(columns("-o comm").is_err());
    }
}
