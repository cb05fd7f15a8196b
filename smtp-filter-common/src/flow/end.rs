//! How a connection ends, and leaves the live table.

use super::{gone, gone::Gone};
use crate::{
    direction::{Client, Direction as _, Server},
    entry::{CLOSED, DEAD, RESET, Shared, State, TLS, first_of},
    event::Ended,
    flow::lock,
    host::Host,
    report,
    stream::slots,
    wire::RST,
    work::Work,
};

/// The connection has ended, or both FINs have passed. Counts and reports its end, once, and removes it from the live
/// table if nothing can follow. A connection that continues after a RST is open again, and ends a second time.
#[inline(always)]
pub fn close<H: Host>(host: &mut H, work: &mut Work, entry: H::Entry) {
    let shared = host.shared(entry);
    let id = work.event.connection;
    // If the state is in use for longer than the bounded wait, the connection ends with a later segment, or keeps
    // counting as open.
    if !lock::take_for::<H>(shared, id) {
        return;
    }
    let flags = H::load(&shared.flags);
    host.load_state(entry, &mut work.state);
    let shared = host.shared(entry);
    if work.segment.has(RST) && exact::<H>(shared, work) {
        H::set(&shared.flags, DEAD);
    }
    let reports = flags & CLOSED == 0 && work.ends != 0;
    if reports {
        H::set(&shared.flags, CLOSED);
        report::close::<H>(shared, work, id, work.ends);
        slots::leave(host, work);
    }
    let shared = host.shared(entry);
    if flags & RESET == 0 && acknowledged::<H>(shared, &work.state) {
        let ends = [Client::INDEX, Server::INDEX].map(|from| work.state.side[from].fin_at.plus(1));
        work.gone = Gone { ends, how: gone::CLOSED, reserved: 0 };
        host.bury(&work.key, &work.gone);
        slots::leave(host, work);
        // The lock is never released, so a CPU that waits for it finds nothing to read.
        host.remove(&work.key);
    } else {
        lock::release::<H>(&shared.lock);
    }
    if reports {
        host.closed();
        host.emit(&work.event);
    }
}

/// Whether each side has acknowledged the other's FIN, and nothing after it.
#[inline(always)]
fn acknowledged<H: Host>(shared: &Shared, state: &State) -> bool {
    let of = |from: usize| {
        let side = &state.side[from];
        side.fin as u32 & (first_of(H::load(&shared.peer[from])) == side.fin_at.plus(1)) as u32
    };
    of(Client::INDEX) & of(Server::INDEX) != 0
}

/// Whether a RST has the one sequence number for which its receiver accepts it (RFC 5961 section 3.2).
#[inline(always)]
fn exact<H: Host>(shared: &Shared, work: &Work) -> bool {
    let from = work.event.direction as usize & 1;
    let side = &work.state.side[from];
    let next = if side.fin != 0 {
        side.fin_at.plus(1)
    } else if H::load(&shared.flags) & TLS != 0 {
        // In TLS the stream is not followed, so the acknowledgement has to do.
        first_of(H::load(&shared.peer[from]))
    } else {
        side.next
    };
    work.segment.sequence == next
}

/// Another connection takes over the entry, whose lock is held: reports the end of the old one, if that was not
/// reported.
#[inline(always)]
pub fn replace<H: Host>(host: &mut H, work: &mut Work, entry: H::Entry) {
    host.load_state(entry, &mut work.state);
    let shared = host.shared(entry);
    let id = H::load(&shared.id);
    if H::load(&shared.flags) & CLOSED == 0 {
        report::close::<H>(shared, work, id, Ended::Replaced as u8);
        host.closed();
        host.emit(&work.event);
    }
    slots::leave(host, work);
}
