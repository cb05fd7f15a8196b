//! `cargo xtask bench`: what the filter costs.

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::{
    process::{cargo, is_root, run as execute},
    setup, test,
};

/// Measure what the filter costs: program time in the kernel, throughput through a gateway, and the rate of replay.
///
/// Prints each figure beside that of an empty program, or of the same without the filter, measured in turns in the same
/// run, and beside the bar it is held against. No figure makes it fail. It takes about two minutes, and `flow` ten;
/// other work on the machine shows in the figures. Needs root, takes sudo where it must; touches no interface and no
/// filter of yours.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench                    everything
  cargo xtask bench program            program time alone: seconds
  cargo xtask bench replay             the rate of replay alone: seconds, without root
  cargo xtask bench network --json     throughput alone, one JSON object
  SMTP_FILTER_FLOW=chunks cargo xtask bench flow     chunks in flight alone; `loss`: bad lines alone")]
pub struct Args {
    /// Measure this alone
    part: Option<Part>,
    /// One JSON object a part, each in a line
    #[arg(long)]
    json: bool,
    /// Few rounds: whether it runs at all
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Program time by BPF_PROG_TEST_RUN, and what the verifier walked
    Program,
    /// Frames a second of replay in user space, on one core
    Replay,
    /// Throughput over veth pairs, with and without the filter
    Network,
    /// Goodput of chunks in flight and of large mails over bad lines, with and without the filter; ten minutes
    Flow,
}

impl Part {
    const ALL: [Self; 4] = [Self::Program, Self::Replay, Self::Network, Self::Flow];

    /// The bench of the loader's crate.
    const fn bench(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Replay => "replay",
            Self::Network => "network",
            Self::Flow => "flow",
        }
    }
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    let parts: Vec<Part> =
        Part::ALL.into_iter().filter(|part| args.part.is_none_or(|wanted| wanted == *part)).collect();
    if parts.contains(&Part::Network) {
        setup::run(&setup::Args { tests: true, compiler: None })
            .context("the mail software that sends and takes mail")?;
    } else {
        setup::build_tools(None)?;
    }
    for part in parts {
        let mut bench = cargo();
        bench.args(["bench", "--quiet", "--locked", "--package", "smtp-filter", "--bench", part.bench(), "--"]);
        bench.args(args.json.then_some("--json")).args(args.quick.then_some("--quick"));
        if !is_root() && part != Part::Replay {
            bench.env(test::runner_variable()?, "sudo -E");
        }
        execute(&mut bench)?;
    }
    Ok(())
}
