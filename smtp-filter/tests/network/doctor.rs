//! What `doctor` says of each bad situation, made for real in namespaces of its own, and of a good one. Needs root.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    programs::{
        LinkOrder, SchedClassifier, TcAttachType, Xdp, XdpMode,
        tc::{NlOptions, TcAttachOptions, TcHandle},
    },
};
use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope, write};
use serde_json::Value;
use smtp_filter_testkit::{
    Client, Filter, MailServer, Namespace, Network, SERVER_V4, device_of_kind,
    lab::{copy_program, counted, filter, wait_until},
    need, send_by_esmtp,
};

/// Nobody: a user without any privilege.
const NOBODY: u32 = 65534;
/// `XDP_PASS` and `TC_ACT_OK`: on, and at once.
const XDP_PASS: i32 = 2;
const TC_ACT_OK: i32 = 0;
/// GRE with its own header (linux/if_arp.h), which the datapath does not read.
const ARPHRD_IPGRE: u16 = 778;

/// What a program of somebody else looks like: an object whose one program returns this number.
fn object(section: &str, returned: i32) -> Result<Vec<u8>> {
    let mut object = write::Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    // r0 = NUMBER; exit
    let code = [[0xb7, 0, 0, 0].as_slice(), &returned.to_le_bytes(), &[0x95, 0, 0, 0, 0, 0, 0, 0]].concat();
    for (name, bytes, symbol, kind) in
        [(section, code.as_slice(), "foreign", SymbolKind::Text), ("license", b"GPL\0", "_license", SymbolKind::Data)]
    {
        let kind_of_section =
            if kind == SymbolKind::Text { object::SectionKind::Text } else { object::SectionKind::Data };
        let id = object.add_section(Vec::new(), name.into(), kind_of_section);
        object.append_section_data(id, bytes, 8);
        object.add_symbol(write::Symbol {
            name: symbol.into(),
            value: 0,
            size: bytes.len() as u64,
            kind,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: write::SymbolSection::Section(id),
            flags: SymbolFlags::None,
        });
    }
    Ok(object.write()?)
}

/// Somebody else's classifier, which ends the chain; it goes with the value.
fn foreign_classifier() -> Result<Ebpf> {
    let mut ebpf = Ebpf::load(&object("classifier", TC_ACT_OK)?)?;
    classifier(&mut ebpf)?.load()?;
    Ok(ebpf)
}

fn classifier(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier> {
    Ok(ebpf.program_mut("foreign").context("the program")?.try_into()?)
}

/// Attaches it by TCX before all others.
fn first_by_tcx(ebpf: &mut Ebpf, at: &Namespace, iface: &str, side: TcAttachType) -> Result<()> {
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    at.enter(|| classifier(ebpf)?.attach_with_options(iface, side, options).map_err(anyhow::Error::from))??;
    Ok(())
}

fn doctor(filter: &Filter, words: &[&str]) -> Result<(i32, Vec<Value>, String)> {
    let Output { status, stdout, stderr } = filter.run(&[&["doctor", "--json"], words].concat())?;
    let report: Value =
        serde_json::from_slice(&stdout).with_context(|| String::from_utf8_lossy(&stderr).into_owned())?;
    ensure!(report["v"] == 1);
    let checks = report["checks"].as_array().context("checks")?.clone();
    for check in &checks {
        let keys: Vec<_> = check.as_object().context("an object")?.keys().map(String::as_str).collect();
        ensure!(keys == ["found", "name", "ok", "remedy"], "{check}");
        ensure!(check["ok"].as_bool() == Some(check["remedy"].is_null()), "a remedy where it is not well: {check}");
    }
    Ok((status.code().context("it ends by itself")?, checks, String::from_utf8(stderr)?))
}

/// The names of checks that are not well.
fn bad(checks: &[Value]) -> Vec<&str> {
    checks.iter().filter(|check| check["ok"] != true).filter_map(|check| check["name"].as_str()).collect()
}

/// What is not well, for an error.
fn told(checks: &[Value]) -> String {
    checks.iter().filter(|check| check["ok"] != true).map(|check| format!("\n{check}")).collect()
}

/// `doctor` warns of this and of nothing else, in these words, and `up` could go on: exit code 0.
fn warns(filter: &Filter, words: &[&str], name: &str, found: &str, remedy: &str) -> Result<()> {
    let (code, checks, _) = doctor(filter, words)?;
    ensure!(bad(&checks) == [name], "{name} alone: {}", told(&checks));
    ensure!(code == 0, "a warning is no failure");
    let check = checks.iter().find(|check| check["name"] == name).context("the check")?;
    let says = |key: &str, words: &str| check[key].as_str().is_some_and(|text| text.contains(words));
    ensure!(says("found", found) && says("remedy", remedy), "{check}");
    Ok(())
}

/// Everything is well.
fn is_well(filter: &Filter, words: &[&str]) -> Result<Vec<Value>> {
    let (code, checks, said) = doctor(filter, words)?;
    ensure!(code == 0 && bad(&checks).is_empty(), "{said}{}", told(&checks));
    Ok(checks)
}

fn found<'a>(checks: &'a [Value], name: &str) -> &'a str {
    checks.iter().find(|check| check["name"] == name).and_then(|check| check["found"].as_str()).unwrap_or_default()
}

/// `up` with its words on the standard error.
fn up(filter: &Filter, at: &Namespace, words: &[&str]) -> Result<String> {
    let output = filter.run(&[&["up", "--detach", "--netns", at.name()], words].concat())?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{said}");
    Ok(said)
}

#[test(root)]
fn a_gateway_without_a_gap_is_well_with_the_filter_and_before_it() -> Result<()> {
    let network = Network::new()?;
    let gateway = &network.gateway;
    let filter = filter(gateway)?;
    let before = is_well(&filter, &["--netns", gateway.name()])?;
    for name in ["kernel", "helpers", "maps", "programs", "hook", "bpf_file_system", "jit", "memory", "memory_lock"] {
        assert!(!found(&before, name).is_empty(), "{name}");
    }
    for name in ["link_layer inside", "link_layer outside"] {
        assert!(!found(&before, name).is_empty(), "everything that leads somewhere: {name}");
    }
    assert!(!filter.pin_dir().exists(), "nothing is left of the trial");

    assert_eq!(up(&filter, gateway, &["--iface", "inside"])?, "", "up has nothing to warn of");
    let status = filter.json(&["status"])?;
    let after = is_well(&filter, &[])?;
    assert!(found(&after, "filter").starts_with("on inside, pinned at"), "{}", found(&after, "filter"));
    assert_eq!(found(&after, "link_layer outside"), "", "only the filter's interface");
    assert_eq!(found(&after, "ways_around"), "every way through this machine passes the filter");
    assert_eq!(filter.json(&["status"])?, status, "nothing was touched");
    let text = filter.succeed(&["doctor"])?;
    assert!(text.contains("ok       hook_order inside") && !text.contains('\u{1b}'), "{text}");
    assert!(text.ends_with(" 0 warnings, 0 failures\n"), "{text}");
    Ok(())
}

#[test(root)]
fn xdp_before_and_elsewhere_is_reported() -> Result<()> {
    let network = Network::new()?;
    let (gateway, filter) = (&network.gateway, filter(&network.gateway)?);
    up(&filter, gateway, &["--iface", "inside"])?;
    for (iface, found, remedy) in [
        ("inside", "generic, before the hook", "`ip link set dev inside xdpgeneric off`"),
        ("outside", "on outside: what it redirects to inside passes no hook", "`ip link set dev IF xdp off`"),
    ] {
        let mut ebpf = Ebpf::load(&object("xdp", XDP_PASS)?)?;
        let xdp: &mut Xdp = ebpf.program_mut("foreign").context("the program")?.try_into()?;
        xdp.load()?;
        gateway.enter(|| xdp.attach(iface, XdpMode::Skb).map(drop).map_err(anyhow::Error::from))??;
        let number = format!("XDP program {}, ", xdp.info()?.id());
        warns(&filter, &[], "xdp inside", found, remedy)?;
        warns(&filter, &[], "xdp inside", &number, remedy)?;
        drop(ebpf);
        is_well(&filter, &[])?;
    }
    Ok(())
}

#[test(root)]
fn whoever_is_ahead_at_the_same_hook_is_reported() -> Result<()> {
    let network = Network::new()?;
    let gateway = &network.gateway;
    let remedy = "return TCX_NEXT";

    // By TCX: the filter was the first, until somebody else went before it.
    let filter = filter(gateway)?;
    up(&filter, gateway, &["--iface", "inside", "--hook", "tcx"])?;
    let mut foreign = foreign_classifier()?;
    first_by_tcx(&mut foreign, gateway, "inside", TcAttachType::Ingress)?;
    let who = format!("TCX program {} \"foreign\" at ingress", classifier(&mut foreign)?.info()?.id());
    warns(&filter, &[], "hook_order inside", &who, remedy)?;
    drop(foreign);
    is_well(&filter, &[])?;

    // At egress the filter goes last: who is there already is ahead, and up says so.
    filter.down()?;
    let mut foreign = foreign_classifier()?;
    first_by_tcx(&mut foreign, gateway, "inside", TcAttachType::Egress)?;
    let said = up(&filter, gateway, &["--iface", "inside", "--hook", "tcx"])?;
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("smtp-filter: warning: hook_order inside: ahead of the filter: TCX program"), "{said}");
    assert!(said.contains(" at egress; ") && said.contains(remedy), "{said}");
    filter.down()?;

    // By clsact: all of TCX is ahead, and filters of lower priority.
    up(&filter, gateway, &["--iface", "inside", "--hook", "clsact"])?;
    warns(&filter, &[], "hook_order inside", "\"foreign\" at egress", remedy)?;
    drop(foreign);
    is_well(&filter, &[])?;

    // The newest filter of a priority is the first of them.
    let mut foreign = foreign_classifier()?;
    gateway.enter(|| -> Result<()> {
        let options = NlOptions { priority: 1, handle: TcHandle::from(5), classid: None };
        let program = classifier(&mut foreign)?;
        program.attach_with_options("inside", TcAttachType::Ingress, TcAttachOptions::Netlink(options))?;
        Ok(())
    })??;
    warns(&filter, &[], "hook_order inside", "the filter of priority 1 at ingress", remedy)?;
    Ok(())
}

#[test(root)]
fn a_macvlan_passes_its_parents_hooks_and_not_the_other_way_round() -> Result<()> {
    let network = Network::new()?;
    let gateway = &network.gateway;
    let guests = [Namespace::new("one")?, Namespace::new("two")?];
    for (guest, at) in guests.iter().zip(["198.51.100.31/24", "198.51.100.32/24"]) {
        gateway.ip(&[
            "link add guest link outside type macvlan mode bridge",
            &format!("link set guest netns {}", guest.name()),
        ])?;
        guest.ip(&[&format!("address add {at} dev guest"), "link set guest up"])?;
    }
    let filter = filter(gateway)?;
    up(&filter, gateway, &["--iface", "outside"])?;
    // To the wire, and from one macvlan to the other: the parent's hooks see both.
    let _server = MailServer::start(&network.server)?;
    send_by_esmtp(&guests[0], SERVER_V4, "to the wire")?;
    let (seen, _) = counted(&filter, "commands.ehlo")?;
    let _other = MailServer::start(&guests[1])?;
    let other: SocketAddr = "198.51.100.32:25".parse()?;
    send_by_esmtp(&guests[0], other, "to a sibling")?;
    wait_until("both are counted", || Ok(seen == 1 && counted(&filter, "commands.ehlo")?.0 == 2))?;

    gateway.ip(&["link add child link outside type macvlan mode bridge", "link set child up"])?;
    let checks = is_well(&filter, &[])?;
    assert_eq!(found(&checks, "macvlan outside"), "child on it, seen here too");
    warns(
        &filter,
        &["--netns", gateway.name(), "--iface", "child", "--iface", "inside", "--iface", "outside"],
        "macvlan child",
        "macvlan of outside: it sees its own share",
        "put the filter on outside",
    )
}

#[test(root)]
fn a_port_of_a_bridge_names_the_others() -> Result<()> {
    let namespace = Namespace::new("bridge")?;
    namespace.ip(&[
        "link add br0 type bridge",
        "link add port1 type veth peer name guest1",
        "link add port2 type veth peer name guest2",
        "link set port1 master br0 up",
        "link set port2 master br0 up",
        "link set br0 up",
        "address add 192.0.2.1/24 dev br0",
    ])?;
    let filter = filter(&namespace)?;
    let here = ["--netns", namespace.name()];
    warns(
        &filter,
        &[&here[..], &["--iface", "port1"]].concat(),
        "bridge port1",
        "a port of br0: what passes between br0 itself and its ports port2 does not pass here",
        "--iface port1 --iface port2",
    )?;
    warns(
        &filter,
        &here,
        "bridge br0",
        "from port to port (port1, port2)",
        "put the filter on the ports: --iface port1 --iface port2",
    )?;
    let checks = is_well(&filter, &[&here[..], &["--iface", "port1", "--iface", "port2"]].concat())?;
    assert_eq!(found(&checks, "bridge port2"), "member of br0, with the filter everywhere in it");
    Ok(())
}

#[test(root)]
fn other_ways_out_and_through_are_reported() -> Result<()> {
    let network = Network::new()?;
    let gateway = &network.gateway;
    gateway.ip(&["route add default via 198.51.100.25"])?;
    let filter = filter(gateway)?;
    up(&filter, gateway, &["--iface", "outside"])?;
    is_well(&filter, &[])?;
    gateway.ip(&["route add default via 192.0.2.10 metric 900"])?;
    warns(
        &filter,
        &[],
        "uplinks",
        "a default route leaves by inside too, where the filter is not",
        "--iface outside --iface inside",
    )?;
    gateway.ip(&["route delete default via 192.0.2.10 metric 900"])?;
    is_well(&filter, &[])?;

    // The same in another table, that a rule leads to.
    gateway.ip(&["route add default via 192.0.2.10 table 77", "rule add fwmark 5 table 77"])?;
    warns(&filter, &[], "uplinks", "by inside too", "--iface outside --iface inside")?;
    gateway.ip(&["rule delete fwmark 5 table 77"])?;
    is_well(&filter, &[])?;

    gateway.ip(&[
        "link add dmz type veth peer name guest",
        "link set guest up",
        "link set dmz up",
        "address add 203.0.113.1/24 dev dmz",
    ])?;
    warns(
        &filter,
        &[],
        "ways_around",
        "what is forwarded between dmz, inside does not pass the filter",
        "--iface outside --iface dmz --iface inside",
    )?;
    gateway.sysctl("ipv4/ip_forward", "0")?;
    gateway.sysctl("ipv6/conf/all/forwarding", "0")?;
    is_well(&filter, &[])?;
    Ok(())
}

#[test(root)]
fn a_prefix_that_is_reached_past_the_filter_is_reported() -> Result<()> {
    let network = Network::new()?;
    let gateway = &network.gateway;
    let filter = filter(gateway)?;
    up(&filter, gateway, &["--iface", "inside"])?;
    let remedy = "--iface inside --iface outside";
    for (routes, prefix, way_back) in [
        (
            ["route add 10.0.0.0/8 via 192.0.2.10", "route add 10.0.0.0/8 via 198.51.100.25 metric 50"],
            "10.0.0.0/8",
            ["route delete 10.0.0.0/8 via 192.0.2.10", "route delete 10.0.0.0/8 via 198.51.100.25 metric 50"],
        ),
        (
            ["route add 10.7.0.0/16 nexthop via 192.0.2.10 nexthop via 198.51.100.25", "rule add fwmark 5 table 77"],
            "10.7.0.0/16",
            ["route delete 10.7.0.0/16", "rule delete fwmark 5 table 77"],
        ),
        (
            ["route add 192.0.2.0/24 via 198.51.100.25 table 77", "rule add fwmark 5 table 77"],
            "192.0.2.0/24",
            ["route delete 192.0.2.0/24 table 77", "rule delete fwmark 5 table 77"],
        ),
    ] {
        gateway.ip(&routes)?;
        let found = format!("{prefix} is reached by inside and by outside");
        warns(&filter, &[], "asymmetric_routes", &found, remedy).with_context(|| prefix.to_owned())?;
        gateway.ip(&way_back)?;
        is_well(&filter, &[])?;
    }
    gateway.sysctl("ipv4/conf/inside/rp_filter", "1")?;
    assert!(found(&is_well(&filter, &[])?, "asymmetric_routes").ends_with("inside strictly"));
    Ok(())
}

#[test(root)]
fn what_is_encrypted_before_the_hook_is_reported() -> Result<()> {
    let network = Network::new()?;
    let gateway = &network.gateway;
    let filter = filter(gateway)?;
    up(&filter, gateway, &["--iface", "outside"])?;
    is_well(&filter, &[])?;
    gateway.ip(&[
        "xfrm policy add src 192.0.2.0/24 dst 198.51.100.0/24 dir out tmpl src 198.51.100.1 dst 198.51.100.25 proto esp \
         mode tunnel",
    ])?;
    warns(&filter, &[], "ipsec", "1 policies for what leaves", "`ip xfrm policy` shows them")
}

#[test(root)]
fn a_flowtable_is_reported() -> Result<()> {
    let network = Network::new()?;
    let gateway = &network.gateway;
    gateway.ip(&["link add br0 type bridge", "link set outside master br0", "link set br0 up"])?;
    gateway.ip(&["address flush dev outside", "address add 198.51.100.1/24 dev br0"])?;
    let rules = "table inet t {\n flowtable fast {\n hook ingress priority 0\n devices = { inside, outside }\n }\n}\n";
    match gateway.nft(rules).map_err(|error| format!("{error:#}")) {
        Ok(()) => {}
        Err(error) if error.contains("not supported") || error.contains("No such file") => {
            return need::skip(format!("this kernel makes no flowtables: {error}"));
        }
        Err(error) => anyhow::bail!(error),
    }
    let filter = filter(gateway)?;
    let checks = is_well(&filter, &["--netns", gateway.name(), "--iface", "inside"])?;
    assert_eq!(found(&checks, "offload inside"), "flowtable t fast in software, seen by the hooks");
    warns(
        &filter,
        &["--netns", gateway.name(), "--iface", "br0"],
        "offload br0",
        "the flowtable t fast forwards on outside, below br0",
        "`nft list flowtables`",
    )
}

#[test(root)]
fn connections_that_nobody_answers_here_are_reported() -> Result<()> {
    let network = Network::new()?;
    let filter = filter(&network.gateway)?;
    up(&filter, &network.gateway, &["--iface", "inside"])?;
    assert_eq!(found(&is_well(&filter, &[])?, "replies"), "no connection has begun yet");
    let nobody: SocketAddr = "198.51.100.99:25".parse()?;
    let tried = network.client.enter(|| TcpStream::connect_timeout(&nobody, Duration::from_millis(200)))?;
    assert!(tried.is_err(), "nobody is there");
    warns(
        &filter,
        &[],
        "replies",
        "of the connections that begin here (1) none is answered here",
        "whether the server answers at all",
    )?;

    let _server = MailServer::start(&network.server)?;
    send_by_esmtp(&network.client, SERVER_V4, "answered")?;
    wait_until("it is well again", || Ok(doctor(&filter, &[])?.1.iter().all(|check| check["ok"] == true)))?;
    Ok(())
}

#[test(root)]
fn connections_that_begin_elsewhere_are_reported() -> Result<()> {
    let network = Network::new()?;
    let _server = MailServer::start(&network.server)?;
    let mut client = Client::connect(&network.client, SERVER_V4)?;
    client.greeting()?;
    let filter = filter(&network.gateway)?;
    up(&filter, &network.gateway, &["--iface", "inside"])?;
    client.command("NOOP")?;
    wait_until("it is counted", || Ok(counted(&filter, "guards.unknown_connection")?.0 > 0))?;
    assert_eq!(found(&is_well(&filter, &[])?, "replies"), "no connection has begun yet", "the grace is for that");
    filter.set(&["guards.unknown_connection.grace=0s"])?;
    client.command("NOOP")?;
    let told = || Ok(!bad(&doctor(&filter, &[])?.1).is_empty());
    wait_until("it is told", told)?;
    warns(&filter, &[], "replies", "segments pass of some that did elsewhere or before", "where both directions pass")
}

#[test(root)]
fn a_filter_that_lost_its_interface_is_reported() -> Result<()> {
    let network = Network::new()?;
    let filter = filter(&network.gateway)?;
    up(&filter, &network.gateway, &["--iface", "inside", "--hook", "tcx"])?;
    for pin in fs::read_dir(filter.pin_dir().join("links"))? {
        let path = pin?.path();
        if path.to_string_lossy().ends_with("-egress") {
            fs::remove_file(path)?;
        }
    }
    wait_until("the link is gone", || Ok(!filter.run(&["status"])?.status.success()))?;
    let remedy = "put it on again, its policy stays: `smtp-filter up --iface inside --detach`";
    warns(&filter, &[], "filter", "but no longer attached to inside", remedy)?;
    filter.up(&["--iface", "inside"])?;
    assert_eq!(filter.json(&["status"])?["attached"], true);
    Ok(())
}

#[test(root)]
fn a_namespace_that_leads_nowhere_asks_for_an_interface() -> Result<()> {
    let namespace = Namespace::new("empty")?;
    let filter = filter(&namespace)?;
    warns(&filter, &["--netns", namespace.name()], "interfaces", "none is up and leads anywhere", "--iface IF")
}

#[test(root)]
fn what_keeps_the_filter_from_working_is_a_failure() -> Result<()> {
    let namespace = Namespace::new("failure")?;
    let filter = filter(&namespace)?;
    let program = filter.command(&[]).get_program().to_owned();
    let output = Command::new(&program).args(["doctor", "--json", "--pin-dir", "/proc/smtp-filter"]).output()?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(said, "smtp-filter: doctor: the filter cannot work here before this is mended: bpf_file_system\n");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let check = report["checks"].as_array().into_iter().flatten().find(|check| check["name"] == "bpf_file_system");
    let check = check.context("the check")?;
    assert!(check["found"].as_str().is_some_and(|found| found.contains("is not in a BPF file system")), "{check}");
    assert!(check["remedy"].as_str().is_some_and(|remedy| remedy.contains("--pin-dir below /sys/fs/bpf")), "{check}");

    // A link layer that the datapath cannot read.
    let _device = device_of_kind(&namespace, "strange", ARPHRD_IPGRE)?;
    let (code, checks, said) = doctor(&filter, &["--netns", namespace.name(), "--iface", "strange"])?;
    assert_eq!((code, bad(&checks)), (1, vec!["link_layer strange"]), "{checks:#?}");
    assert!(said.ends_with("before this is mended: link_layer strange\n"), "{said}");
    Ok(())
}

#[test(root)]
fn nothing_is_reported_that_was_not_looked_at() -> Result<()> {
    let namespace = Namespace::new("nobody")?;
    let filter = filter(&namespace)?;
    let program = filter.command(&[]).get_program().to_owned();
    let copy = std::env::temp_dir().join(format!("smtpf-{}-doctor", std::process::id()));
    copy_program(&program, &copy)?;
    let output = Command::new(&copy).args(["doctor", "--json"]).current_dir("/").uid(NOBODY).gid(NOBODY).output();
    fs::remove_file(&copy)?;
    let Output { status, stdout, stderr } = output?;
    assert_eq!(status.code(), Some(1));
    let said = String::from_utf8(stderr)?;
    assert!(said.ends_with("before this is mended: privileges\n"), "{said}");
    let report: Value = serde_json::from_slice(&stdout)?;
    let checks = report["checks"].as_array().context("checks")?;
    for name in ["helpers", "programs", "hook", "filter"] {
        assert_eq!(found(checks, name), "not looked at: that needs root");
    }
    assert!(found(checks, "kernel").contains("is needed") && !found(checks, "memory").is_empty());
    Ok(())
}
