//! Each function against the comparison that it replaces, over all inputs, or over those at the edges and random ones.

use std::vec::Vec;

use super::*;

/// Numbers around which comparisons change their results.
const EDGES: [u32; 9] = [0, 1, 2, 7, 8, 0x7fff_fffe, 0x7fff_ffff, 0x8000_0000, u32::MAX];

/// Random words, the same ones in each run (xorshift64).
fn words(count: usize) -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    core::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
    .take(count)
}

/// Pairs of the edges, and random pairs.
fn pairs() -> Vec<(u32, u32)> {
    let edges = EDGES.iter().flat_map(|a| EDGES.iter().map(|b| (*a, *b)));
    edges.chain(words(10_000).map(|word| (word as u32, (word >> 32) as u32))).collect()
}

/// Random words whose bytes are often `byte`, or near it.
fn words_with(byte: u8) -> impl Iterator<Item = u64> {
    words(20_000).map(move |word| {
        let bytes = word.to_le_bytes().map(|random| match random % 4 {
            0 => byte,
            1 => byte ^ 1 << (random >> 5),
            _ => random,
        });
        u64::from_le_bytes(bytes)
    })
}

#[test]
fn same_is_equality() {
    for (a, b) in pairs() {
        assert_eq!(same::<Plain>(a, b), u32::from(a == b), "{a} {b}");
        assert_eq!(same::<Plain>(a, a), 1, "{a}");
    }
}

#[test]
fn less_is_an_order_below_2_31() {
    for (a, b) in pairs().into_iter().map(|(a, b)| (a >> 1, b >> 1)) {
        assert_eq!(less::<Plain>(a, b), u32::from(a < b), "{a} {b}");
    }
}

#[test]
fn choose_takes_one_of_two() {
    for (a, b) in (0..=u16::MAX).map(|both| (both as u8, (both >> 8) as u8)) {
        assert_eq!([choose::<Plain>(1, a, b), choose::<Plain>(0, a, b)], [a, b]);
    }
    for (a, b) in pairs() {
        assert_eq!([choose_number::<Plain>(1, a, b), choose_number::<Plain>(0, a, b)], [a, b]);
    }
}

#[test]
fn all_is_a_byte_eight_times() {
    for byte in 0..=u8::MAX {
        assert_eq!(all(byte).to_le_bytes(), [byte; 8]);
    }
}

#[test]
fn equal_bytes_marks_those_and_no_others() {
    for byte in [0, 1, b'.', b'2', 0x7f, 0x80, u8::MAX] {
        for word in words_with(byte) {
            let expected = word.to_le_bytes().map(|one| if one == byte { u8::MAX } else { 0 });
            assert_eq!(equal_bytes(word, byte).to_le_bytes(), expected, "{byte} in {word:x}");
        }
    }
}

#[test]
fn zeros_marks_a_word_that_has_a_zero_byte_from_the_first_one_on() {
    for word in words_with(0) {
        let marks = zeros(word) & all(0x80);
        let first = word.to_le_bytes().iter().position(|byte| *byte == 0);
        assert_eq!(first, (marks != 0).then(|| marks.trailing_zeros() as usize / 8), "{word:x}");
    }
}

#[test]
fn present_is_the_first_bytes_of_a_word() {
    for left in (-70_000..70_000).chain([i32::MIN, i32::MIN + 1, i32::MAX - 1, i32::MAX]) {
        let expected = core::array::from_fn(|i| if (i as i32) < left { u8::MAX } else { 0 });
        assert_eq!(present::<Plain>(left as u32), u64::from_le_bytes(expected), "{left}");
    }
}

#[test]
fn between_is_the_bytes_from_one_to_another() {
    for (from, to) in (-20..20).flat_map(|from| (-20..20).map(move |to| (from, to))) {
        let inside = |i: usize| (from..to).contains(&(i as i32));
        let expected = core::array::from_fn(|i| if inside(i) { u8::MAX } else { 0 });
        assert_eq!(between::<Plain>(from as u32, to as u32), u64::from_le_bytes(expected), "{from} {to}");
    }
}

#[test]
fn differ_finds_a_single_bit() {
    let old: [u64; 8] = core::array::from_fn(|i| words(8).nth(i).unwrap());
    assert_eq!(differ::<Plain, 8>(&old, &old), 0);
    for bit in 0..512 {
        let mut new = old;
        new[bit / 64] ^= 1 << (bit % 64);
        assert_eq!(differ::<Plain, 8>(&old, &new), 1, "bit {bit}");
    }
}
