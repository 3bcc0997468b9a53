#!/usr/bin/env bash
# Connections of any protocol over TCP are passed on, by the port they come to.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway --stream-tcp 127.0.0.1:0
export PORT=${STREAM##*:}
usher apply -f config.yaml --yes

say "HTTP stands for any protocol here: the gateway doesn't look into it"
expect 200 "http://$STREAM/speaker/1"
contains "Amara Okafor"

say "Addresses outside of a list are closed out, as soon as that is written"
usher apply -f closed.yaml --yes
if curl -sS --max-time 20 "http://$STREAM/speaker/1"; then fail "it was served"; fi

say "And let in again"
usher undo --yes
expect 200 "http://$STREAM/speaker/1"
