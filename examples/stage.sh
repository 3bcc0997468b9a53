# Sets the stage for an example: finds `usher`, starts what is asked for on free ports of loopback, and takes it down with the script.
#
#   USHER=PATH   the program; without it the one on the PATH, or one that was built in this checkout
#   KEEP=1       stay up at the end, until Enter, to go on by hand
#
# To be read by bash with `.`, from a script in a folder beside this file.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[1]}")"

STAGE=$(mktemp -d "${TMPDIR:-/tmp}/usher-example.XXXXXX")
STARTED=()

if [ -z "${USHER:-}" ]; then
    for USHER in "$(command -v usher || true)" ../../target/release/usher ../../target/debug/usher; do
        [ -x "$USHER" ] && break
    done
fi
[ -x "$USHER" ] || { echo "usher is not on the PATH and not built here; build it with cargo build --release, or name it as USHER=PATH" >&2; exit 1; }
USHER=$(realpath "$USHER")

# Nothing of the caller's own gateway is touched.
unset USHER_URL USHER_ADMIN_URL USHER_WORKERS USHER_MODEL_URL USHER_MODEL USHER_MODEL_KEY http_proxy HTTP_PROXY
USHER_ADMIN_KEY=$(head -c 18 /dev/urandom | od -An -tx1 | tr -d ' \n')
export USHER_ADMIN_KEY

# `usher ...` in a script is the program that was found.
usher() { "$USHER" "$@"; }

take_down() {
    local code=$?
    trap - EXIT INT TERM
    if [ "$code" = 0 ] && [ -n "${KEEP:-}" ]; then
        read -rp "It stays up; Enter ends it. " || true
    fi
    for pid in "${STARTED[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${STARTED[@]}"; do wait "$pid" 2>/dev/null || true; done
    [ "$code" = 0 ] || for log in "$STAGE"/*.log; do [ ! -s "$log" ] || { echo "--- $log" >&2; tail -20 "$log" >&2; }; done
    rm -rf "$STAGE"
    exit "$code"
}
trap take_down EXIT
trap 'exit 130' INT TERM

fail() { echo "this went another way than it should: $*" >&2; exit 1; }
say() { printf '\n# %s\n' "$*"; }

# start NAME COMMAND...: runs it in the background, and waits for its line with addresses.
start() {
    local name=$1 turn
    shift
    : >"$STAGE/$name.out"
    "$@" >"$STAGE/$name.out" 2>"$STAGE/$name.log" </dev/null &
    STARTED+=($!)
    for ((turn = 0; turn < 600; turn++)); do
        grep -q '^{.*}$' "$STAGE/$name.out" && return
        kill -0 "${STARTED[-1]}" 2>/dev/null || fail "$name ended at its start"
        sleep 0.05
    done
    fail "$name did not start within 30 s"
}

# address_of NAME SIDE: where a side of something started listens.
address_of() { sed -n "s/.*\"$2\":\[\"\([^\"]*\)\".*/\1/p" "$STAGE/$1.out"; }

# sample_api VARIABLE [OPTION...]: the sample Conference API; the variable gets its address.
sample_api() {
    local variable=$1
    shift
    start "$variable" "$USHER" sample-api --listen 127.0.0.1:0 --print-addresses "$@"
    export "$variable=$(address_of "$variable" api)"
}

# gateway [OPTION...]: a gateway with an empty store in memory, unless an option says otherwise.
gateway() {
    local store=(--store memory)
    [[ " $* " != *" --store "* ]] || store=()
    start gateway "$USHER" serve "${store[@]}" --data "$STAGE/data" --print-addresses --proxy-listen 127.0.0.1:0 \
        --admin-listen 127.0.0.1:0 --chat-listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 "$@"
    GATEWAY=$(address_of gateway proxy)
    USHER_ADMIN_URL=http://$(address_of gateway admin)
    # `usher chat` and `usher mcp` speak with the chat side.
    USHER_URL=http://$(address_of gateway chat)
    METRICS=$(address_of gateway metrics)
    TLS=$(address_of gateway tls)
    STREAM=$(address_of gateway stream)
    export GATEWAY USHER_ADMIN_URL USHER_URL METRICS TLS STREAM
}

# expect STATUS CURL-ARGUMENT...: asks, shows what came, and ends the script if it is another status.
# The answer stays in $ANSWER, its head in $HEAD.
expect() {
    local wanted=$1 status shown
    shift
    status=$(curl -sS --max-time 20 -D "$STAGE/head" -o "$STAGE/body" -w '%{http_code}' "$@") || fail "curl $*"
    HEAD=$(tr -d '\r\0' <"$STAGE/head")
    ANSWER=$(tr -d '\0' <"$STAGE/body" 2>/dev/null || true)
    printf -v shown ' %q' "$@"
    printf '$ curl%s\n  %s  %s\n' "$shown" "$status" "$(head -c 200 <<<"$ANSWER" | tr '\n' ' ')"
    [ "$status" = "$wanted" ] || fail "$status instead of $wanted: $ANSWER"
}

# contains TEXT: the last answer, or its head, has this text.
contains() { grep -qiF -- "$1" <<<"$HEAD$ANSWER" || fail "there is no $1 in: $HEAD $ANSWER"; }
