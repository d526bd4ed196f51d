use std::collections::BTreeMap;

use flow_core::port::{
    Builder, Built, ConfigurationStore, ImageRegistry, Source, SourceRequest, SourceVersion,
};
use flow_core::prelude::*;
use flow_core::{Artifact, Digest};

use super::{State, World};

fn at_tag(state: &State, tag: &str) -> Result<SourceVersion, StepError> {
    let missing = || StepError::new(ErrorKind::NotFound, "there is no such tag");
    let commit = state.tags.get(tag).ok_or_else(missing)?.clone();
    Ok(SourceVersion { tree: format!("/trees/{commit}").into(), tag: tag.to_owned(), commit })
}

#[async_trait]
impl Source for World {
    async fn resolve(&self, request: &SourceRequest) -> Result<SourceVersion, StepError> {
        at_tag(&self.state(), &request.tag)
    }

    async fn check_out(&self, _: &Permit, version: &SourceVersion) -> Result<(), StepError> {
        if at_tag(&self.state(), &version.tag)? != *version {
            return Err(StepError::new(ErrorKind::Conflict, "the tag has moved"));
        }
        self.change("check out", |state| state.trees.insert(version.commit.clone())).map(drop)
    }
}

#[async_trait]
impl Builder for World {
    fn describe(&self) -> Vec<String> {
        vec!["make all".to_owned()]
    }

    async fn find(&self, version: &SourceVersion) -> Result<Option<Built>, StepError> {
        let state = self.state();
        let whole =
            |built: &&Built| built.artifacts.values().all(|artifact| state.kept.contains(&artifact.digest));
        Ok(state.builds.get(&version.commit).filter(whole).cloned())
    }

    async fn build(&self, _: &Permit, version: &SourceVersion) -> Result<Built, StepError> {
        if !self.state().trees.contains(&version.commit) {
            return Err(StepError::new(ErrorKind::NotFound, "the tree is not checked out"));
        }
        self.change("build", |state| {
            let artifact = |(name, content): (&Name, &Vec<u8>)| {
                let digest = Digest::of(content);
                (name.clone(), Artifact { digest, path: format!("/releases/{}", digest.hex()).into() })
            };
            let artifacts: BTreeMap<Name, Artifact> = state.yields.iter().map(artifact).collect();
            state.kept.extend(artifacts.values().map(|artifact| artifact.digest));
            let built = Built { artifacts, log: "done".to_owned() };
            state.builds.insert(version.commit.clone(), built.clone());
            built
        })
    }

    async fn discard(&self, _: &Permit, version: &SourceVersion) -> Result<(), StepError> {
        self.change("discard", |state| {
            let Some(gone) = state.builds.remove(&version.commit) else { return };
            let names = |built: &Built, digest: &Digest| {
                built.artifacts.values().any(|artifact| artifact.digest == *digest)
            };
            let shared = |digest: &Digest| state.builds.values().any(|built| names(built, digest));
            state.kept.retain(|digest| !names(&gone, digest) || shared(digest));
        })
    }
}

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

#[async_trait]
impl ImageRegistry for World {
    async fn find(&self, reference: &str) -> Result<Option<Digest>, StepError> {
        Ok(self.state().images.get(reference).copied())
    }

    async fn push(&self, _: &Permit, version: &SourceVersion, reference: &str) -> Result<Digest, StepError> {
        assert!(self.state().trees.contains(&version.commit), "pushed from a tree that is not checked out");
        assert!(!self.state().images.contains_key(reference), "a reference is never overwritten");
        let digest = Digest::of(version.commit.as_bytes());
        self.change("push", |state| state.images.insert(reference.to_owned(), digest))?;
        Ok(digest)
    }
}
