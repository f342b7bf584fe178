//! The header in front of every packet. Source: struct virtio_vsock_hdr, include/uapi/linux/virtio_vsock.h.
//!
//! All fields little-endian and packed:
//!
//! ```text
//!  0 src_cid u64 │ 8 dst_cid u64 │ 16 src_port u32 │ 20 dst_port u32 │ 24 len u32 │ 28 type u16 │ 30 op u16
//! 32 flags u32   │ 36 buf_alloc u32 │ 40 fwd_cnt u32
//! ```
//!
//! The `virtio-vsock` crate's packet type wants the header and the payload each in one piece of memory; a driver may
//! split them as it likes, so the header is read and written as bytes here.

/// Size of the header on the wire.
pub const HEADER_BYTES: usize = 44;

/// `VMADDR_CID_HOST`: this side's context id.
pub const HOST_CID: u64 = 2;

/// `VIRTIO_VSOCK_TYPE_STREAM`: the only type offered.
pub const TYPE_STREAM: u16 = 1;

/// `VIRTIO_VSOCK_SHUTDOWN_RCV`: the sender of the packet receives no more.
pub const SHUTDOWN_RCV: u32 = 1;
/// `VIRTIO_VSOCK_SHUTDOWN_SEND`: the sender of the packet sends no more.
pub const SHUTDOWN_SEND: u32 = 2;

/// `enum virtio_vsock_op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Op {
    Request = 1,
    Response = 2,
    Rst = 3,
    Shutdown = 4,
    Rw = 5,
    CreditUpdate = 6,
    CreditRequest = 7,
}

impl Op {
    /// The operation of this number; `None` for what the specification does not know.
    pub fn from_raw(raw: u16) -> Option<Op> {
        Some(match raw {
            1 => Op::Request,
            2 => Op::Response,
            3 => Op::Rst,
            4 => Op::Shutdown,
            5 => Op::Rw,
            6 => Op::CreditUpdate,
            7 => Op::CreditRequest,
            _ => return None,
        })
    }
}

/// One packet's header, decoded. `type_` and `op` are raw: the guest may write anything there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub src_cid: u64,
    pub dst_cid: u64,
    pub src_port: u32,
    pub dst_port: u32,
    pub len: u32,
    pub type_: u16,
    pub op: u16,
    pub flags: u32,
    pub buf_alloc: u32,
    pub fwd_cnt: u32,
}

fn array<const N: usize>(raw: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&raw[at..at + N]);
    out
}

impl Header {
    pub fn from_bytes(raw: &[u8; HEADER_BYTES]) -> Header {
        Header {
            src_cid: u64::from_le_bytes(array(raw, 0)),
            dst_cid: u64::from_le_bytes(array(raw, 8)),
            src_port: u32::from_le_bytes(array(raw, 16)),
            dst_port: u32::from_le_bytes(array(raw, 20)),
            len: u32::from_le_bytes(array(raw, 24)),
            type_: u16::from_le_bytes(array(raw, 28)),
            op: u16::from_le_bytes(array(raw, 30)),
            flags: u32::from_le_bytes(array(raw, 32)),
            buf_alloc: u32::from_le_bytes(array(raw, 36)),
            fwd_cnt: u32::from_le_bytes(array(raw, 40)),
        }
    }

    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut raw = [0; HEADER_BYTES];
        raw[0..8].copy_from_slice(&self.src_cid.to_le_bytes());
        raw[8..16].copy_from_slice(&self.dst_cid.to_le_bytes());
        raw[16..20].copy_from_slice(&self.src_port.to_le_bytes());
        raw[20..24].copy_from_slice(&self.dst_port.to_le_bytes());
        raw[24..28].copy_from_slice(&self.len.to_le_bytes());
        raw[28..30].copy_from_slice(&self.type_.to_le_bytes());
        raw[30..32].copy_from_slice(&self.op.to_le_bytes());
        raw[32..36].copy_from_slice(&self.flags.to_le_bytes());
        raw[36..40].copy_from_slice(&self.buf_alloc.to_le_bytes());
        raw[40..44].copy_from_slice(&self.fwd_cnt.to_le_bytes());
        raw
    }

    /// The reset that answers this packet when no connection of ours can.
    pub fn reset(&self) -> Header {
        Header {
            src_cid: self.dst_cid,
            dst_cid: self.src_cid,
            src_port: self.dst_port,
            dst_port: self.src_port,
            type_: self.type_,
            op: Op::Rst as u16,
            ..Header::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_header_survives_the_round_trip(raw in proptest::array::uniform32(any::<u8>()), tail in proptest::array::uniform12(any::<u8>())) {
            let mut bytes = [0; HEADER_BYTES];
            bytes[..32].copy_from_slice(&raw);
            bytes[32..].copy_from_slice(&tail);
            prop_assert_eq!(Header::from_bytes(&bytes).to_bytes(), bytes);
        }
    }

    #[test]
    fn fields_lie_where_the_kernel_header_puts_them() {
        let mut raw = [0; HEADER_BYTES];
        raw[0] = 3;
        raw[8] = 2;
        raw[24] = 9;
        raw[28] = 1;
        raw[30] = 5;
        raw[40] = 7;
        let header = Header::from_bytes(&raw);
        assert_eq!((header.src_cid, header.dst_cid, header.len), (3, 2, 9));
        assert_eq!((header.type_, header.op, header.fwd_cnt), (TYPE_STREAM, Op::Rw as u16, 7));
    }
}
