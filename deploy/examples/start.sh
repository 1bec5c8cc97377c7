#!/bin/sh
# Starts a peer-to-peer node with its trusted peers: start.sh COMMAND [ARGUMENT...]
#
# The peers come from the environment, else from the file that Torch wrote, else from Torch itself.
# COMMAND then runs with them in TRUSTED_PEERS, where Torch looks for them, and behind each of the
# flags that take them; or, where there are none to be had, without.
set -u
flags=${TRUSTED_PEERS_FLAG---headers.trusted-peers}            # one or more, separated by spaces; or none
file=${TRUSTED_PEERS_PATH:-/tmp}/TRUSTED_PEERS
seconds=${TORCH_WAIT:-60}                                      # to wait for Torch; 0: do not ask; or: forever
account=${SERVICE_ACCOUNT:-/var/run/secrets/kubernetes.io/serviceaccount}
torch=${TORCH_URL:-https://torch.$(cat "$account/namespace" 2>/dev/null).svc}
ca=${TORCH_CA:-/etc/torch-ca/ca.crt}                           # vouches for Torch
question="{\"podName\":\"${POD_NAME:-$(uname -n)}\"}"
scratch=${TMPDIR:-/dev/shm}                                    # best not on a disk, since the token goes there

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
    line=$(head -n 1 "$file" 2>/dev/null) && line=${line#export TRUSTED_PEERS=\"} && take "${line%\"}" "$file"
}

# Asks Torch once and prints its answer with the headers. The token goes by a file, since everybody
# can read command lines, and is read anew each time, since Kubernetes replaces it.
ask() {
    token=$(cat "$account/token" 2>/dev/null)
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
ask_until_known() {
    end=$(($(date +%s) + seconds)) said=
    while :; do
        answer=$(ask 2>"$private/error")
        status=$(printf '%s\n' "$answer" | sed -n '1s/^HTTP[^ ]* //p')
        text=$(printf '%s\n' "$answer" | sed '1,/^$/d')
        case $status in
        200*) take "$text" "$torch" && return || text="HTTP 200 without addresses" ;;
        [0-9]*) text="HTTP $status $text" ;;
        *) text=$(head -n 1 "$private/error") ;;
        esac
        [ "$said" = "$text" ] || say "no peers from $torch yet: $text"
        said=$text left=$((end - $(date +%s)))
        [ "$left" -gt 0 ] || return
        pause=$(printf '%s\n' "$answer" | sed -n '/^[Rr]etry-[Aa]fter: [1-9][0-9]\{0,1\}$/{s/.* //p;q;}')
        sleep "$((${pause:-2} < left ? ${pause:-2} : left))" &
        wait "$!" # which a signal ends at once, unlike a sleep in the foreground
    done
}

# Finds what the questions need, and clears up after them.
from_torch() {
    case $seconds in
    forever) seconds=999999999 ;;
    *[!0-9]*) say "waits 60 s: TORCH_WAIT=$seconds is neither a number of seconds nor forever" && seconds=60 ;;
    ??????????*) seconds=999999999 ;;
    esac
    while [ "${seconds#0?}" != "$seconds" ]; do seconds=${seconds#0}; done # else 08 is a bad octal number
    [ "$seconds" -gt 0 ] || return
    if command -v curl >/dev/null; then
        client=curl quote='"'
    elif wget --version 2>/dev/null | grep -q '^GNU Wget '; then # others cannot verify by a given CA
        client=wget quote=
    else
        say "Torch is not asked: neither curl nor GNU wget is here" && return
    fi
    private=$(mktemp -d "$scratch/start.XXXXXX") || return
    trap 'rm -rf "$private"' EXIT
    trap 'exit 143' TERM INT
    ask_until_known
    rm -rf "$private"
}

peers=
take "${TRUSTED_PEERS:-}" "the environment" || from_file || from_torch
if [ -n "$peers" ]; then
    export TRUSTED_PEERS="$peers"
    for flag in $flags; do set -- "$@" "$flag" "$peers"; done
else
    unset TRUSTED_PEERS
    say "starts without trusted peers"
fi
exec "$@"
