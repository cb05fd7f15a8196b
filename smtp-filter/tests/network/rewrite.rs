//! Rewriting on every path of a segment: both ends get the bytes that the policy asks for, and the checksums are right
//! wherever they are made and checked.
//!
//! Over plain veth no checksum is ever looked at. With the transmit checksum off in front of the filter the sender
//! writes a whole one, which the filter has to correct; with it off behind the filter the kernel makes one out of what
//! the filter left in the field. The receiver looks at both.
//!
//! Invariants: I5.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use smtp_filter_testkit::{
    GATEWAY_V4, GATEWAY_V6, Network, SERVER_V4, SERVER_V6,
    lab::{
        all_counters, filter,
        pages::Way,
        rewriting::{SETTINGS, both_see},
        texts::Text,
    },
};

/// Bytes of the commands that go out in one write: a merged segment with masked lines at every kind of offset.
const GROUP: usize = 7_000;

/// A reply to EHLO that fits into one segment.
fn keywords() -> Text {
    let mut text = Text::default();
    for line in ["250-mx.example", "250-SIZE 9"] {
        text.add(line, line);
    }
    text.add("250-STARTTLS", "250-XXXXXXXX");
    for line in ["250-AUTH PLAIN", "250 CHUNKING"] {
        text.add(line, line);
    }
    text
}

#[test(root)]
fn bytes_and_checksums_are_right_on_every_path() -> Result<()> {
    for (before, behind) in [(true, true), (false, true), (true, false), (false, false)] {
        let network = Network::new()?;
        let Network { client, gateway, server } = &network;
        // Sender and what is behind the filter change places with the direction.
        for (namespace, iface) in [(client, "eth0"), (server, "eth0")] {
            namespace.offloads(iface, &[("tx", before)])?;
        }
        for iface in ["inside", "outside"] {
            gateway.offloads(iface, &[("tx", behind)])?;
        }
        let local = |address: IpAddr| SocketAddr::new(address, 25);
        for (way, from, at, to, iface) in [
            ("forwarded, filter before", client, server, [SERVER_V4, SERVER_V6], "inside"),
            ("forwarded, filter behind", client, server, [SERVER_V4, SERVER_V6], "outside"),
            ("from the gateway", gateway, server, [SERVER_V4, SERVER_V6], "outside"),
            ("to the gateway", client, gateway, [local(GATEWAY_V4), local(GATEWAY_V6)], "inside"),
        ] {
            let filter = filter(gateway)?;
            filter.up(&["--iface", iface])?;
            filter.set(&SETTINGS)?;
            for to in to {
                let what =
                    || format!("{way}, {to}, checksum by the device {before} {behind}: {}", all_counters(&filter));
                let cut =
                    both_see([from, at], to, Way::Write, &keywords(), &Text::commands(GROUP)).with_context(what)?;
                ensure!(cut == 0, "{cut} words were cut by the ends of segments: {}", what());
            }
        }
    }
    Ok(())
}
