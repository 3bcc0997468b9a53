//! Heads between their two forms: ours, and the maps that h2 takes and gives.

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use usher_http1::encode::ResponseExtras;
use usher_http1::framed::{self, Pseudo};
use usher_http1::head::Head;
use usher_http1::limits::Limits;
use usher_http1::reject::Reject;
use usher_http1::request::{Framing, RequestHead};

/// A map's fields, in its order.
pub(super) fn pairs(map: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    map.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
}

/// Makes a request's head of what h2 read.
///
/// # Errors
/// [`Reject`].
pub(in crate::engine) fn admit(
    parts: &http::request::Parts,
    ended: bool,
    limits: &Limits,
    head: &mut Head,
) -> Result<RequestHead, Reject> {
    let uri = &parts.uri;
    let protocol = parts.extensions.get::<h2::ext::Protocol>();
    let pseudo = Pseudo {
        method: parts.method.as_str().as_bytes(),
        path: uri.path_and_query().map_or("", |path| path.as_str()).as_bytes(),
        scheme: uri.scheme_str().map(str::as_bytes),
        authority: uri.authority().map(|authority| authority.as_str().as_bytes()),
        protocol: protocol.map(|protocol| protocol.as_str().as_bytes()),
        ended,
    };
    framed::admit(pseudo, pairs(&parts.headers), limits, head)
}

/// An answer's head, and about how many bytes it is.
pub(in crate::engine) fn answer_fields(head: &Head, extras: ResponseExtras) -> (Response<()>, usize) {
    let mut map = HeaderMap::with_capacity(head.len() + 1);
    let size = put_all(&mut map, head);
    let status = head.status();
    let bodiless = matches!(status, 100..=199 | 204);
    match extras.framing {
        Framing::Length(length) if !bodiless => drop(map.insert(CONTENT_LENGTH, length.into())),
        // gRPC's answers without a body are heads that end with the status of the call.
        Framing::None if !bodiless && status != 304 && !is_grpc(head) => {
            drop(map.insert(CONTENT_LENGTH, HeaderValue::from_static("0")));
        }
        _ => {}
    }
    let mut answer = Response::new(());
    *answer.version_mut() = Version::HTTP_2;
    // A status outside of HTTP's range was refused where it was read.
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *answer.headers_mut() = map;
    (answer, size)
}

/// A request's head: `head` without what belongs to its own connection.
pub(in crate::engine) fn request_fields(
    head: &Head,
    target: &str,
    authority: &str,
    scheme: &str,
) -> Result<Request<()>, http::Error> {
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(target).build()?;
    let mut map = HeaderMap::with_capacity(head.len() + 1);
    put_all(&mut map, head);
    map.remove(http::header::HOST);
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_2;
    *request.method_mut() = Method::from_bytes(head.method().as_bytes())?;
    *request.uri_mut() = uri;
    *request.headers_mut() = map;
    Ok(request)
}

/// Trailers.
pub(super) fn trailer_fields(trailers: &Head) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(trailers.len());
    put_all(&mut map, trailers);
    map
}

fn put_all(map: &mut HeaderMap, head: &Head) -> usize {
    let mut size = 0;
    for (name, value) in head.iter_lasting() {
        size += name.len() + value.len() + 2;
        match (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            (Ok(name), Ok(value)) => drop(map.append(name, value)),
            _ => tracing::debug!("left out a field that HTTP/2 can't carry"),
        }
    }
    size
}

/// Whether this is a message of gRPC's own form.
pub(in crate::engine) fn is_grpc(head: &Head) -> bool {
    head.get("content-type").is_some_and(is_grpc_type)
}

/// Whether a content type is gRPC's own: `application/grpc`, also with a format or parameters behind it.
pub(in crate::engine) fn is_grpc_type(value: &[u8]) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    value.get(..TYPE.len()).is_some_and(|start| start.eq_ignore_ascii_case(TYPE))
        && matches!(value.get(TYPE.len()), None | Some(b'+' | b';' | b' '))
}
