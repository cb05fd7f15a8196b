//! The frame of a test program: its tests run several at a time, each after a look at what it needs.
//!
//! The frame that comes with the language knows only tests that pass and tests that fail: one that finds at run time
//! that it has no root, or no `strace`, would count as passed. Here it is ignored, and the reason is printed.

pub mod need;
mod times;

use std::{
    process::ExitCode,
    sync::{PoisonError, RwLock},
};

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use linkme::distributed_slice;

use need::{Need, Skip};

/// Tests at a time, for each CPU: most of them wait, for one another's segments or for a timer.
const PER_CPU: usize = 2;

/// A test, as the attribute `test` of this crate makes it of a function.
pub struct Test {
    /// The module, from the program's name on.
    pub module: &'static str,
    /// The function.
    pub name: &'static str,
    /// Without these it is ignored.
    pub needs: &'static [Need],
    /// Nothing runs beside it.
    pub alone: bool,
    /// It begins before the others.
    pub long: bool,
    /// Runs it.
    pub run: fn() -> Result<()>,
}

/// The tests of this program.
#[distributed_slice]
pub static TESTS: [Test];

/// How a test ends: well if it comes back at all, or by its result.
pub trait Ending {
    /// The result.
    fn end(self) -> Result<()>;
}

impl Ending for () {
    fn end(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<anyhow::Error>> Ending for Result<(), E> {
    fn end(self) -> Result<()> {
        self.map_err(Into::into)
    }
}

/// Write-locked by a test that wants to be alone.
static OTHERS: RwLock<()> = RwLock::new(());

impl Test {
    /// Its path without the program's name.
    fn path(&self) -> String {
        let module = self.module.split_once("::").map_or("", |(_, module)| module);
        [module, self.name].join("::").trim_start_matches(':').to_owned()
    }

    fn judge(&self) -> Result<Completion, Failed> {
        let ended = self.needs.iter().try_for_each(|need| need()).and_then(|()| {
            if self.alone {
                let _alone = OTHERS.write().unwrap_or_else(PoisonError::into_inner);
                times::measured(&self.path(), self.run)
            } else {
                let _beside = OTHERS.read().unwrap_or_else(PoisonError::into_inner);
                times::measured(&self.path(), self.run)
            }
        });
        match ended {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => match error.downcast_ref::<Skip>() {
                Some(skip) => Ok(Completion::ignored_with(skip)),
                None => Err(format!("{error:?}").into()),
            },
        }
    }
}

/// Runs the tests that the command line asks for, with the words of any test program of Rust.
pub fn run() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(cpus * PER_CPU);
    let mut tests: Vec<&'static Test> = TESTS.iter().collect();
    // Those that want to be alone come last, where nobody waits for them.
    tests.sort_by_key(|test| (test.alone, !test.long, test.path()));
    let trials = tests.into_iter().map(|test| Trial::ignorable_test(test.path(), || test.judge())).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
