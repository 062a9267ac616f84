//! The console: pages for browsers, which ask the control API. Their files are in `console/` and part of the
//! program. Every path below `/console/` is a page but those of the assets: the page itself reads the address.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, Request};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
    REFERRER_POLICY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;

use super::Api;
use super::error::{ApiError, no_path, wrong_method};

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// What the page may do: load its own files, ask this broker, and nothing else. `lit-html` is the one that
/// makes elements of text, and it makes them of the texts of the modules alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types lit-html";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// A file of the console.
struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($path:literal, $kind:expr) => {
        Asset {
            path: $path,
            kind: $kind,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/console/", $path)),
        }
    };
}

static INDEX: Asset = asset!("index.html", HTML);

/// All others, by their path in the folder; `every_file_of_the_console_is_served` compares.
static ASSETS: [Asset; 19] = [
    asset!("api.js", SCRIPT),
    asset!("app.css", STYLE),
    asset!("app.js", SCRIPT),
    asset!("icon.svg", IMAGE),
    asset!("pages/client.js", SCRIPT),
    asset!("pages/faults.js", SCRIPT),
    asset!("pages/group.js", SCRIPT),
    asset!("pages/identity.js", SCRIPT),
    asset!("pages/lists.js", SCRIPT),
    asset!("pages/messages.js", SCRIPT),
    asset!("pages/overview.js", SCRIPT),
    asset!("pages/test.js", SCRIPT),
    asset!("pages/topics.js", SCRIPT),
    asset!("parts/keys.js", SCRIPT),
    asset!("parts/list.js", SCRIPT),
    asset!("parts/ring.js", SCRIPT),
    asset!("parts/text.js", SCRIPT),
    asset!("store.js", SCRIPT),
    asset!("vendor/lit-html/lit-html.js", SCRIPT),
];

/// Changes with any of the files, because they change together.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    use std::hash::{BuildHasher as _, Hasher as _};

    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    for asset in ASSETS.iter().chain([&INDEX]) {
        hasher.write(asset.bytes);
    }
    let tag = format!("\"{}-{:016x}\"", env!("CARGO_PKG_VERSION"), hasher.finish());
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))
});

pub(super) fn router() -> Router<Api> {
    let page = async |headers: HeaderMap| INDEX.answer(&headers);
    Router::new()
        .route("/console", get(async || Redirect::permanent("/console/")))
        .route("/console/", get(page))
        .route("/console/{*page}", get(page))
        .route("/console/assets/{*path}", get(asset))
        .method_not_allowed_fallback(wrong_method)
}

async fn asset(
    Path(path): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let found = ASSETS.iter().find(|asset| asset.path == path);
    found
        .map(|asset| asset.answer(&headers))
        .ok_or_else(|| no_path(&uri))
}

/// Takes whoever comes with a browser to the console; programs get what the path has for them.
pub(super) async fn welcome(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut accepted = request.headers().get_all(ACCEPT).iter();
    let is_browser = accepted.any(|value| {
        let value = value.to_str().unwrap_or_default();
        value.contains("text/html")
    });
    match is_read && is_browser && request.uri().path() == "/" {
        true => Redirect::temporary("/console/").into_response(),
        false => next.run(request).await,
    }
}

impl Asset {
    fn answer(&self, asked: &HeaderMap) -> Response {
        let has_it = asked.get_all(IF_NONE_MATCH).iter().any(|tags| {
            let tags = tags.to_str().unwrap_or_default().split(',');
            let mut tags = tags.map(|tag| tag.trim().trim_start_matches("W/"));
            tags.any(|tag| tag == *TAG)
        });
        let mut response = match has_it {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => Response::new(Body::from(self.bytes)),
        };
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, self.kind),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
            (RESOURCE_POLICY, "same-origin"),
            (OPENER_POLICY, "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(ETAG, TAG.clone());
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/console");

    fn files(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("the console's folder") {
            let path = entry.expect("an entry of it").path();
            if path.is_dir() {
                files(&path, found);
            } else {
                let path = path.strip_prefix(FOLDER).expect("it is in the folder");
                found.insert(path.display().to_string());
            }
        }
    }

    #[test]
    fn every_file_of_the_console_is_served() {
        let mut found = BTreeSet::new();
        files(Path::new(FOLDER), &mut found);
        let notes = ["LICENSE", "VERSION", ".d.ts"];
        let notes = |path: &String| notes.iter().any(|end| path.ends_with(end));
        assert_eq!(found.iter().filter(|path| notes(path)).count(), 3);
        found.retain(|path| !notes(path));
        let served = ASSETS.iter().chain([&INDEX]);
        let served: BTreeSet<_> = served.map(|asset| asset.path.to_owned()).collect();
        assert_eq!(served, found);
    }

    /// Whoever opens the console for the first time loads all of it.
    #[test]
    fn console_is_small() {
        let of = |start: &'static str| {
            let assets = ASSETS.iter().chain([&INDEX]);
            let of_it = assets.filter(move |asset| asset.path.starts_with(start));
            of_it.map(|asset| asset.bytes.len()).sum::<usize>()
        };
        let (all, vendored) = (of(""), of("vendor/"));
        assert!(all <= 150_000, "{all} bytes");
        assert!(vendored <= 15_000, "{vendored} bytes of others");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn vendored_files_are_as_they_were_published() {
        let notes = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/console/vendor/lit-html/VERSION"
        ));
        let vendored = ASSETS
            .iter()
            .filter_map(|asset| Some((asset.path.strip_prefix("vendor/lit-html/")?, asset)));
        let mut count = 0;
        for (path, asset) in vendored {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, asset.bytes);
            let digest: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
            let line = format!("{digest}  {path}");
            assert!(notes.lines().any(|known| known == line), "{line}");
            count += 1;
        }
        assert_eq!(count, 1);
    }
}
