use proptest::prelude::*;

use super::super::bpf::run;
use super::*;

const ALLOW: u32 = 0x7fff_0000;

fn machine(native: Abi) -> Machine {
    Machine { native, kernel: (6, 12) }
}

fn caps(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn holds(condition: &Condition, args: [u64; 6]) -> bool {
    let (arg, value) = (args[condition.index as usize], condition.value);
    match condition.op {
        Op::NotEqual => arg != value,
        Op::Less => arg < value,
        Op::LessOrEqual => arg <= value,
        Op::Equal => arg == value,
        Op::GreaterOrEqual => arg >= value,
        Op::Greater => arg > value,
        Op::MaskedEqual => arg & value == condition.value_two,
    }
}

/// The module's "Meaning", by names and in the order written.
fn naive(profile: &Profile, caps: &[String], machine: &Machine, abi: Abi, number: u32, args: [u64; 6]) -> u32 {
    if abi == Abi::X86_64 && number >= X32 {
        return ERRNO | ENOSYS;
    }
    let default = verdict(profile.default_action, profile.default_errno_ret);
    let named: Vec<u32> =
        profile.syscalls.iter().flat_map(|rule| rule.names()).filter_map(|n| abi.table().get(n).copied()).collect();
    if named.iter().all(|&n| n < number) && profile.default_action == Action::Errno {
        return ERRNO | ENOSYS;
    }
    let rules: Vec<_> = profile
        .syscalls
        .iter()
        .filter(|rule| rule.applies(caps, machine).unwrap())
        .filter(|rule| rule.names().any(|name| abi.table().get(name) == Some(&number)))
        .map(|rule| (&rule.args, verdict(rule.action, rule.errno_ret.or(profile.default_errno_ret))))
        .filter(|&(_, wanted)| wanted != default)
        .collect();
    let unconditional = rules.iter().find(|(args, _)| args.is_empty());
    let conditional = rules.iter().find(|(conditions, _)| conditions.iter().all(|c| holds(c, args)));
    unconditional.or(conditional).map_or(default, |&(_, wanted)| wanted)
}

/// Values at and around everything the default profile compares with.
fn interesting() -> Vec<u64> {
    let mut values = vec![0, 1, 2, u64::MAX, 1 << 32, 0x1_0000_0008, 0x7e02_0000, 0x0002_0000, 0x1000_0000];
    values.extend(8..48);
    values.extend([0x2_0000, 0x2_0008, 0xffff_ffff, 0xffff_fffe]);
    values
}

#[test]
fn the_default_profile_does_what_it_says_for_every_call() {
    let profile = Profile::standard();
    let sets = [
        caps(&[]),
        caps(&["CAP_SYS_ADMIN"]),
        caps(&["CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_BPF", "CAP_SYSLOG", "CAP_SYS_TIME"]),
    ];
    for native in [Abi::X86_64, Abi::Aarch64] {
        let machine = machine(native);
        for caps in &sets {
            let program = compile(&profile, caps, &machine).unwrap();
            for abi in profile.abis(&machine) {
                let with_conditions = ["socket", "personality", "clone"].map(|name| abi.table()[name]);
                for number in (0..600).chain([X32, X32 + 1, X32 + 520, u32::MAX]) {
                    let all = interesting();
                    let values = if with_conditions.contains(&number) { &all[..] } else { &[0, u64::MAX] };
                    for &value in values {
                        let args = [value, !value, 0, 0, 0, 0];
                        let (got, steps) = run(&program.bytes, abi.audit(), number, args);
                        let wanted = naive(&profile, caps, &machine, abi, number, args);
                        assert_eq!(got, wanted, "{abi:?} {number} {value:#x} {caps:?}");
                        // The longest: socket's families.
                        assert!(steps < 80, "{abi:?} {number}: {steps} steps");
                    }
                }
            }
        }
    }
}

#[test]
fn known_calls_and_their_fates() {
    let profile = Profile::standard();
    let x86 = machine(Abi::X86_64);
    let plain = compile(&profile, &[], &x86).unwrap();
    let admin = compile(&profile, &caps(&["CAP_SYS_ADMIN"]), &x86).unwrap();
    let ask = |program: &Program, abi: Abi, name: &str, arg: u64| {
        run(&program.bytes, abi.audit(), abi.table()[name], [arg, 0, 0, 0, 0, 0]).0
    };
    for abi in [Abi::X86_64, Abi::I386] {
        assert_eq!(ask(&plain, abi, "openat", 0), ALLOW);
        assert_eq!(ask(&plain, abi, "mount", 0), ERRNO | EPERM);
        assert_eq!(ask(&admin, abi, "mount", 0), ALLOW);
        assert_eq!(ask(&plain, abi, "io_uring_setup", 0), ERRNO | EPERM);
        assert_eq!(ask(&plain, abi, "clone3", 0), ERRNO | ENOSYS);
        assert_eq!(ask(&admin, abi, "clone3", 0), ALLOW);
        assert_eq!(ask(&plain, abi, "clone", 0x1200011), ALLOW);
        assert_eq!(ask(&plain, abi, "clone", 0x1000_0000), ERRNO | EPERM, "a new user namespace");
        assert_eq!(ask(&plain, abi, "socket", 2), ALLOW);
        assert_eq!(ask(&plain, abi, "socket", 40), ERRNO | EPERM, "vsock");
        assert_eq!(ask(&plain, abi, "socket", 38), ERRNO | EPERM, "crypto");
        assert_eq!(ask(&plain, abi, "file_setattr", 0), ERRNO | ENOSYS, "younger than the profile");
    }
    // Programs of an architecture that the profile does not name.
    assert_eq!(run(&plain.bytes, Abi::Aarch64.audit(), 0, [0; 6]).0, KILL_PROCESS);
    println!("default profile: {} instructions", plain.len());
    assert!(plain.len() < 650, "{}", plain.len());
}

#[test]
fn dockers_json_is_understood() {
    let text = r#"{
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": null}],
        "syscalls": [
            {"names": ["chmod", "no_such_call"], "action": "SCMP_ACT_ERRNO", "args": null, "comment": "", "includes": {}, "excludes": {}},
            {"name": "mkdir", "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            {"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS", "excludes": {"caps": ["CAP_KILL"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_TRAP", "includes": {"minKernel": "7.0"}}
        ]}"#;
    let profile = Profile::from_json(text).unwrap();
    let x86 = machine(Abi::X86_64);
    let ask = |caps: &[String], abi: Abi, name: &str| {
        let program = compile(&profile, caps, &x86).unwrap();
        run(&program.bytes, abi.audit(), abi.table()[name], [0; 6]).0
    };
    assert_eq!(ask(&[], Abi::X86_64, "chmod"), ERRNO | EPERM);
    assert_eq!(ask(&[], Abi::X86_64, "mkdir"), ERRNO | 13);
    assert_eq!(ask(&[], Abi::X86_64, "kill"), KILL_PROCESS);
    assert_eq!(ask(&caps(&["CAP_KILL"]), Abi::X86_64, "kill"), ALLOW);
    assert_eq!(ask(&[], Abi::X86_64, "ptrace"), ALLOW);
    assert_eq!(ask(&[], Abi::X86_64, "file_setattr"), ALLOW, "nothing is too young when all is allowed");
    assert_eq!(ask(&[], Abi::I386, "read"), KILL_PROCESS, "not named");
    for bad in [
        "{",
        "{}",
        r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "x"}]}"#,
    ] {
        assert!(Profile::from_json(bad).is_err(), "{bad}");
    }
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let ops = prop_oneof![
        Just(Op::NotEqual),
        Just(Op::Less),
        Just(Op::LessOrEqual),
        Just(Op::Equal),
        Just(Op::GreaterOrEqual),
        Just(Op::Greater),
        Just(Op::MaskedEqual),
    ];
    (0u32..6, any_value(), any_value(), ops).prop_map(|(index, value, value_two, op)| Condition {
        index,
        value,
        value_two,
        op,
    })
}

fn any_value() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..4, Just(u64::MAX), Just(1 << 32), Just((1 << 32) + 1), Just(u64::from(u32::MAX)), any::<u64>()]
}

fn any_profile() -> impl Strategy<Value = Profile> {
    let names = ["read", "write", "open", "close", "stat", "mseal", "clone", "socket", "reboot"];
    let rule = (
        proptest::sample::subsequence(names.to_vec(), 1..4),
        proptest::collection::vec(any_condition(), 0..4),
        proptest::option::of(1u32..40),
    )
        .prop_map(|(names, args, errno)| {
            let mut rule = super::super::profile::Rule::allow(&names.join(" "));
            if let Some(errno) = errno {
                rule = rule.refuse(errno);
            }
            rule.args = args;
            rule
        });
    (proptest::collection::vec(rule, 0..10), 1u32..3).prop_map(|(rules, errno)| Profile::new(errno, rules))
}

proptest! {
    #[test]
    fn compiled_and_naive_agree(
        profile in any_profile(),
        args in [any_value(), any_value(), any_value(), any_value(), any_value(), any_value()],
    ) {
        let machine = machine(Abi::X86_64);
        let program = compile(&profile, &[], &machine).unwrap();
        for abi in [Abi::X86_64, Abi::I386] {
            for number in [0, 1, 2, 3, 4, 5, 41, 56, 88, 120, 169, 359, 461, 462, 463, 500] {
                let wanted = naive(&profile, &[], &machine, abi, number, args);
                prop_assert_eq!(run(&program.bytes, abi.audit(), number, args).0, wanted, "{:?} {}", abi, number);
            }
        }
    }
}
