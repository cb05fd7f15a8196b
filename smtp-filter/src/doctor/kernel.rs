//! Is the kernel new enough, and is it of a kind that the program is made for?

use aya::util::KernelVersion;
use rustix::system::uname;

use super::check::Check;
use crate::system::{self, OLDEST, written};

/// The release, and whether it is one with PREEMPT_RT.
pub fn checks() -> Vec<Check> {
    let about = uname();
    let release = about.release().to_string_lossy();
    vec![version(&release, system::kernel()), real_time(&about.version().to_string_lossy())]
}

fn version(release: &str, found: Option<KernelVersion>) -> Check {
    let oldest = written(OLDEST);
    match found {
        Some(version) if version < OLDEST => Check::failure("kernel", release, format!("boot Linux {oldest} or later")),
        _ => Check::good("kernel", format!("{release}; Linux {oldest} or later is needed")),
    }
}

/// Each CPU has one working area, which another softirq must not enter: docs/compatibility.md.
fn real_time(version: &str) -> Check {
    if version.contains("PREEMPT_RT") {
        return Check::warning(
            "preemption",
            "PREEMPT_RT: softirqs can be interrupted by one another, which the programs are not made for",
            "boot a kernel without PREEMPT_RT",
        );
    }
    Check::good("preemption", "no PREEMPT_RT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_fails_and_a_real_time_one_is_warned_of() {
        assert_eq!(
            version("5.10.0-30-amd64", Some(KernelVersion::new(5, 10, 0))).line(),
            "kernel: 5.10.0-30-amd64; boot Linux 6.1 or later"
        );
        assert!(version("5.10.0", Some(KernelVersion::new(5, 10, 0))).needed);
        assert!(version("6.1.0", Some(KernelVersion::new(6, 1, 0))).ok && version("next", None).ok);
        assert!(!real_time("#1 SMP PREEMPT_RT Debian 6.12.1-1").ok);
        assert!(real_time("#1 SMP PREEMPT_DYNAMIC Debian 6.12.1-1").ok);
    }
}
