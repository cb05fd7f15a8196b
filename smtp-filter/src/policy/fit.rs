//! What has to hold of a policy as a whole, however its parts were set: the whole's own, and that of each scope.

use std::ops::Range;

use smtp_filter_common::bounds::{NAMED_KEYWORDS, NAMED_VERBS};

use super::{
    document::Document,
    fault::{Fault, Located},
    value::Value,
};

/// Where a text speaks of what has to fit together.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// Where nothing else is known.
    pub all: Option<Range<usize>>,
    commands: Option<Range<usize>>,
    extensions: Option<Range<usize>>,
    mark: Option<Range<usize>>,
}

impl Places {
    /// Of a given text.
    pub fn within(value: &Located<Value>) -> Self {
        Self { all: Some(value.span.clone()), ..Self::default() }
    }

    /// Notes the position of a section.
    pub fn note(&mut self, section: &str, value: &Located<Value>) {
        let place = match section {
            "commands" => &mut self.commands,
            "extensions" => &mut self.extensions,
            "mark" => &mut self.mark,
            _ => return,
        };
        *place = Some(value.span.clone());
    }

    /// A fault at the first of these places that the text has.
    fn fault(&self, places: [&Option<Range<usize>>; 2], message: String) -> Fault {
        let span = places.into_iter().chain([&self.commands, &self.extensions, &self.all]).flatten().next();
        Fault { span: span.cloned().unwrap_or_default(), message }
    }
}

/// The whole's own policy.
pub(super) fn fit_whole(document: &Document, places: &Places) -> Result<(), Fault> {
    fit(document, places, "", &format!("those that profile {} names", document.profile.name()))
}

/// Sees to it that the datapath has room for what is named, and that the mark is one. `prefix` is what comes before
/// keys in messages, `beneath` what the settings were laid over.
pub(super) fn fit(document: &Document, places: &Places, prefix: &str, beneath: &str) -> Result<(), Fault> {
    let Places { commands, extensions, mark, .. } = places;
    let keywords = document.extensions.named.len();
    if keywords > NAMED_KEYWORDS {
        return Err(places.fault(
            [extensions, &None],
            format!(
                "{prefix}extensions: {keywords} keywords together with {beneath}; expected at most {NAMED_KEYWORDS}"
            ),
        ));
    }
    let verbs = document.effective_verbs().len();
    if verbs > NAMED_VERBS {
        let announced = if verbs > document.commands.named.len() { " and masked extensions announce" } else { "" };
        return Err(places.fault(
            [commands, extensions],
            format!(
                "{prefix}commands: {verbs} verbs together with {beneath}{announced}; expected at most {NAMED_VERBS}"
            ),
        ));
    }
    let bits = |path: &str| document.values.bits(path).unwrap_or_default();
    let (value, mask) = (bits("mark.value"), bits("mark.mask"));
    if mask == 0 {
        let message = format!("{prefix}mark: mask 0x0 would set nothing; expected at least one bit");
        return Err(places.fault([mark, &places.all], message));
    }
    if value & !mask != 0 {
        return Err(places.fault(
            [mark, &places.all],
            format!(
                "{prefix}mark: value {value:#x} has bits that mask {mask:#x} leaves alone; expected a value within the \
                 mask"
            ),
        ));
    }
    Ok(())
}
