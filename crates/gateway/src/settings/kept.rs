//! A secret of the settings: written out, or where it is kept. It is read when the server starts, so that a file of settings can be judged elsewhere.

use std::path::PathBuf;

use usher_model::secret::Secret;

use super::read::Document;

/// What begins a secret that lies in the environment.
const ENV: &str = "$env://";

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The setting.
    name: String,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Written(Secret<String>),
    Environment(String),
    File(PathBuf),
}

impl Kept {
    /// The setting of this name, or the file that is named by the same with `_file` behind it; `None` where there is neither.
    ///
    /// # Errors
    /// Both are there, or one is no text.
    pub(super) fn read(file: &Document<'_>, name: &str) -> Result<Option<Self>, String> {
        let given =
            |name: &str| Ok::<_, String>(file.text(name)?.map(str::trim).filter(|text| !text.is_empty()));
        let in_file = format!("{name}_file");
        let place = match (given(name)?, given(&in_file)?) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(format!("give {name} or {in_file}, and not both")),
            (None, Some(path)) => Place::File(PathBuf::from(path)),
            (Some(text), None) => match text.split_at_checked(ENV.len()) {
                Some((start, name)) if start.eq_ignore_ascii_case(ENV) => Place::Environment(name.to_owned()),
                _ => Place::Written(Secret::new(text.to_owned())),
            },
        };
        Ok(Some(Self { name: name.to_owned(), place }))
    }

    /// The secret.
    ///
    /// # Errors
    /// The variable or file isn't there, or there is nothing in it.
    pub(crate) fn secret(&self) -> Result<Secret<String>, String> {
        let name = &self.name;
        let found = match &self.place {
            Place::Written(secret) => return Ok(secret.clone()),
            Place::Environment(variable) => std::env::var(variable).map_err(|_| {
                format!("{name}: the environment has no {variable}; set it where usher serve is started")
            })?,
            Place::File(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("{name}_file: could not read {}: {error}", path.display()))?,
        };
        match found.trim() {
            "" => Err(format!("{name}: there is nothing in what it names; put the secret there")),
            secret => Ok(Secret::new(secret.to_owned())),
        }
    }
}
