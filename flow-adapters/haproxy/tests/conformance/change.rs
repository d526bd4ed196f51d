//! Changes by several hands: later owners, crashes half-way, operators.

use flow_core::port::{Router, Routing};
use flow_core::{ErrorKind, Name};
use flow_proving::server::Haproxy;
use flow_proving::{Directory, Outside, Port, Request, exchange};

use super::world::{NEW, OLD, WEB, World, permit, router_at, routing, sections};

async fn version(world: &World) -> Outside<String> {
    Ok(exchange(&world.web.address(), &Request::get("/")).await?.text())
}

#[tokio::test]
async fn a_call_under_an_earlier_fence_is_refused_also_by_the_next_controller() -> Outside<()> {
    let world = World::start().await;
    let (old, new) = ([world.app(OLD).await?], [world.app(NEW).await?]);
    let (all_old, all_new) = (routing(&[(OLD, 100, &old)]), routing(&[(NEW, 100, &new)]));
    world.route(3, &all_old).await?;
    // The same routing, by a later owner: its fence counts all the same.
    world.route(5, &all_old).await?;
    let next = router_at(&world.haproxy);
    for fence in [3, 4] {
        let error = next.route(&permit(fence), &WEB, &all_new).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(next.routing(&WEB).await?, all_old);
        assert_eq!(version(&world).await?, OLD);
    }
    next.route(&permit(5), &WEB, &all_new).await?;
    assert_eq!(world.servers().await.iter().filter(|name| name.starts_with("flow-fence")).count(), 1);
    assert_eq!(version(&world).await?, NEW);
    Ok(())
}

#[tokio::test]
async fn a_change_that_was_cut_off_after_any_of_its_commands_is_carried_to_its_end() -> Outside<()> {
    let world = World::start().await;
    let (old, new) = ([world.app(OLD).await?], [world.app(NEW).await?]);
    let (all_old, all_new) = (routing(&[(OLD, 100, &old)]), routing(&[(NEW, 100, &new)]));
    world.route(1, &all_new).await?;
    let name = world.servers().await.into_iter().find(|name| name.contains(NEW)).unwrap();
    let address = new[0].replace("unix:", "unix@");
    let commands = [
        format!("add server web/{name} {address} weight 7"),
        format!("set server web/{name} weight 1"),
        format!("set server web/{name} state ready"),
    ];
    for cut in 1..=commands.len() {
        world.route(1, &all_old).await?;
        world.haproxy.ask(&format!("del server web/{name}")).await?;
        assert!(!world.servers().await.contains(&name));
        for command in commands.iter().take(cut) {
            world.haproxy.ask(command).await?;
        }
        world.route(1, &all_new).await?;
        assert_eq!(world.router.routing(&WEB).await?, all_new, "cut after {cut}");
        assert_eq!(version(&world).await?, NEW);
    }
    // And the other way: cut off after the new one was made ready, then undone.
    world.route(1, &all_old).await?;
    world.haproxy.ask(&format!("set server web/{name} state ready")).await?;
    world.route(1, &all_old).await?;
    assert_eq!(world.router.routing(&WEB).await?, all_old);
    Ok(())
}

#[tokio::test]
async fn what_an_operator_changed_is_observed_and_never_overlooked() -> Outside<()> {
    let world = World::start().await;
    let (old, new) = ([world.app(OLD).await?], [world.app(NEW).await?]);
    let put = routing(&[(OLD, 75, &old), (NEW, 25, &new)]);
    world.route(1, &put).await?;
    let server = world.servers().await.into_iter().find(|name| name.contains(NEW)).unwrap();

    world.haproxy.ask(&format!("set server web/{server} weight 255")).await?;
    assert_eq!(world.router.routing(&WEB).await?, routing(&[(OLD, 50, &old), (NEW, 50, &new)]));
    world.haproxy.ask(&format!("set server web/{server} state maint")).await?;
    assert_eq!(world.router.routing(&WEB).await?, routing(&[(OLD, 100, &old)]));
    world.haproxy.ask(&format!("set server web/{server} state drain")).await?;
    assert_eq!(world.router.routing(&WEB).await?, routing(&[(OLD, 100, &old), (NEW, 0, &new)]));
    world.route(1, &put).await?;
    assert_eq!(world.router.routing(&WEB).await?, put);

    Ok(())
}

#[tokio::test]
async fn a_server_that_was_given_another_address_is_ours_no_more() -> Outside<()> {
    let world = World::start().await;
    let port = Port::free()?.address().to_string();
    let put = routing(&[(OLD, 100, std::slice::from_ref(&port))]);
    world.route(1, &put).await?;
    let server = world.servers().await.into_iter().find(|name| name.contains(OLD)).unwrap();
    world.haproxy.ask(&format!("set server web/{server} addr 127.0.0.2 port 9")).await?;
    assert_eq!(world.router.routing(&WEB).await.unwrap_err().kind(), ErrorKind::Conflict);
    // Out of the way it is left alone, and never made ready for requests again.
    world.haproxy.ask(&format!("set server web/{server} state maint")).await?;
    assert_eq!(world.router.routing(&WEB).await?, Routing::default());
    let error = world.route(1, &put).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    world.haproxy.ask(&format!("del server web/{server}")).await?;
    world.route(1, &put).await?;
    assert_eq!(world.router.routing(&WEB).await?, put);
    Ok(())
}

#[tokio::test]
async fn a_server_of_somebody_else_is_left_alone_and_a_conflict_where_it_serves() -> Outside<()> {
    let world = World::start().await;
    let (old, foreign) = ([world.app(OLD).await?], world.app(NEW).await?);
    world
        .haproxy
        .ask(&format!("add server web/theirs {} weight 9", foreign.replace("unix:", "unix@")))
        .await?;
    let all_old = routing(&[(OLD, 100, &old)]);
    world.route(1, &all_old).await?;
    world.haproxy.ask("set server web/theirs state ready").await?;
    for error in [
        world.router.routing(&WEB).await.unwrap_err(),
        world.route(1, &Routing::default()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains("theirs"), "{error}");
    }
    world.haproxy.ask("set server web/theirs state maint").await?;
    world.route(1, &Routing::default()).await?;
    assert!(world.servers().await.contains(&"theirs".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_at_once_end_in_one_routing_and_the_loser_says_so() -> Outside<()> {
    let world = World::start().await;
    let (old, new) = ([world.app(OLD).await?], [world.app(NEW).await?]);
    let (all_old, all_new) = (routing(&[(OLD, 100, &old)]), routing(&[(NEW, 100, &new)]));
    let other = router_at(&world.haproxy);
    for _ in 0..20 {
        let (permit, service) = (permit(1), WEB);
        let (one, two) = tokio::join!(world.route(1, &all_old), other.route(&permit, &service, &all_new));
        for error in [one, two].into_iter().filter_map(Result::err) {
            // In doubt where it had begun, a conflict where the other had declared the same server before.
            assert!(matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Conflict), "{error}");
        }
        world.route(1, &all_old).await?;
        assert_eq!(world.router.routing(&WEB).await?, all_old);
        assert_eq!(version(&world).await?, OLD);
    }
    Ok(())
}

#[tokio::test]
async fn a_haproxy_started_with_the_lines_of_another_goes_on_where_that_one_was() -> Outside<()> {
    let world = World::start().await;
    let build = "2.0.0+build_7";
    let (old, new) = ([world.app(OLD).await?, world.app(OLD).await?], [world.app(build).await?]);
    let put = routing(&[(OLD, 99, &old), (build, 1, &new)]);
    world.route(1, &put).await?;
    let lines = world.router.server_lines(&WEB).await?;

    let (directory, web, api) = (Directory::new()?, Port::free()?, Port::free()?);
    let again = Haproxy::start(&directory, &sections(&web, &api, &lines), &web.address()).await?;
    let router = router_at(&again);
    assert_eq!(router.routing(&WEB).await?, put);
    assert_eq!(exchange(&web.address(), &Request::get("/")).await?.status, 200);
    let all_new = routing(&[(build, 100, &new)]);
    router.route(&permit(1), &WEB, &all_new).await?;
    assert_eq!(router.routing(&WEB).await?, all_new);
    assert_eq!(exchange(&web.address(), &Request::get("/")).await?.text(), build);
    assert_eq!(router.routing(&Name::new("api")?).await?, Routing::default());
    Ok(())
}
