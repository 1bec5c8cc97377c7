//! Where the file `TRUSTED_PEERS` is kept: the volume mount that a pod gets, or why it gets none.

use std::borrow::Cow;

use memchr::memmem::Finder;
use serde::Serialize;

use super::view::{Claim, Container, Spec, Volume, VolumeMount};
use crate::config::{Settings, VolumeSource};

/// The name of a volume that Torch adds to a pod.
const ADDED: &str = "torch-trusted-peers";

/// The directory on a claim that is not told another one.
const SUB_PATH: &str = "torch";

/// Directories of every image that are not empty: nothing starts in a container without them.
const SYSTEM: [&str; 10] = [
    "/dev",
    "/etc",
    "/opt",
    "/usr",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/var",
    "/var/lib",
];

/// Directories below `/` and `/usr` in which all is a program's or a library's, however deep.
const PROGRAMS: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// A mount to add.
pub(super) struct Mount<'a> {
    volume: Cow<'a, str>,
    /// The claim of a volume to add first.
    claim: Option<&'a str>,
    path: &'a str,
    sub_path: &'a str,
}

/// A volume of a claim, as the API has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewVolume<'a> {
    name: &'a str,
    persistent_volume_claim: NewClaim<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewClaim<'a> {
    claim_name: &'a str,
}

/// A container's mount of a volume, as the API has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewVolumeMount<'a> {
    name: &'a str,
    mount_path: &'a str,
    sub_path: &'a str,
}

impl Mount<'_> {
    pub fn volume(&self) -> Option<NewVolume<'_>> {
        let claim_name = self.claim?;
        Some(NewVolume { name: &self.volume, persistent_volume_claim: NewClaim { claim_name } })
    }

    pub fn volume_mount(&self) -> NewVolumeMount<'_> {
        NewVolumeMount { name: &self.volume, mount_path: self.path, sub_path: self.sub_path }
    }
}

/// Why a pod gets the variable without the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoMount {
    /// The directory is on a persistent volume as it is.
    AlreadyPersistent,
    /// Something else is mounted at that very path.
    Occupied,
    /// The author's mount has a path whose text does not tell where it is: `tmp`, `//tmp`, `/x/../tmp`.
    UnclearMountPath,
    /// The pod has no PersistentVolumeClaim, and the configuration names none.
    NoClaim,
    /// The pod has several, and the configuration does not say which.
    SeveralClaims,
    /// The pod has no volume of the configured name.
    UnknownVolume,
    /// The volume of the configured name is not one of a claim, so nothing says that it outlives the pod.
    NotAClaim,
    /// The claim is mounted read-only.
    ReadOnly,
    /// A container uses the claim as a block device, which nothing can be mounted from.
    BlockDevice,
    /// The directory holds what a container cannot run without, which the mount would hide.
    SystemDirectory,
    /// Programs write to that directory, and nothing says that they still could.
    MightNotBeWritable,
}

impl NoMount {
    /// Its value of the metric label `reason`.
    pub fn label(self) -> &'static str {
        match self {
            Self::AlreadyPersistent => "injected_already_persistent",
            Self::Occupied => "injected_mount_path_occupied",
            Self::UnclearMountPath => "injected_unclear_mount_path",
            Self::NoClaim => "injected_no_claim",
            Self::SeveralClaims => "injected_several_claims",
            Self::UnknownVolume => "injected_unknown_volume",
            Self::NotAClaim => "injected_volume_is_no_claim",
            Self::ReadOnly => "injected_volume_read_only",
            Self::BlockDevice => "injected_volume_is_a_block_device",
            Self::SystemDirectory => "injected_system_directory",
            Self::MightNotBeWritable => "injected_might_not_be_writable",
        }
    }

    /// What it means, for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AlreadyPersistent => "TRUSTED_PEERS set; file kept: its directory is persistent as it is",
            Self::NoClaim => "TRUSTED_PEERS set; file not kept: the pod has no PersistentVolumeClaim",
            _ => self.warning().map_or("TRUSTED_PEERS set", |warning| warning.trim_start_matches("torch: ")),
        }
    }

    /// What to do about it, in at most 120 characters, as Kubernetes asks of warnings.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Self::AlreadyPersistent | Self::NoClaim => None,
            Self::Occupied => Some(
                "torch: TRUSTED_PEERS set; file not kept: a volume is mounted there. Set another trustedPeersPath",
            ),
            Self::UnclearMountPath => Some(
                "torch: TRUSTED_PEERS set; file not kept: write each mountPath absolute, without `//`, `.` and `..`",
            ),
            Self::SeveralClaims => {
                Some("torch: TRUSTED_PEERS set; file not kept: several claims. Set volume.claimName")
            }
            Self::UnknownVolume => {
                Some("torch: TRUSTED_PEERS set; file not kept: the pod has no volume called volume.name")
            }
            Self::NotAClaim => Some(
                "torch: TRUSTED_PEERS set; file not kept: volume.name is no PersistentVolumeClaim's. Name one that is",
            ),
            Self::ReadOnly => {
                Some("torch: TRUSTED_PEERS set; file not kept: the claim is read-only. Set volume.claimName")
            }
            Self::BlockDevice => Some(
                "torch: TRUSTED_PEERS set; file not kept: the claim is a block device. Set volume.claimName",
            ),
            Self::SystemDirectory => Some(
                "torch: TRUSTED_PEERS set; file not kept: a mount would hide the system's. Set another trustedPeersPath",
            ),
            Self::MightNotBeWritable => Some(
                "torch: TRUSTED_PEERS set; file not kept: set the pod's fsGroup, or volume in Torch's configuration",
            ),
        }
    }
}

/// Decides on the mount for the file's directory.
pub(super) fn mount<'a>(
    settings: &'a Settings,
    spec: &'a Spec<'_>,
    container: &'a Container<'_>,
    mounts: &[VolumeMount<'_>],
) -> Result<Mount<'a>, NoMount> {
    let path = settings.trusted_peers_path.as_str();
    there_already(path, spec, container, mounts)?;
    if is_system(path) {
        return Err(NoMount::SystemDirectory);
    }
    let (volume, claim) = match settings.volume.as_ref().map(|v| &v.source) {
        Some(VolumeSource::ClaimName(claim)) => by_claim(claim, spec)?,
        Some(VolumeSource::Name(name)) => (by_name(name, spec)?, None),
        None => (the_only_claim(spec)?, None),
    };
    if spec.all_containers().flat_map(|c| c.volume_devices.iter().flatten()).any(|d| d.name == *volume) {
        return Err(NoMount::BlockDevice);
    }
    if settings.volume.is_none() && is_needed_writable(path, container) && !stays_writable(spec, container) {
        return Err(NoMount::MightNotBeWritable);
    }
    let sub_path = settings.volume.as_ref().map_or(SUB_PATH, |v| &v.sub_path);
    Ok(Mount { volume: Cow::Borrowed(volume), claim, path, sub_path })
}

fn is_system(path: &str) -> bool {
    let below = path.strip_prefix("/usr/").or(path.strip_prefix('/')).unwrap_or(path);
    SYSTEM.contains(&path) || below.split('/').next().is_some_and(|first| PROGRAMS.contains(&first))
}

/// What is mounted at the path, or nearest above it.
fn there_already(
    path: &str,
    spec: &Spec<'_>,
    container: &Container<'_>,
    mounts: &[VolumeMount<'_>],
) -> Result<(), NoMount> {
    let devices = || container.volume_devices.iter().flatten().map(|device| device.device_path.as_bytes());
    let mounted_at = |mount: &VolumeMount<'_>| trim(mount.mount_path.as_bytes()).len();
    if devices().chain(mounts.iter().map(|mount| mount.mount_path.as_bytes())).any(is_unclear) {
        return Err(NoMount::UnclearMountPath);
    }
    if devices().any(|device| trim(device) == path.as_bytes()) {
        return Err(NoMount::Occupied);
    }
    let above = mounts.iter().filter(|m| is_at_or_below(path.as_bytes(), trim(m.mount_path.as_bytes())));
    let Some(nearest) = above.max_by_key(|mount| mounted_at(mount)) else {
        return Ok(());
    };
    if let Some((_, claim)) = claims(spec).find(|(volume, _)| volume.name == nearest.name) {
        let read_only = nearest.read_only || claim.read_only;
        return Err(if read_only { NoMount::ReadOnly } else { NoMount::AlreadyPersistent });
    }
    if mounted_at(nearest) == path.len() { Err(NoMount::Occupied) } else { Ok(()) }
}

fn trim(mut path: &[u8]) -> &[u8] {
    while let [shorter @ .., b'/'] = path {
        path = shorter;
    }
    path
}

/// API servers take any path, and the kubelet cleans it.
fn is_unclear(path: &[u8]) -> bool {
    // Few paths need the second, closer look.
    let may_be = path.windows(2).any(|pair| pair == b"//" || pair == b"/.");
    let is_unclear =
        || trim(path).split(|byte| *byte == b'/').skip(1).any(|part| matches!(part, b"" | b"." | b".."));
    !path.starts_with(b"/") || may_be && is_unclear()
}

fn is_at_or_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn by_claim<'a>(claim: &'a str, spec: &'a Spec<'_>) -> Result<(&'a str, Option<&'a str>), NoMount> {
    if let Some((volume, found)) = claims(spec).find(|(_, c)| c.claim_name == *claim) {
        return writable(volume, found).map(|name| (name, None));
    }
    let taken = spec.volumes.iter().flatten().any(|v| v.name == *ADDED);
    if taken { Err(NoMount::UnknownVolume) } else { Ok((ADDED, Some(claim))) }
}

fn by_name<'a>(name: &str, spec: &'a Spec<'_>) -> Result<&'a str, NoMount> {
    let volume = spec.volumes.iter().flatten().find(|v| v.name == *name).ok_or(NoMount::UnknownVolume)?;
    writable(volume, volume.persistent_volume_claim.as_ref().ok_or(NoMount::NotAClaim)?)
}

fn the_only_claim<'a>(spec: &'a Spec<'_>) -> Result<&'a str, NoMount> {
    let mut claims = claims(spec);
    let (volume, claim) = claims.next().ok_or(NoMount::NoClaim)?;
    if claims.next().is_some() {
        return Err(NoMount::SeveralClaims);
    }
    writable(volume, claim)
}

fn claims<'a>(spec: &'a Spec<'_>) -> impl Iterator<Item = (&'a Volume<'a>, &'a Claim<'a>)> {
    let volumes = spec.volumes.iter().flatten();
    volumes.filter_map(|v| Some((v, v.persistent_volume_claim.as_ref()?)))
}

fn writable<'a>(volume: &'a Volume<'_>, claim: &Claim<'_>) -> Result<&'a str, NoMount> {
    if claim.read_only { Err(NoMount::ReadOnly) } else { Ok(&volume.name) }
}

/// Whether programs expect to write to this very directory: the ones that every Unix has for it, and
/// homes.
fn is_needed_writable(path: &str, container: &Container<'_>) -> bool {
    matches!(path, "/tmp" | "/var/tmp" | "/run" | "/var/run" | "/dev/shm" | "/root")
        || path.strip_prefix("/home/").is_some_and(|rest| !rest.contains('/'))
        || container
            .variable(&Finder::new("HOME"))
            .flatten()
            .is_some_and(|(_, home)| home.value.is_some_and(|home| trim(home.as_bytes()) == path.as_bytes()))
}

/// Whether the container can for certain write to a directory that the kubelet makes as root: the
/// kubelet gives it to the pod's `fsGroup`, and root needs no leave.
fn stays_writable(spec: &Spec<'_>, container: &Container<'_>) -> bool {
    let of_pod = spec.security_context.as_ref();
    let of_container = container.security_context.as_ref().and_then(|c| c.run_as_user);
    let user = of_container.or_else(|| of_pod.and_then(|c| c.run_as_user));
    of_pod.is_some_and(|c| c.fs_group.is_some()) || user == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_knows_the_same_directories() {
        let policy = include_str!("../../webhook-config/policy/policy.yaml");
        let list = policy.split_once("name: isSystem").and_then(|(_, rest)| rest.split_once(']'));
        let list = list.and_then(|(list, _)| list.split_once('[')).expect("the policy has that list").1;
        let named: Vec<&str> = list.split(',').map(|name| name.trim().trim_matches('"')).collect();
        assert_eq!(named, SYSTEM);
        assert!(policy.contains(&format!("^/(usr/)?({})(/|$)", PROGRAMS.join("|"))));
    }
}
