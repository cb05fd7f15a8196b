//! smtp-filter: an SMTP firewall inside the Linux kernel.

use std::process::ExitCode;

fn main() -> ExitCode {
    smtp_filter::main()
}
