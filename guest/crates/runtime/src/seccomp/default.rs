//! The default profile: what ordinary programs need, and not the calls that configure the machine or have been the door of many
//! kernel holes. It follows Docker's in effect (what works there works here), in our own arrangement.

use super::profile::{Op, Profile, Rule};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

const FILES: &str = "
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
    flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat
    getcwd getdents getdents64 getxattr getxattrat ioctl lchown lchown32 lgetxattr link linkat listmount listxattr
    listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat
    name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead
    readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr
    setxattrat splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs tee
    truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev";

const WAITING: &str = "
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
    fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
    io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect pause pipe pipe2 poll ppoll ppoll_time64 pselect6
    pselect6_time64 select signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64";

const MEMORY: &str = "
    brk cachestat get_thread_area madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
    mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
    process_mrelease remap_file_pages set_thread_area";

const PROCESSES: &str = "
    capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
    getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit
    get_robust_list getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv
    process_vm_writev ptrace restart_syscall rseq sched_getaffinity sched_getattr sched_getparam sched_get_priority_max
    sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid
    setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32
    setreuid setreuid32 setrlimit set_robust_list setsid set_tid_address setuid setuid32 sysinfo tgkill tkill ugetrlimit
    uname uretprobe vfork wait4 waitid waitpid";

const SIGNALS_AND_LOCKS: &str = "
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack
    sigprocmask sigreturn";

const TIME: &str = "
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer getrandom gettimeofday nanosleep setitimer time timer_create
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 times";

const NETWORK_AND_IPC: &str = "
    accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open
    mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd recv
    recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg
    sendto setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair";

/// What comes with a capability.
const PRIVILEGED: [(&str, &str); 14] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
         lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr perf_event_open quotactl quotactl_fd
         setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// Address families (linux/socket.h), from–to. Missing on purpose: AF_VSOCK (40), the machine's own channel to its host; AF_ALG
/// (38); and dead protocols with a history of holes.
const FAMILIES: [(u64, u64); 8] = [(0, 11), (13, 18), (21, 22), (24, 24), (26, 33), (35, 36), (39, 39), (41, 45)];

/// Execution domains (linux/personality.h): PER_LINUX, PER_LINUX32, with UNAME26, and "tell me".
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// CLONE_NEW* of mount, cgroup, uts, ipc, user, pid and net namespaces.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

impl Profile {
    /// The default.
    pub fn standard() -> Self {
        let groups = [FILES, WAITING, MEMORY, PROCESSES, SIGNALS_AND_LOCKS, TIME, NETWORK_AND_IPC];
        let mut rules: Vec<Rule> = groups.into_iter().map(Rule::allow).collect();
        for (first, last) in FAMILIES {
            let rule = Rule::allow("socket");
            rules.push(match (first, last) {
                (0, last) => rule.when(Op::LessOrEqual, 0, last),
                (first, last) if first == last => rule.when(Op::Equal, 0, first),
                (first, last) => rule.when(Op::GreaterOrEqual, 0, first).when(Op::LessOrEqual, 0, last),
            });
        }
        for personality in PERSONALITIES {
            rules.push(Rule::allow("personality").when(Op::Equal, 0, personality));
        }
        rules.push(Rule::allow("arch_prctl modify_ldt").on("amd64"));
        rules.push(Rule::allow("sync_file_range2").on("arm64"));
        for (capability, names) in PRIVILEGED {
            rules.push(Rule::allow(names).with(capability));
        }
        let unprivileged = |rule: Rule| rule.without("CAP_SYS_ADMIN");
        // No new namespaces. clone3's flags are in memory, where a filter cannot look: "no such call" makes libc use clone.
        rules.push(unprivileged(Rule::allow("clone").when(Op::MaskedEqual, 0, NEW_NAMESPACES)));
        rules.push(unprivileged(Rule::allow("clone3").refuse(ENOSYS)));
        Self::new(EPERM, rules)
    }
}
