//! What was put is held to what readers get of it, from an nginx of the test's own.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::port::{AssetRank, AssetStore as _, Manifest};
use flow_core::{ErrorKind, Fence, SystemClock, name};
use flow_host::{HostAssets, ServedSite};
use flow_local::store::HttpProber;
use flow_proving::server::Nginx;
use flow_proving::{Directory, Outside, Port, Request, exchange};
use flow_testkit::{permit, permit_under};

use crate::world::{World, at};

const TYPES: &str = "types { text/html html; text/css css; text/javascript js; }";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ALWAYS_ASK: &str = "no-cache";

/// A web root on a host, and what stands around it.
struct Ground {
    world: World,
}

/// An nginx that serves something as the site.
struct Front {
    nginx: Nginx,
    port: Port,
    directory: Directory,
}

impl Front {
    async fn start(root: &Path, types: &str, hashed: &str, others: &str) -> Outside<Self> {
        let (directory, port) = (Directory::new()?, Port::free()?);
        let http = format!(
            "{types} default_type application/octet-stream; server {{ listen {}; root {}; \
             location / {{ add_header Cache-Control \"{others}\"; }} \
             location ~ \"[.-][0-9a-f]{{8,}}[.]\" {{ add_header Cache-Control \"{hashed}\"; }} }}",
            port.address(),
            root.display()
        );
        let nginx = Nginx::start(&directory, &http, &port.address()).await?;
        Ok(Self { nginx, port, directory })
    }

    /// Each path that was asked for, as the access log has it, with how often.
    fn asked(self) -> Outside<BTreeMap<String, usize>> {
        // The last lines are written when it ends.
        self.nginx.end()?;
        let mut asked = BTreeMap::new();
        for line in fs::read_to_string(self.directory.path().join("access.log"))?.lines() {
            *asked.entry(line.split('"').nth(1).ok_or("no request")?.to_owned()).or_default() += 1;
        }
        Ok(asked)
    }
}

impl Ground {
    /// A root in which the first release stands.
    async fn new() -> Outside<Self> {
        let world = World::new();
        fs::set_permissions(world.directory.path(), Permissions::from_mode(0o755))?;
        let ground = Self { world };
        let (directory, manifest) = ground.release(1).await?;
        ground.store().put(&permit(), &directory, &manifest).await?;
        Ok(ground)
    }

    fn root(&self) -> PathBuf {
        self.world.root("web-1").join("public/www")
    }

    fn store(&self) -> HostAssets {
        HostAssets::new(name!("site"), self.world.host("web-1"), at("public/www")).unwrap()
    }

    fn checked(&self, front: &Front) -> HostAssets {
        let site = ServedSite::new(format!("http://{}", front.port.address()))
            .with_header(AssetRank::Hashed, "Cache-Control", "immutable")
            .with_header(AssetRank::Asset, "Cache-Control", ALWAYS_ASK)
            .with_header(AssetRank::Entry, "Cache-Control", ALWAYS_ASK);
        self.store().served_as(Arc::new(HttpProber::new(Arc::new(SystemClock::new()))), site).unwrap()
    }

    /// A release as it is to be deployed.
    async fn release(&self, number: u8) -> Outside<(PathBuf, Manifest)> {
        let directory = self.world.directory.path().join(format!("release-{number}"));
        fs::create_dir_all(directory.join("docs"))?;
        for (path, content) in files(number) {
            fs::write(directory.join(path), content)?;
        }
        let manifest = self.store().read(&directory).await?;
        Ok((directory, manifest))
    }

    /// What stands in the web root.
    fn page(&self) -> Outside<String> {
        Ok(fs::read_to_string(self.root().join("index.html"))?)
    }
}

fn files(number: u8) -> BTreeMap<String, String> {
    [("index.html", "page"), ("docs/index.html", "docs"), ("a b%20(1) 'ü'.css", "css")]
        .map(|(path, content)| (path.to_owned(), format!("{content} {number}")))
        .into_iter()
        .chain([(format!("app.1111111{number}.js"), format!("app {number}"))])
        .collect()
}

#[tokio::test]
async fn a_release_that_readers_get_as_declared_is_put_and_taken_back_and_each_file_is_asked_for_once()
-> Outside<()> {
    let ground = Ground::new().await?;
    let before = ground.store().serving().await?;
    let (directory, manifest) = ground.release(2).await?;
    let front = Front::start(&ground.root(), TYPES, FOR_EVER, ALWAYS_ASK).await?;
    ground.checked(&front).put(&permit(), &directory, &manifest).await?;
    let page = exchange(&front.port.address(), &Request::get("/index.html")).await?;
    assert_eq!((page.status, page.text()), (200, "page 2".to_owned()));
    ground.checked(&front).restore(&permit(), &before).await?;
    assert_eq!(ground.page()?, "page 1");
    let asked = front.asked()?;
    // By the put and by the restore, and the page by this test too; what the restore removed is nobody's.
    let css = "GET /a%20b%2520%281%29%20%27%C3%BC%27.css HTTP/1.1";
    let page = "GET /index.html HTTP/1.1";
    let expected =
        [(css, 2), ("GET /app.11111112.js HTTP/1.1", 1), ("GET /docs/index.html HTTP/1.1", 2), (page, 3)];
    assert_eq!(asked, expected.map(|(line, times)| (line.to_owned(), times)).into());
    Ok(())
}

#[tokio::test]
async fn assets_that_readers_get_otherwise_are_all_named_and_no_page_is_put_for_them() -> Outside<()> {
    let (hashed, css) = ("`app.11111112.js`", "`a b%20(1) 'ü'.css`");
    let elsewhere = Directory::new()?;
    for (case, others, types, for_hashed, for_others, named) in [
        ("a hashed file is not kept", None, TYPES, "no-store", ALWAYS_ASK, &[hashed][..]),
        ("another asset is kept for ever", None, TYPES, FOR_EVER, FOR_EVER, &[css]),
        (
            "nothing has its type",
            None,
            "types { text/plain html css js; }",
            FOR_EVER,
            ALWAYS_ASK,
            &[hashed, css],
        ),
        ("it serves another root", Some(elsewhere.path()), TYPES, FOR_EVER, ALWAYS_ASK, &[hashed, css]),
    ] {
        let ground = Ground::new().await?;
        let before = ground.store().serving().await?;
        let root = ground.root();
        let front = Front::start(others.unwrap_or(&root), types, for_hashed, for_others).await?;
        let (directory, manifest) = ground.release(2).await?;
        let error = ground.checked(&front).put(&permit(), &directory, &manifest).await.expect_err(case);
        assert!(!error.kind().is_rejection(), "{case}: its assets stand");
        let said = std::error::Error::source(&error).ok_or(case)?.to_string();
        for name in [hashed, css] {
            assert_eq!(said.contains(name), named.contains(&name), "{case}: {said}");
        }
        assert!(!said.contains(".html"), "{case}: {said}");
        assert_eq!(ground.page()?, "page 1", "{case}");
        // The way back. Where readers never got the site it is put back all the same, and said not to be served.
        let restored = ground.checked(&front).restore(&permit(), &before).await;
        assert_eq!(restored.is_err(), others.is_some(), "{case}: {restored:?}");
        assert_eq!(ground.store().serving().await?, before, "{case}");
        assert!(!front.asked()?.keys().any(|line| line.contains(".html")), "{case}");
    }
    Ok(())
}

#[tokio::test]
async fn pages_that_readers_get_otherwise_are_in_doubt_and_taken_back() -> Outside<()> {
    let ground = Ground::new().await?;
    let before = ground.store().serving().await?;
    let (directory, manifest) = ground.release(2).await?;
    let types = "types { text/plain html; text/css css; text/javascript js; }";
    let front = Front::start(&ground.root(), types, FOR_EVER, ALWAYS_ASK).await?;
    let error = ground.checked(&front).put(&permit(), &directory, &manifest).await.unwrap_err();
    assert!(!error.kind().is_rejection(), "{error}");
    let said = std::error::Error::source(&error).ok_or("no cause")?.to_string();
    assert!(said.contains("`index.html`") && said.contains("`docs/index.html`"), "{said}");
    assert!(!said.contains(".js"), "{said}");
    ground.checked(&front).restore(&permit(), &before).await?;
    assert_eq!(ground.store().serving().await?, before);
    Ok(())
}

/// The attempt before may have ended behind the files and before the question.
#[tokio::test]
async fn a_repeated_put_asks_for_what_stands_already_too() -> Outside<()> {
    let ground = Ground::new().await?;
    let (directory, manifest) = ground.release(2).await?;
    ground.store().put(&permit(), &directory, &manifest).await?;
    let front = Front::start(&ground.root(), TYPES, "no-store", ALWAYS_ASK).await?;
    let again = permit_under("test", Fence(1), 2);
    let error = ground.checked(&front).put(&again, &directory, &manifest).await.unwrap_err();
    let said = std::error::Error::source(&error).ok_or("no cause")?.to_string();
    assert!(said.contains("`app.11111112.js`") && !said.contains(".css"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_file_too_large_to_be_asked_for_is_refused_before_any_is_touched() -> Outside<()> {
    let ground = Ground::new().await?;
    let before = ground.store().serving().await?;
    let front = Front::start(&ground.root(), TYPES, FOR_EVER, ALWAYS_ASK).await?;
    let (directory, _) = ground.release(2).await?;
    fs::write(directory.join("film.mp4"), vec![0; (8 << 20) + 1])?;
    let manifest = ground.store().read(&directory).await?;
    let error = ground.checked(&front).put(&permit(), &directory, &manifest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(std::error::Error::source(&error).ok_or("no cause")?.to_string().contains("`film.mp4`"));
    assert_eq!(ground.store().serving().await?, before);
    assert!(!ground.world.root("web-1").join("public/www.kept").exists());
    assert!(front.asked()?.is_empty());
    Ok(())
}
