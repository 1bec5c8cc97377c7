#!/bin/sh
# chain.sh: a chain of one validator, made anew with each start; it runs until it is ended.
set -eu
home=$HOME/chain
chain=private # what celestia-node calls a network that is not public

appd() { celestia-appd --home "$home" "$@"; }

appd init "$chain" --chain-id "$chain" >/dev/null 2>&1
appd keys add validator --keyring-backend test >/dev/null 2>&1
appd genesis add-genesis-account "$(appd keys show validator -a --keyring-backend test)" 1000000000000000utia
appd genesis gentx validator 5000000000utia --fees 500utia --keyring-backend test --chain-id "$chain" >/dev/null 2>&1
appd genesis collect-gentxs >/dev/null 2>&1
exec celestia-appd start --home "$home" --grpc.enable --grpc.address 0.0.0.0:9090 \
  --rpc.laddr tcp://0.0.0.0:26657 --delayed-precommit-timeout 1s --force-no-bbr
