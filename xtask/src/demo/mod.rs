//! `cargo xtask demo`: the main job, on a network of this machine's own.

mod columns;
mod dialogue;
mod profiles;
mod scenes;
mod stage;

use std::{process::Command, time::Instant};

use anyhow::{Result, bail};
use smtp_filter_testkit::leftovers;

use crate::{
    build,
    process::{is_root, run as execute},
    setup,
};
use stage::{Stage, heading};

/// See the filter at work: a client, a gateway and a mail server in network namespaces of their own.
///
/// Builds the program first. Shows EHLO passing and being logged, dropped, marked and reset, toggled from the command
/// line, and mail arriving all the same; then the same client and server under three profiles, their dialogues side by
/// side; takes seconds. Touches no interface and no filter of yours, needs no network,
/// leaves nothing. Fails where something was not as it should be. Needs root, takes sudo where it must.
#[derive(clap::Args, Default)]
pub struct Args {
    /// The program is built already: how this calls itself through sudo
    #[arg(long, hide = true)]
    built: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    if !args.built {
        build::run(&build::Args::default())?;
        setup::demo_tools()?;
    }
    if !is_root() {
        println!("demo: namespaces and eBPF need root: going on through sudo");
        let mut sudo = Command::new("sudo");
        return execute(sudo.arg("-E").arg(std::env::current_exe()?).args(["demo", "--built"]));
    }
    let start = Instant::now();
    let failed = play()?;

    heading("Afterwards");
    let left = leftovers();
    if left.is_empty() {
        println!("  ok      no namespace, no pin and no process of this demo is left");
    } else {
        println!("  FAILED  left over: {}", left.join(", "));
    }
    match failed + usize::from(!left.is_empty()) {
        0 => {
            println!("\ndemo: all of it as it should be, in {:.0?}", start.elapsed());
            Ok(())
        }
        failed => bail!("{failed} of the things above marked FAILED were not as they should be"),
    }
}

/// Plays all scenes. Returns how many expectations were not met; everything it made is gone then.
fn play() -> Result<usize> {
    let mut stage = Stage::new()?;
    stage.monitor()?;
    stage.drop_ehlo()?;
    stage.mark_ehlo()?;
    stage.reset_ehlo()?;
    stage.profiles()?;
    stage.numbers()?;
    stage.down()?;
    Ok(stage.failed.get())
}
