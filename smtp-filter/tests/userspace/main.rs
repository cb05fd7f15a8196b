//! What needs no root: the command line, replay, and the datapath in user space against the model.

#[macro_use(test)]
extern crate smtp_filter_testkit;

mod cli;
mod generate;
mod model;
mod replay;
mod replay_write;
mod scopes;
mod stack;

fn main() -> std::process::ExitCode {
    smtp_filter_testkit::run()
}
