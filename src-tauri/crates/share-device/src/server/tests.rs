//! Requests as bytes, through the server.

use proptest::prelude::*;
use vm_memory::VolatileSlice;

use super::*;
use crate::folders::Folders;

struct Case {
    server: Server,
    dir: tempfile::TempDir,
}

impl Case {
    fn new() -> Case {
        let dir = tempfile::tempdir().unwrap();
        let (folders, _) = Folders::new([dir.path().to_owned()]);
        Case { server: Server::new(Arc::new(Fs::new(folders, None))), dir }
    }

    fn raw(&self, request: &[u8], room: usize) -> Vec<u8> {
        let mut request = request.to_vec();
        let mut reply = vec![0; room];
        let (mut input, mut output) = (Slices::default(), Slices::default());
        input.push(VolatileSlice::from(&mut request[..])).unwrap();
        output.push(VolatileSlice::from(&mut reply[..])).unwrap();
        let len = self.server.handle(input, output);
        reply.truncate(len);
        reply
    }

    /// Error and payload.
    fn ask(&self, opcode: u32, nodeid: u64, body: &[u8]) -> (i32, Vec<u8>) {
        let header = InHeader { len: 0, opcode, unique: 9, nodeid, ..InHeader::default() };
        let reply = self.raw(&[header.as_bytes(), body].concat(), 1 << 16);
        let head = <OutHeader as zerocopy::FromBytes>::read_from_bytes(&reply[..16]).unwrap();
        assert_eq!((head.len as usize, head.unique), (reply.len(), 9));
        (head.error, reply[16..].to_vec())
    }

    fn init(&self) -> InitOut {
        let asked = InitIn { major: 7, minor: 41, flags: u32::MAX, flags2: u32::MAX, ..InitIn::default() };
        let (error, reply) = self.ask(op::INIT, 0, asked.as_bytes());
        assert_eq!(error, 0);
        <InitOut as zerocopy::FromBytes>::read_from_bytes(&reply).unwrap()
    }

    fn folder(&self) -> u64 {
        let path = self.dir.path().canonicalize().unwrap();
        path.iter().skip(1).fold(ROOT_ID, |dir, name| {
            let (error, reply) = self.ask(op::LOOKUP, dir, &[name.as_bytes(), b"\0"].concat());
            assert_eq!(error, 0);
            u64::from_ne_bytes(reply[..8].try_into().unwrap())
        })
    }
}

#[test]
fn nothing_is_served_before_init_and_old_kernels_are_refused() {
    let case = Case::new();
    assert_eq!(case.ask(op::GETATTR, 1, &[0; 16]).0, -libc::EIO);
    let old = InitIn { major: 7, minor: 12, ..InitIn::default() };
    assert_eq!(case.ask(op::INIT, 0, old.as_bytes()).0, -libc::EPROTO);
    let out = case.init();
    assert_eq!((out.max_write, u64::from(out.flags) & flag::AUTO_INVAL_DATA), (MAX_TRANSFER, flag::AUTO_INVAL_DATA));
    assert_eq!(case.ask(op::GETATTR, 1, &[0; 16]).0, 0);
}

#[test]
fn a_file_is_made_written_read_and_removed() {
    let case = Case::new();
    case.init();
    let dir = case.folder();
    let create = CreateIn { flags: libc::O_RDWR as u32, mode: 0o644, ..CreateIn::default() };
    let (error, reply) = case.ask(op::CREATE, dir, &[create.as_bytes(), b"f\0"].concat());
    assert_eq!(error, 0);
    let fh = u64::from_ne_bytes(reply[128..136].try_into().unwrap());
    let write = TransferIn { fh, offset: 2, size: 5, ..TransferIn::default() };
    assert_eq!(
        case.ask(op::WRITE, 0, &[write.as_bytes(), b"hello"].concat()).1,
        WriteOut { size: 5, padding: 0 }.as_bytes()
    );
    let read = TransferIn { fh, offset: 0, size: 100, ..TransferIn::default() };
    assert_eq!(case.ask(op::READ, 0, read.as_bytes()), (0, b"\0\0hello".to_vec()));
    let short = TransferIn { fh, offset: 0, size: 5, ..TransferIn::default() };
    assert_eq!(case.ask(op::WRITE, 0, short.as_bytes()).0, -libc::EINVAL, "less data than announced");
    assert_eq!(case.ask(op::UNLINK, dir, b"f\0").0, 0);
    assert_eq!(case.ask(op::RELEASE, 0, ReleaseIn { fh, ..ReleaseIn::default() }.as_bytes()).0, 0);
    assert_eq!(case.ask(op::READ, 0, read.as_bytes()).0, -libc::EBADF);
    assert_eq!(case.ask(op::UNLINK, dir, b"no-zero-byte").0, -libc::EINVAL);
    assert_eq!(case.ask(9999, 1, b"").0, -libc::ENOSYS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn whatever_the_guest_sends_the_folder_is_the_limit(
        ops in proptest::collection::vec((0u32..56, 0u64..12, proptest::collection::vec(any::<u8>(), 0..120), 0usize..400), 1..12),
    ) {
        let case = Case::new();
        case.init();
        for (opcode, nodeid, body, room) in ops {
            let header = InHeader { opcode, nodeid, unique: 1, ..InHeader::default() };
            let reply = case.raw(&[header.as_bytes(), &body].concat(), room);
            prop_assert!(reply.len() <= room);
        }
    }
}
