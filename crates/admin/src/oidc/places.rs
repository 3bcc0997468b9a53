//! Under which addresses browsers reach the console: a provider sends nobody back to any other.

use super::Trouble;

/// The addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Where people open the console, such as `https://usher.example.com`; `None` where nobody said it.
    pub public_url: Option<String>,
    /// The addresses under which its ports may be asked beside that, such as `http://127.0.0.1:9180`.
    pub own: Vec<String>,
}

impl Places {
    /// The address under which a browser asked, without a slash at its end.
    pub(super) fn base(&self, host: Option<&str>) -> Result<String, Trouble> {
        let host = host.unwrap_or_default();
        let all = self.public_url.iter().chain(&self.own).map(|url| url.trim_end_matches('/'));
        let found = all.into_iter().find(|url| is_at(url, host)).map(str::to_owned);
        found.ok_or_else(|| Trouble::ForeignHost {
            host: host.chars().take(200).collect(),
            public_url: self.public_url.clone(),
        })
    }
}

/// Whether an address is this host's, where the usual port may be left out.
fn is_at(url: &str, host: &str) -> bool {
    let Some((scheme, authority)) = url.split_once("://") else { return false };
    let port = if scheme == "https" { ":443" } else { ":80" };
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn a_browser_comes_back_to_where_it_was_and_to_no_foreign_host() {
        let places = Places {
            public_url: Some("https://usher.example.com".to_owned()),
            own: ["http://127.0.0.1:9180", "http://localhost:9180", "https://[::1]:9180"]
                .map(str::to_owned)
                .to_vec(),
        };
        for (host, wanted) in [
            (Some("usher.example.com"), Some("https://usher.example.com")),
            (Some("Usher.Example.com:443"), Some("https://usher.example.com")),
            (Some("usher.example.com:80"), None),
            (Some("LOCALHOST:9180"), Some("http://localhost:9180")),
            (Some("127.0.0.1:9180"), Some("http://127.0.0.1:9180")),
            (Some("[::1]:9180"), Some("https://[::1]:9180")),
            (Some("127.0.0.1:9181"), None),
            (Some("evil.test"), None),
            (Some("usher.example.com.evil.test"), None),
            (Some("localhost:9180@evil.test"), None),
            (Some(""), None),
            (None, None),
        ] {
            assert_eq!(places.base(host).ok().as_deref(), wanted, "{host:?}");
        }
    }
}
