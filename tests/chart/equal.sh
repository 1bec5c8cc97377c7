# equal.sh: that the chart has the kustomization's objects, and takes no wrong values. To be sourced, by run.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # run sets and uses them

# refuses TEXT ARGUMENT...: the chart takes no such values, and says so.
refuses() {
  local out
  if out=$(helm template torch "$chart" "${@:2}" 2>&1); then die "FAILED: ${*:2} is taken, which should be refused: $1"; fi
  check "refused: $1" grep -qF -- "$1" <<<"$out"
}

# render NAMESPACE ARGUMENT...
render() { helm template torch "$chart" --namespace "$1" --set-file config="$root/deploy/config.yaml" "${@:2}"; }

check_files() {
  mkdir "$work/files"
  "$root/deploy/helm/sync" "$work/files"
  check "files/ are what deploy/helm/sync makes" diff -r "$work/files" "$chart/files"
  check "its version is Torch's" same_version
  check "helm lint" helm lint --strict "$chart" --set-file config="$root/deploy/config.yaml"
  check "kube-score" is_scored_well
}

# What it would have otherwise is as it should be: a CPU limit would slow what stands before each pod, a released image
# does not change, nothing is written but logs, and replicas are spread by topologySpreadConstraints.
is_scored_well() {
  render chart-own --skip-tests --set networkPolicy=true | "$kube_score" score --kubernetes-version v1.33 --exit-one-on-warning \
    --ignore-container-cpu-limit --ignore-test container-image-pull-policy \
    --ignore-test container-ephemeral-storage-request-and-limit --ignore-test deployment-has-host-podantiaffinity -
}

same_version() {
  [ "$(sed -n 's/^appVersion: //p' "$chart/Chart.yaml")" = "$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)" ]
}

check_values() {
  refuses "missing property 'config'"
  refuses "at '/config': missing property 'mutualPeers'" --set-json 'config={"peers": []}'
  refuses "additional properties 'replica' not allowed" --set replica=3
  refuses "at '/replicas': got string, want integer" --set-string replicas=3
  refuses "at '/certificate/from': value must be one of 'own', 'cert-manager', 'mounted'" --set certificate.from=vault
  refuses "at '/certificate/from': value must be 'cert-manager'" --set certificate.issuerRef.name=vault
  refuses "at '/image': 'torch' does not match pattern" --set image=torch
}

# By kustomize on one side, and by the chart on the other.
check_variants() {
  local components="components: [$deploy"
  same "as it is" ""
  same "a certificate from cert-manager" "$components/with-cert-manager]" --set certificate.from=cert-manager
  same "a mounted certificate" "$components/with-mounted-certificate]" --set certificate.from=mounted
  same "no policy" "$components/without-policy]" --set policy=false
  same "no policy, for an older Kubernetes" "$components/without-policy]" --kube-version 1.35.0
  same "a network policy" "$components/network-policy]" --set networkPolicy=true
  same "all that is not the default" \
    "$components/with-cert-manager, $deploy/without-policy, $deploy/network-policy]" \
    --set certificate.from=cert-manager --set policy=false --set networkPolicy=true
  same "another image, three replicas" "$(image_and_replicas)" --set image=registry.example.com/torch:1 --set replicas=3
  same "what the Deployment is given" "$(of_deployment)" --values "$(values_of_deployment)"
  same "another issuer" "$components/with-cert-manager]
$(of_issuer)" --set certificate.from=cert-manager --set certificate.issuerRef.name=vault
  same "one replica, no budget" "$(one_replica)" --set replicas=1
}

image_and_replicas() {
  cat <<K
images: [{name: ghcr.io/celestiaorg/torch, newName: registry.example.com/torch, newTag: "1"}]
replicas: [{name: torch, count: 3}]
K
}

values_of_deployment() {
  cat >"$work/deployment.yaml" <<K
imagePullSecrets: [{name: registry}]
resources: {limits: {memory: 512Mi}}
restAuth: none
log: warn,torch=debug
logFormat: json
podAnnotations: {a: b}
nodeSelector: {disk: fast}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: high
K
  echo "$work/deployment.yaml"
}

of_deployment() {
  cat <<K
patches:
  - target: {kind: Deployment, name: torch}
    patch: |
      - {op: add, path: /spec/template/spec/imagePullSecrets, value: [{name: registry}]}
      - {op: add, path: /spec/template/spec/containers/0/resources/limits/memory, value: 512Mi}
      - {op: add, path: /spec/template/spec/containers/0/args/-, value: --rest-auth=none}
      - {op: add, path: /spec/template/spec/containers/0/args/-, value: "--log=warn,torch=debug"}
      - {op: add, path: /spec/template/spec/containers/0/args/-, value: --log-format=json}
      - {op: add, path: /spec/template/metadata/annotations, value: {a: b}}
      - {op: add, path: /spec/template/spec/nodeSelector, value: {disk: fast}}
      - {op: add, path: /spec/template/spec/tolerations, value: [{key: a, operator: Exists}]}
      - {op: add, path: /spec/template/spec/affinity, value: {nodeAffinity: {}}}
      - {op: add, path: /spec/template/spec/priorityClassName, value: high}
K
}

of_issuer() {
  cat <<'K'
patches:
  - target: {kind: Issuer}
    patch: &delete |
      {$patch: delete, kind: any, metadata: {name: any}}
  - target: {kind: Certificate, name: torch-ca}
    patch: *delete
  - target: {kind: Certificate, name: torch$}
    patch: |
      - {op: replace, path: /spec/issuerRef/name, value: vault}
K
}

one_replica() {
  cat <<'K'
replicas: [{name: torch, count: 1}]
patches:
  - target: {kind: PodDisruptionBudget}
    patch: |
      {$patch: delete, kind: any, metadata: {name: any}}
K
}

# same WHAT LINES ARGUMENT...: an overlay with these LINES has the same objects as the chart with these ARGUMENTs, and
# the API server takes them without a warning.
same() {
  space=chart-own overlay "$2" | sorted >"$work/kustomize.yaml"
  render chart-own --skip-tests "${@:3}" | sorted >"$work/helm.yaml"
  check "equal: $1" diff "$work/kustomize.yaml" "$work/helm.yaml"
  variants=$((variants + 1))
  objects=$((objects + $(grep -c '^kind: ' "$work/helm.yaml")))
  render chart-own "${@:3}" >"$work/all.yaml"
  check "taken by the API server: $1" kubectl apply --dry-run=server --warnings-as-errors -f "$work/all.yaml"
}

# overlay LINES: the objects of the kustomization, by an overlay with these LINES, in the namespace $space.
overlay() {
  local folder=$work/overlay-$space
  mkdir -p "$folder"
  cat >"$folder/kustomization.yaml" <<K
namespace: $space
resources: [$deploy]
transformers: [$deploy/follow-namespace]
$1
K
  kubectl kustomize "$folder"
}

# The objects and their fields in one order.
sorted() {
  mkdir -p "$work/sorted"
  cat >"$work/sorted/objects.yaml"
  printf 'resources: [objects.yaml]\nsortOptions: {order: legacy}\n' >"$work/sorted/kustomization.yaml"
  kubectl kustomize "$work/sorted"
}
