use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::Outside;
use crate::table::Process;

/// Waits for the end of its input, which is that of the tests; then ends the process, where there is one, and removes the directory.
const GUARD: &str = r#"read -r _
if [ -n "$1" ]; then
    kill -QUIT "$1"
    looks=0
    while [ $looks -lt 200 ] && kill -0 "$1"; do looks=$((looks + 1)); sleep 0.05; done
fi
rm -rf "$2""#;

/// What is left of something when nobody dropped it.
pub trait Remains {
    /// A process that SIGQUIT ends at once.
    fn process(&self) -> Option<Process>;

    /// A directory.
    fn directory(&self) -> &Path;
}

/// What the tests of one binary share: started by the first that asks, and ended when their process has ended, in whatever way.
#[derive(Debug)]
pub struct Shared<T>(Mutex<Option<Kept<T>>>);

#[derive(Debug)]
struct Kept<T> {
    item: Arc<T>,
    // A `static` is never dropped: the end of this process closes its guard's input.
    _guard: Child,
}

impl<T: Remains> Shared<T> {
    /// Nothing is started yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::const_new(None))
    }

    /// What runs already, else what `start` starts. Who asks meanwhile waits.
    ///
    /// # Errors
    /// `start`'s own.
    pub async fn get<F>(&self, start: impl FnOnce() -> F) -> Outside<Arc<T>>
    where
        F: Future<Output = Outside<T>>,
    {
        let mut kept = self.0.lock().await;
        if let Some(kept) = kept.as_ref() {
            return Ok(kept.item.clone());
        }
        let item = Arc::new(start().await?);
        let guard = guard(item.as_ref())?;
        *kept = Some(Kept { item: item.clone(), _guard: guard });
        Ok(item)
    }
}

impl<T: Remains> Default for Shared<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// In a group of its own, so that what interrupts the tests does not interrupt it.
fn guard(item: &impl Remains) -> Outside<Child> {
    let pid = item.process().map(|process| process.pid.to_string()).unwrap_or_default();
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "guard", &pid]).arg(item.directory());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    Ok(command.spawn()?)
}
