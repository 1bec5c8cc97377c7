# lib.sh: what the tests of real nodes share. To be sourced, after cluster/lib.sh, with the namespace in $space and the
# nodes' pods in $pods.
# shellcheck shell=bash
# shellcheck disable=SC2154  # those who source it set them
outside_kinds=clusterrole,clusterrolebinding,mutatingwebhookconfiguration
outside=("torch-$space" "torch:$space:nodes" "torch:$space:operator")

# made_once NAME FUNCTION: prints the folder in which FUNCTION, called with it, has made programs.
made_once() {
  local folder=$cache/$1
  [ -d "$folder" ] || lock 8 "$1"
  if [ ! -d "$folder" ]; then
    need_go
    say "building $1, once, into $folder"
    rm -rf "$folder.new"
    mkdir "$folder.new"
    "$2" "$folder.new"
    rm -rf "$folder.new/source"
    mv "$folder.new" "$folder"
    say "built $1, after ${SECONDS} s"
  fi
  echo "$folder"
}

# unpack MODULE@VERSION FOLDER: a copy of it, since a module with `replace` or `exclude` lines can be built as the main
# one only. Go's checksum database vouches for it.
unpack() { cp -r --no-preserve=mode "$(cd / && go mod download -json "$1" | jq -r .Dir)" "$2/source"; }

# build_program FOLDER PACKAGE
build_program() {
  (cd "$1/source" && CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOFLAGS="-mod=mod -buildvcs=false" \
    go build -trimpath -ldflags "-s -w" -o "$1/" "$2" >&2) || die "cannot build $2"
}

# begin: a namespace of its own, which goes at the end.
begin() {
  export KUBECONFIG=$kubeconfig
  torch=${CARGO_TARGET_DIR:-$root/target}/$(rustc -vV | sed -n 's/^host: //p')/release/torch
  trap clean_up EXIT
  clean_up
  kubectl create namespace "$space" >/dev/null
  kubectl label namespace "$space" pod-security.kubernetes.io/enforce=restricted >/dev/null
  begun=${EPOCHREALTIME/./}
}

clean_up() {
  "$run/bin/kubectl" delete namespace "$space" --ignore-not-found >/dev/null
  "$run/bin/kubectl" delete "$outside_kinds" "${outside[@]}" --ignore-not-found >/dev/null
}

k() { kubectl --namespace "$space" "$@"; }

tell() {
  local ms=$(((${EPOCHREALTIME/./} - begun) / 1000))
  printf '%4d.%d s  %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*"
}

# until_so SECONDS WHAT COMMAND...
until_so() {
  local end=$((SECONDS + $1))
  until "${@:3}" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || { tell_all; die "gave up after $1 s to wait until $2"; }
    sleep 0.2
  done
}

tell_all() {
  local pod
  k get pods -o wide
  k logs deployment/torch --tail 20
  "$torch" status -n "$space"
  for pod in "${pods[@]}"; do k logs "$pod" --tail 5; done
}

# start_torch FOLDER: installs it, and waits until all nodes are learned and have their peers.
start_torch() {
  local pod
  k apply -k "$1" >/dev/null
  tell "Torch starts"
  until_so 120 "Torch is ready" torch_is_ready
  tell "Torch is ready"
  for pod in "${pods[@]}"; do
    until_so 120 "$pod is learned" is_learned "$pod"
    tell "$pod is learned: $(of "$pod" .address)"
  done
  for pod in "${pods[@]}"; do
    until_so 300 "$pod has its peers" has_peers "$pod"
    tell "$pod has its peers; restarts by Torch: $(of "$pod" .restarts)"
  done
}

torch_is_ready() { [ "$(k get deployment torch -o jsonpath='{.status.readyReplicas}')" -ge 1 ]; }

# of POD FIELD
of() { "$torch" status -n "$space" --output json | jq -er --arg pod "$1" ".nodes[] | select(.pod == \$pod) | $2"; }
is_learned() { of "$1" .address >/dev/null; }
has_peers() { [ "$(of "$1" .variable)" = spec ] && is_ready "$1"; }
is_ready() { [ "$(k get pod "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = True ]; }

# see_peers PORT: by the nodes' own words, for which there are peer_of POD and is_connected POD PEER.
see_peers() {
  local pod other
  local -A peer_id
  for pod in "${pods[@]}"; do
    until_so 120 "$pod tells its peer id" peer_of "$pod" >/dev/null
    peer_id[$pod]=$(peer_of "$pod")
    [ "$(of "$pod" .address)" = "/dns/$pod.${pod%-0}/tcp/$1/p2p/${peer_id[$pod]}" ] ||
      die "what Torch knows of $pod is another peer than the ${peer_id[$pod]} that it is"
  done
  for pod in "${pods[@]}"; do
    for other in "${pods[@]}"; do
      [ "$pod" = "$other" ] || until_so 60 "$pod is connected to $other" is_connected "$pod" "${peer_id[$other]}"
    done
    tell "$pod is connected to its peer"
  done
}

# say_result WHAT: the table, and one line; more or less than one restart of a node is a failure.
say_result() {
  local pod restarts took
  took=$(tell | tr -d ' ')
  "$torch" status -n "$space"
  restarts=$(for pod in "${pods[@]}"; do of "$pod" .restarts; done | paste -sd ' ')
  [ "$restarts" = "1 1" ] || die "restarts by Torch: $restarts, and not one of each"
  echo "$1: all connected $took after their start; restarts by Torch: $restarts"
}
