//! `smtp-filter replay`

use std::path::PathBuf;

use clap::Args;

/// Show what the filter would have reported and done in a capture; needs root only for --kernel
///
/// Reads a capture file and judges its frames in user space, with the code that runs in the kernel, as if the filter
/// had been there. Prints the events as `smtp-filter events` does, with the capture's times, and then the counters on
/// standard error, as `smtp-filter stats` does; with --json they are the last object, of kind `stats`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smtp-filter replay mail.pcap                              every command, nothing touched
  smtp-filter replay mail.pcap --profile drop-esmtp         what that profile would have stopped
  smtp-filter replay mail.pcapng --policy mail.toml --json | jq -r .verb
  tcpdump -i eth0 -w - tcp port 25 | smtp-filter replay -
  zcat mail.pcap.gz | smtp-filter replay -
  smtp-filter replay mail.pcap --write out.pcap             also writes what would have come out
  sudo smtp-filter replay mail.pcap --kernel                the same, judged in the kernel

Files: pcap (microseconds or nanoseconds, either byte order) and pcapng, of Ethernet, raw IP, null and
loopback, and Linux cooked (`tcpdump -i any`). Checksums are not checked: a capture has the frames of
its own machine before the network card fills them in.

--kernel loads the programs again, in a network namespace of its own, and runs them on each frame
(BPF_PROG_TEST_RUN) with the capture's clock. The result is the same as in user space: the option is
there to verify that on the running kernel. No running filter is touched, and nothing is sent.

--write leaves out what is dropped and adds the RSTs of a reset, one to the sender and one to the
receiver. The file is a pcap with nanoseconds and the input's link type; it appears only once it is
complete.

What a capture cannot tell:
  Afterwards     After the first command that is dropped or reset, the capture goes on as it went
                 without the filter. That is judged as well, but most of it comes after the gap that the
                 drop leaves: stream.out_of_order, stream.after_reset. The first event of a connection with drop
                 or reset says where its dialogue would have stopped. With mode = \"monitor\" in the
                 policy every such command is reported as \"would drop\", independently of those before
                 it.
  Before         The filter counts as put on with the first frame. A connection whose handshake is not
                 in the capture is unknown: for the policy's guards.unknown_connection.grace (10 minutes)
                 it passes unread, counted but without events. grace = \"0s\" reports its segments
                 instead.
  Which way      Forged server segments are recognised by the interface and direction they come from.
                 Linux cooked captures record that, and so does pcapng where it notes the direction; in
                 other formats the direction is unknown, and guards.spoofed_server finds nothing.
  Cut short      Frames that were captured only in part (tcpdump -s) are counted, but not judged; what
                 follows them comes after a gap.")]
pub struct Replay {
    /// Capture file; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Policy file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub policy: Option<PathBuf>,

    /// Built-in policy, `monitor` by default; `smtp-filter policy profiles` lists them
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// TCP port of the SMTP servers, in place of the policy's; may be given several times
    #[arg(long, value_name = "N")]
    pub port: Vec<u16>,

    /// Judge with the programs in the kernel, in a private instance that is attached to nothing; needs root
    #[arg(long)]
    pub kernel: bool,

    /// Write what would have come out to a pcap file; `-` is standard output, and then no events are shown
    #[arg(long, value_name = "OUT")]
    pub write: Option<PathBuf>,
}
