//! The system calls that neither `std` nor `rustix` offer. All `unsafe` of this crate is here.

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use crate::NamespaceKind;

/// Which side of [`clone3`] we are on.
pub(crate) enum Fork {
    Parent { pid: i32, pidfd: OwnedFd },
    Child,
}

/// `struct clone_args` of linux/sched.h, up to `cgroup` (88 bytes, kernel 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// linux/sched.h; the libc crate's constant has the wrong type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Forks with new namespaces (`namespaces`: CLONE_NEW* flags), straight into a v2 cgroup when one is given.
///
/// The caller must be single-threaded: the child gets a copy of this thread only, so a lock held by another one (the
/// allocator's, say) would stay locked for ever in the child.
pub(crate) fn clone3(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: namespaces | libc::CLONE_PIDFD as u64,
        pidfd: ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` is a valid clone_args of the size given and outlives the call; `pidfd` is a valid place to write to.
    // Without CLONE_VM the child runs on its own copy of this stack, as after fork().
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, ptr::from_mut(&mut args), mem::size_of::<CloneArgs>()) })?;
    if pid == 0 {
        return Ok(Fork::Child);
    }
    // SAFETY: the kernel has just stored a new descriptor there, and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Fork::Parent { pid: pid as i32, pidfd })
}

/// Plain fork, for the container's tiny init. Same condition as [`clone3`].
pub(crate) fn fork() -> io::Result<i32> {
    // SAFETY: no pointers; the caller is single-threaded. The raw clone call is used because glibc's fork() takes locks and runs handlers.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })?;
    Ok(pid as i32)
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
#[derive(Default, Clone, Copy)]
pub(crate) struct MountAttr {
    pub set: u64,
    pub clear: u64,
    pub propagation: u64,
    pub userns_fd: u64,
}

/// Changes the mount that `mount` is on (with everything below it if `recursive`).
pub(crate) fn mount_setattr(mount: impl AsFd, recursive: bool, attr: MountAttr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string constant and `attr` a valid mount_attr of the size given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(&attr),
            mem::size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// Loads a filter for this process. `program` is an array of `struct sock_filter`.
pub(crate) fn seccomp_load(program: &[u8]) -> io::Result<()> {
    // The bytes come off a socket: copy them to where instructions may lie.
    let filter: Vec<libc::sock_filter> = program
        .chunks_exact(8)
        .map(|raw| libc::sock_filter {
            code: u16::from_ne_bytes([raw[0], raw[1]]),
            jt: raw[2],
            jf: raw[3],
            k: u32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]),
        })
        .collect();
    let len = u16::try_from(filter.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let prog = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: `prog` describes `len` instructions that live until after the call; the kernel only reads and verifies them.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, ptr::from_ref(&prog)) })?;
    Ok(())
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
}

/// Replaces this process. Returns only with the error.
pub(crate) fn execve(path: &CString, args: &[CString], env: &[CString]) -> io::Error {
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: path, argv and envp are NUL-terminated (arrays and strings) and live until the call returns, if it does.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// The same, with the program behind a descriptor.
pub(crate) fn execve_fd(program: impl AsFd, args: &[CString], env: &[CString]) -> io::Error {
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: as above; the path is an empty C string.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_fd().as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Moves `fds[i]` to descriptor number `i` and closes everything else. Descriptors from 3 on stay close-on-exec.
///
/// Takes effect on the whole process: every other descriptor object becomes invalid, so only a freshly forked child that
/// forgets (never drops) its other owners may call it.
pub(crate) fn arrange_fds(fds: &[RawFd]) -> io::Result<()> {
    let count = fds.len() as RawFd;
    let mut parked = Vec::with_capacity(fds.len());
    for &fd in fds {
        // SAFETY: plain descriptor arithmetic, no memory involved. Above `count`, so nothing is overwritten below.
        let copy = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, count) }.into())?;
        parked.push(copy as RawFd);
    }
    for (target, fd) in (0..count).zip(parked) {
        let flags = if target < 3 { 0 } else { libc::O_CLOEXEC };
        // SAFETY: as above; `fd != target`, which dup3 would refuse.
        check(unsafe { libc::dup3(fd, target, flags) }.into())?;
    }
    close_from(count)
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: no memory involved; the caller answers for not using closed descriptors.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) })?;
    Ok(())
}

/// Takes a descriptor number that [`arrange_fds`] has just put there.
pub(crate) fn adopt_fd(fd: RawFd) -> OwnedFd {
    // SAFETY: called once per number, right after arrange_fds, in the child: nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// All signals to their defaults and unblocked, as a new program expects.
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL needs no handler; SIGKILL, SIGSTOP and the two that libc reserves just fail.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an empty set is initialised by sigemptyset before use.
    unsafe {
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
    }
}

pub(crate) fn ignore_signal(signal: i32) {
    // SAFETY: SIG_IGN needs no handler.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set before anything reads it.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        for &signal in signals {
            libc::sigaddset(&mut set, signal);
        }
        set
    }
}

/// Blocks `signals` and returns a descriptor that becomes readable when one is pending.
pub(crate) fn signalfd(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: `set` is initialised; the returned descriptor is new.
    unsafe {
        libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut());
        let fd = check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Blocks every signal and waits for the next one (for the container's tiny init).
pub(crate) fn block_all_signals() {
    // SAFETY: sigfillset initialises the set.
    unsafe {
        let mut all: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, ptr::null_mut());
    }
}

pub(crate) fn wait_signal() -> i32 {
    // SAFETY: sigfillset initialises the set; a null siginfo is allowed.
    unsafe {
        let mut all: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigwaitinfo(&all, ptr::null_mut())
    }
}

/// Reaps one ended child, if there is one: its pid and raw wait status.
pub(crate) fn reap() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: `status` is a valid place to write to.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// Any signal number, real-time ones included. No siginfo: as kill(2).
pub(crate) fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) })?;
    Ok(())
}

pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: no memory involved. Failure means that it has ended: nothing to do.
    unsafe { libc::kill(pid, signal) };
}

/// Leaves without running anybody's exit handlers.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// A cgroup namespace of our own, rooted where we are.
pub(crate) fn unshare_cgroup() -> io::Result<()> {
    // SAFETY: no memory and no descriptors involved.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into())?;
    Ok(())
}

/// Brings the loopback interface of the current network namespace up.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all-zero is a valid ifreq; the name is NUL-terminated by the zeroes; the ioctl reads name and flags only.
    unsafe {
        let mut request: libc::ifreq = mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, ptr::from_ref(&request)).into())?;
    }
    Ok(())
}

/// A namespace of the process behind a pidfd. Source: `PIDFD_GET_*_NAMESPACE` of linux/pidfd.h (kernel 6.11); `ENOTTY` before.
pub(crate) fn pidfd_namespace(pidfd: BorrowedFd<'_>, kind: NamespaceKind) -> io::Result<OwnedFd> {
    let number = match kind {
        NamespaceKind::Cgroup => 1,
        NamespaceKind::Ipc => 2,
        NamespaceKind::Network => 4,
        NamespaceKind::Pid => 5,
        NamespaceKind::User => 9,
        NamespaceKind::Uts => 10,
    };
    // SAFETY: the ioctl takes no argument; on success it returns a new descriptor that nobody else knows.
    unsafe {
        let request: libc::Ioctl = 0xff00 | number;
        let fd = check(libc::ioctl(pidfd.as_raw_fd(), request, 0).into())?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// `struct bpf_insn` of linux/bpf.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BpfInstruction {
    pub code: u8,
    /// Source in the high four bits, destination in the low ones (little-endian machines).
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

/// The part of `union bpf_attr` that BPF_PROG_LOAD reads for a plain program.
#[repr(C)]
#[derive(Default)]
struct BpfLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct BpfAttach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// Loads a BPF_PROG_TYPE_CGROUP_DEVICE program and attaches it to a v2 cgroup, which keeps it as long as it lives.
pub(crate) fn attach_device_program(cgroup: &std::path::Path, program: &[BpfInstruction]) -> io::Result<()> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_ATTACH: libc::c_int = 8;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    let directory = std::fs::File::open(cgroup)?;
    let load = BpfLoad {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..BpfLoad::default()
    };
    // SAFETY: the attribute has the size given and points at `insn_cnt` instructions and a C string, all alive until the call
    // returns; the kernel verifies the program. The result is a new descriptor.
    let program = unsafe {
        let size = mem::size_of::<BpfLoad>();
        let fd = check(libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, ptr::from_ref(&load), size))?;
        OwnedFd::from_raw_fd(fd as RawFd)
    };
    let attach = BpfAttach {
        target_fd: directory.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: as above; both descriptors are open.
    check(unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, ptr::from_ref(&attach), mem::size_of::<BpfAttach>())
    })?;
    Ok(())
}

/// Registers a socket with the async runtime.
pub(crate) fn async_fd(fd: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    // SAFETY: what is registered is an OwnedFd, whose number stays the same and open until the AsyncFd drops it.
    unsafe { tokio::io::unix::AsyncFd::register(fd) }.map_err(|err| err.into_parts().1)
}

/// What Go, and so every Docker client, calls this error: libc's text with a small first letter.
pub(crate) fn errno_text(err: &io::Error) -> String {
    let Some(code) = err.raw_os_error() else {
        return err.to_string();
    };
    let mut buffer = [0u8; 128];
    // SAFETY: the buffer is valid for its length; the XSI strerror_r that the libc crate binds writes a NUL-terminated text.
    let failed = unsafe { libc::strerror_r(code, buffer.as_mut_ptr().cast(), buffer.len()) } != 0;
    let end = buffer.iter().position(|&b| b == 0).unwrap_or(0);
    if failed || end == 0 {
        return format!("errno {code}");
    }
    // "RPC ..." and the like keep their capitals.
    if buffer[1].is_ascii_lowercase() {
        buffer[0] = buffer[0].to_ascii_lowercase();
    }
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}

/// Where our command line lies: what everybody in our pid namespace can read in /proc.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommandLine {
    start: usize,
    end: usize,
}

impl CommandLine {
    /// Of this process. Source: proc_pid_stat(5), fields 48 and 49.
    pub fn find() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field may contain anything, but ends with the last parenthesis.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(45);
        let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (start != 0 && start < end).then_some(Self { start, end })
    }

    /// Writes another one over it, as far as it fits. Only in a forked child that will not look at its arguments again.
    pub fn overwrite(self, name: &[u8]) {
        let room = self.end - self.start;
        let length = name.len().min(room - 1);
        // SAFETY: the range was found by `find` in this process or the one it was forked from, whose stack it lies on for the
        // process's whole life; it is writable, and nobody holds a reference into it: std reads arguments only when asked.
        unsafe {
            let start = self.start as *mut u8;
            ptr::write_bytes(start, 0, room);
            ptr::copy_nonoverlapping(name.as_ptr(), start, length);
        }
    }
}

/// Gives unused heap back to the kernel.
pub(crate) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Root and working directory of this thread become its own.
pub(crate) fn own_directories() -> io::Result<()> {
    // SAFETY: the danger is in descriptor tables that differ between threads; ours stays shared.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS)? };
    Ok(())
}

/// The command's process begins with this limit of open files.
pub fn limit_open_files(command: &mut std::process::Command, limit: rustix::process::Rlimit) {
    use std::os::unix::process::CommandExt;
    let set = move || Ok(rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?);
    // SAFETY: between fork and exec only one system call is made, on values that the closure owns.
    unsafe { command.pre_exec(set) };
}

/// The command's process enters a user namespace of its own, writes its number to `tell`, waits for a byte from `heard`, and
/// fails with `ECANCELED` instead of running its program.
pub(crate) fn in_new_user_namespace(command: &mut std::process::Command, tell: OwnedFd, heard: OwnedFd) {
    use std::os::unix::process::CommandExt;
    let wait = move || {
        // SAFETY: this is a process of one thread between fork and exec; nothing in it depends on its identity.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWUSER)? };
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        rustix::io::write(&tell, &pid.to_ne_bytes())?;
        rustix::io::read(&heard, &mut [0; 1])?;
        Err(rustix::io::Errno::CANCELED.into())
    };
    // SAFETY: between fork and exec only system calls are made, on values that the closure owns.
    unsafe { command.pre_exec(wait) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_in_go() {
        let text = |code| errno_text(&io::Error::from_raw_os_error(code));
        assert_eq!(text(libc::ENOENT), "no such file or directory");
        assert_eq!(text(libc::EACCES), "permission denied");
        assert_eq!(text(libc::ENOEXEC), "exec format error");
        assert_eq!(text(libc::ENOTDIR), "not a directory");
    }
}
