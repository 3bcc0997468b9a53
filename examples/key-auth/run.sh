#!/usr/bin/env bash
# Who has a key comes in; the upstream reads who it was.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway
usher apply -f config.yaml --yes

say "Without a key, or with a wrong one: 401"
expect 401 "http://$GATEWAY/anything/hello"
expect 401 -H "apikey: guess" "http://$GATEWAY/anything/hello"

say "With Rose's key: the upstream reads her name, and never the key"
expect 200 -H "apikey: roses-own-key" "http://$GATEWAY/anything/hello"
contains '"x-consumer-username":"rose"'
! grep -q roses-own-key <<<"$ANSWER" || fail "the key went on to the upstream"

say "Nobody calls himself Rose without her key"
expect 401 -H "X-Consumer-Username: rose" "http://$GATEWAY/anything/hello"

say "Keys are sealed in the store, and masks in what is shown"
usher get consumer rose -o yaml | tee "$STAGE/shown"
! grep -q roses-own-key "$STAGE/shown" || fail "the key was shown"
