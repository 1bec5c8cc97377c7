#!/bin/sh
# daemon.sh: what Kubo's image does before it starts the daemon, peers.sh in the place of its /container-init.d. Nobody
# but Torch tells the nodes of each other.
set -eu
[ -f "$IPFS_PATH/config" ] || ipfs init --empty-repo
ipfs bootstrap rm --all
ipfs config --json Discovery.MDNS.Enabled false
# shellcheck source=/dev/null
. /scripts/peers.sh
exec ipfs daemon
