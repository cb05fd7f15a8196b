//! The programs in the kernel, run on packets by BPF_PROG_TEST_RUN: the real ones and, beside them, an empty one.

use anyhow::{Context as _, Result, ensure};
use aya::{
    TestRunOptions,
    maps::HashMap,
    programs::{ProgramInfo, SchedClassifier, TestRun as _},
    sys::{Stats, enable_stats},
};
use smtp_filter::{
    clock::since_boot,
    events::reader::EventReader,
    loader::{Filter, LoadOptions},
    policy::{Names, Profile, compile, set},
};
use smtp_filter_common::{abi, entry::Connection};
use smtp_filter_testkit::dialogue::Side;

use super::{
    session::{Segment, Session},
    support::median,
};

/// Passes, and lets later programs look (`TCX_NEXT`).
const NEXT: u32 = u32::MAX;

/// Program time in nanoseconds, medians.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Of the filter.
    pub filter: f64,
    /// Of the empty program.
    pub nothing: f64,
    /// The difference, round by round.
    pub above: f64,
}

/// How often things are measured.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Rounds, each with both programs.
    pub rounds: u32,
    /// Runs in a round of one and the same packet.
    pub repeat: u32,
    /// Packets in a round where each is another.
    pub packets: u32,
}

/// The loaded programs, to be measured.
pub struct Meter {
    filter: Filter,
    rounds: Rounds,
}

impl Meter {
    /// Loads them, with every command logged, in mode `enforce`. Checksums are not looked at: BPF_PROG_TEST_RUN brings
    /// frames that no network card has looked at, as a wire seldom does.
    pub fn load(connections: u32, rounds: Rounds) -> Result<Self> {
        Self::load_with(connections, rounds, "guards.checksum=pass")
    }

    /// The same with another setting.
    pub fn load_with(connections: u32, rounds: Rounds, setting: &str) -> Result<Self> {
        let mut filter = Filter::load(&LoadOptions { connections, ..LoadOptions::default() })?;
        let settings = ["mode=enforce", setting];
        let document = set(&Profile::Monitor.document(), &settings).map_err(anyhow::Error::msg)?;
        let policy = compile(&document, &mut Names::default(), 1, since_boot())?;
        filter.set_policy(&policy)?;
        let mut meter = Self { filter, rounds };
        meter.program(abi::NOTHING)?.load().context("load the empty program")?;
        Ok(meter)
    }

    fn program(&mut self, name: &str) -> Result<&mut SchedClassifier> {
        let program = self.filter.ebpf().program_mut(name).with_context(|| format!("no program {name}"))?;
        Ok(program.try_into()?)
    }

    /// For each program: its name, instructions that the verifier walked, and bytes of machine code.
    pub fn sizes(&self) -> Result<Vec<(&'static str, u32, u32)>> {
        let size = |(name, info): (_, ProgramInfo)| {
            let walked = info.verified_instruction_count().context("the kernel tells no count of instructions")?;
            Ok((name, walked, info.size_jitted()))
        };
        self.filter.programs()?.into_iter().map(size).collect()
    }

    /// A new reader of events.
    pub fn reader(&self) -> Result<EventReader> {
        self.filter.reader()
    }

    /// Runs segments through the program of their side; all pass.
    pub fn play(&mut self, segments: &[Segment]) -> Result<()> {
        for Segment { from, frame } in segments {
            self.run(program_of(*from), frame, 1)?;
        }
        Ok(())
    }

    /// Runs a program; returns its time in nanoseconds, a run's.
    fn run(&mut self, program: &str, frame: &[u8], repeat: u32) -> Result<f64> {
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() };
        let result = self.program(program)?.test_run(options).context("run a program on a packet")?;
        ensure!(result.return_value == NEXT, "{program} returned {} for a packet that passes", result.return_value);
        Ok(result.duration.as_nanos() as f64)
    }

    /// Measures a segment that changes nothing: the same one again and again.
    pub fn repeated(&mut self, from: Side, frame: &[u8]) -> Result<Figures> {
        let Rounds { rounds, repeat, .. } = self.rounds;
        let mut pairs = Vec::new();
        for _ in 0..rounds {
            let filter = self.run(program_of(from), frame, repeat)?;
            pairs.push((filter, self.run(abi::NOTHING, frame, repeat)?));
        }
        Ok(figures(&pairs))
    }

    /// Measures segments of one side that come one after the other, each another: `next` gives what comes next, of
    /// both sides. Time is what the kernel counts for each program, its reading of the clock included.
    pub fn streamed(&mut self, side: Side, mut next: impl FnMut() -> Result<Vec<Segment>>) -> Result<Figures> {
        let Rounds { rounds, packets, .. } = self.rounds;
        let _counting = enable_stats(Stats::RunTime).context("have the kernel count program time")?;
        let mut pairs = Vec::new();
        for round in 0..rounds + 1 {
            let mut segments = Vec::new();
            while segments.iter().filter(|segment: &&Segment| segment.from == side).count() < packets as usize {
                segments.extend(next()?);
            }
            let filter = self.counted(program_of(side), |meter| meter.play(&segments))?;
            let nothing = self.counted(abi::NOTHING, |meter| {
                let same = segments.iter().filter(|segment| segment.from == side);
                same.map(|segment| meter.run(abi::NOTHING, &segment.frame, 1)).try_for_each(|ran| ran.map(drop))
            })?;
            // The first round warms caches.
            if round > 0 {
                pairs.push((filter, nothing));
            }
        }
        Ok(figures(&pairs))
    }

    /// Time of a program for each of its runs in `work`.
    fn counted(&mut self, program: &str, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<f64> {
        let before = self.program(program)?.info()?;
        work(self)?;
        let after = self.program(program)?.info()?;
        let figure = |info: &ProgramInfo| (info.run_time().as_nanos() as f64, info.run_count() as f64);
        let ((time, count), (time_before, count_before)) = (figure(&after), figure(&before));
        ensure!(count > count_before, "{program} did not run");
        Ok((time - time_before) / (count - count_before))
    }

    /// Puts copies of a live connection into the table, for the clients of these sessions.
    pub fn copy(&mut self, of: &Session, sessions: impl Iterator<Item = Session>) -> Result<()> {
        let map = self.filter.ebpf().map_mut(abi::LIVE).context("no table of live connections")?;
        let mut live: HashMap<_, [u8; 36], [u8; size_of::<Connection>()]> = map.try_into()?;
        let value = live.get(&of.key(), 0).context("look a live connection up")?;
        for session in sessions {
            live.insert(session.key(), value, 0).context("copy a live connection")?;
        }
        Ok(())
    }
}

fn program_of(side: Side) -> &'static str {
    match side {
        Side::Client => abi::INGRESS,
        Side::Server => abi::EGRESS,
    }
}

fn figures(pairs: &[(f64, f64)]) -> Figures {
    let of = |figure: fn(&(f64, f64)) -> f64| median(&mut pairs.iter().map(figure).collect::<Vec<_>>());
    Figures { filter: of(|pair| pair.0), nothing: of(|pair| pair.1), above: of(|pair| pair.0 - pair.1) }
}
