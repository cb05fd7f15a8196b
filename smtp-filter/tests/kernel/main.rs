//! The programs in the kernel, run on packets (BPF_PROG_TEST_RUN) and attached to nothing but a pair of one's own.

#[macro_use(test)]
extern crate smtp_filter_testkit;

mod attacker;
mod connections;
mod differential;
mod ends;
mod fixtures;
mod flow;
mod half_made;
mod model;
mod replay;

fn main() -> std::process::ExitCode {
    smtp_filter_testkit::run()
}
