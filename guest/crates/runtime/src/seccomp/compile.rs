//! From rules to a program.
//!
//! System call numbers with the same fate are merged to ranges; a binary search tree over the ranges finds the one of a call in
//! about seven comparisons. Conditions on arguments are only looked at where there are some.
//!
//! Meaning: the first rule whose conditions all hold decides; a rule without conditions decides at once, whatever its place.
//! A rule that says what happens anyway is no rule. Calls younger than every call the profile names do not exist (ENOSYS
//! instead of the profile's EPERM), so that programs fall back to what they did before. Source: libseccomp and runc.

use std::collections::BTreeMap;

use super::bpf::{
    AND, ARCH, Instruction, JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL, LOAD_WORD, NUMBER, RETURN, argument,
    encode, jump, op,
};
use super::profile::{Action, Condition, Machine, Op, Profile};
use super::syscalls::Abi;
use super::{Program, SeccompError};

/// `SECCOMP_RET_*` of linux/seccomp.h.
pub(super) const KILL_PROCESS: u32 = 0x8000_0000;
pub(super) const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = 1;
pub(super) const ENOSYS: u32 = 38;
/// Bit of x32 calls, which share x86-64's architecture value.
pub(super) const X32: u32 = 0x4000_0000;

/// `BPF_MAXINSNS`.
const INSTRUCTIONS_MAX: usize = 4096;

/// What happens to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fate {
    /// Conditions that must all hold, and the verdict then.
    cases: Vec<(Vec<Condition>, u32)>,
    otherwise: u32,
}

pub(super) fn verdict(action: Action, errno: Option<u32>) -> u32 {
    let errno = errno.unwrap_or(EPERM) & 0xffff;
    match action {
        Action::KillThread => 0,
        Action::KillProcess => KILL_PROCESS,
        Action::Trap => 0x0003_0000,
        Action::Errno => ERRNO | errno,
        // Refused by Profile::from_json; killing is the safe reading.
        Action::Notify => KILL_PROCESS,
        Action::Trace => 0x7ff0_0000 | errno,
        Action::Log => 0x7ffc_0000,
        Action::Allow => 0x7fff_0000,
    }
}

pub(super) fn compile(profile: &Profile, capabilities: &[String], machine: &Machine) -> Result<Program, SeccompError> {
    let mut program = vec![op(LOAD_WORD, ARCH)];
    for abi in profile.abis(machine) {
        let ranges = ranges(profile, capabilities, machine, abi)?;
        let mut body = vec![op(LOAD_WORD, NUMBER)];
        if abi == Abi::X86_64 {
            body.push(jump(JUMP_GREATER_OR_EQUAL, X32, 0, 1));
            body.push(op(RETURN, ERRNO | ENOSYS));
        }
        body.extend(tree(&ranges)?);
        // Not this architecture: over the body, to the next.
        program.push(jump(JUMP_EQUAL, abi.audit(), 1, 0));
        program.push(op(JUMP, body.len() as u32));
        program.extend(body);
    }
    program.push(op(RETURN, KILL_PROCESS));
    if program.len() > INSTRUCTIONS_MAX {
        return Err(SeccompError::Unsupported(format!("too long: {} instructions", program.len())));
    }
    Ok(Program { bytes: encode(&program) })
}

/// Fates by the first number of each range, from 0 on.
fn ranges(
    profile: &Profile,
    capabilities: &[String],
    machine: &Machine,
    abi: Abi,
) -> Result<Vec<(u32, Fate)>, SeccompError> {
    let default = verdict(profile.default_action, profile.default_errno_ret);
    let mut fates: BTreeMap<u32, Fate> = BTreeMap::new();
    let mut decided: BTreeMap<u32, u32> = BTreeMap::new();
    let mut youngest = None;
    for rule in &profile.syscalls {
        let numbers = rule.names().filter_map(|name| abi.table().get(name).copied());
        let applies = rule.applies(capabilities, machine)?;
        let wanted = verdict(rule.action, rule.errno_ret.or(profile.default_errno_ret));
        for number in numbers {
            youngest = youngest.max(Some(number));
            if !applies || wanted == default {
                continue;
            }
            if rule.args.is_empty() {
                decided.entry(number).or_insert(wanted);
            } else {
                let fate = fates.entry(number).or_insert(Fate { cases: Vec::new(), otherwise: default });
                fate.cases.push((rule.args.clone(), wanted));
            }
        }
    }
    for (number, verdict) in decided {
        fates.insert(number, Fate { cases: Vec::new(), otherwise: verdict });
    }
    let plain = |verdict: u32| Fate { cases: Vec::new(), otherwise: verdict };
    let allows = matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace);
    let beyond = if allows { default } else { ERRNO | ENOSYS };
    let end = youngest.map_or(0, |number| number + 1);
    let mut ranges: Vec<(u32, Fate)> = Vec::new();
    let all = (0..end).map(|number| (number, fates.remove(&number).unwrap_or_else(|| plain(default))));
    for (number, fate) in all.chain([(end, plain(beyond))]) {
        if ranges.last().is_none_or(|(_, last)| *last != fate) {
            ranges.push((number, fate));
        }
    }
    Ok(ranges)
}

/// Code that ends in a verdict, for a number in the accumulator that is in one of the ranges.
fn tree(ranges: &[(u32, Fate)]) -> Result<Vec<Instruction>, SeccompError> {
    if let [(_, fate)] = ranges {
        return leaf(fate);
    }
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let (first_above, below, above) = (above[0].0, tree(below)?, tree(above)?);
    let mut code = match u8::try_from(below.len()) {
        Ok(over) => vec![jump(JUMP_GREATER_OR_EQUAL, first_above, over, 0)],
        // A conditional jump reaches 255 instructions only.
        Err(_) => {
            vec![jump(JUMP_GREATER_OR_EQUAL, first_above, 0, 1), op(JUMP, below.len() as u32)]
        }
    };
    code.extend(below);
    code.extend(above);
    Ok(code)
}

fn leaf(fate: &Fate) -> Result<Vec<Instruction>, SeccompError> {
    let mut code = Vec::new();
    for (conditions, verdict) in &fate.cases {
        let tests: Vec<Vec<Test>> = conditions.iter().map(test).collect();
        let total: usize = tests.iter().map(Vec::len).sum();
        let mut before = 0;
        for condition in tests {
            let next = before + condition.len();
            for (index, test) in condition.into_iter().enumerate() {
                // Distances from the instruction after this one.
                let here = before + index + 1;
                let holds = next - here;
                let fails = total - here + 1;
                code.push(test.place(holds, fails)?);
            }
            before = next;
        }
        code.push(op(RETURN, *verdict));
    }
    code.push(op(RETURN, fate.otherwise));
    Ok(code)
}

/// An instruction whose jumps are not placed yet.
enum Test {
    Plain(Instruction),
    Branch { code: u16, k: u32, yes: To, no: To },
}

#[derive(Clone, Copy)]
enum To {
    /// The next instruction.
    On,
    /// Past this condition: it holds.
    Holds,
    /// Past this case.
    Fails,
}

impl Test {
    fn place(self, holds: usize, fails: usize) -> Result<Instruction, SeccompError> {
        match self {
            Self::Plain(instruction) => Ok(instruction),
            Self::Branch { code, k, yes, no } => {
                let distance = |to: To| {
                    let distance = match to {
                        To::On => 0,
                        To::Holds => holds,
                        To::Fails => fails,
                    };
                    u8::try_from(distance)
                        .map_err(|_| SeccompError::Unsupported("too many conditions in one rule".into()))
                };
                Ok(jump(code, k, distance(yes)?, distance(no)?))
            }
        }
    }
}

fn branch(code: u16, k: u32, yes: To, no: To) -> Test {
    Test::Branch { code, k, yes, no }
}

/// 64-bit comparisons by halves.
fn test(condition: &Condition) -> Vec<Test> {
    use To::{Fails, Holds, On};
    let (low_at, high_at) = argument(condition.index);
    let (low, high) = (condition.value as u32, (condition.value >> 32) as u32);
    let load = |at| Test::Plain(op(LOAD_WORD, at));
    let ordered = |code: u16, high_yes: To, yes: To, no: To, high_no: To| {
        vec![
            load(high_at),
            branch(JUMP_GREATER, high, high_yes, On),
            branch(JUMP_EQUAL, high, On, high_no),
            load(low_at),
            branch(code, low, yes, no),
        ]
    };
    match condition.op {
        Op::Equal => vec![
            load(high_at),
            branch(JUMP_EQUAL, high, On, Fails),
            load(low_at),
            branch(JUMP_EQUAL, low, Holds, Fails),
        ],
        Op::NotEqual => vec![
            load(high_at),
            branch(JUMP_EQUAL, high, On, Holds),
            load(low_at),
            branch(JUMP_EQUAL, low, Fails, Holds),
        ],
        Op::Greater => ordered(JUMP_GREATER, Holds, Holds, Fails, Fails),
        Op::GreaterOrEqual => ordered(JUMP_GREATER_OR_EQUAL, Holds, Holds, Fails, Fails),
        Op::LessOrEqual => ordered(JUMP_GREATER, Fails, Fails, Holds, Holds),
        Op::Less => ordered(JUMP_GREATER_OR_EQUAL, Fails, Fails, Holds, Holds),
        Op::MaskedEqual => {
            let (wanted_low, wanted_high) = (condition.value_two as u32, (condition.value_two >> 32) as u32);
            vec![
                load(high_at),
                Test::Plain(op(AND, high)),
                branch(JUMP_EQUAL, wanted_high, On, Fails),
                load(low_at),
                Test::Plain(op(AND, low)),
                branch(JUMP_EQUAL, wanted_low, Holds, Fails),
            ]
        }
    }
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
