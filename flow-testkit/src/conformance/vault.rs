//! What every [`Vault`] promises, as checks.

use async_trait::async_trait;
use flow_core::port::{Sealed, Vault};
use flow_core::{Digest, ErrorKind};

use super::{Checked, Outside};
use crate::conformance::refusal::{refusal, whole};
use crate::permit;

/// Makes one `#[tokio::test]` for every promise of [`Vault`](flow_core::port::Vault).
///
/// It takes an async function without arguments that gives a fresh [`VaultFixture`](crate::conformance::vault::VaultFixture).
///
/// ```
/// use async_trait::async_trait;
/// use flow_core::port::{Sealed, Vault};
/// use flow_testkit::conformance::{Checked, Outside};
/// use flow_testkit::conformance::vault::VaultFixture;
/// use flow_testkit::fake::MemoryVault;
///
/// struct InMemory(MemoryVault);
///
/// #[async_trait]
/// impl VaultFixture for InMemory {
///     fn vault(&self) -> &dyn Vault {
///         &self.0
///     }
///     async fn reopened(&self) -> Outside<Box<dyn Vault>> {
///         Ok(Box::new(self.0.clone()))
///     }
///     async fn count(&self) -> Outside<usize> {
///         Ok(self.0.count())
///     }
///     async fn tamper(&self, sealed: &Sealed, content: &[u8]) -> Checked {
///         self.0.tamper(sealed, content);
///         Ok(())
///     }
///     async fn lose(&self, sealed: &Sealed) -> Checked {
///         self.0.lose(sealed);
///         Ok(())
///     }
///     async fn open_to_others(&self) -> Outside<Vec<String>> {
///         Ok(Vec::new()) // Memory of this process alone.
///     }
/// }
///
/// async fn fresh() -> InMemory {
///     InMemory(MemoryVault::default())
/// }
///
/// flow_testkit::vault_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! vault_conformance {
    ($fresh:expr) => {
        $crate::vault_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { vault $with
            what_was_sealed_opens_again_whole
            another_process_opens_what_was_sealed
            the_reference_is_the_digest_of_the_content
            the_same_content_is_kept_once
            contents_do_not_disturb_each_other
            what_was_changed_underneath_is_a_conflict
            what_is_gone_or_was_never_sealed_is_not_found
            sealing_again_mends_what_was_changed
            opening_changes_nothing
            nobody_but_its_owner_can_read_it
            no_error_shows_the_content
        }
    };
}

/// An empty vault, and ways to look at it and to disturb it from outside.
#[async_trait]
pub trait VaultFixture: Send + Sync {
    /// The vault under test.
    fn vault(&self) -> &dyn Vault;

    /// The same vault as another process would open it.
    async fn reopened(&self) -> Outside<Box<dyn Vault>>;

    /// How many contents it keeps, counted from outside: files of the directory, rows of the table.
    async fn count(&self) -> Outside<usize>;

    /// Puts `content` in the place of what was sealed, as somebody would who changes the file.
    async fn tamper(&self, sealed: &Sealed, content: &[u8]) -> Checked;

    /// Removes what was sealed.
    async fn lose(&self, sealed: &Sealed) -> Checked;

    /// What of the vault others than its owner can read, each thing by its name. There should be nothing.
    async fn open_to_others(&self) -> Outside<Vec<String>>;
}

const SECRET: &[u8] = b"PASSWORD=correct horse battery staple";

/// Content of any bytes and of any length opens exactly as it was sealed.
pub async fn what_was_sealed_opens_again_whole(fixture: &impl VaultFixture) -> Checked {
    let every_byte: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
    for content in [&b""[..], b"\0", SECRET, &every_byte] {
        let sealed = fixture.vault().seal(&permit(), content).await?;
        assert!(fixture.vault().open(&sealed).await? == content, "{} bytes differ", content.len());
    }
    Ok(())
}

/// What `seal` has answered is durable: it needs nothing that the sealing process holds.
pub async fn another_process_opens_what_was_sealed(fixture: &impl VaultFixture) -> Checked {
    let sealed = fixture.vault().seal(&permit(), SECRET).await?;
    assert_eq!(fixture.reopened().await?.open(&sealed).await?, SECRET);
    Ok(())
}

/// The reference names the content by its SHA-256 alone, and so shows nothing of it.
pub async fn the_reference_is_the_digest_of_the_content(fixture: &impl VaultFixture) -> Checked {
    let sealed = fixture.vault().seal(&permit(), SECRET).await?;
    assert_eq!(sealed.digest, Digest::of(SECRET));
    Ok(())
}

/// Sealing the same content again, as a later attempt does, keeps it once.
pub async fn the_same_content_is_kept_once(fixture: &impl VaultFixture) -> Checked {
    let first = fixture.vault().seal(&permit(), SECRET).await?;
    let again = fixture.reopened().await?.seal(&permit(), SECRET).await?;
    assert_eq!(first, again);
    assert_eq!(fixture.count().await?, 1);
    Ok(())
}

/// Sealing, changing and losing one content leaves every other one as it is.
pub async fn contents_do_not_disturb_each_other(fixture: &impl VaultFixture) -> Checked {
    let kept = fixture.vault().seal(&permit(), SECRET).await?;
    let changed = fixture.vault().seal(&permit(), b"changed").await?;
    let lost = fixture.vault().seal(&permit(), b"lost").await?;
    fixture.tamper(&changed, b"otherwise").await?;
    fixture.lose(&lost).await?;
    assert_eq!(fixture.vault().open(&kept).await?, SECRET);
    Ok(())
}

/// Content that somebody changed, cut or emptied is a conflict and is never handed out.
pub async fn what_was_changed_underneath_is_a_conflict(fixture: &impl VaultFixture) -> Checked {
    let sealed = fixture.vault().seal(&permit(), SECRET).await?;
    for content in [&b"PASSWORD=wrong"[..], b"PASSWORD", b""] {
        fixture.tamper(&sealed, content).await?;
        let error = refusal(fixture.vault().open(&sealed).await, "changed content")?;
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    Ok(())
}

/// What is not there is said to be not there, not empty.
pub async fn what_is_gone_or_was_never_sealed_is_not_found(fixture: &impl VaultFixture) -> Checked {
    let never = Sealed { digest: Digest::of(b"never sealed") };
    let gone = fixture.vault().seal(&permit(), SECRET).await?;
    fixture.lose(&gone).await?;
    for sealed in [never, gone] {
        let error = refusal(fixture.vault().open(&sealed).await, "missing content")?;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    Ok(())
}

/// `seal` promises that its content is kept, whatever stood in its place.
pub async fn sealing_again_mends_what_was_changed(fixture: &impl VaultFixture) -> Checked {
    let sealed = fixture.vault().seal(&permit(), SECRET).await?;
    fixture.tamper(&sealed, b"PASSWORD=wrong").await?;
    fixture.vault().seal(&permit(), SECRET).await?;
    assert_eq!(fixture.vault().open(&sealed).await?, SECRET);
    Ok(())
}

/// Reading leaves everything as it is, however often, and also where there is nothing to read.
pub async fn opening_changes_nothing(fixture: &impl VaultFixture) -> Checked {
    let never = Sealed { digest: Digest::of(b"never sealed") };
    drop(refusal(fixture.vault().open(&never).await, "missing content")?);
    assert_eq!(fixture.count().await?, 0);
    let sealed = fixture.vault().seal(&permit(), SECRET).await?;
    for _ in 0..3 {
        assert_eq!(fixture.vault().open(&sealed).await?, SECRET);
        assert_eq!(fixture.count().await?, 1);
    }
    Ok(())
}

/// What is sealed is readable by this user alone.
pub async fn nobody_but_its_owner_can_read_it(fixture: &impl VaultFixture) -> Checked {
    fixture.vault().seal(&permit(), SECRET).await?;
    assert_eq!(fixture.open_to_others().await?, Vec::<String>::new());
    Ok(())
}

/// Errors go into the journal: none shows what was sealed, or what stands in its place.
pub async fn no_error_shows_the_content(fixture: &impl VaultFixture) -> Checked {
    let sealed = fixture.vault().seal(&permit(), SECRET).await?;
    fixture.tamper(&sealed, b"PASSWORD=another secret").await?;
    let changed = refusal(fixture.vault().open(&sealed).await, "changed content")?;
    fixture.lose(&sealed).await?;
    let missing = refusal(fixture.vault().open(&sealed).await, "missing content")?;
    for error in [changed, missing] {
        let text = whole(&error);
        assert!(!text.contains("PASSWORD") && !text.contains("secret"), "an error shows the content");
    }
    Ok(())
}
