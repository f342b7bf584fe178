//! One of the fifty clients: works until the engine is gone, and writes down what it was told.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use cubby_harness::{Reply, request};
use serde_json::{Value, json};

use super::{
    container,
    ledger::{Item, Known, Ledger},
    survivors::{Survivors, printed},
};

/// What a printing container prints.
pub const LINES: u32 = 2000;

pub struct Client<'a> {
    socket: PathBuf,
    name: String,
    random: fastrand::Rng,
    survivors: &'a Survivors,
    answers: &'a AtomicUsize,
    over: &'a AtomicBool,
    made: usize,
    ledger: Ledger,
}

/// The engine is gone.
pub struct Gone;

type Answered<T = ()> = Result<T, Gone>;

impl<'a> Client<'a> {
    pub fn new(
        socket: &std::path::Path,
        name: String,
        random: fastrand::Rng,
        survivors: &'a Survivors,
        (answers, over): (&'a AtomicUsize, &'a AtomicBool),
    ) -> Self {
        let ledger = Ledger::default();
        Self { socket: socket.to_owned(), name, random, survivors, answers, over, made: 0, ledger }
    }

    /// Works at one kind of task, chosen by the client's number, until the engine is gone.
    pub fn work(&mut self, number: usize) -> Ledger {
        while !self.over.load(Ordering::Relaxed) {
            let done = match number % 10 {
                0..=2 => self.life(),
                3 | 4 => self.print(),
                5 | 6 => self.exec(),
                7 => self.look(),
                8 => self.network(),
                _ => self.volume(),
            };
            if done.is_err() {
                break;
            }
        }
        std::mem::take(&mut self.ledger)
    }

    /// A sleeper: created, started, tampered with, stopped, removed.
    fn life(&mut self) -> Answered {
        let name = self.create(container(&["sleep", "100000"]), None)?;
        self.start(&name)?;
        match self.random.u8(0..5) {
            0 => {
                self.answer("POST", &format!("/containers/{name}/pause"), None, &[204])?;
                self.answer("POST", &format!("/containers/{name}/unpause"), None, &[204])?;
            }
            1 => {
                self.note(&name, |item| item.runs = Known::Open);
                self.answer("POST", &format!("/containers/{name}/restart?t=0"), None, &[204])?;
                self.note(&name, |item| item.runs = Known::Yes);
            }
            2 => {
                let update = json!({ "Memory": 67_108_864, "MemorySwap": 67_108_864 });
                self.answer("POST", &format!("/containers/{name}/update"), Some(update), &[200])?;
            }
            3 => drop(self.answer("GET", &format!("/containers/{name}/top"), None, &[200])?),
            _ => drop(self.answer("GET", &format!("/containers/{name}/stats?stream=0&one-shot=1"), None, &[200])?),
        }
        if self.random.bool() {
            self.note(&name, |item| item.runs = Known::Open);
            self.answer("POST", &format!("/containers/{name}/stop?t=0"), None, &[204])?;
            self.note(&name, |item| item.runs = Known::No);
        }
        self.remove(&name)
    }

    /// Prints much and ends by itself, with a code of its own.
    fn print(&mut self) -> Answered {
        let code = i64::from(self.random.u8(1..100));
        let name = self.create(container(&["sh", "-c", &format!("seq 1 {LINES}; exit {code}")]), Some(code))?;
        self.start(&name)?;
        let waited = self.answer("POST", &format!("/containers/{name}/wait"), None, &[200])?;
        let found = serde_json::from_slice::<Value>(&waited.body).map_err(|_| Gone)?["StatusCode"].clone();
        if found != code {
            self.ledger.faults.push(format!("{name} ended with {found}, not {code}"));
        }
        let log = self.answer("GET", &format!("/containers/{name}/logs?stdout=1"), None, &[200])?;
        let lines = printed(&log.body).map_err(|_| Gone)?;
        if lines.len() < LINES as usize && self.engine_is_gone() {
            return Err(Gone);
        }
        if lines != (1..=LINES).map(|n| n.to_string()).collect::<Vec<_>>() {
            self.ledger.faults.push(format!("{name} has a log of {} lines, not {LINES}", lines.len()));
        }
        self.remove(&name)
    }

    /// A process in a container that others use too: its output and its exit code.
    fn exec(&mut self) -> Answered {
        let code = i64::from(self.random.u8(1..100));
        let target = self.random.choice(&self.survivors.names).expect("there are survivors").clone();
        let body = json!({
            "Cmd": ["sh", "-c", format!("echo {code}; exit {code}")], "AttachStdout": true, "AttachStderr": true,
        });
        let created = self.answer("POST", &format!("/containers/{target}/exec"), Some(body), &[201])?;
        let created: Value = serde_json::from_slice(&created.body).map_err(|_| Gone)?;
        let id = created["Id"].as_str().ok_or(Gone)?.to_owned();
        let options = json!({ "Detach": false, "Tty": false });
        let output = self.answer("POST", &format!("/exec/{id}/start"), Some(options), &[200])?;
        let state = self.answer("GET", &format!("/exec/{id}/json"), None, &[200])?;
        let state: Value = serde_json::from_slice(&state.body).map_err(|_| Gone)?;
        if state["ExitCode"] != code || printed(&output.body).ok() != Some(vec![code.to_string()]) {
            let output = String::from_utf8_lossy(&output.body).into_owned();
            self.ledger.faults.push(format!("exec of {code}: {} and {output:?}", state["ExitCode"]));
        }
        Ok(())
    }

    /// Readers of everything.
    fn look(&mut self) -> Answered {
        let target = self.random.choice(&self.survivors.names).expect("there are survivors").clone();
        for path in [
            "/containers/json?all=1&size=1".to_owned(),
            format!("/containers/{target}/logs?stdout=1&tail=100"),
            format!("/containers/{target}/json"),
            format!("/containers/{target}/archive?path=/etc"),
            "/networks".to_owned(),
            "/volumes".to_owned(),
            "/system/df".to_owned(),
            "/info".to_owned(),
        ] {
            self.answer("GET", &path, None, &[200])?;
        }
        Ok(())
    }

    /// A network, a container on it, another one connected and disconnected.
    fn network(&mut self) -> Answered {
        let network = self.next();
        self.ledger.networks.insert(network.clone(), Known::Open);
        self.answer("POST", "/networks/create", Some(json!({ "Name": network })), &[201])?;
        self.ledger.networks.insert(network.clone(), Known::Yes);
        let mut body = container(&["sleep", "100000"]);
        body["HostConfig"] = json!({ "NetworkMode": network });
        let name = self.create(body, None)?;
        self.start(&name)?;
        self.answer(
            "POST",
            &format!("/networks/{network}/disconnect"),
            Some(json!({ "Container": name, "Force": false })),
            &[200],
        )?;
        self.answer("POST", &format!("/networks/{network}/connect"), Some(json!({ "Container": name })), &[200])?;
        self.remove(&name)?;
        self.ledger.networks.insert(network.clone(), Known::Open);
        self.answer("DELETE", &format!("/networks/{network}"), None, &[204])?;
        self.ledger.networks.insert(network, Known::No);
        Ok(())
    }

    /// A named volume and an anonymous one, and a container on both.
    fn volume(&mut self) -> Answered {
        let volume = self.next();
        self.ledger.volumes.insert(volume.clone(), Known::Open);
        self.answer("POST", "/volumes/create", Some(json!({ "Name": volume })), &[201])?;
        self.ledger.volumes.insert(volume.clone(), Known::Yes);
        let mut body = container(&["sleep", "100000"]);
        body["HostConfig"] = json!({ "Binds": [format!("{volume}:/data")], "NetworkMode": "none" });
        body["Volumes"] = json!({ "/anonymous": {} });
        let name = self.create(body, None)?;
        self.start(&name)?;
        self.remove(&name)?;
        self.ledger.volumes.insert(volume.clone(), Known::Open);
        self.answer("DELETE", &format!("/volumes/{volume}"), None, &[204])?;
        self.ledger.volumes.insert(volume, Known::No);
        Ok(())
    }

    fn create(&mut self, body: Value, ends_with: Option<i64>) -> Answered<String> {
        let name = self.next();
        let item = Item { exists: Known::Open, runs: Known::No, id: None, ends_with };
        self.ledger.containers.insert(name.clone(), item);
        let created = self.answer("POST", &format!("/containers/create?name={name}"), Some(body), &[201])?;
        let created: Value = serde_json::from_slice(&created.body).map_err(|_| Gone)?;
        let id = created["Id"].as_str().map(str::to_owned);
        self.note(&name, |item| (item.exists, item.id) = (Known::Yes, id));
        Ok(name)
    }

    fn start(&mut self, name: &str) -> Answered {
        self.note(name, |item| item.runs = Known::Open);
        self.answer("POST", &format!("/containers/{name}/start"), None, &[204])?;
        self.note(name, |item| item.runs = if item.ends_with.is_some() { Known::Open } else { Known::Yes });
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Answered {
        self.note(name, |item| (item.exists, item.runs, item.ends_with) = (Known::Open, Known::Open, None));
        self.answer("DELETE", &format!("/containers/{name}?force=1&v=1"), None, &[204])?;
        self.note(name, |item| item.exists = Known::No);
        Ok(())
    }

    fn note(&mut self, name: &str, change: impl FnOnce(&mut Item)) {
        change(self.ledger.containers.get_mut(name).expect("only own containers are changed"));
    }

    fn next(&mut self) -> String {
        self.made += 1;
        format!("{}n{}", self.name, self.made)
    }

    /// An answer with one of the `wanted` statuses; anything else is a fault and ends the client's work.
    fn answer(&mut self, method: &str, path: &str, body: Option<Value>, wanted: &[u16]) -> Answered<Reply> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let reply = request(&self.socket, method, path, body.as_bytes()).map_err(|_| Gone)?;
        if !wanted.contains(&reply.status) {
            let said = String::from_utf8_lossy(&reply.body).into_owned();
            self.ledger.faults.push(format!("{method} {path}: {} {said}", reply.status));
            return Err(Gone);
        }
        self.answers.fetch_add(1, Ordering::Relaxed);
        Ok(reply)
    }

    /// A body that was cut off by the kill looks whole: it ends with the connection.
    fn engine_is_gone(&self) -> bool {
        request(&self.socket, "GET", "/_ping", b"").is_err()
    }
}
