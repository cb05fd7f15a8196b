//! A whole command line: what the policy says of it, what becomes of it, and what it does to the dialogue.

use crate::{
    action::Action,
    bounds::{BYTES_OF_LINE, LINES},
    direction::{Client, Direction as _},
    host::Host,
    policy::{Policy, VerbVerdict},
    reason::Reason,
    report,
    rewrite::disguise,
    session::{
        Mode, auth, bdat,
        line::{DOWNGRADED, MASKED},
        monitor,
        verb::{self, Command},
    },
    stream::chunks,
    work::Work,
};

const SIDE: usize = Client::INDEX;

/// A whole line has been read; `false` if there is a verdict against it in `block.action`. Not inlined, so that its
/// stack frame does not lie below the loop over the line.
#[inline(never)]
pub(super) fn command<H: Host>(host: &mut H, policy: &Policy, work: &mut Work) -> bool {
    if work.tally.commands >= LINES && work.tally.commands >= work.segment.length / BYTES_OF_LINE {
        work.hold_back(Reason::ManyLines);
        if !work.pass_over_if_monitoring() {
            return false;
        }
    }
    let line = &{ work.state.line[SIDE] };
    if work.state.session.mode == Mode::AUTH_EXCHANGE {
        return auth::answer(work);
    }
    // verifier: in this order, because once a word has a kind the verifier knows each of its bytes.
    let mut verdict = policy.verb_hiding(line.name(), H::opaque_word);
    let kind = Command(work.unknown::<H>(verb::kind(line.name()).0));
    let header = (kind == Command::PROXY && work.state.session.commands == 0) as u8;
    if header != 0 {
        let reason = Reason::ProxyProtocol.number();
        verdict = VerbVerdict { reason, action: policy.guard(reason) };
    }
    if work.monitors != 0 && !monitor::classify_uncertain_line(work, kind, verdict.reason) {
        return true;
    }
    report::command::<H>(policy, work, line, kind, verdict);
    if policy.enforces() && Action::number_blocks(verdict.action) {
        work.block_by(verdict.reason, verdict.action, line.start);
        work.block.of_command = 1;
        return false;
    }
    if kind == Command::BDAT {
        work.reading.bdat = bdat::read::<H>(work);
    }
    let asked = (policy.enforces() as u8) & Action::number_rewrites(verdict.action) as u8;
    let begun = (line.facts & (MASKED | DOWNGRADED) != 0) as u8;
    let asked = work.unknown::<H>(asked | begun);
    let mut kind = kind;
    if asked != 0 {
        kind = disguise::command(host, policy, work, kind);
        if work.is_blocked() {
            return false;
        }
    }
    work.tally.unreported = 1;
    work.tally.mark |= (policy.enforces() && verdict.action == Action::Mark as u8) as u8;
    let session = &mut work.state.session;
    session.commands = session.commands.wrapping_add(1);
    session.recipients = session.recipients.wrapping_add((kind == Command::RCPT) as u32);
    session.transaction |= (kind == Command::MAIL) as u8;
    let mut waits = kind;
    match kind {
        Command::DATA | Command::AUTH | Command::STARTTLS => session.hold = kind,
        Command::BDAT => match work.reading.bdat.size() {
            // RFC 3030 section 2: the octets follow at once, and the server reads them whatever it replies. That holds
            // for a server that speaks BDAT; for any other the next bytes are commands.
            Some((size, last)) if work.state.session.chunking | work.monitors != 0 => {
                if work.state.session.chunking == 0 && size > 0 {
                    let reason = Reason::BdatRefused.number();
                    work.note(reason, policy.guard(reason), line.start);
                    work.uncertain |= 1;
                }
                let session = &mut work.state.session;
                waits = if last { Command::BDAT_LAST } else { Command::BDAT };
                session.chunk = size;
                if size > 0 {
                    session.mode = Mode::CHUNK;
                    if !chunks::begin(host, work, line.start, size as u32, last) && !work.pass_over_if_monitoring() {
                        return false;
                    }
                }
            }
            _ => work.state.session.hold = Command::BDAT,
        },
        _ => {}
    }
    header != 0 || work.wait(waits)
}
