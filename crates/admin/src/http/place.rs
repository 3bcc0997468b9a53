//! What a path of the Admin API points at, and with which method.

use axum::http::Method;
use percent_encoding::percent_decode_str;
use usher_model::kind::Kind;

use super::target::Target;

/// What every path begins with.
pub(super) const BASE: &str = "/apisix/admin";

/// What a request wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// GET, and HEAD, which is GET without the body.
    Get,
    Put,
    Post,
    Patch,
    Delete,
}

impl Verb {
    /// The verb of a method that the Admin API knows.
    pub(super) fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::PUT => Some(Self::Put),
            Method::POST => Some(Self::Post),
            Method::PATCH => Some(Self::Patch),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }

    /// As messages spell it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a path points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The base path itself.
    Root,
    /// No path of the Admin API.
    Outside,
    /// `plugins/list`.
    PluginList,
    /// `plugins/reload`.
    PluginReload,
    /// `plugins/{name}` and `schema/plugins/{name}`.
    Plugin(Option<String>),
    /// `schema/{name}`, where `plugins` is a name too.
    Schema(Option<String>),
    /// `schema/validate/{collection}`.
    Validate(String),
    /// `configs`: the whole configuration as one document.
    Configs,
    /// `configs/validate`.
    ConfigsValidate,
    /// A collection or one of its resources.
    Resource(Target),
    /// A collection that doesn't exist or isn't served.
    Unsupported(String),
}

impl Place {
    /// What a path points at; `None` where it can't be decoded. Slashes at the end and double ones don't count.
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = decode(path)?;
        let path = path.as_str();
        let Some(rest) = path.strip_prefix(BASE) else { return Some(Self::Outside) };
        if !(rest.is_empty() || rest.starts_with('/')) {
            return Some(Self::Outside);
        }
        let names: Vec<&str> = rest.split('/').filter(|name| !name.is_empty()).collect();
        // Whoever is in front of us may have resolved these, so that a rule there judged another path.
        if names.iter().any(|name| matches!(*name, "." | "..")) {
            return Some(Self::Outside);
        }
        let first = |names: &[&str]| names.first().map(|name| (*name).to_owned());
        Some(match names.as_slice() {
            [] => Self::Root,
            ["plugins", "list"] => Self::PluginList,
            ["plugins", "reload"] => Self::PluginReload,
            ["schema", name @ "plugins"] => Self::Schema(Some((*name).to_owned())),
            ["plugins", rest @ ..] | ["schema", "plugins", rest @ ..] => Self::Plugin(first(rest)),
            ["schema", "validate", collection, ..] => Self::Validate((*collection).to_owned()),
            ["schema", rest @ ..] => Self::Schema(first(rest)),
            ["configs"] => Self::Configs,
            ["configs", "validate"] => Self::ConfigsValidate,
            ["consumers", consumer, "credentials", rest @ ..] => {
                Self::Resource(Target::new(Kind::Credential, Some(consumer), rest))
            }
            // The empty name between the slashes is a service's that was left out.
            ["services", "graphql_cost_decorations", rest @ ..] if names_nobody(path) => {
                Self::Resource(Target::new(Kind::CostDecoration, Some(""), rest))
            }
            ["services", service, "graphql_cost_decorations", rest @ ..] => {
                Self::Resource(Target::new(Kind::CostDecoration, Some(service), rest))
            }
            ["secrets", rest @ ..] => Self::Resource(Target::secret(rest)),
            [collection, rest @ ..] => match kind_of(collection) {
                Some(kind) => Self::Resource(Target::new(kind, None, rest)),
                None => Self::Unsupported((*collection).to_owned()),
            },
        })
    }
}

/// The kind of a collection in URIs. Credentials have none of their own.
fn kind_of(collection: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| !kind.is_below_another() && kind.collection() == collection)
}

/// Whether a path names a service with nothing, as in `/services//graphql_cost_decorations`.
fn names_nobody(path: &str) -> bool {
    path.contains("/services//")
}

/// A path without escapes; `None` where an escape is broken or the bytes are no text.
fn decode(path: &str) -> Option<String> {
    let whole = |escape: &str| escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !path.split('%').skip(1).all(whole) {
        return None;
    }
    percent_decode_str(path).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use usher_model::kind::Kind;

    use super::Place;
    use crate::http::target::Target;

    fn target(kind: Kind, parent: Option<&str>, id: Option<&str>, sub_path: &str) -> Place {
        Place::Resource(Target {
            kind,
            parent: parent.map(str::to_owned),
            id: id.map(str::to_owned),
            sub_path: sub_path.to_owned(),
        })
    }

    #[test]
    fn paths_point_where_they_say() {
        let text = str::to_owned;
        for (path, wanted) in [
            ("", Place::Root),
            ("/", Place::Root),
            ("x", Place::Outside),
            ("/routes", target(Kind::Route, None, None, "")),
            ("/routes/", target(Kind::Route, None, None, "")),
            ("//routes//1/", target(Kind::Route, None, Some("1"), "")),
            ("/routes/a%2Db", target(Kind::Route, None, Some("a-b"), "")),
            ("/routes/1%2Fplugins", target(Kind::Route, None, Some("1"), "plugins")),
            ("/routes/1/upstream/nodes/", target(Kind::Route, None, Some("1"), "upstream/nodes")),
            ("/routes/../services", Place::Outside),
            ("/routes/%2e%2E/services", Place::Outside),
            ("/consumers/jack", target(Kind::Consumer, None, Some("jack"), "")),
            ("/consumers/jack/credentials", target(Kind::Credential, Some("jack"), None, "")),
            ("/consumers/jack/credentials/c1", target(Kind::Credential, Some("jack"), Some("c1"), "")),
            ("/consumers/jack/other", target(Kind::Consumer, None, Some("jack"), "other")),
            ("/services/1/graphql_cost_decorations", target(Kind::CostDecoration, Some("1"), None, "")),
            (
                "/services/1/graphql_cost_decorations/2",
                target(Kind::CostDecoration, Some("1"), Some("2"), ""),
            ),
            ("/services//graphql_cost_decorations/2", target(Kind::CostDecoration, Some(""), Some("2"), "")),
            (
                "/services/graphql_cost_decorations",
                target(Kind::Service, None, Some("graphql_cost_decorations"), ""),
            ),
            ("/graphql_cost_decorations", Place::Unsupported(text("graphql_cost_decorations"))),
            ("/secrets", target(Kind::Secret, None, None, "")),
            ("/secrets/vault", target(Kind::Secret, Some("vault"), None, "")),
            ("/secrets/vault/1", target(Kind::Secret, Some("vault"), Some("vault/1"), "")),
            ("/secrets/vault/1/token", target(Kind::Secret, Some("vault"), Some("vault/1"), "token")),
            ("/ssls/1", target(Kind::Ssl, None, Some("1"), "")),
            ("/plugin_metadata/notes", target(Kind::PluginMetadata, None, Some("notes"), "")),
            ("/configs", Place::Configs),
            ("/configs/", Place::Configs),
            ("/configs/validate", Place::ConfigsValidate),
            ("/configs/other", Place::Unsupported(text("configs"))),
            ("/credentials/c1", Place::Unsupported(text("credentials"))),
            ("/routs", Place::Unsupported(text("routs"))),
            ("/plugins", Place::Plugin(None)),
            ("/plugins/list", Place::PluginList),
            ("/plugins/reload", Place::PluginReload),
            ("/plugins/cors", Place::Plugin(Some(text("cors")))),
            ("/schema/plugins/cors", Place::Plugin(Some(text("cors")))),
            ("/schema/plugins", Place::Schema(Some(text("plugins")))),
            ("/schema", Place::Schema(None)),
            ("/schema/route", Place::Schema(Some(text("route")))),
            ("/schema/validate", Place::Schema(Some(text("validate")))),
            ("/schema/validate/routes", Place::Validate(text("routes"))),
        ] {
            assert_eq!(Place::of(&format!("/apisix/admin{path}")), Some(wanted), "{path}");
        }
        assert_eq!(Place::of("/other"), Some(Place::Outside));
        for broken in
            ["/apisix/admin/routes/%", "/apisix/admin/routes/%2", "/apisix/admin/%zz", "/apisix/admin/%ff"]
        {
            assert_eq!(Place::of(broken), None, "{broken}");
        }
    }
}
