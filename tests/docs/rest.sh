# rest.sh: Torch's own program, as it runs against the test bed's API server, against docs/openapi.json. To be sourced.
# shellcheck shell=bash
# shellcheck disable=SC2154  # run sets and uses them

space=torch-docs
rest=18443 plain=18080
calls=0
schemathesis=4.32.5

check_rest() {
  trap end_rest EXIT
  make_space
  start_torch
  token=$(kubectl create token -n "$space" operator)
  # Whose certificate is for a name that only the cluster resolves.
  call_by_document "https://127.0.0.1:$rest" --include-path-regex '^/(config|list|gen|genAll)$' --tls-verify false \
    --header "Authorization: Bearer $token"
  # The changes have no end.
  call_by_document "http://127.0.0.1:$plain" --include-path-regex '^/(healthz|readyz|metrics|status)$'
}

# call_by_document URL ARGUMENT...: any requests that the document allows, and some that it does not; adds to $calls.
call_by_document() {
  local out=$work/schemathesis
  # Where it is started it leaves a folder.
  (cd "$work" && python -m schemathesis.cli run "$root/docs/openapi.json" --url "$1" "${@:2}" --checks all \
    --max-examples 50 --seed 1 --phases examples,coverage,fuzzing --no-color) >"$out" 2>&1 ||
    { cat "$out" >&2; die "FAILED: docs/openapi.json at $1"; }
  grep -A 1 '^Test cases:' "$out"
  calls=$((calls + $(sed -n 's/^ *[0-9]* generated, \([0-9]*\) passed.*/\1/p' "$out")))
}

# The tool, in a folder of its own, once.
python() {
  local folder=$cache/schemathesis@$schemathesis
  [ -d "$folder" ] || (install_schemathesis "$folder")
  "$folder/bin/python" "$@"
}

# In a folder that gets its name when it is whole. What stands in its bin knows it by the first name, but for python.
install_schemathesis() {
  lock 8 schemathesis
  [ ! -d "$1" ] || return 0
  python3 -m venv "$1.new"
  "$1.new/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$schemathesis" >&2 ||
    die "cannot install schemathesis"
  mv "$1.new" "$1"
}

# With a Lease, as the manifests have it, and with their rules of who may call what.
make_space() {
  take_space
  kubectl create namespace "$space" >/dev/null
  kubectl apply -n "$space" -f "$root/deploy/lease.yaml" >/dev/null
  kubectl create serviceaccount -n "$space" operator >/dev/null
  sed "s|torch:torch:|torch:$space:|; s|/torch/torch/|/torch/$space/|g; s|serviceaccounts:torch|serviceaccounts:$space|" \
    "$root/deploy/access.yaml" | kubectl apply -f - >/dev/null
  kubectl create clusterrolebinding "torch:$space:operator" --clusterrole "torch:$space:operator" \
    --serviceaccount "$space:operator" >/dev/null
}

take_space() {
  kubectl delete namespace "$space" --ignore-not-found >/dev/null
  kubectl delete clusterrole,clusterrolebinding "torch:$space:nodes" "torch:$space:operator" --ignore-not-found >/dev/null
}

start_torch() {
  "$torch" serve --config "$root/tests/docs/pair.yaml" --namespace "$space" --listen "127.0.0.1:$rest" \
    --plain-listen "127.0.0.1:$plain" >"$work/torch.log" 2>&1 &
  server=$!
  local end=$((SECONDS + 30))
  until curl -fs "http://127.0.0.1:$plain/readyz" >/dev/null; do
    [ "$SECONDS" -lt "$end" ] || { cat "$work/torch.log" >&2; die "FAILED: Torch is not ready"; }
    sleep 0.2
  done
}

end_rest() {
  kill "${server:-}" 2>/dev/null || true
  take_space
  rm -rf "$work"
}
