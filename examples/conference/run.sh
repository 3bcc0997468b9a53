#!/usr/bin/env bash
# A route to the conference API, limited to ten requests a minute, made and taken back by talking.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway

say "The conference API becomes known as an upstream"
usher apply -f config.yaml --yes

say "Show all routes"
usher chat "show all routes"

say "A sentence makes a route; --yes agrees to its plan, at a terminal you are asked"
usher chat --yes "create a route for GET /speaker/* to the conference API, ten requests a minute per client"

say "It serves, and counts: making it has sent one request to see whether it answers"
expect 200 "http://$GATEWAY/speaker/1/sessions"
contains "Designing APIs"
contains "X-RateLimit-Limit: 10"
expect 404 "http://$GATEWAY/topics"

say "The 11th request of this minute is refused"
for ((turn = 3; turn <= 10; turn++)); do curl -sS -o "$STAGE/body" "http://$GATEWAY/speaker/$turn"; done
expect 429 "http://$GATEWAY/speaker/1"

say "Who did what is in the history, and is taken back"
usher history -n 2
usher chat --yes "undo that"
expect 404 "http://$GATEWAY/speaker/1"
