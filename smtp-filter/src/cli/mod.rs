//! The command line's grammar and its help.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;

use crate::{
    bpffs,
    events::{select::network, view::KINDS},
    pins::PinDir,
    policy::reason,
    record::Hook,
};

/// Wrong usage that only shows while a command works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An SMTP firewall inside the Linux kernel
///
/// smtp-filter reads every TCP segment to and from the SMTP ports of an interface, in both directions, follows each
/// dialogue, and passes, logs, marks, rewrites in place, drops or resets what its policy names: EHLO, the commands and
/// extensions that came with it, the banner, and the protocol attacks of SMTP. It is no proxy and ends no connection of its own.
#[derive(Debug, Parser)]
#[command(
    name = "smtp-filter",
    version,
    max_term_width = 100,
    after_help = "\
A first look, which changes nothing on the wire:
  smtp-filter doctor                          says what this machine offers, what goes around
  smtp-filter up --iface eth0                 puts it on, shows every command; Ctrl-C takes it off

In earnest:
  smtp-filter up --iface eth0 --detach        puts it on and leaves it on
  smtp-filter policy set commands.ehlo=drop   says what is to be done with EHLO
  smtp-filter policy set mode=enforce         from now on it is done, not only reported
  smtp-filter events                          shows what happens
  smtp-filter stats                           counts what passed and what did not
  smtp-filter down                            takes it off, nothing is left

Put it on the interface towards the clients or on the one towards the servers: one is enough, where
both directions pass. In mode monitor, the default, everything passes and is only reported. A client
whose command is dropped waits until it gives up; reset tells it at once.

Exit codes: 0 done, 1 failed, 2 wrong usage."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that hold for every verb, before or after it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Print JSON: one object, or for events one object a line
    #[arg(long, global = true)]
    pub json: bool,

    /// Where the pins of this filter live, in a BPF file system; another folder is another filter
    #[arg(long, global = true, value_name = "DIR", env = "SMTP_FILTER_PIN_DIR",
          default_value_os_t = PathBuf::from(bpffs::MOUNT_POINT).join("smtp-filter"))]
    pub pin_dir: PathBuf,

    /// Work in this network namespace, as `ip netns` names it
    #[arg(long, global = true, value_name = "NAME")]
    pub netns: Option<String>,

    /// Say what is done; twice: with `up` in the foreground also the debug messages of the eBPF side
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Global {
    /// The folder of pins.
    pub fn pins(&self) -> PinDir {
        PinDir::new(&self.pin_dir)
    }
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    Up(Up),
    /// Say that a filter put on with --confirm is to stay on
    ///
    /// Until then it goes off by itself when its time is over, even if nothing of smtp-filter runs any more. Where
    /// nothing waits for a confirmation, it says so and is content; where it is too late, it fails.
    Confirm,
    Down(Down),
    /// Show how the filter stands
    ///
    /// Interfaces and how it is attached, policy and mode, connections, segments by what was done with them, lost
    /// events. `NOT ATTACHED` after an interface means that nothing is filtered there: then the exit code is 1, and
    /// `smtp-filter doctor` says what to do.
    #[command(after_help = "\
Examples:
  smtp-filter status
  smtp-filter status --json | jq -r .policy.mode")]
    Status,
    Policy(Policy),
    Events(Events),
    Stats(Stats),
    Connections(Connections),
    Replay(Replay),
    Doctor(Doctor),
    Generate(Generate),
    /// Take off a filter that is not confirmed in time; `up --detach --confirm` starts it
    #[command(hide = true)]
    Expire {
        /// Number of the filter's owner
        owner: u64,
    },
}

/// Put the filter on
///
/// Loads the programs, attaches them to both directions of each interface, and shows the events until it is ended.
/// Ctrl-C and SIGTERM take the filter off; SIGHUP (the terminal is closed) leaves it on. While it runs, an interface that
/// goes and comes back under its name gets the filter again.
///
/// Where a filter is on already, this one takes it over without a gap: connections, counters and readers of events stay,
/// and so does the policy unless another one is given. It stays on the interfaces where it was, and comes to those that
/// are named. The `up` that was taken over takes nothing off any more. A filter that another version of smtp-filter put
/// on is taken over too; its connections pass unread for the policy's guards.unknown_connection.grace where the two do
/// not know each other's tables.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter up --iface eth0                          reports every command, touches nothing
  smtp-filter up --iface eth0 --profile drop-esmtp --detach
  smtp-filter up --iface eth0 --policy mail.toml --detach --confirm 5m
                                                       a trial that ends by itself; `smtp-filter confirm` keeps it
  smtp-filter up --iface eth0 --iface eth1 --port 25 --port 587 --policy mail.toml")]
pub struct Up {
    /// Interface to put it on, towards the clients or towards the servers; may be given several times
    #[arg(long, value_name = "IF", required = true)]
    pub iface: Vec<String>,

    /// Built-in policy, `monitor` where nothing is said; `smtp-filter policy profiles` lists them
    #[arg(long, value_name = "NAME", conflicts_with = "policy")]
    pub profile: Option<String>,

    /// Policy file; `-` is the standard input
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// TCP port of SMTP servers, instead of those of the policy; may be given several times
    #[arg(long, value_name = "N")]
    pub port: Vec<u16>,

    /// Live connections that are kept track of, 65536 where nothing is said; the memory for all of them is taken at once,
    /// about 1 KiB each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub connections: Option<u32>,

    /// Return at once and leave the filter on
    #[arg(long)]
    pub detach: bool,

    /// Take it off again after this time (5m, 90s, 1h) unless `smtp-filter confirm` comes first
    #[arg(long, value_name = "TIME", value_parser = confirm_time)]
    pub confirm: Option<Duration>,

    /// How to attach
    #[arg(long, value_enum, default_value_t = HookChoice::Auto)]
    pub hook: HookChoice,
}

/// How to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HookChoice {
    /// TCX where the kernel has it, else clsact
    Auto,
    /// TCX links: Linux 6.6 and later
    Tcx,
    /// Filters of a clsact qdisc: every kernel
    Clsact,
}

impl HookChoice {
    /// The hook that is named.
    pub fn hook(self) -> Option<Hook> {
        match self {
            Self::Auto => None,
            Self::Tcx => Some(Hook::Tcx),
            Self::Clsact => Some(Hook::Clsact),
        }
    }
}

/// A time for `--confirm`: what is shorter leaves nobody the time to confirm, what is longer is no trial.
fn confirm_time(text: &str) -> Result<Duration, String> {
    const WITHIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);
    let time = humantime::parse_duration(text).map_err(|_| "expected a time such as 5m, 90s or 1h".to_owned())?;
    if WITHIN.contains(&time) { Ok(time) } else { Err("expected 1s to 7days".to_owned()) }
}

/// Take the filter off
///
/// Nothing is left: no program, no map, no pin. Where there is no filter, it says so and is content. Connections go on
/// as they are; what was marked, dropped or reset is so no longer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter down
  smtp-filter down --iface eth1                        stays on the other interfaces")]
pub struct Down {
    /// Only from this interface; with the last one everything goes
    #[arg(long, value_name = "IF")]
    pub iface: Option<String>,
}

/// Show or change the policy
///
/// A change takes effect between two segments, as a whole or not at all. `docs/policy.md` describes every key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter policy show
  smtp-filter policy set commands.ehlo=drop commands.vrfy=reset mode=enforce
  smtp-filter policy set extensions.chunking=mask banner.show=host
  smtp-filter policy set profile=monitor               back to looking on
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
  smtp-filter policy show --toml > mail.toml           to be changed by hand, checked and loaded
  smtp-filter policy show --client 10.1.2.3 --server 192.0.2.25
                                                       which scope decides, and what holds there")]
    Show {
        /// As a policy file, and nothing else
        #[arg(long, conflicts_with = "json")]
        toml: bool,
        #[command(flatten)]
        ends: Ends,
    },
    /// Change single keys of the running policy
    ///
    /// KEY is a path of the policy file: commands.ehlo, extensions.starttls, banner.show, mask.fill, guards.sync,
    /// guards.unknown_connection.grace, mark.value, ports, mode, capture_envelope. `profile=NAME` starts over from that
    /// profile and keeps ports, mark, capture_envelope and the scopes. Several settings take effect together, or none of
    /// them. In mode monitor an action is taken down and reported, but not carried out until `mode=enforce`.
    ///
    /// Of a scope: scope.NAME.KEY sets one of these keys there (inherit: as in the whole policy again); scope.NAME.clients
    /// and scope.NAME.servers set its prefixes (any: everybody), and make a scope where there is none of that name;
    /// scope.NAME=none removes it.
    ///
    /// What takes STARTTLS away sends mail in clear, and keeps senders that insist on TLS from sending at all: of a policy
    /// that does so, the standard error says so.
    #[command(after_help = "\
Examples:
  smtp-filter policy set commands.ehlo=downgrade       clients speak plain SMTP; no STARTTLS
  smtp-filter policy set commands.vrfy=mask commands.expn=reset mode=enforce
  smtp-filter policy set extensions.chunking=mask      no CHUNKING is offered, and no BDAT taken
  smtp-filter policy set guards.unknown_connection.grace=1h
  smtp-filter policy set scope.printer.clients=10.0.0.9 scope.printer.commands.ehlo=pass
  smtp-filter policy set mode=monitor                  everything passes again, and is reported

`smtp-filter policy check --actions` lists every key with the actions that are legal there.")]
    Set {
        /// What to set: commands.ehlo=drop, extensions.chunking=mask, mode=enforce, ports=25,587
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<String>,
    },
    /// Replace the running policy by a file's
    ///
    /// The file is checked first, as by `policy check`; a bad one leaves the running policy as it is. What the file does
    /// not name is as in its profile, `monitor` where it names none.
    #[command(after_help = "\
Examples:
  smtp-filter policy load mail.toml
  smtp-filter policy profiles drop-esmtp | smtp-filter policy load -")]
    Load {
        /// Policy file; `-` is the standard input
        file: PathBuf,
    },
    /// Check a policy file without touching anything; needs no root
    ///
    /// A bad one is refused with file, line, column and what was expected there, and exit code 1; with --json as an object,
    /// too. Of a good one it says what `policy load` would: that it takes STARTTLS away, that mode monitor enforces nothing.
    #[command(after_help = "\
Examples:
  smtp-filter policy check mail.toml
  smtp-filter policy check mail.toml --client 10.1.2.3 which scope decides about this client
  smtp-filter policy check --actions                   every key, and what is legal there")]
    Check {
        /// Policy file; `-` is the standard input
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
  smtp-filter policy profiles drop-esmtp > mail.toml   to begin a file of one's own with")]
    Profiles {
        /// The one to print
        name: Option<String>,
    },
}

/// The ends of a connection
#[derive(Debug, Args)]
pub struct Ends {
    /// Say which scope decides about connections of this client, and what holds there
    #[arg(long, value_name = "ADDR")]
    pub client: Option<IpAddr>,
    /// The same of connections to this server
    #[arg(long, value_name = "ADDR")]
    pub server: Option<IpAddr>,
}

impl Ends {
    /// Whether one of them is given.
    pub fn are_given(&self) -> bool {
        self.client.is_some() || self.server.is_some()
    }
}

/// Show the events as they happen
///
/// From now on, until Ctrl-C or the filter's end. A line says when, where, who, what, and what was done by which key of the
/// policy; `would drop` is what mode monitor has let pass. Several readers each see every event. What comes faster than it
/// can be shown is lost, counted, and said.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter events --reason commands.ehlo --client 192.0.2.0/24
  smtp-filter events --reason guards
  smtp-filter events --kind close --json | jq .summary
  smtp-filter events --json --count 100 | jq -r .client")]
pub struct Events {
    /// Only events with this reason: a policy key such as commands.ehlo, or one end of it: guards, ehlo. One that the running
    /// policy does not have is refused
    #[arg(long, value_name = "R", value_parser = reason)]
    pub reason: Vec<String>,

    /// Only events of this kind; may be given several times
    #[arg(long, value_name = "K", value_parser = KINDS)]
    pub kind: Vec<String>,

    /// Only events of clients with this address or prefix
    #[arg(long, value_name = "PREFIX", value_parser = network)]
    pub client: Vec<IpNet>,

    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

/// Show the counters by reason and action
///
/// A reason is a policy key, or what the stream forced. Counters of commands count commands, the others segments. A
/// command that is dropped is counted once; stream.dropped_command counts its segments, retransmissions too. They count
/// from `up` on, over all interfaces; `would drop` is what mode monitor has let pass.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter stats
  smtp-filter stats --watch
  smtp-filter stats --json | jq '.reasons[] | select(.action == \"drop\")'")]
pub struct Stats {
    /// Show them every second, with what came to each since, until Ctrl-C; with --json one object a line
    #[arg(long)]
    pub watch: bool,
}

/// Show the live connections and what each is at
///
/// Those that the filter saw begin and has not seen end, in the order of their clients.
#[derive(Debug, Args)]
#[command(after_help = "\
States:
  banner         the server has not said its banner yet
  command        commands and replies
  data-wait      DATA waits for its reply
  mail-data      mail text, between the 354 and the end of data
  chunk          a BDAT chunk
  chunk-wait     a BDAT whose chunk cannot be skipped on the client's word waits for its reply
  auth           an AUTH exchange
  starttls-wait  STARTTLS waits for its reply
  tls            TLS: nothing is read
  closing        one side has closed
  uncertain      in mode monitor bytes passed unread, and no reply has given a footing since
  replaced       the server has answered a new handshake of the same addresses and ports")]
pub struct Connections {
    /// Only of clients with this address or prefix; may be given several times
    #[arg(long, value_name = "PREFIX", value_parser = network)]
    pub client: Vec<IpNet>,
}

/// Show what the filter would have said and done to a capture; needs no root, but for --kernel
///
/// Reads a capture file and judges its frames in user space, by the code that runs in the kernel and as if the filter
/// had been there. Prints the events as `smtp-filter events` does, with the capture's times, and then on the standard
/// error what was counted, as `smtp-filter stats` does; with --json that is the last object, of kind `stats`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter replay mail.pcap                              every command, nothing touched
  smtp-filter replay mail.pcap --profile drop-esmtp         what that profile would have stopped
  smtp-filter replay mail.pcapng --policy mail.toml --json | jq -r .verb
  tcpdump -i eth0 -w - tcp port 25 | smtp-filter replay -
  zcat mail.pcap.gz | smtp-filter replay -
  smtp-filter replay mail.pcap --write out.pcap             and what would have come out
  sudo smtp-filter replay mail.pcap --kernel                the same, judged by the kernel

Files: pcap (microseconds or nanoseconds, either byte order) and pcapng, of Ethernet, raw IP, null and
loopback, and Linux cooked (`tcpdump -i any`). Checksums are not looked at: a capture has the frames
of its own machine before the network card fills them in.

--kernel loads the programs once more, into a network namespace of its own, and runs them on each
frame (BPF_PROG_TEST_RUN), with the capture's clock. It says what user space says; it is there to see
that, and what the running kernel makes of it. No filter that is on is touched, nothing is sent.

--write leaves out what is dropped, and puts in the RSTs of a reset: one to the sender, one to the
receiver. It is a pcap file with nanoseconds, of the input's link type; it appears when it is whole,
and nothing does where that fails.

What a capture cannot tell:
  Afterwards     Behind the first command that is dropped or reset the capture goes on as it went
                 without the filter. That is judged as well, but most of it stands behind the gap that
                 the drop leaves: stream.early, stream.after_reset. The first event of a connection with
                 drop or reset says where its dialogue would have stuck. With mode = \"monitor\" in the
                 policy, every such place is reported as \"would drop\", and nothing hangs on the ones
                 before it.
  Before         The filter is put on as the first frame comes. A connection whose handshake is not in
                 the capture is unknown: it passes unread for the policy's
                 guards.unknown_connection.grace (10 minutes), counted, without events. grace = \"0s\"
                 reports its segments instead.
  Which way      Forged segments of a server are told by the interface and the direction they come by.
                 Linux cooked captures have that, and pcapng where it notes the direction; of others
                 all frames count as come one way, and guards.spoofed_server sees nothing.
  What is cut    Frames that were captured cut short (tcpdump -s) are not judged, but counted; what
                 follows them stands behind a gap.")]
pub struct Replay {
    /// Capture file; `-` is the standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Policy file; `-` is the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub policy: Option<PathBuf>,

    /// Built-in policy, instead of `monitor`; `smtp-filter policy profiles` lists them
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// TCP port of SMTP servers, instead of those of the policy; may be given several times
    #[arg(long, value_name = "N")]
    pub port: Vec<u16>,

    /// Judge by the programs in the kernel: a private instance, attached to nothing; needs root
    #[arg(long)]
    pub kernel: bool,

    /// Write what would have come out to a pcap file; `-` is the standard output, where then no events are shown
    #[arg(long, value_name = "OUT")]
    pub write: Option<PathBuf>,
}

/// Say what this machine offers, what goes around the filter, and what to do about it
///
/// Looks at the kernel, its BPF and the memory, loads the programs for a trial and attaches them to a loopback of their
/// own; then at each interface: what runs before the filter, what forwards past it, which routes lead elsewhere. It
/// changes nothing. Without root it says what it could not look at.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo smtp-filter doctor                  the filter that is on, else every interface with routes
  sudo smtp-filter doctor --iface eth0     as if the filter were on eth0 alone
  sudo smtp-filter doctor --json | jq -r '.checks[] | select(.ok | not) | .remedy'

A check is `ok`; a `warning`, where the filter works but does not see everything, or where something
could not be looked at; or `FAILED`, where the filter cannot work. Behind an arrow stands what to do.
In JSON both of the latter have \"ok\": false. `smtp-filter up` says the warnings, too.

Exit codes: 0 the filter can work here, with or without warnings; 1 it cannot; 2 wrong usage.")]
pub struct Doctor {
    /// Interface to look at, instead of those of the filter that is on; may be given several times
    #[arg(long, value_name = "IF")]
    pub iface: Vec<String>,

    /// Live connections that there should be memory for, as for `up`
    #[arg(long, value_name = "N", default_value_t = smtp_filter_common::limits::CONNECTIONS,
          value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub connections: u32,
}

/// Write man pages and shell completions
///
/// DIR/man gets a page for each command, DIR/completions a file for each shell.
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Generate {
    /// Folder to write to; made where it is missing
    pub dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_every_verb_stand_before_or_after_it() {
        for line in [
            ["smtp-filter", "--json", "--pin-dir", "/x", "status"],
            ["smtp-filter", "status", "--json", "--pin-dir", "/x"],
        ] {
            let global = Cli::try_parse_from(line).unwrap().global;
            assert!(global.json);
            assert_eq!(global.pin_dir, PathBuf::from("/x"));
        }
    }
}
