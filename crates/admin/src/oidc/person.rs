//! Who somebody is and what that one may do, by the claims that a provider vouches for and the rules of the settings.

use serde_json::{Map, Value};
use usher_model::change::Role;
use usher_model::invisible::is_invisible;

use super::{OidcSettings, PREFIX, SUBJECT_PREFIX, Trouble};

/// Characters of a name.
const LONGEST: usize = 200;

/// Somebody whom a provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// As history and audit show it, with what shows where it comes from.
    pub(crate) name: String,
    /// By the rules.
    pub(crate) role: Role,
}

impl Person {
    /// By claims that were verified.
    ///
    /// # Errors
    /// There is no name, or no role.
    pub(super) fn of(settings: &OidcSettings, claims: &Map<String, Value>) -> Result<Self, Trouble> {
        let name = name(settings.user_claim.as_deref(), claims)?;
        let given = settings.role_claim.as_deref().and_then(|claim| find(claims, claim));
        let values: Vec<&str> = match given {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one],
            _ => Vec::new(),
        };
        let by_rule = settings.roles.iter().filter(|(value, _)| values.contains(&value.as_str()));
        let role = by_rule.map(|(_, role)| *role).max().or(settings.default_role);
        match role {
            Some(role) => Ok(Self { name, role }),
            None => Err(Trouble::NoRole { name }),
        }
    }
}

/// Whether the rules are about a claim that isn't there.
pub(super) fn lacks(settings: &OidcSettings, claims: &Map<String, Value>) -> bool {
    let user = settings.user_claim.as_deref().unwrap_or("email");
    [Some(user), settings.role_claim.as_deref()]
        .into_iter()
        .flatten()
        .any(|claim| find(claims, claim).is_none())
}

/// The name, by the claim that the settings say; or an address that the provider has verified, or its own identifier.
fn name(claim: Option<&str>, claims: &Map<String, Value>) -> Result<String, Trouble> {
    let text = |claim: &str| find(claims, claim).and_then(Value::as_str);
    let verified = || claims.get("email_verified") == Some(&Value::Bool(true));
    let (prefix, found) = match claim {
        Some("sub") => (SUBJECT_PREFIX, text("sub")),
        // Whoever may write any address into an account would be whoever they like.
        Some("email") if text("email").is_some() && !verified() => {
            return Err(Trouble::Nameless("it has not verified the email address".to_owned()));
        }
        Some(claim) => (PREFIX, text(claim)),
        None => match text("email").filter(|_| verified()) {
            Some(email) => (PREFIX, Some(email)),
            None => (SUBJECT_PREFIX, text("sub")),
        },
    };
    let found = found.map(str::trim).filter(|name| !name.is_empty());
    let Some(found) = found else {
        return Err(Trouble::Nameless(format!("the claim {} is missing", claim.unwrap_or("sub"))));
    };
    if found.chars().count() > LONGEST || found.chars().any(is_invisible) {
        let claim = claim.unwrap_or("sub or email");
        return Err(Trouble::Nameless(format!(
            "the claim {claim} has more than {LONGEST} characters, or some that can't be seen"
        )));
    }
    Ok(format!("{prefix}{found}"))
}

/// A claim by its name, or by the way into an object.
fn find<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    claims.get(path).or_else(|| {
        let (first, rest) = path.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, step| value.get(step))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use usher_model::change::Role;

    use super::{OidcSettings, Person};

    fn settings(user: Option<&str>, role: Option<&str>, default_role: Option<Role>) -> OidcSettings {
        OidcSettings {
            name: "Example".to_owned(),
            issuer: "https://idp.test".to_owned(),
            client_id: "usher".to_owned(),
            scopes: vec!["openid".to_owned()],
            user_claim: user.map(str::to_owned),
            role_claim: role.map(str::to_owned),
            roles: vec![
                ("ops".to_owned(), Role::Admin),
                ("dev".to_owned(), Role::Editor),
                ("staff".to_owned(), Role::Viewer),
            ],
            default_role,
            session: Duration::from_secs(3600),
            ca_file: None,
            timeout: Duration::from_secs(10),
        }
    }

    fn person(settings: &OidcSettings, claims: Value) -> Result<(String, Role), String> {
        let found = Person::of(settings, claims.as_object().unwrap());
        found.map(|person| (person.name, person.role)).map_err(|trouble| trouble.to_string())
    }

    #[test]
    fn a_person_is_called_by_a_verified_address_or_by_the_providers_own_name() {
        let any = Some(Role::Viewer);
        for (claim, claims, wanted) in [
            (None, json!({ "sub": "7", "email": "ann@a.test", "email_verified": true }), "oidc:ann@a.test"),
            (None, json!({ "sub": "7", "email": "ann@a.test", "email_verified": false }), "oidc-sub:7"),
            (None, json!({ "sub": "7", "email": "ann@a.test", "email_verified": "true" }), "oidc-sub:7"),
            (None, json!({ "sub": "7", "email": "ann@a.test" }), "oidc-sub:7"),
            (Some("preferred_username"), json!({ "sub": "7", "preferred_username": " ann " }), "oidc:ann"),
            (Some("a.b"), json!({ "sub": "7", "a": { "b": "ann" } }), "oidc:ann"),
            (Some("sub"), json!({ "sub": "ann@a.test" }), "oidc-sub:ann@a.test"),
        ] {
            let found = person(&settings(claim, None, any), claims.clone());
            assert_eq!(found, Ok((wanted.to_owned(), Role::Viewer)), "{claim:?} {claims}");
        }
        for (claim, claims) in [
            (Some("email"), json!({ "sub": "7", "email": "ann@a.test" })),
            (Some("preferred_username"), json!({ "sub": "7" })),
            (Some("preferred_username"), json!({ "sub": "7", "preferred_username": "" })),
            (Some("preferred_username"), json!({ "sub": "7", "preferred_username": "a\u{202e}b" })),
            (Some("preferred_username"), json!({ "sub": "7", "preferred_username": "a".repeat(201) })),
            (Some("preferred_username"), json!({ "sub": "7", "preferred_username": ["ann"] })),
        ] {
            assert!(person(&settings(claim, None, any), claims.clone()).is_err(), "{claim:?} {claims}");
        }
    }

    #[test]
    fn the_rules_give_the_role_with_most_power_and_refuse_whom_they_don_t_know() {
        for (claim, default, claims, wanted) in [
            ("groups", None, json!({ "groups": ["staff", "ops"] }), Some(Role::Admin)),
            ("groups", None, json!({ "groups": "dev" }), Some(Role::Editor)),
            ("groups", Some(Role::Viewer), json!({ "groups": ["dev"] }), Some(Role::Editor)),
            ("groups", Some(Role::Viewer), json!({ "groups": ["Ops", "ops "] }), Some(Role::Viewer)),
            ("groups", None, json!({ "groups": ["Ops"] }), None),
            ("groups", None, json!({ "groups": "ops,dev" }), None),
            ("groups", None, json!({ "groups": { "ops": true } }), None),
            ("groups", None, json!({ "groups": [["ops"]] }), None),
            ("groups", None, json!({}), None),
            ("realm_access.roles", None, json!({ "realm_access": { "roles": ["dev"] } }), Some(Role::Editor)),
            ("https://a.test/roles", None, json!({ "https://a.test/roles": ["dev"] }), Some(Role::Editor)),
        ] {
            let mut all = claims.clone();
            all["sub"] = json!("7");
            let found = person(&settings(None, Some(claim), default), all).ok().map(|(_, role)| role);
            assert_eq!(found, wanted, "{claim} {claims}");
        }
    }
}
