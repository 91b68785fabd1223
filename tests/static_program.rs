//! The smallest program: a static executable that only ends. What it costs to start is the kernel's part of starting a process.

use std::io;
use std::path::Path;

/// Instructions for `exit(0)`, and the number of the machine.
#[cfg(target_arch = "x86_64")]
const EXIT: (u16, &[u8]) = (62, &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]);
#[cfg(target_arch = "aarch64")]
const EXIT: (u16, &[u8]) = (183, &[0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4]);

/// Where the file is mapped.
const BASE: u64 = 0x40_0000;
/// Size of the file header and of the one program header.
const HEADERS: u64 = 64 + 56;

/// Writes the program as an executable file.
///
/// # Errors
/// Where the file system refuses.
pub fn write(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, image())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

/// An ELF file with one segment, which holds the whole file.
fn image() -> Vec<u8> {
    let (machine, code) = EXIT;
    let size = HEADERS + code.len() as u64;
    // Magic, 64 bits, little-endian, version 1, System V.
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    let word = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    let long = |file: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    half(&mut file, &[2, machine]); // an executable
    word(&mut file, &[1]); // version
    long(&mut file, &[BASE + HEADERS, 64, 0]); // entry, program headers, no section headers
    word(&mut file, &[0]); // flags
    half(&mut file, &[64, 56, 1, 0, 0, 0]); // sizes and counts of headers
    word(&mut file, &[1, 5]); // to be loaded, readable and executable
    long(&mut file, &[0, BASE, BASE, size, size, 0x1000]); // offset, addresses, sizes, alignment
    file.extend_from_slice(code);
    file
}
