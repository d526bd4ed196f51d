//! The API's GET form: parameters in the query, their names flattened like `Filters.0.Name`, each value a text.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::spec::{DEPTH, Field, Service};

/// A part of a query: what is left of the names, and the values.
type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// What the query gives to an action. A value that does not fit stays a text, and is refused where types are checked.
pub(super) fn parameters(service: &Service, action: &str, query: &[(String, String)]) -> Map<String, Value> {
    let pairs = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    object(service, service.fields(action), pairs, DEPTH)
}

fn object(service: &Service, fields: &[Field], pairs: Pairs<'_>, depth: usize) -> Map<String, Value> {
    let groups = grouped(pairs).into_iter().map(|(name, inner)| {
        let kind = fields.iter().find(|field| field.name == name).map_or("s", |field| field.kind);
        (name.to_owned(), value(service, kind, inner, depth))
    });
    groups.collect()
}

fn value(service: &Service, kind: &str, pairs: Pairs<'_>, depth: usize) -> Value {
    let depth = match (pairs.as_slice(), depth.checked_sub(1)) {
        ([("", text)], _) => return leaf(kind, text),
        (_, None) => return Value::from("too deep"),
        (_, Some(depth)) => depth,
    };
    match kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
        Some(of) => {
            let mut items: Vec<(Option<usize>, Pairs<'_>)> =
                grouped(pairs).into_iter().map(|(name, inner)| (name.parse().ok(), inner)).collect();
            items.sort_by_key(|(index, _)| *index);
            items.into_iter().map(|(_, inner)| value(service, of, inner, depth)).collect()
        }
        None => Value::Object(object(service, service.object(kind), pairs, depth)),
    }
}

/// By the first part of the names.
fn grouped(pairs: Pairs<'_>) -> BTreeMap<&str, Pairs<'_>> {
    let mut groups: BTreeMap<&str, Pairs<'_>> = BTreeMap::new();
    for (name, value) in pairs {
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        groups.entry(first).or_default().push((rest, value));
    }
    groups
}

fn leaf(kind: &str, text: &str) -> Value {
    let read = match kind {
        "i" => text.parse::<i64>().ok().map(Value::from),
        "f" => text.parse::<f64>().ok().map(Value::from),
        "b" => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    read.unwrap_or_else(|| Value::from(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(action: &str, version: &str, service: &str, query: &[(&str, &str)]) -> Value {
        let service = Service::find(service, version).unwrap();
        let query: Vec<_> = query.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Value::Object(parameters(service, action, &query))
    }

    #[test]
    fn flattened_names_become_lists_and_objects_in_the_types_of_the_action() {
        let query = [
            ("Name", "live"),
            ("RoutingConfig.AdditionalVersionWeights.0.Version", "2"),
            ("RoutingConfig.AdditionalVersionWeights.0.Weight", "0.1"),
        ];
        let weights = json!([{ "Version": "2", "Weight": 0.1 }]);
        let wanted = json!({ "Name": "live", "RoutingConfig": { "AdditionalVersionWeights": weights } });
        assert_eq!(read("UpdateAlias", "2018-04-16", "scf", &query), wanted);
        let urls: Vec<_> = (0..11).map(|number| (format!("Urls.{number}"), number.to_string())).collect();
        let urls: Vec<_> = urls.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let told = read("PurgeUrlsCache", "2018-06-06", "cdn", &urls);
        assert_eq!(told["Urls"].as_array().unwrap().last().unwrap(), "10");
        assert_eq!(read("ListFunctions", "2018-04-16", "scf", &[("Limit", "5")]), json!({ "Limit": 5 }));
    }

    #[test]
    fn what_does_not_fit_is_left_for_the_checks() {
        assert_eq!(read("ListFunctions", "2018-04-16", "scf", &[("Limit", "x")]), json!({ "Limit": "x" }));
        let deep = format!("Filters{}", ".0".repeat(1000));
        let told = read("ListFunctions", "2018-04-16", "scf", &[(&deep, "x")]);
        assert!(told.to_string().contains("too deep"), "{told}");
    }
}
