//! Merged segments: what holds where a segment begins or ends holds where two of their pieces meet (I4).

use crate::support::*;
use smtp_filter_common::{reason::Reason, verdict::Verdict};

/// A merged segment of the client's.
fn merged(net: &mut Net, piece: u16, offset: u32, payload: &[u8]) -> Verdict {
    net.piece = piece;
    let verdict = net.client_at(offset, payload);
    net.piece = 0;
    verdict
}

fn acknowledge(net: &mut Net, offset: u32) {
    net.server.acked = offset;
    assert_eq!(net.server_at(net.server.next, b""), Verdict::Pass);
}

/// A receiver goes on, after the first piece, in what it has.
#[test]
fn a_piece_ends_no_mail_with_what_passed_out_of_order() {
    let mut net = Net::in_text(policy());
    let base = net.client.next;
    assert_eq!(net.client_at(base + 2, b"a\r\naaa"), Verdict::Pass);
    assert_ne!(merged(&mut net, 3, base, b"\r\n.a"), Verdict::Pass, "the server reads CRLF.CRLF");
    assert_eq!(net.client_at(base, b"\r\n"), Verdict::Pass);
}

/// The same where the first copy was merged, and what fills the gap is.
#[test]
fn borders_of_pieces_out_of_order_are_remembered() {
    let mut net = Net::in_text(policy());
    let base = net.client.next;
    assert_eq!(merged(&mut net, 5, base + 2, b"aaaaa\naa"), Verdict::Pass);
    assert_ne!(net.client_at(base, b"a\n.\r\n.\r\raaaaaaaaa"), Verdict::Pass);
    assert_eq!(net.client_at(base, b"a\n"), Verdict::Pass);
}

/// The server has the first piece alone and acknowledges it; the rest comes with other bytes.
#[test]
fn a_mail_is_not_ended_after_one_piece_of_several() {
    for (first, piece, whole, had, rest) in [
        (&b"\r\n."[..], 1, &b"\ra"[..], 1, &b"\n"[..]),
        (b"\r\n", 1, b".aaa", 1, b"\r\naa"),
        (b"aaaa", 4, b"aa\r\naaaa", 4, b".\r\na"),
        (b"aaaa", 5, b"aa\r\n.aaaaa", 5, b"\r\naa"),
        (b"aaaa", 6, b"aa\r\n.\raaaa", 6, b"\naa"),
    ] {
        let mut net = Net::in_text(policy());
        let base = net.client.next;
        assert_eq!(net.client_at(base, first), Verdict::Pass);
        let at = base + first.len() as u32;
        if merged(&mut net, piece, at, whole) != Verdict::Pass {
            continue;
        }
        acknowledge(&mut net, at + had);
        assert_ne!(net.client_at(at + had, rest), Verdict::Pass, "{:?}", String::from_utf8_lossy(rest));
        // An honest retransmission passes.
        assert_eq!(net.client_at(at + had, &whole[had as usize..]), Verdict::Pass);
    }
}

/// A retransmission that was merged of pieces: the server may take one of them alone.
#[test]
fn a_piece_of_a_retransmission_is_judged_as_a_segment_is() {
    let mut net = Net::in_text(policy());
    let base = net.client.next;
    assert_eq!(net.client_at(base, b"aaaaaaaaaaaaaaaa"), Verdict::Pass);
    assert_eq!(merged(&mut net, 8, base, b"aaaaaaaaaaaaaaaa"), Verdict::Pass);
    // Of the first copy nobody knows what is before the second piece.
    assert_ne!(merged(&mut net, 8, base, b"aaaaaaa\r\naaaaaaa"), Verdict::Pass);
    assert_ne!(merged(&mut net, 8, base, b"aaaaa\r\n.\raaaaaaa"), Verdict::Pass);
}

/// Where honest pieces meet within a line's end, and the second one is lost after the filter.
#[test]
fn honest_pieces_are_sent_again_one_by_one() {
    let text = "A line of text that ends.\r\n.. and one with a dot\r\n".repeat(20);
    for piece in 4..60_u16 {
        let mut net = Net::in_text(policy());
        let base = net.client.next;
        assert_eq!(merged(&mut net, piece, base, text.as_bytes()), Verdict::Pass, "{piece}");
        for (number, bytes) in text.as_bytes().chunks(piece.into()).enumerate() {
            let at = base + number as u32 * u32::from(piece);
            acknowledge(&mut net, at);
            assert_eq!(net.client_at(at, bytes), Verdict::Pass, "{piece} {number}");
        }
        assert_eq!(merged(&mut net, piece, base, text.as_bytes()), Verdict::Pass, "{piece}");
    }
}

#[test]
fn more_pieces_than_are_looked_through_are_held_back() {
    let mut net = Net::in_text(policy());
    let base = net.client.next;
    assert_eq!(merged(&mut net, 1, base, &[b'a'; 2000]), Verdict::Drop);
    assert_eq!(net.segments(Reason::Backlog), 1);
    net.now += 200_000_000;
    assert_eq!(merged(&mut net, 1448, base, &[b'a'; 60_000]), Verdict::Pass);
}
