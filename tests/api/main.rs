//! The Docker Engine API on a real engine, through the real docker CLI and raw requests.
//!
//! The same cases run natively (root) and in the guest: `CUBBY_TEST_ENGINE=native|guest`. The engine is shared by the
//! cases, which therefore name their containers after themselves.

mod attach;
mod build;
mod clients;
mod compose;
mod crash;
mod endpoints;
mod exec;
mod figures;
mod files;
mod filters;
mod images;
mod images_foreign;
mod images_kill;
mod images_platforms;
mod images_view;
mod images_words;
mod lifecycle;
mod logs;
mod neighbour;
mod network_kinds;
mod networks;
mod options;
mod outside;
mod ports;
mod ports_cli;
mod registry;
mod requests;
mod restarts;
mod run;
mod sctp;
mod sharing;
mod state;
mod volumes;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use cubby_harness::{Docker, Engine};

/// The engine of this run: started by the first case, stopped when the last one that runs has let go of it.
fn engine() -> Arc<Engine> {
    static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(engine) = shared.upgrade() {
        return engine;
    }
    let engine = Arc::new(Engine::start());
    *shared = Arc::downgrade(&engine);
    engine
}

/// The docker CLI on the shared engine, and the engine to keep alive while it is used.
fn docker() -> (Docker, Arc<Engine>) {
    let engine = engine();
    (engine.docker(), engine)
}
