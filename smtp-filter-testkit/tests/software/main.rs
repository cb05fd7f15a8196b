//! Networks and the distribution's mail software, without a filter between.

#[macro_use(test)]
extern crate smtp_filter_testkit;

mod cleanup;
mod distribution;
mod postfix;

fn main() -> std::process::ExitCode {
    smtp_filter_testkit::run()
}
