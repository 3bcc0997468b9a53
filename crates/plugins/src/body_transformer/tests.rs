//! What clients and upstreams see of `body-transformer`.
#![cfg(test)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use usher_pipeline::harness::{harness, try_harness};
use usher_pipeline::reply::Reply;

use super::PLUGIN;

#[test]
fn requests_become_what_the_template_says() {
    let xml = "<w:GetWeather xmlns:w=\"urn:w\"><w:city id=\"7\">Bonn &amp; more</w:city></w:GetWeather>";
    let form = "--b\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n5\r\n--b--\r\n";
    for (written, method, target, kind, sent, wanted) in [
        (
            json!({ "input_format": "xml", "template": "{\"city\":{*_escape_json(GetWeather.city[1])*},\"id\":\"{{GetWeather.city._attr.id}}\"}" }),
            "POST",
            "/",
            "text/xml",
            xml,
            "{\"city\":\"Bonn & more\",\"id\":\"7\"}",
        ),
        (
            json!({ "template": "<a>{*_escape_xml(name)*}</a><u>{{_ctx.var.uri}}</u>" }),
            "POST",
            "/there",
            "application/json; charset=utf-8",
            r#"{"name": "x<y"}"#,
            "<a>x&lt;y</a><u>&#47;there</u>",
        ),
        (
            json!({ "template": "{{a}}-{{b[2]}}" }),
            "PUT",
            "/",
            "application/x-www-form-urlencoded",
            "a=1&b=2&b=3",
            "1-3",
        ),
        (
            json!({ "template": "{{a}}", "input_format": "json" }),
            "GET",
            "/?a=query",
            "text/plain",
            "",
            "query",
        ),
        (json!({ "template": "{{n}}" }), "POST", "/", "multipart/form-data; boundary=b", form, "5"),
        (
            json!({ "input_format": "plain", "template": "[{*_body*}]" }),
            "POST",
            "/",
            "text/plain",
            "{{raw}}",
            "[{{raw}}]",
        ),
        (json!({ "template": "[{*_body*}]" }), "POST", "/", "text/plain", "raw", "[raw]"),
        (
            json!({ "input_format": "json", "template": STANDARD.encode("<{{a}}>") }),
            "POST",
            "/",
            "text/plain",
            r#"{"a": 1}"#,
            "<1>",
        ),
        (
            json!({ "input_format": "encoded", "template": STANDARD.encode("<{{a}}>"), "template_is_base64": true }),
            "POST",
            "/",
            "text/plain",
            "a=1",
            "<1>",
        ),
        (
            json!({ "input_format": "encoded", "template": STANDARD.encode("x") }),
            "POST",
            "/",
            "text/plain",
            "a=1",
            "eA==",
        ),
        (
            json!({ "input_format": "json", "template": "empty {{a}}." }),
            "POST",
            "/",
            "text/plain",
            "",
            "empty .",
        ),
    ] {
        let outcome = harness(&PLUGIN, json!({ "request": written })).send(
            method,
            target,
            &[("Content-Type", kind)],
            sent,
        );
        assert_eq!(
            std::str::from_utf8(&outcome.expect_status(200).seen().body).unwrap(),
            wanted,
            "{written}"
        );
    }
}

#[test]
fn what_can_not_be_read_or_written_is_answered_with_why() {
    for (written, sent, status, said) in [
        (json!({ "input_format": "json", "template": "x" }), "{", 400, "request body decode: "),
        (
            json!({ "input_format": "json", "template": "x" }),
            "5",
            400,
            "request body decode: it is neither an object nor a list",
        ),
        (json!({ "input_format": "xml", "template": "x" }), "<a>", 400, "request body decode: "),
        (
            json!({ "input_format": "multipart", "template": "x" }),
            "a",
            400,
            "request body decode: its content type has no boundary",
        ),
        (
            json!({ "input_format": "json", "template": "{{a.b.c}}" }),
            "{}",
            503,
            "request template rendering: ",
        ),
        (
            json!({ "input_format": "json", "template": "{% while true do end %}" }),
            "{}",
            503,
            "request template rendering: ",
        ),
    ] {
        let outcome = harness(&PLUGIN, json!({ "request": written })).send("POST", "/", &[], sent);
        assert!(outcome.expect_status(status).upstream.is_none(), "{written}");
        let body: Value = serde_json::from_str(outcome.text()).unwrap();
        assert!(body["message"].as_str().unwrap().starts_with(said), "{body}");
    }
    let small = json!({ "request": { "template": "x" }, "max_req_body_size": 3 });
    harness(&PLUGIN, small).send("POST", "/", &[], "four").expect_status(413);
}

#[test]
fn answers_become_what_the_template_says() {
    let body = json!({ "response": { "template": "<temp>{{temp}}</temp><p>{{_ctx.var.uri}}</p>", "input_format": "json" } });
    let mut bench = harness(&PLUGIN, body).upstream(|_| {
        Reply::text(200, "application/json", r#"{"temp": 21.5}"#)
            .with("Content-Length", "14")
            .with("ETag", "\"1\"")
    });
    let outcome = bench.get("/p");
    assert_eq!(outcome.expect_status(200).text(), "<temp>21.5</temp><p>&#47;p</p>");
    assert_eq!((outcome.field("content-length"), outcome.field("etag")), (None, None));
    let both = json!({ "request": { "template": "x", "input_format": "json" }, "response": { "template": "x", "input_format": "xml" } });
    let outcome = harness(&PLUGIN, both).send("POST", "/", &[], "{");
    assert!(outcome.expect_status(400).text().contains("request body decode"), "a refusal stays what it is");
    let coded = json!({ "response": { "template": "x" } });
    let mut bench = harness(&PLUGIN, coded)
        .upstream(|_| Reply::text(200, "application/json", "coded").with("Content-Encoding", "gzip"));
    bench.get("/").expect_status(502);
}

#[test]
fn refuses_bodies_that_can_not_work() {
    for (body, sentence) in [
        (json!({}), "object matches none of the required"),
        (json!({ "request": {} }), "property \"template\" is required"),
        (
            json!({ "request": { "template": "x", "input_format": "yaml" } }),
            "matches none of the enum values",
        ),
        (json!({ "request": { "template": "{{ 1 + }}" } }), "request template compile: template:1: "),
        (
            json!({ "response": { "template": "{(other)}" } }),
            "response template compile: template:1: {( includes another template",
        ),
        (
            json!({ "request": { "template": STANDARD.encode("{% if %}"), "template_is_base64": true } }),
            "request template compile: ",
        ),
        (
            json!({ "request": { "template": "x" }, "max_req_body_size": 0 }),
            "property \"max_req_body_size\" validation failed",
        ),
    ] {
        let error = try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
        assert!(error.message.contains(sentence), "{body}: {error}");
    }
}
