#!/usr/bin/env bash
# One request of ten goes to the new version, and all of those that ask for it; then everybody.
. "$(dirname "$0")/../stage.sh"

sample_api OLD --name old
sample_api NEW --name new
gateway
usher apply -f config.yaml --yes

# Asks twenty times; how many of the answers came from the new version?
new_of_twenty() {
    for ((turn = 0; turn < 20; turn++)); do curl -sS -o "$STAGE/body" -D - "http://$GATEWAY/speaker/1"; done |
        grep -ci '^x-served-by: new'
}

say "Testers ask for the new version by a header"
expect 200 -H "X-Beta: yes" "http://$GATEWAY/speaker/1"
contains "x-served-by: new"

say "Of twenty other requests, two go there"
SEEN=$(new_of_twenty)
echo "new version: $SEEN of 20"
[ "$SEEN" = 2 ] || fail "2 of 20 were expected"

say "The new version is good: everybody gets it, by one edit that can be undone"
usher apply -f all-new.yaml --yes
SEEN=$(new_of_twenty)
echo "new version: $SEEN of 20"
[ "$SEEN" = 20 ] || fail "20 of 20 were expected"

say "It isn't, after all"
usher undo --yes
SEEN=$(new_of_twenty)
echo "new version: $SEEN of 20"
[ "$SEEN" = 2 ] || fail "2 of 20 were expected"
