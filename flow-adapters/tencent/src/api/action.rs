use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A request of an API: its fields are the parameters, by the names of the documentation.
///
/// ```
/// use flow_tencent::Action;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize)]
/// #[serde(rename_all = "PascalCase")]
/// struct GetAlias {
///     function_name: String,
///     name: String,
///     #[serde(skip_serializing_if = "Option::is_none")]
///     namespace: Option<String>,
/// }
///
/// #[derive(Deserialize)]
/// #[serde(rename_all = "PascalCase")]
/// struct Alias {
///     function_version: String,
/// }
///
/// impl Action for GetAlias {
///     const NAME: &'static str = "GetAlias";
///     type Answer = Alias;
/// }
/// ```
pub trait Action: Serialize + Sync {
    /// The action's name.
    const NAME: &'static str;

    /// How long one request may take, its answer included.
    const WITHIN: Duration = Duration::from_secs(60);

    /// What is in `Response` when it was carried out. Fields that it does not name are passed over.
    type Answer: DeserializeOwned;
}
