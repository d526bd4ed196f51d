use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flow_build::GitConfig;
use flow_core::ErrorKind;
use flow_core::port::{Source as _, SourceVersion};
use flow_testkit::permit;

use crate::fixture::{Alarm, Fixture, eventually, listing, names, runs, scratch, script, set_mode, tag};

fn fact(error: &flow_core::StepError, name: &str) -> String {
    error.facts().find(|(found, _)| *found == name).map(|(_, value)| value.to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_lightweight_and_an_annotated_tag_name_their_commit() {
    let fixture = Fixture::tagged();
    fixture.git(&["tag", "--annotate", "--message", "release", "rel/1.0"]);
    fixture.git(&["tag", "--annotate", "--message", "a tag of a tag", "again", "rel/1.0"]);
    let commit = fixture.git(&["rev-parse", "HEAD"]);
    for name in ["v1", "rel/1.0", "again"] {
        let version = fixture.source().resolve(&tag(name)).await.unwrap();
        let tree = fixture.trees().join(&commit);
        assert_eq!(version, SourceVersion { commit: commit.clone(), tag: name.to_owned(), tree });
    }
    assert_eq!(names(&fixture.trees()), [""; 0]);
    assert_eq!(scratch(&fixture.trees()), [""; 0]);
}

#[tokio::test]
async fn a_repository_of_sha256_objects_is_read_too() {
    let fixture = Fixture::new();
    fs::remove_dir_all(fixture.repository().join(".git")).unwrap();
    fixture.git(&["init", "--quiet", "--object-format=sha256"]);
    fixture.write("a", "1");
    let commit = fixture.commit("v1");
    assert_eq!(commit.len(), 64);
    let version = fixture.source().resolve(&tag("v1")).await.unwrap();
    fixture.source().check_out(&permit(), &version).await.unwrap();
    assert_eq!(fs::read_to_string(version.tree.join("a")).unwrap(), "1");
}

#[tokio::test]
async fn a_linked_work_tree_is_a_repository_too() {
    let fixture = Fixture::tagged();
    fixture.git(&["worktree", "add", "--quiet", "--detach", "../linked"]);
    let linked = fixture.path("linked");
    let source = fixture.source_of(GitConfig::new(&linked, fixture.trees()));
    let version = source.resolve(&tag("v1")).await.unwrap();
    source.check_out(&permit(), &version).await.unwrap();
    assert_eq!(names(&version.tree), ["main.txt", "src"]);
    fs::write(linked.join("new"), "").unwrap();
    assert_eq!(source.resolve(&tag("v1")).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn every_kind_of_uncommitted_change_is_refused_and_named() {
    type Change = fn(&Fixture);
    let changes: [(Change, &str); 9] = [
        (|fixture| fixture.write("main.txt", "changed"), "main.txt (modified)"),
        (
            |fixture| fs::remove_file(fixture.repository().join("src/lib.txt")).unwrap(),
            "src/lib.txt (modified)",
        ),
        (|fixture| set_mode(&fixture.repository().join("main.txt"), 0o755), "main.txt (modified)"),
        (|fixture| fixture.write("new/file", ""), "new/file (untracked)"),
        (|fixture| fixture.write("odd\nname", ""), "odd\\nname (untracked)"),
        (
            |fixture| {
                fixture.write("main.txt", "staged");
                fixture.git(&["add", "main.txt"]);
                // The work tree is as it was: only the index still knows.
                fixture.write("main.txt", "one\n");
            },
            "main.txt (staged)",
        ),
        (
            |fixture| {
                fixture.write("main.txt", "hidden");
                fixture.git(&["update-index", "--assume-unchanged", "main.txt"]);
            },
            "main.txt (modified)",
        ),
        (
            |fixture| {
                fixture.write("main.txt", "hidden");
                fixture.git(&["update-index", "--skip-worktree", "main.txt"]);
            },
            "main.txt (modified)",
        ),
        (
            |fixture| {
                // Same size and time as the committed file: only its content tells.
                let path = fixture.repository().join("main.txt");
                let time = fs::metadata(&path).unwrap().modified().unwrap();
                fs::write(&path, "two\n").unwrap();
                fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            },
            "main.txt (modified)",
        ),
    ];
    for (change, named) in changes {
        let fixture = Fixture::tagged();
        let version = fixture.source().resolve(&tag("v1")).await.unwrap();
        change(&fixture);
        let error = fixture.source().resolve(&tag("v1")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{named}");
        assert!(fact(&error, "files").contains(named), "{named}: {error}");
        let error = fixture.source().check_out(&permit(), &version).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{named}");
        assert!(!version.tree.exists());
    }
}

#[tokio::test]
async fn ignored_files_are_clean_and_at_most_twenty_dirty_ones_are_named() {
    let fixture = Fixture::tagged();
    fixture.write(".gitignore", "*.log\n");
    fixture.commit("v2");
    fixture.write("a.log", "");
    fixture.write("private.note", "");
    fs::write(fixture.repository().join(".git/info/exclude"), "private.*\n").unwrap();
    fixture.source().resolve(&tag("v2")).await.unwrap();

    for number in 0..25 {
        fixture.write(&format!("new-{number:02}"), "");
    }
    let error = fixture.source().resolve(&tag("v2")).await.unwrap_err();
    assert_eq!(fact(&error, "count"), "25");
    assert_eq!(fact(&error, "files").matches("(untracked)").count(), 20);
}

#[tokio::test]
async fn more_dirty_files_than_an_answer_holds_are_still_a_dirty_tree() {
    let fixture = Fixture::tagged();
    let long = "x".repeat(200);
    for number in 0..6_000 {
        fs::write(fixture.repository().join(format!("{long}{number}")), "").unwrap();
    }
    let error = fixture.source().resolve(&tag("v1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(fact(&error, "count").starts_with("more than 5"), "{}", fact(&error, "count"));
}

#[tokio::test]
async fn a_missing_tag_is_not_found_even_where_a_branch_has_its_name() {
    let fixture = Fixture::tagged();
    fixture.git(&["branch", "v9"]);
    fixture.git(&["branch", "refs/tags/v9"]);
    fixture.git(&["tag", "v9/under"]);
    for name in ["v9", "v", "v1/x", "main", "HEAD"] {
        let error = fixture.source().resolve(&tag(name)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{name}: {error}");
    }
}

#[tokio::test]
async fn a_tag_of_something_else_than_a_commit_is_refused() {
    let fixture = Fixture::tagged();
    fixture.git(&["tag", "blob", "HEAD:main.txt"]);
    let error = fixture.source().resolve(&tag("blob")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn hostile_tags_start_nothing() {
    let fixture = Fixture::tagged();
    for hostile in
        ["--upload-pack=x", "-d", "a b", "v1\nv1", "..", "v1..v1", "v1^{tree}", "v1~1", "@{-1}", "", "*"]
    {
        let error = fixture.source().resolve(&tag(hostile)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{hostile:?}");
        let version = SourceVersion {
            commit: fixture.git(&["rev-parse", "HEAD"]),
            tag: hostile.to_owned(),
            tree: fixture.trees().join(fixture.git(&["rev-parse", "HEAD"])),
        };
        let error = fixture.source().check_out(&permit(), &version).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{hostile:?}");
    }
    // Names that a shell would run, and that Git allows.
    let canary = fixture.path("canary");
    let touch = format!("$(touch${{IFS}}{})", canary.display());
    for shell in ["a;b", "$(x)", "`touch`", &touch] {
        let error = fixture.source().resolve(&tag(shell)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{shell}");
        fixture.git(&["tag", "--", shell]);
        let version = fixture.source().resolve(&tag(shell)).await.unwrap();
        fixture.source().check_out(&permit(), &version).await.unwrap();
    }
    assert!(!canary.exists());
}

#[tokio::test]
async fn a_version_that_names_another_place_is_refused() {
    let fixture = Fixture::tagged();
    let good = fixture.source().resolve(&tag("v1")).await.unwrap();
    for (commit, tree) in [
        (good.commit.clone(), fixture.path("elsewhere")),
        ("../elsewhere".to_owned(), fixture.trees().join("../elsewhere")),
        ("HEAD".to_owned(), fixture.trees().join("HEAD")),
        (good.commit.to_uppercase(), fixture.trees().join(good.commit.to_uppercase())),
    ] {
        let version = SourceVersion { commit, tree, tag: "v1".to_owned() };
        let error = fixture.source().check_out(&permit(), &version).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{version:?}");
    }
    assert!(!fixture.path("elsewhere").exists());
}

#[tokio::test]
async fn the_tree_is_the_commit_byte_for_byte() {
    let fixture = Fixture::tagged();
    fixture.write("win.txt", "a\r\nb\r\n");
    fixture.write("unix.txt", "a\nb\n");
    fixture.write("keyword.txt", "$Id$\n");
    fixture.write("run.sh", "#!/bin/sh\n");
    fixture.write("odd\nname", "odd");
    set_mode(&fixture.repository().join("run.sh"), 0o755);
    symlink("../main.txt", fixture.repository().join("src/link")).unwrap();
    fixture.write(".gitattributes", "unix.txt text eol=crlf\nkeyword.txt ident\nmain.txt export-ignore\n");
    let commit = fixture.commit("v2");
    // What the user's own checkout looks like is not what counts.
    fs::remove_file(fixture.repository().join("unix.txt")).unwrap();
    fixture.git(&["checkout", "--", "."]);
    assert_eq!(fs::read(fixture.repository().join("unix.txt")).unwrap(), b"a\r\nb\r\n");

    let version = fixture.source().resolve(&tag("v2")).await.unwrap();
    assert_eq!(version.commit, commit);
    let before = listing(&fixture.repository());
    fixture.source().check_out(&permit(), &version).await.unwrap();
    assert_eq!(listing(&fixture.repository()), before, "the repository itself was touched");
    let expected = [
        (".gitattributes", "0 unix.txt text eol=crlf\\nkeyword.txt ident\\nmain.txt export-ignore\\n"),
        ("keyword.txt", "0 $Id$\\n"),
        ("main.txt", "0 one\\n"),
        ("odd\nname", "0 odd"),
        ("run.sh", "111 #!/bin/sh\\n"),
        ("src", "directory"),
        ("src/lib.txt", "0 lib\\n"),
        ("src/link", "-> ../main.txt"),
        ("unix.txt", "0 a\\nb\\n"),
        ("win.txt", "0 a\\r\\nb\\r\\n"),
    ];
    let expected = expected.map(|(path, shown)| (path.to_owned(), shown.to_owned()));
    assert_eq!(listing(&version.tree), expected.into());
    assert_eq!(names(&fixture.trees()), [commit]);
    assert_eq!(scratch(&fixture.trees()), [""; 0]);
}

#[tokio::test]
async fn checking_out_twice_lays_the_tree_once() {
    let fixture = Fixture::tagged();
    let version = fixture.source().resolve(&tag("v1")).await.unwrap();
    fixture.source().check_out(&permit(), &version).await.unwrap();
    let first = fs::metadata(version.tree.join("main.txt")).unwrap().ino();
    fixture.source().check_out(&permit(), &version).await.unwrap();
    assert_eq!(fs::metadata(version.tree.join("main.txt")).unwrap().ino(), first);
}

#[tokio::test]
async fn an_older_commit_is_laid_while_a_newer_one_is_checked_out() {
    let fixture = Fixture::tagged();
    let old = fixture.git(&["rev-parse", "HEAD"]);
    fixture.write("main.txt", "two\n");
    fixture.commit("v2");
    let version = fixture.source().resolve(&tag("v1")).await.unwrap();
    assert_eq!(version.commit, old);
    fixture.source().check_out(&permit(), &version).await.unwrap();
    assert_eq!(fs::read_to_string(version.tree.join("main.txt")).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(fixture.repository().join("main.txt")).unwrap(), "two\n");
}

#[tokio::test]
async fn a_tree_that_was_tampered_with_is_laid_anew() {
    let fixture = Fixture::tagged();
    let version = fixture.source().resolve(&tag("v1")).await.unwrap();
    fixture.source().check_out(&permit(), &version).await.unwrap();
    let good = listing(&version.tree);
    let tree = &version.tree;
    let tamper: [(&str, &dyn Fn()); 9] = [
        ("content", &|| {
            let time = fs::metadata(tree.join("main.txt")).unwrap().modified().unwrap();
            fs::write(tree.join("main.txt"), "0ne\n").unwrap();
            let file = fs::File::options().write(true).open(tree.join("main.txt")).unwrap();
            file.set_modified(time).unwrap();
        }),
        ("extra file", &|| fs::write(tree.join("extra"), "").unwrap()),
        ("extra directory", &|| fs::create_dir(tree.join("empty")).unwrap()),
        ("ignored file", &|| {
            fs::write(tree.join(".gitignore"), "*\n").unwrap();
            fs::write(tree.join("ignored"), "").unwrap();
        }),
        ("missing file", &|| fs::remove_file(tree.join("src/lib.txt")).unwrap()),
        ("mode", &|| set_mode(&tree.join("main.txt"), 0o755)),
        ("link in place of a file", &|| {
            fs::rename(tree.join("main.txt"), fixture.path("elsewhere")).unwrap();
            symlink(fixture.path("elsewhere"), tree.join("main.txt")).unwrap();
        }),
        ("repository of its own", &|| {
            fs::create_dir(tree.join(".git")).unwrap();
            fs::write(tree.join(".git/config"), "").unwrap();
        }),
        ("link in place of the tree", &|| {
            fs::rename(tree, fixture.path("moved")).unwrap();
            symlink(fixture.path("moved"), tree).unwrap();
        }),
    ];
    for (what, tamper) in tamper {
        tamper();
        fixture.source().check_out(&permit(), &version).await.unwrap();
        assert!(fs::symlink_metadata(tree).unwrap().is_dir(), "{what}");
        assert_eq!(listing(tree), good, "{what}");
    }
    assert_eq!(scratch(&fixture.trees()), [""; 0]);
}

#[tokio::test]
async fn a_tag_that_moved_between_resolving_and_checking_out_is_a_conflict() {
    let fixture = Fixture::tagged();
    let version = fixture.source().resolve(&tag("v1")).await.unwrap();
    fixture.write("main.txt", "two\n");
    let moved_to = fixture.commit("v2");
    fixture.git(&["tag", "--force", "v1"]);
    let error = fixture.source().check_out(&permit(), &version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(fact(&error, "found"), moved_to);
    assert_eq!(names(&fixture.trees()), [""; 0]);

    fixture.git(&["tag", "--delete", "v1"]);
    let error = fixture.source().check_out(&permit(), &version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// A trap of the fixture: a program that leaves its name in `fired` when it is run.
fn trap(fixture: &Fixture, fired: &Path, name: &str) -> String {
    let path = fixture.path(&format!("traps/{name}"));
    let then = if matches!(name, "clean" | "smudge") { "cat" } else { "exit 1" };
    script(&path, &format!("touch {}/{name}; {then}", fired.display()));
    path.to_str().unwrap().to_owned()
}

/// Sets a trap at every place where a repository can name a program.
fn set_traps(fixture: &Fixture, fired: &Path) {
    for hook in [
        "post-checkout",
        "post-index-change",
        "reference-transaction",
        "pre-commit",
        "post-merge",
        "fsmonitor-watchman",
    ] {
        let path = fixture.repository().join(".git/hooks").join(hook);
        let _ = fs::remove_file(&path);
        script(&path, &format!("touch {}/{hook}", fired.display()));
    }
    let trap = |name| trap(fixture, fired, name);
    let settings = [
        ("core.fsmonitor", trap("fsmonitor")),
        ("filter.evil.clean", trap("clean")),
        ("filter.evil.smudge", trap("smudge")),
        ("diff.evil.textconv", trap("textconv")),
        ("diff.evil.command", trap("driver")),
        ("diff.external", trap("external")),
        ("core.pager", trap("pager")),
        ("core.sshCommand", trap("ssh")),
        ("core.editor", trap("editor")),
        ("core.alternateRefsCommand", trap("alternates")),
        ("alias.status", format!("!{}", trap("alias"))),
        ("credential.helper", trap("credential")),
        ("gpg.program", trap("gpg")),
        ("remote.origin.url", format!("ext::{}", trap("transport"))),
        ("remote.origin.promisor", "true".to_owned()),
        ("remote.origin.uploadpack", trap("uploadpack")),
        ("remote.origin.partialclonefilter", "blob:none".to_owned()),
        ("protocol.ext.allow", "always".to_owned()),
    ];
    for (name, value) in &settings {
        fixture.git(&["config", name, value]);
    }
}

#[tokio::test]
async fn nothing_that_the_repository_names_is_run() {
    let fixture = Fixture::tagged();
    fixture.write(".gitattributes", "*.txt filter=evil diff=evil\n");
    fixture.commit("v2");
    let fired = fixture.path("fired");
    fs::create_dir(&fired).unwrap();
    set_traps(&fixture, &fired);
    // Make Git look at the files' contents.
    let now = std::time::SystemTime::now();
    let main = fs::File::options().write(true).open(fixture.repository().join("main.txt")).unwrap();
    main.set_modified(now - Duration::from_secs(99)).unwrap();
    let clear =
        || fs::read_dir(&fired).unwrap().for_each(|trap| fs::remove_file(trap.unwrap().path()).unwrap());
    clear();

    let version = fixture.source().resolve(&tag("v2")).await.unwrap();
    fixture.source().check_out(&permit(), &version).await.unwrap();
    fs::write(version.tree.join("main.txt"), "tampered").unwrap();
    fixture.source().check_out(&permit(), &version).await.unwrap();
    assert_eq!(names(&fired), [""; 0]);
    assert_eq!(fs::read_to_string(version.tree.join("main.txt")).unwrap(), "one\n");

    // A missing object must not be fetched from where the configuration says.
    let blob = fixture.git(&["rev-parse", "v2:src/lib.txt"]);
    clear();
    let (folder, file) = blob.split_at(2);
    fs::remove_file(fixture.repository().join(".git/objects").join(folder).join(file)).unwrap();
    fs::remove_dir_all(&version.tree).unwrap();
    fixture.source().check_out(&permit(), &version).await.unwrap_err();
    assert_eq!(names(&fired), [""; 0]);
    assert!(!version.tree.exists());

    // The traps are armed: Git as its user runs it walks into them.
    fixture.try_git(&["status"]);
    fixture.try_git(&["checkout", "v1"]);
    fixture.try_git(&["cat-file", "-p", &blob]);
    let sprung = names(&fired);
    for trap in ["clean", "fsmonitor", "post-index-change", "transport"] {
        assert!(sprung.iter().any(|name| name == trap), "{trap} did not fire: {sprung:?}");
    }
}

#[tokio::test]
async fn a_file_that_only_a_required_filter_can_read_makes_the_tree_dirty_and_not_wrong() {
    let fixture = Fixture::tagged();
    fixture.git(&["config", "filter.swap.clean", "tr a-z A-Z"]);
    fixture.git(&["config", "filter.swap.smudge", "tr A-Z a-z"]);
    fixture.git(&["config", "filter.swap.required", "true"]);
    fixture.write(".gitattributes", "swapped filter=swap\n");
    fixture.write("swapped", "text");
    fixture.commit("v2");
    assert_eq!(fixture.git(&["status", "--porcelain"]), "");
    let error = fixture.source().resolve(&tag("v2")).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "files")), (ErrorKind::Conflict, "swapped (modified)".to_owned()));
}

#[tokio::test]
async fn replaced_objects_do_not_stand_for_the_commits_own() {
    let fixture = Fixture::tagged();
    let real = fixture.git(&["rev-parse", "HEAD:main.txt"]);
    fixture.write("main.txt", "forged\n");
    fixture.commit("v2");
    let forged = fixture.git(&["rev-parse", "HEAD:main.txt"]);
    fixture.git(&["replace", &real, &forged]);
    let version = fixture.source().resolve(&tag("v1")).await.unwrap();
    fixture.source().check_out(&permit(), &version).await.unwrap();
    assert_eq!(fs::read_to_string(version.tree.join("main.txt")).unwrap(), "one\n");
}

#[tokio::test]
async fn an_object_whose_content_is_anothers_is_found_out() {
    let fixture = Fixture::tagged();
    fixture.write("main.txt", "two\n");
    fixture.commit("v2");
    let object = |name: &str| {
        let id = fixture.git(&["rev-parse", name]);
        let (folder, file) = id.split_at(2);
        fixture.repository().join(".git/objects").join(folder).join(file)
    };
    let version = fixture.source().resolve(&tag("v1")).await.unwrap();
    fs::remove_file(object("v1:main.txt")).unwrap();
    fs::copy(object("v2:main.txt"), object("v1:main.txt")).unwrap();
    fixture.source().check_out(&permit(), &version).await.unwrap_err();
    assert_eq!(names(&fixture.trees()), [""; 0]);
    assert_eq!(scratch(&fixture.trees()), [""; 0]);
}

#[tokio::test]
async fn a_commit_with_a_submodule_or_a_link_out_of_the_tree_is_refused() {
    let link = |target: &'static str| {
        move |fixture: &Fixture| symlink(target, fixture.repository().join("src/link")).unwrap()
    };
    type Make = Box<dyn Fn(&Fixture)>;
    let commits: [(&str, Make); 6] = [
        ("src/link", Box::new(link("/etc/passwd"))),
        ("src/link", Box::new(link("../../outside"))),
        ("src/link", Box::new(link("deep/../../../outside"))),
        ("src/link", Box::new(link("..//..//outside"))),
        (
            "escape",
            Box::new(|fixture| {
                // Each is inside by its text alone; together they lead out.
                fs::create_dir_all(fixture.repository().join("a/b")).unwrap();
                symlink("../..", fixture.repository().join("a/b/up")).unwrap();
                symlink("a/b/up/..", fixture.repository().join("escape")).unwrap();
            }),
        ),
        (
            "vendored",
            Box::new(|fixture| {
                let commit = fixture.git(&["rev-parse", "HEAD"]);
                fixture.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},vendored")]);
                fs::create_dir(fixture.repository().join("vendored")).unwrap();
            }),
        ),
    ];
    for (named, make) in commits {
        let fixture = Fixture::tagged();
        make(&fixture);
        if named != "vendored" {
            fixture.git(&["add", "--all"]);
        }
        fixture.git(&["commit", "--quiet", "--message", "odd"]);
        fixture.git(&["tag", "v2"]);
        let version = fixture.source().resolve(&tag("v2")).await.unwrap();
        let error = fixture.source().check_out(&permit(), &version).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{named}: {error}");
        assert_eq!(fact(&error, "path"), named);
        assert_eq!(names(&fixture.trees()), [""; 0]);
        assert_eq!(scratch(&fixture.trees()), [""; 0]);
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let fixture = Fixture::tagged();
    let missing = GitConfig::new(fixture.path("nowhere"), fixture.trees());
    let error = fixture.source_of(missing).resolve(&tag("v1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);

    let plain = GitConfig::new(fixture.path("plain"), fixture.trees());
    fs::create_dir(fixture.path("plain")).unwrap();
    let error = fixture.source_of(plain).resolve(&tag("v1")).await.unwrap_err();
    assert!(error.to_string().contains("not a git repository"), "{error}");

    let mut no_git = GitConfig::new(fixture.repository(), fixture.trees());
    no_git.search_path = fixture.path("plain").to_str().unwrap().to_owned();
    let error = fixture.source_of(no_git).resolve(&tag("v1")).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "program")), (ErrorKind::NotFound, "git".to_owned()));

    fs::write(fixture.path("file"), "").unwrap();
    let unwritable = GitConfig::new(fixture.repository(), fixture.path("file"));
    let error = fixture.source_of(unwritable).resolve(&tag("v1")).await.unwrap_err();
    assert!(error.kind().is_rejection(), "{error:?}");
}

#[test]
fn all_problems_of_a_configuration_are_named_at_once() {
    let mut config = GitConfig::new("relative", "/a/../b");
    config.search_path = ".:/bin".to_owned();
    config.timeout = Duration::ZERO;
    let clock = Arc::new(flow_core::SystemClock::new());
    let problems = flow_build::GitSource::new(config, clock.clone()).unwrap_err();
    let fields: Vec<&str> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["repository", "worktrees", "search_path", "timeout"]);
    let inside = GitConfig::new("/srv/shop", "/srv/shop/trees");
    assert_eq!(flow_build::GitSource::new(inside, clock).unwrap_err().as_slice()[0].field, "worktrees");
}

#[tokio::test]
async fn a_git_that_hangs_is_ended_with_all_its_children() {
    let fixture = Fixture::tagged();
    let pids = fixture.path("pids");
    script(
        &fixture.path("bin/git"),
        &format!("sleep 1000 & echo $! > {0}.tmp; echo $$ >> {0}.tmp; mv {0}.tmp {0}; wait", pids.display()),
    );
    let mut config = GitConfig::new(fixture.repository(), fixture.trees());
    config.search_path = format!("{}:/usr/bin:/bin", fixture.path("bin").display());
    let alarm = Arc::new(Alarm::default());
    let source = fixture.source_by(config, alarm.clone());
    let resolving = tokio::spawn(async move { source.resolve(&tag("v1")).await });
    eventually("git is under way", || pids.exists()).await;
    alarm.ring.cancel();
    assert_eq!(resolving.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    let pids: Vec<u32> = fs::read_to_string(&pids).unwrap().lines().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    eventually("both processes ended", || !pids.iter().any(|pid| runs(*pid))).await;
}
