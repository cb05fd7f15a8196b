//! The generator of attacks: an attacker that chooses what is sent and what arrives, the server that it talks to, and
//! what must never happen. What filters in between is the caller's.

pub mod choices;
pub mod model;
pub mod play;
pub mod receiver;
pub mod run;
pub mod script;
pub mod server;
pub mod wire;
