//! `usher chat-package`: the files that a chat program takes to reach this gateway, or an API behind it: a plugin, an extension, settings, a link.
//!
//! Those of an API are the ones that its route serves, so that what is written is what the gateway says.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use usher_chat::package::{File, Options, Target, package};

use super::failure::{Code, Failure};
use crate::terminal::say;

/// Options of `usher chat-package`.
#[derive(Args, Debug)]
pub(crate) struct Package {
    /// Who it is for: openai, claude, cursor, vscode, gemini, mcp-registry, plugin-2023, actions
    #[arg(long = "for", value_name = "CLIENT", value_parser = target)]
    target: Target,
    /// Where it is written: a folder, made where it isn't there
    #[arg(long, short = 'o', value_name = "FOLDER", default_value = "usher-package")]
    output: PathBuf,
    /// Of an API behind the gateway, published with --chat: the prefix that its paths have there, or / for none. --url is the gateway's own address then
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["stdio", "name"], requires = "url")]
    api: Option<String>,
    /// Where the client reaches the chat side of the running Usher
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5000", env = "USHER_URL")]
    url: String,
    /// What the server is called in the client
    #[arg(long, value_name = "NAME", default_value = "usher")]
    name: String,
    /// The client starts `usher mcp` and speaks with it, instead of calling the address by itself
    #[arg(long)]
    stdio: bool,
    /// Write over files that are there already
    #[arg(long)]
    force: bool,
}

fn target(word: &str) -> Result<Target, String> {
    let found = Target::ALL.iter().find(|(name, _)| *name == word).map(|(_, target)| *target);
    found.ok_or_else(|| {
        let names: Vec<&str> = Target::ALL.iter().map(|(name, _)| *name).collect();
        format!("{word:?} is nobody that packages are made for; write one of {}", names.join(", "))
    })
}

impl Package {
    /// Writes the files.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let files = match &self.api {
            Some(prefix) => of_api(self.target, &self.url, prefix).await?,
            None => {
                let options = Options { url: self.url.clone(), name: self.name.clone(), stdio: self.stdio };
                package(self.target, &options).map_err(|error| Failure::new(Code::Usage, error))?
            }
        };
        let paths: Vec<PathBuf> = files.iter().map(|file| self.output.join(&file.path)).collect();
        // All or nothing: a package that is half of one and half of another is worse than none.
        if let Some(there) = paths.iter().find(|path| !self.force && path.exists()) {
            let what = format!("{} is there already", there.display());
            return Err(Failure::new(Code::Usage, what)
                .next("name another folder with -o, or say --force")
                .into());
        }
        for (file, path) in files.iter().zip(&paths) {
            let failed =
                |error| Failure::new(Code::Refused, format!("could not write {}: {error}", path.display()));
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            std::fs::write(path, &file.content).map_err(failed)?;
            say(&path.display().to_string())?;
        }
        Ok(())
    }
}

/// How long one of an API's files may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The files of an API behind the gateway at `url`, as they are served there.
async fn of_api(target: Target, url: &str, prefix: &str) -> anyhow::Result<Vec<File>> {
    let places: &[(&str, &str)] = match target {
        Target::Plugin2023 => &[
            ("ai-plugin.json", "/.well-known/ai-plugin.json"),
            ("openapi.json", "/openapi.json"),
            ("logo.png", "/logo.png"),
        ],
        Target::Actions => &[("openapi.json", "/actions.json")],
        _ => {
            let what = "an API behind the gateway has files for plugin-2023 and actions; the others connect to an MCP server, which it isn't";
            return Err(Failure::new(Code::Usage, what)
                .next("write --for actions, or leave --api out")
                .into());
        }
    };
    let prefix = prefix.trim_matches('/');
    let base = if prefix.is_empty() {
        url.trim_end_matches('/').to_owned()
    } else {
        format!("{}/{prefix}", url.trim_end_matches('/'))
    };
    let http = reqwest::Client::builder()
        .user_agent(concat!("usher-cli/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER_WITHIN)
        .build()?;
    let mut files = Vec::new();
    for (path, place) in places {
        let address = format!("{base}{place}");
        let failed = |what: String| {
            Failure::new(Code::Refused, format!("{address}: {what}"))
                .next("publish the API with `usher import --openapi FILE --chat`, and give the gateway's address with --url")
        };
        let answer = http.get(&address).send().await.map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        let content = answer.bytes().await.map_err(|error| failed(error.to_string()))?;
        if !status.is_success() {
            let said: String = String::from_utf8_lossy(&content).trim().chars().take(300).collect();
            return Err(failed(format!("{status}: {said}")).into());
        }
        files.push(File { path: (*path).to_owned(), content: content.into() });
    }
    Ok(files)
}
