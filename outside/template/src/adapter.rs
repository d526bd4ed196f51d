use async_trait::async_trait;
use flow_core::port::ConfigurationStore;
use flow_core::{Name, Permit, Problems, StepError};

use crate::client::Client;
use crate::config::TemplateConfig;

/// Keeps configurations in a directory.
#[derive(Debug)]
pub struct TemplateStore {
    client: Client,
}

impl TemplateStore {
    /// A store in the directory that `config` names.
    ///
    /// # Errors
    /// Everything that is wrong with `config`, at once.
    pub fn new(config: TemplateConfig) -> Result<Self, Problems> {
        config.check()?;
        Ok(Self { client: Client::new(config.directory) })
    }
}

#[async_trait]
impl ConfigurationStore for TemplateStore {
    async fn read(&self, name: &Name) -> Result<Option<Vec<u8>>, StepError> {
        self.client.read(name)
    }

    async fn write(&self, _: &Permit, name: &Name, content: Option<Vec<u8>>) -> Result<(), StepError> {
        match &content {
            Some(content) => self.client.replace(name, content)?,
            None => self.client.remove(name)?,
        }
        // Observed, not commanded.
        if self.client.read(name).map_err(StepError::after_effect)? == content {
            return Ok(());
        }
        Err(StepError::in_doubt("what stands there is not what was put").fact("name", name))
    }
}
