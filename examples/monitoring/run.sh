#!/usr/bin/env bash
# Metrics for Prometheus, the last requests, and the cause of an error.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway
usher apply -f config.yaml --yes

say "Some requests: good ones, one for what isn't there, one to a backend that is down"
expect 200 "http://$GATEWAY/speaker/1"
expect 200 "http://$GATEWAY/speaker/2"
expect 404 "http://$GATEWAY/speaker/999"
expect 502 "http://$GATEWAY/down"

say "What Prometheus reads, by the names that APISIX's dashboards know"
curl -sS "http://$METRICS/apisix/prometheus/metrics" >"$STAGE/metrics"
grep '^apisix_http_status' "$STAGE/metrics"
grep -q '^apisix_http_status{code="200",route="speaker".* 2$' "$STAGE/metrics" || fail "two answers 200 were expected"
grep -q '^apisix_http_status{code="404",route="speaker".* 1$' "$STAGE/metrics" || fail "one answer 404 was expected"
grep '^apisix_own_answers_total' "$STAGE/metrics"

say "The last requests, with the cause of the one that failed"
usher tail -n 4
usher tail --status 5xx -o json | grep -q connect || fail "the cause is missing"
