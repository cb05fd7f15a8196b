//! A real mail client: msmtp.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::Result;

use crate::{
    namespace::Namespace,
    software::{PASSWORD, USER, tools},
};

/// The package it comes in.
pub const MSMTP: &str = "msmtp";

/// Sends the mail on its stdin: EHLO first. It gives up a reply after so many seconds.
pub fn msmtp(from: &Namespace, to: SocketAddr, tls: bool, login: bool, patience: u32) -> Result<Command> {
    let tools = tools(MSMTP)?;
    let mut msmtp = from.command(tools.join("usr/bin/msmtp"));
    msmtp.env("LD_LIBRARY_PATH", libraries(&tools));
    let switch = |on: bool| if on { "on" } else { "off" };
    msmtp.arg("--file=/dev/null").args([format!("--host={}", to.ip()), format!("--port={}", to.port())]);
    msmtp.args(["--domain=client.example", "--from=alice@client.example"]);
    msmtp.args([format!("--timeout={patience}"), format!("--tls={}", switch(tls))]);
    msmtp.args(["--tls-starttls=on", "--tls-certcheck=off"]);
    if login {
        msmtp.args(["--auth=plain".to_owned(), format!("--user={USER}"), format!("--passwordeval=echo {PASSWORD}")]);
    } else {
        msmtp.arg("--auth=off");
    }
    msmtp.args(["--", "bob@server.example"]);
    Ok(msmtp)
}

/// Where the libraries of an unpacked package lie, on every machine that Debian runs on here: a search path.
fn libraries(tools: &Path) -> String {
    let folders = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];
    folders.map(|folder| tools.join(folder).display().to_string()).join(":")
}
