//! Chunks that a client sends without waiting for the replies (RFC 3030), through the loaded program, over good lines
//! and bad ones: they arrive bit for bit.
//!
//! Invariants: I5, I6.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use rustix::net::sockopt::set_tcp_congestion;
use smtp_filter_testkit::{
    Fate, Filter, Judge, Namespace, Network, Random, SERVER_V4, SERVER_V6,
    lab::{self, Far, LATER, all_counters, counted, mail, payload, straight},
};

/// Octets of a chunk, and of a mail of such chunks.
const SIZES: [(usize, usize); 4] = [(65_536, 3_000_000), (1024, 1_000_000), (300, 300_000), (30, 60_000)];

/// Takes one mail and returns its octets. All that has come is answered at once.
fn serve(listener: &TcpListener) -> Result<Vec<u8>> {
    let (stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(LATER))?;
    let mut out = &stream;
    let mut lines = BufReader::with_capacity(1 << 16, &stream);
    out.write_all(b"220 server.example ESMTP\r\n")?;
    let (mut octets, mut replies) = (Vec::new(), String::new());
    loop {
        if lines.buffer().is_empty() {
            out.write_all(replies.as_bytes())?;
            replies.clear();
        }
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["BDAT", size, ..] => {
                let at = octets.len();
                octets.resize(at + size.parse::<usize>()?, 0);
                // It may come in parts: what waits for their replies is told of them.
                if lines.buffer().len() < octets.len() - at {
                    out.write_all(replies.as_bytes())?;
                    replies.clear();
                }
                lines.read_exact(&mut octets[at..])?;
                replies += &format!("250 2.0.0 Ok: {size} bytes\r\n");
            }
            ["EHLO", _] => replies += "250-server.example\r\n250 CHUNKING\r\n",
            ["QUIT"] => {
                replies += "221 2.0.0 Bye\r\n";
                out.write_all(replies.as_bytes())?;
                return Ok(octets);
            }
            [] => anyhow::bail!("the connection ended too soon, after {} octets", octets.len()),
            _ => replies += "250 2.1.0 Ok\r\n",
        }
    }
}

/// Sends a mail in chunks of this size, waiting for nothing but the reply to EHLO; returns their number.
fn send(stream: &TcpStream, mail: &[u8], size: usize) -> Result<usize> {
    stream.set_read_timeout(Some(LATER))?;
    stream.set_write_timeout(Some(LATER))?;
    let mut out = stream;
    let mut lines = BufReader::new(stream).lines();
    let mut expect = |code: &str| -> Result<()> {
        let line = lines.next().context("the connection ended")??;
        ensure!(line.starts_with(code), "{line:?} instead of {code}");
        Ok(())
    };
    expect("220")?;
    out.write_all(b"EHLO client.example\r\n")?;
    expect("250-")?;
    expect("250 ")?;
    let count = mail.len().div_ceil(size);
    thread::scope(|scope| {
        let answered = scope.spawn(move || {
            (0..count + 2).try_for_each(|_| expect("250 "))?;
            expect("221 ")
        });
        let mut bytes = b"MAIL FROM:<alice@client.example>\r\nRCPT TO:<bob@server.example>\r\n".to_vec();
        for (number, chunk) in mail.chunks(size).enumerate() {
            let last = if number + 1 == count { " LAST" } else { "" };
            bytes.extend(format!("BDAT {}{last}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
        }
        bytes.extend(b"QUIT\r\n");
        out.write_all(&bytes)?;
        answered.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        Ok(count)
    })
}

fn up(gateway: &Namespace) -> Result<Filter> {
    let filter = lab::filter(gateway)?;
    filter.up(&["--iface", "inside", "--profile", "hardened"])?;
    filter.set(&["extensions.chunking=pass"])?;
    Ok(filter)
}

/// Sends a mail in chunks of each size, with either congestion control.
fn all_sizes(filter: &Filter, from: &Namespace, to: &Namespace, addresses: &[SocketAddr]) -> Result<()> {
    let mut chunks = 0;
    for control in ["cubic", "bbr"] {
        for (number, (size, length)) in SIZES.into_iter().enumerate() {
            let address = addresses[number % addresses.len()];
            let listener = to.enter(|| TcpListener::bind(address))??;
            let mail = mail(length, number as u64);
            let arrived = thread::scope(|scope| {
                let server = scope.spawn(|| serve(&listener).context("the server"));
                let stream = from.enter(|| TcpStream::connect(address))??;
                set_tcp_congestion(&stream, control)?;
                let sent = send(&stream, &mail, size).context("the client");
                chunks += sent.with_context(|| all_counters(filter))? as u64;
                server.join().map_err(|_| anyhow::anyhow!("the server panicked"))?
            });
            let arrived = arrived.with_context(|| format!("{control}, chunks of {size}"))?;
            ensure!(arrived == mail, "{control}, chunks of {size}: other octets arrived");
        }
    }
    ensure!(counted(filter, "commands.bdat")?.0 == chunks, "{chunks} chunks: {}", all_counters(filter));
    let stats = filter.json(&["stats"])?;
    let rows = stats["reasons"].as_array().context("reasons")?;
    let guard = rows.iter().find(|row| row["reason"].as_str().is_some_and(|reason| reason.starts_with("guards.")));
    ensure!(guard.is_none(), "{guard:?}");
    Ok(())
}

#[test(root)]
fn chunks_in_flight_arrive_bit_for_bit() -> Result<()> {
    let network = Network::new()?;
    let filter = up(&network.gateway)?;
    all_sizes(&filter, &network.client, &network.server, &[SERVER_V4, SERVER_V6])?;
    // Merged segments, too, are not too much for it.
    let dropped = counted(&filter, "stream.many_lines")?.0;
    ensure!(dropped == 0, "{}", all_counters(&filter));
    Ok(())
}

/// The same over a bad line before the filter.
fn over_a_bad_line(judge: Judge) -> Result<()> {
    let network = Network::new()?;
    let filter = up(&network.gateway)?;
    let far = Far::new(&network, [judge, straight()])?;
    all_sizes(&filter, &far.client, &network.server, &[SERVER_V4, SERVER_V6])?;
    let (lost, overtaken) = far.line.damage(0);
    ensure!(lost + overtaken > 50, "{lost} lost, {overtaken} overtaken");
    Ok(())
}

#[test(root)]
fn chunks_in_flight_arrive_where_one_percent_is_lost() -> Result<()> {
    let mut random = Random::new(3_030);
    over_a_bad_line(Box::new(move |packet| {
        if payload(packet).len() > 1000 && random.below(100) == 0 { Fate::Lose } else { Fate::Pass }
    }))
}

#[test(root)]
fn chunks_in_flight_arrive_out_of_order() -> Result<()> {
    let mut random = Random::new(1_830);
    over_a_bad_line(Box::new(move |packet| {
        let late = payload(packet).len() > 1000 && random.below(40) == 0;
        if late { Fate::Behind(1 + random.below(3) as u32) } else { Fate::Pass }
    }))
}
