//! The line for programs: one JSON object.

use serde::Serialize;

/// The JSON line, without its end.
pub fn line(view: &impl Serialize) -> String {
    serde_json::to_string(view).expect("views have string keys and plain values")
}
