# parts.sh: the programs that the cluster is made of. To be sourced, after lib.sh.
# shellcheck shell=bash
# shellcheck disable=SC2154  # lib.sh sets them

# COMMAND:PACKAGE, what Debian has to give. Only what is missing is installed, so
# that a machine that has it in another way (busybox-static) keeps that.
debian=(
  runc:runc /usr/lib/cni/ptp:containernetworking-plugins iptables:iptables nft:nftables
  conntrack:conntrack ip:iproute2 busybox:busybox bash:bash dash:dash curl:curl wget:wget
  openssl:openssl mount:mount cmp:diffutils /etc/ssl/certs/ca-certificates.crt:ca-certificates
  cc:gcc /usr/include/stdio.h:libc6-dev
)

programs=(
  cert-manager containerd coredns ctr etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler
  kubectl kubelet provisioner
)

get_parts() {
  need_go
  need_rust
  install_packages
  # In a shell of its own, with which the lock ends: the daemons that are started later would hold it on.
  [ -d "$parts" ] || (build)
}

install_packages() {
  local entry missing=()
  for entry in "${debian[@]}"; do
    has "${entry%:*}" || missing+=("${entry#*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}"; } >/dev/null ||
    die "cannot install the Debian packages ${missing[*]}"
}

has() { command -v "$1" >/dev/null || [ -f "$1" ]; }

# Built in a folder of its own that gets its name when it is whole, so a build
# that was killed leaves nothing that looks like one.
build() {
  lock 8 build
  [ ! -d "$parts" ] || return 0
  rm -rf "$parts.new"
  mkdir "$parts.new"
  compile
  local program
  for program in "${programs[@]}"; do ln -s kt "$parts.new/$program"; done
  cp -r --no-preserve=mode "$(cd "$here/kt" && go list -m -f '{{.Dir}}' github.com/cert-manager/cert-manager)/deploy/crds" "$parts.new/cert-manager-crds"
  "$parts.new/mkimage" -name localhost/pause:1 -out "$parts.new/pause.tar" -entrypoint /pause "/pause=$parts.new/pause"
  mv "$parts.new" "$parts"
}

compile() {
  local packages=(. ./mkimage ./pause github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2)
  local modules total
  say "building Kubernetes, once: about ten minutes on two cores, into $parts"
  modules=$(grep -c '^	' "$here/kt/go.mod")
  progress "Go modules fetched" "$modules" list -deps "${packages[@]}"
  total=$(wc -l <"$parts.new/list.out")
  progress "Go packages compiled" "$total" build -v -trimpath -ldflags "-s -w $(version_flags)" -o "$parts.new/" "${packages[@]}"
}

# Without these a Kubernetes says that it is v0.0.0-master, which clients refuse.
version_flags() {
  local version minor package
  version=$(sed -n 's/^\tk8s.io\/kubernetes //p' "$here/kt/go.mod")
  minor=${version#v1.}
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf -- '-X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s ' "$package" "$version" "$package" "$package" "${minor%%.*}"
  done
}

# progress WHAT TOTAL GO-ARGUMENT...: runs go, which tells each step in a line on
# stderr, and says now and then how many of at most TOTAL steps are done.
progress() {
  local log=$parts.new/$3.log
  : >"$log"
  say "$1: 0 of at most $2"
  watch_log "$1" "$2" "$log" 8>&- 9>&- &
  local watcher=$!
  (cd "$here/kt" && CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOFLAGS=-buildvcs=false go "${@:3}") >"$parts.new/$3.out" 2>"$log" ||
    die "go $3 failed: $(tail -n 20 "$log")"
  kill "$watcher"
  say "$1: all, after ${SECONDS} s"
}

watch_log() {
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    [ $((SECONDS % 15)) -ne 0 ] || say "$1: $(wc -l <"$3") of at most $2 after ${SECONDS} s"
  done
}

# go_program PACKAGE@VERSION [TAGS]: builds it, once; prints its path. Go's checksum database vouches for the sources.
# To be called by $(…), with whose shell the lock ends.
go_program() {
  local folder=$cache/${1##*/} package=${1%@*}
  [ -d "$folder" ] || lock 8 "${1##*/}"
  if [ ! -d "$folder" ]; then
    need_go
    say "building ${1##*/}, once, into $folder"
    rm -rf "$folder.new"
    (cd / && CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOFLAGS=-buildvcs=false GOBIN=$folder.new \
      go install -trimpath -ldflags "-s -w" -tags "${2:-}" "$1" >&2) || die "cannot build $1"
    mv "$folder.new" "$folder"
    say "built ${1##*/}, after ${SECONDS} s"
  fi
  echo "$folder/${package##*/}"
}

# A linter of manifests.
kube_score_program() { go_program github.com/zegl/kube-score/cmd/kube-score@v1.20.0; }

helm_program() { go_program helm.sh/helm/v4/cmd/helm@v4.3.1; }

# Prometheus, and its tool for rules and metrics, without what finds targets in clouds.
prometheus_source=github.com/prometheus/prometheus/cmd
promtool_program() { go_program "$prometheus_source/promtool@v0.316.0" remove_all_sd; }
prometheus_program() { go_program "$prometheus_source/prometheus@v0.316.0" remove_all_sd; }
