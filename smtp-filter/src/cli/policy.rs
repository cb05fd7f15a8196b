//! `smtp-filter policy show|set|load|check|profiles`

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Subcommand};

/// Show or change the policy
///
/// A change takes effect between two segments, as a whole or not at all. `docs/policy.md` describes every key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter policy show
  smtp-filter policy set commands.ehlo=drop commands.vrfy=reset mode=enforce
  smtp-filter policy set extensions.chunking=mask banner.show=host
  smtp-filter policy set profile=monitor               back to watching only
  smtp-filter policy check mail.toml && smtp-filter policy load mail.toml")]
pub struct Policy {
    #[command(subcommand)]
    pub verb: PolicyVerb,
}

#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// Print the effective policy: every key with its value
    #[command(after_help = "\
Examples:
  smtp-filter policy show
  smtp-filter policy show --toml > mail.toml           to edit, check and load again
  smtp-filter policy show --client 10.1.2.3 --server 192.0.2.25
                                                       which scope decides, and the policy there")]
    Show {
        /// As a policy file, with nothing added
        #[arg(long, conflicts_with = "json")]
        toml: bool,
        #[command(flatten)]
        ends: Ends,
    },
    /// Change single keys of the running policy
    ///
    /// KEY is a path of the policy file: commands.ehlo, extensions.starttls, banner.show, mask.fill, guards.sync,
    /// guards.unknown_connection.grace, mark.value, ports, mode, capture_envelope. `profile=NAME` starts over from that
    /// profile and keeps ports, mark, capture_envelope and the scopes. Several settings take effect together, or none
    /// does. In mode monitor actions are only reported; `mode=enforce` carries them out.
    ///
    /// Scopes: scope.NAME.KEY sets one of these keys in a scope (inherit: as in the whole policy again);
    /// scope.NAME.clients and scope.NAME.servers set its prefixes (any: everybody) and create the scope if there is
    /// none of that name; scope.NAME=none removes it.
    ///
    /// A policy that takes STARTTLS away makes mail go in clear, and senders that insist on TLS send nothing: a warning
    /// on standard error says so.
    #[command(after_help = "\
Examples:
  smtp-filter policy set commands.ehlo=downgrade       clients speak plain SMTP, without STARTTLS
  smtp-filter policy set commands.vrfy=mask commands.expn=reset mode=enforce
  smtp-filter policy set extensions.chunking=mask      CHUNKING is not offered, BDAT not accepted
  smtp-filter policy set guards.unknown_connection.grace=1h
  smtp-filter policy set scope.printer.clients=10.0.0.9 scope.printer.commands.ehlo=pass
  smtp-filter policy set mode=monitor                  everything passes again and is reported

`smtp-filter policy check --actions` lists every key with the actions that are legal there.")]
    Set {
        /// What to set: commands.ehlo=drop, extensions.chunking=mask, mode=enforce, ports=25,587
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<String>,
    },
    /// Replace the running policy with a file
    ///
    /// The file is checked first, as by `policy check`; a bad one leaves the running policy as it is. What the file
    /// does not set is as in its profile, `monitor` if it names none.
    #[command(after_help = "\
Examples:
  smtp-filter policy load mail.toml
  smtp-filter policy profiles drop-esmtp | smtp-filter policy load -")]
    Load {
        /// Policy file; `-` is standard input
        file: PathBuf,
    },
    /// Check a policy file without touching anything; needs no root
    ///
    /// A bad file is refused with file, line, column and what was expected there, and exit code 1; --json prints it as
    /// an object as well. A good file gets the warnings of `policy load`: that it takes STARTTLS away, or that mode
    /// monitor enforces nothing.
    #[command(after_help = "\
Examples:
  smtp-filter policy check mail.toml
  smtp-filter policy check mail.toml --client 10.1.2.3 which scope decides for this client
  smtp-filter policy check --actions                   every key with its legal actions")]
    Check {
        /// Policy file; `-` is standard input
        #[arg(required_unless_present = "actions")]
        file: Option<PathBuf>,
        /// Print which action is legal for which key
        #[arg(long, conflicts_with_all = ["file", "client", "server"])]
        actions: bool,
        #[command(flatten)]
        ends: Ends,
    },
    /// List the built-in policies, or print one as a policy file; needs no root
    #[command(after_help = "\
Examples:
  smtp-filter policy profiles
  smtp-filter policy profiles drop-esmtp > mail.toml   a file to start from")]
    Profiles {
        /// The profile to print
        name: Option<String>,
    },
}

/// The ends of a connection
#[derive(Debug, Args)]
pub struct Ends {
    /// Say which scope decides for connections from this client, and what its policy is
    #[arg(long, value_name = "ADDR")]
    pub client: Option<IpAddr>,
    /// The same for connections to this server
    #[arg(long, value_name = "ADDR")]
    pub server: Option<IpAddr>,
}

impl Ends {
    /// Whether one of them is given.
    pub fn are_given(&self) -> bool {
        self.client.is_some() || self.server.is_some()
    }
}
