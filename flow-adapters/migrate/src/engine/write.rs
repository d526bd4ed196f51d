//! Changes of the ledger, as texts that go to a server in one message.

use std::borrow::Cow;

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

/// All of them in one message, with `last` behind them. The server stops at the first that it refuses.
pub(super) fn message(writes: &[Write], last: &str, literal: Literal) -> Result<String, StepError> {
    let texts = writes.iter().map(|write| {
        let values: Vec<_> = write.values.iter().map(Option::as_deref).collect();
        bound(&write.text, &values, literal)
    });
    let last = (!last.is_empty()).then(|| Ok(last.to_owned()));
    Ok(texts.chain(last).collect::<Result<Vec<_>, _>>()?.join(";\n"))
}

/// The beginning of a transaction that goes to the server with the first statement in it.
#[derive(Debug, Default)]
pub(super) struct Opening(Option<&'static str>);

impl Opening {
    /// What begins the transaction.
    pub(super) const fn by(begin: &'static str) -> Self {
        Self(Some(begin))
    }

    /// Puts what begins the transaction before the next text that is sent, once.
    pub(super) fn before<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        self.0.take().map_or(Cow::Borrowed(text), |begin| Cow::Owned(format!("{begin};\n{text}")))
    }

    /// Whether a transaction was to begin, and nothing of it was sent. It is then forgotten.
    pub(super) const fn forget(&mut self) -> bool {
        self.0.take().is_some()
    }
}
