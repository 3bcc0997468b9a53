//! A Casbin model: its sections, and the lines of a policy.

use std::collections::HashMap;

/// How many lines a policy may have.
pub(super) const MAX_RULES: usize = 10_000;

/// How the verdicts of several rules come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// One that allows is enough.
    AnyAllows,
    /// Whatever isn't denied is allowed.
    NoneDenies,
    /// One has to allow, and none may deny.
    AllowedAndNotDenied,
    /// The first that says something decides.
    First,
}

/// A model.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) request: Vec<String>,
    pub(super) policy: Vec<String>,
    /// The kinds of roles, `g`, `g2` and so on, each with how many values it has.
    pub(super) roles: Vec<(String, usize)>,
    pub(super) effect: Effect,
    pub(super) matcher: String,
}

impl Model {
    /// Reads a model.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut sections: HashMap<String, Vec<(String, String)>> = HashMap::new();
        let mut section = String::new();
        let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
        for line in joined.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.trim().clone_into(&mut section);
                continue;
            }
            let (name, value) =
                line.split_once('=').ok_or_else(|| format!("the model's line {line:?} has no \"=\""))?;
            let value = value.split(" #").next().unwrap_or_default().trim();
            sections.entry(section.clone()).or_default().push((name.trim().to_owned(), value.to_owned()));
        }
        let only = |section: &str, name: &str| -> Result<String, String> {
            match sections.get(section).map(Vec::as_slice) {
                Some([(found, value)]) if found == name => Ok(value.clone()),
                None => Err(format!("the model has no section [{section}]")),
                Some(_) => Err(format!(
                    "the model's section [{section}] has to have one line, beginning with \"{name} =\""
                )),
            }
        };
        let fields = |text: &str| text.split(',').map(|field| field.trim().to_owned()).collect::<Vec<_>>();
        let request = fields(&only("request_definition", "r")?);
        if request.len() != 3 {
            return Err("the model's request has to have three values: who, what, how".to_owned());
        }
        let roles = sections.get("role_definition").map(Vec::as_slice).unwrap_or_default();
        let roles = roles.iter().map(|(name, value)| match fields(value).len() {
            size @ 2..=3 => Ok((name.clone(), size)),
            size => Err(format!("the model's role {name} has {size} values; it may have 2 or 3")),
        });
        Ok(Self {
            request,
            policy: fields(&only("policy_definition", "p")?),
            roles: roles.collect::<Result<_, _>>()?,
            effect: effect(&only("policy_effect", "e")?)?,
            matcher: only("matchers", "m")?,
        })
    }
}

fn effect(text: &str) -> Result<Effect, String> {
    let bare: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    match bare.replace("p_eft", "p.eft").as_str() {
        "some(where(p.eft==allow))" => Ok(Effect::AnyAllows),
        "!some(where(p.eft==deny))" => Ok(Effect::NoneDenies),
        "some(where(p.eft==allow))&&!some(where(p.eft==deny))" => Ok(Effect::AllowedAndNotDenied),
        "priority(p.eft)||deny" => Ok(Effect::First),
        _ => Err(format!("the model's effect {text:?} is none of Casbin's")),
    }
}

/// The lines of a policy: each its kind, such as `p` or `g`, and its values.
///
/// # Errors
/// There are too many.
pub(super) fn policy_lines(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut values = values(line).into_iter();
        let Some(kind) = values.next() else { continue };
        lines.push((kind, values.collect()));
        if lines.len() > MAX_RULES {
            return Err(format!("the policy has more than {MAX_RULES} lines"));
        }
    }
    Ok(lines)
}

/// Values between commas; in quotes a value may have commas itself.
fn values(line: &str) -> Vec<String> {
    let (mut values, mut value, mut quoted) = (Vec::new(), String::new(), false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => values.push(std::mem::take(&mut value).trim().to_owned()),
            _ => value.push(letter),
        }
    }
    values.push(value.trim().to_owned());
    values
}
