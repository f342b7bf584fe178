//! A guest whose requests are somebody's bytes, for `fuzz/`.

use std::path::Path;
use std::sync::Arc;

use vm_memory::VolatileSlice;
use zerocopy::IntoBytes;

use crate::abi::{InHeader, InitIn, MAJOR, MINOR, ROOT_ID, op};
use crate::chain::Slices;
use crate::folders::Folders;
use crate::fs::Fs;
use crate::server::Server;

pub struct Guest(Server);

impl Guest {
    /// Has seen the folder's whole path already: its nodes are 1 (the root), 2, 3…; the last is returned, too.
    pub fn new(folder: &Path) -> (Guest, u64) {
        let (folders, _) = Folders::new([folder.to_owned()]);
        let guest = Guest(Server::new(Arc::new(Fs::new(folders, None))));
        let init = InitIn { major: MAJOR, minor: MINOR, flags: u32::MAX, flags2: u32::MAX, ..InitIn::default() };
        guest.request(op::INIT, 0, 0, init.as_bytes(), 1 << 10);
        let last = folder.iter().skip(1).fold(ROOT_ID, |dir, name| {
            let reply = guest.request(op::LOOKUP, dir, 0, &[name.as_encoded_bytes(), b"\0"].concat(), 1 << 10);
            reply.get(16..24).and_then(|id| id.try_into().ok()).map_or(dir, u64::from_ne_bytes)
        });
        (guest, last)
    }

    /// The reply with its header, in a room of that many bytes.
    pub fn request(&self, opcode: u32, nodeid: u64, uid: u32, body: &[u8], room: usize) -> Vec<u8> {
        let header = InHeader { opcode, nodeid, uid, gid: uid, unique: 1, ..InHeader::default() };
        let (mut header, mut body, mut reply) = (header.as_bytes().to_vec(), body.to_vec(), vec![0; room]);
        let (mut input, mut output) = (Slices::default(), Slices::default());
        for part in [&mut header, &mut body] {
            input.push(VolatileSlice::from(&mut part[..]));
        }
        output.push(VolatileSlice::from(&mut reply[..]));
        let len = self.0.handle(input, output);
        assert!(len <= room, "a reply of {len} bytes in a room of {room}");
        reply.truncate(len);
        reply
    }
}
