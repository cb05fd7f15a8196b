//! The datapath in user space, piece by piece: no program, no kernel, no root.

mod acceptable;

mod backlog;
mod banner_random;
mod chunks;
mod ends;
mod flow;
mod gone;
mod handshake;
mod identical;
mod joints;
mod long;
mod monitor;
mod normalise;
mod pieces;
mod pool;
mod pure;
mod replies;
mod retransmissions;
mod reuse;
mod rewrite;
mod rewrite_attacks;
mod rewrite_random;
mod scope;
mod session;
mod sorted;
mod stream;
mod support;
mod table_full;
mod wire;
