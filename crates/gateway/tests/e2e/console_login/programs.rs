//! People of the provider let programs in at the chat side's page of consent: away to the provider and back, as themselves and as nobody else.

use serde_json::Value;
use usher_model::jose::algorithm::Algorithm;

use super::browser::start;
use super::provider::{Mood, Provider, values};
use crate::oauth::{asked, form, held, redeemed, register, renewed, sent_back, tools, value};
use crate::support::{Answer, KEY, Usher, request};

/// A browser that said yes: the cookies of the way back, and where the provider sends it.
struct Away {
    cookies: String,
    back: String,
}

/// Says yes on the page, and goes to the provider as this person.
fn goes(usher: &Usher, provider: &Provider, client: &str, person: &str, role: &str) -> Away {
    let page = asked(usher, client, &[]);
    assert!(page.text().contains("Log in with Conference ID and allow"), "{}", page.text());
    let (sealed, cookie) = held(&page);
    let pairs = [("request", sealed.as_str()), ("role", role), ("answer", "provider")];
    let leaving = form(usher.address("chat"), "/oauth/authorize", &[("Cookie", &cookie)], &pairs);
    assert_eq!(leaving.status, 200, "{}", leaving.text());
    let text = leaving.text();
    let to = text.split("href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    assert!(to.starts_with(&provider.issuer()), "{to}");
    let (_, query) = to.split_once('?').unwrap();
    let sent = request(provider.address, "GET", &format!("/realm/login?{query}&person={person}"), &[], b"");
    let back = sent.field("location").unwrap().to_owned();
    let (address, query) = back.split_once('?').unwrap();
    assert_eq!(address, format!("http://{}/oauth/back", usher.address("chat")));
    Away { cookies: cookies(&leaving).join("; "), back: query.to_owned() }
}

/// The cookies that an answer sets, each as the browser sends it back.
fn cookies(answer: &Answer) -> Vec<String> {
    let lines = answer.head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    let each = lines.map(|line| {
        let (pair, attributes) = line.split_once(';').unwrap();
        assert!(
            attributes.contains("Path=/oauth/back") && attributes.contains("HttpOnly; SameSite=Lax"),
            "{line}"
        );
        pair.to_owned()
    });
    each.collect()
}

/// As a browser comes back: from another site's page.
fn comes_back(usher: &Usher, back: &str, cookies: &str) -> Answer {
    let fields = [("Cookie", cookies), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")];
    request(usher.address("chat"), "GET", &format!("/oauth/back?{back}"), &fields, b"")
}

fn with_oauth(provider: &Provider) -> Usher {
    start(provider, "chat: {oauth: true}\n")
}

fn listed(usher: &Usher) -> Value {
    request(usher.address("admin"), "GET", "/usher/v1/tokens", &[("X-API-KEY", KEY)], b"").json()["tokens"]
        .clone()
}

#[test]
fn whoever_has_no_password_lets_a_program_in_by_way_of_the_provider() {
    let provider = Provider::start(Algorithm::Es256);
    let usher = with_oauth(&provider);
    let client = register(usher.address("chat"));
    for (person, name, asks, gets) in [
        ("ann", "oidc:ann@conf.test", "chat", "chat"),
        ("ed", "oidc:ed@conf.test", "viewer", "viewer"),
        // A viewer gives no more than they may themselves.
        ("vi", "oidc-sub:3", "chat", "viewer"),
    ] {
        let away = goes(&usher, &provider, &client, person, asks);
        let answer = comes_back(&usher, &away.back, &away.cookies);
        assert!(cookies(&answer).iter().all(|pair| pair.ends_with('=')), "{}", answer.head);
        let back = sent_back(&answer);
        assert_eq!(value(&back, "state"), "a state & more");
        let token = redeemed(&usher, &client, value(&back, "code"), &[]);
        assert_eq!((token.status, token.json()["scope"].as_str()), (200, Some(gets)), "{}", token.text());
        let token = token.json();
        assert!(token["expires_in"].as_u64().unwrap() <= 3600, "{token}");
        assert!(tools(&usher, token["access_token"].as_str().unwrap()).unwrap() > 5, "{person}");
        let tokens = listed(&usher);
        let own = tokens.as_array().unwrap().iter().find(|one| one["created_by"] == name);
        let own = own.unwrap_or_else(|| panic!("{name} is not in {tokens}"));
        // It lasts as long as the provider's word is taken, and no renewal changes that.
        let lasts = |token: &Value| token["expires_unix_ms"].as_u64().unwrap();
        let (made, ends) = (own["created_unix_ms"].as_u64().unwrap(), lasts(own));
        assert!(ends - made <= 3_600_000, "{own}");
        let again = renewed(&usher, &client, token["refresh_token"].as_str().unwrap());
        assert_eq!(again.status, 200, "{}", again.text());
        let tokens = listed(&usher);
        assert_eq!(
            tokens.as_array().unwrap().iter().find(|one| one["id"] == own["id"]).map(lasts),
            Some(ends)
        );
    }
}

#[test]
fn a_way_back_that_is_not_the_browsers_own_gives_nothing() {
    let provider = Provider::start(Algorithm::Es256);
    let usher = with_oauth(&provider);
    let client = register(usher.address("chat"));
    let (mine, theirs) =
        (goes(&usher, &provider, &client, "ann", "chat"), goes(&usher, &provider, &client, "ed", "chat"));
    let pick = |away: &Away, name: &str| {
        away.cookies.split("; ").find(|pair| pair.starts_with(name)).unwrap().to_owned()
    };
    // What was begun by one browser and agreed to by another belongs to neither.
    let mixed = format!("{}; {}", pick(&mine, "usher_consent_agreed"), pick(&theirs, "usher_consent_login"));
    let code = values(&mine.back)["code"].clone();
    let state = values(&mine.back)["state"].clone();
    let nobody = goes(&usher, &provider, &client, "nobody", "chat");
    for (what, back, cookies, wanted) in [
        ("no cookie", mine.back.as_str(), "", "began no such log-in"),
        ("another's cookies", &mine.back, &theirs.cookies, "began no such log-in"),
        ("mixed cookies", &mine.back, &mixed, "isn&#39;t the one that this browser began"),
        ("no state", &format!("code={code}"), &mine.cookies, "began no such log-in"),
        (
            "another issuer",
            &format!("code={code}&state={state}&iss=http://evil.test"),
            &mine.cookies,
            "from another provider",
        ),
        ("used", &mine.back, &mine.cookies, "was ended before"),
        ("no rule", &nobody.back, &nobody.cookies, "no rule gives a role"),
    ] {
        let answer = comes_back(&usher, back, cookies);
        assert!(matches!(answer.status, 400 | 403), "{what}: {} {}", answer.status, answer.text());
        assert!(answer.text().contains(wanted), "{what}: {}", answer.text());
        assert!(answer.field("location").is_none(), "{what}");
    }
    assert_eq!(listed(&usher), Value::Array(Vec::new()));
    // A form of a page of somebody else's begins nothing, and neither does one without its cookie.
    let (sealed, cookie) = held(&asked(&usher, &client, &[]));
    let pairs = [("request", sealed.as_str()), ("role", "chat"), ("answer", "provider")];
    let chat = usher.address("chat");
    for fields in [&[("Cookie", cookie.as_str()), ("Origin", "http://evil.test")][..], &[]] {
        let refused = form(chat, "/oauth/authorize", fields, &pairs);
        assert!(matches!(refused.status, 400 | 403), "{}", refused.text());
    }
    provider.state().mood = Mood::Away;
    let usher = with_oauth(&provider);
    let client = register(usher.address("chat"));
    let (sealed, cookie) = held(&asked(&usher, &client, &[]));
    let pairs = [("request", sealed.as_str()), ("role", "chat"), ("answer", "provider")];
    let away = form(usher.address("chat"), "/oauth/authorize", &[("Cookie", &cookie)], &pairs);
    assert!(
        away.status == 502 && away.text().contains("Conference ID can&#39;t be asked"),
        "{}",
        away.text()
    );
}
