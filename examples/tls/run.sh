#!/usr/bin/env bash
# https with a certificate of one's own, which is changed while the gateway runs.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway --tls-listen 127.0.0.1:0
usher apply -f config.yaml --yes
PORT=${TLS##*:}

# A certificate for conference.test that says who it is for, signed by itself.
certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/O=$1/CN=conference.test" \
        -addext "subjectAltName=DNS:conference.test" -keyout "$STAGE/key.pem" -out "$STAGE/$1.pem" 2>"$STAGE/openssl.log"
    # Usher's own form: a block of text for each, indented.
    { printf 'usher: 1\nssls:\n  conference:\n    snis: [conference.test]\n    cert: |\n'; sed 's/^/      /' "$STAGE/$1.pem"
      printf '    key: |\n'; sed 's/^/      /' "$STAGE/key.pem"; } >"$STAGE/ssl.yaml"
}
ASK=(--resolve "conference.test:$PORT:127.0.0.1" "https://conference.test:$PORT/speaker/1")

say "A certificate is an object like any other"
certificate first
usher apply -f "$STAGE/ssl.yaml" --yes
expect 200 --cacert "$STAGE/first.pem" "${ASK[@]}"

say "A new one is served from the next handshake on; who trusts the old one alone is not served by it any more"
certificate second
usher apply -f "$STAGE/ssl.yaml" --yes
expect 200 --cacert "$STAGE/second.pem" "${ASK[@]}"
if curl -sS -o "$STAGE/body" --cacert "$STAGE/first.pem" "${ASK[@]}" 2>"$STAGE/refused"; then fail "the old certificate is still served"; fi
head -1 "$STAGE/refused"

say "A name that no certificate is for gets no handshake"
if curl -sS -k -o "$STAGE/body" --resolve "other.test:$PORT:127.0.0.1" "https://other.test:$PORT/speaker/1"; then
    fail "other.test was served"
fi

say "http can be sent to https"
expect 301 -H "Host: conference.test" "http://$GATEWAY/speaker/1"
contains "Location: https://conference.test"
