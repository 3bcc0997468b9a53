//! `usher token` and `usher user`: who else may come in.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::apply::label;
use super::ask;
use super::failure::{Code, Failure};
use super::output::{self, Format, Table, moment};
use super::remote::Remote;
use crate::terminal::{Style, note, say};

/// Options of `usher token`.
#[derive(Args, Debug)]
pub(crate) struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token; it is printed this once
    Create(NewToken),
    /// List all tokens
    List(Listed),
    /// End a token, on every gateway at once
    Revoke {
        /// Its id, as `usher token list` shows it
        #[arg(value_name = "ID")]
        id: String,
        /// Look whether there is such a token, and change nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Args, Debug)]
struct NewToken {
    /// The name that the history shows
    #[arg(value_name = "NAME")]
    name: String,
    /// What it may do
    #[arg(long, value_enum)]
    role: Role,
    /// Only objects with this label, name=value; may repeat
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Only what takes this host alone; may repeat
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Only what takes paths below this prefix alone; may repeat
    #[arg(long = "path", value_name = "PREFIX")]
    paths: Vec<String>,
    /// When it ends, such as 12h, 30d or 1y [default: when it is revoked]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    expires: Option<u64>,
    /// Show what would be made, and make nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args, Debug)]
struct Listed {
    /// How they are shown
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

/// Options of `usher user`.
#[derive(Args, Debug)]
pub(crate) struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make a user of the console; the password is asked for, or read from standard input
    Add {
        /// The name
        #[arg(value_name = "NAME")]
        name: String,
        /// What the user may do
        #[arg(long, value_enum)]
        role: Role,
        /// Show what would be made, and make nothing; no password is asked for
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Give a user another role, another password, or both
    Set {
        /// The name
        #[arg(value_name = "NAME")]
        name: String,
        /// What the user may do from now on
        #[arg(long, value_enum, required_unless_present = "password")]
        role: Option<Role>,
        /// Another password; it is asked for, or read from standard input
        #[arg(long)]
        password: bool,
        /// Look whether there is such a user, and change nothing; no password is asked for
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// List all users
    List(Listed),
    /// Remove a user
    Remove {
        /// The name
        #[arg(value_name = "NAME")]
        name: String,
        /// Look whether there is such a user, and change nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    /// Reads, with secrets masked
    Viewer,
    /// Reads masked, plans, and applies what needs no person: for agents
    Chat,
    /// Reads masked, plans and applies
    Editor,
    /// Everything
    Admin,
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Chat => "chat",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }
}

impl Token {
    /// Does what was asked.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            TokenCommand::Create(new) => new.run().await,
            TokenCommand::List(listed) => list_tokens(listed).await,
            TokenCommand::Revoke { id, dry_run, remote } => {
                let client = remote.client()?;
                if dry_run {
                    return look(&client.get(&["tokens"], &[]).await?, "tokens", "id", &id, "would be gone");
                }
                client.delete(&["tokens", &id]).await?;
                say(&format!("token {id} is revoked"))
            }
        }
    }
}

impl NewToken {
    async fn run(self) -> anyhow::Result<()> {
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = json!({
            "name": self.name,
            "role": self.role.word(),
            "scope": { "labels": labels, "hosts": self.hosts, "paths": self.paths },
            "expires_in_secs": self.expires,
        });
        let client = self.remote.client()?;
        if self.dry_run {
            // Who may not list them may not make one either.
            client.get(&["tokens"], &[]).await?;
            return output::print(&request, Format::Yaml);
        }
        let made = client.post(&["tokens"], &request).await?;
        let text = |name: &str| made.get(name).and_then(Value::as_str).unwrap_or_default();
        note(&format!(
            "token {} of {} ({}); it is shown this once:",
            text("id"),
            self.name,
            self.role.word()
        ));
        say(text("token"))
    }
}

async fn list_tokens(listed: Listed) -> anyhow::Result<()> {
    let found = listed.remote.client()?.get(&["tokens"], &[]).await?;
    if listed.output != Format::Table {
        return output::print(found.get("tokens").unwrap_or(&Value::Null), listed.output);
    }
    let mut table = Table::new(["ID", "NAME", "ROLE", "MADE BY", "MADE", "ENDS", "SCOPE"]);
    for token in found.get("tokens").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| token.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let time = |name: &str| token.get(name).and_then(Value::as_u64).map(moment);
        let ends = time("expires_unix_ms").unwrap_or_else(|| "when revoked".to_owned());
        let scope = scope(token.get("scope").unwrap_or(&Value::Null));
        table.row([
            text("id"),
            text("name"),
            text("role"),
            text("created_by"),
            time("created_unix_ms").unwrap_or_default(),
            ends,
            scope,
        ]);
    }
    table.print(Style::detect(), "there are no tokens")
}

/// A scope on one line.
fn scope(scope: &Value) -> String {
    let parts: Vec<&str> = ["labels", "hosts", "paths"]
        .into_iter()
        .flat_map(|name| super::planned::texts(scope, name))
        .collect();
    if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }
}

impl User {
    /// Does what was asked.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            UserCommand::Add { name, role, dry_run, remote } => {
                let client = remote.client()?;
                let users = client.get(&["users"], &[]).await?;
                // Before a password is asked for in vain.
                if is_known(&users, "users", "name", &name) {
                    let what = format!("there is a user {name} already, and nothing was changed");
                    let next = format!("`usher user set {name}` gives another role or password");
                    return Err(Failure::new(Code::Conflict, what).next(next).into());
                }
                if dry_run {
                    return say(&format!("user {name} ({}) would be made; nothing was changed", role.word()));
                }
                let password = ask::new_password("usher user add ada --role admin < password-file")?;
                let request = json!({ "name": name, "role": role.word(), "password": password.expose() });
                client.post(&["users"], &request).await?;
                say(&format!("user {name} ({}) is known", role.word()))
            }
            UserCommand::Set { name, role, password, dry_run, remote } => {
                let client = remote.client()?;
                let users = client.get(&["users"], &[]).await?;
                if dry_run || !is_known(&users, "users", "name", &name) {
                    look(&users, "users", "name", &name, "would be changed")?;
                    return Ok(());
                }
                let mut request = serde_json::Map::new();
                if let Some(role) = role {
                    request.insert("role".to_owned(), role.word().into());
                }
                if password {
                    let password = ask::new_password("usher user set ada --password < password-file")?;
                    request.insert("password".to_owned(), password.expose().as_str().into());
                }
                let user = client.put(&["users", &name], &request.into()).await?;
                let role = user.get("role").and_then(Value::as_str).unwrap_or_default();
                let told = if password { ", with another password" } else { "" };
                say(&format!("user {name} is {role}{told}"))
            }
            UserCommand::List(listed) => list_users(listed).await,
            UserCommand::Remove { name, dry_run, remote } => {
                let client = remote.client()?;
                if dry_run {
                    return look(
                        &client.get(&["users"], &[]).await?,
                        "users",
                        "name",
                        &name,
                        "would be gone",
                    );
                }
                client.delete(&["users", &name]).await?;
                say(&format!("user {name} is removed"))
            }
        }
    }
}

async fn list_users(listed: Listed) -> anyhow::Result<()> {
    let found = listed.remote.client()?.get(&["users"], &[]).await?;
    if listed.output != Format::Table {
        return output::print(found.get("users").unwrap_or(&Value::Null), listed.output);
    }
    let mut table = Table::new(["NAME", "ROLE", "MADE", "CHANGED"]);
    for user in found.get("users").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| user.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let time = |name: &str| user.get(name).and_then(Value::as_u64).map(moment).unwrap_or_default();
        table.row([text("name"), text("role"), time("created_unix_ms"), time("changed_unix_ms")]);
    }
    table.print(Style::detect(), "there are no users")
}

/// Whether a list holds this one.
fn is_known(found: &Value, list: &str, by: &str, wanted: &str) -> bool {
    let all = found.get(list).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|item| item.get(by)).any(|name| name.as_str() == Some(wanted))
}

/// Says what a command would find.
fn look(found: &Value, list: &str, by: &str, wanted: &str, fate: &str) -> anyhow::Result<()> {
    if is_known(found, list, by, wanted) {
        return say(&format!("{wanted} is there and {fate}; nothing was changed"));
    }
    let next = format!("`usher {} list` shows them", list.trim_end_matches('s'));
    Err(Failure::new(Code::NotFound, format!("there is no {wanted} among the {list}")).next(next).into())
}

/// A time as people write it, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no time; write a number and s, m, h, d, w or y, such as 30d");
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (text.get(..end).unwrap_or_default(), text.get(end..).unwrap_or_default());
    let factor: u64 = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        "y" => 365 * 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .filter(|secs| *secs > 0)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, wanted) in [
            ("90", Some(90)),
            ("5m", Some(300)),
            ("30d", Some(2_592_000)),
            ("1y", Some(31_536_000)),
            ("0", None),
            ("d", None),
            ("3x", None),
            ("-1", None),
        ] {
            assert_eq!(seconds(text).ok(), wanted, "{text}");
        }
    }
}
