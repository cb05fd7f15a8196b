//! The shell around the datapath in the kernel.
#![no_std]
#![no_main]

use aya_ebpf::{bindings::tcx_action_base::TCX_NEXT, macros::classifier, programs::TcContext};

#[classifier]
pub fn smtp_ingress(_ctx: TcContext) -> i32 {
    TCX_NEXT
}

#[classifier]
pub fn smtp_egress(_ctx: TcContext) -> i32 {
    TCX_NEXT
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier refuses a program in which a panic can be reached.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
