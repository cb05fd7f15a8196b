//! The beginning and the end of a connection.

use super::guard::no_command;
use crate::{
    action::Action,
    entry::{Shared, TLS, first_of, second_of},
    event::{CLIENT, Ended, Kind, SERVER, Summary},
    host::Host,
    reason::Reason,
    work::Work,
};

/// Reports that the connection `id` is established.
#[inline(always)]
pub fn connect<H: Host>(host: &mut H, work: &mut Work, id: u64) {
    no_command(work, Kind::CONNECT, Reason::Handshake.number(), Action::Pass as u8, true);
    work.event.connection = id;
    host.emit(&work.event);
}

/// Makes the current event the end of the connection `id`, whose state is in the working area.
#[inline(always)]
pub fn close<H: Host>(shared: &Shared, work: &mut Work, id: u64, ended: u8) {
    no_command(work, Kind::CLOSE, Reason::Closing.number(), Action::Pass as u8, true);
    let tls = H::load(&shared.flags) & TLS;
    let from = H::load(&shared.tls_from);
    let acknowledged = |side: u8| first_of(H::load(&shared.peer[side as usize]));
    let Work { event, state, .. } = work;
    let session = &state.session;
    event.excerpt_length = 0;
    event.connection = id;
    event.set_summary(&Summary {
        duration: event.time.saturating_sub(session.since),
        bytes: [
            state.side[CLIENT as usize].all_bytes(tls, first_of(from), acknowledged(CLIENT)),
            state.side[SERVER as usize].all_bytes(tls, second_of(from), acknowledged(SERVER)),
        ],
        commands: session.commands,
        recipients: session.recipients,
        messages: session.messages,
        tls: (tls / TLS) as u8,
        ended: ended + (ended == Ended::Fin as u8) as u8 * session.end.number(),
    });
}
