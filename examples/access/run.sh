#!/usr/bin/env bash
# By which addresses and from which sites an API may be called.
. "$(dirname "$0")/../stage.sh"

sample_api API
# The gateway believes what this machine says of a client's address, as it would believe a load balancer.
cat >"$STAGE/settings.yaml" <<'END'
apisix:
  trusted_addresses: [127.0.0.1]
END
gateway --config "$STAGE/settings.yaml"
usher apply -f config.yaml --yes

say "From the office's network and from elsewhere"
expect 200 -H "X-Forwarded-For: 192.0.2.7" "http://$GATEWAY/speaker/1"
expect 403 -H "X-Forwarded-For: 203.0.113.9" "http://$GATEWAY/speaker/1"
contains "not from here"

say "A browser asks beforehand whether a page of app.example.com may call"
expect 200 -X OPTIONS -H "Origin: https://app.example.com" -H "Access-Control-Request-Method: GET" "http://$GATEWAY/speaker/1"
contains "Access-Control-Allow-Origin: https://app.example.com"

say "A page of another site gets no leave"
expect 200 -H "X-Forwarded-For: 192.0.2.7" -H "Origin: https://evil.example" "http://$GATEWAY/speaker/1"
! grep -qi '^access-control-allow-origin' <<<"$HEAD" || fail "evil.example was allowed"
