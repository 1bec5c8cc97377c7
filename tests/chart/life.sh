# life.sh: a release's life on the cluster. To be sourced, by run.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # run sets and uses them

nodes=(da-bridge-1-0 da-full-1-0)
declare -A lives

# begin_life FUNCTION NAMESPACE ARGUMENT...: all at the same time; they show what they have done when they end.
begin_life() {
  "$@" >"$work/$2" 2>&1 &
  lives[$2]=$!
}

end_lives() {
  local space failed=
  for space in "${spaces[@]}"; do
    wait "${lives[$space]}" || failed=yes
    cat "$work/$space"
    checks=$((checks + $(grep -c ^ok "$work/$space")))
  done
  [ -z "$failed" ] || exit 1
  admitted=$(cat "$work"/*.stream | wc -l)
}

# live NAMESPACE ARGUMENT...: from two nodes that start too early to nothing left of Torch.
live() {
  begin "$@"
  start_nodes
  check "$space: helm install" helm install torch "$chart" "${arguments[@]}"
  first=$(k get configmap torch-config -o jsonpath='{.data}')
  connect
  check "$space: GitOps sees no difference" no_difference
  check "$space: helm test" helm test torch --namespace "$space" --timeout 60s
  begin_stream
  change_configuration
  save_metrics
  [ "$space" != chart-own ] || check_with_prometheus
  roll_over
  roll_back
  end_stream
  check "$space: no node was restarted again" [ "$(uids "${nodes[@]}")" = "$restarted" ]
  uninstall
}

# take_over NAMESPACE ARGUMENT...: what was applied by kustomize becomes Helm's, and goes on as it is.
take_over() {
  local before
  begin "$@"
  overlay "images: [{name: ghcr.io/celestiaorg/torch, newName: localhost/torch, newTag: test}]" | kubectl apply -f - >/dev/null
  k rollout status deployment torch --timeout=60s
  before=$(torches .metadata.uid) was_filled=$(filled)
  check "$space: helm install over the kustomization" helm install torch "$chart" "${arguments[@]}" --take-ownership --force-conflicts
  check "$space: no pod was restarted" [ "$(torches .metadata.uid)" = "$before" ]
  check_filled
  uninstall
}

begin() {
  space=$1
  values=(--set image=localhost/torch:test "${@:2}")
  arguments=(--namespace "$space" "${values[@]}" --wait --timeout 60s)
}

k() { kubectl --namespace "$space" "$@"; }

# torches FIELD: of Torch's pods that are not about to go.
torches() {
  k get pods -l app.kubernetes.io/name=torch -o "go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{$1}} {{end}}{{end}}"
}

uids() { k get pods "$@" -o jsonpath='{.items[*].metadata.uid}'; }

start_nodes() {
  kubectl kustomize "$root/tests/demo/nodes" | sed "s/torch-demo/$space/g" | k apply -f - >/dev/null
  soon "$space: two nodes start too early" k wait --for=condition=Ready pod "${nodes[@]}" --timeout=1s
  early=$(uids "${nodes[@]}")
}

connect() {
  soon "$space: both are restarted" has_total torch_restarts_total 2
  soon "$space: both are connected" are_connected
  restarted=$(uids "${nodes[@]}")
  check "$space: both are others than before" are_others "$early" "$restarted"
  check "$space: each was restarted once" has_total torch_restarts_total 2
}

are_connected() { is_connected da-bridge-1-0 da-full-1-0 && is_connected da-full-1-0 da-bridge-1-0; }

is_connected() { grep -qF "$(peer_id "$2")" <<<"$(k exec "$1" -- celestia p2p peers)"; }

peer_id() { k exec "$1" -- celestia p2p info | sed -n 's/.*\(12D3[[:alnum:]]*\).*/\1/p'; }

# total METRIC: over all replicas and labels.
total() {
  local address
  for address in $(torches .status.podIP); do metrics "$address"; done |
    awk -v name="$1" 'index($1, name) == 1 { sum += $2 } END { print sum + 0 }'
}

metrics() { curl -sf --max-time 5 "http://$1:8080/metrics"; }

# For monitoring.sh. A series appears with its first event; that of REST is a caller without a token.
save_metrics() {
  local address
  mkdir -p "$work/metrics"
  for address in $(torches .status.podIP); do
    curl -sk --max-time 5 -o "$work/$space.rest" "https://$address:8443/list"
    metrics "$address" >"$work/metrics/$address"
  done
}

no_difference() {
  helm template torch "$chart" --namespace "$space" --skip-tests "${values[@]}" |
    kubectl diff --server-side --force-conflicts -f -
}

# What Torch, or cert-manager, has filled in, and Helm must leave alone.
filled() {
  k get secret,configmap torch-tls torch-ca torch-certificate torch-book --ignore-not-found -o jsonpath='{range .items[*]}{.kind} {.metadata.name} {.data}{"\n"}{end}'
  kubectl get mutatingwebhookconfiguration "torch-$space" -o jsonpath='{.webhooks[0].clientConfig.caBundle}'
}

# A pod with the name of a node is created again and again, dry: the policy, or the webhook, gives it its peer.
begin_stream() {
  touch "$work/$space.streams"
  stream >"$work/$space.stream" 2>&1 &
  streaming=$!
}

stream() {
  while sleep 0.05 && [ -e "$work/$space.streams" ]; do
    curl -s --max-time 10 --cacert "$run/pki/ca.crt" --cert "$run/pki/admin.crt" --key "$run/pki/admin.key" \
      -H 'Content-Type: application/yaml' --data-binary @- "https://$ip:6443/api/v1/namespaces/$space/pods?dryRun=All" <<K |
apiVersion: v1
kind: Pod
metadata: {name: da-bridge-1}
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers: [{name: da, image: none, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]
K
      grep -o '/dns/da-full-1-0\.da-full-1/tcp/2121/p2p/[[:alnum:]]*' || echo missed
  done
}

end_stream() {
  rm "$work/$space.streams"
  wait "$streaming"
  check "$space: of $(wc -l <"$work/$space.stream") pods that were created meanwhile all got their peer" all_admitted
}

all_admitted() { [ -s "$work/$space.stream" ] && ! grep -c missed "$work/$space.stream"; }

# upgrade ARGUMENT...
upgrade() { helm upgrade torch "$chart" "${arguments[@]}" --set-file config="$(changed)" --set replicas=3 "$@"; }

changed() {
  { cat "$root/tests/demo/torch/config.yaml"; echo '  - peers: [{nodeName: other-1}, {nodeName: other-2}]'; } >"$work/$space.changed"
  echo "$work/$space.changed"
}

change_configuration() {
  local before addresses
  before=$(torches .metadata.uid)
  addresses=$(torches .status.podIP)
  was_filled=$(filled)
  check "$space: helm upgrade: another configuration, three replicas" upgrade
  soon "$space: both that were there have taken it up" have_taken_it_up "$addresses"
  check "$space: without a restart" are_among "$before" "$(torches .metadata.uid)"
  check "$space: there are three" [ "$(torches .metadata.uid | wc -w)" = 3 ]
  check_filled
}

have_taken_it_up() {
  local address
  for address in $1; do [ "$(metrics "$address" | grep '^torch_config_reloads_total')" = 'torch_config_reloads_total{outcome="success"} 1' ] || return 1; done
}

has_total() { [ "$(total "$1")" = "$2" ]; }

# are_among UIDS OTHERS: all of them
are_among() {
  local uid
  for uid in $1; do grep -qF "$uid" <<<"$2" || return 1; done
}

# are_others UIDS OTHERS: none of them
are_others() {
  local uid
  for uid in $1; do ! grep -qF "$uid" <<<"$2" || return 1; done
}

torches_are_others() { are_others "$1" "$(torches .metadata.uid)"; }

check_filled() { check "$space: what was filled in is as it was" [ "$(filled)" = "$was_filled" ]; }

# As Helm 3 does it: by a patch of what differs between two manifests.
roll_over() {
  local before
  before=$(torches .metadata.uid)
  check "$space: helm upgrade: other pods, by the client" upgrade --server-side=false --set logFormat=json
  soon "$space: all are others" torches_are_others "$before"
  check_filled
}

roll_back() {
  check "$space: helm rollback" helm rollback torch 1 --namespace "$space" --wait --timeout 60s
  soon "$space: there are two" has_replicas 2
  check "$space: the configuration is the first" [ "$(k get configmap torch-config -o jsonpath='{.data}')" = "$first" ]
  check_filled
}

has_replicas() { [ "$(torches .metadata.uid | wc -w)" = "$1" ]; }

# cert-manager leaves its Secrets when what it made them for goes.
uninstall() {
  local secrets=
  [ "$space" != chart-cert-manager ] || secrets=$'secret/torch-ca\nsecret/torch-certificate'
  check "$space: helm uninstall" helm uninstall torch --namespace "$space" --wait --timeout 60s
  soon "$space: nothing of it is left${secrets:+ but the two Secrets of cert-manager}" is_left "$secrets"
}

is_left() { diff <(echo -n "${1:+$1$'\n'}") <(left); }

left() {
  k get "$(kinds true)" --ignore-not-found -o name | grep torch | grep -v '^event' || true
  kubectl get "$(kinds false)" -o name | grep -F "$space" | grep -vxF "namespace/$space" || true
}

kinds() { kubectl api-resources --verbs=list --namespaced="$1" -o name | paste -sd,; }
