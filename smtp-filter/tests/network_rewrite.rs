//! Rewriting on every path of a segment: both ends get the bytes that the policy asks for, and the checksums are right
//! wherever they are made and checked.
//!
//! Over plain veth no checksum is ever looked at. With the transmit checksum off in front of the filter the sender writes
//! a whole one, which the filter has to correct; with it off behind the filter the kernel makes one out of what the filter
//! left in the field. The receiver looks at both.

mod lab;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use lab::{SOON, all_counters, filter, is_root, rewriting::wrong_checksums};
use smtp_filter_testnet::{GATEWAY_V4, GATEWAY_V6, Namespace, Network, SERVER_V4, SERVER_V6};

const BANNER: &str = "220 mx.example ESMTP Sendmail 8.20\r\n";
const VEILED: &str = "220 mx.example ESMTP XXXXXXXX XXXX\r\n";
const KEYWORDS: &str = "250-mx.example\r\n250-SIZE 9\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 CHUNKING\r\n";
const HIDDEN: &str = "250-mx.example\r\n250-SIZE 9\r\n250-XXXXXXXX\r\n250-AUTH PLAIN\r\n250 CHUNKING\r\n";

/// Commands in one write, about 7,000 bytes of them: a merged segment with masked lines at every kind of offset.
fn group() -> (String, String) {
    let (mut sent, mut expected) = (String::new(), String::new());
    for i in 0..220 {
        let argument = "y".repeat(i % 37);
        let (line, becomes) = match i % 3 {
            0 => (format!("VRFY {argument}"), "X".repeat(argument.len() + 5)),
            1 => (format!("NOOP {argument}"), format!("NOOP {argument}")),
            _ => (format!("expn{argument}"), format!("expn{argument}")),
        };
        sent += &format!("{line}\r\n");
        expected += &format!("{becomes}\r\n");
    }
    (sent, expected)
}

/// A server that shows its banner, answers EHLO, and returns all that it read until the client closed.
fn serve(listener: &TcpListener) -> Result<Vec<u8>> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(BANNER.as_bytes())?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut seen = Vec::new();
    reader.read_until(b'\n', &mut seen)?;
    stream.write_all(KEYWORDS.as_bytes())?;
    reader.read_to_end(&mut seen)?;
    Ok(seen)
}

/// A client that says EHLO and the group; returns what it read.
fn talk(to: SocketAddr) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&to, SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.set_nodelay(true)?;
    let mut seen = vec![0; BANNER.len()];
    stream.read_exact(&mut seen)?;
    stream.write_all(b"EHLO client.example\r\n")?;
    let mut reply = vec![0; KEYWORDS.len()];
    stream.read_exact(&mut reply)?;
    seen.extend(reply);
    stream.write_all(group().0.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    Ok(seen)
}

/// One dialogue from one namespace to a server in another; both see what the policy says.
fn rewritten(client: &Namespace, server: &Namespace, to: SocketAddr) -> Result<()> {
    let listener = server.enter(move || TcpListener::bind(to))?.context("listen")?;
    let (read, said) = thread::scope(|scope| {
        let read = scope.spawn(|| serve(&listener));
        let said = client.enter(|| talk(to))?;
        anyhow::Ok((read.join().expect("no panic")?, said?))
    })?;
    ensure!(String::from_utf8(said)? == format!("{VEILED}{HIDDEN}"), "what the client saw");
    ensure!(String::from_utf8(read)? == format!("EHLO client.example\r\n{}", group().1), "what the server saw");
    for namespace in [client, server] {
        ensure!(wrong_checksums(namespace)? == 0, "checksums");
    }
    Ok(())
}

#[test]
fn bytes_and_checksums_are_right_on_every_path() -> Result<()> {
    if !is_root("bytes_and_checksums_are_right_on_every_path") {
        return Ok(());
    }
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
            filter.set(&["mode=enforce", "commands.vrfy=mask", "extensions.starttls=mask", "banner.show=host"])?;
            for to in to {
                let what =
                    || format!("{way}, {to}, checksum by the device {before} {behind}: {}", all_counters(&filter));
                rewritten(from, at, to).with_context(what)?;
            }
        }
    }
    Ok(())
}
