//! On which ports the web console stands, under which addresses people reach it, and the provider that they may log in with.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::bail;
use usher_admin::oidc::{Oidc, Places};

use super::side;
use crate::settings::Settings;

/// The ports that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Console {
    pub(super) on_admin: bool,
    pub(super) on_chat: bool,
}

impl Console {
    /// As the settings say; on the chat side by itself only where nobody is let nearer than before.
    ///
    /// # Errors
    /// It is asked for where it would let people in whom the Admin API's port keeps out, or where passwords would travel in clear.
    pub(super) fn of(settings: &Settings) -> anyhow::Result<Self> {
        let on_admin = !settings.admin_api.no_console && !settings.admin.is_empty();
        let public_url = settings.public_url.as_deref().unwrap_or_default();
        let is_near =
            settings.published_on_loopback || settings.chat.iter().all(|address| address.ip().is_loopback());
        let forbidden = if settings.admin_api.no_console {
            Some("deployment.admin.enable_admin_ui: false leaves the console out everywhere")
        } else if !settings.admin_key_required {
            Some(
                "deployment.admin.admin_key_required: false makes everybody an admin who reaches it, and the chat side is open to chats",
            )
        } else if settings.admin_api.tls.as_ref().is_some_and(|tls| tls.ca.is_some()) {
            Some(
                "deployment.admin.admin_api_mtls asks for certificates of clients, which the chat side doesn't",
            )
        } else if !is_near && !public_url.starts_with("https://") {
            Some(
                "passwords would travel in clear: put TLS in front of the chat side, and write its https:// address into chat.public_url",
            )
        } else {
            None
        };
        let is_local = public_url.is_empty() || usher_admin::oidc::is_on_loopback(public_url);
        let on_chat = match (settings.chat_console, forbidden) {
            (Some(true), Some(why)) => bail!("chat.console: true can't be followed: {why}"),
            (Some(wanted), _) => wanted,
            (None, forbidden) => forbidden.is_none() && is_near && is_local && on_admin,
        };
        Ok(Self { on_admin, on_chat: on_chat && !settings.chat.is_empty() })
    }

    /// Where people open it, as far as that can be told.
    pub(super) fn url(
        self,
        settings: &Settings,
        admin: &[SocketAddr],
        chat: &[SocketAddr],
    ) -> Option<String> {
        let scheme = if settings.admin_api.tls.is_some() { "https" } else { "http" };
        let near = |scheme: &str, addresses: &[SocketAddr]| {
            let found = addresses.iter().find(|address| address.ip().is_loopback());
            found.map(|address| format!("{scheme}://{address}"))
        };
        let said = settings.console.public_url.clone().filter(|_| self.on_admin || self.on_chat);
        said.or_else(|| near(scheme, admin).filter(|_| self.on_admin))
            .or_else(|| settings.public_url.clone().filter(|_| self.on_chat))
            .or_else(|| near("http", chat).filter(|_| self.on_chat))
    }

    /// The provider of the settings.
    ///
    /// # Errors
    /// Its secret or its certificates can't be read.
    pub(super) fn provider(
        self,
        settings: &Settings,
        admin: &[SocketAddr],
        chat: &[SocketAddr],
    ) -> anyhow::Result<Option<Arc<Oidc>>> {
        let Some((oidc, secret)) = settings.console.oidc.clone() else { return Ok(None) };
        let scheme = if settings.admin_api.tls.is_some() { "https" } else { "http" };
        let mut own: Vec<String> =
            side::own_hosts(admin).iter().map(|host| format!("{scheme}://{host}")).collect();
        if self.on_chat {
            own.extend(side::own_hosts(chat).iter().map(|host| format!("http://{host}")));
            own.extend(settings.public_url.clone());
        }
        let places = Places { public_url: settings.console.public_url.clone(), own };
        let secret = secret.secret().map_err(anyhow::Error::msg)?;
        Ok(Some(Arc::new(Oidc::new(oidc, secret, places)?)))
    }
}

/// The names that the console on the Admin port has beside addresses: those of the settings, and what this machine calls itself.
pub(super) fn names(settings: &Settings) -> Vec<String> {
    let mut names = settings.console.hosts.clone();
    let public = settings.console.public_url.as_deref().and_then(|url| url.split_once("://"));
    names.extend(public.map(|(_, authority)| host_of(authority).to_owned()));
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    names.extend(Some(machine).filter(|name| !name.is_empty()));
    names
}

/// An authority without its port: a proxy before us may pass it on with another, or without.
fn host_of(authority: &str) -> &str {
    let port = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    port.map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::Console;
    use crate::settings::Settings;

    #[test]
    fn the_chat_side_has_it_where_nobody_is_let_nearer_than_before() {
        let wide = |settings: &mut Settings| settings.chat = vec!["0.0.0.0:5000".parse().unwrap()];
        type Case<'c> = (&'c str, &'c dyn Fn(&mut Settings), Option<bool>);
        let cases: [Case<'_>; 9] = [
            ("as it comes", &|_| {}, Some(true)),
            ("switched off there", &|s| s.chat_console = Some(false), Some(false)),
            ("no console at all", &|s| s.admin_api.no_console = true, Some(false)),
            ("no key is asked for", &|s| s.admin_key_required = false, Some(false)),
            (
                "published for a chat",
                &|s| s.public_url = Some("https://chat.example.com".to_owned()),
                Some(false),
            ),
            ("wide", &wide, Some(false)),
            (
                "wide and asked for",
                &|s| {
                    wide(s);
                    s.chat_console = Some(true);
                },
                None,
            ),
            (
                "no key and asked for",
                &|s| {
                    s.admin_key_required = false;
                    s.chat_console = Some(true);
                },
                None,
            ),
            (
                "wide behind TLS and asked for",
                &|s| {
                    wide(s);
                    s.chat_console = Some(true);
                    s.public_url = Some("https://chat.example.com".to_owned());
                },
                Some(true),
            ),
        ];
        for (what, change, wanted) in cases {
            let mut settings = Settings::default();
            change(&mut settings);
            let found = Console::of(&settings);
            assert_eq!(found.as_ref().ok().map(|found| found.on_chat), wanted, "{what}");
            if let Err(error) = found {
                assert!(error.to_string().starts_with("chat.console: true can't be followed: "), "{error}");
            }
        }
    }

    #[test]
    fn the_names_are_those_of_the_settings_and_the_machine_s() {
        let mut settings = Settings::default();
        settings.console.public_url = Some("https://usher.example.com:8443".to_owned());
        settings.console.hosts = vec!["gateway.corp".to_owned()];
        let names = super::names(&settings);
        assert_eq!(names.get(..2).unwrap(), ["gateway.corp", "usher.example.com"]);
        assert_eq!(super::host_of("[2001:db8::1]"), "[2001:db8::1]");
    }

    #[test]
    fn the_address_is_the_one_that_was_said_or_that_is_near() {
        let (admin, chat) = (["127.0.0.1:9180".parse().unwrap()], ["127.0.0.1:5000".parse().unwrap()]);
        let mut settings = Settings::default();
        let url = |settings: &Settings| Console::of(settings).unwrap().url(settings, &admin, &chat);
        assert_eq!(url(&settings).as_deref(), Some("http://127.0.0.1:9180"));
        settings.console.public_url = Some("https://usher.example.com".to_owned());
        assert_eq!(url(&settings).as_deref(), Some("https://usher.example.com"));
        settings.admin_api.no_console = true;
        assert_eq!(url(&settings), None);
    }
}
