//! Rewriting in segments of every size: groups of commands of 64 KiB, commands far behind in BIG TCP, pages that belong
//! to a file, and segments that begin and end at odd places.
//!
//! As in `rewrite.rs`, checksums are looked at only where somebody makes a whole one: the sender, with the
//! transmit checksum off in front of the filter, or the kernel behind it, with the checksum off there.
//!
//! Invariants: I5.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use smtp_filter_testkit::{
    Network, SERVER_V4, SERVER_V6,
    lab::{
        all_counters, counted,
        pages::Way,
        rewriting::{Rewriting, big_tcp, has_big_tcp_for_ipv4},
        texts::Text,
        wire::Wire,
    },
};

/// Writes, sends a file, splices one, sends without a copy, by IPv4 and IPv6; returns how many words were cut by the
/// ends of segments.
fn by_every_way(network: &Rewriting, text: &Text) -> Result<usize> {
    let mut cut = 0;
    for way in Way::ALL {
        for to in [SERVER_V4, SERVER_V6] {
            cut += network.both_see(to, way, text).with_context(|| format!("{way:?} to {to}"))?;
        }
    }
    Ok(cut)
}

#[test(root)]
fn groups_of_64_kib_arrive_masked_and_in_order() -> Result<()> {
    for behind in [true, false] {
        let network = Rewriting::new(true, behind)?;
        network.open_windows()?;
        let wire = Wire::tap(&network.network.gateway, "inside")?;
        by_every_way(&network, &Text::commands(65_000))?;
        let longest = wire.longest()?;
        ensure!(longest > 60_000, "no segment was longer than {longest}");
    }
    Ok(())
}

/// Commands kept for repeats span a chunk between them: they wait for each other's acknowledgement.
#[test(root)]
fn commands_around_chunks_arrive_masked_and_in_order() -> Result<()> {
    let network = Rewriting::new(true, false)?;
    network.open_windows()?;
    by_every_way(&network, &Text::chunks(&[20_001, 15_000, 25_002]))?;
    Ok(())
}

/// No segment was held back: the long one was rewritten where it stood, and it is `whole` where the kernel does not cut
/// it behind the filter.
fn in_one_piece(network: &Rewriting, text: &Text, to: SocketAddr, longer_than: u32, whole: bool) -> Result<()> {
    let Network { gateway, server, .. } = &network.network;
    let (before, behind) = (Wire::tap(gateway, "inside")?, Wire::tap(server, "eth0")?);
    for way in Way::ALL {
        let cut = network.both_see(to, way, text).with_context(|| format!("{way:?} to {to}"))?;
        ensure!(cut == 0, "{cut} words were cut");
    }
    let longest = [before.longest()?, behind.longest()?];
    let right = longest[0] > longer_than && (longest[1] > longer_than) == whole;
    ensure!(right, "the longest segment to {to} was of {longest:?} bytes before and behind the filter");
    let held = counted(&network.filter, "stream.backlog")?.0 + counted(&network.filter, "stream.unfetched")?.0;
    ensure!(held == 0, "{held} held back: {}", all_counters(&network.filter));
    Ok(())
}

#[test(root)]
fn commands_after_60_000_bytes_are_masked_where_they_are() -> Result<()> {
    for behind in [true, false] {
        let network = Rewriting::new(true, behind)?;
        network.open_windows()?;
        for to in [SERVER_V4, SERVER_V6] {
            for text in [Text::chunk(55_001), Text::mail(55_000)] {
                in_one_piece(&network, &text, to, 60_000, behind)?;
            }
        }
    }
    Ok(())
}

#[test(root)]
fn commands_after_170_000_bytes_are_masked_in_big_tcp() -> Result<()> {
    for behind in [true, false] {
        let network = Rewriting::new(true, behind)?;
        network.open_windows()?;
        let Network { client, gateway, server } = &network.network;
        for (namespace, iface) in [(client, "eth0"), (gateway, "inside"), (gateway, "outside"), (server, "eth0")] {
            big_tcp(namespace, iface)?;
        }
        // The kernel counts the header that says the length of a long datagram of IPv6 to that of each of its segments,
        // and would find them too long to be forwarded.
        for (namespace, iface) in [(gateway, "outside"), (server, "eth0")] {
            namespace.ip(&[&format!("link set {iface} mtu 1600")])?;
        }
        let both = [SERVER_V4, SERVER_V6];
        for to in both.into_iter().filter(|to| to.is_ipv6() || has_big_tcp_for_ipv4()) {
            for text in [Text::chunk(165_001), Text::mail(165_000)] {
                in_one_piece(&network, &text, to, 170_000, behind)?;
            }
        }
    }
    Ok(())
}

#[test(root)]
fn places_and_lengths_may_be_odd() -> Result<()> {
    // Whole checksums in front of the filter: it has to correct each of them.
    let network = Rewriting::new(false, true)?;
    let Network { client, server, .. } = &network.network;
    for timestamps in ["1", "0"] {
        client.sysctl("ipv4/tcp_timestamps", timestamps)?;
        for mtu in [1500, 1399, 1281] {
            for namespace in [client, server] {
                namespace.ip(&[&format!("link set eth0 mtu {mtu}")])?;
            }
            for to in [SERVER_V4, SERVER_V6] {
                // A command in front shifts all that follows by one more.
                for shift in 0..4 {
                    let mut text = Text::default();
                    let noop = format!("NOOP {}", "y".repeat(shift));
                    text.add(&noop, &noop);
                    text.append(Text::commands(6_000));
                    let about = || format!("timestamps {timestamps}, MTU {mtu}, shifted by {shift}, to {to}");
                    network.both_see(to, Way::Write, &text).with_context(about)?;
                }
            }
        }
    }
    Ok(())
}
