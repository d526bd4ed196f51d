use std::collections::BTreeMap;

use flow_core::{Digest, ErrorKind, StepError};
use futures::FutureExt as _;

use super::actions::{
    Code, CreateAlias, CreateFunction, CreateTrigger, DeleteAlias, DeleteFunction, DeleteFunctionVersion,
    DeleteProvisionedConcurrencyConfig, DeleteTrigger, Environment, PublishVersion,
    PutProvisionedConcurrencyConfig, RoutingConfig, Terms, UpdateAlias, UpdateFunctionCode,
    UpdateFunctionConfiguration, UpdateTrigger, Variable, VersionWeight,
};
use super::model::{Alias, Allocated, LATEST, Row, TriggerRow};
use super::platform::Platform;
use crate::config::{DEFAULT_ALIAS, NewFunction};
use crate::names::ALIAS_MADE;
use crate::trigger::{Calls, Trigger};

/// How an alias divides its calls: one version, or two.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shares {
    pub(crate) main: String,
    /// The other version with its share in percent.
    pub(crate) additional: Option<(String, u8)>,
}

impl Shares {
    pub(crate) fn all_to(version: impl Into<String>) -> Self {
        Self { main: version.into(), additional: None }
    }

    /// Whether `alias` divides its calls so, and by nothing else.
    pub(crate) fn are_those_of(&self, alias: &Alias) -> bool {
        let wanted = self
            .additional
            .as_ref()
            .map(|(version, percent)| (version.as_str(), f64::from(*percent) / 100.0));
        let beside = match (wanted, alias.additional()) {
            (None, []) => true,
            (Some((version, share)), [only]) => only.version == version && (only.weight - share).abs() < 1e-6,
            _ => false,
        };
        beside && alias.function_version == self.main && !alias.has_matches()
    }

    fn sent(&self) -> RoutingConfig {
        let weights = self.additional.iter().map(|(version, percent)| VersionWeight {
            version: version.clone(),
            weight: f64::from(*percent) / 100.0,
        });
        RoutingConfig { additional_version_weights: weights.collect(), ..RoutingConfig::default() }
    }
}

/// A change of one trigger.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TriggerChange<'a> {
    Create(&'a Trigger),
    Update(&'a Trigger),
    Delete(&'a TriggerRow),
}

impl Platform {
    /// Makes a function, and waits until it is there.
    pub(crate) async fn create(
        &self,
        function: &str,
        code: &Code,
        new: &NewFunction,
        description: &str,
    ) -> Result<(), StepError> {
        let action = CreateFunction {
            function_name: function,
            namespace: self.namespace(),
            code,
            handler: &new.handler,
            runtime: &new.runtime,
            memory_size: new.memory_mb,
            timeout: new.timeout_seconds,
            role: new.role.as_deref(),
            description,
        };
        let made = || async {
            let found = self.function(function, None).await?;
            Ok(found.is_some_and(|found| found.description() == description))
        };
        self.carry_out(function, &action, || made().boxed()).await?;
        self.rested(function).await.map(drop)
    }

    /// Puts code in place, waits, and compares its digest.
    pub(crate) async fn put_code(
        &self,
        function: &str,
        code: &Code,
        digest: Digest,
        handler: &str,
    ) -> Result<(), StepError> {
        let action =
            UpdateFunctionCode { function_name: function, namespace: self.namespace(), code, handler };
        // A function whose last change failed may hold this code already: it is sent to it so that it becomes active.
        let stands = || {
            async move {
                let active = self.function(function, None).await?.is_some_and(|found| found.is_active());
                Ok(active && self.code(function, LATEST).await? == digest)
            }
            .boxed()
        };
        self.carry_out(function, &action, stands).await?;
        self.rested(function).await?;
        self.shown(function, "code", stands).await
    }

    /// Removes a function with all its versions, aliases and triggers.
    pub(crate) async fn delete(&self, function: &str) -> Result<(), StepError> {
        let action = DeleteFunction { function_name: function, namespace: self.namespace() };
        let gone = || async move { Ok(self.function(function, None).await?.is_none()) }.boxed();
        self.carry_out(function, &action, gone).await?;
        self.settled(function).await.map_err(StepError::after_effect)?;
        self.shown(function, "absence", gone).await
    }

    /// Replaces the variables, waits, and reads them back.
    pub(crate) async fn put_variables(
        &self,
        function: &str,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), StepError> {
        let mut sent: Vec<Variable> = variables
            .iter()
            .map(|(key, value)| Variable { key: key.clone(), value: value.clone() })
            .collect();
        if sent.is_empty() {
            // An empty list would keep what is there; this is how the platform is told that none is wanted.
            sent.push(Variable { key: String::new(), value: String::new() });
        }
        let environment = Environment { variables: sent };
        let action =
            UpdateFunctionConfiguration { function_name: function, namespace: self.namespace(), environment };
        let stand = || {
            async move {
                let found = self.function(function, None).await?;
                Ok(found.is_some_and(|found| found.variables() == *variables))
            }
            .boxed()
        };
        self.carry_out(function, &action, stand).await?;
        self.rested(function).await?;
        self.shown(function, "variables", stand).await
    }

    /// Publishes what stands in place under this description, and gives its number.
    pub(crate) async fn publish(&self, function: &str, description: &str) -> Result<String, StepError> {
        let action = PublishVersion { function_name: function, namespace: self.namespace(), description };
        // Versions of this description that are there already do not count: numbers only grow.
        let newest = self.versions(function).await?.first().and_then(Row::number);
        let made = async || -> Result<Option<Row>, StepError> {
            let mut new = self.versions(function).await?.into_iter().take_while(|row| row.number() > newest);
            Ok(new.find(|row| row.description() == description))
        };
        let made = &made;
        let found = || async move { Ok(made().await?.is_some()) }.boxed();
        self.carry_out(function, &action, found).await?;
        self.rested(function).await?;
        self.shown(function, "version", found).await?;
        let row = made().await.map_err(StepError::after_effect)?;
        let row = row.ok_or_else(|| StepError::in_doubt("the version is gone").fact("function", function))?;
        Ok(row.version)
    }

    /// Removes a version that no alias leads to.
    pub(crate) async fn delete_version(&self, function: &str, qualifier: &str) -> Result<(), StepError> {
        let action =
            DeleteFunctionVersion { function_name: function, namespace: self.namespace(), qualifier };
        let gone = || async move { Ok(self.function(function, Some(qualifier)).await?.is_none()) }.boxed();
        self.carry_out(function, &action, gone).await?;
        self.shown(function, "absence of a version", gone).await
    }

    /// Lets an alias divide its calls so, makes it where it is not there, and reads it back. Its description stays unless another is given.
    pub(crate) async fn put_alias(
        &self,
        function: &str,
        name: &str,
        shares: &Shares,
        description: Option<&str>,
    ) -> Result<(), StepError> {
        let stands = |alias: &Alias| {
            shares.are_those_of(alias)
                && description.is_none_or(|description| alias.description() == description)
        };
        let found = self.alias(function, name).await?;
        if found.as_ref().is_some_and(&stands) {
            return Ok(());
        }
        let done =
            || async move { Ok(self.alias(function, name).await?.as_ref().is_some_and(stands)) }.boxed();
        let (namespace, routing) = (self.namespace(), shares.sent());
        let (function_name, function_version, routing_config) = (function, shares.main.as_str(), &routing);
        if found.is_some() {
            let action =
                UpdateAlias { function_name, namespace, name, function_version, routing_config, description };
            self.carry_out(function, &action, done).await?;
        } else {
            // Whoever takes it away again must know that it was made here.
            let description = Some(description.unwrap_or(ALIAS_MADE));
            let action =
                CreateAlias { function_name, namespace, name, function_version, routing_config, description };
            self.carry_out(function, &action, done).await?;
        }
        self.shown(function, "alias", done).await
    }

    /// Removes an alias; the one that every function has leads to what is not published instead.
    pub(crate) async fn clear_alias(&self, function: &str, name: &str) -> Result<(), StepError> {
        if name == DEFAULT_ALIAS {
            return self.put_alias(function, name, &Shares::all_to(LATEST), None).await;
        }
        if self.alias(function, name).await?.is_none() {
            return Ok(());
        }
        let action = DeleteAlias { function_name: function, namespace: self.namespace(), name };
        let gone = || async move { Ok(self.alias(function, name).await?.is_none()) }.boxed();
        self.carry_out(function, &action, gone).await?;
        self.shown(function, "absence of an alias", gone).await
    }

    /// Carries out a change of the trigger of this name, and reads it back.
    pub(crate) async fn change_trigger(
        &self,
        function: &str,
        trigger_name: &str,
        change: TriggerChange<'_>,
    ) -> Result<(), StepError> {
        let (function_name, namespace) = (function, self.namespace());
        let wanted = match change {
            TriggerChange::Create(trigger) | TriggerChange::Update(trigger) => Some(trigger),
            TriggerChange::Delete(_) => None,
        };
        let done = || {
            async move {
                let rows = self.triggers(function).await?;
                let found = rows.iter().find(|row| row.trigger_name == trigger_name);
                Ok(found.map(|row| self.trigger_of(row)).as_ref() == wanted)
            }
            .boxed()
        };
        match change {
            TriggerChange::Create(trigger) => {
                let action = CreateTrigger(self.terms(function, trigger_name, trigger));
                self.carry_out(function, &action, done).await?;
            }
            TriggerChange::Update(trigger) => {
                let action = UpdateTrigger(self.terms(function, trigger_name, trigger));
                self.carry_out(function, &action, done).await?;
            }
            TriggerChange::Delete(row) => {
                let (r#type, trigger_desc, qualifier) =
                    (&*row.r#type, row.trigger_desc.as_deref(), row.bound_to());
                let action =
                    DeleteTrigger { function_name, namespace, trigger_name, r#type, trigger_desc, qualifier };
                self.carry_out(function, &action, done).await?;
            }
        }
        self.shown(function, "trigger", done).await
    }

    /// A trigger as the platform takes it.
    fn terms<'a>(&'a self, function_name: &'a str, trigger_name: &'a str, trigger: &'a Trigger) -> Terms<'a> {
        Terms {
            function_name,
            namespace: self.namespace(),
            trigger_name,
            r#type: &trigger.kind,
            trigger_desc: trigger.sent(),
            qualifier: trigger.qualifier.as_deref().unwrap_or(&self.config.alias),
            enable: if trigger.calls == Calls::On { "OPEN" } else { "CLOSE" },
            custom_argument: &trigger.argument,
        }
    }

    /// A trigger as it is written: what it is bound to is left out where that is the alias.
    pub(crate) fn trigger_of(&self, row: &TriggerRow) -> Trigger {
        let desc = Trigger::desc_of(&row.r#type, row.trigger_desc.as_deref().unwrap_or_default());
        let bound = row.bound_to();
        Trigger {
            argument: row.custom_argument.clone().unwrap_or_default(),
            calls: if row.enable == 1 { Calls::On } else { Calls::Off },
            qualifier: (bound != self.config.alias).then(|| bound.to_owned()),
            ..Trigger::new(&*row.r#type, desc)
        }
    }

    /// Lets `wanted` instances of a version stand ready, and waits until they do.
    pub(crate) async fn provide(
        &self,
        function: &str,
        qualifier: &str,
        wanted: u32,
    ) -> Result<(), StepError> {
        let action = PutProvisionedConcurrencyConfig {
            function_name: function,
            namespace: self.namespace(),
            qualifier,
            version_provisioned_concurrency_num: wanted,
        };
        let asked = || {
            async move {
                let all = self.provisioned(function).await?;
                let own = all.iter().find(|one| one.qualifier == qualifier);
                // One that failed is asked for anew.
                let counts = |own: &&Allocated| {
                    own.allocated_provisioned_concurrency_num == wanted && own.status != "Failed"
                };
                Ok(own.filter(counts).is_some())
            }
            .boxed()
        };
        if !asked().await? {
            self.carry_out(function, &action, asked).await?;
        }
        let begun = self.monotonic();
        loop {
            let all = self.provisioned(function).await.map_err(StepError::after_effect)?;
            let own = all.into_iter().find(|one| one.qualifier == qualifier);
            let failed = |problem| {
                let error =
                    StepError::new(ErrorKind::Failed, problem).after_effect().fact("function", function);
                error.fact("version", qualifier).fact("wanted", wanted)
            };
            match own {
                Some(own) if own.status == "Done" => return Ok(()),
                Some(own) if own.status == "Failed" => {
                    let reason = own.status_reason.unwrap_or_default();
                    return Err(
                        failed("instances of the version could not be made ready").fact("reason", reason)
                    );
                }
                _ if self.monotonic().saturating_sub(begun) > self.config.patience => {
                    return Err(failed("instances of the version were not ready in time"));
                }
                _ => self.pause(std::time::Duration::from_secs(1)).await?,
            }
        }
    }

    /// Lets no instance of a version stand ready.
    pub(crate) async fn withdraw(&self, function: &str, qualifier: &str) -> Result<(), StepError> {
        let namespace = self.namespace();
        let action = DeleteProvisionedConcurrencyConfig { function_name: function, namespace, qualifier };
        let gone = || {
            async move { Ok(self.provisioned(function).await?.iter().all(|one| one.qualifier != qualifier)) }
                .boxed()
        };
        if gone().await? {
            return Ok(());
        }
        self.carry_out(function, &action, gone).await?;
        self.shown(function, "absence of ready instances", gone).await
    }
}
