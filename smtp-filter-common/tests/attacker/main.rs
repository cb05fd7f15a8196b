//! An attacker that chooses what the server discards: millions of short runs, each drawn from its seed.
//!
//! In the environment:
//! - `ATTACKER_RUNS`: how many runs (otherwise as many as CI takes);
//! - `ATTACKER_SEED`: the first seed (otherwise 0);
//! - `ATTACKER_GO_ON`: go on after a claim is broken, count what breaks by its kind and show the first of each;
//! - `ATTACKER_WITHOUT`: leave out some of `changes`, `ages`, `tags`, `pieces`, `replies` and `handshakes`, parted by
//!   commas;
//! - `ATTACKER_SCRIPT`: play this script again instead, and show every step.
//!
//! A run that breaks a claim is cut down and printed as a script. Those that are worth keeping lie in `scripts/`.
//!
//! Invariants: I1, I3, I4, I6.

mod policies;
mod user_space;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use smtp_filter_testkit::{
    Random,
    attacker::{
        choices,
        play::{Failure, Player, Style},
        run::{Tally, Violation},
        script,
    },
};
use user_space::UserSpace;

/// Runs in CI.
const RUNS: u64 = 1_600_000;
/// Runs that a thread takes at a time.
const SHARE: u64 = 4096;
const STYLE: Style =
    Style { steps: 60, changes: true, ages: true, tags: true, pieces: true, replies: true, handshakes: true };

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// The style, without what the environment leaves out.
fn style() -> Style {
    let mut style = STYLE;
    for word in std::env::var("ATTACKER_WITHOUT").unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
        match word {
            "changes" => style.changes = false,
            "ages" => style.ages = false,
            "pieces" => style.pieces = false,
            "tags" => style.tags = false,
            "replies" => style.replies = false,
            "handshakes" => style.handshakes = false,
            _ => panic!("ATTACKER_WITHOUT: what is {word}?"),
        }
    }
    style
}

/// The runs of some seeds. What breaks is handed over; whether to go on after it.
fn share(
    seeds: std::ops::Range<u64>,
    style: Style,
    tally: &mut Tally,
    broken: &dyn Fn(&mut Player<'_, UserSpace>, Failure) -> bool,
) -> bool {
    let mut filter = UserSpace::new();
    let setup = choices::setup(&mut Random::new(0), 1, STYLE);
    let mut from = seeds.start;
    while from < seeds.end {
        let mut at = from;
        let (mut goes_on, mut counted) = (true, Tally::default());
        let mut player = Player::new(&mut filter, setup);
        // A panic is found like anything else.
        let played = catch_unwind(AssertUnwindSafe(|| {
            while at < seeds.end {
                let played = player.seed(at, style, None);
                counted = *player.tally();
                if let Err(failure) = played {
                    goes_on = broken(&mut player, *failure);
                    return;
                }
                at += 1;
            }
        }));
        tally.add(&counted);
        if played.is_err() {
            filter = UserSpace::new();
            let violation = Violation { kind: "panic", what: format!("seed {at}") };
            let failure = Failure { seed: at, violation, setup, ops: Vec::new() };
            goes_on = broken(&mut Player::new(&mut filter, setup), failure);
        }
        if !goes_on {
            return false;
        }
        from = at + 1;
    }
    true
}

fn show(failure: &Failure) -> String {
    let Failure { seed, violation, setup, ops } = failure;
    format!("# seed {seed}: {}: {}\n{}", violation.kind, violation.what, script::print(setup, ops))
}

/// All threads take shares of the seeds until there are none left or one is broken.
fn runs(first: u64, count: u64, style: Style, goes_on: bool) -> (Tally, BTreeMap<&'static str, (u64, Failure)>) {
    let (taken, total) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let found: Mutex<BTreeMap<&'static str, (u64, Failure)>> = Mutex::new(BTreeMap::new());
    let broken = |player: &mut Player<'_, UserSpace>, failure: Failure| {
        let mut found = found.lock().expect("a lock");
        match found.get_mut(failure.violation.kind) {
            Some((count, first)) => {
                *count += 1;
                if failure.seed < first.seed {
                    *first = player.shrink(&failure);
                }
            }
            None => {
                found.insert(failure.violation.kind, (1, player.shrink(&failure)));
            }
        }
        if !goes_on {
            taken.store(count, Ordering::Relaxed);
        }
        goes_on
    };
    let work = || {
        let mut tally = Tally::default();
        loop {
            let from = taken.fetch_add(SHARE, Ordering::Relaxed);
            if from >= count {
                break;
            }
            if !share(first + from..first + (from + SHARE).min(count), style, &mut tally, &broken) {
                break;
            }
        }
        total.lock().expect("a lock").add(&tally);
    };
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    (total.into_inner().expect("a lock"), found.into_inner().expect("a lock"))
}

#[test]
fn no_server_puts_together_what_the_policy_forbids() {
    if let Ok(path) = std::env::var("ATTACKER_SCRIPT") {
        return replay(&path);
    }
    let (first, count) = (variable("ATTACKER_SEED").unwrap_or(0), variable("ATTACKER_RUNS").unwrap_or(RUNS));
    let begun = Instant::now();
    let (tally, found) = runs(first, count, style(), std::env::var_os("ATTACKER_GO_ON").is_some());
    let rate = tally.runs as f64 / begun.elapsed().as_secs_f64();
    println!("seeds from {first} on, {rate:.0} runs a second: {tally:#?}");
    for (kind, (count, failure)) in &found {
        println!("\n{kind}: {count}, the first of them:\n{}", show(failure));
    }
    assert!(
        found.is_empty(),
        "claims are broken, first by seeds {:?}",
        found.values().map(|(_, failure)| failure.seed).collect::<Vec<_>>()
    );
    // Runs that reach nothing prove nothing.
    let Tally { runs, segments, passed, commands, ends_of_data, chunks, keywords, resets, full } = tally;
    assert!(segments > runs * 15 && passed > segments / 3 && commands > runs / 2, "{tally:?}");
    assert!(ends_of_data > runs / 50 && chunks > runs / 100 && keywords > runs / 10, "{tally:?}");
    assert!(resets > runs / 50 && full > runs / 500, "{tally:?}");
}

/// Plays a script again, step by step.
fn replay(path: &str) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("read {path}: {error}"));
    let (setup, ops) = script::parse(&text);
    for count in 0..=ops.len() {
        let mut filter = UserSpace::new();
        let mut player = Player::new(&mut filter, setup);
        let played = player.script(setup, &ops[..count]);
        println!("{}", if count == 0 { setup.to_string() } else { ops[count - 1].to_string() });
        println!("    {}", player.state());
        if let Err(Violation { kind, what }) = played {
            panic!("{kind}: {what}");
        }
    }
}

#[test]
fn what_once_broke_a_claim_does_not_any_more() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/attacker/scripts");
    let mut broken = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the scripts") {
        let path = entry.expect("a script").path();
        let (setup, ops) = script::parse(&std::fs::read_to_string(&path).expect("text"));
        let mut filter = UserSpace::new();
        if let Err(violation) = Player::new(&mut filter, setup).script(setup, &ops) {
            broken.push(format!("{}: {violation:?}", path.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_script_reads_as_it_was_written() {
    let mut filter = UserSpace::new();
    let setup = choices::setup(&mut Random::new(7), 8, STYLE);
    let mut player = Player::new(&mut filter, setup);
    for seed in 0..200 {
        let _ = player.seed(seed, STYLE, None);
        let (setup, ops) = player.last();
        let (read, again) = script::parse(&script::print(&setup, &ops));
        assert!(read == setup && again == ops, "{}", script::print(&setup, &ops));
    }
}
