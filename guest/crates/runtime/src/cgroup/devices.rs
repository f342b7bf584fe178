//! Which devices a container may use: a list of rules, written to devices.allow/deny on v1, compiled to BPF on v2.
//!
//! The last rule that matches decides, for each kind of access (make a node, read, write) by itself. Nothing matches: refused.

use std::io;
use std::path::Path;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::{CgroupError, files};
use crate::sys::{self, BpfInstruction};

/// linux/bpf.h: BPF_DEVCG_DEV_* and BPF_DEVCG_ACC_*.
const BLOCK: u32 = 1;
const CHAR: u32 = 2;
const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ALL: u32 = MKNOD | READ | WRITE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    allow: bool,
    /// BLOCK or CHAR; `None`: both.
    kind: Option<u32>,
    major: Option<u32>,
    minor: Option<u32>,
    access: u32,
}

const fn allow(kind: u32, major: Option<u32>, minor: Option<u32>, access: u32) -> Rule {
    Rule { allow: true, kind: Some(kind), major, minor, access }
}

/// What every container may use, as with runc: making nodes harms nobody, and the devices of its own /dev.
const ALWAYS: [Rule; 10] = [
    allow(CHAR, None, None, MKNOD),
    allow(BLOCK, None, None, MKNOD),
    allow(CHAR, Some(1), Some(3), ALL),
    allow(CHAR, Some(1), Some(5), ALL),
    allow(CHAR, Some(1), Some(7), ALL),
    allow(CHAR, Some(1), Some(8), ALL),
    allow(CHAR, Some(1), Some(9), ALL),
    allow(CHAR, Some(5), Some(0), ALL),
    allow(CHAR, Some(5), Some(2), ALL),
    allow(CHAR, Some(136), None, ALL),
];

/// The spec's rules, below them "nothing", above them what everybody has.
pub(super) fn rules(spec: &[LinuxDeviceCgroup]) -> Vec<Rule> {
    let mut all = vec![Rule { allow: false, kind: None, major: None, minor: None, access: ALL }];
    for rule in spec {
        let kind = match rule.typ() {
            Some(LinuxDeviceType::B) => Some(BLOCK),
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(CHAR),
            Some(LinuxDeviceType::A) | None => None,
            // Pipes are not devices to the kernel.
            Some(LinuxDeviceType::P) => continue,
        };
        let access = match rule.access().as_deref() {
            None | Some("") => ALL,
            Some(letters) => letters.chars().fold(0, |mask, letter| match letter {
                'r' => mask | READ,
                'w' => mask | WRITE,
                'm' => mask | MKNOD,
                _ => mask,
            }),
        };
        let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
        all.push(Rule { allow: rule.allow(), kind, major: number(rule.major()), minor: number(rule.minor()), access });
    }
    if !everything_allowed(&all) {
        all.extend(ALWAYS);
    }
    all
}

/// Privileged containers: no program at all.
pub(super) fn everything_allowed(rules: &[Rule]) -> bool {
    let is_total =
        |rule: &Rule| rule.kind.is_none() && rule.major.is_none() && rule.minor.is_none() && rule.access == ALL;
    let last_refusal = rules.iter().rposition(|rule| !rule.allow);
    let last_total = rules.iter().rposition(|rule| rule.allow && is_total(rule));
    last_total > last_refusal
}

pub(super) fn write_v1(dir: &Path, rules: &[Rule]) -> Result<(), CgroupError> {
    if everything_allowed(rules) {
        return files::write(&dir.join("devices.allow"), "a");
    }
    for rule in rules {
        let file = if rule.allow { "devices.allow" } else { "devices.deny" };
        let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
        let letters: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
            .iter()
            .filter(|(bit, _)| rule.access & bit != 0)
            .map(|x| x.1)
            .collect();
        // "a" is not a type of its own to the kernel: it ignores what follows. Both kinds, then.
        let kinds = match rule.kind {
            None if rule.major.is_none() && rule.minor.is_none() && rule.access == ALL => {
                files::write(&dir.join(file), "a")?;
                continue;
            }
            None => &['b', 'c'][..],
            Some(BLOCK) => &['b'],
            Some(_) => &['c'],
        };
        for kind in kinds {
            let text = format!("{kind} {}:{} {letters}", number(rule.major), number(rule.minor));
            files::write(&dir.join(file), &text)?;
        }
    }
    Ok(())
}

pub(super) fn attach_v2(dir: &Path, rules: &[Rule]) -> io::Result<()> {
    sys::attach_device_program(dir, &compile(rules))
}

// eBPF, as far as needed. Source: Documentation/bpf/standardization/instruction-set.rst.
const LOAD_WORD: u8 = 0x61; // dst = *(u32 *)(src + off)
const MOVE: u8 = 0xb7; // dst = imm
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57; // 64 bits, imm sign-extended
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_EQUAL: u8 = 0x15;
const JUMP_NOT_EQUAL_32: u8 = 0x56; // a 32-bit comparison: major numbers are unsigned
const JUMP_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// Registers: r0 result, r1 context, then ours.
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

fn op(code: u8, dst: u8, src: u8, offset: i16, immediate: u32) -> BpfInstruction {
    BpfInstruction { code, registers: src << 4 | dst, offset, immediate: immediate as i32 }
}

/// From the last rule to the first: a refusal that touches what is still wanted refuses; a permission takes its share away from
/// what is wanted; nothing left to want is success.
fn compile(rules: &[Rule]) -> Vec<BpfInstruction> {
    let mut program = vec![
        op(LOAD_WORD, KIND, 1, 0, 0),
        op(MOVE_REGISTER, WANTED, KIND, 0, 0),
        op(SHIFT_RIGHT, WANTED, 0, 0, 16),
        op(AND, KIND, 0, 0, 0xffff),
        op(LOAD_WORD, MAJOR, 1, 4, 0),
        op(LOAD_WORD, MINOR, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let verdict = if rule.allow {
            vec![
                op(AND, WANTED, 0, 0, !rule.access & ALL),
                op(JUMP_NOT_EQUAL, WANTED, 0, 2, 0),
                op(MOVE, 0, 0, 0, 1),
                op(EXIT, 0, 0, 0, 0),
            ]
        } else {
            vec![
                op(MOVE_REGISTER, SCRATCH, WANTED, 0, 0),
                op(AND, SCRATCH, 0, 0, rule.access),
                op(JUMP_EQUAL, SCRATCH, 0, 2, 0),
                op(MOVE, 0, 0, 0, 0),
                op(EXIT, 0, 0, 0, 0),
            ]
        };
        let conditions = [(KIND, rule.kind), (MAJOR, rule.major), (MINOR, rule.minor)];
        let conditions: Vec<(u8, u32)> =
            conditions.into_iter().filter_map(|(register, value)| Some((register, value?))).collect();
        for (index, &(register, value)) in conditions.iter().enumerate() {
            let over = conditions.len() - index - 1 + verdict.len();
            program.push(op(JUMP_NOT_EQUAL_32, register, 0, over as i16, value));
        }
        program.extend(verdict);
    }
    program.extend([op(MOVE, 0, 0, 0, 0), op(EXIT, 0, 0, 0, 0)]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;
    use proptest::prelude::*;

    /// Runs what the kernel would run.
    fn run(program: &[BpfInstruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut r = [0u64; 11];
        let mut at = 0usize;
        for _ in 0..100_000 {
            let i = program[at];
            let (dst, src) = ((i.registers & 15) as usize, (i.registers >> 4) as usize);
            let immediate = i.immediate as i64 as u64;
            let mut jump = false;
            match i.code {
                LOAD_WORD => r[dst] = context[i.offset as usize / 4].into(),
                MOVE => r[dst] = immediate,
                MOVE_REGISTER => r[dst] = r[src],
                AND => r[dst] &= immediate,
                SHIFT_RIGHT => r[dst] >>= immediate,
                JUMP_EQUAL => jump = r[dst] == immediate,
                JUMP_NOT_EQUAL => jump = r[dst] != immediate,
                JUMP_NOT_EQUAL_32 => jump = r[dst] as u32 != immediate as u32,
                EXIT => return r[0] != 0,
                other => panic!("{other:#x}"),
            }
            at += 1 + if jump { i.offset as usize } else { 0 };
        }
        panic!("does not end");
    }

    /// The module's first sentence, literally.
    fn naive(rules: &[Rule], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            let matching = rules.iter().rev().find(|rule| {
                rule.access & bit != 0
                    && rule.kind.is_none_or(|k| k == kind)
                    && rule.major.is_none_or(|m| m == major)
                    && rule.minor.is_none_or(|m| m == minor)
            });
            matching.is_some_and(|rule| rule.allow)
        })
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let number = || proptest::option::of(prop_oneof![0u32..4, Just(u32::MAX), Just(1 << 31)]);
        (any::<bool>(), proptest::option::of(1u32..3), number(), number(), 0u32..8)
            .prop_map(|(allow, kind, major, minor, access)| Rule { allow, kind, major, minor, access })
    }

    proptest! {
        #[test]
        fn the_program_does_what_the_rules_say(
            rules in proptest::collection::vec(any_rule(), 0..12),
            kind in 1u32..3,
            access in 1u32..8,
            major in prop_oneof![0u32..4, Just(u32::MAX), Just(1 << 31)],
            minor in prop_oneof![0u32..4, Just(u32::MAX), Just(1 << 31)],
        ) {
            let wanted = naive(&rules, kind, access, major, minor);
            prop_assert_eq!(run(&compile(&rules), kind, access, major, minor), wanted);
        }
    }

    #[test]
    fn containers_get_null_but_no_disk() {
        let rules = rules(&[]);
        let program = compile(&rules);
        assert!(run(&program, CHAR, READ | WRITE, 1, 3));
        assert!(run(&program, BLOCK, MKNOD, 8, 0), "nodes may be made");
        assert!(!run(&program, BLOCK, READ, 8, 0));
        assert!(!run(&program, CHAR, READ, 1, 1), "/dev/mem");
        assert!(!everything_allowed(&rules));
        let all = LinuxDeviceCgroupBuilder::default().allow(true).access("rwm").build().unwrap();
        assert!(everything_allowed(&super::rules(&[all])));
    }

    /// Needs root and a v2 hierarchy, which hybrid systems have too.
    #[test]
    fn the_kernel_takes_the_program() {
        let cgroups = crate::cgroup::Cgroups::detect().unwrap();
        let Some(root) = &cgroups.hierarchies.v2 else { return };
        let dir = root.join(format!("cubby-test-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let attached = attach_v2(&dir, &rules(&[]));
        std::fs::remove_dir(&dir).unwrap();
        attached.unwrap();
    }
}
