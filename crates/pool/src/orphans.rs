//! What a zygote leaves behind when it dies, killed by someone or for lack of memory: runners, which die with it, and
//! whatever their tasks have started, which does not. The kernel makes all of it children of this process, which ends
//! it before the jobs may run again.
//!
//! A child is told by its environment, where the zygote's mark is, or by a runner's process group. Others are left
//! alone: they are of whoever started this process, or of another zygote.

use std::collections::HashSet;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, set_child_subreaper, waitpid};
use tokio::time::Instant;

/// In the environment of a zygote and of all that comes from it: which one it is.
pub(crate) const MARK: &str = "GRISTMILL_ZYGOTE";

/// How long they may take to die, and how long until the next look at them.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Has every descendant that loses its parent become a child of this process, unless a zygote is nearer.
pub(crate) fn adopt() {
    // Which process it names means nothing, as long as there is one.
    if let Err(error) = set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::warn!(%error, "what tasks have started may outlive a zygote that is killed");
    }
}

/// Kills what a dead zygote has left behind, and waits until it is gone.
pub(crate) async fn end(mark: &str, runners: &[u32]) {
    let until = Instant::now() + PATIENCE;
    let mut known = HashSet::new();
    loop {
        // What these have started becomes a child of this process in turn: nothing is left when none is found.
        let left = kill(mark, runners, &mut known);
        if left.is_empty() {
            return;
        }
        if Instant::now() >= until {
            tracing::error!("what a dead zygote has left behind does not die: {left:?}");
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Kills what there is, and reaps what has died; gives what has not.
fn kill(mark: &str, runners: &[u32], known: &mut HashSet<Pid>) -> Vec<u32> {
    let mut left = Vec::new();
    for (pid, group) in children() {
        let ours = known.contains(&pid)
            || mark_of(pid).map_or_else(|| runners.contains(&group), |found| found == mark.as_bytes());
        if !ours {
            continue;
        }
        known.insert(pid);
        // A child keeps its number until it is waited for, so none of this can reach anyone else. It fails where the
        // process has ended, or is another user's. What leads a group is killed with it, and cannot fork away.
        if group == number(pid) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = kill_process(pid, Signal::KILL);
        if matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_))) {
            known.remove(&pid);
        }
        // Also when it has been reaped: what it had started may have come after this look has passed its number.
        left.push(number(pid));
    }
    left
}

/// This process's children, with their process groups.
fn children() -> Vec<(Pid, u32)> {
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
            let stat = std::fs::read(entry.path().join("stat")).ok()?;
            let (parent, group) = family(&stat)?;
            (parent == own).then_some((pid, group))
        })
        .collect()
}

/// Parent and process group in `/proc/<pid>/stat`. The name before them may hold anything, parentheses too.
fn family(stat: &[u8]) -> Option<(u32, u32)> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The mark of the zygote that a process comes from, where its environment tells.
fn mark_of(pid: Pid) -> Option<Vec<u8>> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let found = environment.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(MARK.as_bytes())?;
        value.strip_prefix(b"=")
    });
    found.map(<[u8]>::to_vec)
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_hides_no_family() {
        assert_eq!(family(b"7 (a) 1 2 (b) S 40 41 41 0 -1"), Some((40, 41)));
        assert_eq!(family(b"7 (cut"), None);
    }
}
