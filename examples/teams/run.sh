#!/usr/bin/env bash
# Two teams share a gateway: each sees and changes what is its own.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway
usher apply -f config.yaml --yes

say "A token for the team that owns /pay, good for thirty days"
usher token create pay-team --role editor --label team=pay --path /pay --expires 30d >"$STAGE/token"
as_team() { USHER_ADMIN_KEY=$(cat "$STAGE/token") "$USHER" "$@"; }

say "The team sees its own routes alone"
as_team list routes | tee "$STAGE/seen"
grep -q pay "$STAGE/seen" || fail "its own route is missing"
! grep -q shop "$STAGE/seen" || fail "another team's route is shown"

say "It changes what is its own"
as_team apply -f pay.yaml --yes
expect 200 "http://$GATEWAY/pay/2"
contains "X-Team: pay"

say "What belongs to others is not there for it"
if as_team delete route shop --yes; then fail "it deleted another team's route"; fi
if as_team apply -f shop.yaml --yes; then fail "it changed another team's route"; fi
expect 200 "http://$GATEWAY/shop/1"

say "Everything stands in the audit, refusals too, and nobody can change that unnoticed"
usher audit
usher audit --verify

say "The token is revoked, at once"
usher token revoke "$(usher token list -o json | grep -o '"id": *"[^"]*"' | head -1 | cut -d'"' -f4)"
if as_team list routes; then fail "a revoked token was taken"; fi
