//! The longest chain of stack frames, as Linux 6.1 counts it: newer kernels count less, so that none of them would
//! tell.
//!
//! Kernel 6.1, kernel/bpf/verifier.c, `check_max_stack_depth`: every frame is rounded up to 32 bytes, and the frame of
//! a loop's call-back lies upon that of the function that names it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use aya_obj::{Object, generated::bpf_insn};
use smtp_filter_common::abi;

static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/smtp-filter-ebpf"));

/// What the kernel allows (MAX_BPF_STACK).
const ALLOWED: u32 = 512;
/// What a frame is rounded up to.
const UNIT: u32 = 32;
/// Most frames in a chain (MAX_CALL_FRAMES).
const FRAMES: usize = 8;

// Linux, include/uapi/linux/bpf.h and bpf_common.h.
const FRAME_POINTER: u8 = 10;
const LOAD_IMMEDIATE: u8 = 0x18;
const CALL: u8 = 0x85;
const MOVE: u8 = 0xbf;
const ADD: u8 = 0x07;
const PSEUDO_CALL: u8 = 1;
const PSEUDO_FUNCTION: u8 = 4;
/// Classes of instructions: in the lower three bits.
const CLASS: u8 = 7;
const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;

/// A function of a linked program: what it takes of the stack, and which others it calls or hands to a loop.
#[derive(Default)]
struct Frame {
    bytes: u32,
    calls: BTreeSet<usize>,
}

/// The functions of a program, by the number of their first instruction.
fn frames(program: &[bpf_insn]) -> Result<BTreeMap<usize, Frame>> {
    let mut frames = BTreeMap::from([(0, Frame::default())]);
    let mut calls = Vec::new();
    for (at, insn) in program.iter().enumerate() {
        let calling = insn.code == CALL && insn.src_reg() == PSEUDO_CALL;
        if calling || insn.code == LOAD_IMMEDIATE && insn.src_reg() == PSEUDO_FUNCTION {
            let to = at.checked_add_signed(insn.imm as isize + 1).context("a call out of the program")?;
            calls.push((at, to));
            frames.insert(to, Frame::default());
        }
    }
    for (from, to) in calls {
        let (_, frame) = frames.range_mut(..=from).next_back().context("no function there")?;
        frame.calls.insert(to);
    }
    let starts: Vec<usize> = frames.keys().copied().collect();
    for (i, &start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(program.len());
        frames.entry(start).or_default().bytes = bytes(&program[start..end]);
    }
    Ok(frames)
}

/// How far below the frame pointer a function reaches: by itself, or by an address that it makes.
fn bytes(function: &[bpf_insn]) -> u32 {
    let mut deepest = 0;
    let mut made = None;
    for insn in function {
        let (to, from) = (insn.dst_reg(), insn.src_reg());
        let offset = match insn.code & CLASS {
            LDX if from == FRAME_POINTER => insn.off.into(),
            ST | STX if to == FRAME_POINTER => insn.off.into(),
            _ if insn.code == ADD && made == Some(to) => insn.imm,
            _ => 0,
        };
        made = (insn.code == MOVE && from == FRAME_POINTER).then_some(to);
        deepest = deepest.min(offset);
    }
    deepest.unsigned_abs()
}

/// The longest chain from a function on: bytes, and the frames.
fn longest(frames: &BTreeMap<usize, Frame>, from: usize) -> (u32, Vec<u32>) {
    let frame = &frames[&from];
    let below = frame.calls.iter().map(|&to| longest(frames, to)).max().unwrap_or_default();
    let own = frame.bytes.max(1).next_multiple_of(UNIT);
    (own + below.0, [vec![frame.bytes], below.1].concat())
}

#[test]
fn linux_6_1_allows_the_longest_chain_of_stack_frames() -> Result<()> {
    let mut object = Object::parse(OBJECT)?;
    let sections = object.functions.keys().map(|&(section, _)| section).collect();
    object.relocate_calls(&sections)?;
    for name in [abi::INGRESS, abi::EGRESS].into_iter().chain(abi::STEPS) {
        let program = object.programs.get(name).with_context(|| format!("no program {name}"))?;
        let linked = object.functions.get(&program.function_key()).with_context(|| format!("no function {name}"))?;
        let frames = frames(&linked.instructions)?;
        ensure!(frames.len() > 3, "{name} is linked of {} functions only", frames.len());
        let (bytes, chain) = longest(&frames, 0);
        println!("{name}: {bytes} bytes of stack of {ALLOWED}, as Linux 6.1 counts, in frames of {chain:?}");
        ensure!(bytes <= ALLOWED && chain.len() <= FRAMES, "{name}: {bytes} bytes in frames of {chain:?}");
    }
    Ok(())
}
