//! What commands and replies have in common: lines, words, and overwriting.

/// Whether a byte parts words.
pub fn is_blank(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// Where the first word of a line lies, and whether a byte behind it says that it is whole.
pub fn first_word(line: &[u8]) -> (usize, usize, bool) {
    let start = line.iter().position(|byte| !is_blank(*byte)).unwrap_or(line.len());
    let end = line[start..].iter().position(|byte| is_blank(*byte)).map(|length| start + length);
    (start, end.unwrap_or(line.len()), end.is_some())
}

/// Bytes of a line in front of its end: CRLF, or LF alone. Of a line that has not ended yet, a CR in the last place may
/// be of its end, and what cannot be judged yet stays.
pub fn body(line: &[u8]) -> usize {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line).len()
}

/// Overwrites bytes of a line's body, as far as they have not been forwarded: `out` is the end of the line, from byte
/// `gone` on.
pub fn overwrite(out: &mut [u8], gone: usize, from: usize, to: usize, mut with: impl FnMut(usize, u8) -> u8) {
    for at in from.max(gone)..to {
        out[at - gone] = with(at, out[at - gone]);
    }
}
