//! A look now and then at files that an editor may still have open: one that returned at once (`code` without `--wait`),
//! or one that outlived the run that opened it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// An editor that is done sooner, with nothing changed, may have gone on in the background.
pub const QUICK: Duration = Duration::from_secs(1);

const EVERY: Duration = Duration::from_millis(500);

/// When a file was last written, and how long it is.
pub type State = Option<(SystemTime, u64)>;

/// Tells of every file that was written since it was in that state, for as long as somebody listens (`told` answers true).
/// One look is one `stat` of each.
pub async fn watch(files: Vec<(PathBuf, State)>, told: impl Fn(PathBuf) -> bool) {
    let mut known: BTreeMap<PathBuf, State> = files.into_iter().collect();
    loop {
        tokio::time::sleep(EVERY).await;
        for (path, before) in &mut known {
            let now = path.metadata().ok().and_then(|data| Some((data.modified().ok()?, data.len())));
            // An editor may replace the file: gone for a moment is not empty.
            if now.is_some() && now != *before {
                *before = now;
                if !told(path.clone()) {
                    return;
                }
            }
        }
    }
}
