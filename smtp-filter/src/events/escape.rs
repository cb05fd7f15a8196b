//! Bytes from the network as text that no terminal, log or parser can be harmed by.

use std::fmt::Write as _;

/// Printable ASCII as it is, `\` doubled, every other byte as `\xNN`. Different bytes give different text.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(byte)),
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
            if byte != b'\\' {
                bytes.push(byte);
            } else if let Some(tail) = rest.strip_prefix(b"\\") {
                rest = tail;
                bytes.push(b'\\');
            } else {
                let digits = rest.strip_prefix(b"x")?.get(..2)?;
                bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
                rest = &rest[3..];
            }
        }
        Some(bytes)
    }

    #[test]
    fn escapes_read_as_expected() {
        assert_eq!(escape(b"client.example"), "client.example");
        assert_eq!(escape(b"\x1b[2J\r\n\0\x7f\xff\\x1b"), "\\x1b[2J\\x0d\\x0a\\x00\\x7f\\xff\\\\x1b");
        assert_eq!(hex(b"EH\0\xff"), "454800ff");
    }

    proptest! {
        #[test]
        fn text_is_printable_and_says_which_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let text = escape(&bytes);
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
            prop_assert_eq!(unescape(&text), Some(bytes));
        }
    }
}
