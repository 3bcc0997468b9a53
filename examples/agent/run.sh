#!/usr/bin/env bash
# What an agent does over MCP: look, plan, apply, try; and what it may not do by itself.
. "$(dirname "$0")/../stage.sh"

sample_api API
gateway
usher apply -f config.yaml --yes

# An agent starts `usher mcp` and speaks with it in lines of JSON.
coproc AGENT { "$USHER" mcp 2>"$STAGE/mcp.log"; }
STARTED+=("$AGENT_PID")
NUMBER=0
send() { printf '%s\n' "$1" >&"${AGENT[1]}"; }
# ask METHOD PARAMS: the answer stays in $SAID.
ask() {
    NUMBER=$((NUMBER + 1))
    send "{\"jsonrpc\":\"2.0\",\"id\":$NUMBER,\"method\":\"$1\",\"params\":$2}"
    while IFS= read -r -t 20 SAID <&"${AGENT[0]}"; do
        case $SAID in *"\"id\":$NUMBER"[,}]*) return ;; esac
    done
    fail "$1 was not answered"
}
tool() {
    ask tools/call "{\"name\":\"$1\",\"arguments\":$2}"
    printf '> %s %s\n%s\n' "$1" "$2" "$(head -c 400 <<<"$SAID")"
}
said() { grep -qF -- "$1" <<<"$SAID" || fail "there is no $1 in: $SAID"; }

say "The session begins"
ask initialize '{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"example","version":"1"}}'
send '{"jsonrpc":"2.0","method":"notifications/initialized"}'
ask tools/list '{}'
said gateway_plan

say "A plan: nothing has changed yet"
tool gateway_plan '{"intent":"put the speakers behind the gateway","changes":[{"op":"create","kind":"route","id":"speaker","body_json":"{\"uri\":\"/speaker/*\",\"upstream_id\":\"conference\"}"}]}'
PLAN=$(grep -o '"plan_id":"[^"]*"' <<<"$SAID" | head -1 | cut -d'"' -f4)
[ -n "$PLAN" ] || fail "the plan has no id: $SAID"
expect 404 "http://$GATEWAY/speaker/1"

say "Applied, it is in force"
tool gateway_apply "{\"plan_id\":\"$PLAN\"}"
expect 200 "http://$GATEWAY/speaker/1"

say "Deleting is of high risk: it needs a person, and this client has no way to ask one"
tool gateway_plan '{"intent":"clean up","changes":[{"op":"delete","kind":"route","id":"speaker"}]}'
PLAN=$(grep -o '"plan_id":"[^"]*"' <<<"$SAID" | head -1 | cut -d'"' -f4)
tool gateway_apply "{\"plan_id\":\"$PLAN\"}"
said '"isError":true'
expect 200 "http://$GATEWAY/speaker/1"

say "All of it is in the history, with its author"
usher history -n 5
