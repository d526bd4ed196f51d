use serde_json::{Map, Value};

use super::envelope::ApiError;

/// What an action was given, its types checked already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Params<'a>(&'a Map<String, Value>);

impl<'a> Params<'a> {
    pub(super) const fn new(given: &'a Map<String, Value>) -> Self {
        Self(given)
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.0.iter()
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }

    /// A text that the specification demands.
    pub(super) fn needed(&self, name: &str) -> &'a str {
        self.text(name).unwrap_or_default()
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.as_i64()
    }

    pub(super) fn list(&self, name: &str) -> &'a [Value] {
        self.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn texts(&self, name: &str) -> Vec<&'a str> {
        self.list(name).iter().filter_map(Value::as_str).collect()
    }

    pub(super) fn object(&self, name: &str) -> Option<Params<'a>> {
        self.get(name)?.as_object().map(Params)
    }

    /// The rest of a list from `Offset` on, `Limit` long.
    pub(super) fn page<T>(&self, all: Vec<T>, usual: usize, most: usize) -> Result<Vec<T>, ApiError> {
        let number = |name: &str, usual: usize| match self.number(name) {
            None => Ok(usual),
            Some(number) => usize::try_from(number).map_err(|_| {
                ApiError::new(format!("InvalidParameterValue.{name}"), format!("`{name}` is {number}"))
            }),
        };
        let (offset, limit) = (number("Offset", 0)?, number("Limit", usual)?);
        if limit > most {
            return Err(ApiError::new(
                "InvalidParameterValue.Limit",
                format!("`Limit` is {limit}, at most {most}"),
            ));
        }
        Ok(all.into_iter().skip(offset).take(limit).collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_begins_at_the_offset_and_ends_at_the_limit() {
        let given = json!({ "Offset": 2, "Limit": 3 });
        let params = Params::new(given.as_object().unwrap());
        assert_eq!(params.page((0..10).collect(), 20, 100).unwrap(), [2, 3, 4]);
        assert_eq!(
            params.page((0..10).collect::<Vec<_>>(), 20, 2).unwrap_err().code,
            "InvalidParameterValue.Limit"
        );
        let given = json!({});
        assert_eq!(
            Params::new(given.as_object().unwrap()).page((0..50).collect(), 20, 100).unwrap().len(),
            20
        );
        let given = json!({ "Offset": -1 });
        let refused = Params::new(given.as_object().unwrap()).page(vec![0], 20, 100).unwrap_err();
        assert_eq!(refused.code, "InvalidParameterValue.Offset");
    }
}
