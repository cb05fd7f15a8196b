//! What both sides get of segments that are rewritten.
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use smtp_filter_common::{action::Action, event::Event, policy::Policy, verdict::Verdict, word::Word};

use super::{Net, policy};

/// The payload that goes on, whose checksum is right.
pub fn forwarded(net: &Net, payload: &[u8]) -> Vec<u8> {
    let Some(network) = net.world.rewritten() else { return payload.to_vec() };
    let packet = SlicedPacket::from_ip(network).expect("still a datagram");
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { panic!("still TCP") };
    let checksum = match packet.net.as_ref().expect("IP") {
        NetSlice::Ipv4(ip) => tcp.to_header().calc_checksum_ipv4(&ip.header().to_header(), tcp.payload()),
        NetSlice::Ipv6(ip) => tcp.to_header().calc_checksum_ipv6(&ip.header().to_header(), tcp.payload()),
        _ => panic!("IP"),
    };
    assert_eq!(tcp.checksum(), checksum.expect("it fits"));
    assert_eq!(tcp.payload().len(), payload.len(), "I5");
    tcp.payload().to_vec()
}

/// What the server gets of a client's segment; the verdict where it gets nothing.
pub fn say(net: &mut Net, payload: impl AsRef<[u8]>) -> Result<Vec<u8>, Verdict> {
    match net.say(&payload) {
        Verdict::Pass => Ok(forwarded(net, payload.as_ref())),
        verdict => Err(verdict),
    }
}

/// What the client gets of a server's segment.
pub fn reply(net: &mut Net, payload: impl AsRef<[u8]>) -> Vec<u8> {
    assert_eq!(net.reply(&payload), Verdict::Pass);
    forwarded(net, payload.as_ref())
}

/// What the server gets of several segments.
pub fn say_all(net: &mut Net, segments: &[&str]) -> String {
    let all: Vec<u8> = segments.iter().flat_map(|segment| say(net, segment).expect("it passes")).collect();
    String::from_utf8(all).expect("text")
}

pub fn say_typed(net: &mut Net, text: &str) -> String {
    let segments: Vec<&str> = (0..text.len()).map(|at| &text[at..=at]).collect();
    say_all(net, &segments)
}

pub fn with(rules: &[(&str, Action)], other: Action) -> Policy {
    let mut policy = policy();
    policy.verbs = Policy::empty().verbs;
    policy.other = other as u8;
    for (place, (verb, action)) in rules.iter().enumerate() {
        assert!(policy.set_verb(Word::of(verb), *action, place as u8 + 1));
    }
    policy
}

pub fn masking(verbs: &[&str]) -> Policy {
    with(&verbs.iter().map(|verb| (*verb, Action::Mask)).collect::<Vec<_>>(), Action::Pass)
}

pub fn net(policy: Policy) -> Net {
    let mut net = Net::greeted(policy);
    net.world.events.clear();
    net
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

pub fn rewritten(event: &Event) -> (String, String) {
    let length = usize::from(event.became_length & 0x7f);
    (text(&event.excerpt[..length]), text(&event.became[..length]))
}

pub fn hiding(keywords: &[&str], other: Action) -> Policy {
    let mut policy = policy();
    policy.other_keyword = other as u8;
    for (place, keyword) in keywords.iter().enumerate() {
        let action = if other == Action::Mask { Action::Pass } else { Action::Mask };
        assert!(policy.set_keyword(Word::of(keyword), action, place as u8 + 1));
    }
    policy
}
