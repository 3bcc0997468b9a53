#!/usr/bin/env bash
# Clients speak REST, the upstream speaks GraphQL.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway
usher apply -f config.yaml --yes

say "An argument of the URL becomes a variable of the query"
expect 200 "http://$GATEWAY/who?id=1"
contains '"name":"Amara Okafor"'
contains '"title":"Hardening an admin API"'

say "So does a member of a JSON body"
expect 200 -H "Content-Type: application/json" -d '{"id": "2"}' "http://$GATEWAY/who"
contains '"name":"Jonas Lindqvist"'

say "Values stay values: they can't change the query"
expect 200 -G --data-urlencode 'id=1") { name } }' "http://$GATEWAY/who"
contains '"speaker":null'
