//! Random banners, torn and repeated: what is shown of them is what the policy says, and the same ever after.
//!
//! Invariants: I4, I5.

use std::fmt::Write as _;

use crate::support::{
    Net, policy,
    stream::{BLANKS, Stream, any, lines, rounds},
};
use smtp_filter_common::policy::{SHOW_HOST, SHOW_HOST_SMTP, SHOW_PIX};
use smtp_filter_testkit::Random;

const BANNER: [&str; 12] =
    ["mx.example", "ESMTP", "esmtp", "ESMTPX", "ESM", "SMTP", "2.0", "Postfix", "é", "STARTTLS", "(20)", "E"];

fn banner(dice: &mut Random) -> String {
    let count = dice.below(3);
    let mut banner = String::new();
    for i in 0..=count {
        let mut text = String::new();
        for _ in 0..dice.below(5) {
            text += any(dice, &BLANKS);
            text += any(dice, &BANNER);
        }
        let end = if dice.one_in(5) { "\n" } else { "\r\n" };
        let text = text.strip_prefix(' ').unwrap_or(&text);
        let _ = write!(banner, "220{}{text}{end}", if i == count { ' ' } else { '-' });
    }
    banner
}

/// What of a banner's text is shown, as the readable rule has it.
fn shown(show: u8, first: bool, text: &[u8], got: &[u8]) -> bool {
    let blank = |byte: u8| byte <= b' ' || byte == 0x7f;
    let words = |text: &[u8]| text.split(|byte| blank(*byte)).filter(|word| !word.is_empty()).count();
    text.iter().zip(got).enumerate().all(|(i, (was, is))| {
        if show == SHOW_PIX {
            // A CR may have ended a segment.
            return *is == b'*' || is == was && b"20\r".contains(was);
        }
        let start = text[..i].iter().rposition(|byte| blank(*byte)).map_or(0, |at| at + 1);
        let begun = text[start..=i].to_ascii_uppercase();
        let in_host = first && !blank(*was) && words(&text[..=i]) == 1;
        let may = blank(*was) || in_host || show == SHOW_HOST && b"ESMTP".starts_with(&begun);
        if is == was { may || *was == b'X' } else { *is == b'X' && !blank(*was) && !in_host }
    })
}

fn banners(seed: u64) {
    let dice = &mut Random::new(seed);
    let show = [SHOW_HOST, SHOW_HOST_SMTP, SHOW_PIX][dice.below(3) as usize];
    let mut masks = policy();
    masks.banner = show;
    let mut net = Net::new(masks.clone());
    net.server.isn = 0_u32.wrapping_sub(dice.below(100));
    net.handshake();
    let mut stream = Stream::new(false);
    stream.queue.extend(banner(dice).bytes());
    let whole = stream.queue.len();
    for _ in 0..1000 {
        if stream.queue.is_empty() && !dice.one_in(20) {
            // Repeats get the same bytes whatever the policy has become.
            net.policy = if dice.one_in(2) { policy() } else { masks.clone() };
        } else if stream.queue.is_empty() {
            break;
        }
        stream.step(&mut net, dice, 0);
        if dice.one_in(3) {
            stream.acknowledged += dice.below((stream.got.len() - stream.acknowledged) as u32 + 1) as usize;
            net.client.acked = stream.acknowledged as u32;
            net.client_at(net.client.next, b"");
        }
    }
    assert_eq!(stream.got.len(), whole, "seed {seed}\n{}", stream.trace);
    let mut first = true;
    for (said, got) in lines(&stream.sent).zip(lines(&stream.got)) {
        let end = if said.ends_with(b"\r\n") { 2 } else { 1 };
        let length = said.len();
        assert_eq!((&said[..4], &said[length - end..]), (&got[..4], &got[length - end..]), "seed {seed}");
        let text = 4..length - end;
        if !text.is_empty() {
            let right = shown(show, first, &said[text.clone()], &got[text]);
            assert!(right, "{show}: {:?}, seed {seed}\n{}", String::from_utf8_lossy(got), stream.trace);
        }
        first = false;
    }
}

#[test]
fn banners_show_what_the_policy_says() {
    for seed in 0..rounds() {
        banners(seed);
    }
}
