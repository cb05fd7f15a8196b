//! What a segment that was read changes in the life of its connection: FINs, flags, the phase of the dialogue.

use crate::{
    action::Action,
    direction::{Client, Direction, Server},
    entry::{
        FIN_PASSED, FINISHED, HELLO, MAIL_DATA, MARKED, PHASE, RESET, SPOKE, Shared, TLS, TRANSACTION, UNCERTAIN,
        pair_of,
    },
    event::Ended,
    host::Host,
    session::{self, state::Hello},
    stream::facts::{BLOCKED, CLOSES, STATE_CHANGED, UNREAD},
    wire::FIN,
    work::Work,
};

/// Records a FIN in order. A FIN after a gap is retransmitted.
#[inline(always)]
pub fn fin<D: Direction>(work: &mut Work) -> u8 {
    let end = work.segment.end();
    let side = &mut work.state.side[D::INDEX];
    // The stream is not followed in TLS: a FIN may be forged there, and the last one counts.
    let tls = work.state.session.mode == session::Mode::TLS;
    if side.fin == 0 || tls {
        if side.next != end && !tls {
            return 0;
        }
        side.fin = 1;
        side.fin_at = end;
    }
    if work.state.side[D::OTHER].fin != 0 { STATE_CHANGED | CLOSES } else { STATE_CHANGED }
}

/// Sets the flags that are read without the lock.
#[inline(always)]
pub fn set_flags<H: Host, D: Direction>(shared: &Shared, work: &mut Work, facts: u8) {
    if facts & STATE_CHANGED != 0 {
        let mode = work.state.session.mode;
        let side = &work.state.side;
        H::store(&shared.tls_from, pair_of(side[Client::INDEX].next, side[Server::INDEX].next));
        if mode == session::Mode::TLS {
            H::set(&shared.flags, TLS);
        }
        if !D::IS_CLIENT && work.stream.uncertain != 0 && session::monitor::is_certain(work) {
            H::retain(&shared.flags, !UNCERTAIN);
        }
        set_phase::<H>(shared, work);
    }
    let resets = facts & BLOCKED != 0 && work.block.action == Action::Reset as u8;
    let set = if work.tally.mark != 0 { MARKED } else { 0 }
        | if facts & UNREAD != 0 { UNCERTAIN } else { 0 }
        | if facts & CLOSES != 0 { FINISHED } else { 0 }
        | if work.segment.has(FIN) && facts & BLOCKED == 0 { FIN_PASSED << D::INDEX } else { 0 }
        | if resets { RESET } else { 0 };
    work.ends = Ended::Fin as u8 * ((facts / CLOSES) & 1) + Ended::Reset as u8 * resets as u8;
    if set != 0 {
        H::set(&shared.flags, set);
    }
}

/// Sets the phase of the connection, by which eviction chooses.
#[inline(always)]
fn set_phase<H: Host>(shared: &Shared, work: &Work) {
    let session = &work.state.session;
    let sends = matches!(session.mode, session::Mode::MAIL_DATA | session::Mode::CHUNK | session::Mode::MASKED_CHUNK);
    let phase = if work.state.side[Client::INDEX].bytes != 0 { SPOKE } else { 0 }
        | if session.hello != Hello::NONE { HELLO } else { 0 }
        | if session.transaction != 0 { TRANSACTION } else { 0 }
        | if sends { MAIL_DATA } else { 0 };
    if H::load(&shared.flags) & PHASE != phase {
        H::retain(&shared.flags, phase | !PHASE);
        H::set(&shared.flags, phase);
    }
}
