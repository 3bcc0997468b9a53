#!/usr/bin/env bash
# Two nodes share the requests; one goes away, and nobody notices.
. "$(dirname "$0")/../stage.sh"

sample_api ONE --name one
sample_api TWO --name two
gateway --control-listen 127.0.0.1:0
CONTROL=$(address_of gateway control)
usher apply -f config.yaml --yes

# Asks thirty times, which all has to go well; who answered how often?
shares() {
    for ((turn = 0; turn < 30; turn++)); do
        curl -sS --fail -o "$STAGE/body" -D "$STAGE/head" "http://$GATEWAY/speaker/1" || fail "a request failed"
        grep -i '^x-served-by' "$STAGE/head" | tr -d '\r'
    done | sort | uniq -c
}

say "Node one has twice the weight of node two"
shares | tee "$STAGE/shares"
grep -q '20 x-served-by: one' "$STAGE/shares" || fail "node one should have answered 20 of 30"

say "Node two goes away while requests come: each is tried at the other node"
kill "${STARTED[1]}"
shares | tee "$STAGE/shares"
grep -q '30 x-served-by: one' "$STAGE/shares" || fail "node one should have answered all"

say "The health checks have noticed it"
for ((turn = 0; turn < 200; turn++)); do
    curl -sS "http://$CONTROL/v1/healthcheck" >"$STAGE/health"
    grep -q '"status":"unhealthy"' "$STAGE/health" && break
    sleep 0.1
done
cat "$STAGE/health"
grep -q '"status":"unhealthy"' "$STAGE/health" || fail "node two is not told to be unhealthy"
