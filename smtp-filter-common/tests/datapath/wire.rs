//! Headers: what is read, what is refused, what is nobody's (I1, I11).

use crate::support::{ACK, Flags, Net, policy};
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FragmentHeader, TcpHeader, TcpOptionElement};
use proptest::prelude::*;
use smtp_filter_common::{
    bounds::{EXTENSION_HEADERS, VLAN_TAGS},
    reason::Reason,
    userspace::SliceFrame,
    verdict::Verdict,
    wire::{self, AUTHENTICATION, IP_OPTION, Kind, Segment, TIMESTAMP},
};

const PASS: Verdict = Verdict::Pass;
const DROP: Verdict = Verdict::Drop;

fn read(frame: &[u8]) -> (Kind, Segment) {
    let mut segment = Segment::EMPTY;
    let kind = wire::read(&SliceFrame::ethernet(frame), &policy(), &mut segment);
    (kind, segment)
}

/// Payload as the datapath would fetch it.
fn payload<'a>(frame: &'a [u8], segment: &Segment) -> &'a [u8] {
    let at = 14 + segment.payload as usize;
    &frame[at..at + segment.length as usize]
}

fn tcp(payload: &[u8]) -> Vec<u8> {
    let mut header = TcpHeader::new(41234, 25, 100, 500);
    header.ack = true;
    header.acknowledgment_number = 7;
    let mut out = header.to_bytes().to_vec();
    out.extend(payload);
    out
}

fn ethernet(protocol: u16, network: &[u8]) -> Vec<u8> {
    let mut out = vec![2; 12];
    out.extend(protocol.to_be_bytes());
    out.extend(network);
    out
}

fn ipv4(body: &[u8], change: impl FnOnce(&mut Ipv4Header)) -> Vec<u8> {
    let mut header = Ipv4Header::new(body.len() as u16, 64, IpNumber::TCP, [192, 0, 2, 1], [198, 51, 100, 2]).unwrap();
    change(&mut header);
    let mut out = header.to_bytes().to_vec();
    out.extend(body);
    ethernet(0x0800, &out)
}

/// IPv6 with a chain of these extension headers in front of TCP.
fn ipv6(chain: &[u8], body: &[u8], fragment: (u16, bool)) -> Vec<u8> {
    let mut out = vec![0x60, 0, 0, 0];
    let mut rest = Vec::new();
    for (at, header) in chain.iter().enumerate() {
        let next = chain.get(at + 1).copied().unwrap_or(6);
        match header {
            44 => {
                let offset = IpFragOffset::try_new(fragment.0).unwrap();
                rest.extend(Ipv6FragmentHeader::new(IpNumber(next), offset, fragment.1, 9).to_bytes());
            }
            // In units of 4 octets, minus 2.
            51 => rest.extend([next, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            // In units of 8 octets, minus 1.
            _ => rest.extend([next, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        }
    }
    rest.extend(body);
    out.extend((rest.len() as u16).to_be_bytes());
    out.extend([chain.first().copied().unwrap_or(6), 64]);
    out.extend([0x20; 16]);
    out.extend([0x30; 16]);
    out.extend(rest);
    ethernet(0x86dd, &out)
}

#[test]
fn plain_segments() {
    for frame in [ipv4(&tcp(b"EHLO"), |_| {}), ipv6(&[], &tcp(b"EHLO"), (0, false))] {
        let (kind, segment) = read(&frame);
        assert_eq!(kind, Kind::Segment);
        assert_eq!(payload(&frame, &segment), b"EHLO");
        assert_eq!((segment.source_port, segment.destination_port), (41234, 25));
        assert_eq!((segment.sequence.0, segment.acknowledgement.0, segment.window), (100, 7, 500));
        assert_eq!(segment.end().0, 104);
    }
}

#[test]
fn ipv4_options() {
    for length in (4..=40).step_by(4) {
        let frame = ipv4(&tcp(b"EHLO"), |header| {
            let options = vec![1; length];
            header.options = Ipv4Options::try_from(options.as_slice()).unwrap();
            header.total_len += length as u16;
        });
        let (kind, segment) = read(&frame);
        assert_eq!(kind, Kind::Segment, "{length}");
        assert_eq!(payload(&frame, &segment), b"EHLO");
    }
}

#[test]
fn ipv6_extension_headers() {
    for chain in [&[0_u8][..], &[60], &[43], &[135], &[139], &[140], &[51], &[0, 60, 43, 51, 60], &[44], &[0, 44, 60]] {
        let frame = ipv6(chain, &tcp(b"EHLO"), (0, false));
        let (kind, segment) = read(&frame);
        assert_eq!(kind, Kind::Segment, "{chain:?}");
        assert_eq!(payload(&frame, &segment), b"EHLO", "{chain:?}");
    }
    let longest = vec![60; EXTENSION_HEADERS];
    assert_eq!(read(&ipv6(&longest, &tcp(b"EHLO"), (0, false))).0, Kind::Segment);
    let longer = vec![60; EXTENSION_HEADERS + 1];
    assert_eq!(read(&ipv6(&longer, &tcp(b"EHLO"), (0, false))).0, Kind::Unreadable);
    let mut frame = ipv6(&[60], &tcp(b"EHLO"), (0, false));
    frame[14 + 41] = 0xff;
    assert_eq!(read(&frame).0, Kind::Unreadable, "a header that reaches behind the frame");
}

#[test]
fn padding_alone_is_an_option_that_everybody_takes() {
    let of = |options: &[u8]| {
        let frame = ipv4(&tcp(b"EHLO"), |header| {
            header.options = Ipv4Options::try_from(options).unwrap();
            header.total_len += options.len() as u16;
        });
        let (kind, segment) = read(&frame);
        assert_eq!(kind, Kind::Segment, "{options:?}");
        segment.options & IP_OPTION != 0
    };
    for padding in [&[][..], &[1; 4], &[1; 40], &[1, 1, 1, 0], &[0; 8]] {
        assert!(!of(padding), "{padding:?}");
    }
    // Source routes, loose and strict, recorded ones, a router alert, a label, an unknown one, lengths that lie.
    for options in [
        &[131, 7, 4, 10, 0, 0, 1, 0][..],
        &[137, 7, 4, 10, 0, 0, 1, 0],
        &[7, 7, 4, 0, 0, 0, 0, 0],
        &[148, 4, 0, 0],
        &[134, 6, 0, 0, 0, 1, 0, 0],
        &[30, 4, 0, 0],
        &[1, 1, 1, 7],
        &[68, 40, 5, 0],
    ] {
        assert!(of(options), "{options:?}");
    }
}

#[test]
fn extension_headers_that_a_receiver_may_refuse() {
    const LARGE: usize = 70_000;
    let of = |chain: &[(u8, [u8; 7])], payload: usize| {
        let mut numbers = chain.iter().map(|(number, _)| *number).chain([6]);
        let first = numbers.next().unwrap();
        let mut body = Vec::new();
        for ((_, bytes), next) in chain.iter().zip(numbers) {
            body.push(next);
            body.extend(bytes);
        }
        body.extend(tcp(&vec![b'a'; payload]));
        let mut frame = ipv6(&[], &body, (0, false));
        frame[14 + 6] = first;
        if payload == LARGE {
            // BIG TCP: the length does not fit its field.
            frame[14 + 4..14 + 6].fill(0);
        }
        let (kind, segment) = read(&frame);
        assert_eq!(kind, Kind::Segment, "{chain:?}");
        segment.options & IP_OPTION != 0
    };
    let pad = [0, 1, 4, 0, 0, 0, 0];
    let whole = [0; 7];
    let jumbo = [0, 0xc2, 4, 0, 0, 0, 0];
    for chain in [&[][..], &[(0, pad)], &[(60, pad)], &[(0, pad), (60, pad)], &[(44, whole)], &[(44, whole), (60, pad)]]
    {
        assert!(!of(chain, 4), "{chain:?}");
    }
    assert!(!of(&[(0, jumbo)], LARGE));
    for chain in [
        // Options that say of themselves what becomes of the datagram where they are unknown; the home address.
        &[(60, [0, 0x9e, 4, 0, 0, 0, 0])][..],
        &[(60, [0, 0x1e, 4, 0, 0, 0, 0])],
        &[(0, [0, 0x5e, 4, 0, 0, 0, 0])],
        &[(60, [0, 0xc9, 4, 0, 0, 0, 0])],
        &[(0, jumbo)],
        // Padding that pads with something, as a covert channel does, or lies.
        &[(60, [0, 1, 4, 0, 0, 0, 1])],
        &[(60, [0, 1, 5, 0, 0, 0, 0])],
        // Not the first one.
        &[(60, pad), (0, pad)],
        &[(43, pad)],
        &[(43, [0, 0, 1, 0, 0, 0, 0])],
        &[(135, pad)],
        &[(139, pad)],
        &[(140, pad)],
        &[(60, pad), (43, pad), (60, pad)],
        // Linux takes one atomic fragment, and discards what has two.
        &[(44, whole), (44, whole)],
        &[(44, whole), (60, pad), (44, whole)],
    ] {
        assert!(of(chain, 4), "{chain:?}");
    }
}

#[test]
fn fragments() {
    let more = |offset: u16, more: bool| {
        move |header: &mut Ipv4Header| {
            header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
            header.more_fragments = more;
            header.dont_fragment = false;
        }
    };
    assert_eq!(read(&ipv4(&tcp(b"EHLO"), more(0, true))).0, Kind::FirstFragment);
    assert_eq!(read(&ipv4(&tcp(b"EHLO"), more(1, true))).0, Kind::LaterFragment);
    assert_eq!(read(&ipv4(&tcp(b"EHLO"), more(8191, false))).0, Kind::LaterFragment);
    assert_eq!(read(&ipv4(&tcp(b"EHLO"), |header| header.dont_fragment = true)).0, Kind::Segment);
    // So short that the ports are in it and nothing else; and shorter.
    assert_eq!(read(&ipv4(&tcp(b"")[..8], more(0, true))).0, Kind::FirstFragment);
    for length in 0..4 {
        assert_eq!(read(&ipv4(&tcp(b"")[..length], more(0, true))).0, Kind::Unreadable, "{length}");
    }
    assert_eq!(read(&ipv6(&[44], &tcp(b"EHLO"), (0, true))).0, Kind::FirstFragment);
    assert_eq!(read(&ipv6(&[44], &tcp(b"EHLO"), (1, true))).0, Kind::LaterFragment);
    assert_eq!(read(&ipv6(&[0, 44, 60], &tcp(b"EHLO"), (0, true))).0, Kind::FirstFragment);
    assert_eq!(read(&ipv6(&[44], &tcp(b"")[..2], (0, true))).0, Kind::Unreadable);

    let mut net = Net::greeted(policy());
    let first = ipv4(&tcp(b"EHLO"), more(0, true));
    assert_eq!(net.frame(&first, net.outside), DROP);
    let later = ipv4(&tcp(b"EHLO"), more(3, false));
    assert_eq!(net.frame(&later, net.outside), PASS);
    assert_eq!((net.segments(Reason::Fragment), net.segments(Reason::LaterFragment)), (1, 1));
}

#[test]
fn tags_in_the_data() {
    for tags in 0..=VLAN_TAGS {
        let plain = ipv4(&tcp(b"EHLO"), |_| {});
        let mut frame = plain[..12].to_vec();
        for tag in 0..tags {
            frame.extend(if tag == 0 { [0x88, 0xa8, 0, 5] } else { [0x81, 0, 0, 6] });
        }
        frame.extend(&plain[12..]);
        let (kind, segment) = read(&frame);
        assert_eq!(kind, Kind::Segment, "{tags}");
        assert_eq!(payload(&frame, &segment), b"EHLO");
        assert_eq!(segment.network as usize, tags * 4);
    }
}

#[test]
fn more_tags_than_are_walked_are_unreadable() {
    let mut segment = Segment::EMPTY;
    // What was read before does not stay.
    assert_eq!(wire::read(&SliceFrame::ethernet(&ipv4(&tcp(b"EHLO"), |_| {})), &policy(), &mut segment), Kind::Segment);
    for tags in [VLAN_TAGS + 1, VLAN_TAGS + 2, 9, 30] {
        let plain = ipv4(&tcp(b"EHLO"), |_| {});
        let frame = [&plain[..12], &[0x81, 0, 0, 0].repeat(tags), &plain[12..]].concat();
        assert_eq!(wire::read(&SliceFrame::ethernet(&frame), &policy(), &mut segment), Kind::Unreadable, "{tags}");
        assert_eq!((segment.source, segment.length, segment.source_port), ([0; 16], 0, 0));
        let mut net = Net::new(policy());
        assert_eq!(net.frame(&frame, net.outside), Verdict::Drop, "{tags}");
        assert_eq!(net.segments(Reason::Unreadable), 1);
    }
    // One that ends in the midst of its tags.
    let cut = [[2; 12].as_slice(), &[0x81, 0, 0, 0, 0x81, 0]].concat();
    assert_eq!(read(&cut).0, Kind::Unreadable);
}

#[test]
fn options_that_lie() {
    let with = |options: &[u8], syn: bool| {
        let mut body = tcp(b"EHLO");
        body[12] = (5 + options.len() as u8 / 4) << 4;
        body[13] |= 2 * u8::from(syn);
        body.splice(20..20, options.iter().copied());
        [read(&ipv4(&body, |_| {})), read(&ipv6(&[], &body, (0, false)))]
    };
    for syn in [false, true] {
        for lying in [
            [2, 0, 1, 1].as_slice(),
            &[9, 1, 1, 1],
            &[1, 1, 1, 8],
            &[9, 5, 1, 1],
            &[2, 3, 1, 0],
            &[3, 4, 1, 1],
            &[8, 4, 1, 1],
            &[1, 1, 8, 11, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0],
            // Two timestamps, the usual one and another.
            &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 8, 10, 0, 0, 0, 3, 0, 0, 0, 4, 1, 1],
            &[8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 8, 10, 0, 0, 0, 3, 0, 0, 0, 4],
        ] {
            assert_eq!(with(lying, syn).map(|(kind, _)| kind), [Kind::Unreadable; 2], "{lying:?}");
        }
        for (honest, options, stamp) in [
            ([1, 1, 1, 1].as_slice(), 0, (0, 0)),
            // Nothing counts after the list's end.
            (&[0, 8, 77, 1], 0, (0, 0)),
            (&[1, 1, 8, 10, 0, 0, 1, 1, 0, 0, 2, 2], TIMESTAMP, (0x101, 0x202)),
            (&[8, 10, 0, 0, 1, 1, 0, 0, 2, 2, 1, 1], TIMESTAMP, (0x101, 0x202)),
            (&[8, 10, 0, 0, 1, 1, 0, 0, 2, 2, 0, 7], TIMESTAMP, (0x101, 0x202)),
            (&[1, 1, 8, 10, 0, 0, 1, 1, 0, 0, 2, 2, 1, 1, 5, 10, 1, 2, 3, 4, 5, 6, 7, 8], TIMESTAMP, (0x101, 0x202)),
            (&[29, 4, 1, 1], AUTHENTICATION, (0, 0)),
            (
                &[19, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 10, 0, 0, 0, 3, 0, 0, 0, 4],
                TIMESTAMP | AUTHENTICATION,
                (3, 4),
            ),
        ] {
            for (kind, segment) in with(honest, syn) {
                assert_eq!(kind, Kind::Segment, "{honest:?}");
                assert_eq!((segment.options & 3, (segment.stamp.0, segment.echo.0)), (options, stamp), "{honest:?}");
                assert_eq!(segment.length, 4);
            }
        }
    }
}

#[test]
fn padding_is_no_payload() {
    for mut frame in [ipv4(&tcp(b"EH"), |_| {}), ipv6(&[], &tcp(b"EH"), (0, false))] {
        frame.extend([0; 20]);
        let (kind, segment) = read(&frame);
        assert_eq!(kind, Kind::Segment);
        assert_eq!(payload(&frame, &segment), b"EH");
    }
}

#[test]
fn lengths_that_lie() {
    let with = |length: u16| ipv4(&tcp(b"EHLO"), |header| header.total_len = length);
    assert_eq!(read(&with(44)).0, Kind::Segment);
    for length in [0, 1, 19, 20, 39, 45, 1000, 0xffff] {
        assert_eq!(read(&with(length)).0, Kind::Unreadable, "{length}");
    }
    for length in [0_u16, 1, 19, 25, 0xffff] {
        let mut frame = ipv6(&[], &tcp(b"EHLO"), (0, false));
        frame[18..20].copy_from_slice(&length.to_be_bytes());
        assert_eq!(read(&frame).0, Kind::Unreadable, "{length}");
    }
    // More than 64 KiB: merged, the field is 0.
    let long = ipv4(&tcp(&[b'x'; 66_000]), |header| header.total_len = 0);
    let (kind, segment) = read(&long);
    assert_eq!((kind, segment.length), (Kind::Segment, 66_000));
    let mut long = ipv6(&[], &tcp(&[b'x'; 66_000]), (0, false));
    long[18..20].copy_from_slice(&[0, 0]);
    assert_eq!(read(&long).1.length, 66_000);
}

#[test]
fn truncated_headers() {
    let whole = ipv4(&tcp(b"EHLO"), |_| {});
    for length in 0..whole.len() {
        let (kind, _) = read(&whole[..length]);
        match length {
            0..34 => assert_eq!(kind, Kind::Other, "{length}"),
            _ => assert_eq!(kind, Kind::Unreadable, "{length}"),
        }
    }
    let whole = ipv6(&[60], &tcp(b"EHLO"), (0, false));
    for length in 0..whole.len() {
        let (kind, _) = read(&whole[..length]);
        match length {
            0..54 => assert_eq!(kind, Kind::Other, "{length}"),
            _ => assert_eq!(kind, Kind::Unreadable, "{length}"),
        }
    }
}

#[test]
fn tcp_headers_that_lie() {
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = tcp(b"EHLO");
        change(&mut body);
        [read(&ipv4(&body, |_| {})).0, read(&ipv6(&[], &body, (0, false))).0]
    };
    for offset in 0..16_u8 {
        // With 6 the payload stands in the place of options, and makes none.
        let expected = if offset == 5 { Kind::Segment } else { Kind::Unreadable };
        assert_eq!(with(&|body| body[12] = offset << 4), [expected; 2], "{offset}");
    }
    let (fin, syn, rst, ack) = (1, 2, 4, 16);
    for flags in 0..64_u8 {
        let refused = flags & syn != 0 && flags & (fin | rst) != 0 || flags & (syn | rst | ack) == 0;
        let expected = if refused { Kind::Unreadable } else { Kind::Segment };
        assert_eq!(with(&|body| body[13] = flags), [expected; 2], "{flags:#x}");
    }
}

#[test]
fn window_scale() {
    let scale = |options: &[TcpOptionElement]| {
        let mut header = TcpHeader::new(41234, 25, 100, 500);
        header.syn = true;
        header.set_options(options).unwrap();
        read(&ipv4(&header.to_bytes(), |_| {})).1.scale
    };
    use TcpOptionElement::{MaximumSegmentSize, Noop, SelectiveAcknowledgementPermitted, Timestamp, WindowScale};
    assert_eq!(scale(&[]), smtp_filter_common::flow::NO_SCALE);
    assert_eq!(scale(&[WindowScale(7)]), 7);
    assert_eq!(
        scale(&[Noop, MaximumSegmentSize(1), SelectiveAcknowledgementPermitted, Timestamp(1, 2), WindowScale(9)]),
        9
    );
    assert_eq!(scale(&[WindowScale(200)]), 14);
}

#[test]
fn other_ports_are_nobodys() {
    let mut net = Net::new(policy());
    net.server_port = 26;
    for v6 in [false, true] {
        net.v6 = v6;
        for (from_client, flags) in
            [(true, crate::support::SYN), (false, crate::support::SYN_ACK), (true, ACK), (false, crate::support::RST)]
        {
            let frame = net.build(from_client, 1, 2, flags, b"EHLO x\r\n");
            assert_eq!(net.frame(&frame, net.outside), PASS);
        }
        let flags = Flags { urg: true, fin: true, syn: true, ..ACK };
        let frame = net.build(true, 1, 2, flags, b"EHLO x\r\n");
        assert_eq!(net.frame(&frame, net.outside), PASS);
    }
    for reason in Reason::ALL {
        assert_eq!(net.segments(*reason), 0, "{}", reason.name());
    }
}

#[test]
fn frames_without_a_link_layer() {
    for frame in [ipv4(&tcp(b"EHLO"), |_| {}), ipv6(&[60], &tcp(b"EHLO"), (0, false))] {
        let mut segment = Segment::EMPTY;
        assert_eq!(wire::read(&SliceFrame::raw(&frame[14..]), &policy(), &mut segment), Kind::Segment);
        assert_eq!(segment.length, 4);
    }
    let mut segment = Segment::EMPTY;
    assert_eq!(wire::read(&SliceFrame::raw(&[]), &policy(), &mut segment), Kind::Other);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), protocol in 0..4_usize) {
        let frame = ethernet([0x0800, 0x86dd, 0x8100, 0x1234][protocol], &bytes);
        let mut net = Net::new(policy());
        let side = net.outside;
        net.frame(&frame, side);
    }

    #[test]
    fn changed_frames_keep_within_bounds(
        v6: bool,
        changes in prop::collection::vec((0_usize..90, any::<u8>()), 1..6),
        length in 0_usize..90,
    ) {
        let mut frame =
            if v6 { ipv6(&[0, 60], &tcp(b"EHLO x\r\n"), (0, false)) } else { ipv4(&tcp(b"EHLO x\r\n"), |_| {}) };
        for (at, byte) in changes {
            let at = at % frame.len();
            frame[at] = byte;
        }
        frame.truncate(frame.len() - length % 20);
        let (kind, segment) = read(&frame);
        if kind == Kind::Segment {
            prop_assert!(14 + segment.payload as usize + segment.length as usize <= frame.len());
            let ours = [segment.source_port, segment.destination_port].contains(&25);
            prop_assert!(ours);
        }
        let mut net = Net::greeted(policy());
        let side = net.outside;
        net.frame(&frame, side);
    }
}
