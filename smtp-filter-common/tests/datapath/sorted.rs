//! The lists in a slot of the pool say what a list in any order would, whatever is dropped, forgotten or joined (I4).

use crate::support::bare::Bare;
use smtp_filter_common::{
    bounds::{ENTRY_RANGES, POOL_BOUNDARIES, POOL_RANGES},
    seq::Seq,
    session::data::{self, State},
    stream::{
        boundaries::{self, lookup},
        in_segment::{Fit, Position},
        out_of_order::{add::add, join::reach, search::search},
        slots, sorted,
    },
    work::Work,
};
use smtp_filter_testkit::Random;

/// Bytes of mail data without an end of data.
const BYTES: u32 = 1 << 17;

/// A range that has passed out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: u32,
    to: u32,
}

/// What is remembered, in no order. Numbers are offsets in the mail data.
#[derive(Clone, Debug, Default)]
struct Model {
    boundaries: Vec<u32>,
    ranges: Vec<Range>,
    next: u32,
    acknowledged: u32,
}

/// What a trial is like.
#[derive(Clone, Copy)]
struct Kind {
    spread: u32,
    in_order: u32,
    boundaries: u32,
}

const KINDS: [Kind; 3] = [
    Kind { spread: 9_000, in_order: 2, boundaries: 2 },
    Kind { spread: 40_000, in_order: 10, boundaries: 50 },
    Kind { spread: 20_000, in_order: 5, boundaries: 4 },
];

/// Mail data, and what is remembered of it: by the datapath, and by a model.
struct Trial {
    host: Bare,
    work: Box<Work>,
    dice: Random,
    /// Sequence number of its first byte.
    base: Seq,
    /// The scanner's state before each byte.
    states: Vec<State>,
    model: Model,
    /// How far from the gap segments lie, how many of them fill none, and which boundaries are remembered.
    kind: Kind,
    full: [u32; 2],
    joined: u32,
}

fn states(dice: &mut Random) -> Vec<State> {
    let mut states = vec![State::LINE];
    let mut state = State::LINE;
    for _ in 0..BYTES {
        let byte = b"a\r\n."[dice.below(4) as usize];
        state = match data::next(state, byte) {
            State::END => State::MIDDLE,
            state => state,
        };
        states.push(state);
    }
    states
}

impl Trial {
    fn new(seed: u64, base: Seq) -> Self {
        let kind = KINDS[(seed % 3) as usize];
        let mut dice = Random::new(seed);
        let states = states(&mut dice);
        let mut work = Box::new(Work::new());
        work.state.side[0].next = base;
        work.state.memory.end_of_data = [base.minus(1 << 20); 2];
        Self { host: Bare::new(), work, dice, base, states, model: Model::default(), kind, full: [0; 2], joined: 0 }
    }

    fn at(&self, offset: u32) -> Seq {
        self.base.plus(offset)
    }

    fn state(&self, offset: u32) -> State {
        self.states[offset as usize]
    }

    /// One segment: some of them are dropped after all.
    fn segment(&mut self) {
        let (kept, model) = (self.work.state, self.model.clone());
        let acknowledged = self.model.acknowledged;
        if self.dice.one_in(3) {
            self.model.acknowledged = (acknowledged + self.dice.below(400)).min(self.model.next);
        }
        let acknowledged = self.model.acknowledged;
        self.work.stream.acknowledged = self.at(acknowledged);
        self.work.block.action = 0;
        let from = self.work.stream.acknowledged;
        self.work.state.memory.forget_acknowledged(from);
        if self.work.state.memory.slot != 0 {
            assert!(slots::look_after_lists(&mut self.host, &mut self.work));
        }
        self.model.boundaries.retain(|at| *at >= acknowledged);
        self.is_sorted();
        self.looks();
        let passes = if self.dice.one_in(self.kind.in_order) { self.in_order() } else { self.out_of_order() };
        if !passes || self.dice.one_in(4) && !self.changed_ranges(&model) {
            // Acknowledgements go on all the same.
            self.work.state = kept;
            self.model = Model { acknowledged, ..model };
        }
    }

    /// Ranges change where it is certain that the segment passes.
    fn changed_ranges(&self, before: &Model) -> bool {
        self.model.ranges != before.ranges && self.model.next == before.next
    }

    fn out_of_order(&mut self) -> bool {
        let from = self.model.next + 1 + self.dice.below(self.kind.spread);
        let to = from + 4 + self.dice.below(20);
        // Some lie right after one, or before one, or inside one.
        let (from, to) = match self.dice.below(4) {
            0 if !self.model.ranges.is_empty() => {
                let near = self.model.ranges[self.dice.below(self.model.ranges.len() as u32) as usize];
                match self.dice.below(3) {
                    0 => (near.to, near.to + to - from),
                    1 => (near.from.saturating_sub(to - from).max(self.model.next + 1), near.from),
                    _ => (near.from, near.to),
                }
            }
            _ => (from, to),
        };
        if to - from < 4 {
            return false;
        }
        let (start, end) = (self.at(from), self.at(to));
        search(&mut self.host, &mut self.work, start, end);
        let touched = self.model.ranges.iter().filter(|range| range.to > from && range.from < to);
        let mut place = Position::APART;
        for range in touched {
            place = if from >= range.from && to <= range.to { Position::INSIDE } else { Position::ACROSS };
        }
        let before = self.model.ranges.iter().find(|range| range.to == from);
        if place == Position::APART && before.is_some() {
            place = Position::AFTER;
        }
        let found = self.work.stream.neighbours;
        assert_eq!(found.position, place);
        if place == Position::AFTER {
            assert_eq!(found.before, u32::from(self.state(from).0));
        }
        if place != Position::APART && place != Position::AFTER {
            return true;
        }
        if !self.notes(from, to, boundaries::SPARE)
            || self.state(to) != State::MIDDLE && !self.note(to, boundaries::SPARE)
        {
            return false;
        }
        let state = self.state(to);
        let added = add(&mut self.host, &mut self.work, start, end, state);
        let ranges = &mut self.model.ranges;
        let mut merged = Range { from, to };
        let touches = ranges.iter().filter(|range| range.to == from || range.from == to).count();
        if !added {
            assert!(touches == 0 && ranges.len() >= POOL_RANGES, "{} ranges", ranges.len());
            self.full[0] += 1;
            return false;
        }
        for range in ranges.iter().filter(|range| range.to == from || range.from == to) {
            merged = Range { from: merged.from.min(range.from), to: merged.to.max(range.to) };
        }
        ranges.retain(|range| range.to != from && range.from != to);
        ranges.push(merged);
        assert!(ranges.len() <= ENTRY_RANGES + POOL_RANGES);
        true
    }

    fn in_order(&mut self) -> bool {
        let from = self.model.next;
        let to = from + 1 + self.dice.below(60);
        if !self.notes(from, to, 0) {
            return false;
        }
        self.work.state.side[0].next = self.at(to);
        self.work.state.memory.data_state = self.state(to);
        self.model.next = to;
        if self.work.state.memory.has_ranges() {
            reach(&mut self.host, &mut self.work);
            let reached = self.model.ranges.iter().copied().find(|range| range.from <= to && range.to > to);
            let stop = reached.map_or(to, |range| range.to);
            let found = self.work.stream.joined;
            assert_eq!(found.reached, self.at(stop));
            assert_eq!(found.state, u32::from(self.state(stop).0));
            assert_eq!(found.inside != 0, reached.is_some_and(|range| range.from < to));
            if found.fit != Fit::FITS || reached.is_some() && !self.note(to, 0) {
                return false;
            }
            self.joined += u32::from(reached.is_some());
            self.work.state.side[0].next = self.at(stop);
            self.work.state.memory.data_state = self.state(stop);
            self.model.next = stop;
        }
        let next = self.model.next;
        self.model.ranges.retain(|range| range.to > next);
        true
    }

    /// Where the segment begins, and where its pieces meet.
    fn notes(&mut self, from: u32, to: u32, spare: usize) -> bool {
        let mut at = from;
        while at < to {
            if self.dice.one_in(self.kind.boundaries) && !self.note(at, spare) {
                return false;
            }
            at += 4 + self.dice.below(12);
        }
        true
    }

    fn note(&mut self, offset: u32, spare: usize) -> bool {
        let (at, state) = (self.at(offset), self.state(offset).0);
        let noted = boundaries::remember(&mut self.host, &mut self.work, at, state, spare);
        if noted {
            self.model.boundaries.push(offset);
        } else {
            let pool = self.work.state.memory.boundaries as usize;
            assert!(pool + spare >= POOL_BOUNDARIES && self.model.boundaries.len() >= POOL_BOUNDARIES - spare);
            self.full[1] += 1;
        }
        noted
    }

    fn is_sorted(&self) {
        let memory = &self.work.state.memory;
        let end = |word: u64| sorted::end(word).since(self.base);
        for ring in [memory.sorted_ranges(), memory.sorted_boundaries()] {
            let words: Vec<u64> = (0..ring.count).map(|i| self.host.list[ring.index::<Bare>(i)]).collect();
            for pair in words.windows(2) {
                assert!(end(pair[0]) <= end(pair[1]));
            }
        }
        let ring = memory.sorted_ranges();
        let words: Vec<u64> = (0..ring.count).map(|i| self.host.list[ring.index::<Bare>(i)]).collect();
        for pair in words.windows(2) {
            assert!(end(pair[0]) < Seq(pair[1] as u32).since(self.base));
        }
        assert_eq!(memory.fresh, 0);
    }

    /// Looks up places that are remembered, and some near them.
    fn looks(&mut self) {
        for _ in 0..4 {
            let most = self.model.next + self.kind.spread + 100;
            let mut at = self.model.acknowledged + self.dice.below(most - self.model.acknowledged);
            if self.dice.one_in(2) && !self.model.boundaries.is_empty() {
                at = self.model.boundaries[self.dice.below(self.model.boundaries.len() as u32) as usize];
                at = at.saturating_sub(self.dice.below(6));
            }
            self.look(at);
            let to = at + self.dice.below(300);
            self.finds(at, to);
        }
    }

    fn look(&mut self, offset: u32) {
        let at = self.at(offset);
        let (known, near) = lookup::state_at(&mut self.host, &mut self.work, at, u32::MAX);
        let says = |place: u32| place > offset && place - offset < u32::from(self.state(place).0);
        let ends = || self.model.ranges.iter().map(|range| range.to);
        let is_known = self.model.boundaries.contains(&offset) || ends().any(|end| end == offset || says(end));
        let is_near = self.model.boundaries.iter().any(|place| says(*place));
        if offset < self.model.acknowledged {
            return;
        }
        assert_eq!(known, if is_known { self.state(offset) } else { State::UNKNOWN }, "at {offset}");
        if !is_known {
            assert_eq!(near, if is_near { self.state(offset) } else { State::UNKNOWN }, "near {offset}");
        }
    }

    fn finds(&mut self, from: u32, to: u32) {
        let (start, stop) = (self.at(from), self.at(to));
        let count = lookup::find(&mut self.host, &mut self.work, start, stop);
        let mut found: Vec<_> = (0..count)
            .map(|index| lookup::listed(&mut self.host, &self.work, index))
            .filter(|(_, state, _)| *state != State::UNKNOWN.0)
            .map(|(at, state, _)| (at.since(self.base), state))
            .filter(|(at, _)| *at >= from && *at < to)
            .collect();
        let ends = self.model.ranges.iter().map(|range| range.to);
        let mut expected: Vec<_> = self.model.boundaries.iter().copied().chain(ends).collect();
        expected.retain(|at| *at >= from && *at < to && *at >= self.model.acknowledged);
        let mut expected: Vec<_> = expected.into_iter().map(|at| (at, self.state(at).0)).collect();
        found.sort_unstable();
        expected.sort_unstable();
        // The entry keeps one sequence number once.
        found.dedup();
        expected.dedup();
        assert_eq!(found, expected);
    }
}

#[test]
fn sorted_lists_say_what_a_list_in_any_order_says() {
    let (mut full, mut joined) = ([0; 2], 0);
    for seed in 0..30 {
        let base = if seed % 2 == 0 { Seq(0).minus(20_000) } else { Seq(1 << 31) };
        let mut trial = Trial::new(seed, base);
        for _ in 0..4_000 {
            if trial.model.next > BYTES - trial.kind.spread - 1_000 {
                break;
            }
            trial.segment();
        }
        full = [full[0] + trial.full[0], full[1] + trial.full[1]];
        joined += trial.joined;
    }
    assert!(full.iter().all(|times| *times > 0) && joined > 100, "{full:?} {joined}");
}

/// A list that is sorted already is a right one for any number of fresh boundaries: what a dropped segment sorted in.
#[test]
fn fresh_boundaries_are_sorted_in_wherever_they_belong() {
    for (older, fresh) in [(0, 1), (1, 1), (15, 3), (16, 1), (17, 40), (300, 212), (511, 1), (480, 32), (1, 511)] {
        let mut dice = Random::new(older as u64);
        let mut trial = Trial::new(1, Seq(u32::MAX - 500));
        let mut list = |count: usize| {
            let mut list: Vec<u32> = (0..count).map(|_| dice.below(3_000)).collect();
            list.sort_unstable();
            list
        };
        let (older, fresh) = (list(older), list(fresh));
        let memory = &mut trial.work.state.memory;
        (memory.slot, memory.first_boundary) = (1, 65_400);
        (memory.boundaries, memory.fresh) = ((older.len() + fresh.len()) as u16, fresh.len() as u16);
        let ring = memory.sorted_boundaries();
        for (number, offset) in (0..).zip(older.iter().chain(&fresh)) {
            trial.host.list[ring.index::<Bare>(number)] = u64::from((u32::MAX - 500).wrapping_add(*offset));
        }
        let before = trial.work.state;
        let mut all: Vec<u32> = older.iter().chain(&fresh).copied().collect();
        all.sort_unstable();
        for _ in 0..2 {
            trial.work.state = before;
            sorted::sort_boundaries(&mut trial.host, &mut trial.work);
            let ring = trial.work.state.memory.sorted_boundaries();
            let word = |number| trial.host.list[ring.index::<Bare>(number)] as u32;
            let sorted: Vec<u32> = (0..ring.count).map(|number| word(number).wrapping_sub(u32::MAX - 500)).collect();
            assert_eq!(sorted, all);
        }
    }
}
