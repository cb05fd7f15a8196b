//! The whole program on networks of namespaces, with real TCP and real mail software.

#[macro_use(test)]
extern crate smtp_filter_testkit;

mod bulk;
mod bytes;
mod chunks;
mod cli;
mod doctor;
mod killed;
mod leftovers;
mod life;
mod marks;
mod monitor;
mod normalise;
mod outputs;
mod profiles;
mod readers;
mod refusals;
mod replay;
mod resets;
mod rewrite;
mod rewrite_large;
mod rules;
mod scope_policies;
mod scopes;
mod software;
mod tables;
mod unmount;

fn main() -> std::process::ExitCode {
    smtp_filter_testkit::run()
}
