//! A full table: what has ended and who never spoke give way first, a transaction and mail data do not (I8).

use std::{collections::HashMap, sync::atomic::Ordering};

use crate::support::*;
use proptest::prelude::*;
use smtp_filter_common::{
    action::Action,
    entry::{CLOSED, DEAD, HELLO, MAIL_DATA, RESET, SPOKE, TRANSACTION},
    event::{Ended, Kind},
    flow::Key,
    policy::Policy,
    reason::Reason,
    userspace::World,
    verdict::Verdict,
};

const PASS: Verdict = Verdict::Pass;
const DROP: Verdict = Verdict::Drop;
const MINUTE: u64 = 60_000_000_000;

/// One of many clients.
#[derive(Clone, Copy, Debug)]
struct Caller {
    address: [u8; 4],
    port: u16,
    client: End,
    server: End,
}

/// Many clients, one after the other, and a table with so much room.
struct Crowd {
    net: Net,
    next: u32,
}

impl Crowd {
    fn new(room: u32) -> Self {
        let mut net = Net::new(Policy { grace_until: u64::MAX, ..policy() });
        net.world = World::with_room(room);
        Self { net, next: 0 }
    }

    /// A new client, of the network 10.0.0.0/8.
    fn caller(&mut self, address: u16) -> Caller {
        self.next += 1;
        let [high, low] = address.to_be_bytes();
        Caller {
            address: [10, 0, high, low],
            port: 1024 + (self.next % 60_000) as u16,
            client: End { isn: self.next * 77_777, ..self.net.client },
            server: End { isn: self.next * 99_991, ..self.net.server },
        }
    }

    /// What a client does.
    fn of<T>(&mut self, caller: &mut Caller, what: impl FnOnce(&mut Net) -> T) -> T {
        let net = &mut self.net;
        (net.client_address, net.client_port) = (caller.address, caller.port);
        (net.client, net.server) = (caller.client, caller.server);
        let done = what(net);
        (caller.client, caller.server) = (net.client, net.server);
        done
    }

    /// A client's handshake, whether it finds room or not.
    fn opens(&mut self, address: u16) -> (Caller, bool) {
        let mut caller = self.caller(address);
        (caller.client.next, caller.server.next, caller.client.acked, caller.server.acked) = (0, 0, 0, 0);
        let verdict = self.of(&mut caller, |net| {
            assert_eq!((net.syn(), net.syn_ack()), (PASS, PASS));
            let verdict = net.client_acks();
            if verdict == PASS {
                net.server_acks();
            }
            verdict
        });
        (caller, verdict == PASS)
    }

    fn speaks(&mut self, caller: &mut Caller, said: &str, reply: &str) {
        self.of(caller, |net| {
            if !said.is_empty() {
                assert_eq!(net.say(said), PASS, "{said}");
            }
            assert_eq!(net.reply(reply), PASS, "{reply}");
        });
    }

    fn greets(&mut self, caller: &mut Caller) {
        self.speaks(caller, "", "220 m ESMTP\r\n");
        self.speaks(caller, "EHLO c\r\n", "250 m\r\n");
    }

    fn begins_a_mail(&mut self, caller: &mut Caller) {
        self.speaks(caller, "MAIL FROM:<a@a.example>\r\n", "250 Ok\r\n");
        self.speaks(caller, "RCPT TO:<b@b.example>\r\n", "250 Ok\r\n");
    }

    fn begins_data(&mut self, caller: &mut Caller) {
        self.speaks(caller, "DATA\r\n", "354 Go\r\n");
    }

    fn in_transaction(&mut self, address: u16) -> Caller {
        let (mut caller, opened) = self.opens(address);
        assert!(opened);
        self.greets(&mut caller);
        self.begins_a_mail(&mut caller);
        caller
    }

    fn is_live(&mut self, caller: &mut Caller) -> bool {
        self.of(caller, |net| net.world.connection(&net.key()).is_some())
    }

    fn flags(&mut self, caller: &mut Caller) -> u64 {
        self.of(caller, |net| {
            net.world.connection(&net.key()).map_or(0, |connection| connection.shared.flags.load(Ordering::Relaxed))
        })
    }

    fn ends_mail(&mut self, caller: &mut Caller) {
        self.speaks(caller, "text\r\n.\r\n", "250 Taken\r\n");
    }
}

#[test]
fn the_phase_can_be_read_without_the_lock() {
    const PHASE: u64 = SPOKE | HELLO | TRANSACTION | MAIL_DATA;
    let mut crowd = Crowd::new(8);
    let (mut caller, _) = crowd.opens(1);
    assert_eq!(crowd.flags(&mut caller) & PHASE, 0);
    crowd.greets(&mut caller);
    assert_eq!(crowd.flags(&mut caller) & PHASE, SPOKE | HELLO);
    for _ in 0..2 {
        crowd.begins_a_mail(&mut caller);
        assert_eq!(crowd.flags(&mut caller) & PHASE, SPOKE | HELLO | TRANSACTION);
        crowd.begins_data(&mut caller);
        assert_eq!(crowd.flags(&mut caller) & PHASE, PHASE);
        crowd.ends_mail(&mut caller);
        assert_eq!(crowd.flags(&mut caller) & PHASE, SPOKE | HELLO);
    }
}

#[test]
fn connections_that_come_and_go_push_no_idle_one_out() {
    let mut crowd = Crowd::new(64);
    let (mut honest, _) = crowd.opens(1);
    crowd.greets(&mut honest);
    for at in 0..3000_u32 {
        crowd.net.now += 1_000_000;
        let (mut caller, opened) = crowd.opens(2 + (at % 7) as u16);
        assert!(opened, "{at}");
        match at % 3 {
            // Never says a word.
            0 => {}
            1 => {
                let verdict = crowd.of(&mut caller, |net| net.segment(true, net.client.next, RST, b""));
                assert_eq!(verdict, PASS);
                assert_ne!(crowd.flags(&mut caller) & DEAD, 0);
            }
            _ => crowd.of(&mut caller, |net| {
                for client in [true, false] {
                    assert_eq!(net.segment(client, 0, FIN, b""), PASS);
                    (net.client.next, net.server.next) = (u32::from(client), u32::from(!client));
                }
                (net.client.next, net.server.next) = (1, 1);
                net.client_acks();
                net.server_acks();
                assert!(net.world.connection(&net.key()).is_none());
            }),
        }
    }
    assert!(crowd.is_live(&mut honest));
    crowd.speaks(&mut honest, "NOOP\r\n", "250 Ok\r\n");
}

#[test]
fn a_flood_of_handshakes_leaves_mails_in_progress_alone() {
    for addresses in [1, 4000] {
        let mut crowd = Crowd::new(100);
        let mut mails: Vec<_> = (0..40).map(|at| crowd.in_transaction(100 + at % 20)).collect();
        for caller in &mut mails[..20] {
            crowd.begins_data(caller);
        }
        let mut room = 0;
        for at in 0..4000_u32 {
            crowd.net.now += 1_000_000;
            let (mut caller, opened) = crowd.opens(1000 + (at % addresses) as u16);
            room += u32::from(opened);
            if opened && at % 2 == 0 {
                crowd.greets(&mut caller);
            }
        }
        assert!(room > 2000, "{room}");
        for (at, caller) in mails.iter_mut().enumerate() {
            assert!(crowd.is_live(caller), "{at}");
            if at >= 20 {
                crowd.begins_data(caller);
            }
            crowd.ends_mail(caller);
        }
    }
}

#[test]
fn who_fills_the_table_alone_keeps_nobody_out() {
    let mut crowd = Crowd::new(200);
    for _ in 0..200 {
        crowd.in_transaction(1);
    }
    // Its own newcomers find nobody to take room from.
    for _ in 0..50 {
        assert!(!crowd.opens(1).1);
    }
    assert_eq!(crowd.net.segments(Reason::TableFull), 50);
    // Those of others do, and keep it.
    let mut others = Vec::new();
    for address in 10..20 {
        let (mut caller, opened) = crowd.opens(address);
        assert!(opened);
        crowd.greets(&mut caller);
        crowd.begins_a_mail(&mut caller);
        crowd.begins_data(&mut caller);
        others.push(caller);
    }
    for caller in &mut others {
        crowd.ends_mail(caller);
    }
}

#[test]
fn who_has_more_than_a_share_finds_room_only_among_its_own() {
    let mut crowd = Crowd::new(100);
    let greeted = |crowd: &mut Crowd, address| {
        let (mut caller, opened) = crowd.opens(address);
        assert!(opened);
        crowd.greets(&mut caller);
        crowd.net.now += 1_000_000;
        caller
    };
    // They were silent longest.
    let mut honest: Vec<_> = (100..140).map(|address| greeted(&mut crowd, address)).collect();
    for _ in 0..2000 {
        greeted(&mut crowd, 1);
    }
    for caller in &mut honest {
        assert!(crowd.is_live(caller));
    }
}

#[test]
fn one_address_for_all_clients_is_served_as_before() {
    // All of them come by way of a load balancer.
    let mut crowd = Crowd::new(100);
    let mut mails: Vec<_> = (0..50).map(|_| crowd.in_transaction(1)).collect();
    for at in 0..1000 {
        crowd.net.now += 1_000_000;
        let (mut caller, opened) = crowd.opens(1);
        assert!(opened, "{at}");
        crowd.greets(&mut caller);
    }
    for caller in &mut mails {
        crowd.begins_data(caller);
        crowd.ends_mail(caller);
    }
}

#[test]
fn mail_data_gives_way_to_nobody_until_it_is_dead() {
    let mut crowd = Crowd::new(20);
    let mut mails: Vec<_> = (0..20).map(|at| crowd.in_transaction(at)).collect();
    for caller in &mut mails {
        crowd.begins_data(caller);
    }
    for address in 100..150 {
        let (mut caller, opened) = crowd.opens(address);
        assert!(!opened);
        // It is never taken for an older one.
        crowd.of(&mut caller, |net| {
            assert_eq!(net.client_at(0, b"EHLO x\r\n"), DROP);
            assert_eq!(net.client_at(70_000, b"EHLO x\r\n"), DROP);
        });
    }
    assert_eq!((crowd.net.segments(Reason::TableFull), crowd.net.segments(Reason::Unfinished)), (100, 50));
    assert_eq!(crowd.net.segments(Reason::UnknownConnection), 0);
    // Room, once one of them has ended: with the client's next segment.
    crowd.net.now += 11 * MINUTE;
    assert!(crowd.opens(200).1);
}

#[test]
fn without_room_mode_monitor_lets_it_pass() {
    let mut crowd = Crowd::new(4);
    crowd.net.monitor();
    for address in 0..4 {
        let mut caller = crowd.in_transaction(address);
        crowd.begins_data(&mut caller);
    }
    assert!(crowd.opens(9).1);
    assert_eq!(crowd.net.world.counter(Reason::TableFull.number(), Action::Drop, false).segments, 1);
}

#[test]
fn who_gives_way_is_reported_and_never_older_than_the_filter() {
    let mut crowd = Crowd::new(1);
    let (mut first, _) = crowd.opens(1);
    crowd.greets(&mut first);
    crowd.net.all_events();
    let (second, opened) = crowd.opens(2);
    assert!(opened);
    let events = crowd.net.all_events();
    let [close, connect] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((close.kind, connect.kind), (Kind::CLOSE, Kind::CONNECT));
    assert_eq!(Ended::from_u8(close.summary().ended), Some(Ended::Evicted));
    assert_eq!((close.client[15], close.client_port), (1, first.port.to_be_bytes()));
    assert_eq!((connect.client[15], connect.client_port), (2, second.port.to_be_bytes()));
    assert_ne!(close.connection, connect.connection);
    assert_eq!(close.summary().commands, 1);
    assert_eq!((crowd.net.world.opened, crowd.net.world.closed), (2, 1));
    // In the grace.
    crowd.of(&mut first, |net| {
        assert_eq!(net.client_at(net.client.next, b"NOOP\r\n"), DROP);
        assert_eq!(net.server_at(net.server.next, b"250 x\r\n"), DROP);
    });
}

#[test]
fn what_was_reset_stays_so_when_it_gives_way() {
    let mut crowd = Crowd::new(1);
    crowd.net.set("VRFY", Action::Reset);
    let (mut first, _) = crowd.opens(1);
    crowd.greets(&mut first);
    crowd.of(&mut first, |net| assert_eq!(net.say("VRFY root\r\n"), Verdict::Reset));
    assert_ne!(crowd.flags(&mut first) & RESET, 0);
    assert!(crowd.opens(2).1);
    crowd.net.policy.guards[Reason::UnknownConnection.number() as usize] = Action::Pass as u8;
    crowd.of(&mut first, |net| {
        assert_eq!(net.client_at(net.client.next, b"NOOP\r\n"), DROP);
        assert_eq!(net.segment(true, net.client.next, RST, b""), PASS);
    });
    assert_eq!(crowd.net.segments(Reason::AfterReset), 1);
}

/// What a client does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    Open(u16),
    Greet(usize),
    Mail(usize),
    Data(usize),
    Done(usize),
    Rst(usize),
    Close(usize),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let who = any::<usize>();
    prop_oneof![
        8 => (0_u16..12).prop_map(Act::Open),
        5 => who.prop_map(Act::Greet),
        4 => who.prop_map(Act::Mail),
        4 => who.prop_map(Act::Data),
        3 => who.prop_map(Act::Done),
        1 => who.prop_map(Act::Rst),
        2 => who.prop_map(Act::Close),
        1 => (1..MINUTE).prop_map(Act::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Whoever comes: the table holds what it may, each is at its place of the roster, everyone in mail data goes on,
    /// and a transaction gives way only where its address has more than a quarter.
    #[test]
    fn no_crowd_pushes_out_who_is_at_work(room in 4_u32..80, acts in prop::collection::vec(act(), 1..600)) {
        let mut crowd = Crowd::new(room);
        // By key: what each is at, from 0 (connected) to 3 (mail data).
        let mut at_work: Vec<(Caller, Key, u8)> = Vec::new();
        let mut seen = HashMap::new();
        for act in acts {
            crowd.net.now += 1_000_000;
            // Those that went.
            let world = &crowd.net.world;
            let shares = |address: [u8; 4]| world.connections().filter(|(key, _)| key.client[12..] == address).count();
            let mut gone = Vec::new();
            at_work.retain(|(caller, key, stage)| {
                let stays = world.connection(key).is_some();
                if !stays {
                    gone.push((caller.address, *stage));
                }
                stays
            });
            for (address, stage) in gone {
                prop_assert!(stage < 3, "in mail data");
                // Drawn at random: what has a quarter in the draw may have somewhat less in truth.
                prop_assert!(stage < 2 || (shares(address) + 1) * 16 > room as usize, "in a transaction");
            }
            prop_assert!(world.connections().count() <= room as usize);
            for (key, connection) in world.connections() {
                prop_assert!(world.is_enrolled(key));
                prop_assert_eq!(connection.shared.lock.load(Ordering::Relaxed), 0);
            }
            let open = world.connections().filter(|(_, one)| one.shared.flags.load(Ordering::Relaxed) & CLOSED == 0);
            prop_assert_eq!(open.count() as u64, crowd.net.world.opened - crowd.net.world.closed);
            for event in crowd.net.all_events() {
                match event.kind {
                    Kind::CONNECT => prop_assert!(seen.insert(event.connection, event.client_port).is_none()),
                    Kind::CLOSE => prop_assert_eq!(seen.get(&event.connection), Some(&event.client_port)),
                    _ => {}
                }
            }
            let count = at_work.len();
            let mut pick = |who: usize, from: u8, to: u8, then: &dyn Fn(&mut Crowd, &mut Caller)| {
                if count == 0 { return }
                let (caller, _, stage) = &mut at_work[who % count];
                if *stage == from {
                    then(&mut crowd, caller);
                    *stage = to;
                }
            };
            match act {
                Act::Open(address) => {
                    let (mut caller, opened) = crowd.opens(address);
                    if opened {
                        let key = crowd.of(&mut caller, |net| net.key());
                        at_work.push((caller, key, 0));
                    }
                }
                Act::Greet(who) => pick(who, 0, 1, &|crowd, caller| crowd.greets(caller)),
                Act::Mail(who) => pick(who, 1, 2, &|crowd, caller| crowd.begins_a_mail(caller)),
                Act::Data(who) => pick(who, 2, 3, &|crowd, caller| crowd.begins_data(caller)),
                Act::Done(who) => pick(who, 3, 1, &|crowd, caller| crowd.ends_mail(caller)),
                Act::Rst(who) => pick(who, 1, 1, &|crowd, caller| {
                    crowd.of(caller, |net| assert_eq!(net.segment(true, net.client.next, RST, b""), PASS));
                }),
                Act::Close(who) if count > 0 => {
                    let (mut caller, _, _) = at_work.swap_remove(who % count);
                    crowd.of(&mut caller, |net| {
                        net.client_acks();
                        net.server_acks();
                        net.segment(true, net.client.next, FIN, b"");
                        net.segment(false, net.server.next, FIN, b"");
                        (net.client.next, net.server.next) = (net.client.next + 1, net.server.next + 1);
                        net.client_acks();
                        net.server_acks();
                        assert!(net.world.connection(&net.key()).is_none());
                    });
                }
                Act::Close(_) => {}
                // Less than ten minutes altogether, for nobody is dead then.
                Act::Wait(time) => crowd.net.now += time / 600,
            }
        }
    }
}
