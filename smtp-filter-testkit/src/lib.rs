//! What the tests, the benches and the demo of smtp-filter share.
//!
//! Always there: networks of namespaces on this machine (a client, a gateway and a server of one's own, with nothing
//! left behind), the distribution's mail software, and [`Random`]. With the feature `harness`: the frame of test
//! programs. With `datapath`: dialogues segment by segment, captures, the generator of attacks. With `loader`: the
//! programs run on packets in the kernel, the model, and the network with the filter on it. `docs/testing.md` tells how
//! they are used.
//!
//! ```no_run
//! use smtp_filter_testkit::{Client, Filter, MailServer, Network, SERVER_V4};
//!
//! # fn main() -> anyhow::Result<()> {
//! let network = Network::new()?;
//! let server = MailServer::start(&network.server)?;
//! let filter = Filter::new("target/release/smtp-filter", &network.gateway)?;
//! filter.up(&["--iface", "inside", "--profile", "drop-esmtp"])?;
//!
//! let mut client = Client::connect(&network.client, SERVER_V4)?;
//! assert!(client.command("EHLO client.example").is_err(), "dropped: no reply comes");
//! assert!(server.mails().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! Needs root, and of programs `ip`, `nsenter`, `unshare` and `mount` (iproute2, util-linux). Everything is named
//! `smtpf-PID-N-…`; it goes away on drop, on SIGINT and SIGTERM, and what a killed process could not remove, the next
//! one removes.

#[cfg(feature = "datapath")]
pub mod attacker;
#[cfg(feature = "datapath")]
pub mod captures;
#[cfg(feature = "datapath")]
pub mod dialogue;
#[cfg(feature = "harness")]
mod harness;
#[cfg(feature = "loader")]
pub mod kernel;
#[cfg(feature = "loader")]
pub mod lab;
#[cfg(feature = "loader")]
pub mod model;
#[cfg(feature = "loader")]
pub mod packets;

mod aiosmtpd;
mod cleanup;
mod client;
mod dma;
mod exim;
mod filter;
pub mod folders;
mod line;
mod login;
mod msmtp;
mod namespace;
mod network;
mod opensmtpd;
mod postfix;
mod process;
mod random;
mod room;
mod server;
mod software;

pub use aiosmtpd::{AIOSMTPD, Aiosmtpd};
pub use client::{Client, NAME, Reply, send_by_esmtp};
pub use dma::{DMA, Dma};
pub use exim::{EXIM, Exim};
pub use filter::Filter;
pub use line::{Damage, Fate, Judge, Line, device_of_kind};
pub use msmtp::{MSMTP, msmtp};
pub use namespace::Namespace;
pub use network::{CLIENT_V4, CLIENT_V6, GATEWAY_V4, GATEWAY_V6, Network, SERVER_V4, SERVER_V6};
pub use opensmtpd::{OPENSMTPD, OpenSmtpd};
pub use postfix::{COMMANDS_LOGGED, Postfix, postfix_tool};
pub use process::Running;
pub use random::{Random, mix};
pub use server::{Mail, MailServer};
pub use software::{MailSoftware, PASSWORD, USER, unpacked};

pub use cleanup::leftovers;

#[cfg(feature = "harness")]
pub use harness::{Ending, TESTS, Test, need, run};
#[cfg(feature = "harness")]
#[doc(hidden)]
pub use linkme;
#[cfg(feature = "harness")]
pub use smtp_filter_testkit_macros::test;
