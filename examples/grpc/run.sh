#!/usr/bin/env bash
# Calls of gRPC pass through the gateway, with their trailers.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway
usher apply -f config.yaml --yes

# A call of one message, by curl: a zero, the message's length in four bytes, the message.
# What it tells of trailers it tells with -v.
call() { printf "$1" | curl -sv --max-time 20 --http2-prior-knowledge 2>"$STAGE/head" -o "$STAGE/body" --data-binary @- \
    -H "Content-Type: application/grpc" -H "TE: trailers" "http://$GATEWAY/conference.v1.Conference/GetSpeaker"; }

say "GetSpeaker {id: 7}; with grpcurl: grpcurl -plaintext -proto conference.proto -d '{\"id\": 7}' $GATEWAY conference.v1.Conference/GetSpeaker"
call '\0\0\0\0\2\x08\x07'
tr -cd '[:print:]\n' <"$STAGE/body"
echo
grep -a "Priya Raghunathan" "$STAGE/body" >"$STAGE/found" || fail "the speaker is missing"
grep -i "grpc-status: 0" "$STAGE/head" || fail "the call has no status 0"

say "A speaker that isn't there: the status comes in the trailers"
call '\0\0\0\0\2\x08\x63'
grep -i "grpc-status: 5" "$STAGE/head" || fail "the call has no status 5"
