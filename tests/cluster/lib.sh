# lib.sh: what the scripts in this folder share. To be sourced.
# shellcheck shell=bash
# shellcheck disable=SC2034  # those who source it use them
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export HOME=${HOME:-/root}

# A second cluster beside the first needs other values for the first four, for
# example: TORCH_CLUSTER_NAME=tc2 TORCH_CLUSTER_NET=10.78.0
# TORCH_CLUSTER_PODS=10.89 TORCH_CLUSTER_SERVICES=10.97
name=${TORCH_CLUSTER_NAME:-torch-cluster}  # of its cgroup and its interface: at most 15 characters
net=${TORCH_CLUSTER_NET:-10.77.0}          # .1 is this machine, .2 the node
pods=${TORCH_CLUSTER_PODS:-10.88}.0.0/16
services=${TORCH_CLUSTER_SERVICES:-10.96}
run=${TORCH_CLUSTER_DIR:-/tmp/$name}       # all that a running cluster writes

ip=$net.2
kubeconfig=$run/kubeconfig
containerd=$run/containerd.sock

cache=${XDG_CACHE_HOME:-$HOME/.cache}/torch-cluster
# What is built depends on the sources in kt/ only, so their hash names it.
sources=$(cd "$here/kt" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
parts=$cache/${sources:0:16}

# With cgroup v1 each controller has a tree of its own, and `tracked` is where
# the cluster's processes are found again; with v2 there is one tree for all.
# Both were tried: v1 on a 6.18 kernel, v2 on a bare Debian 12 (kernel 6.1, systemd)
# in an emulated machine. Not tried: v2 inside a container.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  cgroup_version=2 trees=(/sys/fs/cgroup) tracked=/sys/fs/cgroup/$name
else
  cgroup_version=1 trees=(/sys/fs/cgroup/*) tracked=/sys/fs/cgroup/pids/$name
fi

say() { echo "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "only root can make namespaces, mounts and cgroups: run this as root"; }

# lock FILE-DESCRIPTOR NAME: one script at a time; held until the process ends.
lock() {
  mkdir -p "$cache"
  eval "exec $1>\"\$cache/\$2.lock\""
  flock --nonblock "$1" || { say "waiting for another script to be done with $2"; flock "$1"; }
}

# need NAME FOUND WANTED PLACE: the version found must not be below the wanted one.
need() {
  [ "$(printf '%s\n' "$3" "$2" | sort --version-sort | head -n 1)" = "$3" ] ||
    die "$1 $3 or newer is needed, found ${2:-none}: install it from $4, or put it first in PATH"
}

need_go() {
  local found
  found=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || true
  need Go "${found#go}" "$(sed -n 's/^go //p' "$here/kt/go.mod")" https://go.dev/dl/
}

need_rust() {
  local found wanted
  found=$(cd "$here" && cargo --version 2>/dev/null) || true
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/../../Cargo.toml")
  need Rust "$(cut -d ' ' -f 2 <<<"$found")" "$wanted" https://rustup.rs/
}

need_running() { [ -S "$containerd" ] || die "no cluster runs in $run: start it with $here/up"; }

kubectl() { "$run/bin/kubectl" --kubeconfig="$kubeconfig" "$@"; }

# load_image NAME:TAG ARGUMENT...: makes an image with mkimage's ARGUMENTs and
# puts it into the running cluster, unless that has the very same one already.
load_image() {
  local tar
  tar=$run/images/$(basename "${1/:/_}").tar
  "$run/bin/mkimage" -name "$1" -out "$tar.new" "${@:2}"
  if cmp --silent "$tar.new" "$tar"; then
    rm "$tar.new"
    say "$1: unchanged"
    return
  fi
  "$run/bin/ctr" --address "$containerd" --namespace k8s.io images import "$tar.new" >/dev/null 2>"$run/logs/import.log" ||
    die "cannot load $1 into the cluster: $(tail -n 1 "$run/logs/import.log")"
  mv "$tar.new" "$tar"
  say "$1: loaded"
}

# tear_down removes all that `up` made, finished or not.
# daemon NAME COMMAND...: in the cluster's cgroup, and once there are any in its
# namespaces. How it is started is kept, so that `component` can do it again.
daemon() {
  printf '%s\0' "${inside[@]}" "${@:2}" >"$run/commands/$1"
  launch "$1"
}
inside=()

launch() {
  local command
  mapfile -d '' command <"$run/commands/$1"
  (
    echo "$BASHPID" >"$tracked/daemons/cgroup.procs"
    echo "$BASHPID" >"$run/pids/$1"
    exec setsid "${command[@]}" </dev/null >>"$run/logs/$1.log" 2>&1 9>&-
  ) &
}

tear_down() {
  end_processes
  ip link delete "$name" 2>/dev/null || true
  remove_cgroups
  remove_state
}

is_alive() { processes | grep -qxF "$1"; }

processes() { find "$tracked" -name cgroup.procs -exec cat {} + 2>/dev/null || true; }

# All processes are ended by cgroup, never by name. The mounts, interfaces and
# packet filter rules are in namespaces which end with the last process in them.
end_processes() {
  local alive
  for _ in {1..200}; do
    mapfile -t alive < <(processes)
    [ ${#alive[@]} -gt 0 ] || return 0
    kill -KILL "${alive[@]}" 2>/dev/null || true
    sleep 0.05
  done
  die "these processes do not end: ${alive[*]}"
}

# The kernel may call a cgroup busy for a moment after its last process is gone.
remove_cgroups() {
  local tree
  for _ in {1..100}; do
    for tree in "${trees[@]}"; do
      [ ! -d "$tree/$name" ] || find "$tree/$name" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    compgen -G "/sys/fs/cgroup/$name" >/dev/null || compgen -G "/sys/fs/cgroup/*/$name" >/dev/null || return 0
    sleep 0.05
  done
  die "cannot remove the cgroup $name"
}

# A folder that somebody chose may be the wrong one, so it is only removed with
# up's mark in it. The mark goes last.
remove_state() {
  rmdir "$run" 2>/dev/null || true
  [ -e "$run" ] || return 0
  [ "$run" = "/tmp/$name" ] || [ -e "$run/.torch-cluster" ] ||
    die "$run is not a folder made by up: remove it yourself, or choose another with TORCH_CLUSTER_DIR"
  find "$run" -mindepth 1 -maxdepth 1 ! -name .torch-cluster -exec rm -rf --one-file-system {} +
  rm -rf --one-file-system "$run"
}
