//! Commands: what they get, and how they end.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::port::Command;
use flow_core::{CancelToken, ErrorKind, Fence, Permit};
use futures::future::{Either, select};

use super::{Behaviour, HostFixture, HostNode, LONG, at, file, until_running};
use crate::conformance::Checked;
use crate::conformance::refusal::{refusal, whole};
use crate::permit;

async fn printed(fixture: &impl HostFixture, args: &[&str]) -> Checked {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let expected: String = args.iter().map(|arg| format!("{arg}\0")).collect();
    let command = fixture.command(Behaviour::Arguments(args)).await?;
    let queried = fixture.host().query(&command).await?;
    assert_eq!(String::from_utf8_lossy(&queried.stdout), expected);
    assert!(queried.succeeded());
    let run = fixture.host().run(&permit(), &command).await?;
    assert_eq!(run, queried);
    Ok(())
}

/// Every argument arrives as one, to the letter: blanks, quotes, lines, empty ones, leading dashes and every script.
pub async fn arguments_reach_the_program_as_they_are(fixture: &impl HostFixture) -> Checked {
    printed(fixture, &["a b", "", "'", "\"", "\\", "line 1\nline 2\t", "--flag=x y", "-", "部署 ü", " end "])
        .await
}

/// What a shell would read stays text, and nothing of it happens.
pub async fn no_shell_reads_the_arguments(fixture: &impl HostFixture) -> Checked {
    let before = fixture.tree().await?;
    printed(
        fixture,
        &["$(touch pwned)", "`touch pwned`", "; touch pwned", "> pwned", "*", "$HOME", "~", "!!"],
    )
    .await?;
    assert_eq!(fixture.tree().await?, before);
    Ok(())
}

/// A program sees what the host allows and what the command brings, and nothing of who runs the host.
pub async fn the_environment_is_the_allow_list_and_the_commands_own(fixture: &impl HostFixture) -> Checked {
    let command = fixture.command(Behaviour::Environment).await?.env("OWN", "a=b c");
    let output = fixture.host().query(&command).await?;
    let text = String::from_utf8(output.stdout)?;
    let seen: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut expected = fixture.environment();
    expected.insert("OWN".to_owned(), "a=b c".to_owned());
    assert_eq!(seen, expected);
    Ok(())
}

/// Without a directory a command works in the root, with one in it.
pub async fn a_command_works_in_its_directory(fixture: &impl HostFixture) -> Checked {
    let command = fixture.command(Behaviour::Writes).await?;
    fixture.put("below/deep", HostNode::Directory).await?;
    fixture.host().run(&permit(), &command).await?;
    fixture.host().run(&permit(), &command.directory(at("below/deep")?)).await?;
    let tree = fixture.tree().await?;
    let made: Vec<&String> =
        tree.iter().filter(|(_, node)| **node == file("made")).map(|(path, _)| path).collect();
    assert_eq!(made, ["below/deep/made", "made"]);
    Ok(())
}

/// What a program says by its code is for the caller to judge; both its streams come along.
pub async fn a_code_other_than_0_is_an_output(fixture: &impl HostFixture) -> Checked {
    for code in [1, 3, 127, 255] {
        let command = fixture.command(Behaviour::Ends(code)).await?;
        for output in [fixture.host().query(&command).await?, fixture.host().run(&permit(), &command).await?]
        {
            assert_eq!((output.code, output.succeeded()), (Some(code), false));
            assert_eq!((&*output.stdout, &*output.stderr), (&b"out"[..], &b"err"[..]));
        }
    }
    Ok(())
}

/// A program that prints without end neither fills the memory nor hides how it ended: the end is kept.
pub async fn only_the_last_mebibyte_of_each_stream_is_kept(fixture: &impl HostFixture) -> Checked {
    let command = fixture.command(Behaviour::Floods).await?;
    let output = fixture.host().run(&permit(), &command).await?;
    for stream in [&output.stdout, &output.stderr] {
        assert_eq!(stream.len(), 1 << 20);
        assert!(stream.ends_with(b"end"), "the end is not what was kept");
    }
    Ok(())
}

/// Nothing ran: the program, or the directory to run it in, does not exist.
pub async fn a_program_or_a_directory_that_is_not_there_is_not_found(fixture: &impl HostFixture) -> Checked {
    let nowhere = fixture.command(Behaviour::Writes).await?.directory(at("nowhere")?);
    for command in [
        Command::new("no-such-program-anywhere", ["x"]),
        Command::new("/no/such/program-anywhere", ["x"]),
        nowhere,
    ] {
        let queried = refusal(fixture.host().query(&command).await, "a query that cannot be run")?;
        let run = refusal(fixture.host().run(&permit(), &command).await, "a command that cannot be run")?;
        for error in [queried, run] {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        }
    }
    assert_eq!(fixture.tree().await?, BTreeMap::new());
    Ok(())
}

/// What cannot be run is refused before anything runs, and every field that is wrong is named.
pub async fn a_bad_command_is_refused_with_all_its_problems(fixture: &impl HostFixture) -> Checked {
    let bad = Command::new("./relative", ["fine", "a\0b"]).env("A=B", "x").timeout(Duration::ZERO);
    let queried = refusal(fixture.host().query(&bad).await, "a bad query")?;
    let run = refusal(fixture.host().run(&permit(), &bad).await, "a bad command")?;
    for error in [queried, run] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        for field in ["`program`", "`args.1`", "`env.A=B`", "`timeout`"] {
            assert!(whole(&error).contains(field), "{field} in {}", whole(&error));
        }
    }
    Ok(())
}

/// The timeout ends the program and whatever it started, and the answer comes when they are gone.
pub async fn a_command_out_of_time_is_ended_with_all_its_children(fixture: &impl HostFixture) -> Checked {
    let command = fixture.command(Behaviour::Hangs).await?;
    // A machine that is too busy to start two processes in time gets more of it.
    for millis in [500, 2_000, 8_000, 32_000] {
        let command = command.clone().timeout(Duration::from_millis(millis));
        let permit = permit();
        let run = fixture.host().run(&permit, &command);
        let (both_ran, answer) = match select(Box::pin(until_running(fixture, 2)), run).await {
            Either::Left((seen, run)) => {
                seen?;
                (true, run.await)
            }
            Either::Right((answer, _)) => (false, answer),
        };
        let error = refusal(answer, "a command that never ends")?;
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert_eq!(fixture.running().await?, 0, "processes run on");
        if both_ran {
            return Ok(());
        }
    }
    Err("the command and its child never ran at once".into())
}

/// Cancel ends the program and whatever it started, and the answer comes when they are gone.
pub async fn a_cancelled_command_is_ended_with_all_its_children(fixture: &impl HostFixture) -> Checked {
    let command = fixture.command(Behaviour::Hangs).await?.timeout(LONG);
    let permit = permit();
    let (answer, seen) = tokio::join!(fixture.host().run(&permit, &command), async {
        let seen = until_running(fixture, 2).await;
        permit.cancel().cancel();
        seen
    });
    seen?;
    let error = refusal(answer, "a cancelled command")?;
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert_eq!(fixture.running().await?, 0, "processes run on");
    Ok(())
}

/// What was cancelled before it began never begins.
pub async fn a_cancelled_permit_starts_nothing(fixture: &impl HostFixture) -> Checked {
    let command = fixture.command(Behaviour::Writes).await?;
    let before = fixture.tree().await?;
    let cancel = CancelToken::new();
    cancel.cancel();
    let permit = Permit::for_tests("test", Fence(1), 1, cancel);
    let error = refusal(fixture.host().run(&permit, &command).await, "a cancelled command")?;
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert_eq!(fixture.tree().await?, before);
    Ok(())
}

/// Nobody waits for a command whose caller was given up: it and whatever it started are ended.
pub async fn an_abandoned_command_is_ended_with_all_its_children(fixture: &impl HostFixture) -> Checked {
    let command = fixture.command(Behaviour::Hangs).await?.timeout(LONG);
    {
        let permit = permit();
        let run = fixture.host().run(&permit, &command);
        match select(Box::pin(until_running(fixture, 2)), run).await {
            Either::Left((seen, _abandoned)) => seen?,
            Either::Right((answer, _)) => {
                return Err(format!("the command ended by itself: {answer:?}").into());
            }
        }
    }
    until_running(fixture, 0).await
}

/// What a command brings may be secret: no error shows its value.
pub async fn no_error_shows_the_environment(fixture: &impl HostFixture) -> Checked {
    let secret = "correct horse battery staple";
    let missing = Command::new("no-such-program-anywhere", ["x"]).env("TOKEN", secret);
    let bad = Command::new("", ["x"]).env("TOKEN", secret).env("OTHER", format!("{secret}\0"));
    let slow =
        fixture.command(Behaviour::Hangs).await?.env("TOKEN", secret).timeout(Duration::from_millis(300));
    for command in [missing, bad, slow] {
        let error = refusal(fixture.host().run(&permit(), &command).await, "a command that cannot end well")?;
        assert!(!whole(&error).contains("horse"), "an error shows the environment");
    }
    Ok(())
}
