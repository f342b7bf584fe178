//! Classic BPF, as far as seccomp filters need it. Source: linux/bpf_common.h, linux/seccomp.h.

/// `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub k: u32,
}

pub(super) const LOAD_WORD: u16 = 0x20; // A = data[k]
pub(super) const AND: u16 = 0x54; // A &= k
pub(super) const JUMP: u16 = 0x05; // over k instructions
pub(super) const JUMP_EQUAL: u16 = 0x15;
pub(super) const JUMP_GREATER: u16 = 0x25;
pub(super) const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
pub(super) const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCH: u32 = 4;

/// The low and high half of an argument, on a little-endian machine.
pub(super) fn argument(index: u32) -> (u32, u32) {
    let low = 16 + 8 * index;
    (low, low + 4)
}

pub(super) fn op(code: u16, k: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, k }
}

pub(super) fn jump(code: u16, k: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction { code, jump_true, jump_false, k }
}

pub(super) fn encode(program: &[Instruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in program {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.jump_true, instruction.jump_false]);
        bytes.extend_from_slice(&instruction.k.to_ne_bytes());
    }
    bytes
}

/// What the kernel would do; for tests. Returns the verdict and the number of instructions executed.
#[cfg(test)]
pub(super) fn run(bytes: &[u8], arch: u32, number: u32, args: [u64; 6]) -> (u32, usize) {
    let load = |offset: u32| match offset {
        NUMBER => number,
        ARCH => arch,
        16.. => {
            let arg = args[((offset - 16) / 8) as usize];
            if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
        }
        other => panic!("offset {other}"),
    };
    let mut a = 0;
    let mut at = 0;
    for steps in 1..5000 {
        let raw = &bytes[at * 8..at * 8 + 8];
        let code = u16::from_ne_bytes([raw[0], raw[1]]);
        let k = u32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]);
        at += 1;
        let jump = match code {
            LOAD_WORD => {
                a = load(k);
                0
            }
            AND => {
                a &= k;
                0
            }
            JUMP => k as usize,
            JUMP_EQUAL => usize::from(if a == k { raw[2] } else { raw[3] }),
            JUMP_GREATER => usize::from(if a > k { raw[2] } else { raw[3] }),
            JUMP_GREATER_OR_EQUAL => usize::from(if a >= k { raw[2] } else { raw[3] }),
            RETURN => return (k, steps),
            other => panic!("code {other:#x}"),
        };
        at += jump;
    }
    panic!("does not end");
}
