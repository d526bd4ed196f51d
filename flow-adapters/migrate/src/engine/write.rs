//! Changes of the ledger, as texts that go to a server in one message.

use flow_core::StepError;

/// One statement that changes the ledger. Each `?` stands for one of the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) text: String,
    pub(crate) values: Vec<Option<String>>,
}

/// How a server's dialect writes a text, whatever a script made of the session's settings.
pub(super) type Literal = fn(&str) -> Result<String, StepError>;

/// With each `?` replaced by its value: one message, where a prepared statement takes two, and the server gives each its type.
pub(super) fn bound(statement: &str, values: &[Option<&str>], literal: Literal) -> Result<String, StepError> {
    let mut parts = statement.split('?');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (position, part) in parts.enumerate() {
        match values.get(position) {
            Some(Some(value)) => text += &literal(value)?,
            Some(None) => text += "NULL",
            // No place of a value.
            None => text.push('?'),
        }
        text += part;
    }
    Ok(text)
}

/// The writes between `begin` and `end`, in one message. The server stops at the first that it refuses.
pub(super) fn message(
    begin: &str,
    writes: &[Write],
    end: &str,
    literal: Literal,
) -> Result<String, StepError> {
    let texts = writes.iter().map(|write| {
        let values: Vec<_> = write.values.iter().map(Option::as_deref).collect();
        bound(&write.text, &values, literal)
    });
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let all = std::iter::once(begin).chain(texts.iter().map(String::as_str)).chain([end]);
    Ok(all.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(";\n"))
}
