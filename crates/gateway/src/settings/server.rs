//! What the whole process shows of itself: the header `Server`, and which plugins there are.

use usher_model::compat::{APISIX_VERSION, Behaviour};
use usher_model::nearest::nearest;
use usher_pipeline::spec::Spec;

use super::Settings;
use super::known::ONLY_KNOWN_PLUGINS;
use super::read::{Document, texts};

/// Reads both.
///
/// # Errors
/// The setting, its value and what is allowed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    settings.hide_version = file.truth("apisix.enable_server_tokens")? == Some(false);
    if let Some(text) = file.text("server_header")? {
        let good =
            !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !good || text.trim() != text {
            return Err(format!(
                "server_header: {text:?} can't be sent; write 1 to 128 characters of ASCII without blanks at the ends"
            ));
        }
        settings.server_header = Some(text.to_owned());
    }
    settings.plugins = plugins("plugins", Spec::is_for_requests, file, settings)?;
    settings.stream_plugins = plugins("stream_plugins", Spec::is_on_connections, file, settings)?;
    Ok(())
}

/// The plugins that are on. Those that only APISIX has are warned about, because its own file lists a hundred.
///
/// # Errors
/// A name that no plugin has, and the nearest.
fn plugins(
    setting: &str,
    takes_part: fn(&Spec) -> bool,
    file: &Document<'_>,
    settings: &mut Settings,
) -> Result<Option<Vec<String>>, String> {
    let Some(value) = file.at(setting).filter(|value| !value.is_null()) else { return Ok(None) };
    let known = || usher_plugins::all().iter().filter(|spec| takes_part(spec)).map(|spec| spec.name);
    let (here, missing): (Vec<String>, Vec<String>) =
        texts(setting, value)?.into_iter().partition(|name| known().any(|known| known == name));
    for name in missing {
        if usher_plugins::all().iter().any(|spec| spec.name == name) {
            settings
                .warnings
                .push(format!("{setting}: the plugin {name} does nothing there and is left out"));
        } else if ONLY_KNOWN_PLUGINS.contains(&name.as_str()) {
            settings.warnings.push(format!("{setting}: this version of Usher has no plugin {name}"));
        } else {
            let near = nearest(&name, known().chain(ONLY_KNOWN_PLUGINS.iter().copied()));
            let hint = near.map(|near| format!("did you mean {near}?"));
            return Err(format!(
                "{setting}: no plugin is called {name}; {}",
                hint.as_deref().unwrap_or("leave it out; docs/plugins lists those that there are")
            ));
        }
    }
    Ok(Some(here))
}

impl Settings {
    /// The value of the header `Server`.
    pub(crate) fn server_name(&self) -> String {
        if let Some(own) = &self.server_header {
            return own.clone();
        }
        let (name, version) = if self.compat.has(Behaviour::ApisixNames) {
            ("APISIX", APISIX_VERSION)
        } else {
            ("Usher", env!("CARGO_PKG_VERSION"))
        };
        if self.hide_version { name.to_owned() } else { format!("{name}/{version}") }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::parsed;

    #[test]
    fn the_server_s_name_is_as_much_as_the_settings_tell() {
        for (yaml, wanted) in [
            ("{}", concat!("Usher/", env!("CARGO_PKG_VERSION"))),
            ("compat: apisix", "APISIX/3.18.0"),
            ("apisix: {enable_server_tokens: false}", "Usher"),
            ("apisix: {enable_server_tokens: false}\ncompat: [apisix-names]", "APISIX"),
            ("apisix: {enable_server_tokens: true}\ncompat: [apisix-names]", "APISIX/3.18.0"),
            ("server_header: edge 7", "edge 7"),
        ] {
            assert_eq!(parsed(yaml).unwrap().server_name(), wanted, "{yaml}");
        }
        for wrong in ["server_header: ''", "server_header: \"a\\nb\"", "server_header: ' a'"] {
            assert!(parsed(wrong).unwrap_err().starts_with("server_header: "), "{wrong}");
        }
    }

    #[test]
    fn only_the_plugins_that_are_listed_are_on() {
        let settings = parsed("plugins: [key-auth, skywalking]\n").unwrap();
        assert_eq!(settings.plugins.as_deref(), Some(&["key-auth".to_owned()][..]));
        assert_eq!(settings.warnings, ["plugins: this version of Usher has no plugin skywalking"]);
        for (yaml, wanted) in [
            ("plugins: [key-auht]", "plugins: no plugin is called key-auht; did you mean key-auth?"),
            (
                "stream_plugins: [ip-restrictoin]",
                "stream_plugins: no plugin is called ip-restrictoin; did you mean ip-restriction?",
            ),
        ] {
            assert_eq!(parsed(yaml).unwrap_err(), wanted);
        }
        let settings = parsed("stream_plugins: [ip-restriction, cors]\n").unwrap();
        assert_eq!(settings.stream_plugins.as_deref(), Some(&["ip-restriction".to_owned()][..]));
        assert_eq!((settings.plugins, settings.warnings.len()), (None, 1));
        assert_eq!(parsed("{}").unwrap().plugins, None);
        assert_eq!(parsed("plugins: []").unwrap().plugins.as_deref(), Some(&[][..]));
    }
}
