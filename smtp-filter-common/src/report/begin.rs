//! What all events of a segment share.

use crate::{
    event::{CLIENT, SERVER},
    policy::Policy,
    work::Work,
};

/// Fills in what all events of the segment share.
#[inline(always)]
pub fn begin(policy: &Policy, work: &mut Work, from_server: bool) {
    let met = work.met;
    let event = &mut work.event;
    event.time = met.now;
    event.connection = 0;
    event.ifindex = met.ifindex;
    event.generation = policy.generation;
    event.scope = policy.scope;
    event.client = work.key.client;
    event.server = work.key.server;
    event.client_port = work.key.client_port;
    event.server_port = work.key.server_port;
    event.direction = if from_server { SERVER } else { CLIENT };
    event.excerpt_length = 0;
}
