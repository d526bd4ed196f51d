//! What every [`FunctionPlatform`] promises, as checks.
//!
//! The suite judges by calling: as a caller does, who reaches the live version, and each version by its name. Code tells which
//! code it is, and with which variables it runs.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flow_core::port::{FunctionPlatform, FunctionSpec, FunctionState};
use flow_core::{Artifact, Digest, ErrorKind, Fence, Name, Permit, name};
use serde_json::{Value, json};

use super::{Checked, Outside};
use crate::permit_under;

/// What a function's code does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers `{"code": marker, "event": event, "greeting": greeting}`: this marker, the event as it came, and the value of the
    /// variable [`GREETING`], or an empty text where there is none.
    Answers(&'static str),
    /// Fails, as a program does that has a mistake.
    Fails,
}

/// The variable that code of [`Behaviour::Answers`] tells.
pub const GREETING: &str = "GREETING";

/// A platform without functions, and ways to look at its world from outside.
#[async_trait]
pub trait FunctionsFixture: Send + Sync {
    /// The platform under test.
    fn platform(&self) -> &dyn FunctionPlatform;

    /// Lays out code that does this, with the digest that the platform's documentation asks for.
    async fn code(&self, behaviour: Behaviour) -> Outside<Artifact>;

    /// Two different triggers in the platform's own notation.
    fn triggers(&self) -> [String; 2];

    /// Calls `function` as its callers do, who know no version. None where nobody answers.
    async fn call(&self, function: &Name, event: &Value) -> Outside<Option<Value>>;
}

/// Makes one `#[tokio::test]` for every promise of [`FunctionPlatform`](flow_core::port::FunctionPlatform).
///
/// It takes an async function without arguments that gives a fresh
/// [`FunctionsFixture`](crate::conformance::functions::FunctionsFixture).
///
/// ```
/// use flow_core::port::FunctionPlatform;
/// use flow_core::{Artifact, Name};
/// use flow_testkit::conformance::Outside;
/// use flow_testkit::conformance::functions::{Behaviour, FunctionsFixture, GREETING};
/// use flow_testkit::fake::FakeFunctions;
/// use serde_json::{Value, json};
///
/// struct Mine(FakeFunctions);
///
/// #[async_trait::async_trait]
/// impl FunctionsFixture for Mine {
///     fn platform(&self) -> &dyn FunctionPlatform {
///         &self.0
///     }
///     async fn code(&self, behaviour: Behaviour) -> Outside<Artifact> {
///         let text = format!("{behaviour:?}"); // a real fixture writes a program
///         let digest = self.0.lay_out(&text, text.as_bytes());
///         if let Behaviour::Answers(marker) = behaviour {
///             self.0.program(digest, move |event, variables| {
///                 let greeting = variables.get(GREETING).cloned().unwrap_or_default();
///                 Ok(json!({ "code": marker, "event": event, "greeting": greeting }))
///             });
///         }
///         Ok(Artifact { digest, path: text.into() })
///     }
///     fn triggers(&self) -> [String; 2] {
///         ["0 3 * * *".to_owned(), "0 4 * * *".to_owned()]
///     }
///     async fn call(&self, function: &Name, event: &Value) -> Outside<Option<Value>> {
///         Ok(self.0.call(function, event)) // a real one sends a request
///     }
/// }
///
/// async fn fresh() -> Mine {
///     Mine(FakeFunctions::new())
/// }
///
/// flow_testkit::functions_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! functions_conformance {
    ($fresh:expr) => {
        $crate::functions_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { functions $with
            a_function_that_does_not_exist_is_a_state_and_cannot_be_changed
            what_was_set_is_what_the_state_says
            triggers_and_variables_are_replaced_whole
            new_code_reaches_nobody_before_its_version_is_live
            a_version_keeps_the_code_and_the_variables_of_its_time
            publishing_twice_under_one_key_is_one_version
            code_of_another_digest_is_a_conflict_that_changes_nothing
            an_unknown_version_never_becomes_live
            a_failing_function_is_an_answer
            asking_and_invoking_change_nothing
            a_restored_function_is_as_it_was
            a_function_that_did_not_exist_is_removed
            a_restored_function_can_be_released_again
            functions_do_not_disturb_each_other
        }
    };
}

const THUMB: Name = name!("conformance-thumb");
const OTHER: Name = name!("conformance-other");

fn permit(call: &str) -> Permit {
    permit_under(&format!("run/{call}"), Fence(1), 1)
}

async fn spec(
    fixture: &impl FunctionsFixture,
    function: &Name,
    behaviour: Behaviour,
) -> Outside<FunctionSpec> {
    let Artifact { digest, path } = fixture.code(behaviour).await?;
    let (triggers, variables) = (BTreeMap::new(), BTreeMap::new());
    Ok(FunctionSpec { name: function.clone(), code: path, digest, triggers, variables })
}

/// Puts code in place; gives its digest.
async fn update(fixture: &impl FunctionsFixture, function: &Name, behaviour: Behaviour) -> Outside<Digest> {
    let spec = spec(fixture, function, behaviour).await?;
    fixture.platform().update_code(&permit("code"), &spec).await?;
    Ok(spec.digest)
}

async fn greet(fixture: &impl FunctionsFixture, function: &Name, greeting: &str) -> Checked {
    let variables = BTreeMap::from([(GREETING.to_owned(), greeting.to_owned())]);
    Ok(fixture.platform().set_variables(&permit("variables"), function, &variables).await?)
}

/// Puts code in place, publishes it, and lets callers reach it; gives the version.
async fn release(
    fixture: &impl FunctionsFixture,
    function: &Name,
    marker: &'static str,
    greeting: &str,
) -> Outside<String> {
    update(fixture, function, Behaviour::Answers(marker)).await?;
    greet(fixture, function, greeting).await?;
    let version =
        fixture.platform().publish(&permit(&format!("publish-{function}-{marker}")), function).await?;
    fixture.platform().make_live(&permit("live"), function, &version).await?;
    Ok(version)
}

/// Which code answers callers, and with which greeting.
async fn called(fixture: &impl FunctionsFixture, function: &Name) -> Outside<Option<(String, String)>> {
    let event = json!({ "n": 1 });
    let Some(answer) = fixture.call(function, &event).await? else { return Ok(None) };
    assert_eq!(answer.get("event"), Some(&event), "{answer}");
    let text = |field: &str| answer.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Some((text("code"), text("greeting"))))
}

/// Which code answers in `version`, and with which greeting.
async fn invoked(fixture: &impl FunctionsFixture, version: &str) -> Outside<(String, String)> {
    let answer = fixture.platform().invoke(&THUMB, version, &json!({ "n": 1 })).await?;
    assert!(answer.succeeded, "{answer:?}");
    assert_eq!(answer.version, version, "the version that answered");
    let text = |field: &str| answer.output.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((text("code"), text("greeting")))
}

fn pair(code: &str, greeting: &str) -> (String, String) {
    (code.to_owned(), greeting.to_owned())
}

/// Asking for it is no error; changing or calling it is, and does not bring it into being.
pub async fn a_function_that_does_not_exist_is_a_state_and_cannot_be_changed(
    fixture: &impl FunctionsFixture,
) -> Checked {
    let platform = fixture.platform();
    assert_eq!(platform.state(&THUMB).await?, FunctionState::default());
    let ended = [
        platform.set_triggers(&permit("triggers"), &THUMB, &BTreeMap::new()).await,
        platform.set_variables(&permit("variables"), &THUMB, &BTreeMap::new()).await,
        platform.publish(&permit("publish"), &THUMB).await.map(drop),
        platform.make_live(&permit("live"), &THUMB, "1").await,
        platform.invoke(&THUMB, "1", &json!({})).await.map(drop),
    ];
    let kinds = ended.map(|ended| ended.err().map(|error| error.kind()));
    assert_eq!(kinds, [Some(ErrorKind::NotFound); 5], "triggers, variables, publish, live, invoke");
    assert_eq!(platform.state(&THUMB).await?, FunctionState::default());
    assert_eq!(called(fixture, &THUMB).await?, None);
    Ok(())
}

/// Done means read back: code, triggers, variables and the live version.
pub async fn what_was_set_is_what_the_state_says(fixture: &impl FunctionsFixture) -> Checked {
    let digest = update(fixture, &THUMB, Behaviour::Answers("one")).await?;
    let [trigger, _] = fixture.triggers();
    let triggers = BTreeMap::from([(name!("nightly"), trigger)]);
    fixture.platform().set_triggers(&permit("triggers"), &THUMB, &triggers).await?;
    greet(fixture, &THUMB, "hello").await?;
    let variables = BTreeMap::from([(GREETING.to_owned(), "hello".to_owned())]);
    let mut expected = FunctionState { digest: Some(digest), triggers, variables, live: None };
    assert_eq!(fixture.platform().state(&THUMB).await?, expected);
    let version = fixture.platform().publish(&permit("publish"), &THUMB).await?;
    assert_eq!(fixture.platform().state(&THUMB).await?, expected, "publishing makes nothing live");
    fixture.platform().make_live(&permit("live"), &THUMB, &version).await?;
    expected.live = Some(version);
    assert_eq!(fixture.platform().state(&THUMB).await?, expected);
    Ok(())
}

/// A set of triggers or variables replaces the one before: what it does not name is gone.
pub async fn triggers_and_variables_are_replaced_whole(fixture: &impl FunctionsFixture) -> Checked {
    update(fixture, &THUMB, Behaviour::Answers("one")).await?;
    let [first, second] = fixture.triggers();
    let sets = [
        BTreeMap::from([(name!("nightly"), first.clone()), (name!("hourly"), second.clone())]),
        BTreeMap::from([(name!("nightly"), second)]),
        BTreeMap::new(),
    ];
    for triggers in &sets {
        fixture.platform().set_triggers(&permit("triggers"), &THUMB, triggers).await?;
        assert_eq!(fixture.platform().state(&THUMB).await?.triggers, *triggers);
    }
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let sets = [
        BTreeMap::from([variable(GREETING, "hello"), variable("SIZE", "a\"b 'c' $d")]),
        BTreeMap::from([variable("SIZE", "9")]),
        BTreeMap::new(),
    ];
    for variables in &sets {
        fixture.platform().set_variables(&permit("variables"), &THUMB, variables).await?;
        assert_eq!(fixture.platform().state(&THUMB).await?.variables, *variables);
    }
    Ok(())
}

/// Neither putting code in place nor publishing it changes what callers get; making its version live does, before it returns.
pub async fn new_code_reaches_nobody_before_its_version_is_live(fixture: &impl FunctionsFixture) -> Checked {
    release(fixture, &THUMB, "one", "hello").await?;
    let old = Some(pair("one", "hello"));
    assert_eq!(called(fixture, &THUMB).await?, old);
    update(fixture, &THUMB, Behaviour::Answers("two")).await?;
    assert_eq!(called(fixture, &THUMB).await?, old, "after the code was put in place");
    greet(fixture, &THUMB, "good bye").await?;
    assert_eq!(called(fixture, &THUMB).await?, old, "after the variables were set");
    let version = fixture.platform().publish(&permit("publish"), &THUMB).await?;
    assert_eq!(called(fixture, &THUMB).await?, old, "after the version was published");
    assert_eq!(invoked(fixture, &version).await?, pair("two", "good bye"), "by its own name");
    fixture.platform().make_live(&permit("live"), &THUMB, &version).await?;
    assert_eq!(called(fixture, &THUMB).await?, Some(pair("two", "good bye")));
    fixture.platform().make_live(&permit("live"), &THUMB, &version).await?;
    assert_eq!(called(fixture, &THUMB).await?, Some(pair("two", "good bye")), "twice is once");
    Ok(())
}

/// A published version never changes.
pub async fn a_version_keeps_the_code_and_the_variables_of_its_time(
    fixture: &impl FunctionsFixture,
) -> Checked {
    let first = release(fixture, &THUMB, "one", "hello").await?;
    let second = release(fixture, &THUMB, "two", "good bye").await?;
    assert_ne!(first, second);
    assert_eq!(invoked(fixture, &first).await?, pair("one", "hello"));
    assert_eq!(invoked(fixture, &second).await?, pair("two", "good bye"));
    Ok(())
}

/// What a lost answer would have named is named again under the same key; another key is another version.
pub async fn publishing_twice_under_one_key_is_one_version(fixture: &impl FunctionsFixture) -> Checked {
    update(fixture, &THUMB, Behaviour::Answers("one")).await?;
    let first = fixture.platform().publish(&permit("first"), &THUMB).await?;
    let again = fixture.platform().publish(&permit_under("run/first", Fence(2), 2), &THUMB).await?;
    assert_eq!(first, again);
    let spec = spec(fixture, &THUMB, Behaviour::Answers("two")).await?;
    fixture.platform().update_code(&permit_under("run/code", Fence(2), 1), &spec).await?;
    let other = fixture.platform().publish(&permit_under("run/second", Fence(2), 1), &THUMB).await?;
    assert_ne!(first, other);
    assert_eq!(invoked(fixture, &other).await?.0, "two");
    Ok(())
}

/// Code that is not what its digest says is refused, and the function stays as it is.
pub async fn code_of_another_digest_is_a_conflict_that_changes_nothing(
    fixture: &impl FunctionsFixture,
) -> Checked {
    release(fixture, &THUMB, "one", "hello").await?;
    let before = fixture.platform().state(&THUMB).await?;
    let mut wrong = spec(fixture, &THUMB, Behaviour::Answers("two")).await?;
    wrong.digest = Digest::of(b"something else");
    for function in [THUMB, OTHER] {
        wrong.name = function;
        let error =
            fixture.platform().update_code(&permit("code"), &wrong).await.err().ok_or("it was taken")?;
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    assert_eq!(fixture.platform().state(&THUMB).await?, before);
    assert_eq!(fixture.platform().state(&OTHER).await?, FunctionState::default());
    assert_eq!(called(fixture, &THUMB).await?, Some(pair("one", "hello")));
    Ok(())
}

/// Callers are never sent to a version that is not there.
pub async fn an_unknown_version_never_becomes_live(fixture: &impl FunctionsFixture) -> Checked {
    release(fixture, &THUMB, "one", "hello").await?;
    let before = fixture.platform().state(&THUMB).await?;
    for unknown in ["999", "no-such-version", ""] {
        let live = fixture.platform().make_live(&permit("live"), &THUMB, unknown).await;
        assert_eq!(live.err().map(|error| error.kind()), Some(ErrorKind::NotFound), "{unknown:?}");
    }
    assert_eq!(fixture.platform().state(&THUMB).await?, before);
    assert_eq!(called(fixture, &THUMB).await?, Some(pair("one", "hello")));
    Ok(())
}

/// A function that fails was called all the same: its failure is an answer, of the version that gave it.
pub async fn a_failing_function_is_an_answer(fixture: &impl FunctionsFixture) -> Checked {
    update(fixture, &THUMB, Behaviour::Fails).await?;
    let version = fixture.platform().publish(&permit("publish"), &THUMB).await?;
    let answer = fixture.platform().invoke(&THUMB, &version, &json!({})).await?;
    assert!(!answer.succeeded, "{answer:?}");
    assert_eq!(answer.version, version);
    Ok(())
}

/// A state that is read, and a version that is tested, stay as they are.
pub async fn asking_and_invoking_change_nothing(fixture: &impl FunctionsFixture) -> Checked {
    let first = release(fixture, &THUMB, "one", "hello").await?;
    update(fixture, &THUMB, Behaviour::Answers("two")).await?;
    let second = fixture.platform().publish(&permit("publish"), &THUMB).await?;
    let before = fixture.platform().state(&THUMB).await?;
    for version in [&first, &second, &second] {
        invoked(fixture, version).await?;
    }
    assert_eq!(fixture.platform().state(&THUMB).await?, before);
    assert_eq!(called(fixture, &THUMB).await?, Some(pair("one", "hello")));
    Ok(())
}

/// Restored, code, triggers, variables and what callers get are what they were. Twice is once.
pub async fn a_restored_function_is_as_it_was(fixture: &impl FunctionsFixture) -> Checked {
    release(fixture, &THUMB, "one", "hello").await?;
    let [first, second] = fixture.triggers();
    let triggers = |trigger| BTreeMap::from([(name!("nightly"), trigger)]);
    fixture.platform().set_triggers(&permit("triggers"), &THUMB, &triggers(first)).await?;
    let before = fixture.platform().state(&THUMB).await?;
    release(fixture, &THUMB, "two", "good bye").await?;
    fixture.platform().set_triggers(&permit("triggers"), &THUMB, &triggers(second)).await?;
    assert_ne!(fixture.platform().state(&THUMB).await?, before);
    for _ in 0..2 {
        fixture.platform().restore(&permit("undo"), &THUMB, &before).await?;
        assert_eq!(fixture.platform().state(&THUMB).await?, before);
        assert_eq!(called(fixture, &THUMB).await?, Some(pair("one", "hello")));
    }
    Ok(())
}

/// A function that the run brought is gone with it. Twice is once.
pub async fn a_function_that_did_not_exist_is_removed(fixture: &impl FunctionsFixture) -> Checked {
    let before = fixture.platform().state(&THUMB).await?;
    release(fixture, &THUMB, "one", "hello").await?;
    for _ in 0..2 {
        fixture.platform().restore(&permit("undo"), &THUMB, &before).await?;
        assert_eq!(fixture.platform().state(&THUMB).await?, FunctionState::default());
        assert_eq!(called(fixture, &THUMB).await?, None);
    }
    Ok(())
}

/// After it was taken back, the same release under the same keys is whole once more.
pub async fn a_restored_function_can_be_released_again(fixture: &impl FunctionsFixture) -> Checked {
    release(fixture, &THUMB, "one", "hello").await?;
    let before = fixture.platform().state(&THUMB).await?;
    release(fixture, &THUMB, "two", "good bye").await?;
    fixture.platform().restore(&permit("undo"), &THUMB, &before).await?;
    let version = release(fixture, &THUMB, "two", "good bye").await?;
    assert_eq!(called(fixture, &THUMB).await?, Some(pair("two", "good bye")));
    assert_eq!(invoked(fixture, &version).await?, pair("two", "good bye"));
    Ok(())
}

/// Two functions share neither state nor way back, even where they share code.
pub async fn functions_do_not_disturb_each_other(fixture: &impl FunctionsFixture) -> Checked {
    release(fixture, &THUMB, "one", "hello").await?;
    let before = fixture.platform().state(&THUMB).await?;
    let absent = fixture.platform().state(&OTHER).await?;
    release(fixture, &OTHER, "one", "other").await?;
    assert_eq!(called(fixture, &OTHER).await?, Some(pair("one", "other")));
    assert_eq!(fixture.platform().state(&THUMB).await?, before);
    fixture.platform().restore(&permit("undo"), &OTHER, &absent).await?;
    assert_eq!(called(fixture, &OTHER).await?, None);
    assert_eq!(fixture.platform().state(&THUMB).await?, before);
    assert_eq!(called(fixture, &THUMB).await?, Some(pair("one", "hello")));
    Ok(())
}
