//! Scripts at their boundary: what they may do, what they can't, and what they are told when they fail.

use std::time::Instant;

use serde_json::Value;

use crate::{Options, Script, ScriptError, TIME, condition};

const OPTIONS: Options<'static> =
    Options { host: "a.test", uri: "/x", method: "GET", remote_addr: "10.0.0.1" };

fn holds(source: &str) -> Result<bool, ScriptError> {
    let variables: &[(&str, &str)] = &[("arg_v", "1"), ("uri", "/x")];
    struct Fixed<'a>(&'a [(&'a str, &'a str)]);
    impl usher_model::variables::Variables for Fixed<'_> {
        fn variable(&self, name: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes().into())
        }
    }
    let script = Script::condition("filter_func", source)?;
    condition(&script, &Fixed(variables), OPTIONS)
}

/// No variables at all.
struct Nothing;

impl usher_model::variables::Variables for Nothing {
    fn variable(&self, _: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
        None
    }
}

/// A condition with this body.
fn body(text: &str) -> Result<bool, ScriptError> {
    holds(&format!("function(vars, opts) {text} end"))
}

#[test]
fn conditions_see_variables_and_what_is_asked_for() {
    for (text, wanted) in [
        ("return vars.arg_v == '1'", true),
        ("return vars['arg_v'] == '2'", false),
        ("return vars.arg_none == nil", true),
        ("return opts.host == 'a.test' and opts.method == 'GET' and opts.remote_addr == '10.0.0.1'", true),
        ("return opts.vars.uri == '/x' and ngx.var.uri == vars.uri", true),
        ("return 0", true),
        ("return", false),
        ("return false", false),
    ] {
        assert_eq!(body(text), Ok(wanted), "{text}");
    }
}

#[test]
fn the_surface_does_what_openresty_does() {
    for text in [
        "return ngx.md5('a') == '0cc175b9c0f1b6a831c399e269772661'",
        "return #ngx.sha1_bin('a') == 20 and #ngx.hmac_sha1('k', 'a') == 20",
        "return ngx.crc32_long('123456789') == 3421780262",
        "return ngx.encode_base64('a?b') == 'YT9i' and ngx.decode_base64('YT9i') == 'a?b' and ngx.decode_base64('!') == nil",
        "return ngx.encode_base64('a', true) == 'YQ' and ngx.decode_base64('YQ==') == 'a'",
        "return ngx.escape_uri('a b/é') == 'a%20b%2F%C3%A9' and ngx.unescape_uri('a+b%2f%zz') == 'a b/%zz'",
        "return ngx.encode_args({a = {1, 'x y'}, b = true, c = false}) == 'a=1&a=x%20y&b'",
        "local t = ngx.decode_args('a=1&a=2&b&c=') return t.a[2] == '2' and t.b == true and t.c == ''",
        "local m = ngx.re.match('id=42;', [[id=(?<n>\\d+)]], 'jo') return m[0] == 'id=42' and m[1] == '42' and m.n == '42'",
        "return ngx.re.match('abc', 'x') == nil",
        "local from, to = ngx.re.find('xxAB', 'ab', 'i') return from == 3 and to == 4",
        "local s, n = ngx.re.gsub('a1b22', '[0-9]+', '<$0>') return s == 'a<1>b<22>' and n == 2",
        "local s, n = ngx.re.sub('a1b2', '([0-9])', function(m) return m[1] .. m[1] end) return s == 'a11b2' and n == 1",
        "local s, n = ngx.re.gsub('abc', '', '-') return s == '-a-b-c-' and n == 4",
        "local all = {} for m in ngx.re.gmatch('a1b2', '[a-z]([0-9])') do all[#all + 1] = m[1] end return table.concat(all) == '12'",
        "return ngx.http_time(784111777) == 'Sun, 06 Nov 1994 08:49:37 GMT' and ngx.parse_http_time('Sun, 06 Nov 1994 08:49:37 GMT') == 784111777",
        "return ngx.now() > 1700000000 and ngx.time() == math.floor(ngx.time())",
        "return ngx.HTTP_FORBIDDEN == 403 and ngx.HTTP_GET == 2 and ngx.ERR == 4 and ngx.null ~= nil",
        "return ngx.quote_sql_str(\"a'b\") == \"'a\\\\'b'\"",
        "local j = require('cjson.safe') local t = j.decode('{\"a\":[1,2.5,null],\"b\":{}}') return t.a[1] == 1 and t.a[3] == j.null and j.encode(t.a) == '[1,2.5,null]'",
        "local j = require('cjson.safe') local v, e = j.decode('{') return v == nil and type(e) == 'string'",
        "local core = require('apisix.core') return core.json.encode({}) == '{}' and core.json.encode(core.json.decode('[]')) == '[]'",
        "local ok = pcall(require('cjson').decode, '{') return not ok",
        "local j = require('apisix.core').json return select('#', j.encode({})) == 1 and select('#', j.decode('1')) == 1",
        "local core = require('apisix.core') return core.string.has_prefix('abc', 'ab') and core.string.find('a.c', '.') == 2 and core.table.nkeys({a=1,b=2}) == 2",
        "local core = require('apisix.core') local t = core.table.deepcopy({a={1}}) return t.a[1] == 1 and core.table.array_find({'x','y'}, 'y') == 2",
        "local bit = require('bit') return bit.band(0xff, 0x0f) == 15 and bit.bnot(0) == -1 and bit.tohex(255) == '000000ff' and bit.lshift(1, 31) == -2147483648",
        "return bit.bxor(5, 1) == 4 and unpack({7}) == 7 and table.nkeys({1}) == 1",
        "local n = 0 for i, v in ipairs({1,2,3}) do n = n + v end return n == 6 and #string.format('%5d', 1) == 5",
        "return ngx.get_phase() == 'access' and ngx.worker.pid() > 0",
        "local sha = require('resty.sha256'):new() sha:update('abc') return require('resty.string').to_hex(sha:final()):sub(1, 8) == 'ba7816bf'",
    ] {
        assert_eq!(body(text), Ok(true), "{text}");
    }
}

#[test]
fn nothing_outside_the_machine_can_be_reached() {
    for name in [
        "io",
        "loadstring",
        "load",
        "dofile",
        "loadfile",
        "getfenv",
        "setfenv",
        "debug",
        "package",
        "collectgarbage",
        "newproxy",
        "os.execute",
        "os.getenv",
        "os.remove",
        "os.exit",
        "string.dump",
        "jit",
        "ffi",
    ] {
        assert_eq!(body(&format!("return {name} == nil")), Ok(true), "{name}");
    }
    for (text, said) in [
        ("return require('os')", "module 'os' is not available"),
        ("return require('resty.http')", "module 'resty.http' is not available"),
        ("ngx.sleep(1)", "ngx.sleep is not available in scripts of Usher"),
        ("return ngx.shared.x", "ngx.shared is not available"),
        ("ngx.say('x')", "ngx.say is not available in a filter_func"),
        ("ngx.exit(200)", "ngx.exit is not available in a filter_func"),
        ("ngx.null = 1", "attempt to modify a readonly table"),
        ("ngx.mine = 1", "ngx.mine can't be set"),
        ("string.upper = nil", "attempt to modify a readonly table"),
        ("table.insert = nil", "attempt to modify a readonly table"),
        ("rawset(ngx, 'now', nil)", "attempt to modify a readonly table"),
        ("require('apisix.core').log = nil", "attempt to modify a readonly table"),
        ("getmetatable('').__index = nil", "attempt to modify a readonly table"),
        ("setmetatable(ngx, {})", "cannot change a protected metatable"),
    ] {
        let error = body(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn an_error_names_line_and_reason() {
    for (source, said) in [
        (
            "function(vars)\n  local a = nil\n  return a.b\nend",
            "filter_func:3: attempt to index nil with 'b'",
        ),
        ("function(vars)\n  error('mine')\nend", "filter_func:2: mine"),
        ("function(vars)\n  error({ code = 1 })\nend", "{\"code\":1}"),
        ("function(vars)\n  ngx.re.match('a', '(')\nend", "filter_func:2: the pattern \"(\" can't be used"),
        ("function(vars)\n  return ngx.sleep(1)\nend", "filter_func:2: ngx.sleep is not available"),
    ] {
        let error = holds(source).unwrap_err();
        assert!(matches!(&error, ScriptError::Failed(_)), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
    }
    for (source, said) in [
        ("function(vars)\n  goto here\nend", "filter_func:2: "),
        ("function(vars) return", "filter_func:1: "),
    ] {
        let error = holds(source).unwrap_err();
        assert!(matches!(&error, ScriptError::Syntax(_)) && error.to_string().contains(said), "{error:?}");
    }
    assert_eq!(holds("1").unwrap_err(), ScriptError::NoFunction("number".to_owned()));
    let long = format!("function() return '{}' end", "x".repeat(crate::SOURCE));
    assert!(matches!(Script::condition("x", &long), Err(ScriptError::TooLong(_))));
}

#[test]
fn what_does_not_end_is_stopped() {
    for text in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local co = coroutine.wrap(function() while true do end end) co()",
        "xpcall(function() while true do end end, function() while true do end end) while true do end",
        "string.find(string.rep('a', 100000), string.rep('a*', 50) .. 'b')",
        "for i = 1, 1e9 do table.move({}, 1, 1000000, 1) end",
        "repeat local s = string.rep('a', 1000000) until false",
        "table.sort({1,2,3}, function() while true do end end)",
        "string.gsub('aaa', 'a', function() while true do end end)",
        "ngx.re.gsub(string.rep('a', 100000), 'a', function() local n = 0 for i = 1, 1000 do n = n + i end return n end)",
    ] {
        let began = Instant::now();
        let error = body(text).unwrap_err();
        assert!(matches!(error, ScriptError::TimedOut(_) | ScriptError::Memory), "{text}: {error}");
        // Generous: other tests share the cores.
        assert!(began.elapsed() < TIME * 40, "{text}: {:?}", began.elapsed());
    }
    let deep = body("local function f() return f() end return f()").unwrap_err();
    assert!(deep.to_string().contains("stack overflow"), "{deep}");
    assert_eq!(body("return true"), Ok(true));
}

#[test]
fn memory_is_bounded_and_comes_back() {
    for text in [
        "local t = {} while true do t[#t + 1] = string.rep('x', 100000) .. #t end",
        "local s = 'x' while true do s = s .. s end",
        "return string.rep('x', 1000000000)",
        "return table.create(1000000000, 1)",
        "return buffer.create(1000000000)",
    ] {
        let error = body(text).unwrap_err();
        assert!(
            matches!(error, ScriptError::Memory | ScriptError::TimedOut(_) | ScriptError::Failed(_)),
            "{text}: {error:?}"
        );
    }
    assert_eq!(body("return true"), Ok(true));
    // What a script keeps for itself can't fill the machine for the others either.
    let leak = Script::condition("leak", "(function() local kept = {} return function() for i = 1, 1000 do kept[#kept + 1] = string.rep('y', 1000) .. #kept end return true end end)()").unwrap();
    let mut full = 0;
    for _ in 0..300 {
        match condition(&leak, &Nothing, OPTIONS) {
            Ok(true) => {}
            Ok(false) => panic!("it returns true"),
            Err(_) => full += 1,
        }
        assert_eq!(body("return true"), Ok(true));
    }
    assert!(full >= 1, "it never became full");
}

#[test]
fn scripts_do_not_share_globals() {
    let first = Script::condition("first", "function() counter = (counter or 0) + 1 return counter == 1 end")
        .unwrap();
    assert_eq!(condition(&first, &Nothing, OPTIONS), Ok(true));
    assert_eq!(condition(&first, &Nothing, OPTIONS), Ok(false));
    assert_eq!(body("return counter == nil"), Ok(true));
}

#[test]
fn a_script_is_one_for_all_threads() {
    let script = std::sync::Arc::new(
        Script::function("f", "return function(conf) return conf.a == 1 end", serde_json::json!({ "a": 1 }))
            .unwrap(),
    );
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let script = std::sync::Arc::clone(&script);
            std::thread::spawn(move || assert!(!script.reads_body()))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_ne!(script.conf, Value::Null);
}
