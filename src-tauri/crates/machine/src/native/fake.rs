//! A hypervisor that records what it is asked and does what a test says.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::carrier::{Accepted, Sockets, Stream};
use super::{Ending, Maker, Vm};
use crate::hypervisor::{BoxFuture, MachineError};

/// What all power cycles of one machine share with the test.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    calls: Vec<String>,
    fails: Vec<&'static str>,
    deaf: bool,
    ending: Option<watch::Sender<Option<Ending>>>,
    open: HashMap<u32, Accepted>,
}

impl Script {
    /// Calls since the last look.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    /// The next call of this name fails.
    pub fn fail(&self, call: &'static str) {
        self.0.lock().unwrap().fails.push(call);
    }

    /// `kill` succeeds and tells nothing.
    pub fn goes_deaf(&self) {
        self.0.lock().unwrap().deaf = true;
    }

    pub fn end(&self, ending: Ending) {
        self.0.lock().unwrap().ending.as_ref().unwrap().send_replace(Some(ending));
    }

    /// The hypervisor's side vanishes: its callbacks will never come.
    pub fn vanish(&self) {
        self.0.lock().unwrap().ending = None;
    }

    /// The guest opens a stream to a port of the host; `None` when nobody listens.
    pub fn guest_dials(&self, port: u32) -> Option<Stream> {
        let (theirs, ours) = Stream::pair().unwrap();
        self.0.lock().unwrap().open.get(&port)?.give(ours).then_some(theirs)
    }

    fn call(&self, name: &str) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        inner.calls.push(name.to_owned());
        match inner.fails.iter().position(|fails| *fails == name) {
            Some(at) => Err(io::Error::other(format!("{} failed", inner.fails.remove(at)))),
            None => Ok(()),
        }
    }
}

impl Maker for Script {
    fn make(&mut self) -> BoxFuture<'_, Result<Box<dyn Vm>, MachineError>> {
        Box::pin(async {
            self.call("make").map_err(|err| MachineError::Vsock(Box::new(err)))?;
            let (sender, ending) = watch::channel(None);
            self.0.lock().unwrap().ending = Some(sender);
            Ok(Box::new(FakeVm { script: self.clone(), ending }) as Box<dyn Vm>)
        })
    }
}

struct FakeVm {
    script: Script,
    ending: watch::Receiver<Option<Ending>>,
}

impl Vm for FakeVm {
    fn start(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async { self.script.call("start") })
    }

    fn pause(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async { self.script.call("pause") })
    }

    fn resume(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async { self.script.call("resume") })
    }

    fn kill(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async {
            self.script.call("kill")?;
            if !self.script.0.lock().unwrap().deaf {
                self.script.end(Ending::Killed);
            }
            Ok(())
        })
    }

    fn ending(&self) -> watch::Receiver<Option<Ending>> {
        self.ending.clone()
    }

    fn sockets(&self) -> Arc<dyn Sockets> {
        Arc::new(FakeSockets(self.script.clone()))
    }

    fn cost(&self) -> (u64, Duration) {
        (1 << 20, Duration::from_secs(1))
    }
}

impl Drop for FakeVm {
    fn drop(&mut self) {
        let _ = self.script.call("drop");
    }
}

struct FakeSockets(Script);

impl Sockets for FakeSockets {
    fn connect(&self, port: u32) -> BoxFuture<'static, io::Result<Stream>> {
        let called = self.0.call("connect");
        Box::pin(async move {
            called?;
            match port {
                1 => Err(io::ErrorKind::ConnectionReset.into()),
                2 => std::future::pending().await,
                _ => Ok(Stream::pair()?.0),
            }
        })
    }

    fn open(&self, port: u32, accepted: Accepted) -> io::Result<Box<dyn Send>> {
        self.0.call("open")?;
        self.0.0.lock().unwrap().open.insert(port, accepted);
        Ok(Box::new(Guard(self.0.clone(), port)))
    }
}

struct Guard(Script, u32);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().open.remove(&self.1);
    }
}
