//! Raw content as a dynamic VHDX: the only kind of growing disk that Hyper-V takes. Windows can make an empty one, but only an
//! administrator may write into it; so the file is written here, and tested with QEMU's reader.
//!
//! ```text
//!  0      identifier          1 MiB  log (empty)          3 MiB  block allocation table
//!  64 K   headers (two)       2 MiB  metadata             then   blocks of a mebibyte that have content
//!  192 K  region tables (two)
//! ```
//!
//! Source: [MS-VHDX] 2.2–2.6.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::disk::read_block;

const MIB: u64 = 1 << 20;
const KIB: usize = 1 << 10;
const BLOCK_BYTES: u64 = MIB;
const SECTOR_BYTES: u32 = 512;
/// After this many blocks the table has an entry for their sector bitmap, which only disks with parents use.
const CHUNK_BLOCKS: u64 = (1 << 23) * SECTOR_BYTES as u64 / BLOCK_BYTES;
const LOG_AT: u64 = MIB;
const METADATA_AT: u64 = 2 * MIB;
const TABLE_AT: u64 = 3 * MIB;
/// Source: 2.5.1.1, PAYLOAD_BLOCK_FULLY_PRESENT.
const PRESENT: u64 = 6;

const TABLE: u128 = 0x2dc2_7766_f623_4200_9d64_115e_9bfd_4a08;
const METADATA: u128 = 0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886e;
const FILE_PARAMETERS: u128 = 0xcaa1_6737_fa36_4d43_b3b6_33f0_aa44_e76b;
const DISK_SIZE: u128 = 0x2fa5_4224_cd1b_4876_b211_5dbe_d83b_f4b8;
const DISK_ID: u128 = 0xbeca_12ab_b2e6_4523_93ef_c309_e000_c746;
const LOGICAL_SECTOR: u128 = 0x8141_bf1d_a96f_4709_ba47_f233_a8fa_ab5f;
const PHYSICAL_SECTOR: u128 = 0xcda3_48c7_445d_4471_9cc9_e988_5251_c556;

/// Writes a disk of `size_bytes` (rounded up to a mebibyte) that begins with what `content` yields, into an empty file. `ids`
/// are random. Blocking.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] when the content is longer than the disk.
pub fn write(mut file: &File, content: &mut impl Read, size_bytes: u64, ids: [u128; 2]) -> io::Result<()> {
    let size_bytes = size_bytes.next_multiple_of(MIB);
    let blocks = size_bytes / BLOCK_BYTES;
    let mut table =
        vec![0_u64; usize::try_from(blocks + (blocks.max(1) - 1) / CHUNK_BLOCKS).map_err(io::Error::other)?];
    let table_bytes = (table.len() as u64 * 8).next_multiple_of(MIB);
    let mut at = TABLE_AT + table_bytes;
    let mut block = vec![0; BLOCK_BYTES as usize];
    let hole = block.clone();
    for number in 0.. {
        let filled = read_block(content, &mut block)?;
        if filled == 0 {
            break;
        }
        if number >= blocks {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        block[filled..].fill(0);
        if block != hole {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&block)?;
            table[(number + number / CHUNK_BLOCKS) as usize] = PRESENT | at;
            at += BLOCK_BYTES;
        }
    }
    file.set_len(at)?;
    put(file, TABLE_AT, &table.iter().flat_map(|entry| entry.to_le_bytes()).collect::<Vec<u8>>())?;
    put(file, METADATA_AT, &metadata(size_bytes, ids[1]))?;
    let regions = regions(u32::try_from(table_bytes).map_err(io::Error::other)?);
    put(file, 192 * KIB as u64, &regions)?;
    put(file, 256 * KIB as u64, &regions)?;
    put(file, 64 * KIB as u64, &header(1, ids[0]))?;
    put(file, 128 * KIB as u64, &header(2, ids[0]))?;
    // Last: a file without it is no disk.
    file.sync_all()?;
    let mut identifier = b"vhdxfile".to_vec();
    identifier.extend("Cubby".encode_utf16().flat_map(u16::to_le_bytes));
    put(file, 0, &identifier)?;
    file.sync_all()
}

fn put(mut file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// Ids are stored with their first three fields little-endian. Source: [MS-DTYP] 2.3.4.2.
fn guid(id: u128) -> [u8; 16] {
    let mut bytes = id.to_be_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// Source: 2.2.2: signature, checksum, sequence, ids of file, data and log (none), versions, log.
fn header(sequence: u64, id: u128) -> Vec<u8> {
    let mut bytes = b"head\0\0\0\0".to_vec();
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(guid(id));
    bytes.extend(guid(id));
    bytes.extend([0; 16]);
    bytes.extend(0_u16.to_le_bytes());
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend((MIB as u32).to_le_bytes());
    bytes.extend(LOG_AT.to_le_bytes());
    sealed(bytes, 4 * KIB)
}

/// Source: 2.2.3.
fn regions(table_bytes: u32) -> Vec<u8> {
    let mut bytes = b"regi\0\0\0\0".to_vec();
    bytes.extend(2_u32.to_le_bytes());
    bytes.extend([0; 4]);
    for (id, at, len) in [(TABLE, TABLE_AT, table_bytes), (METADATA, METADATA_AT, MIB as u32)] {
        bytes.extend(guid(id));
        bytes.extend(at.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        // Required.
        bytes.extend(1_u32.to_le_bytes());
    }
    sealed(bytes, 64 * KIB)
}

/// Source: 2.6: a table of items, whose values begin 64 KiB into the region.
fn metadata(size_bytes: u64, id: u128) -> Vec<u8> {
    const REQUIRED: u32 = 4;
    const OF_THE_DISK: u32 = 2;
    let mut parameters = (BLOCK_BYTES as u32).to_le_bytes().to_vec();
    parameters.extend([0; 4]);
    let items: [(u128, Vec<u8>, u32); 5] = [
        (FILE_PARAMETERS, parameters, REQUIRED),
        (DISK_SIZE, size_bytes.to_le_bytes().to_vec(), REQUIRED | OF_THE_DISK),
        (DISK_ID, guid(id).to_vec(), REQUIRED | OF_THE_DISK),
        (LOGICAL_SECTOR, SECTOR_BYTES.to_le_bytes().to_vec(), REQUIRED | OF_THE_DISK),
        (PHYSICAL_SECTOR, 4096_u32.to_le_bytes().to_vec(), REQUIRED | OF_THE_DISK),
    ];
    let mut table = b"metadata\0\0".to_vec();
    table.extend((items.len() as u16).to_le_bytes());
    table.resize(32, 0);
    let mut values = Vec::new();
    for (id, value, flags) in items {
        table.extend(guid(id));
        table.extend((64 * KIB as u32 + values.len() as u32).to_le_bytes());
        table.extend((value.len() as u32).to_le_bytes());
        table.extend(flags.to_le_bytes());
        table.extend([0; 4]);
        values.extend(value);
    }
    table.resize(64 * KIB, 0);
    table.extend(values);
    table
}

/// Padded, with the checksum of everything in its place (bytes 4 to 8).
fn sealed(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
    bytes.resize(len, 0);
    let sum = crc32c(&bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Source: RFC 3720 B.4 (Castagnoli), bit by bit: it runs over 136 KiB, once.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 })
    })
}

/// Makes a disk larger; a smaller size is left alone. Nobody may use it. Blocking.
#[cfg(windows)]
pub fn grow(path: &std::path::Path, size_bytes: u64) -> io::Result<()> {
    use std::os::windows::ffi::OsStrExt;
    use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

    use windows_sys::Win32::Storage::Vhd::*;
    let name: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let kind = VIRTUAL_STORAGE_TYPE {
        DeviceId: VIRTUAL_STORAGE_TYPE_DEVICE_VHDX,
        VendorId: VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT,
    };
    let open = OPEN_VIRTUAL_DISK_PARAMETERS { Version: OPEN_VIRTUAL_DISK_VERSION_2, ..Default::default() };
    let mut handle = std::ptr::null_mut();
    // SAFETY: the name ends with a zero; type and parameters live until the call returns; room for the handle.
    let code = unsafe {
        OpenVirtualDisk(&kind, name.as_ptr(), VIRTUAL_DISK_ACCESS_NONE, OPEN_VIRTUAL_DISK_FLAG_NONE, &open, &mut handle)
    };
    checked(code)?;
    // SAFETY: just opened, owned by nobody else.
    let disk = unsafe { OwnedHandle::from_raw_handle(handle) };
    let wanted = RESIZE_VIRTUAL_DISK_PARAMETERS {
        Version: RESIZE_VIRTUAL_DISK_VERSION_1,
        Anonymous: RESIZE_VIRTUAL_DISK_PARAMETERS_0 {
            Version1: RESIZE_VIRTUAL_DISK_PARAMETERS_0_0 { NewSize: size_bytes.next_multiple_of(MIB) },
        },
    };
    // SAFETY: an open disk; the parameters live until the call returns; no overlapped operation.
    let code =
        unsafe { ResizeVirtualDisk(disk.as_raw_handle(), RESIZE_VIRTUAL_DISK_FLAG_NONE, &wanted, std::ptr::null()) };
    // Source: winerror.h, ERROR_VHD_INVALID_SIZE (smaller than it is) and ERROR_INVALID_PARAMETER (the same size).
    if [0xC03A_0012, 87].contains(&code) { Ok(()) } else { checked(code) }
}

#[cfg(windows)]
fn checked(code: u32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code as i32)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [u128; 2] = [0x1111_2222_3333_4444_5555_6666_7777_8888, 7];

    #[test]
    fn the_checksum_is_castagnoli_s() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn ids_have_their_first_fields_reversed() {
        assert_eq!(guid(TABLE)[..8], [0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42]);
    }

    #[test]
    fn content_that_is_too_long_is_refused() {
        let file = tempfile::tempfile().unwrap();
        assert!(write(&file, &mut &vec![1; 3 << 20][..], 2 << 20, IDS).is_err());
    }

    /// QEMU's reader is the examiner: the same bytes back, and no complaint about the file.
    #[cfg(target_os = "linux")]
    #[test]
    fn another_reader_finds_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, raw) = (dir.path().join("data.vhdx"), dir.path().join("raw"));
        // Beyond the first chunk of 4096 blocks, with holes; the content ends within a block.
        let size = 4100 * MIB;
        let file = File::create_new(&disk).unwrap();
        let content =
            io::repeat(0).take(3 * MIB).chain(io::repeat(7).take(MIB + 5)).chain(io::repeat(0).take(4093 * MIB));
        write(&file, &mut content.chain(io::repeat(9).take(MIB)), size, IDS).unwrap();
        let qemu_img = |args: &[&std::ffi::OsStr]| {
            let output =
                std::process::Command::new("qemu-img").args(args).output().expect("qemu-img is in the test packages");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let text = |text: &'static str| std::ffi::OsStr::new(text);
        qemu_img(&[text("check"), text("-f"), text("vhdx"), disk.as_os_str()]);
        let formats = ["convert", "-f", "vhdx", "-O", "raw"].map(text);
        qemu_img(&[&formats[..], &[disk.as_os_str(), raw.as_os_str()]].concat());
        let mut read = File::open(&raw).unwrap();
        assert_eq!(read.metadata().unwrap().len(), size);
        let mut byte_at = |at: u64| {
            let mut byte = [0];
            read.seek(SeekFrom::Start(at)).and_then(|_| read.read_exact(&mut byte)).unwrap();
            byte[0]
        };
        let edges = [0, 3 * MIB - 1, 3 * MIB, 4 * MIB + 4, 4 * MIB + 5, 4097 * MIB + 4, 4097 * MIB + 5, 4098 * MIB + 4];
        assert_eq!(edges.map(&mut byte_at), [0, 0, 7, 7, 0, 0, 9, 9]);
        assert_eq!(byte_at(4098 * MIB + 5), 0);
        assert!(file.metadata().unwrap().len() < 10 * MIB, "holes take no room");
    }
}
