//! Parts against readable references: scanner, line reader, look-up, checksums.

use crate::support::{Net, bare::Bare};
use etherparse::TcpHeader;
use proptest::prelude::*;
use smtp_filter_common::{
    action::Action,
    bounds::{ARG, ARG_ROOM, NAMED_VERBS, PIECE},
    entry::Line,
    policy::{Policy, VerbRule},
    reason::FIRST_NAME,
    reset::Reset,
    seq::Seq,
    session::{data, line},
    verdict::Verdict,
    wire::{ACK, Segment},
    word::Word,
};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

/// Text with many line ends and dots.
fn heavy(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b'\r'), 4 => Just(b'\n'), 4 => Just(b'.'), 2 => Just(b'a'), 1 => any::<u8>()
    ];
    let sparse = prop_oneof![1 => Just(b'\r'), 1 => Just(b'\n'), 1 => Just(b'.'), 60 => Just(b'x')];
    prop_oneof![
        prop::collection::vec(byte, 1..longest),
        prop::collection::vec(sparse, 1..longest),
        // Long stretches without a sign, then something at a word's or piece's border.
        (0..longest, prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.')], 1..12)).prop_map(
            |(length, end)| {
                let mut text = vec![b'x'; length];
                text.extend(end);
                text
            }
        ),
    ]
}

/// Through the datapath: mail data in segments of these lengths, and where the end of data was found, if it was.
fn end_of_data(bytes: &[u8], lengths: &[usize]) -> Option<usize> {
    let mut net = Net::in_text(crate::support::policy());
    let mut lengths = lengths.iter().cycle();
    let mut left = bytes;
    while !left.is_empty() {
        let (now, later) = left.split_at((*lengths.next().unwrap()).clamp(1, left.len()));
        assert_eq!(
            net.say(now),
            Verdict::Pass,
            "{:?}",
            net.events().iter().map(crate::support::name).collect::<Vec<_>>()
        );
        net.server_acks();
        left = later;
    }
    let state = net.state();
    let begin = state.side[0].isn.plus(1).plus(net.client.next).minus(bytes.len() as u32);
    let at = state.memory.end_of_data[0].since(begin) as usize;
    (state.session.mode != smtp_filter_common::session::Mode::MAIL_DATA).then_some(at)
}

fn reference(bytes: &[u8]) -> Option<usize> {
    let mut state = data::State::LINE;
    for (at, byte) in bytes.iter().enumerate() {
        state = data::next(state, *byte);
        if state == data::State::END {
            return Some(at + 1);
        }
    }
    None
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn scanner_finds_what_the_rule_finds(
        bytes in heavy(20_000),
        lengths in prop::collection::vec(prop_oneof![1_usize..40, 1_usize..20_000], 1..30),
    ) {
        // Behind the end stand commands: they may be anything, so the text ends there.
        let end = reference(&bytes);
        let bytes = &bytes[..end.unwrap_or(bytes.len())];
        prop_assert_eq!(end_of_data(bytes, &lengths), end);
        prop_assert_eq!(end_of_data(bytes, &[usize::MAX]), end);
    }

}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn scanner_state_goes_over_segment_borders(bytes in heavy(300), at in 1_usize..300) {
        let bytes = &bytes[..reference(&bytes).unwrap_or(bytes.len())];
        prop_assert_eq!(end_of_data(bytes, &[at, usize::MAX]), reference(bytes));
    }

    #[test]
    fn state_after_four_bytes(bytes in heavy(12)) {
        let mut state = data::State::LINE;
        for byte in &bytes {
            state = data::next(state, *byte);
        }
        if bytes.len() >= 4 && state != data::State::END {
            let last: [u8; 4] = bytes[bytes.len() - 4..].try_into().unwrap();
            prop_assert_eq!(data::state_after(u32::from_le_bytes(last)), state);
        }
    }

    #[test]
    fn line_reader_reads_what_the_reference_reads(
        bytes in prop::collection::vec(prop_oneof![
            3 => Just(b' '), 1 => Just(b'\t'), 1 => Just(0), 1 => Just(b'\r'), 1 => Just(b'\n'), 1 => Just(0x7f),
            20 => b'a'..=b'z', 2 => any::<u8>()], 1..300),
        lengths in prop::collection::vec(1_usize..60, 1..10),
    ) {
        let mut line = Line::default();
        line.begin(false, Seq(7));
        let mut arg = [0; ARG_ROOM];
        let mut piece = [0; 1 + PIECE / 8];
        let (mut at, mut lengths) = (0, lengths.iter().cycle());
        while at < bytes.len() && !line.done() {
            let now = (*lengths.next().unwrap()).min(bytes.len() - at);
            // At an odd place of the piece.
            for (i, byte) in bytes[at..at + now].iter().enumerate() {
                let place = i + 3;
                let word = &mut piece[1 + place / 8];
                *word = *word & !(0xff << (place % 8 * 8)) | u64::from(*byte) << (place % 8 * 8);
            }
            let mut read = 0;
            line::read::<Bare, 0>(&mut line, &mut arg, &piece, (3, now as u32), &mut read);
            at += read as usize;
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        prop_assert_eq!(line.done(), end.is_some());
        prop_assert_eq!(at, end.map_or(bytes.len(), |end| end + 1));
        let whole = &bytes[..end.unwrap_or(bytes.len())];
        let blank = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
        let start = whole.iter().position(|byte| !blank(byte)).unwrap_or(whole.len());
        let word = &whole[start..];
        let word = &word[..word.iter().position(blank).unwrap_or(word.len())];
        let rest = &whole[start + word.len()..];
        let argument = &rest[rest.iter().position(|byte| !blank(byte)).unwrap_or(rest.len())..];
        prop_assert_eq!(line.name(), Word::new(word).unwrap_or_default());
        prop_assert_eq!(line.word_length as usize, word.len().min(128));
        let kept = argument.len().min(ARG);
        prop_assert_eq!(&arg[..line.arg_length as usize], &argument[..kept]);
        prop_assert_eq!(line.has_more(), argument.len() > ARG);
        let between = &rest[..rest.len() - argument.len()];
        let plain = !argument.is_empty() && argument.len() <= ARG && start == 0 && between == b" ".as_slice();
        if end.is_some() {
            prop_assert_eq!(line.is_plain(), plain);
        }
        prop_assert_eq!(line.start, Seq(7));
    }

    #[test]
    fn look_up_is_a_search(
        verbs in prop::collection::btree_set("[A-Z]{1,16}", 0..=NAMED_VERBS),
        other in "[A-Z]{1,16}",
    ) {
        let mut policy = Policy::empty();
        policy.other = Action::Mark as u8;
        let mut named: Vec<_> = verbs.iter().collect();
        // In whatever order they come.
        named.sort_by_key(|verb| verb.bytes().rev().collect::<Vec<_>>());
        for (at, verb) in named.iter().enumerate() {
            prop_assert!(policy.set_verb(Word::of(verb), Action::ALL[at % 7], at as u8));
        }
        for (at, verb) in named.iter().enumerate() {
            let found = policy.verb(Word::of(verb));
            prop_assert_eq!((found.reason, found.action), (FIRST_NAME + at as u16, (at % 7) as u8));
        }
        let mut absent = vec![Word::default(), VerbRule::UNUSED.verb, Word { high: u64::MAX, low: 0 }];
        if !verbs.contains(&other) {
            absent.push(Word::of(&other));
        }
        for word in absent {
            let found = policy.verb(word);
            prop_assert_eq!((found.reason, found.action), (FIRST_NAME, Action::Mark as u8), "{:?}", word);
        }
        prop_assert_eq!(policy.set_verb(Word::of("A0"), Action::Drop, 0), named.len() < NAMED_VERBS);
    }

    #[test]
    fn checksums_of_resets(
        v6: bool,
        addresses: [[u8; 16]; 2],
        ports: [u16; 2],
        numbers: [u32; 2],
        length in 0_u32..3000,
    ) {
        let mapped = |address: [u8; 16]| {
            let mut out = address;
            if !v6 {
                out[..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
            }
            out
        };
        let segment = Segment {
            source: mapped(addresses[0]),
            destination: mapped(addresses[1]),
            source_port: ports[0],
            destination_port: ports[1],
            sequence: Seq(numbers[0]),
            acknowledgement: Seq(numbers[1]),
            length,
            flags: ACK,
            version: if v6 { 6 } else { 4 },
            ..Segment::EMPTY
        };
        for reset in [Reset::to_sender(&segment), Reset::to_receiver(&segment, Seq(5))] {
            let bytes = reset.header(false);
            let (header, _) = TcpHeader::from_slice(&bytes).unwrap();
            let sum = if v6 {
                header.calc_checksum_ipv6_raw(reset.source, reset.destination, &[]).unwrap()
            } else {
                let four = |address: [u8; 16]| <[u8; 4]>::try_from(&address[12..]).unwrap();
                header.calc_checksum_ipv4_raw(four(reset.source), four(reset.destination), &[]).unwrap()
            };
            prop_assert_eq!(header.checksum, sum);
            prop_assert!(header.rst && header.ack);
        }
        let reset = Reset::to_sender(&segment);
        prop_assert_eq!(reset.sequence, Seq(numbers[1]));
        prop_assert_eq!(reset.acknowledgement, Seq(numbers[0]).plus(length));
    }

    #[test]
    fn adjusted_ipv4_checksum(mut bytes: [u8; 20], becomes: u16) {
        bytes[0] = 0x45;
        let (mut header, _) = etherparse::Ipv4Header::from_slice(&bytes).map_err(|_| TestCaseError::reject("no header"))?;
        header.header_checksum = header.calc_header_checksum();
        let was = header.total_len;
        header.total_len = becomes;
        // One sum has two forms: 0 and 0xffff.
        let adjusted = Reset::adjust(header.header_checksum, was, becomes);
        prop_assert_eq!(adjusted % 0xffff, header.calc_header_checksum() % 0xffff);
    }
}
