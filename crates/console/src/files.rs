//! The built files, each compressed once, when it is first asked for.
//!
//! Their names carry a digest of what is in them, so that a browser may keep them for ever; the page itself names them and is never kept.

use std::io::Write as _;
use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The files as `build.rs` found them.
const EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/files.rs"));
/// The page that every address of the console is.
const PAGE: &str = "index.html";
/// Where the files are whose names carry their digest.
const HASHED: &str = "assets/";

/// All files.
pub(crate) struct Files(Vec<File>);

/// One file.
pub(crate) struct File {
    name: &'static str,
    bytes: &'static [u8],
    tag: String,
    compressed: OnceLock<Option<Vec<u8>>>,
}

/// What a path stands for.
pub(crate) enum Asked<'a> {
    /// A file.
    File(&'a File),
    /// A place inside of the console, which the page finds by itself.
    Page(&'static str),
    /// Nothing.
    Nothing,
}

impl Files {
    pub(crate) fn embedded() -> Self {
        Self(EMBEDDED.iter().map(|(name, bytes)| File::new(name, bytes)).collect())
    }

    /// What a path below the base stands for. A name with an ending is a file or nothing; everything else is a place of the page.
    pub(crate) fn find(&self, path: &str) -> Asked<'_> {
        let is_place = !path.starts_with(HASHED) && (path.is_empty() || path == PAGE || !path.contains('.'));
        if is_place {
            let page = self.named(PAGE).and_then(|page| std::str::from_utf8(page.bytes).ok());
            return page.map_or(Asked::Nothing, Asked::Page);
        }
        self.named(path).map_or_else(|| self.deep(path), Asked::File)
    }

    /// Ids may hold dots, and places of the page end in ids.
    fn deep(&self, path: &str) -> Asked<'_> {
        let page = self.named(PAGE).and_then(|page| std::str::from_utf8(page.bytes).ok());
        page.filter(|_| path.contains('/') && !path.starts_with(HASHED)).map_or(Asked::Nothing, Asked::Page)
    }

    fn named(&self, name: &str) -> Option<&File> {
        self.0.iter().find(|file| file.name == name)
    }

    /// Names and contents, for whoever counts them.
    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &'static [u8])> {
        self.0.iter().map(|file| (file.name, file.bytes))
    }
}

impl File {
    fn new(name: &'static str, bytes: &'static [u8]) -> Self {
        let tag = format!(
            "\"{}\"",
            URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes).as_ref().get(..12).unwrap_or_default())
        );
        Self { name, bytes, tag, compressed: OnceLock::new() }
    }

    /// The file, compressed where the client takes that, or 304 where it has it.
    pub(crate) fn answer(&self, asked: &HeaderMap) -> Response {
        let text = |name| asked.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        let kept =
            if self.name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(header::ETAG, tag);
        }
        if text(header::IF_NONE_MATCH).split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media(self.name)));
        let takes_gzip = text(header::ACCEPT_ENCODING).split(',').any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim().eq_ignore_ascii_case("gzip") && weight.trim() != "q=0"
        });
        match self.compressed().filter(|_| takes_gzip) {
            Some(compressed) => {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                *response.body_mut() = Body::from(compressed.to_vec());
            }
            None => *response.body_mut() = Body::from(self.bytes),
        }
        response
    }

    /// The bytes as they were built.
    #[cfg(test)]
    pub(crate) const fn bytes(&self) -> &'static [u8] {
        self.bytes
    }

    /// The compressed bytes, where they are fewer.
    pub(crate) fn compressed(&self) -> Option<&[u8]> {
        let made = self.compressed.get_or_init(|| {
            let mut writer = GzEncoder::new(Vec::new(), Compression::best());
            writer.write_all(self.bytes).ok()?;
            writer.finish().ok().filter(|made| made.len() < self.bytes.len())
        });
        made.as_deref()
    }
}

fn media(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
