//! `console`: where people open the web console, and the provider that they may log in with.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use usher_admin::oidc::{OidcSettings, PREFIX, SUBJECT_PREFIX, is_on_loopback};
use usher_model::change::Role;

use super::Settings;
use super::kept::Kept;
use super::read::{Document, address, only_members, texts};

/// Everything that the section may hold.
const MEMBERS: &[&str] = &["public_url", "hosts", "oidc"];
const OIDC: &[&str] = &[
    "name",
    "issuer",
    "client_id",
    "client_secret",
    "client_secret_file",
    "scopes",
    "user_claim",
    "role_claim",
    "roles",
    "default_role",
    "session_minutes",
    "ca_file",
    "timeout_secs",
];
/// How long a session lasts, in minutes: by default, and within which bounds.
const USUAL_SESSION: u64 = 60;
const SESSIONS: std::ops::RangeInclusive<u64> = 5..=720;
/// How long one answer of the provider may take, in seconds, likewise.
const USUAL_TIMEOUT: u64 = 10;
const TIMEOUTS: std::ops::RangeInclusive<u64> = 1..=60;
/// Rules that give a role.
const MOST_RULES: usize = 1000;

/// The console's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Console {
    /// Where people open it; needed where that isn't this machine and a provider is named.
    pub(crate) public_url: Option<String>,
    /// Further names under which it is served on the Admin port, each with or without a port.
    pub(crate) hosts: Vec<String>,
    /// The provider that people may log in with.
    pub(crate) oidc: Option<(OidcSettings, Kept)>,
}

/// Reads the section.
///
/// # Errors
/// The setting, its value and what is allowed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    let Some(section) = file.at("console").filter(|section| !section.is_null()) else { return Ok(()) };
    only_members("console", section, MEMBERS)?;
    let url = file.text("console.public_url")?;
    settings.console.public_url = url.map(public_url).transpose()?;
    if let Some(hosts) = file.at("console.hosts").filter(|hosts| !hosts.is_null()) {
        settings.console.hosts = texts("console.hosts", hosts)?
            .into_iter()
            .map(|text| host_name(text.trim()))
            .collect::<Result<_, _>>()?;
    }
    let Some(oidc) = file.at("console.oidc").filter(|section| !section.is_null()) else { return Ok(()) };
    only_members("console.oidc", oidc, OIDC)?;
    let mut names = settings.admin_keys.iter().map(|key| key.name.as_str());
    if let Some(name) = names.find(|name| name.starts_with(PREFIX) || name.starts_with(SUBJECT_PREFIX)) {
        return Err(format!(
            "deployment.admin.admin_key: {name} is how people are called who log in by console.oidc; give the key another name"
        ));
    }
    settings.console.oidc = Some(read_oidc(file)?);
    Ok(())
}

/// A host as a browser names it; a pattern would let a name in that somebody else points at us.
fn host_name(text: &str) -> Result<String, String> {
    let is_host = text.parse::<http::uri::Authority>().is_ok_and(|host| !host.host().is_empty());
    if is_host && !text.contains(['@', '*']) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!(
        "console.hosts: {text} is no host; write a name such as gateway.example.com, or gateway.example.com:9180"
    ))
}

/// Where people open the console: it lies at `/ui/` there and nowhere else.
fn public_url(text: &str) -> Result<String, String> {
    let url = address("console.public_url", text)?;
    match url.split_once("://") {
        Some((_, authority)) if authority.contains(['/', '@', '#']) => Err(format!(
            "console.public_url: {text} has more than a scheme, a host and a port; the console is at /ui/ below it"
        )),
        _ => Ok(url),
    }
}

fn read_oidc(file: &Document<'_>) -> Result<(OidcSettings, Kept), String> {
    let optional = |member: &str| {
        let text = file.text(&format!("console.oidc.{member}"))?.map(str::trim);
        Ok::<_, String>(text.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let needed = |member: &str, example: &str| {
        optional(member)?.ok_or_else(|| format!("console.oidc.{member} is missing; {example}"))
    };
    let bounded = |member: &str, usual: u64, bounds: std::ops::RangeInclusive<u64>| {
        let name = format!("console.oidc.{member}");
        let number = file.whole(&name)?.unwrap_or(usual);
        if bounds.contains(&number) {
            return Ok(number);
        }
        Err(format!("{name}: {number} is out of range; write {} to {}", bounds.start(), bounds.end()))
    };
    let issuer =
        issuer(needed("issuer", "write the provider's own name, such as https://login.example.com")?)?;
    let scopes = scopes(file.at("console.oidc.scopes"))?;
    let role_claim = optional("role_claim")?;
    let roles = roles(file.at("console.oidc.roles"))?;
    if role_claim.is_some() == roles.is_empty() {
        return Err("console.oidc.role_claim and console.oidc.roles belong together: the claim, such as groups, and for each role the values of it \
                    that give it, such as {admin: [gateway-admins]}"
            .to_owned());
    }
    let default_role =
        optional("default_role")?.map(|word| role("console.oidc.default_role", &word)).transpose()?;
    if roles.is_empty() && default_role.is_none() {
        return Err("console.oidc lets nobody in: give role_claim and roles, or default_role".to_owned());
    }
    let secret = Kept::read(file, "console.oidc.client_secret")?.ok_or_else(|| {
        "console.oidc.client_secret is missing; write $env://NAME for a variable of the environment, or name a file with it as client_secret_file"
            .to_owned()
    })?;
    let settings = OidcSettings {
        name: match optional("name")? {
            Some(name) if name.chars().count() > 40 => {
                return Err(format!("console.oidc.name: {name} has more than 40 characters"));
            }
            Some(name) => name,
            None => host(&issuer).to_owned(),
        },
        client_id: needed("client_id", "write what Usher is called at the provider")?,
        scopes,
        user_claim: optional("user_claim")?,
        role_claim,
        roles,
        default_role,
        session: Duration::from_secs(60 * bounded("session_minutes", USUAL_SESSION, SESSIONS)?),
        ca_file: optional("ca_file")?.map(PathBuf::from),
        timeout: Duration::from_secs(bounded("timeout_secs", USUAL_TIMEOUT, TIMEOUTS)?),
        issuer,
    };
    Ok((settings, secret))
}

/// The issuer, where it can be one: everything hangs on who answers there.
fn issuer(text: String) -> Result<String, String> {
    const NAME: &str = "console.oidc.issuer";
    let url: Option<http::Uri> = text.parse().ok();
    let host = url.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let is_local = is_on_loopback(&text);
    let scheme = url.as_ref().and_then(http::Uri::scheme_str);
    let is_plain = !text.contains(['?', '#', '@']) && !host.is_empty();
    match scheme {
        Some("https") if is_plain => Ok(text),
        Some("http") if is_plain && is_local => Ok(text),
        Some("http") if is_plain => Err(format!(
            "{NAME}: {text} is spoken to in clear, and whoever is in between could be anybody there; write https:// (http:// is for loopback alone)"
        )),
        _ => Err(format!("{NAME}: {text} can't be used; write https://, a host, and a path if there is one")),
    }
}

fn host(issuer: &str) -> &str {
    let authority = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    authority.split('/').next().unwrap_or(authority)
}

/// What is asked for: a list, or one text with blanks between.
fn scopes(value: Option<&Value>) -> Result<Vec<String>, String> {
    const NAME: &str = "console.oidc.scopes";
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(["openid", "profile", "email"].map(str::to_owned).to_vec());
    };
    let given = texts(NAME, value)?;
    let all: Vec<String> = given.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
    if all.iter().any(|scope| scope == "openid") {
        return Ok(all);
    }
    Err(format!(
        "{NAME}: {} is without openid, which is what makes a provider say who somebody is; add it",
        all.join(" ")
    ))
}

/// Which values give which role.
fn roles(value: Option<&Value>) -> Result<Vec<(String, Role)>, String> {
    const NAME: &str = "console.oidc.roles";
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let Value::Object(members) = value else {
        return Err(format!(
            "{NAME}: write roles with the values that give them, such as {{admin: [gateway-admins]}}"
        ));
    };
    let mut rules = Vec::new();
    for (word, values) in members {
        let role = role(NAME, word)?;
        rules.extend(texts(&format!("{NAME}.{word}"), values)?.into_iter().map(|value| (value, role)));
    }
    if rules.len() > MOST_RULES {
        return Err(format!("{NAME}: {} values; {MOST_RULES} are the most", rules.len()));
    }
    Ok(rules)
}

fn role(name: &str, word: &str) -> Result<Role, String> {
    match word {
        "viewer" => Ok(Role::Viewer),
        "editor" => Ok(Role::Editor),
        "admin" => Ok(Role::Admin),
        other => Err(format!("{name}: {other} is not a role; write viewer, editor or admin")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use usher_model::change::Role;

    use super::super::read::parsed;

    const LEAST: &str = "issuer: https://login.example.com/realms/a, client_id: usher, client_secret: s3cret";

    #[test]
    fn a_provider_has_its_defaults() {
        let settings = parsed(&format!("console: {{oidc: {{{LEAST}, default_role: viewer}}}}")).unwrap();
        let (oidc, secret) = settings.console.oidc.unwrap();
        assert_eq!(oidc.name, "login.example.com");
        assert_eq!(oidc.scopes.join(" "), "openid profile email");
        assert_eq!((oidc.default_role, oidc.roles.len()), (Some(Role::Viewer), 0));
        assert_eq!((oidc.session, oidc.timeout), (Duration::from_secs(3600), Duration::from_secs(10)));
        assert_eq!(secret.secret().unwrap().expose(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
        let full = format!(
            "console: {{public_url: 'https://usher.example.com/', oidc: {{{LEAST}, name: Example, scopes: openid groups, role_claim: groups, \
             roles: {{admin: ops, editor: [dev, qa]}}, session_minutes: 30}}}}"
        );
        let console = parsed(&full).unwrap().console;
        assert_eq!(console.public_url.as_deref(), Some("https://usher.example.com"));
        let (oidc, _) = console.oidc.unwrap();
        assert_eq!(oidc.scopes, ["openid", "groups"]);
        let rules: Vec<(&str, Role)> =
            oidc.roles.iter().map(|(value, role)| (value.as_str(), *role)).collect();
        assert_eq!(rules, [("ops", Role::Admin), ("dev", Role::Editor), ("qa", Role::Editor)]);
    }

    #[test]
    fn what_would_let_in_the_wrong_people_is_refused() {
        for (members, wanted) in [
            ("issuer: https://a.test, client_id: u, client_secret: s", "console.oidc lets nobody in"),
            ("issuer: http://a.test, client_id: u, client_secret: s, default_role: viewer", "in clear"),
            (
                "issuer: 'http://127.0.0.1.a.test', client_id: u, client_secret: s, default_role: viewer",
                "in clear",
            ),
            (
                "issuer: a.test, client_id: u, client_secret: s, default_role: viewer",
                "console.oidc.issuer: a.test can't",
            ),
            (
                "issuer: 'https://a.test?x', client_id: u, client_secret: s, default_role: viewer",
                "can't be used",
            ),
            ("client_id: u, client_secret: s, default_role: viewer", "console.oidc.issuer is missing"),
            (
                "issuer: https://a.test, client_secret: s, default_role: viewer",
                "console.oidc.client_id is missing",
            ),
            (
                "issuer: https://a.test, client_id: u, default_role: viewer",
                "console.oidc.client_secret is missing",
            ),
            (
                "issuer: https://a.test, client_id: u, client_secret: s, client_secret_file: x, default_role: viewer",
                "and not both",
            ),
            (
                "issuer: https://a.test, client_id: u, client_secret: s, default_role: root",
                "viewer, editor or admin",
            ),
            ("issuer: https://a.test, client_id: u, client_secret: s, roles: {admin: x}", "belong together"),
            (
                "issuer: https://a.test, client_id: u, client_secret: s, role_claim: x, default_role: viewer",
                "belong together",
            ),
            (
                "issuer: https://a.test, client_id: u, client_secret: s, role_claim: x, roles: {boss: x}",
                "boss is not a role",
            ),
            (
                "issuer: https://a.test, client_id: u, client_secret: s, scopes: email, default_role: viewer",
                "without openid",
            ),
            (
                "issuer: https://a.test, client_id: u, client_secret: s, session_minutes: 1, default_role: viewer",
                "5 to 720",
            ),
            ("issuer: https://a.test, client_id: u, client_secret: s, isuer: x", "did you mean issuer?"),
        ] {
            let told = parsed(&format!("console: {{oidc: {{{members}}}}}")).unwrap_err();
            assert!(told.contains(wanted), "{members}: {told}");
        }
        for (members, wanted) in [
            ("client_secret: '$env://NO_SUCH_VARIABLE'", "the environment has no NO_SUCH_VARIABLE"),
            ("client_secret_file: nowhere", "could not read nowhere"),
        ] {
            let text = format!(
                "console: {{oidc: {{issuer: https://a.test, client_id: u, {members}, default_role: viewer}}}}"
            );
            let (_, secret) = parsed(&text).unwrap().console.oidc.unwrap();
            assert!(secret.secret().unwrap_err().contains(wanted), "{members}");
        }
        let key = "deployment: {admin: {admin_key: [{name: 'oidc:ann@a.test', key: abcdefghijklmnop}]}}";
        let told =
            parsed(&format!("{key}\nconsole: {{oidc: {{{LEAST}, default_role: viewer}}}}")).unwrap_err();
        assert!(told.contains("give the key another name"), "{told}");
        assert!(parsed("console: {public_url: 'https://x/ui'}").unwrap_err().contains("at /ui/ below it"));
        assert!(
            parsed("console: {public_url: 'ftp://x'}")
                .unwrap_err()
                .starts_with("console.public_url: ftp://x")
        );
    }
}
