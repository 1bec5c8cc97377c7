//! Delivery: the file in a node's container, and the variable in its process.

use std::time::Duration;

use crate::cluster::{Cluster, ExecError, Output};
use crate::peers::{MAX_VARIABLE, TRUSTED_PEERS};
use crate::plan::{Delivery, Process};

const WITHIN: Duration = Duration::from_secs(10);

const UP_TO_DATE: i32 = 10;
const ABSENT: i32 = 11;
const NOT_WRITABLE: i32 = 12;

/// A process that a signal has ended exits with more than this.
const KILLED: i32 = 128;

/// Writes `$2` as the file in directory `$1`: whole or not at all, and only where it differs. What is
/// written comes as an argument, so nothing in it is ever run.
const WRITE: &str = r#"file=$1/TRUSTED_PEERS
[ -d "$1" ] || exit 11
[ "$(cat "$file" 2>/dev/null)" = "$2" ] && exit 10
new=$1/.TRUSTED_PEERS.$$
{ printf '%s\n' "$2" >"$new"; } && mv -f "$new" "$file" && exit 0
rm -f "$new" 2>/dev/null
exit 12"#;

/// Prints the variable of the first process that has it, and nothing else of any environment.
const LOOK: &str = r#"for of in /proc/[0-9]*/environ; do tr '\0' '\n' <"$of"; done 2>/dev/null | grep -m1 '^TRUSTED_PEERS='"#;

/// The line that `start.sh` sources. An address has no character that a shell would act on.
fn line(value: &str) -> String {
    format!("export {TRUSTED_PEERS}=\"{value}\"")
}

/// Writes the file into a node's container.
///
/// # Errors
/// Where that could not be tried, and may be tried again.
pub async fn deliver(
    cluster: &Cluster,
    pod: &str,
    container: &str,
    path: &str,
    value: &str,
) -> Result<Delivery, ExecError> {
    let line = line(value);
    let command = ["sh", "-c", WRITE, "torch", path, &line];
    match cluster.exec(pod, container, &command, 1024, WITHIN).await {
        Ok(Output { code: 0, .. }) => Ok(Delivery::Written),
        Ok(Output { code: UP_TO_DATE, .. }) => Ok(Delivery::UpToDate),
        Ok(Output { code: ABSENT, .. }) => Ok(Delivery::Absent),
        Ok(Output { code: NOT_WRITABLE, stderr, .. }) => {
            Ok(Delivery::NotWritable(advice(path, stderr.trim())))
        }
        Ok(Output { code, .. }) if code > KILLED => {
            Err(ExecError::Broken { pod: pod.into(), why: "its container ended meanwhile".into() })
        }
        Ok(Output { code, stderr, .. }) => {
            Ok(Delivery::NotWritable(format!("sh exited with {code}: {}", stderr.trim())))
        }
        Err(ExecError::NotRun { .. }) => Ok(Delivery::NoShell),
        Err(error) => Err(error),
    }
}

fn advice(path: &str, complaint: &str) -> String {
    let advice = if complaint.to_lowercase().contains("read-only") {
        "mount a volume there, or set another trustedPeersPath"
    } else {
        "set the pod's fsGroup, or another trustedPeersPath"
    };
    format!("{path} is not writable for the container ({complaint}): {advice}")
}

/// Looks whether a process in a node's container has the variable.
///
/// # Errors
/// Where that could not be tried, and may be tried again.
pub async fn look(cluster: &Cluster, pod: &str, container: &str) -> Result<Process, ExecError> {
    let command = ["sh", "-c", LOOK];
    match cluster.exec(pod, container, &command, MAX_VARIABLE + 64, WITHIN).await {
        Ok(Output { code: 0, stdout, .. }) => Ok(seen(&String::from_utf8_lossy(&stdout))),
        Ok(Output { code: 1, .. }) => Ok(Process::Lacks),
        Ok(_) | Err(ExecError::NotRun { .. }) => Ok(Process::Unseen),
        Err(error) => Err(error),
    }
}

/// An empty variable is as good as none.
fn seen(printed: &str) -> Process {
    let value =
        printed.trim_end_matches('\n').strip_prefix(TRUSTED_PEERS).and_then(|rest| rest.strip_prefix('='));
    match value {
        Some(value) if !value.is_empty() => Process::Has(value.to_owned()),
        _ => Process::Lacks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    /// Runs the script as the exec does, with the system's own shell.
    fn write(directory: &str, line: &str) -> Option<i32> {
        Command::new("sh").args(["-c", WRITE, "torch", directory, line]).status().unwrap().code()
    }

    fn scratch(name: &str) -> String {
        let path = std::env::temp_dir().join(format!("torch-delivery-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_file_is_written_once_and_sourced_as_it_was_meant() {
        let directory = scratch("once");
        assert_eq!(write(&directory, &line("/dns/a/tcp/1/p2p/x,/dns/b")), Some(0));
        assert_eq!(write(&directory, &line("/dns/a/tcp/1/p2p/x,/dns/b")), Some(UP_TO_DATE));
        let sourced = Command::new("sh")
            .args(["-c", ". \"$0/TRUSTED_PEERS\"; printf %s \"$TRUSTED_PEERS\"", &directory])
            .output()
            .unwrap();
        assert_eq!(sourced.stdout, b"/dns/a/tcp/1/p2p/x,/dns/b");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "a temporary file was left");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn nothing_in_what_is_written_is_run() {
        let directory = scratch("hostile");
        let hostile = format!("$(touch {directory}/run) `touch {directory}/run` %s \\n");
        assert_eq!(write(&directory, &hostile), Some(0));
        assert_eq!(fs::read_to_string(format!("{directory}/TRUSTED_PEERS")).unwrap(), format!("{hostile}\n"));
        assert!(!fs::exists(format!("{directory}/run")).unwrap());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_or_not_writable_is_told_apart() {
        assert_eq!(write("/nowhere/at/all", "x"), Some(ABSENT));
        // Root may write everywhere, but not where the kernel has no files to give.
        assert_eq!(write("/proc", "x"), Some(NOT_WRITABLE));
    }

    #[test]
    fn the_variable_of_a_process_is_seen_alone() {
        let directory = scratch("look");
        let script = format!("{directory}/env.sh");
        fs::write(&script, LOOK.replace("/proc/[0-9]*/environ", "\"$0\"/environ*")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(format!("{directory}/environ1"), b"SECRET=x\0PATH=/bin\0").unwrap();
        fs::write(format!("{directory}/environ2"), b"SECRET=y\0TRUSTED_PEERS=/dns/a\0TOKEN=z\0").unwrap();
        let looked = Command::new("sh")
            .args(["-c", &fs::read_to_string(&script).unwrap(), &directory])
            .output()
            .unwrap();
        assert_eq!(seen(&String::from_utf8(looked.stdout).unwrap()), Process::Has("/dns/a".into()));
        assert_eq!(seen("TRUSTED_PEERS=\n"), Process::Lacks);
        fs::remove_dir_all(directory).unwrap();
    }
}
