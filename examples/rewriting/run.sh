#!/usr/bin/env bash
# Requests and answers are changed on their way.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway
usher apply -f config.yaml --yes

say "What the upstream sees: another path, a field more, one less"
expect 200 -H "X-Debug: 1" "http://$GATEWAY/shop/orders/7?full=yes"
contains '"path":"/anything/v2/orders/7"'
contains '"query":"full=yes"'
contains '"x-tenant":"shop"'
! grep -q x-debug <<<"$ANSWER" || fail "X-Debug went on"

say "What the client sees: a field more, and a name that was replaced in the body"
contains "X-Served: by usher"
contains "the-client-reads-this"

say "A field that identifies is never taken from a client"
expect 200 -H "X-Consumer-Username: root" "http://$GATEWAY/shop/orders/7"
! grep -qi '"x-consumer-username"' <<<"$ANSWER" || fail "the client's X-Consumer-Username went on"
