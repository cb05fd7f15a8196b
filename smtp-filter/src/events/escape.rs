//! Bytes from the network as text that no terminal, log or parser can be harmed by.

use std::fmt::Write as _;

/// What may follow a `\` that is itself: anything but what would make it read as an escape, as one of the marks
/// that begin with `\`, or as the escape of a quotation mark.
const MISTAKEN: &[u8] = b"x.(\"";

/// Printable ASCII as it is, every other byte as `\xNN`; so is a `\`, as `\x5c`, where it might be taken for the
/// beginning of something else: before `x`, `.`, `(`, `"` and at the end. Different bytes give different text.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let mistaken = || bytes.get(at + 1).is_none_or(|next| MISTAKEN.contains(next));
        match byte {
            b' '..=b'~' if byte != b'\\' || !mistaken() => out.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The other way round: what an administrator does who wants the bytes.
    fn unescape(text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            if byte == b'\\' && rest.first() == Some(&b'x') {
                bytes.push(u8::from_str_radix(str::from_utf8(rest.get(1..3)?).ok()?, 16).ok()?);
                rest = &rest[3..];
            } else {
                bytes.push(byte);
            }
        }
        Some(bytes)
    }

    #[test]
    fn escapes_read_as_expected() {
        assert_eq!(escape(b"client.example"), "client.example");
        assert_eq!(escape(b"\x1b[2J\r\n\0\x7f\xff\\x1b"), "\\x1b[2J\\x0d\\x0a\\x00\\x7f\\xff\\x5cx1b");
        assert_eq!(escape(b"DOMAIN\\user\\\\\x01"), "DOMAIN\\user\\\\\\x01");
        assert_eq!(escape(b"a\\...\\(b\\\"\\"), "a\\x5c...\\x5c(b\\x5c\"\\x5c");
        assert_eq!(hex(b"EH\0\xff"), "454800ff");
    }

    proptest! {
        #[test]
        fn text_is_printable_and_says_which_bytes(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(b"\\\\\\x.(\"5c".to_vec())], 0..100))
        {
            let text = escape(&bytes);
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
            prop_assert_eq!(unescape(&text), Some(bytes));
        }
    }
}
