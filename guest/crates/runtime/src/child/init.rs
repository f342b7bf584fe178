//! `--init`: a tiny pid 1 in front of the program. It is this process, which stays behind after the fork: it reaps whatever is
//! left to it, forwards signals, and ends as the program ends. No file is needed in the container.

use super::{Birth, Step, die_with_parent};
use crate::ExitStatus;
use crate::protocol::Failure;
use crate::sys;

/// Returns in the child, which becomes the program; the parent never returns.
pub(super) fn split(birth: &Birth) -> Step {
    // From before the fork: no signal may be lost, and tcsetpgrp below must not stop us.
    sys::block_all_signals();
    match sys::fork().map_err(|err| Failure::setup("fork for --init", err))? {
        0 => {
            let _ = rustix::process::setpgid(None, None);
            if rustix::termios::isatty(std::io::stdin()) {
                let _ = rustix::termios::tcsetpgrp(std::io::stdin(), rustix::process::getpid());
            }
            sys::reset_signals();
            if birth.die_with_parent { die_with_parent() } else { Ok(()) }
        }
        program => {
            // What the container sees of us, instead of the keeper's own arguments.
            let _ = rustix::thread::set_name(c"cubby-init");
            if let Some(command_line) = birth.command_line {
                command_line.overwrite(b"cubby-init");
            }
            attend(program)
        }
    }
}

fn attend(program: i32) -> ! {
    // Our copies of stdio would keep pipes open that the program closes, and the keeper waits for the sync socket to close.
    let _ = sys::close_from(0);
    loop {
        match sys::wait_signal() {
            libc::SIGCHLD => {
                while let Some((pid, raw)) = sys::reap() {
                    if pid == program
                        && let Some(status) = ExitStatus::from_wait(raw)
                    {
                        // The rest of the pid namespace ends with us.
                        sys::exit(status.docker_code());
                    }
                }
            }
            // Ours, about the terminal: not the program's business.
            libc::SIGTTIN | libc::SIGTTOU => {}
            signal if signal > 0 => {
                sys::kill(program, signal);
            }
            _ => {}
        }
    }
}
