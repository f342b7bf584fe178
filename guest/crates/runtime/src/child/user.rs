//! From root with every capability to the user and the capabilities of the spec.
//!
//! Order matters. Loading a filter without `no_new_privileges` needs CAP_SYS_ADMIN, dropping bounding capabilities needs
//! CAP_SETPCAP, and changing the user drops both unless told to keep them:
//!
//! ```text
//! bounding set → groups → keep capabilities → gid, uid → (the program is looked for, as the user)
//! → effective again → filter → final capabilities → ambient
//! with no_new_privileges:    → final capabilities → ambient → no_new_privs → filter
//! ```

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::Step;
use crate::plan::ProcessPlan;
use crate::protocol::Failure;
use crate::sys;

/// Highest number that linux/capability.h could have: one word of two. The kernel refuses what it does not know.
const CAPABILITY_NUMBERS: u32 = 64;

pub(super) fn switch(process: &ProcessPlan) -> Step {
    for number in 0..CAPABILITY_NUMBERS {
        let bit = 1u64 << number;
        if process.capabilities.bounding & bit == 0 {
            match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
                Ok(()) => {}
                // Past the last one that this kernel knows.
                Err(Errno::INVAL) => break,
                Err(err) => return Err(Failure::setup("apply bounding set", err)),
            }
        }
    }
    let groups: Vec<Gid> = process.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    rustix::thread::set_thread_groups(&groups).map_err(|err| Failure::setup("setgroups", err))?;
    let step = |what: &'static str| move |err: rustix::io::Errno| Failure::setup(what, err);
    rustix::thread::set_keep_capabilities(true).map_err(step("keep capabilities"))?;
    let (uid, gid) = (Uid::from_raw(process.uid), Gid::from_raw(process.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(step("setgid"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(step("setuid"))?;
    let umask = process.umask.unwrap_or(0o022);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask & 0o777));
    Ok(())
}

pub(super) fn confine(process: &ProcessPlan, filter: &[u8]) -> Step {
    let load = || match filter {
        [] => Ok(()),
        filter => sys::seccomp_load(filter).map_err(|err| Failure::setup("load seccomp filter", err)),
    };
    if process.no_new_privileges {
        capabilities(process)?;
        rustix::thread::set_no_new_privs(true).map_err(|err| Failure::setup("set no_new_privs", err))?;
        load()
    } else {
        if !filter.is_empty() {
            raise_all()?;
        }
        load()?;
        capabilities(process)
    }
}

/// A change of user has emptied the effective set; the permitted one was kept.
fn raise_all() -> Step {
    let set = || {
        let sets = rustix::thread::capabilities(None)?;
        let raised = CapabilitySets { effective: sets.permitted, ..sets };
        rustix::thread::set_capabilities(None, raised)
    };
    set().map_err(|err| Failure::setup("raise capabilities", err))
}

fn capabilities(process: &ProcessPlan) -> Step {
    let plan = &process.capabilities;
    // Never more than we have ourselves: the engine may run without all of them.
    let ours = rustix::thread::capabilities(None).map_or(0, |sets| sets.permitted.bits());
    let set = |bits: u64| CapabilitySet::from_bits_retain(bits & ours);
    let sets = CapabilitySets {
        effective: set(plan.effective & plan.permitted),
        permitted: set(plan.permitted),
        inheritable: set(plan.inheritable),
    };
    rustix::thread::set_capabilities(None, sets).map_err(|err| Failure::setup("apply caps", err))?;
    let _ = rustix::thread::clear_ambient_capability_set();
    for number in 0..CAPABILITY_NUMBERS {
        let bit = 1u64 << number;
        if plan.ambient & ours & bit != 0 {
            // Not permitted or not inheritable: the kernel says so; runc only warns.
            let _ = rustix::thread::configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(bit), true);
        }
    }
    Ok(())
}
