//! `serverless-pre-function` runs functions written in Luau before the other plugins of its phase.
//!
//! Example: `{"phase": "access", "functions": ["return function(conf, ctx) if ctx.var.arg_key ~= 'open' then return 403, {message = 'say open'} end end"]}`

use usher_pipeline::env::Env;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;

use crate::serverless::{Config, Functions, phases};

/// `serverless-pre-function`.
pub(crate) static PLUGIN: Spec = Spec::of::<PreFunction>();

struct PreFunction(Functions);

impl Plugin for PreFunction {
    const NAME: &'static str = "serverless-pre-function";
    const PRIORITY: i32 = 10000;
    const PHASES: Phases<Self> = phases!();
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        Functions::build(Self::NAME, config, env).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_pipeline::harness::{Harness, harness, try_harness};
    use usher_pipeline::reply::Reply;

    use super::PLUGIN;

    fn bench(phase: &str, body: &str) -> Harness {
        let source = format!("return function(conf, ctx)\n{body}\nend");
        harness(&PLUGIN, json!({ "phase": phase, "functions": [source] }))
    }

    #[test]
    fn a_function_answers_with_what_it_returns_says_or_exits_with() {
        for (body, status, text) in [
            ("return 403, {message = 'no'}", 403, "{\"message\":\"no\"}\n"),
            ("return 401, 'bare'", 401, "bare"),
            ("return nil, 'only a body'", 200, "only a body"),
            ("ngx.exit(429)", 429, ""),
            ("ngx.say('a', 1, true) ngx.exit(200)", 200, "a1true\n"),
            ("ngx.status = 418 ngx.print('tea') ngx.exit(ngx.HTTP_OK)", 418, "tea"),
            ("ngx.say('said')", 200, "said\n"),
            (
                "require('apisix.core').response.exit(502, {error_msg = 'down'})",
                502,
                "{\"error_msg\":\"down\"}\n",
            ),
            ("pcall(function() ngx.exit(403) end) ngx.say('never')", 403, ""),
            ("ngx.exit(ngx.OK)", 200, "ok"),
            ("return", 200, "ok"),
        ] {
            let outcome = bench("access", body).get("/x");
            assert_eq!((outcome.status(), outcome.text()), (status, text), "{body}");
        }
        let outcome = bench("rewrite", "ngx.redirect('/there', 301)").get("/x");
        assert_eq!((outcome.status(), outcome.field("location")), (301, Some("/there")));
    }

    #[test]
    fn what_functions_say_adds_up_until_one_exits_or_returns() {
        for (functions, status, text) in [
            (&["ngx.say('a') ngx.print('b')", "ngx.say('c')"][..], 200, "a\nbc\n"),
            (&["ngx.say('a') ngx.exit(200)", "ngx.say('never')"], 200, "a\n"),
            (&["ngx.say('a') return 200", "ngx.say('never')"], 200, "a\n"),
            (&["ngx.status = 201", "ngx.say('made')"], 201, "made\n"),
            (&["ngx.status = 418 ngx.say('a')", "return nil, 'b'"], 418, "a\nb"),
            (&["ngx.say('a') return false", "ngx.print('b')"], 200, "a\nb"),
            (&["ngx.say('a')", "return 'b'"], 200, "a\nb"),
            (&["ngx.print('')", "return"], 200, ""),
            (&["ngx.say('a')", "local x = nil; return x.y"], 500, ""),
        ] {
            let sources: Vec<_> =
                functions.iter().map(|body| format!("return function(conf, ctx) {body} end")).collect();
            let outcome = harness(&PLUGIN, json!({ "phase": "access", "functions": sources })).get("/x");
            assert_eq!((outcome.status(), outcome.text()), (status, text), "{functions:?}");
        }
    }

    #[test]
    fn a_function_changes_what_the_upstream_gets() {
        let body = "
            local core = require('apisix.core')
            ngx.req.set_header('X-New', 'a')
            core.request.set_header(ctx, 'X-Second', 'b')
            core.request.add_header(ctx, 'X-Second', 'c')
            ngx.req.clear_header('X-Old')
            ctx.var.upstream_host = 'other.test'
            ngx.req.set_uri('/changed')
            ngx.req.set_uri_args({ b = 2, a = 'x y' })
            ngx.req.set_method(ngx.HTTP_PUT)
            ngx.req.read_body()
            local data = core.json.decode(ngx.req.get_body_data())
            data.seen = true
            ngx.req.set_body_data(core.json.encode(data))";
        let outcome = bench("rewrite", body).send("POST", "/x?q=1", &[("X-Old", "1")], r#"{"n":1}"#);
        let seen = outcome.seen();
        assert_eq!((seen.head.method(), seen.target.as_str()), ("PUT", "/changed?a=x%20y&b=2"));
        assert_eq!(seen.head.get_str("x-new"), Some("a"));
        assert_eq!(seen.head.get_all("x-second").collect::<Vec<_>>(), [b"b", b"c"]);
        assert!(!seen.head.contains("x-old"));
        assert_eq!(seen.head.get_str("host"), Some("other.test"));
        let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(body, json!({ "n": 1, "seen": true }));
    }

    #[test]
    fn headers_of_the_answer_may_be_set_in_every_phase_before_it_is_sent() {
        let outcome =
            bench("access", "ngx.header['X-Early'] = 'a' ngx.header.content_type = 'text/x'").get("/");
        assert_eq!((outcome.field("x-early"), outcome.field("content-type")), (Some("a"), Some("text/x")));
        let body = "ngx.header.X_Late = { 'a', 'b' } ngx.status = 202
            require('apisix.core').response.set_header('X-Core', ngx.header['content-type'])";
        let outcome = bench("header_filter", body).get("/");
        assert_eq!(
            (outcome.status(), outcome.field("x-late"), outcome.field("x-core")),
            (202, Some("a"), Some("text/plain"))
        );
    }

    #[test]
    fn a_body_passes_piece_by_piece_or_held_back() {
        let outcome = bench(
            "body_filter",
            "ngx.arg[1] = string.upper(ngx.arg[1]) if ngx.arg[2] then ngx.arg[1] = '!' end",
        )
        .get("/");
        assert_eq!(outcome.text(), "OK!");
        let body = "local body = require('apisix.core').response.hold_body_chunk(ctx)
            if body then ngx.arg[1] = '[' .. body .. '] ' .. ctx.var.uri .. ' ' .. ngx.status end";
        assert_eq!(bench("body_filter", body).get("/p").text(), "[ok] /p 200");
    }

    #[test]
    fn what_a_function_leaves_in_the_context_is_there_in_its_later_phases() {
        let mut bench = bench(
            "access",
            "ctx.count = (ctx.count or 0) + 1 ngx.ctx.same = ctx.count return 200, tostring(ctx.count)",
        );
        for _ in 0..2 {
            assert_eq!(bench.get("/").text(), "1");
        }
    }

    #[test]
    fn a_function_knows_the_pattern_that_was_matched_and_the_node_that_answered() {
        let say = "return 200, ngx.ctx.api_ctx.curr_req_matched._path .. (ctx.var.service_id or ' alone')";
        assert_eq!(bench("access", say).get("/x").text(), "/* alone");
        let say = "ngx.header['X-Node'] = tostring(ctx.balancer_ip) .. ':' .. tostring(ctx.balancer_port)";
        let mut bench = bench("header_filter", say).upstream(|exchange| {
            exchange.upstream.address = Some("10.1.0.1:80".parse().unwrap());
            Reply::new(204)
        });
        let outcome = bench.get("/x");
        assert_eq!(outcome.field("x-node"), Some("10.1.0.1:80"));
    }

    #[test]
    fn a_function_that_fails_or_does_not_end_is_answered_500() {
        for body in [
            "local x = nil; return x.y",
            "while true do end",
            "error('mine')",
            "local t = {} while true do t[#t + 1] = string.rep('x', 1000) end",
        ] {
            assert_eq!(bench("access", body).get("/").status(), 500, "{body}");
        }
        assert_eq!(bench("access", "return 200, 'still here'").get("/").text(), "still here");
    }

    #[test]
    fn a_body_that_is_too_large_is_not_read() {
        let mut bench = bench("access", "return 200, tostring(#require('apisix.core').request.get_body())");
        assert_eq!(bench.send("POST", "/", &[], vec![b'x'; 1 << 20]).text(), "1048576");
        assert_eq!(bench.send("POST", "/", &[], vec![b'x'; (1 << 20) + 1]).status(), 413);
    }

    #[test]
    fn a_source_that_is_no_function_is_refused_with_its_line() {
        for (source, said) in [
            ("return 1", "only accept Lua function, the input code type is number"),
            ("return function(conf, ctx)\n  local 1x = 2\nend", "failed to loadstring: functions[0]:2: "),
            ("error('at load')", "failed to loadstring: functions[0]:1: at load"),
            ("while true do end", "ran longer than 50 ms and was stopped"),
        ] {
            let refused = try_harness(&PLUGIN, json!({ "functions": [source] })).err().unwrap().message;
            assert!(refused.contains(said), "{source}: {refused}");
        }
    }
}
