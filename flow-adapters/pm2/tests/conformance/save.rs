//! PM2's list, saved by us and read by PM2.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use flow_core::ErrorKind;
use flow_core::port::ProcessManager as _;
use flow_proving::Outside;
use flow_proving::app::Behaviour;
use flow_testkit::permit;

use super::world::{WEB, World, named};

#[tokio::test]
async fn a_saved_list_is_private_and_pm2_brings_it_back() -> Outside<()> {
    let world = World::new().await?;
    let empty = world.manager.save(&permit()).await.unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::Failed);
    assert!(!world.pm2.home().join("dump.pm2").exists());

    let mut spec = world.app("1", &Behaviour::of("1"))?;
    spec.env.insert("TOKEN".to_owned(), "hunter2".to_owned());
    world.launch(&spec).await?;
    world.launch(&world.app("2", &Behaviour::of("1"))?).await?;
    assert!(!world.pm2.home().join("dump.pm2").exists(), "a launch saves nothing");
    for _ in 0..2 {
        assert_eq!(world.manager.save(&permit()).await?, 2);
    }
    for file in ["dump.pm2", "dump.pm2.bak"] {
        let mode = fs::metadata(world.pm2.home().join(file))?.permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }

    assert!(world.pm2.run(["delete", "all"])?.status.success());
    assert!(world.running().is_empty());
    assert!(world.pm2.run(["resurrect"])?.status.success());
    world.until_healthy("1").await?;
    world.until_healthy("2").await?;
    assert_eq!(world.manager.launched(&WEB, &named("1")).await?, spec);
    Ok(())
}
