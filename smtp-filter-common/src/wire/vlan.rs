//! 802.1Q and 802.1ad tags in the data. The kernel removes the outer one on ingress; with QinQ one is left.

use super::frame::Frame;
use crate::bounds::VLAN_TAGS;

/// Whether an EtherType is a tag's.
#[inline(always)]
pub const fn is_tag(protocol: u16) -> bool {
    matches!(protocol, 0x8100 | 0x88a8 | 0x9100)
}

/// EtherType after the tags, and where that header begins. If there are more tags than are walked, it is a tag's
/// EtherType.
#[inline(always)]
pub(super) fn skip<F: Frame>(frame: &F) -> (u16, u32) {
    let (mut protocol, mut offset) = (frame.protocol(), 0);
    for _ in 0..VLAN_TAGS {
        if !is_tag(protocol) {
            break;
        }
        // IEEE 802.1Q-2022 section 9.6: tag control information, then the EtherType of what follows.
        let Some(tag) = frame.read::<4>(offset) else { break };
        protocol = tag.u16::<2>();
        offset += 4;
    }
    (protocol, offset)
}
