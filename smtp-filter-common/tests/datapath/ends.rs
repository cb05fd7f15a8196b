//! What a connection's beginning and end tell: one `connect`, one `close` with the sums, and why it ended.
//!
//! Invariants: I7.

use crate::support::*;
use smtp_filter_common::{
    action::Action,
    event::{self, Ended, Event, Kind, Summary},
    reason::Reason,
    verdict::Verdict,
};

/// The kinds of all events so far, which are taken; and the sums of the last close.
fn reported(net: &mut Net) -> (Vec<Kind>, Option<Summary>) {
    let events = net.all_events();
    let close = events.iter().rev().find(|event| event.kind == Kind::CLOSE);
    let summary = close.map(Event::summary);
    (events.iter().map(|event| event.kind).collect(), summary)
}

/// The sums of the one close among the events so far, which are taken.
#[track_caller]
fn closed(net: &mut Net) -> Summary {
    let (kinds, summary) = reported(net);
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::CLOSE).count(), 1, "{kinds:?}");
    summary.expect("a close")
}

#[track_caller]
fn ended(net: &mut Net) -> Option<Ended> {
    Ended::from_u8(closed(net).ended)
}

/// The FIN of a side in its place; the other acknowledges it.
fn fin(net: &mut Net, client: bool) -> Verdict {
    let (end, other) = if client { (net.client, &mut net.server) } else { (net.server, &mut net.client) };
    other.acked = end.next + 1;
    net.segment(client, end.next, FIN, b"")
}

fn fins(net: &mut Net) {
    assert_eq!(fin(net, true), Verdict::Pass);
    assert_eq!(fin(net, false), Verdict::Pass);
}

/// A dialogue with everything that a sum could get wrong: pipelining, repeats, text in front of a gap, chunks.
fn whole_dialogue(net: &mut Net) -> [u64; 2] {
    let (mut client, mut server) = (0, 0);
    let mut both = |net: &mut Net, said: &[u8], reply: &str| {
        client += said.len() as u64;
        server += reply.len() as u64;
        if !said.is_empty() {
            assert_eq!(net.say(said), Verdict::Pass, "{:?}", String::from_utf8_lossy(said));
        }
        assert_eq!(net.reply(reply), Verdict::Pass, "{reply}");
    };
    both(net, b"", "220 mail.example ESMTP\r\n");
    both(net, b"EHLO c.example\r\n", "250-mail.example\r\n250 CHUNKING\r\n");
    both(
        net,
        b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nRCPT TO:<c@b.example>\r\nDATA\r\n",
        "250 Ok\r\n250 Ok\r\n550 No\r\n354 Go\r\n",
    );
    // The second half of the text first, then the first half, then all of it once more.
    let text = b"one line of text\r\nand another one, which is longer\r\n";
    let at = net.client.next;
    assert_eq!(net.client_at(at + 18, &text[18..]), Verdict::Pass);
    assert_eq!(net.client_at(at, &text[..18]), Verdict::Pass);
    assert_eq!(net.client_at(at, text), Verdict::Pass);
    net.client.next += text.len() as u32;
    client += text.len() as u64;
    let mut both = |net: &mut Net, said: &[u8], reply: &str| {
        client += said.len() as u64;
        server += reply.len() as u64;
        assert_eq!(net.say(said), Verdict::Pass, "{:?}", String::from_utf8_lossy(said));
        assert_eq!(net.reply(reply), Verdict::Pass, "{reply}");
    };
    both(net, b".\r\n", "250 Taken\r\n");
    both(net, b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n", "250 Ok\r\n250 Ok\r\n");
    both(net, b"BDAT 5\r\nEHLO\n", "250 Ok\r\n");
    both(net, b"BDAT 4 LAST\r\nDATA", "250 Taken\r\n");
    both(net, b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n", "250 Ok\r\n250 Ok\r\n");
    // A mail that the server does not take is none.
    both(net, b"BDAT 4 LAST\r\nDATA", "554 No\r\n");
    both(net, b"QUIT\r\n", "221 Bye\r\n");
    [client, server]
}

#[test]
fn a_whole_dialogue_reports_its_beginning_its_end_and_its_sums() {
    for v6 in [false, true] {
        let mut net = Net::new(policy());
        net.v6 = v6;
        net.handshake();
        let connect = net.all_events();
        let [connect] = connect.as_slice() else { panic!("{connect:?}") };
        assert_eq!(
            (connect.kind, connect.direction, connect.action),
            (Kind::CONNECT, event::CLIENT, Action::Pass as u8)
        );
        assert_eq!((connect.reason, connect.enforced), (Reason::Handshake.number(), 1));
        assert_eq!((connect.client, connect.server), (net.key().client, net.key().server));
        assert_ne!(connect.connection, 0);

        let bytes = whole_dialogue(&mut net);
        assert!(net.all_events().iter().all(|event| event.connection == connect.connection));
        assert_eq!(fin(&mut net, true), Verdict::Pass);
        assert!(net.all_events().is_empty(), "one side has closed, not both");
        net.now += 2_000_000_000;
        assert_eq!(fin(&mut net, false), Verdict::Pass);
        let events = net.all_events();
        let [close] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((close.kind, close.direction, close.action), (Kind::CLOSE, event::SERVER, Action::Pass as u8));
        assert_eq!((close.reason, close.enforced), (Reason::Closing.number(), 1));
        assert_eq!((close.connection, close.time), (connect.connection, net.now));
        assert_eq!((close.arg_length, close.excerpt_length, close.verb_length), (0, 0, 0));
        let duration = close.time - connect.time;
        assert!(duration > 2_000_000_000);
        assert_eq!(
            close.summary(),
            Summary { duration, bytes, commands: 13, recipients: 4, messages: 2, tls: 0, ended: Ended::Quit as u8 }
        );
        assert_eq!((net.world.opened, net.world.closed), (1, 1));
    }
}

#[test]
fn the_last_command_is_reported_before_the_end() {
    let mut net = Net::greeted(policy());
    assert_eq!(fin(&mut net, false), Verdict::Pass);
    net.all_events();
    assert_eq!(net.segment(true, 0, FIN, b"NOOP\r\n"), Verdict::Pass);
    let (kinds, summary) = reported(&mut net);
    assert_eq!(kinds, [Kind::COMMAND, Kind::CLOSE]);
    assert_eq!(summary.map(|summary| (summary.commands, summary.bytes[0])), Some((1, 6)));
}

#[test]
fn why_both_sides_close() {
    for (said, reply, why) in [
        ("", "", Ended::Fin),
        ("QUIT\r\n", "", Ended::Fin),
        ("QUIT\r\n", "221 Bye\r\n", Ended::Quit),
        ("NOOP\r\n", "421 Busy\r\n", Ended::Refused),
    ] {
        let mut net = Net::greeted(policy());
        if !said.is_empty() {
            assert_eq!(net.say(said), Verdict::Pass);
        }
        if !reply.is_empty() {
            assert_eq!(net.reply(reply), Verdict::Pass);
        }
        fins(&mut net);
        assert_eq!(ended(&mut net), Some(why), "{said}{reply}");
    }
}

#[test]
fn a_rst_of_either_side_ends_it() {
    for (client, why) in [(true, Ended::ClientReset), (false, Ended::ServerReset)] {
        let mut net = Net::greeted(policy());
        net.say("QUIT\r\n");
        net.reply("221 Bye\r\n");
        fin(&mut net, false);
        let offset = if client { net.client.next } else { net.server.next };
        assert_eq!(net.segment(client, offset, RST, b""), Verdict::Pass);
        assert_eq!(ended(&mut net), Some(why));
        // Once.
        assert_eq!(net.segment(client, offset, RST, b""), Verdict::Pass);
        fins(&mut net);
        assert!(net.all_events().is_empty());
        assert_eq!((net.world.opened, net.world.closed), (1, 1));
    }
}

#[test]
fn a_connection_that_goes_on_after_a_rst_ends_once_more() {
    let mut net = Net::greeted(policy());
    net.say("NOOP\r\n");
    assert_eq!(net.segment(true, 7000, RST, b""), Verdict::Pass);
    assert_eq!(closed(&mut net).commands, 1);
    net.reply("250 Ok\r\n");
    net.say("NOOP\r\n");
    assert_eq!((net.world.opened, net.world.closed), (2, 1));
    fins(&mut net);
    let summary = closed(&mut net);
    assert_eq!((summary.commands, summary.bytes[0], summary.ended), (2, 12, Ended::Fin as u8));
    assert_eq!((net.world.opened, net.world.closed), (2, 2));
}

#[test]
fn nothing_opens_it_again_when_both_have_closed() {
    let mut net = Net::greeted(policy());
    net.say("NOOP\r\n");
    fins(&mut net);
    assert_eq!(ended(&mut net), Some(Ended::Fin));
    // The acknowledgements were lost: all of it comes once more.
    net.server.acked = 0;
    assert_eq!(net.segment(true, 0, FIN, b"NOOP\r\n"), Verdict::Pass);
    assert_eq!(fin(&mut net, false), Verdict::Pass);
    assert!(net.all_events().is_empty());
    assert_eq!((net.world.opened, net.world.closed), (1, 1));
}

#[test]
fn a_reset_by_the_filter_is_an_end() {
    let mut net = Net::greeted(policy());
    net.set("VRFY", Action::Reset);
    net.say("NOOP\r\n");
    net.reply("250 Ok\r\n");
    net.all_events();
    assert_eq!(net.say("VRFY root\r\n"), Verdict::Reset);
    let events = net.all_events();
    let [command, close] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((command.kind, close.kind), (Kind::COMMAND, Kind::CLOSE));
    assert!(command.excerpt_length > 0 && close.excerpt_length == 0);
    let summary = close.summary();
    // What was reset did not pass.
    assert_eq!((summary.commands, summary.bytes[0], summary.ended), (1, 6, Ended::Reset as u8));
    // What comes behind it ends nothing any more.
    net.say("NOOP\r\n");
    net.segment(true, net.client.next, RST, b"");
    net.segment(false, net.server.next, RST, b"");
    assert!(net.all_events().is_empty());
    assert_eq!((net.world.opened, net.world.closed), (1, 1));
}

#[test]
fn a_reset_for_urgent_bytes_is_an_end() {
    let mut policy = policy();
    policy.guards[Reason::Urgent.number() as usize] = Action::Reset as u8;
    let mut net = Net::greeted(policy);
    net.all_events();
    let flags = Flags { urg: true, ..ACK };
    net.segment(true, 0, flags, b"NOOP\r\n");
    let (kinds, summary) = reported(&mut net);
    assert_eq!(kinds, [Kind::GUARD, Kind::CLOSE]);
    assert_eq!(summary.map(|summary| summary.ended), Some(Ended::Reset as u8));

    net = Net::greeted(net.policy);
    net.monitor();
    net.all_events();
    net.segment(true, 0, flags, b"NOOP\r\n");
    assert_eq!(reported(&mut net).0, [Kind::COMMAND, Kind::GUARD], "mode monitor resets nothing, and reads on");
}

#[test]
fn two_answers_to_one_syn_are_an_end() {
    let mut net = Net::greeted(policy());
    net.all_events();
    let connection =
        net.world.connection(&net.key()).expect("live").shared.id.load(std::sync::atomic::Ordering::Relaxed);
    let frame = net.build(false, net.server.isn + 77, net.client.isn + 1, SYN_ACK, b"");
    net.frame(&frame, (INSIDE, false));
    let events = net.all_events();
    assert!(events.iter().all(|event| event.connection == connection), "{events:?}");
    assert_eq!(events.last().map(|event| event.summary().ended), Some(Ended::Reset as u8));
}

#[test]
fn a_port_pair_used_again_ends_the_old_connection() {
    let mut net = Net::greeted(policy());
    net.say("NOOP\r\n");
    let first = net.all_events()[0].connection;
    net.client = End { isn: net.client.isn + 5000, next: 0, acked: 0, ..net.client };
    net.server = End { isn: net.server.isn + 5000, next: 0, acked: 0, ..net.server };
    net.handshake();
    let events = net.all_events();
    let kinds: Vec<Kind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Kind::CLOSE, Kind::CONNECT]);
    assert_eq!(events[0].connection, first);
    assert_ne!(events[1].connection, first);
    let summary = events[0].summary();
    assert_eq!((summary.ended, summary.commands, summary.bytes[0]), (Ended::Replaced as u8, 1, 6));
    assert_eq!((net.world.opened, net.world.closed), (2, 1));

    // One that has closed was reported already.
    net.reply("220 mail.example ESMTP\r\n");
    fins(&mut net);
    net.all_events();
    net.client = End { isn: net.client.isn + 5000, next: 0, acked: 0, ..net.client };
    net.server = End { isn: net.server.isn + 5000, next: 0, acked: 0, ..net.server };
    net.handshake();
    assert_eq!(reported(&mut net).0, [Kind::CONNECT]);
    assert_eq!((net.world.opened, net.world.closed), (3, 2));
}

#[test]
fn bytes_in_tls_are_counted_by_their_places() {
    for with_rst in [false, true] {
        let mut net = Net::new(policy());
        // The numbers begin anew within TLS.
        (net.client.isn, net.server.isn) = (u32::MAX - 1500, u32::MAX - 500);
        net.handshake();
        assert_eq!(net.reply("220 mail.example ESMTP\r\n"), Verdict::Pass);
        assert_eq!(net.say("STARTTLS\r\n"), Verdict::Pass);
        assert_eq!(net.reply("220 Go\r\n"), Verdict::Pass);
        let clear = [10, 24 + 8];
        for _ in 0..3 {
            assert_eq!(net.say(vec![0x16; 1000]), Verdict::Pass);
            assert_eq!(net.reply(vec![0x17; 300]), Verdict::Pass);
        }
        net.client_acks();
        if with_rst {
            net.segment(true, net.client.next, RST, b"");
        } else {
            // A gap in TLS is nobody's business: what was lost comes again behind it.
            assert_eq!(net.client_at(net.client.next + 10, &[0x17; 10]), Verdict::Pass);
            net.client.next += 20;
            fins(&mut net);
        }
        let summary = closed(&mut net);
        let more = if with_rst { 0 } else { 20 };
        assert_eq!(summary.bytes, [clear[0] + 3000 + more, clear[1] + 900]);
        assert_eq!((summary.tls, summary.commands), (1, 1));
        let why = if with_rst { Ended::ClientReset } else { Ended::Fin };
        assert_eq!(summary.ended, why as u8);
    }
}

#[test]
fn the_reply_that_brings_tls_is_not_counted_twice_or_as_tls() {
    let mut net = Net::greeted(policy());
    net.say("STARTTLS\r\n");
    net.reply("220 Go\r\n");
    // Nothing of the reply is acknowledged yet.
    assert_eq!(net.segment(true, net.client.next, RST, b""), Verdict::Pass);
    assert_eq!(closed(&mut net).bytes, [10, 24 + 8]);
}

#[test]
fn mode_monitor_counts_what_comes_after_a_gap() {
    let mut net = Net::greeted(policy());
    net.monitor();
    net.set("VRFY", Action::Drop);
    net.say("VRFY root\r\n");
    net.reply("250 Ok\r\n");
    // Behind a gap.
    assert_eq!(net.client_at(net.client.next + 6, b"NOOP\r\n"), Verdict::Pass);
    net.client.next += 12;
    net.reply("250 Ok\r\n250 Ok\r\n");
    net.say("QUIT\r\n");
    net.reply("221 Bye\r\n");
    fins(&mut net);
    let summary = closed(&mut net);
    assert_eq!((summary.bytes, summary.commands), ([11 + 12 + 6, 24 + 8 + 16 + 9], 3));
    assert_eq!(summary.ended, Ended::Quit as u8);
}

#[test]
fn a_connection_that_goes_silent_reports_nothing() {
    let mut net = Net::greeted(policy());
    net.all_events();
    net.now += 3_600_000_000_000;
    net.client_acks();
    net.server_acks();
    fin(&mut net, true);
    assert!(net.all_events().is_empty());
}

#[test]
fn a_summary_lies_where_the_argument_lay_and_comes_back_whole() {
    let summary = Summary {
        duration: 0x0102_0304_0506_0708,
        bytes: [u64::MAX, 0x1112_1314_1516_1718],
        commands: 0x2122_2324,
        recipients: 0x3132_3334,
        messages: 0x4142_4344,
        tls: 1,
        ended: Ended::Replaced as u8,
    };
    let mut event = Event { arg: [0xff; smtp_filter_common::bounds::ARG_ROOM], ..Event::EMPTY };
    event.set_summary(&summary);
    assert_eq!(event.summary(), summary);
    for ended in Ended::ALL {
        assert_eq!(Ended::from_u8(ended as u8), Some(ended));
    }
    assert_eq!((Ended::from_u8(0), Ended::from_u8(9)), (None, None));
}

#[test]
fn a_fin_after_what_was_dropped_is_no_end() {
    let mut net = Net::greeted(policy());
    net.set("VRFY", Action::Drop);
    assert_eq!(net.say("VRFY root\r\n"), Verdict::Drop);
    net.all_events();
    assert_eq!(net.segment(true, 11, FIN, b""), Verdict::Pass);
    fin(&mut net, false);
    assert!(net.all_events().is_empty());
    assert_eq!(net.segment(true, 12, RST, b""), Verdict::Pass);
    assert_eq!(ended(&mut net), Some(Ended::ClientReset));
}
