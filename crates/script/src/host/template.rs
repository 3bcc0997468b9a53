//! Templates in the language of lua-resty-template, made scripts of once: texts with expressions (`{{x}}`, `{*x*}`) and code (`{% %}`) in them.
//!
//! Names in a template are what is always there (`_ctx`, `_body`, `_escape_xml`, `_escape_json`), then members of the data that it is rendered with,
//! then the language. What a template sets ends with its rendering: nothing goes from one request to another.

use std::fmt::Write as _;

use mlua::{Lua, LuaString, MultiValue, Result as LuaResult};
use serde_json::Value;
use usher_model::variables::Variables;

use super::{Host, name, unavailable, variable};
use crate::machine::{self, With};
use crate::script::{Script, ScriptError};

/// A template.
#[derive(Debug)]
pub struct Template {
    script: Script,
    variables: Vec<String>,
}

/// What stands in front of every template's own code. Its names begin with three underscores, so that none is a member's: code of a template sees
/// them all.
const PRELUDE: &str = r##"
local ___language, ___type, ___select, ___tostring, ___gsub = getmetatable(_G).__index, type, select, tostring, string.gsub
local ___null, ___encode, ___concat, ___setmetatable = ngx.null, require("apisix.core").json.encode, table.concat, setmetatable
local ___HTML = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;", ["/"] = "&#47;" }
local ___XML = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&apos;" }
local ___data, ___always = {}, {}
___setmetatable(_G, {
    __index = function(_, key)
        local found = ___always[key]
        if found == nil then found = ___data[key] end
        if found == nil then found = ___language[key] end
        return found
    end,
    __newindex = function(_, key, value) ___data[key] = value end,
})
local function ___plain(value)
    if ___type(value) == "function" then value = value() end
    if value == nil or value == ___null then return "" end
    return ___tostring(value)
end
local function ___html(value)
    return (___gsub(___plain(value), "[&<>\"'/]", ___HTML))
end
local function ___escape_xml(value)
    return (___gsub(___plain(value), "[&<>\"']", ___XML))
end
local function ___escape_json(value)
    return (___encode(value))
end
local function ___body(___put)"##;

/// What stands behind it.
const CODA: &str = r##" end
return function(given, vars, whole)
    ___data = given
    ___always = {
        _ctx = ___setmetatable({ var = vars }, { __index = vars }),
        _body = whole,
        _escape_xml = ___escape_xml,
        _escape_json = ___escape_json,
        context = given,
    }
    local out, count = {}, 0
    ___always.echo = function(...)
        for i = 1, ___select("#", ...) do count += 1 out[count] = ___tostring((___select(i, ...))) end
    end
    ___body(function(text) count += 1 out[count] = text end)
    ___data, ___always = {}, {}
    return ___concat(out)
end
"##;

impl Template {
    /// Reads a template; `name` stands in front of what is wrong with it.
    ///
    /// # Errors
    /// [`ScriptError`]: a tag that never ends or isn't known here, or code that is none.
    pub fn compile(name: &str, text: &str) -> Result<Self, ScriptError> {
        // On one line, so that the lines of what follows are the template's own.
        let mut source = PRELUDE.replace('\n', " ");
        translate(name, text, &mut source)?;
        source.push_str(CODA);
        let script = Script::function(name, &source, Value::Null)?;
        Ok(Self { script, variables: variables_in(text) })
    }

    /// The names of request variables that it seems to ask for, for whoever renders it when the request is out of reach.
    #[must_use]
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// The text for this data, which has to be an object or a list. `body` is what `_body` answers.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn render(
        &self,
        data: &Value,
        body: Option<&[u8]>,
        variables: &dyn Variables,
    ) -> Result<Vec<u8>, ScriptError> {
        let mut host = TemplateHost(variables);
        let (_, text): (bool, Option<LuaString>) =
            machine::call(&self.script, With::Data(data, body), &mut host)?;
        Ok(text.map(|text| text.as_bytes().to_vec()).unwrap_or_default())
    }
}

struct TemplateHost<'a>(&'a dyn Variables);

impl Host for TemplateHost<'_> {
    fn call(&mut self, lua: &Lua, what: &str, arguments: MultiValue) -> LuaResult<MultiValue> {
        match what {
            "var" => variable(lua, self.0, &name(lua, &arguments, 0)?),
            other => Err(unavailable(other, "a template")),
        }
    }
}

/// Writes a template as the body of a function that calls `put` for each piece of text.
fn translate(name: &str, text: &str, out: &mut String) -> Result<(), ScriptError> {
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, tag) = rest.split_at(at);
        let mark = tag.chars().nth(1).unwrap_or(' ');
        let end = match mark {
            '{' => "}}",
            '*' => "*}",
            '%' => "%}",
            '#' => "#}",
            '-' => "-}",
            '(' | '[' => {
                return Err(wrong(
                    name,
                    text,
                    tag,
                    &format!("{{{mark} includes another template, which there is none of"),
                ));
            }
            _ => {
                put(before, out);
                put("{", out);
                rest = tag.get(1..).unwrap_or_default();
                continue;
            }
        };
        // A backslash in front makes a text of a tag.
        if let Some(escaped) = before.strip_suffix('\\') {
            put(escaped, out);
            let (tag, behind) = tag.split_at(2);
            put(tag, out);
            rest = behind;
            continue;
        }
        put(before, out);
        let inside = tag.get(2..).unwrap_or_default();
        let Some((code, behind)) = inside.split_once(end) else {
            // As in lua-resty-template, what never ends is text.
            put(tag.get(..2).unwrap_or_default(), out);
            rest = inside;
            continue;
        };
        rest = behind;
        // Writing to a String can't fail.
        let _ = match mark {
            '{' => write!(out, "___put(___html({code})) "),
            '*' => write!(out, "___put(___plain({code})) "),
            // What follows must not become a part of a comment.
            '%' if code.contains("--") => writeln!(out, "{code}"),
            '%' => write!(out, "{code} "),
            '#' => write!(out, "{}", lines(code)),
            '-' if matches!(code.trim(), "raw" | "verbatim") => {
                let close = format!("{{-{code}-}}");
                let Some((raw, behind)) = rest.split_once(&close) else {
                    return Err(wrong(name, text, tag, &format!("{close} has no end")));
                };
                put(raw, out);
                rest = behind;
                Ok(())
            }
            _ => return Err(wrong(name, text, tag, "blocks belong to layouts, which there are none of")),
        };
        if matches!(mark, '%' | '#' | '-')
            && let Some(behind) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))
        {
            rest = behind;
            out.push('\n');
        }
    }
    put(rest, out);
    Ok(())
}

/// What is wrong, with the line of the template.
fn wrong(name: &str, text: &str, at: &str, why: &str) -> ScriptError {
    let line = text.get(..text.len() - at.len()).unwrap_or_default().matches('\n').count() + 1;
    ScriptError::Syntax(format!("{name}:{line}: {why}"))
}

/// A text as code that puts it.
fn put(text: &str, out: &mut String) {
    if text.is_empty() {
        return;
    }
    out.push_str("___put(\"");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric()
            || matches!(byte, b' ' | b'<' | b'>' | b'=' | b':' | b'/' | b',' | b'.')
        {
            out.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "\\{byte:03}");
        }
    }
    out.push_str("\") ");
    out.push_str(&lines(text));
}

/// As many ends of lines as a text has.
fn lines(text: &str) -> String {
    "\n".repeat(text.matches('\n').count())
}

/// The names behind `var.` and in `var["..."]`, and those of `_ctx` itself.
fn variables_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for start in ["var", "_ctx"] {
        for (at, _) in text.match_indices(start) {
            let behind = text.get(at + start.len()..).unwrap_or_default();
            let behind = [".", "[\"", "['"].iter().find_map(|mark| behind.strip_prefix(mark));
            let Some(behind) = behind else { continue };
            let name: String = behind
                .chars()
                .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
                .collect();
            if !name.is_empty() && !found.contains(&name) {
                found.push(name);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Template;
    use crate::ScriptError;

    const VARIABLES: &[(&str, &str)] = &[("uri", "/x"), ("arg_a", "1")];

    struct Table;

    impl usher_model::variables::Variables for Table {
        fn variable(&self, name: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
            usher_model::variables::Variables::variable(VARIABLES, name)
        }
    }

    fn rendered(text: &str, data: Value) -> Result<String, ScriptError> {
        let template = Template::compile("template", text)?;
        template.render(&data, Some(b"whole"), &Table).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn texts_expressions_and_code() {
        let data = json!({ "name": "<a & 'b'>", "n": 3, "list": [{ "x": 1 }, { "x": 2 }], "none": null, "yes": true,
            "type": "mine", "deep": { "a": { "b": "c" } } });
        for (text, wanted) in [
            ("plain \"text\" \\n { } {x}", "plain \"text\" \\n { } {x}"),
            ("{{name}}|{*name*}", "&lt;a &amp; &#39;b&#39;&gt;|<a & 'b'>"),
            ("{{n}} {{n + 0.5}} {{yes}} {{missing}}{{none}}{*missing*}", "3 3.5 true "),
            ("{{deep.a.b}} {{#list}} {{list[2].x}}", "c 2 2"),
            ("{% for i, one in ipairs(list) do %}\n{{i}}={{one.x}};{% end %}\n.", "1=1;2=2;."),
            ("{% if n > 2 then %}big{% else %}small{% end %}", "big"),
            ("{# nothing #}a{-raw-}{{name}}{-raw-}b\\{{c}}", "a{{name}}b{{c}}"),
            ("{{_ctx.var.uri}} {{_ctx.var[\"arg_a\"]}} {{_ctx.uri}} {*_body*}", "&#47;x 1 &#47;x whole"),
            (
                "{*_escape_xml(name)*} {*_escape_json(name)*} {*_escape_json(deep)*}",
                "&lt;a &amp; &apos;b&apos;&gt; \"<a & 'b'>\" {\"a\":{\"b\":\"c\"}}",
            ),
            (
                "{{context.type}} {% local t = 'own' %}{{t}} {{string.upper('x')}} {% echo(n, '-', n) %}",
                "mine own X 3-3",
            ),
            ("{{ open", "{{ open"),
            ("\u{e9}\0{{''}}\r\n", "\u{e9}\0\r\n"),
            ("{\"a\": \"{{n}}\", \"b\": {\"c\": {*n*}}}", "{\"a\": \"3\", \"b\": {\"c\": 3}}"),
        ] {
            assert_eq!(rendered(text, data.clone()).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn members_are_found_whatever_they_are_called() {
        let names = [
            "data", "body", "language", "html", "plain", "put", "null", "encode", "always", "type", "next",
            "select", "string", "table", "math", "pairs", "tostring", "error", "given", "vars", "whole",
            "out", "count",
        ];
        for name in names {
            let data = json!({ name: { "id": 7 } });
            assert_eq!(rendered(&format!("{{{{{name}.id}}}}"), data).unwrap(), "7", "{name}");
        }
        assert_eq!(rendered("{{type}} {*type*}", json!({ "type": "a/b" })).unwrap(), "a&#47;b a/b");
        assert_eq!(rendered("{{ string.upper(type(n)) }}", json!({ "n": 1 })).unwrap(), "NUMBER");
    }

    #[test]
    fn nothing_goes_from_one_rendering_to_the_next() {
        let template = Template::compile("t", "{{kept}}{% kept = given %}{{kept}}").unwrap();
        let render = |data| String::from_utf8(template.render(&data, None, &Table).unwrap()).unwrap();
        assert_eq!(render(json!({ "given": "secret" })), "secret");
        assert_eq!(render(json!({})), "");
    }

    #[test]
    fn what_the_data_says_does_not_stand_for_what_is_always_there() {
        let data =
            json!({ "_body": "forged", "_escape_json": "forged", "_ctx": { "var": { "uri": "forged" } } });
        assert_eq!(rendered("{*_body*}{*_escape_json(1)*}{*_ctx.var.uri*}", data).unwrap(), "whole1/x");
    }

    #[test]
    fn what_can_not_be_used_is_told_with_its_line() {
        for (text, said) in [
            ("a\n{(other)}", "t:2: {( includes another template"),
            ("{[other]}", "t:1: {[ includes another template"),
            ("a\n\n{-block-}x{-block-}", "t:3: blocks belong to layouts"),
            ("{-raw-}x", "t:1: {-raw-} has no end"),
            ("{% if x then %}", "t:"),
            ("\n{{ 1 + }}", "t:2: "),
        ] {
            let error = Template::compile("t", text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}: {error}");
        }
        for text in [
            "{% while true do end %}",
            "{{ missing.x }}",
            "{{ error('mine') }}",
            "{{ ngx.req.get_headers() }}",
        ] {
            assert!(rendered(text, json!({})).is_err(), "{text}");
        }
        assert!(
            rendered("{% local t = {} for i = 1, 1e8 do t[i] = string.rep('x', 1000) .. i end %}", json!({}))
                .is_err()
        );
        assert_eq!(rendered("still here", json!({})).unwrap(), "still here");
    }

    #[test]
    fn the_variables_that_it_asks_for_are_known() {
        let template = Template::compile(
            "t",
            "{{_ctx.var.uri}} {{_ctx.var['arg_a']}} {{_ctx.var[\"uri\"]}} {{_ctx.route_id}}",
        )
        .unwrap();
        assert_eq!(template.variables(), ["uri", "arg_a", "var", "route_id"]);
    }
}
