//! The one proof that counts: the programs are loaded, and attached to the loopback of a network namespace that exists
//! for the trial alone. Nothing of the machine is touched, and nothing is left.

use std::{sync::mpsc, thread};

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{
    LinkOrder, TcAttachType,
    tc::{NlOptions, TcAttachOptions, qdisc_add_clsact},
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::{check::Check, jit};
use crate::{
    attach::best_hook,
    loader::{Filter, LoadOptions},
    record::Hook,
};

/// Few connections, so that the trial takes no memory.
const CONNECTIONS: u32 = 16;
/// Instructions that the verifier is ready to walk.
const MOST_INSTRUCTIONS: u32 = 1_000_000;
const LOOPBACK: &str = "lo";

/// What became of the programs in the kernel.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// Instructions that the verifier walked in the larger one; `None` where the kernel does not say.
    walked: Option<u32>,
    /// Bytes of machine code of both.
    machine_code: u32,
}

/// What the kernel says to each step.
struct Trial {
    loaded: Result<Size>,
    /// `None` where it was not tried.
    tcx: Option<Result<()>>,
    clsact: Option<Result<()>>,
}

/// Loads and attaches.
pub fn checks() -> Vec<Check> {
    let (report, result) = mpsc::channel();
    // A thread of its own: it leaves the network namespace and does not come back.
    let thread = thread::spawn(move || report.send(attempt()));
    let trial = result.recv();
    let _ = thread.join();
    match trial {
        Ok(trial) => {
            let machine_code = trial.loaded.as_ref().ok().map(|size| size.machine_code);
            vec![jit::check(machine_code), programs(&trial.loaded), hooks(&trial)]
        }
        Err(_) => vec![Check::unseen("programs", "the trial ended early")],
    }
}

fn attempt() -> Trial {
    let mut filter = match Filter::load(&LoadOptions { connections: CONNECTIONS, ..LoadOptions::default() }) {
        Ok(filter) => filter,
        Err(error) => return Trial { loaded: Err(error), tcx: None, clsact: None },
    };
    let loaded = size(&filter);
    // SAFETY: only the network namespace of this thread changes; open files and memory stay shared.
    if let Err(error) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
        let refused = || Some(Err(anyhow!("make a network namespace for the trial: {error}")));
        return Trial { loaded, tcx: refused(), clsact: refused() };
    }
    let tcx = (best_hook() == Hook::Tcx).then(|| attach(&mut filter, Hook::Tcx));
    Trial { loaded, tcx, clsact: Some(attach(&mut filter, Hook::Clsact)) }
}

fn size(filter: &Filter) -> Result<Size> {
    let programs = filter.programs()?;
    Ok(Size {
        walked: programs.iter().map(|(_, info)| info.verified_instruction_count()).sum(),
        machine_code: programs.iter().map(|(_, info)| info.size_jitted()).sum(),
    })
}

fn attach(filter: &mut Filter, hook: Hook) -> Result<()> {
    if hook == Hook::Clsact {
        qdisc_add_clsact(LOOPBACK).context("add a clsact qdisc")?;
    }
    let options = || match hook {
        Hook::Tcx => TcAttachOptions::TcxOrder(LinkOrder::first()),
        Hook::Clsact => TcAttachOptions::Netlink(NlOptions::default()),
    };
    let ingress = filter.ingress()?;
    let link = ingress.attach_with_options(LOOPBACK, TcAttachType::Ingress, options())?;
    ingress.detach(link)?;
    let egress = filter.egress()?;
    let link = egress.attach_with_options(LOOPBACK, TcAttachType::Egress, options())?;
    Ok(egress.detach(link)?)
}

fn programs(loaded: &Result<Size>) -> Check {
    match loaded {
        Ok(Size { walked: Some(walked), .. }) => Check::good(
            "programs",
            format!("all load; the verifier walks {walked} instructions, of at most {MOST_INSTRUCTIONS} each"),
        ),
        Ok(_) => Check::good("programs", "all load"),
        Err(error) => Check::failure(
            "programs",
            format!("{error:#}"),
            "boot a kernel of docs/compatibility.md; `smtp-filter -v doctor` shows more of what this one says",
        ),
    }
}

fn hooks(trial: &Trial) -> Check {
    let said = |result: &Result<()>| match result {
        Ok(()) => "works".to_owned(),
        Err(error) => format!("does not: {error:#}"),
    };
    match (&trial.tcx, &trial.clsact) {
        (Some(Ok(())), _) => Check::good("hook", "TCX, tried on a loopback of its own"),
        (None, Some(Ok(()))) => Check::good("hook", "clsact, tried on a loopback of its own; TCX comes with Linux 6.6"),
        (Some(tcx), Some(clsact @ Ok(()))) => Check::warning(
            "hook",
            format!("TCX {}; clsact {}", said(tcx), said(clsact)),
            "put it on with `smtp-filter up --hook clsact`",
        ),
        (tcx, Some(clsact @ Err(_))) => {
            let tcx = tcx.as_ref().map_or(String::new(), |tcx| format!("TCX {}; ", said(tcx)));
            Check::failure(
                "hook",
                format!("{tcx}clsact {}", said(clsact)),
                "boot a kernel with CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF, or load its modules: \
                 `modprobe sch_ingress cls_bpf`",
            )
        }
        (_, None) => Check::warning("hook", "not tried: the programs do not load", "see to the programs first"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(tcx: Option<Result<()>>, clsact: Option<Result<()>>) -> Check {
        hooks(&Trial { loaded: Ok(Size::default()), tcx, clsact })
    }

    #[test]
    fn one_hook_is_enough_and_none_fails() {
        let no = || Some(Err(anyhow!("no such thing")));
        assert!(with(Some(Ok(())), no()).ok);
        assert!(with(None, Some(Ok(()))).found.contains("clsact"));
        assert!(with(no(), Some(Ok(()))).remedy.is_some_and(|remedy| remedy.contains("--hook clsact")));
        let none = with(no(), no());
        assert!(none.needed && none.remedy.is_some_and(|remedy| remedy.contains("modprobe")));
        assert!(!with(None, None).ok);
    }

    #[test]
    fn a_program_that_is_refused_fails_with_the_kernels_reason() {
        let check = programs(&Err(anyhow!("the verifier is not content")));
        assert!(check.needed && check.found == "the verifier is not content");
    }
}
