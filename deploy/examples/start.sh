#!/bin/sh
# Starts a peer-to-peer node with its trusted peers: start.sh COMMAND [ARGUMENT...]
#
# The peers come from the environment, else from the file that Torch wrote, else from Torch itself.
# COMMAND then runs with them in TRUSTED_PEERS, where Torch looks for them, and behind each of the
# flags below; or, where there are none to be had, without. Settings, all by environment:
#
#   TRUSTED_PEERS_FLAG  flags that take the peers, separated by spaces (--headers.trusted-peers)
#   TRUSTED_PEERS_PATH  directory of the file TRUSTED_PEERS (/tmp)
#   TORCH_WAIT          seconds to wait until Torch knows a peer (60); 0: do not ask; or: forever
#   TORCH_URL           where Torch is (https://torch.<the pod's namespace>.svc)
#   TORCH_CA            the CA that vouches for it (/etc/torch-ca/ca.crt)
#   SERVICE_ACCOUNT     directory of the pod's token and namespace (where Kubernetes mounts them)
#   POD_NAME            the pod's name (the host name)
set -u
seconds=${TORCH_WAIT:-60}
ca=${TORCH_CA:-/etc/torch-ca/ca.crt}
account=${SERVICE_ACCOUNT:-/var/run/secrets/kubernetes.io/serviceaccount}
question="{\"podName\":\"${POD_NAME:-$(uname -n)}\"}"

say() { printf 'start.sh: %s\n' "$*" >&2; }

# Makes $1, found in $2, the peers, unless it cannot be a list of addresses.
take() {
    case $1 in
    '') return 1 ;;
    [!/]* | *[!A-Za-z0-9/.,:_%-]*) say "ignored, not a list of addresses: what is in $2" && return 1 ;;
    esac
    say "trusted peers from $2" && peers=$1
}

# Takes them from the line `export TRUSTED_PEERS="…"`, which is read, never executed.
from_file() {
    line=$(head -n 1 "$1" 2>/dev/null) && line=${line#export TRUSTED_PEERS=\"} && take "${line%\"}" "$1"
}

# Asks Torch once and prints its answer with the headers. The token goes by a file, since everybody
# can read command lines, and is read anew each time, since Kubernetes replaces it.
ask() {
    token=$(cat "$account/token")
    for header in 'Content-Type: application/json' 'Accept: text/plain' "Authorization: Bearer $token"; do
        echo "header = $quote$header$quote"
    done >"$private/config"
    case $client in
    curl) curl -q --config "$private/config" -sSi --max-time 10 --noproxy '*' --cacert "$ca" \
        --data "$question" "$torch/gen" ;;
    wget) wget --config="$private/config" -nv -O - --save-headers --content-on-error --timeout=10 --tries=1 \
        --max-redirect=0 --no-proxy --no-hsts --ca-certificate="$ca" --post-data="$question" "$torch/gen" ;;
    esac | tr -d '\r'
}

# Asks until Torch names a peer or the time is up; says what it waits for, once.
from_torch() {
    end=$(($(date +%s) + seconds)) said=
    while :; do
        answer=$(ask 2>"$private/error")
        status=$(printf '%s\n' "$answer" | sed -n '1s/^HTTP[^ ]* //p')
        text=$(printf '%s\n' "$answer" | sed '1,/^$/d')
        case $status in
        200*) take "$text" "$torch" && return ;;
        '') text=$(tail -n 1 "$private/error") ;;
        esac
        [ "$said" = "$status $text" ] || say "no peers from $torch yet: $status $text"
        said="$status $text" left=$((end - $(date +%s)))
        [ "$left" -gt 0 ] || return
        pause=$(printf '%s\n' "$answer" | sed -n '/^[Rr]etry-[Aa]fter: [1-9][0-9]\{0,1\}$/{s/.* //p;q;}')
        sleep "$((${pause:-2} < left ? ${pause:-2} : left))" &
        wait "$!" # which a signal ends at once, unlike a sleep in the foreground
    done
}

# Prepares the questions: client, address, and a directory for the token that is not on a disk.
ask_torch() {
    [ "$seconds" != forever ] || seconds=999999999
    [ "$seconds" -gt 0 ] || return
    if command -v curl >/dev/null; then
        client=curl quote='"'
    elif wget --version 2>/dev/null | grep -q '^GNU Wget '; then # others cannot verify by a given CA
        client=wget quote=
    else
        say "Torch is not asked: neither curl nor GNU wget is here" && return
    fi
    torch=${TORCH_URL:-https://torch.$(cat "$account/namespace").svc}
    private=$(mktemp -d /dev/shm/start.XXXXXX 2>/dev/null || mktemp -d) || return
    trap 'rm -rf "$private"' EXIT
    trap 'exit 143' TERM INT
    from_torch
    rm -rf "$private"
}

peers=
take "${TRUSTED_PEERS:-}" "the environment" || from_file "${TRUSTED_PEERS_PATH:-/tmp}/TRUSTED_PEERS" || ask_torch
if [ -n "$peers" ]; then
    export TRUSTED_PEERS="$peers"
    for flag in ${TRUSTED_PEERS_FLAG:---headers.trusted-peers}; do set -- "$@" "$flag" "$peers"; done
else
    unset TRUSTED_PEERS
    say "starts without trusted peers"
fi
exec "$@"
