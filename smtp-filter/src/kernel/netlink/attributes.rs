//! The attributes of a netlink message: kind, length, value, one after the other.

/// What has the kind in its lower bits; above them are flags for nesting and byte order.
const KIND: u16 = 0x3fff;
const HEADER: usize = 4;

/// Each attribute as its kind and its bytes. One that claims more than there is ends the walk.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(half(rest, 0)?);
        let kind = half(rest, 2)? & KIND;
        let value = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// An attribute's bytes.
pub fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// Text without the NUL after it.
pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// Two bytes as a number.
pub fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// An attribute for a request, filled up to four bytes.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(((HEADER + value.len()) as u16).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_walked_and_a_lie_ends_the_walk() {
        let mut bytes = [attribute(3, b"eth0\0"), attribute(0x8000 | 18, &attribute(1, b"vlan\0"))].concat();
        assert_eq!(find(&bytes, 3).map(text).as_deref(), Some("eth0"));
        assert_eq!(find(&bytes, 18).and_then(|nest| find(nest, 1)).map(text).as_deref(), Some("vlan"));
        let whole = attributes(&bytes).count();
        bytes.extend([200, 0, 5, 0, 1]);
        assert_eq!((whole, attributes(&bytes).count()), (2, 2));
        assert_eq!(attributes(&[0, 0, 0, 0, 0, 0, 0, 0]).count(), 0, "a length of nothing does not go round for ever");
    }
}
