//! Is the kernel's compiler for BPF on? The interpreter refuses programs with call-backs, which ours have.

use std::{fs, io};

use super::check::Check;

const SWITCH: &str = "/proc/sys/net/core/bpf_jit_enable";

/// The switch.
pub fn check() -> Check {
    judge(fs::read_to_string(SWITCH))
}

fn judge(found: io::Result<String>) -> Check {
    match found.as_deref().map(str::trim) {
        Ok("0") => Check::failure(
            "jit",
            "off: the interpreter refuses programs with call-backs, and smtp-filter's have them",
            "switch it on: `sysctl -w net.core.bpf_jit_enable=1`",
        ),
        Ok(_) => Check::good("jit", "on"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Check::failure(
            "jit",
            format!("this kernel has none: there is no {SWITCH}"),
            "boot a kernel with CONFIG_BPF_SYSCALL and CONFIG_BPF_JIT",
        ),
        Err(error) => Check::unseen("jit", format!("read {SWITCH}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_and_absent_fail_and_on_is_well() {
        assert!(judge(Ok("1\n".to_owned())).ok);
        assert!(judge(Ok("0\n".to_owned())).line().ends_with("`sysctl -w net.core.bpf_jit_enable=1`"));
        assert!(judge(Err(io::ErrorKind::NotFound.into())).needed);
        let unseen = judge(Err(io::ErrorKind::PermissionDenied.into()));
        assert!(!unseen.ok && !unseen.needed, "{unseen:?}");
    }
}
