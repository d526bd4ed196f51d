use flow_core::port::ConfigurationStore;
use flow_core::prelude::*;

use super::World;

#[async_trait]
impl ConfigurationStore for World {
    async fn read(&self, name: &Name) -> Result<Option<Vec<u8>>, StepError> {
        Ok(self.state().documents.get(name).cloned())
    }

    async fn write(&self, _: &Permit, name: &Name, content: Option<Vec<u8>>) -> Result<(), StepError> {
        self.change(format!("write {name}"), |state| match content {
            Some(content) => state.documents.insert(name.clone(), content),
            None => state.documents.remove(name),
        })
        .map(drop)
    }
}
