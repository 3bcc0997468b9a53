#!/usr/bin/env bash
# The whole configuration in one file, which is followed as it changes.
. "$(dirname "$0")/../stage.sh"

sample_api API
say "The file is checked before anything serves by it"
usher validate config.yaml

cp config.yaml "$STAGE/live.yaml"
gateway --store "file:$STAGE/live.yaml"

say "What the file says is served"
expect 200 "http://$GATEWAY/speaker/1"
expect 404 "http://$GATEWAY/topics"

# Waits until a path answers so: a changed file comes into force within a second.
until_answers() {
    for ((turn = 0; turn < 200; turn++)); do
        [ "$(curl -sS -o "$STAGE/body" -w '%{http_code}' "http://$GATEWAY$2")" = "$1" ] && return
        sleep 0.1
    done
    fail "$2 did not come to answer $1"
}

say "A new version of the file, moved into its place"
{ cat config.yaml; printf '  topics:\n    uri: /topics\n    upstream_id: conference\n'; } >"$STAGE/next.yaml"
mv "$STAGE/next.yaml" "$STAGE/live.yaml"
until_answers 200 /topics
expect 200 "http://$GATEWAY/topics"

say "A file that can't be used changes nothing, and is told of"
printf 'usher: 1\nroutes:\n  broken: {uri: 7}\n' >"$STAGE/next.yaml"
mv "$STAGE/next.yaml" "$STAGE/live.yaml"
for ((turn = 0; turn < 200; turn++)); do
    usher status >"$STAGE/status" || true
    grep -q broken "$STAGE/status" && break
    sleep 0.1
done
cat "$STAGE/status"
grep -q broken "$STAGE/status" || fail "the mistake is not told"
expect 200 "http://$GATEWAY/topics"
