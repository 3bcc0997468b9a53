#!/usr/bin/env bash
# Versions of an API by URL and by header, over two backends.
. "$(dirname "$0")/../stage.sh"

sample_api ONE --name one
sample_api TWO --name two
gateway
usher apply -f config.yaml --yes

say "By URL: the prefix chooses the backend, which never sees it"
expect 200 "http://$GATEWAY/v1/speaker/1"
contains "x-served-by: one"
expect 200 "http://$GATEWAY/v2/speaker/1"
contains "x-served-by: two"

say "By header"
expect 200 -H "API-Version: 2" "http://$GATEWAY/speaker/1"
contains "x-served-by: two"

say "Who names none gets the first version, and is told of it"
expect 200 "http://$GATEWAY/speaker/1"
contains "x-served-by: one"
contains "Deprecation: true"

say "Why does a request go where it goes?"
usher explain GET "http://$GATEWAY/speaker/1" -H "API-Version: 2"
