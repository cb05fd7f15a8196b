//! What the kernel has of a filter, and how it is reached: programs and maps, their pins, hooks and namespaces.

pub(crate) mod attach;
pub(crate) mod bpffs;
pub mod loader;
pub mod lock;
pub(crate) mod netlink;
pub mod netns;
pub mod pins;
pub(crate) mod pod;
pub mod record;
pub mod tables;
