//! From the path of a request to its endpoint.

use axum::http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use usher_model::nearest::nearest;

use super::BASE;
use super::endpoint::Endpoint;
use super::refusal::Refusal;

/// What the path's parameters hold.
type Parameters = Vec<(&'static str, String)>;

/// The endpoint of a path and a method.
///
/// # Errors
/// 404 with the nearest path, 405 with the methods that the path has.
pub(super) fn find<'t>(
    table: &'t [Endpoint],
    method: &Method,
    path: &str,
) -> Result<(&'t Endpoint, Parameters), Refusal> {
    let rest = path.strip_prefix(BASE).unwrap_or_default();
    let steps = decoded(rest).ok_or_else(|| nothing_at(table, path, rest))?;
    let fitting =
        || table.iter().filter_map(|endpoint| fits(endpoint.path, &steps).map(|found| (endpoint, found)));
    // HEAD is GET without the body, which the server leaves out by itself.
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    if let Some(found) = fitting().find(|(endpoint, _)| endpoint.method == *wanted) {
        return Ok(found);
    }
    let mut methods: Vec<&str> = fitting().map(|(endpoint, _)| endpoint.method.as_str()).collect();
    methods.dedup();
    if methods.is_empty() {
        return Err(nothing_at(table, path, rest));
    }
    let methods = methods.join(", ");
    let message = format!("{path} doesn't take {method}");
    Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        .next(format!("it takes {methods}"))
        .allowing(methods))
}

fn nothing_at(table: &[Endpoint], path: &str, rest: &str) -> Refusal {
    let near = nearest(rest.trim_end_matches('/'), table.iter().map(|endpoint| endpoint.path));
    let next = match near {
        Some(near) => format!("did you mean {BASE}{near}?"),
        None => format!("{BASE}/openapi.yaml lists what is here"),
    };
    Refusal::not_found(format!("there is nothing at {path}")).next(next)
}

/// The steps of a path without escapes; `None` where one can't be read. A slash at the end doesn't count.
fn decoded(rest: &str) -> Option<Vec<String>> {
    let rest = rest.trim_matches('/');
    let step = |step: &str| {
        let step = percent_decode_str(step).decode_utf8().ok()?.into_owned();
        // Whoever is in front of us may have resolved these, so that a rule there judged another path.
        (!step.is_empty() && step != "." && step != "..").then_some(step)
    };
    rest.split('/').map(step).collect()
}

/// The parameters of a path that fits a pattern. The `{id}` of an object takes all that is left: those of credentials hold slashes.
fn fits(pattern: &'static str, steps: &[String]) -> Option<Parameters> {
    let mut left = steps;
    let mut found = Vec::new();
    let of_objects = pattern.starts_with("/objects/");
    let mut pattern = pattern.trim_matches('/').split('/').peekable();
    while let Some(wanted) = pattern.next() {
        let (step, rest) = left.split_first()?;
        match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) if of_objects && name == "id" && pattern.peek().is_none() => {
                found.push((name, left.join("/")));
                return Some(found);
            }
            Some(name) => found.push((name, step.clone())),
            None if wanted == step => {}
            None => return None,
        }
        left = rest;
    }
    left.is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::super::table;
    use super::{find, fits};

    #[test]
    fn parameters_are_taken_out_of_the_path() {
        let steps = |path: &str| super::decoded(path).unwrap();
        for (pattern, path, wanted) in [
            ("/plans/{id}/apply", "/plans/ab/apply", Some(vec![("id", "ab".to_owned())])),
            ("/plans/{id}/apply", "/plans/ab/apply/x", None),
            ("/plans/{id}", "/plans", None),
            ("/plans/{id}", "/plans/ab/apply", None),
            (
                "/objects/{kind}/{id}",
                "/objects/routes/1/",
                Some(vec![("kind", "routes".to_owned()), ("id", "1".to_owned())]),
            ),
            (
                "/objects/{kind}/{id}",
                "/objects/credentials/jack/credentials/c%2D1",
                Some(vec![("kind", "credentials".to_owned()), ("id", "jack/credentials/c-1".to_owned())]),
            ),
        ] {
            assert_eq!(fits(pattern, &steps(path)), wanted, "{path}");
        }
        assert_eq!(super::decoded("/plans/%ff"), None);
        assert_eq!(super::decoded("/plans/../x"), None);
    }

    #[test]
    fn every_endpoint_is_found_and_no_other_answers_for_it() {
        let table = table::all();
        for endpoint in &table {
            let path = format!("/usher/v1{}", endpoint.path.replace(['{', '}'], ""));
            let (found, _) = find(&table, &endpoint.method, &path).unwrap();
            assert_eq!(found.id, endpoint.id, "{path}");
        }
        assert!(find(&table, &Method::PUT, "/usher/v1/plans").is_err());
        let told = format!("{:?}", find(&table, &Method::GET, "/usher/v1/plan").err().unwrap());
        assert!(told.contains("did you mean /usher/v1/plans?"), "{told}");
    }
}
