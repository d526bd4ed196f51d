//! What every [`ConfigurationStore`] promises, as checks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use flow_core::port::ConfigurationStore;
use flow_core::{Name, name};

use super::{Checked, Outside};
use crate::conformance::refusal::{refusal, whole};
use crate::permit;

/// Makes one `#[tokio::test]` for every promise of [`ConfigurationStore`](flow_core::port::ConfigurationStore).
///
/// It takes an async function without arguments that gives a fresh
/// [`ConfigurationFixture`](crate::conformance::configuration::ConfigurationFixture).
///
/// ```
/// use std::collections::BTreeMap;
///
/// use async_trait::async_trait;
/// use flow_core::{ErrorKind, Name};
/// use flow_core::port::ConfigurationStore;
/// use flow_testkit::conformance::{Checked, Outside};
/// use flow_testkit::conformance::configuration::ConfigurationFixture;
/// use flow_testkit::fake::FakeConfiguration;
/// use flow_testkit::fault::{At, Fault};
///
/// struct InMemory(FakeConfiguration);
///
/// #[async_trait]
/// impl ConfigurationFixture for InMemory {
///     fn store(&self) -> &dyn ConfigurationStore {
///         &self.0
///     }
///     async fn reopened(&self) -> Outside<Box<dyn ConfigurationStore>> {
///         Ok(Box::new(self.0.clone()))
///     }
///     async fn kept(&self) -> Outside<BTreeMap<String, Vec<u8>>> {
///         let file = |name: Name| Some((name.to_string(), self.0.in_force(&name)?));
///         Ok(self.0.names().into_iter().filter_map(file).collect())
///     }
///     async fn obstruct(&self) -> Checked {
///         let fault = Fault::Refused(ErrorKind::Unavailable);
///         self.0.ledger().faults().inject(At::call("configuration.write").onwards(), fault);
///         Ok(())
///     }
/// }
///
/// async fn fresh() -> InMemory {
///     InMemory(FakeConfiguration::new())
/// }
///
/// flow_testkit::configuration_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! configuration_conformance {
    ($fresh:expr) => {
        $crate::configuration_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { configuration $with
            a_configuration_is_in_force_exactly_as_written
            another_process_reads_what_was_written
            a_configuration_that_is_not_there_is_none_and_its_removal_is_done
            a_removed_configuration_is_gone
            writing_twice_is_writing_once
            names_do_not_disturb_each_other
            a_reader_never_sees_half_of_a_configuration
            a_write_that_fails_leaves_the_old_one_standing
            reading_changes_nothing
            no_error_shows_the_content
        }
    };
}

/// An empty store, and ways to look at it and to disturb it from outside.
#[async_trait]
pub trait ConfigurationFixture: Send + Sync {
    /// The store under test.
    fn store(&self) -> &dyn ConfigurationStore;

    /// The same store as another process would open it.
    async fn reopened(&self) -> Outside<Box<dyn ConfigurationStore>>;

    /// All that is kept, looked at from outside: configurations by name, and whatever else was left lying about.
    async fn kept(&self) -> Outside<BTreeMap<String, Vec<u8>>>;

    /// Makes every change impossible from now on: no room, no right, a directory in the way.
    async fn obstruct(&self) -> Checked;
}

const WEB: Name = name!("web.toml");
const SECRET: &[u8] = b"token = \"correct horse battery staple\"";

fn holds(files: &[(Name, &[u8])]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(name, content)| (name.to_string(), content.to_vec())).collect()
}

/// Content of any bytes is in force exactly as it was written: it is not parsed, ended with a line or recoded.
pub async fn a_configuration_is_in_force_exactly_as_written(fixture: &impl ConfigurationFixture) -> Checked {
    let store = fixture.store();
    for content in [&b"port = 1"[..], b"", b"\r\n\0\xff\xfe", SECRET] {
        store.write(&permit(), &WEB, Some(content.to_vec())).await?;
        assert_eq!(fixture.kept().await?, holds(&[(WEB, content)]));
        assert_eq!(store.read(&WEB).await?.as_deref(), Some(content));
    }
    Ok(())
}

/// What `write` has answered is in force for everybody.
pub async fn another_process_reads_what_was_written(fixture: &impl ConfigurationFixture) -> Checked {
    fixture.store().write(&permit(), &WEB, Some(SECRET.to_vec())).await?;
    assert_eq!(fixture.reopened().await?.read(&WEB).await?.as_deref(), Some(SECRET));
    Ok(())
}

/// No configuration is none, not an empty one and not an error; removing it is done.
pub async fn a_configuration_that_is_not_there_is_none_and_its_removal_is_done(
    fixture: &impl ConfigurationFixture,
) -> Checked {
    assert_eq!(fixture.store().read(&WEB).await?, None);
    fixture.store().write(&permit(), &WEB, None).await?;
    assert_eq!(fixture.store().read(&WEB).await?, None);
    assert_eq!(fixture.kept().await?, BTreeMap::new());
    Ok(())
}

/// Writing none removes a configuration.
pub async fn a_removed_configuration_is_gone(fixture: &impl ConfigurationFixture) -> Checked {
    fixture.store().write(&permit(), &WEB, Some(SECRET.to_vec())).await?;
    fixture.store().write(&permit(), &WEB, None).await?;
    assert_eq!(fixture.kept().await?, BTreeMap::new());
    assert_eq!(fixture.store().read(&WEB).await?, None);
    Ok(())
}

/// A later attempt under the same permit leaves what the first one left.
pub async fn writing_twice_is_writing_once(fixture: &impl ConfigurationFixture) -> Checked {
    let permit = permit();
    for content in [Some(SECRET.to_vec()), None] {
        fixture.store().write(&permit, &WEB, content.clone()).await?;
        let once = fixture.kept().await?;
        fixture.store().write(&permit, &WEB, content).await?;
        assert_eq!(fixture.kept().await?, once);
    }
    Ok(())
}

/// Changing one configuration leaves every other one as it is.
pub async fn names_do_not_disturb_each_other(fixture: &impl ConfigurationFixture) -> Checked {
    const SHOP: Name = name!("shop.toml");
    let store = fixture.store();
    store.write(&permit(), &WEB, Some(SECRET.to_vec())).await?;
    store.write(&permit(), &SHOP, Some(b"a".to_vec())).await?;
    store.write(&permit(), &SHOP, Some(b"b".to_vec())).await?;
    assert_eq!(fixture.kept().await?, holds(&[(WEB, SECRET), (SHOP, b"b")]));
    store.write(&permit(), &SHOP, None).await?;
    assert_eq!(fixture.kept().await?, holds(&[(WEB, SECRET)]));
    Ok(())
}

/// Whoever reads while it is replaced gets the old one or the new one, whole.
pub async fn a_reader_never_sees_half_of_a_configuration(fixture: &impl ConfigurationFixture) -> Checked {
    let contents = [vec![b'a'; 256 << 10], vec![b'b'; 192 << 10]];
    let [first, _] = &contents;
    fixture.store().write(&permit(), &WEB, Some(first.clone())).await?;
    let written = AtomicBool::new(false);
    let writing = async {
        for content in contents.iter().cycle().take(64) {
            fixture.store().write(&permit(), &WEB, Some(content.clone())).await?;
            tokio::task::yield_now().await;
        }
        written.store(true, Ordering::Relaxed);
        Checked::Ok(())
    };
    let reading = async {
        let reader = fixture.reopened().await?;
        while !written.load(Ordering::Relaxed) {
            let found = reader.read(&WEB).await?;
            assert!(found.is_some_and(|found| contents.contains(&found)), "a reader saw something between");
            tokio::task::yield_now().await;
        }
        Checked::Ok(())
    };
    tokio::try_join!(writing, reading)?;
    Ok(())
}

/// An error leaves the old configuration in force, whole, and nothing beside it.
pub async fn a_write_that_fails_leaves_the_old_one_standing(fixture: &impl ConfigurationFixture) -> Checked {
    fixture.store().write(&permit(), &WEB, Some(SECRET.to_vec())).await?;
    fixture.obstruct().await?;
    let error = refusal(
        fixture.store().write(&permit(), &WEB, Some(b"new".to_vec())).await,
        "a write that is impossible",
    )?;
    assert!(error.kind().is_rejection(), "nothing was changed, and it is said to be in doubt: {error}");
    assert_eq!(fixture.kept().await?, holds(&[(WEB, SECRET)]));
    assert_eq!(fixture.store().read(&WEB).await?.as_deref(), Some(SECRET));
    Ok(())
}

/// Reading leaves everything as it is, also where there is nothing to read.
pub async fn reading_changes_nothing(fixture: &impl ConfigurationFixture) -> Checked {
    fixture.store().read(&WEB).await?;
    assert_eq!(fixture.kept().await?, BTreeMap::new());
    fixture.store().write(&permit(), &WEB, Some(SECRET.to_vec())).await?;
    for _ in 0..3 {
        fixture.store().read(&WEB).await?;
        assert_eq!(fixture.kept().await?, holds(&[(WEB, SECRET)]));
    }
    Ok(())
}

/// Errors go into the journal: none shows the old configuration or the new one.
pub async fn no_error_shows_the_content(fixture: &impl ConfigurationFixture) -> Checked {
    fixture.store().write(&permit(), &WEB, Some(SECRET.to_vec())).await?;
    fixture.obstruct().await?;
    let new = b"token = \"another horse\"".to_vec();
    let error =
        refusal(fixture.store().write(&permit(), &WEB, Some(new)).await, "a write that is impossible")?;
    assert!(!whole(&error).contains("horse"), "an error shows the content");
    Ok(())
}
