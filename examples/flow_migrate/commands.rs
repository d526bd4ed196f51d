//! Carries one call out.

use std::path::Path;

use flow_core::port::Migrator as _;
use flow_core::{CancelToken, ErrorKind, Permit, StepError, name};
use flow_migrate::{
    Course, MissingDatabase, Protection, SqlConfig, SqlMigrations, StatementPlan, Target, Waits,
};
use flow_testkit::permit_under;

use crate::answer::Answer;
use crate::backups;
use crate::options::{Command, Options};

pub(crate) async fn carry_out(options: &Options) -> Answer {
    let word = &options.word;
    let target = match Target::parse(&options.url) {
        Ok(target) => target,
        Err(problems) => return Answer::bad_input(word, &problems.to_string()),
    };
    if options.production && target.protection() == Protection::Open {
        return Answer::refused(
            word,
            "the way to the server is not protected: ask for `sslmode=verify-full`",
        );
    }
    if options.production && matches!(options.command, Command::Backup { .. }) && options.recipient.is_none()
    {
        return Answer::refused(word, "backups of production are encrypted: name a `--recipient`");
    }
    let waits = Waits { migrators: options.lock_timeout, ..Waits::default() };
    let backup = backups::settings(options, &target);
    let config = SqlConfig::new(target, &options.directory, backups::folder(options), name!("database"));
    let migrations = match SqlMigrations::new(SqlConfig {
        layout: options.layout,
        waits,
        missing: MissingDatabase::Create,
        backup,
        ..config
    }) {
        Ok(migrations) => match options.phase {
            Some(phase) => migrations.phase(phase),
            None => migrations,
        },
        Err(problems) => return Answer::bad_input(word, &problems.to_string()),
    };
    let mut answer = Answer::new(word);
    let ran = match &options.command {
        Command::Backup { out } => back_up(&migrations, out, &mut answer).await,
        Command::Drill { backup } => drill(&migrations, backup, options, &mut answer).await,
        command => run(&migrations, command, &mut answer).await,
    };
    if let Err(error) = ran {
        answer.stopped_by(error);
    }
    answer
}

async fn run(migrations: &SqlMigrations, command: &Command, answer: &mut Answer) -> Result<(), StepError> {
    match command {
        Command::Up(goal) => take(answer, migrations.up(&permit(), goal).await),
        Command::Down(retreat) => take(answer, migrations.down(&permit(), retreat).await),
        Command::Verify => {
            // A conflict is what it is asked for.
            if let Err(error) = migrations.state().await {
                answer.stopped_by(error);
            }
        }
        Command::Plan => match planned(migrations).await {
            Ok(plans) => answer.plan = Some((migrations.plan_hash(&plans).await?.to_string(), plans)),
            Err(error) => answer.stopped_by(error),
        },
        Command::Lint => match migrations.lint().await {
            Ok(plans) => answer.plan = Some((migrations.plan_hash(&plans).await?.to_string(), plans)),
            Err(error) => answer.stopped_by(error),
        },
        Command::Status | Command::Backup { .. } | Command::Drill { .. } => {}
    }
    match migrations.overview().await {
        Ok(stands) => {
            answer.server = Some(stands.server);
            answer.status = stands.migrations;
            answer.schema = Some(stands.schema.to_string());
            Ok(())
        }
        Err(error) => {
            // What answers is told whatever the scripts are.
            answer.server = Some(migrations.server().await?);
            Err(error)
        }
    }
}

async fn back_up(migrations: &SqlMigrations, out: &Path, answer: &mut Answer) -> Result<(), StepError> {
    answer.backup = Some(backups::back_up(migrations, &permit(), out).await?);
    answer.server = Some(migrations.server().await?);
    Ok(())
}

async fn drill(
    migrations: &SqlMigrations,
    backup: &Path,
    options: &Options,
    answer: &mut Answer,
) -> Result<(), StepError> {
    let (found, differs) = backups::drill(migrations, backup, options.identity.as_deref()).await?;
    answer.backup = Some(found);
    if let Some(error) = differs {
        answer.differs(error);
    }
    Ok(())
}

/// What was measured on a copy; where none can be had, what is foretold.
async fn planned(migrations: &SqlMigrations) -> Result<Vec<StatementPlan>, StepError> {
    let foretold = migrations.lint().await?;
    match migrations.rehearse(&CancelToken::new()).await {
        Ok(plans) => Ok(plans),
        Err(error) if error.kind() == ErrorKind::Failed => Err(error),
        Err(_) => Ok(foretold),
    }
}

fn take(answer: &mut Answer, course: Course) {
    answer.finished = course.finished;
    if let Some(error) = course.stopped {
        answer.stopped_by(error);
    }
}

/// Each call is a run of its own.
fn permit() -> Permit {
    permit_under(&format!("flow_migrate {}", std::process::id()), flow_core::Fence(1), 1)
}
