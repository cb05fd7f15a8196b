//! Small tables under real connections: closed ones make room, and mails in progress outlive a flood.
//!
//! Invariants: I8.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use smtp_filter_testkit::{
    Client, Filter, Namespace, Network, SERVER_V4, SERVER_V6,
    lab::{SOON, all_counters, counted, filter, wait_until},
};

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

// Beside others the last segments of a connection may come after 64 more have begun.
#[test(root, alone)]
fn connections_that_close_make_room() -> Result<()> {
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

#[test(root)]
fn mails_in_progress_outlive_a_flood_of_handshakes() -> Result<()> {
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

/// A connection from one of several addresses of the client.
fn connect_from(from: &Namespace, source: Ipv4Addr) -> Result<BufReader<TcpStream>> {
    let stream = from.enter(|| -> Result<TcpStream> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddrV4::new(source, 0))?;
        connect(&socket, &SERVER_V4)?;
        Ok(socket.into())
    })??;
    stream.set_read_timeout(Some(SOON))?;
    Ok(BufReader::new(stream))
}

/// Says something, and reads a reply of one line that has this code.
fn exchange(client: &mut BufReader<TcpStream>, bytes: &[u8], code: &str) -> Result<()> {
    client.get_mut().write_all(bytes)?;
    let mut reply = String::new();
    client.read_line(&mut reply)?;
    ensure!(reply.starts_with(code), "{}: {reply:?}", String::from_utf8_lossy(bytes));
    Ok(())
}

#[test(root)]
fn two_hundred_mails_outlive_a_flood_of_one_and_a_half_tables() -> Result<()> {
    const ADDRESSES: u8 = 10;
    const MAIL: [&[u8]; 3] = [b"EHLO a.example\r\n", b"MAIL FROM:<a@a.example>\r\n", b"RCPT TO:<b@b.example>\r\n"];
    let network = Network::new()?;
    serve_all(&network.server, SERVER_V4)?;
    let filter = up(&network.gateway, "1000")?;
    let client = &network.client;
    let address = |number: u8| Ipv4Addr::new(192, 0, 2, 20 + number);
    for number in 0..ADDRESSES {
        client.ip(&[&format!("address add {}/24 dev eth0", address(number))])?;
    }
    let mut mails = Vec::new();
    for number in 0..200 {
        let mut mail = connect_from(client, address(number % ADDRESSES))?;
        exchange(&mut mail, b"", "220")?;
        MAIL.iter().try_for_each(|line| exchange(&mut mail, line, "250"))?;
        if number % 2 == 0 {
            exchange(&mut mail, b"DATA\r\n", "354")?;
        }
        mails.push(mail);
    }
    let mut flood = Vec::new();
    for number in 0..1500 {
        let mut other = connect_from(client, Ipv4Addr::new(192, 0, 2, 10))?;
        exchange(&mut other, b"", "220").with_context(|| format!("connection {number}"))?;
        // One in three is silent, one says EHLO, one begins a mail.
        MAIL.iter().take(number % 3).try_for_each(|line| exchange(&mut other, line, "250"))?;
        flood.push(other);
    }
    for (number, mail) in mails.iter_mut().enumerate() {
        if number % 2 == 1 {
            exchange(mail, b"DATA\r\n", "354").with_context(|| format!("mail {number}"))?;
        }
        exchange(mail, b"Subject: x\r\n\r\ntext\r\n.\r\n", "250").with_context(|| format!("mail {number}"))?;
    }
    let live = live(&filter)?;
    ensure!(live <= 1000, "{live} in a table of 1,000");
    filter.down()?;
    Ok(())
}
