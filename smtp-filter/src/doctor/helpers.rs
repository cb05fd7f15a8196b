//! Does the kernel have what the programs are made of: the kind of program, its helpers, the kinds of maps?

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported},
};

use super::check::Check;

/// What the programs call, by name, with the first kernel that has it where that is not an old one.
const HELPERS: [(&str, BpfHelper); 14] = [
    ("bpf_map_lookup_elem", BpfHelper::BPF_FUNC_map_lookup_elem),
    ("bpf_map_update_elem", BpfHelper::BPF_FUNC_map_update_elem),
    ("bpf_map_delete_elem", BpfHelper::BPF_FUNC_map_delete_elem),
    ("bpf_get_prandom_u32", BpfHelper::BPF_FUNC_get_prandom_u32),
    ("bpf_clone_redirect", BpfHelper::BPF_FUNC_clone_redirect),
    ("bpf_skb_load_bytes", BpfHelper::BPF_FUNC_skb_load_bytes),
    ("bpf_skb_load_bytes_relative", BpfHelper::BPF_FUNC_skb_load_bytes_relative),
    ("bpf_skb_store_bytes", BpfHelper::BPF_FUNC_skb_store_bytes),
    ("bpf_skb_pull_data", BpfHelper::BPF_FUNC_skb_pull_data),
    ("bpf_skb_change_tail", BpfHelper::BPF_FUNC_skb_change_tail),
    ("bpf_ktime_get_ns", BpfHelper::BPF_FUNC_ktime_get_ns),
    ("bpf_ktime_get_boot_ns (5.8)", BpfHelper::BPF_FUNC_ktime_get_boot_ns),
    ("bpf_ringbuf_output (5.8)", BpfHelper::BPF_FUNC_ringbuf_output),
    ("bpf_loop (5.17)", BpfHelper::BPF_FUNC_loop),
];

const MAPS: [(&str, MapType); 5] = [
    ("LRU hash tables", MapType::LruHash),
    ("arrays", MapType::Array),
    ("arrays for each CPU", MapType::PerCpuArray),
    ("arrays of maps", MapType::ArrayOfMaps),
    ("ring buffers", MapType::RingBuf),
];

/// Asks the kernel about each.
pub fn checks() -> Vec<Check> {
    let program = is_program_supported(ProgramType::SchedClassifier).map_err(|error| error.to_string());
    let helper = |helper| is_helper_supported(ProgramType::SchedClassifier, helper).map_err(|error| error.to_string());
    let map = |kind| is_map_supported(kind).map_err(|error| error.to_string());
    vec![
        judge("program_kind", "kinds of programs", &[("classifiers", program)]),
        judge("helpers", "helpers", &HELPERS.map(|(name, which)| (name, helper(which)))),
        judge("maps", "kinds of maps", &MAPS.map(|(name, kind)| (name, map(kind)))),
    ]
}

fn judge(name: &str, what: &str, answers: &[(&str, Result<bool, String>)]) -> Check {
    let missing: Vec<&str> = answers.iter().filter(|(_, answer)| *answer == Ok(false)).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        return Check::failure(
            name,
            format!("this kernel lacks {}", missing.join(", ")),
            "boot Linux 6.1 or later with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF",
        );
    }
    if let Some((_, Err(error))) = answers.iter().find(|(_, answer)| answer.is_err()) {
        return Check::unseen(name, error);
    }
    Check::good(name, format!("{what} that the programs need: {0} of {0}", answers.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let check = judge("helpers", "helpers", &[("bpf_loop (5.17)", Ok(false)), ("bpf_map_lookup_elem", Ok(true))]);
        assert!(check.needed && check.found == "this kernel lacks bpf_loop (5.17)", "{check:?}");
        let unseen = judge("maps", "kinds of maps", &[("arrays", Err("not permitted".to_owned()))]);
        assert!(!unseen.needed && unseen.found == "not looked at: not permitted", "{unseen:?}");
    }
}
