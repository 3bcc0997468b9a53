#!/usr/bin/env bash
# Answers are kept for a while, and the upstream is spared.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway
usher apply -f config.yaml --yes

say "The first request goes to the upstream, the second doesn't"
expect 200 "http://$GATEWAY/speakers"
contains "Apisix-Cache-Status: MISS"
expect 200 "http://$GATEWAY/speakers"
contains "Apisix-Cache-Status: HIT"

say "Another URL is another answer"
expect 200 "http://$GATEWAY/speaker/2"
contains "Apisix-Cache-Status: MISS"

say "The upstream goes away: what is kept is still given"
kill "${STARTED[0]}"
wait "${STARTED[0]}" || true
expect 200 "http://$GATEWAY/speakers"
contains "Apisix-Cache-Status: HIT"
expect 502 "http://$GATEWAY/topics"

say "PURGE takes it away"
expect 200 -X PURGE "http://$GATEWAY/speakers"
expect 502 "http://$GATEWAY/speakers"
