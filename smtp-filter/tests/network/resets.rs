//! A reset reaches both ends at once, at either hook, and in the end also where a RST is lost.
//!
//! Invariants: I3, I7.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use smtp_filter_testkit::{
    Client, Fate, Filter, Judge, Namespace, Network, Running, SERVER_V4, SERVER_V6,
    lab::{self, Far, LATER, SOON, counted, event, events, filter, flags, mail, straight, stuffed, wait_until},
};

const RST: u8 = 4;
const EHLO: &[u8] = b"EHLO client.example\r\n";

/// A server that answers every line and says how its only connection ended, and what it got.
struct Server {
    end: Receiver<std::io::Result<Vec<u8>>>,
    /// Where this is used the server speaks once more, without being asked.
    speak: Sender<()>,
    address: SocketAddr,
}

impl Server {
    fn start(namespace: &Namespace, address: SocketAddr) -> Result<Self> {
        let listener = namespace.enter(move || TcpListener::bind(address))??;
        let (tell, end) = channel();
        let (speak, asked) = channel();
        thread::spawn(move || {
            let _ = tell.send(serve(&listener, &asked));
        });
        Ok(Self { end, speak, address })
    }

    /// Its connection was reset, and no EHLO had come before.
    fn was_reset(&self) -> Result<()> {
        let end = self.end.recv_timeout(LATER).context("the server does not notice")?;
        let error = end.err().context("the connection ended as if nothing were")?;
        ensure!(error.kind() == std::io::ErrorKind::ConnectionReset, "{error}");
        Ok(())
    }
}

fn serve(listener: &TcpListener, asked: &Receiver<()>) -> std::io::Result<Vec<u8>> {
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let speaker = stream.try_clone()?;
    let mut lines = BufReader::new(stream);
    (&speaker).write_all(b"220 server.example ESMTP\r\n")?;
    let (mut got, mut is_text) = (Vec::new(), false);
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(got);
        }
        got.extend(&line);
        if line.to_ascii_uppercase().starts_with(b"EHLO") && !is_text {
            return Err(std::io::Error::other("EHLO has arrived"));
        }
        if line.starts_with(b"QUIET") {
            // Says nothing until it is asked to.
            let _ = asked.recv();
            (&speaker).write_all(b"421 gone\r\n")?;
            // What becomes of that is seen in reading on.
            continue;
        }
        let begins_text = line.starts_with(b"DATA") && !is_text;
        is_text = (is_text || begins_text) && line != b".\r\n";
        if begins_text {
            (&speaker).write_all(b"354 go\r\n")?;
        } else if !is_text {
            (&speaker).write_all(b"250 Ok\r\n")?;
        }
    }
}

fn greeted(from: &Namespace, to: SocketAddr) -> Result<Client> {
    let mut client = Client::connect(from, to)?;
    client.patience(SOON)?;
    ensure!(client.greeting()?.code == 220);
    Ok(client)
}

/// The next thing that the client notices is a reset.
fn client_was_reset(client: &mut Client) -> Result<()> {
    client.patience(LATER)?;
    let error = client.reply().err().context("there is a reply")?;
    ensure!(Client::was_reset(&error), "{error:#}");
    Ok(())
}

/// The same, or the reply to a mail comes before it.
fn client_was_reset_after_a_reply(client: &mut Client) -> Result<()> {
    client.patience(LATER)?;
    match client.reply() {
        Ok(reply) => {
            ensure!(reply.code == 250, "{reply:?}");
            client_was_reset(client)
        }
        Err(error) => {
            ensure!(Client::was_reset(&error), "{error:#}");
            Ok(())
        }
    }
}

fn up(gateway: &Namespace, iface: &str) -> Result<(Filter, Running)> {
    let filter = filter(gateway)?;
    filter.up(&["--iface", iface, "--profile", "drop-esmtp"])?;
    filter.set(&["commands.ehlo=reset"])?;
    let events = events(&filter)?;
    Ok((filter, events))
}

#[test(root)]
fn both_ends_see_a_reset_at_either_hook() -> Result<()> {
    let network = Network::new()?;
    // From the client a segment comes in by `inside` and goes out by `outside`.
    for iface in ["inside", "outside"] {
        let (filter, events) = up(&network.gateway, iface)?;
        let mut next = 0;
        for address in [SERVER_V4, SERVER_V6] {
            let server = Server::start(&network.server, address)?;
            let mut client = greeted(&network.client, address)?;
            ensure!(client.command("NOOP")?.code == 250);
            client.write(EHLO)?;
            client_was_reset(&mut client)?;
            server.was_reset()?;
            let told;
            (told, next) = event(&events, next, "commands.ehlo", "reset")?;
            ensure!(told["enforced"] == true, "{told}");
        }
        // Neither end had to ask a second time.
        ensure!(counted(&filter, "commands.ehlo")?.0 == 2, "{}", lab::all_counters(&filter));
        ensure!(counted(&filter, "stream.after_reset")?.0 == 0, "{}", lab::all_counters(&filter));
        filter.down()?;
    }
    Ok(())
}

/// A RST made of a large segment, whose checksum is the device's business: it must not become wrong, nor large.
#[test(root)]
fn a_reset_made_of_a_large_segment_is_accepted() -> Result<()> {
    let network = Network::new()?;
    for checksums_by_device in [true, false] {
        for (namespace, iface) in [
            (&network.client, "eth0"),
            (&network.gateway, "inside"),
            (&network.gateway, "outside"),
            (&network.server, "eth0"),
        ] {
            namespace.offloads(iface, &[("tx", checksums_by_device)])?;
        }
        let (filter, _events) = up(&network.gateway, "inside")?;
        for address in [SERVER_V4, SERVER_V6] {
            let server = Server::start(&network.server, address)?;
            let mut client = greeted(&network.client, address)?;
            ensure!(client.command("DATA")?.code == 354);
            client.write(&[stuffed(&mail(40_000, 4)), EHLO.to_vec()].concat())?;
            // Where the mail's end came in a segment before the one that is cut, its reply may come first.
            client_was_reset_after_a_reply(&mut client)?;
            server.was_reset()?;
        }
        let (segments, bytes) = counted(&filter, "stream.dropped_command")?;
        println!("checksums by the device: {checksums_by_device}: {segments} segments of {bytes} bytes were cut");
        filter.down()?;
    }
    Ok(())
}

/// Loses the first RST.
fn first_reset_lost() -> Judge {
    let mut lost = false;
    Box::new(move |datagram| {
        let this = flags(datagram) & RST != 0 && !lost;
        lost |= this;
        if this { Fate::Lose } else { Fate::Pass }
    })
}

/// The client sends its segment again, and gets its RST made from that.
#[test(root)]
fn where_the_clients_rst_is_lost_it_gets_another_one() -> Result<()> {
    for address in [SERVER_V4, SERVER_V6] {
        let network = Network::new()?;
        let far = Far::new(&network, [straight(), first_reset_lost()])?;
        let (filter, _events) = up(&network.gateway, "inside")?;
        let server = Server::start(&network.server, address)?;
        let mut client = greeted(&far.client, address)?;
        client.write(EHLO)?;
        server.was_reset()?;
        client_was_reset(&mut client)?;
        ensure!(far.line.damage(1).0 == 1, "one RST was lost");
        ensure!(counted(&filter, "stream.after_reset")?.0 > 0, "{}", lab::all_counters(&filter));
    }
    Ok(())
}

/// The server has nothing to send again: what it says next is answered. Here the server sits beyond the bad line.
#[test(root)]
fn where_the_servers_rst_is_lost_it_gets_another_one() -> Result<()> {
    for address in ["203.0.113.10:25", "[2001:db8:3::10]:25"] {
        let network = Network::new()?;
        let far = Far::new(&network, [straight(), first_reset_lost()])?;
        let (filter, _events) = up(&network.gateway, "inside")?;
        let server = Server::start(&far.client, address.parse()?)?;
        let mut client = greeted(&network.server, server.address)?;
        client.write(b"QUIET\r\n")?;
        client.write(EHLO)?;
        client_was_reset(&mut client)?;
        wait_until("the server's RST is lost", || Ok(far.line.damage(1).0 == 1))?;
        server.speak.send(())?;
        server.was_reset()?;
        ensure!(counted(&filter, "stream.after_reset")?.0 > 0, "{}", lab::all_counters(&filter));
    }
    Ok(())
}

/// I3: who is on neither end resets nothing: a RST beside the window is challenged, and the filter keeps the
/// connection.
#[test(root)]
fn a_connection_that_was_not_reset_lives_on_beside_one_that_was() -> Result<()> {
    let network = Network::new()?;
    let (_filter, _events) = up(&network.gateway, "inside")?;
    let first = Server::start(&network.server, SERVER_V4)?;
    let mut cut = greeted(&network.client, SERVER_V4)?;
    let second = Server::start(&network.server, SERVER_V6)?;
    let mut kept = greeted(&network.client, SERVER_V6)?;
    cut.write(EHLO)?;
    client_was_reset(&mut cut)?;
    first.was_reset()?;
    ensure!(kept.command("NOOP")?.code == 250);
    drop(kept);
    let got = second.end.recv_timeout(SOON)??;
    ensure!(got == b"NOOP\r\n", "{got:?}");
    Ok(())
}

/// Without the filter nobody is reset: what the other tests see is its doing.
#[test(root)]
fn without_the_filter_ehlo_arrives() -> Result<()> {
    let network = Network::new()?;
    let server = Server::start(&network.server, SERVER_V4)?;
    let mut client = greeted(&network.client, SERVER_V4)?;
    client.write(EHLO)?;
    let end = server.end.recv_timeout(SOON)?;
    ensure!(end.is_err_and(|error| error.to_string() == "EHLO has arrived"));
    let mut rest = Vec::new();
    let stream: &mut TcpStream = client.stream();
    ensure!(stream.read_to_end(&mut rest).is_ok(), "closed, not reset");
    Ok(())
}
