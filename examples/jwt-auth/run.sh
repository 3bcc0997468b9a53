#!/usr/bin/env bash
# Who brings a token that the issuer signed comes in.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway
usher apply -f config.yaml --yes

# What an issuer does: header, claims, and their signature, each in base64url.
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
sign() {
    local unsigned
    unsigned=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url).$(printf '%s' "$1" | base64url)
    printf '%s.%s' "$unsigned" "$(printf '%s' "$unsigned" | openssl dgst -sha256 -hmac "$2" -binary | base64url)"
}
NOW=$(date +%s)

say "Without a token: 401"
expect 401 "http://$GATEWAY/anything/orders"

say "A good token, good for a minute: the claim \`key\` says whose it is"
TOKEN=$(sign "{\"key\":\"shop\",\"exp\":$((NOW + 60))}" "a secret that issuer and gateway know")
expect 200 -H "Authorization: Bearer $TOKEN" "http://$GATEWAY/anything/orders"
contains '"x-consumer-username":"shop"'

say "One that has ended, one that never ends, one that somebody else signed: 401"
OVER=$(sign "{\"key\":\"shop\",\"exp\":$((NOW - 60))}" "a secret that issuer and gateway know")
expect 401 -H "Authorization: Bearer $OVER" "http://$GATEWAY/anything/orders"
ENDLESS=$(sign '{"key":"shop"}' "a secret that issuer and gateway know")
expect 401 -H "Authorization: Bearer $ENDLESS" "http://$GATEWAY/anything/orders"
FORGED=$(sign "{\"key\":\"shop\",\"exp\":$((NOW + 60))}" "another secret")
expect 401 -H "Authorization: Bearer $FORGED" "http://$GATEWAY/anything/orders"
