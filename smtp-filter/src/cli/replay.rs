//! `smtp-filter replay`

use std::path::PathBuf;

use clap::Args;

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
