//! SMTP.
pub mod line;
pub mod session;
