//! An OpenAPI document, compiled: which operation a request asks for.

use serde_json::{Map, Value};
use usher_pipeline::request::Request;

use super::Skipped;
use super::operation::Operation;
use super::path::Template;
use super::schema::Compiler;
use crate::kept_document::MAX_BYTES;

/// How many operations a document may have.
const MAX_OPERATIONS: usize = 2000;
/// The methods of OpenAPI.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// A document.
pub(super) struct Document {
    /// The most definite first.
    paths: Vec<(Template, Vec<(&'static str, Operation)>)>,
    /// What stands before each path, by the document's servers.
    bases: Vec<String>,
}

impl Document {
    /// Compiles a document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("the document is larger than {MAX_BYTES} bytes"));
        }
        let root: Value = serde_json::from_slice(text)
            .map_err(|error| format!("invalid JSON string provided, err: {error}"))?;
        let version = root.get("openapi").and_then(Value::as_str).unwrap_or_default();
        let is_old = version.starts_with("3.0");
        if !is_old && !version.starts_with("3.1") {
            return Err(format!("its version is {version:?}; OpenAPI 3.0 and 3.1 are known"));
        }
        let compiler = Compiler::new(&root, is_old);
        let written = root.get("paths").and_then(Value::as_object).ok_or("it has no \"paths\"")?;
        let (mut paths, mut count) = (Vec::new(), 0);
        for (path, item) in written.iter().filter(|(path, _)| path.starts_with('/')) {
            let item = compiler.resolve(item)?;
            let shared = item.get("parameters").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let mut operations = Vec::new();
            for method in METHODS {
                let Some(operation) = item.get(method) else { continue };
                count += 1;
                if count > MAX_OPERATIONS {
                    return Err(format!("it has more than {MAX_OPERATIONS} operations"));
                }
                let compiled = Operation::new(&compiler, shared, operation)
                    .map_err(|reason| format!("{} {path}: {reason}", method.to_ascii_uppercase()))?;
                operations.push((method, compiled));
            }
            paths.push((Template::new(path).map_err(|reason| format!("{path}: {reason}"))?, operations));
        }
        paths.sort_by_key(|(template, _)| template.openness());
        Ok(Self { paths, bases: bases(&root) })
    }

    /// Judges a request; the body as it is to be forwarded, where it was read.
    ///
    /// # Errors
    /// What doesn't fit.
    pub(super) fn judge(
        &self,
        request: &Request,
        body: &[u8],
        skipped: Skipped,
    ) -> Result<Option<Vec<u8>>, String> {
        let whole = request.path();
        let below = self.bases.iter().filter_map(|base| whole.strip_prefix(base.as_str()));
        let mut is_known = false;
        for path in below.filter(|path| path.starts_with('/')).chain([whole]) {
            for (template, operations) in &self.paths {
                let Some(values) = template.values(path) else { continue };
                is_known = true;
                let method = request.method();
                let found = operations.iter().find(|(known, _)| known.eq_ignore_ascii_case(method));
                if let Some((_, operation)) = found {
                    return operation.judge(request, &values, body, skipped);
                }
            }
        }
        if is_known { Err("no operation of this method".to_owned()) } else { Err("no such path".to_owned()) }
    }
}

/// The paths of the servers, without their last slash.
fn bases(root: &Value) -> Vec<String> {
    let servers = root.get("servers").and_then(Value::as_array).into_iter().flatten();
    let urls = servers.filter_map(|server| server.get("url").and_then(Value::as_str));
    urls.filter_map(|url| {
        let path = match url.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..))?,
            None => url,
        };
        let path = path.trim_end_matches('/');
        (!path.is_empty() && !path.contains('{')).then(|| path.to_owned())
    })
    .collect()
}

/// A member that is an object; empty where it is absent.
pub(super) fn object<'v>(value: &'v Value, name: &str) -> Option<&'v Map<String, Value>> {
    value.get(name).and_then(Value::as_object)
}
