//! What the program prints as JSON, held against docs/schemas.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::folders;

/// Checks a value against the schema of this name.
pub fn check(name: &str, value: &Value) -> Result<()> {
    let file = folders::workspace().join("docs/schemas").join(format!("{name}.schema.json"));
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let schema: Value = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    let validator = jsonschema::options().should_validate_formats(true).build(&schema)?;
    let faults: Vec<String> =
        validator.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    ensure!(faults.is_empty(), "{value} is not as {name}.schema.json says: {faults:#?}");
    Ok(())
}

/// Checks lines, each an object of a schema: `lost` where its kind is that, `replay` where it is `stats`, else `event`.
pub fn check_events(lines: &[String]) -> Result<Vec<Value>> {
    let objects = lines.iter().filter(|line| line.starts_with('{'));
    let check = |line: &String| -> Result<Value> {
        let value: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        let name = match value["kind"].as_str() {
            Some("lost") => "lost",
            Some("stats") => "replay",
            _ => "event",
        };
        check(name, &value)?;
        Ok(value)
    };
    objects.map(check).collect()
}
