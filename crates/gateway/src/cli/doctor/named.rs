//! The files that the settings name: whether they can be read, and whether what is written to can be made. A start would stop at the first of them.

use std::fs;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::settings::Settings;

/// Looks at each.
pub(super) fn look(settings: &Settings, findings: &mut Vec<Finding>) {
    findings.extend(read_by(settings).into_iter().map(|(setting, path)| readable(setting, &path)));
    let logs = [("access_log", &settings.access_log), ("stream access_log", &settings.stream_access_log)];
    for (setting, log) in logs {
        if let Some(path) = log.as_ref().and_then(|log| log.path.as_ref()) {
            findings.extend(writable(setting, path));
        }
    }
}

/// What is read at the start, with the setting that names it.
fn read_by(settings: &Settings) -> Vec<(&'static str, PathBuf)> {
    let tls = settings.admin_api.tls.as_ref();
    let named = [
        ("keyring_file", settings.keyring_file.clone()),
        ("store_ca_file", settings.store_ca_file.clone()),
        ("store_key_file", settings.store_key_file.clone()),
        ("acme.ca_file", settings.acme.as_ref().and_then(|acme| acme.ca_file.clone())),
        ("admin_ssl_cert", tls.map(|tls| tls.cert.clone())),
        ("admin_ssl_cert_key", tls.map(|tls| tls.key.clone())),
        ("admin_ssl_ca_cert", tls.and_then(|tls| tls.ca.clone())),
    ];
    named.into_iter().filter_map(|(setting, path)| Some((setting, path?))).collect()
}

fn readable(setting: &str, path: &Path) -> Finding {
    let what = format!("file of {setting}");
    match fs::read(path) {
        Ok(bytes) if bytes.is_empty() => {
            Finding::fail(what, format!("{} is empty", path.display()), "put what it should hold there")
        }
        Ok(_) => Finding::ok(what, format!("{} is readable", path.display())),
        Err(error) => Finding::fail(
            what,
            format!("{} can't be read: {error}", path.display()),
            "put it there, mend the path, or run this as the user that Usher runs as",
        ),
    }
}

/// A word about a file that is appended to; none where it is well, because it says nothing of what isn't made yet.
fn writable(setting: &str, path: &Path) -> Option<Finding> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() {
        return None;
    }
    let found = format!("{} is no folder, so that {} can't be written", folder.display(), path.display());
    Some(Finding::fail(format!("file of {setting}"), found, "make the folder, or name another file"))
}

#[cfg(test)]
mod tests {
    use super::super::Mark;
    use super::{Settings, look};

    #[test]
    fn a_file_that_is_named_and_not_there_is_told_of_by_its_setting() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        let judged = |settings: &Settings| {
            let mut findings = Vec::new();
            look(settings, &mut findings);
            findings.into_iter().map(|finding| (finding.mark, finding.what)).collect::<Vec<_>>()
        };
        assert!(judged(&settings).is_empty());
        let file = folder.path().join("keyring.key");
        settings.keyring_file = Some(file.clone());
        let what = "file of keyring_file".to_owned();
        assert_eq!(judged(&settings), [(Mark::Fail, what.clone())]);
        std::fs::write(&file, "").unwrap();
        assert_eq!(judged(&settings), [(Mark::Fail, what.clone())]);
        std::fs::write(&file, "x").unwrap();
        assert_eq!(judged(&settings), [(Mark::Ok, what)]);
    }
}
