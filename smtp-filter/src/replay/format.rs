//! Which format a capture has, by its first bytes.

use std::io::{self, Read as _};

use anyhow::{Result, bail};

use super::source::Source;

/// Bytes that are read at once.
pub(super) const PIECE: usize = 1 << 20;
/// What the readers want to see at once: the longest header.
const HEAD: usize = 32;

/// The first bytes: as many as the readers want to see at once, or as there are.
pub(super) fn look(source: &mut Source) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    fill(source, &mut head, HEAD)?;
    let length = match head.as_slice() {
        [0x0a, 0x0d, 0x0d, 0x0a, a, b, c, d, 0x4d, 0x3c, 0x2b, 0x1a, ..] => u32::from_le_bytes([*a, *b, *c, *d]),
        [0x0a, 0x0d, 0x0d, 0x0a, a, b, c, d, 0x1a, 0x2b, 0x3c, 0x4d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
        _ => 0,
    };
    fill(source, &mut head, PIECE.min(length as usize))?;
    Ok(head)
}

/// Reads on until there are so many bytes.
fn fill(source: &mut Source, bytes: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let missing = length.saturating_sub(bytes.len());
    source.take(missing as u64).read_to_end(bytes)?;
    Ok(())
}

/// A format of captures.
pub(super) enum Format {
    /// With microseconds or nanoseconds.
    Pcap,
    /// Of blocks.
    Pcapng,
}

/// What a file is by its first bytes.
pub(super) fn format(head: &[u8]) -> Result<Format> {
    let packed = match head {
        [] => bail!("the file is empty; expected a capture in the format pcap or pcapng"),
        [0xa1, 0xb2, 0xc3, 0xd4, ..]
        | [0xd4, 0xc3, 0xb2, 0xa1, ..]
        | [0xa1, 0xb2, 0x3c, 0x4d, ..]
        | [0x4d, 0x3c, 0xb2, 0xa1, ..]
        | [0x34, 0xcd, 0xb2, 0xa1, ..] => return Ok(Format::Pcap),
        [0x0a, 0x0d, 0x0d, 0x0a, ..] => return Ok(Format::Pcapng),
        [0x1f, 0x8b, ..] => "zcat",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstdcat",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xzcat",
        [b'B', b'Z', b'h', ..] => "bzcat",
        [0x04, 0x22, 0x4d, 0x18, ..] => "lz4cat",
        _ => {
            let bytes: Vec<String> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            bail!("the file begins with {}: no capture in the format pcap or pcapng", bytes.join(" "))
        }
    };
    bail!("the file is compressed: unpack it with `{packed} FILE | smtp-filter replay -`")
}
