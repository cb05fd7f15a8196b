//! Small tables under real connections: closed ones make room, and mails in progress outlive a flood.

mod lab;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use lab::{SOON, all_counters, counted, filter, is_root, wait_until};
use smtp_filter_testnet::{Client, Filter, Namespace, Network, SERVER_V4, SERVER_V6};

/// Serves everybody at the same time, until the test ends.
fn serve_all(namespace: &Namespace, address: SocketAddr) -> Result<()> {
    let listener = namespace.enter(move || TcpListener::bind(address))??;
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            // Whoever finds no thread is not served.
            let _ = thread::Builder::new().stack_size(1 << 16).spawn(move || serve(stream));
        }
    });
    Ok(())
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"220 server.example ESMTP\r\n")?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut in_data = false;
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match line.as_slice() {
            b".\r\n" if in_data => b"250 Taken\r\n",
            _ if in_data => continue,
            b"DATA\r\n" => b"354 Go\r\n",
            _ => b"250 Ok\r\n",
        };
        in_data = reply.starts_with(b"354");
        stream.write_all(reply)?;
    }
}

fn greeted(from: &Namespace, to: SocketAddr) -> Result<Client> {
    let mut client = Client::connect(from, to)?;
    client.patience(SOON)?;
    ensure!(client.greeting()?.code == 220);
    Ok(client)
}

fn up(gateway: &Namespace, connections: &str) -> Result<Filter> {
    let filter = filter(gateway)?;
    filter.up(&["--iface", "inside", "--profile", "hardened", "--connections", connections])?;
    filter.set(&["guards.unknown_connection.grace=0s"])?;
    Ok(filter)
}

fn say(client: &mut Client, line: &str, code: u16) -> Result<()> {
    let reply = client.command(line)?;
    ensure!(reply.code == code, "{line}: {reply:?}");
    Ok(())
}

fn live(filter: &Filter) -> Result<usize> {
    Ok(filter.json(&["connections"])?["connections"].as_array().context("connections")?.len())
}

#[test]
fn connections_that_close_make_room() -> Result<()> {
    if !is_root("connections_that_close_make_room") {
        return Ok(());
    }
    let network = Network::new()?;
    for address in [SERVER_V4, SERVER_V6] {
        serve_all(&network.server, address)?;
    }
    let filter = up(&network.gateway, "64")?;
    let mut honest = greeted(&network.client, SERVER_V4)?;
    say(&mut honest, "EHLO idle.example", 250)?;
    for at in 0..1500 {
        let address = if at % 2 == 0 { SERVER_V4 } else { SERVER_V6 };
        let mut client = greeted(&network.client, address).with_context(|| format!("connection {at}"))?;
        match at % 3 {
            0 => drop(client),
            1 => client.abort()?,
            _ => {
                say(&mut client, "EHLO short.example", 250)?;
                drop(client);
            }
        }
    }
    say(&mut honest, "NOOP", 250)?;
    // Those that were reset give way when it is their turn, and count as ended.
    wait_until("the honest one is left", || Ok(live(&filter)? == 1))?;
    for reason in ["guards.unknown_connection", "stream.table_full", "stream.handshake"] {
        ensure!(counted(&filter, reason)?.0 == 0, "{}", all_counters(&filter));
    }
    filter.down()?;
    Ok(())
}

#[test]
fn mails_in_progress_outlive_a_flood_of_handshakes() -> Result<()> {
    if !is_root("mails_in_progress_outlive_a_flood_of_handshakes") {
        return Ok(());
    }
    let network = Network::new()?;
    serve_all(&network.server, SERVER_V4)?;
    let filter = up(&network.gateway, "100")?;
    let mut mails = Vec::new();
    for _ in 0..40 {
        let mut client = greeted(&network.client, SERVER_V4)?;
        for line in ["EHLO honest.example", "MAIL FROM:<a@a.example>", "RCPT TO:<b@b.example>"] {
            say(&mut client, line, 250)?;
        }
        if mails.len() % 2 == 0 {
            say(&mut client, "DATA", 354)?;
        }
        mails.push(client);
    }
    let mut flood = Vec::new();
    for at in 0..400 {
        let mut client = greeted(&network.client, SERVER_V4).with_context(|| format!("connection {at}"))?;
        if at % 2 == 0 {
            say(&mut client, "EHLO flood.example", 250)?;
        }
        flood.push(client);
    }
    for (at, client) in mails.iter_mut().enumerate() {
        if at % 2 == 1 {
            say(client, "DATA", 354)?;
        }
        client.write(b"Subject: x\r\n\r\ntext\r\n.\r\n")?;
        ensure!(client.reply()?.code == 250, "mail {at}");
    }
    let (live, closed) = (live(&filter)?, filter.json(&["status"])?);
    ensure!(live <= 100, "{live} in a table of 100: {closed}");
    filter.down()?;
    Ok(())
}
