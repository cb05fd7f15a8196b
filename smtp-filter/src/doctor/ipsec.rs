//! IPsec encrypts before the hook at egress: what leaves that way cannot be read, and the state does not move.

use rustix::{io::Errno, net::netlink};

use super::check::Check;
use crate::kernel::netlink::{NLM_F_DUMP, request, talk_to};

// linux/xfrm.h
const XFRM_MSG_NEWPOLICY: u16 = 0x13;
const XFRM_MSG_GETPOLICY: u16 = 0x15;
/// Places in `struct xfrm_userpolicy_info`.
const DIRECTION: usize = 160;
const ACTION: usize = 161;
/// `XFRM_POLICY_OUT`, `XFRM_POLICY_ALLOW`.
const OUT: u8 = 1;
const ALLOW: u8 = 0;
/// `struct xfrm_userpolicy_id`.
const ID: usize = 64;

/// Policies for what leaves.
pub fn check() -> Check {
    let mut policies = 0;
    let ask = request(XFRM_MSG_GETPOLICY, NLM_F_DUMP, &[0; ID]);
    let done = talk_to(Some(netlink::XFRM), &ask, |kind, body| {
        let leaves = body.get(DIRECTION) == Some(&OUT) && body.get(ACTION) == Some(&ALLOW);
        policies += u32::from(kind == XFRM_MSG_NEWPOLICY && leaves);
    });
    judge(done.map(|()| policies))
}

fn judge(policies: Result<u32, Errno>) -> Check {
    const NAME: &str = "ipsec";
    match policies {
        Ok(0) | Err(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT) => Check::good(NAME, "no policy"),
        Ok(policies) => Check::warning(
            NAME,
            format!("{policies} policies for what leaves: it is encrypted before the hook and cannot be read"),
            "put the filter on the side in clear, or except the ports: `ip xfrm policy` shows them",
        ),
        Err(error) => Check::unseen(NAME, format!("list the policies: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_ipsec_is_well() {
        assert!(judge(Err(Errno::PROTONOSUPPORT)).ok && judge(Ok(0)).ok && !judge(Ok(1)).ok);
        assert!(judge(Err(Errno::PERM)).found.starts_with("not looked at"));
    }
}
