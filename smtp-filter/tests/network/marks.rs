//! Where a mark is seen: by nftables and `ip rule` behind the hook that a segment comes in by, and by tc behind the one
//! it leaves by.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use smtp_filter_testkit::{
    Filter, MailServer, Namespace, Network, SERVER_V4, SERVER_V6,
    lab::{self, SOON, hello, succeed},
    send_by_esmtp,
};

const SERVERS: [SocketAddr; 2] = [SERVER_V4, SERVER_V6];

/// Client, gateway with the filter on these interfaces, server.
struct Marks {
    filter: Filter,
    server: MailServer,
    network: Network,
}

impl Marks {
    fn new(ifaces: &[&str]) -> Result<Self> {
        let network = Network::new()?;
        let server = MailServer::start(&network.server)?;
        let filter = lab::filter(&network.gateway)?;
        let on: Vec<&str> = ifaces.iter().flat_map(|iface| ["--iface", *iface]).collect();
        filter.up(&[&on, &["--profile", "mark-esmtp"][..]].concat())?;
        Ok(Self { filter, server, network })
    }

    /// A mail by EHLO, which is marked.
    fn marked(&self, to: SocketAddr) -> Result<()> {
        self.mail(|| send_by_esmtp(&self.network.client, to, "marked"))
    }

    /// A mail by RFC 821, which is not.
    fn plain(&self, to: SocketAddr) -> Result<()> {
        self.mail(|| hello(&self.network.client, to, "HELO")?.send("plain"))
    }

    fn mail(&self, send: impl FnOnce() -> Result<()>) -> Result<()> {
        let before = self.server.mails().len();
        send()?;
        self.server.wait_for_mails(before + 1, SOON).map(drop)
    }
}

/// What a counter of nftables has counted.
fn counted(place: &Namespace, name: &str) -> Result<u64> {
    counted_by(place, "inet", name)
}

/// The same, of another family's table.
fn counted_by(place: &Namespace, family: &str, name: &str) -> Result<u64> {
    let said = succeed(place.command("nft").args(["list", "counter", family, "marks", name]))?;
    Ok(said.split_whitespace().skip_while(|word| *word != "packets").nth(1).context("a count")?.parse()?)
}

/// Two classes of a queue behind the egress hook: one for packets whose mark, under a mask, is this, one for others.
struct Classes<'a>(&'a Namespace, &'static str);

impl<'a> Classes<'a> {
    fn new(place: &'a Namespace, iface: &'static str, mask: u32, value: u32) -> Result<Self> {
        let tc = |words: &str| succeed(place.command("tc").args(words.split(' '))).map(drop);
        tc(&format!("qdisc add dev {iface} root handle 1: htb default 20"))?;
        for class in ["1:10", "1:20"] {
            tc(&format!("class add dev {iface} parent 1: classid {class} htb rate 10gbit"))?;
        }
        // In the filter's old byte code: load the mark, mask it, compare. Every kernel that has the new one has that;
        // matches of tc's own on the mark are often left out.
        let program = format!("5,32 0 0 4294963220,84 0 0 {mask},21 0 1 {value},6 0 0 4294967295,6 0 0 0,");
        let mut filter = place.command("tc");
        filter.args(["filter", "add", "dev", iface, "parent", "1:", "protocol", "all", "bpf", "bytecode", &program]);
        succeed(filter.args(["flowid", "1:10"]))?;
        Ok(Self(place, iface))
    }

    /// Packets with the mark, and without.
    fn read(&self) -> Result<(u64, u64)> {
        let said = succeed(self.0.command("tc").args(["-s", "class", "show", "dev", self.1]))?;
        let packets = |class: &str| -> Result<u64> {
            let (_, told) = said.split_once(&format!("class htb {class} ")).context("a class")?;
            Ok(told.split_whitespace().skip_while(|word| *word != "bytes").nth(1).context("a count")?.parse()?)
        };
        Ok((packets("1:10")?, packets("1:20")?))
    }
}

/// The administrator's own rule sends what is marked over another line; EHLO's segment is the first that takes it.
#[test(root)]
fn ip_rule_routes_a_marked_client_over_another_line_and_leaves_its_neighbour_alone() -> Result<()> {
    let lab = Marks::new(&["inside"])?;
    let Network { gateway, server, .. } = &lab.network;
    gateway.ip(&[
        &format!("link add detour type veth peer name eth1 netns {}", server.name()),
        "address add 203.0.113.1/24 dev detour",
        "address add 2001:db8:5::1/64 dev detour nodad",
        "link set detour up",
    ])?;
    server.ip(&[
        "address add 203.0.113.25/24 dev eth1",
        "address add 2001:db8:5::25/64 dev eth1 nodad",
        "link set eth1 up",
    ])?;
    // Its answers take the usual line.
    for name in ["all", "eth1"] {
        server.sysctl(&format!("ipv4/conf/{name}/rp_filter"), "0")?;
    }
    gateway.ip(&[
        "route add default via 203.0.113.25 dev detour table 100",
        "route add default via 2001:db8:5::25 dev detour table 100",
    ])?;
    for family in ["-4", "-6"] {
        let rule = ["rule", "add", "fwmark", "0x19/0xff", "lookup", "100"];
        succeed(gateway.command("ip").arg(family).args(rule))?;
    }
    // Each family has its own counters, for the last segments of a marked connection may come late. By the usual line,
    // segments with payload.
    server.nft(
        "add table inet marks
         add counter inet marks detour4
         add counter inet marks detour6
         add counter inet marks straight4
         add counter inet marks straight6
         add chain inet marks input { type filter hook input priority 0; }
         add rule inet marks input iifname eth1 meta nfproto ipv4 tcp dport 25 counter name detour4
         add rule inet marks input iifname eth1 meta nfproto ipv6 tcp dport 25 counter name detour6
         add rule inet marks input iifname eth0 tcp dport 25 tcp flags & syn == 0 ip length > 52 counter name straight4
         add rule inet marks input iifname eth0 tcp dport 25 tcp flags & syn == 0 ip6 length > 32 counter name straight6",
    )?;
    gateway.nft(
        "add table inet marks
         add counter inet marks arrived
         add counter inet marks forwarded
         add chain inet marks prerouting { type filter hook prerouting priority 0; }
         add chain inet marks forward { type filter hook forward priority 0; }
         add rule inet marks prerouting tcp dport 25 meta mark and 0xff == 0x19 counter name arrived
         add rule inet marks forward tcp dport 25 oifname detour meta mark and 0xff == 0x19 counter name forwarded",
    )?;
    let mut all = 0;
    for (to, detour, straight) in [(SERVER_V4, "detour4", "straight4"), (SERVER_V6, "detour6", "straight6")] {
        lab.plain(to)?;
        ensure!(counted(server, detour)? == 0, "RFC 821 takes the usual line");
        let usual = counted(server, straight)?;
        ensure!(usual >= 6, "HELO, MAIL, RCPT, DATA, the text, QUIT: {usual}");
        lab.marked(to)?;
        let other = counted(server, detour)?;
        ensure!(other >= 5, "EHLO, MAIL, RCPT, DATA, the text: {other}");
        ensure!(counted(server, straight)? == usual, "what is said by a marked connection takes the other line");
        all += other;
        ensure!(counted(gateway, "arrived")? >= all && counted(gateway, "forwarded")? >= all);
    }
    Ok(())
}

/// With the filter towards the clients alone, replies are seen when they leave: what looks before sees no mark.
#[test(root)]
fn replies_carry_the_mark_after_the_hook_they_leave_by_and_not_before() -> Result<()> {
    let lab = Marks::new(&["inside"])?;
    let gateway = &lab.network.gateway;
    gateway.nft(REPLIES)?;
    gateway.nft(
        "add table netdev marks
         add counter netdev marks replies
         add counter netdev marks marked
         add chain netdev marks egress { type filter hook egress device inside priority 0; }
         add rule netdev marks egress tcp sport 25 counter name replies
         add rule netdev marks egress tcp sport 25 meta mark and 0xff == 0x19 counter name marked",
    )?;
    let classes = Classes::new(gateway, "inside", 0xff, 0x19)?;
    SERVERS.into_iter().try_for_each(|to| lab.plain(to))?;
    let plain = classes.read()?;
    ensure!(plain.0 == 0 && plain.1 >= 12, "{plain:?}");
    SERVERS.into_iter().try_for_each(|to| lab.marked(to))?;
    let marked = classes.read()?;
    ensure!(marked.0 >= 8, "twice the replies to EHLO, MAIL, RCPT, DATA: {plain:?}, {marked:?}");
    for family in ["inet", "netdev"] {
        ensure!(counted_by(gateway, family, "replies")? >= 20);
        ensure!(counted_by(gateway, family, "marked")? == 0, "nftables looks before the hook, in its own one, too");
    }
    Ok(())
}

/// With the filter towards the servers, too, replies are marked where they come in.
#[test(root)]
fn replies_carry_the_mark_from_where_they_come_in_if_the_filter_is_there() -> Result<()> {
    let lab = Marks::new(&["inside", "outside"])?;
    let gateway = &lab.network.gateway;
    gateway.nft(REPLIES)?;
    SERVERS.into_iter().try_for_each(|to| lab.plain(to))?;
    ensure!(counted(gateway, "marked")? == 0 && counted(gateway, "replies")? >= 12);
    SERVERS.into_iter().try_for_each(|to| lab.marked(to))?;
    ensure!(counted(gateway, "marked")? >= 8, "twice the replies to EHLO, MAIL, RCPT, DATA");
    Ok(())
}

const REPLIES: &str = "\
    add table inet marks
    add counter inet marks replies
    add counter inet marks marked
    add chain inet marks forward { type filter hook forward priority 0; }
    add rule inet marks forward tcp sport 25 counter name replies
    add rule inet marks forward tcp sport 25 meta mark and 0xff == 0x19 counter name marked";

/// Somebody else's bits in the mark are left to them; value and mask are the policy's.
#[test(root)]
fn bits_of_the_mark_outside_of_the_mask_stay_as_they_were() -> Result<()> {
    let lab = Marks::new(&["inside"])?;
    let gateway = &lab.network.gateway;
    lab.filter.set(&["mark.value=0x2a", "mark.mask=0x3f"])?;
    // 0x05 lies in the mask, 0x140 outside.
    gateway.nft(
        "add table inet marks
         add chain inet marks forward { type filter hook forward priority 0; }
         add rule inet marks forward tcp sport 25 meta mark set 0x145",
    )?;
    let classes = Classes::new(gateway, "inside", u32::MAX, 0x16a)?;
    lab.plain(SERVER_V4)?;
    ensure!(classes.read()?.0 == 0);
    lab.marked(SERVER_V4)?;
    ensure!(classes.read()?.0 >= 4, "{:?}", classes.read()?);
    Ok(())
}
