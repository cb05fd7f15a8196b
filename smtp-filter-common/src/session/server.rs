//! The server's bytes: banner and replies.

use crate::{
    direction::{Client, Direction as _, Server},
    host::{Host, Step},
    policy::Policy,
    reason::Reason,
    rewrite::banner,
    seq::Seq,
    session::{Mode, client, keyword, line, reply_line},
    stream::identical,
    work::Work,
};

const SIDE: usize = Server::INDEX;

/// Reads payload `reading.at..reading.end` as the server's next bytes; `false` if there is a verdict against them in
/// `block.action`.
#[inline(never)]
pub fn read<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    // Each step but the last reads at least one byte.
    let steps = work.reading.end - work.reading.at + 1;
    H::run_steps(steps, &mut Steps { host, policy, work });
    !work.is_blocked()
}

struct Steps<'a, H> {
    host: &'a mut H,
    policy: &'a Policy,
    work: &'a mut Work,
}

impl<H: Host> Step for Steps<'_, H> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let (host, work) = (&mut *self.host, &mut *self.work);
        let over = work.reading.at >= work.reading.end;
        if over {
            let begun = work.state.line[SIDE].length != 0 && work.state.session.mode != Mode::TLS;
            let asked = match work.state.session.greeted {
                _ if !begun => false,
                0 => banner::mask(host, self.policy, work),
                _ => keyword::hide_unfinished(host, self.policy, work),
            };
            if !asked {
                return true;
            }
        } else if work.state.session.mode == Mode::TLS {
            // RFC 3207 section 4: after the 220 it is the client's turn.
            let at = work.segment.sequence_at(work.reading.at);
            let reason = Reason::StarttlsInjection;
            work.block_by(reason.number(), self.policy.guard(reason.number()), at);
            if work.pass_over_if_monitoring() {
                work.reading.at = work.reading.end;
            }
            return true;
        } else {
            reply_bytes(host, self.policy, work);
        }
        over | client::change_and_report::<H, Server>(host, work)
    }
}

#[inline(always)]
fn reply_bytes<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) {
    let (from, length) = line::at_hand(host, work);
    if length == 0 {
        return;
    }
    work.reading.loop_read = 0;
    let Work { state, piece, reading, discard, .. } = &mut *work;
    line::read::<H, 1>(&mut state.line[SIDE], discard, piece, (from, length), &mut reading.loop_read);
    work.reading.at += work.reading.loop_read;
    if work.state.line[SIDE].done() {
        let shown = match work.state.session.greeted {
            0 => banner::mask(host, policy, work),
            _ => !keyword::may_begin(work) || keyword::judge(host, policy, work),
        };
        let line = work.state.line[SIDE];
        if shown {
            reply_line::read::<H>(work, &line);
        }
        identical::note(work, line.start);
        let at = work.segment.sequence_at(work.reading.at);
        work.state.line[SIDE].begin(true, at);
    }
}

/// Begins a session: nothing has been said yet.
#[inline(always)]
pub fn begin(work: &mut Work, client_next: Seq, server_next: Seq) {
    work.reading.at = 0;
    work.state.line[SIDE].begin(true, server_next);
    work.state.line[Client::INDEX].begin(false, client_next);
    work.state.session.mode = Mode::FIRST;
    let _ = work.state.memory.begin_region(Mode::FIRST, client_next);
    // None yet: no mail data ends where the client's stream begins.
    work.state.memory.end_of_data = [client_next; 2];
}
