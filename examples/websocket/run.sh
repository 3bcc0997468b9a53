#!/usr/bin/env bash
# A WebSocket through the gateway, which checks a key when it is opened.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway
usher apply -f config.yaml --yes

UPGRADE=(-H "Connection: Upgrade" -H "Upgrade: websocket" -H "Sec-WebSocket-Version: 13" -H "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")

say "Without a key it doesn't open"
expect 401 "${UPGRADE[@]}" "http://$GATEWAY/live"

say "With one it does, and tells the next talks. curl would listen for ever: it is ended once the third talk is there"
curl -sS -N --http1.1 --max-time 20 -i -H "apikey: key-of-the-app" "${UPGRADE[@]}" "http://$GATEWAY/live" >"$STAGE/live" 2>"$STAGE/curl" &
LISTENER=$!
STARTED+=("$LISTENER")
for ((turn = 0; turn < 200; turn++)); do
    [ "$(grep -ac 'December 2026' "$STAGE/live")" -ge 3 ] || tr -d '\0' <"$STAGE/live" | grep -aq "Rate limits your customers" && break
    sleep 0.1
done
kill "$LISTENER" 2>"$STAGE/curl" || true
tr -d '\r\0' <"$STAGE/live" | tr -cd '[:print:]\n'
echo
grep -aq "101 Switching Protocols" "$STAGE/live" || fail "it did not switch"
grep -aq "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" -i "$STAGE/live" || fail "the answer doesn't fit the key"
grep -aq "Rate limits your customers will thank you for" "$STAGE/live" || fail "the third talk is missing"
