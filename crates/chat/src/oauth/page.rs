//! The two pages of it, without a script: the question to a person, and what is said where nothing can be sent back.
//!
//! Nothing on them is believed of the client: what it says of itself is shown as a claim, beside what can't be claimed, which is where the answer goes.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use usher_model::change::Role;

use super::client::Client;
use super::redirect::origin;
use crate::tools::clean;

const STYLE: &str = "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#16213a;background:#fff}\
code{background:#eef1f8;border-radius:4px;padding:.1em .3em;overflow-wrap:anywhere}label{display:block;margin:.7em 0}\
input[type=text],input[type=password]{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.4em}\
button{font:inherit;padding:.5em 1.2em;margin:.5em .5em 0 0}.warn{border-left:4px solid #b3261e;padding-left:.8em}\
@media(prefers-color-scheme:dark){body{background:#10162a;color:#e4e9f7}code{background:#1f2946}}</style>";

/// What a person is asked.
pub(super) struct Question<'a> {
    pub(super) client: &'a Client,
    pub(super) redirect: &'a str,
    /// The most that the client asks for.
    pub(super) role: Role,
    /// The sealed request, which comes back with the answer.
    pub(super) sealed: &'a str,
    /// What the provider is called that people may log in by, where there is one.
    pub(super) provider: Option<&'a str>,
    /// What went wrong with the last try.
    pub(super) wrong: Option<&'a str>,
}

/// The question, as a form.
pub(super) fn question(question: &Question<'_>) -> Response {
    let Question { client, redirect, role, sealed, provider, wrong } = question;
    let (name, to) = (escaped(&client.name), escaped(&clean(&where_to(redirect), 200)));
    let vouched = match &client.vouched_by {
        Some(host) => format!("<p>Its description lies at <code>{}</code>.</p>", escaped(&clean(host, 200))),
        None => "<p class=\"warn\">It chose its name itself, and nobody vouches for it: go on only if you have just started this.</p>".to_owned(),
    };
    let wrong = wrong
        .map(|wrong| format!("<p class=\"warn\" role=\"alert\">{}</p>", escaped(wrong)))
        .unwrap_or_default();
    let choice = if *role == Role::Viewer {
        "<p>It may <b>look</b>: routes, traffic, history, with secrets masked. It can change nothing.</p>\
<input type=\"hidden\" name=\"role\" value=\"viewer\">"
    } else {
        "<label><input type=\"radio\" name=\"role\" value=\"chat\" checked> It may <b>look, plan and apply</b>. What is dangerous needs \
a person's yes each time, and every change can be undone.</label>\
<label><input type=\"radio\" name=\"role\" value=\"viewer\"> It may only <b>look</b>.</label>"
    };
    let by_provider = provider
        .map(|called| {
            let called = escaped(&clean(called, 64));
            format!(
                "<p><button name=\"answer\" value=\"provider\">Log in with {called} and allow</button></p><p>Or with a password of this gateway's own:</p>"
            )
        })
        .unwrap_or_default();
    let until = if provider.is_some() {
        " One that was let in by way of the provider ends with what the settings call a session, and then asks anew."
    } else {
        ""
    };
    let content = format!(
        "<h1>Let {name} in?</h1><p>A program that calls itself <b>{name}</b> asks to work with this API gateway in your name.</p>{vouched}\
<p>The answer goes to <code>{to}</code>.</p>{wrong}<form method=\"post\" action=\"/oauth/authorize\" autocomplete=\"off\">\
<input type=\"hidden\" name=\"request\" value=\"{}\">{choice}{by_provider}\
<label>User of the console<input type=\"text\" name=\"user\" autocomplete=\"username\" maxlength=\"64\"></label>\
<label>Password<input type=\"password\" name=\"password\" autocomplete=\"current-password\" maxlength=\"256\"></label>\
<button name=\"answer\" value=\"allow\">Sign in and allow</button><button name=\"answer\" value=\"deny\" formnovalidate>Deny</button></form>\
<p>The token is listed by <code>usher token list</code>, and ended by <code>usher token revoke</code>, by another password of yours, and by itself \
when it isn't used for 30 days.{until}</p>",
        escaped(sealed),
    );
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::FORBIDDEN };
    page(status, "Let a program in?", &content, Some(&origin(redirect)))
}

/// Sends a person to the provider. A form's own redirects would have to be named in the policy, every one of a provider's hosts; a page that goes on by itself
/// hasn't.
pub(super) fn leaving(provider: &str, to: &str) -> Response {
    let (provider, to) = (escaped(&clean(provider, 64)), escaped(to));
    let content = format!(
        "<h1>To {provider}</h1><p>It says who you are; then the program is let in.</p><p><a href=\"{to}\">Go on to {provider}</a></p>\
<meta http-equiv=\"refresh\" content=\"0;url={to}\">"
    );
    page(StatusCode::OK, "On your way", &content, None)
}

/// What went wrong where the client can't be told.
pub(super) fn refused(status: StatusCode, why: &str) -> Response {
    let content = format!(
        "<h1>This can't be asked</h1><p class=\"warn\">{}</p><p>Nothing was given to anybody. Start again from the program that sent you here.</p>",
        escaped(&clean(why, 600)),
    );
    page(status, "This can't be asked", &content, None)
}

/// What a person sees of an address: all of it but the query.
fn where_to(redirect: &str) -> String {
    redirect.split('?').next().unwrap_or_default().to_owned()
}

fn page(status: StatusCode, title: &str, content: &str, form_to: Option<&str>) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>{title} - Usher</title>{STYLE}</head><body>{content}</body></html>"
    );
    let form_to = form_to.map(|to| format!("'self' {to}")).unwrap_or_else(|| "'none'".to_owned());
    // A browser follows the answer to a form only where the page's policy lets forms go.
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action {form_to}"
    );
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_str(&policy)
                .unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
        ),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    (status, headers, html).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use usher_model::change::Role;

    use super::{Question, question};
    use crate::oauth::client::Client;

    #[tokio::test]
    async fn what_a_client_says_of_itself_stays_text() {
        let client = Client {
            id: "x".to_owned(),
            name: "<script>alert(1)</script>\"'".to_owned(),
            redirects: Vec::new(),
            vouched_by: None,
        };
        let page = question(&Question {
            client: &client,
            redirect: "http://127.0.0.1:9/cb?secret=1",
            role: Role::Chat,
            sealed: "s\"><b>",
            provider: None,
            wrong: None,
        });
        let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.ends_with("form-action 'self' http://127.0.0.1:9"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("script-src"), "{policy}");
        let html = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
        let html = String::from_utf8(html.to_vec()).unwrap();
        assert!(!html.contains("<script") && !html.contains("<b>\"") && !html.contains("secret=1"), "{html}");
        assert!(html.contains("&lt;script&gt;") && html.contains("nobody vouches"), "{html}");
    }
}
