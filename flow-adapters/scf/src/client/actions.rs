//! The actions of SCF 2018-04-16 that are used, with the parameters and answers of its documentation.

use std::time::Duration;

use flow_tencent::Action;
use serde::{Deserialize, Serialize};

use super::model::{Alias, Allocated, Function, Outcome, Row, TriggerRow};

/// An answer of which nothing is read.
#[derive(Debug, Deserialize)]
pub(crate) struct Carried {}

/// Declares an action whose parameters are all texts, some of them optional.
macro_rules! action {
    ($(#[$doc:meta])* $name:ident -> $answer:ty { $($field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        pub(crate) struct $name<'a> {
            pub(crate) function_name: &'a str,
            pub(crate) namespace: &'a str,
            $(
                #[serde(skip_serializing_if = "is_absent")]
                pub(crate) $field: $kind,
            )*
        }

        impl Action for $name<'_> {
            const NAME: &'static str = stringify!($name);
            type Answer = $answer;
        }
    };
}

/// What is left out of a request.
trait Absent {
    fn is_absent(&self) -> bool {
        false
    }
}

fn is_absent<T: Absent>(value: &T) -> bool {
    value.is_absent()
}

impl<T> Absent for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl Absent for &str {}
impl Absent for String {}
impl Absent for u32 {}
impl Absent for &Code {}
impl Absent for &RoutingConfig {}
impl Absent for Environment {}

action!(GetFunction -> Function { qualifier: Option<&'a str> });
action!(GetFunctionAddress -> Address { qualifier: &'a str });
action!(CreateFunction -> Carried {
    code: &'a Code, handler: &'a str, runtime: &'a str, memory_size: u32, timeout: u32, role: Option<&'a str>, description: &'a str
});
action!(UpdateFunctionCode -> Carried { code: &'a Code, handler: &'a str });
action!(UpdateFunctionConfiguration -> Carried { environment: Environment });
action!(DeleteFunction -> Carried {});
action!(PublishVersion -> Carried { description: &'a str });
action!(ListVersionByFunction -> Versions { offset: u32, limit: u32 });
action!(DeleteFunctionVersion -> Carried { qualifier: &'a str });
action!(GetAlias -> Alias { name: &'a str });
action!(
    /// Its page is given in texts, unlike every other.
    ListAliases -> Aliases { offset: String, limit: String }
);
action!(CreateAlias -> Carried {
    name: &'a str, function_version: &'a str, routing_config: &'a RoutingConfig, description: Option<&'a str>
});
action!(UpdateAlias -> Carried {
    name: &'a str, function_version: &'a str, routing_config: &'a RoutingConfig, description: Option<&'a str>
});
action!(DeleteAlias -> Carried { name: &'a str });
action!(ListTriggers -> Triggers { offset: u32, limit: u32 });
action!(DeleteTrigger -> Carried {
    trigger_name: &'a str, r#type: &'a str, trigger_desc: Option<&'a str>, qualifier: &'a str
});
action!(PutProvisionedConcurrencyConfig -> Carried { qualifier: &'a str, version_provisioned_concurrency_num: u32 });
action!(GetProvisionedConcurrencyConfig -> Provisioned {});
action!(DeleteProvisionedConcurrencyConfig -> Carried { qualifier: &'a str });

/// What a trigger is to be.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Terms<'a> {
    pub(crate) function_name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) trigger_name: &'a str,
    pub(crate) r#type: &'a str,
    pub(crate) trigger_desc: String,
    pub(crate) qualifier: &'a str,
    pub(crate) enable: &'a str,
    pub(crate) custom_argument: &'a str,
}

#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct CreateTrigger<'a>(pub(crate) Terms<'a>);

impl Action for CreateTrigger<'_> {
    const NAME: &'static str = "CreateTrigger";
    type Answer = Carried;
}

#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct UpdateTrigger<'a>(pub(crate) Terms<'a>);

impl Action for UpdateTrigger<'_> {
    const NAME: &'static str = "UpdateTrigger";
    type Answer = Carried;
}

/// Calls a version and waits for its answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Invoke<'a> {
    pub(crate) function_name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) qualifier: &'a str,
    pub(crate) invocation_type: &'a str,
    pub(crate) client_context: String,
}

impl Action for Invoke<'_> {
    const NAME: &'static str = "Invoke";
    /// The platform ends a call that is waited for after 300 seconds.
    const WITHIN: Duration = Duration::from_secs(310);
    type Answer = Invoked;
}

/// A package: in the request, or in a bucket that is named without the account's number, by a key that begins with a slash.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Code {
    #[serde(rename_all = "PascalCase")]
    Inline { zip_file: String },
    #[serde(rename_all = "PascalCase")]
    Stored { cos_bucket_name: String, cos_object_name: String, cos_bucket_region: String },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Environment {
    pub(crate) variables: Vec<Variable>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Variable {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// How an alias divides its calls. Both lists are always sent: whether an absent one keeps or clears is written nowhere.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoutingConfig {
    pub(crate) additional_version_weights: Vec<VersionWeight>,
    /// The platform's own spelling.
    #[serde(rename = "AddtionVersionMatchs")]
    pub(crate) matches: [(); 0],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VersionWeight {
    pub(crate) version: String,
    /// The share of this version among all calls, from 0 to 1.
    pub(crate) weight: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Address {
    /// Where the package can be fetched by whoever has this URL: a right, never shown.
    pub(crate) url: String,
    pub(crate) code_sha256: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Versions {
    pub(crate) versions: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Aliases {
    pub(crate) aliases: Vec<Alias>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Triggers {
    pub(crate) triggers: Vec<TriggerRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Provisioned {
    pub(crate) allocated: Vec<Allocated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Invoked {
    pub(crate) result: Outcome,
}
