//! The manifest of ChatGPT's plugins of 2023, within its limits: 50 characters for the name that models see, 20 for the one that people see, 8,000 and 100
//! for the descriptions.

use serde_json::{Value, json};

use super::{Auth, Wish, short};

/// The manifest of an API that is reached at `base`; `None` where its callers show a key in a header of their own.
pub(super) fn manifest(document: &Value, auth: &Auth, wish: &Wish, base: &str) -> Option<Value> {
    let auth = match auth {
        Auth::None => json!({ "type": "none" }),
        Auth::Bearer(tokens) => {
            json!({ "type": "service_http", "authorization_type": "bearer", "verification_tokens": tokens })
        }
        Auth::Key(_) => return None,
    };
    let at = |place: &str| document.pointer(place).and_then(Value::as_str).filter(|text| !text.is_empty());
    let address =
        |place: &str| at(place).filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    let title = at("/info/title").unwrap_or("API");
    let about = at("/info/description").or_else(|| at("/info/summary")).unwrap_or(title);
    let first_line = about.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or(title);
    let own = |given: &Option<String>, found: Option<&str>| given.as_deref().or(found).map(str::to_owned);
    let legal =
        own(&wish.legal_info_url, address("/info/termsOfService").or_else(|| address("/info/license/url")));
    let logo = own(&wish.logo_url, address("/info/x-logo/url"));
    let contact = own(&wish.contact_email, at("/info/contact/email"));
    Some(json!({
        "schema_version": "v1",
        "name_for_model": name_for_model(title),
        "name_for_human": short(title, 20),
        "description_for_model": short(about, 8_000),
        "description_for_human": short(first_line, 100),
        "auth": auth,
        "api": { "type": "openapi", "url": format!("{base}/openapi.yaml"), "is_user_authenticated": false },
        "logo_url": logo.unwrap_or_else(|| format!("{base}/logo.png")),
        // Whoever runs the gateway, where the document names nobody.
        "contact_email": contact.unwrap_or_else(|| "operator@localhost".to_owned()),
        "legal_info_url": legal.unwrap_or_else(|| format!("{base}/openapi.json")),
    }))
}

/// Letters, digits and underscores.
fn name_for_model(title: &str) -> String {
    let name = crate::openapi::slug(title, 50).unwrap_or_else(|| "api".to_owned());
    name.replace('-', "_")
}
