//! Numbers of protocols, and the policy's ports.

use super::frame::Frame;
use crate::policy::Policy;

/// EtherType of IPv4.
pub(super) const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub(super) const IPV6: u16 = 0x86dd;
/// Protocol number of TCP.
pub(super) const TCP: u8 = 6;

/// Whether a port is one of the policy's.
#[inline(always)]
pub(super) fn is_ours<F: Frame>(policy: &Policy, port: u16) -> bool {
    policy.port_bit(F::opaque(port as u32 >> 6), port)
}
