//! May this user load programs and attach them?

use super::check::Check;
use crate::system;

/// Root, or the capabilities.
pub fn check() -> Check {
    if system::is_privileged() {
        return Check::good("privileges", "enough: root, or CAP_BPF and CAP_NET_ADMIN");
    }
    Check::failure("privileges", "neither root nor CAP_BPF and CAP_NET_ADMIN", "run smtp-filter with sudo")
}
