//! Is the kernel's compiler for BPF on? The interpreter refuses programs with call-backs, which ours have.

use std::{fs, io};

use super::check::Check;

const NAME: &str = "jit";
const SWITCH: &str = "/proc/sys/net/core/bpf_jit_enable";

/// The machine code of the programs on trial, or the switch where there is none: only the machine's first network
/// namespace has it.
pub fn check(machine_code: Option<u32>) -> Check {
    match machine_code {
        Some(bytes) if bytes > 0 => Check::good(NAME, format!("on: {bytes} bytes of machine code for both programs")),
        _ => judge(fs::read_to_string(SWITCH)),
    }
}

fn judge(found: io::Result<String>) -> Check {
    match found.as_deref().map(str::trim) {
        Ok("0") => Check::failure(
            NAME,
            "off: the interpreter refuses programs with call-backs, and smtp-filter's have them",
            "switch it on: `sysctl -w net.core.bpf_jit_enable=1`",
        ),
        Ok(_) => Check::good(NAME, "on"),
        Err(error) => Check::unseen(NAME, format!("read {SWITCH}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_fails_and_on_is_well() {
        assert!(check(Some(9)).ok);
        assert!(judge(Ok("1\n".to_owned())).ok);
        assert!(judge(Ok("0\n".to_owned())).line().ends_with("`sysctl -w net.core.bpf_jit_enable=1`"));
        let unseen = judge(Err(io::ErrorKind::PermissionDenied.into()));
        assert!(!unseen.ok && !unseen.needed, "{unseen:?}");
    }
}
