//! A model with its policy, ready to judge.

use super::matcher::Matcher;
use super::model::{Effect, Model, policy_lines};
use super::parse::{Node, Operand, parse};
use super::roles::Roles;

/// A model with its policy.
pub(super) struct Enforcer {
    effect: Effect,
    matcher: Node,
    rules: Vec<Rule>,
    roles: Vec<Roles>,
}

/// One line of the policy.
struct Rule {
    values: Vec<String>,
    verdict: Option<bool>,
    /// The patterns of the matcher, in its order, with this line's values.
    patterns: Vec<Matcher>,
}

impl Enforcer {
    /// Compiles both.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub(super) fn new(model: &str, policy: &str) -> Result<Self, String> {
        let model = Model::parse(model)?;
        let (matcher, sites) = parse(&model)?;
        let (mut written, mut role_lines) = (Vec::new(), vec![Vec::new(); model.roles.len()]);
        for (kind, values) in policy_lines(policy)? {
            let role = model.roles.iter().position(|(name, _)| *name == kind);
            match role.and_then(|role| role_lines.get_mut(role).zip(model.roles.get(role))) {
                Some((lines, (_, size))) if values.len() == *size => lines.push(values),
                Some((_, (_, size))) => {
                    return Err(format!(
                        "the policy's line {kind:?} has {} values; it needs {size}",
                        values.len()
                    ));
                }
                None if kind == "p" => written.push(values),
                None => return Err(format!("the policy has a line {kind:?}, which the model doesn't know")),
            }
        }
        if written.is_empty() {
            // A matcher that needs no policy, such as one that knows a superuser, is asked once.
            written.push(Vec::new());
        }
        let verdict_at = model.policy.iter().position(|field| field == "eft");
        let least = model.policy.len() - usize::from(verdict_at.is_some());
        let rules = written.into_iter().map(|mut values| {
            let is_empty = values.is_empty();
            if !is_empty && !(least..=model.policy.len()).contains(&values.len()) {
                return Err(format!("the policy's line {:?} has to have {least} values", values.join(", ")));
            }
            values.resize(model.policy.len(), String::new());
            let verdict = verdict_at.and_then(|at| values.get(at)).map_or("", String::as_str);
            let verdict = match verdict {
                "" | "allow" => Some(true),
                "deny" => Some(false),
                _ => None,
            };
            let patterns = sites.iter().map(|site| {
                let text = match &site.pattern {
                    Operand::Text(text) => text.as_str(),
                    Operand::Policy(at) => values.get(*at).map_or("", String::as_str),
                    Operand::Request(_) => "",
                };
                // The line that stands for none fits nothing.
                if is_empty && !matches!(site.pattern, Operand::Text(_)) {
                    return Ok(Matcher::Exact("\0".to_owned()));
                }
                Matcher::new(site.kind, text)
            });
            Ok(Rule { patterns: patterns.collect::<Result<_, _>>()?, values, verdict })
        });
        Ok(Self {
            effect: model.effect,
            matcher,
            rules: rules.collect::<Result<_, _>>()?,
            roles: role_lines.iter().map(|lines| Roles::new(lines)).collect::<Result<_, _>>()?,
        })
    }

    /// Whether this request may be: who, what, how.
    pub(super) fn admits(&self, request: &[&str]) -> bool {
        let (mut allowed, mut denied) = (false, false);
        for rule in &self.rules {
            if !self.fits(&self.matcher, request, rule) {
                continue;
            }
            match (self.effect, rule.verdict) {
                (Effect::First, Some(verdict)) => return verdict,
                (Effect::AnyAllows, Some(true)) => return true,
                (_, Some(true)) => allowed = true,
                (Effect::NoneDenies | Effect::AllowedAndNotDenied, Some(false)) => return false,
                (_, Some(false)) => denied = true,
                (_, None) => {}
            }
        }
        match self.effect {
            Effect::AnyAllows | Effect::AllowedAndNotDenied => allowed,
            Effect::NoneDenies => !denied,
            Effect::First => false,
        }
    }

    fn fits(&self, node: &Node, request: &[&str], rule: &Rule) -> bool {
        let value = |operand: &Operand| -> String {
            match operand {
                Operand::Text(text) => text.clone(),
                Operand::Request(at) => (*request.get(*at).unwrap_or(&"")).to_owned(),
                Operand::Policy(at) => rule.values.get(*at).cloned().unwrap_or_default(),
            }
        };
        match node {
            Node::Constant(constant) => *constant,
            Node::Or(nodes) => nodes.iter().any(|node| self.fits(node, request, rule)),
            Node::And(nodes) => nodes.iter().all(|node| self.fits(node, request, rule)),
            Node::Not(node) => !self.fits(node, request, rule),
            Node::Equal(left, right) => value(left) == value(right),
            Node::In(left, list) => list.iter().any(|one| value(one) == value(left)),
            Node::Pattern(at, operand) => {
                rule.patterns.get(*at).is_some_and(|pattern| pattern.fits(&value(operand)))
            }
            Node::Role(kind, operands) => {
                let mut values = operands.iter().map(value);
                let (who, role, domain) = (values.next(), values.next(), values.next());
                let (who, role) = (who.unwrap_or_default(), role.unwrap_or_default());
                self.roles.get(*kind).is_some_and(|roles| roles.has(&who, &role, &domain.unwrap_or_default()))
            }
        }
    }
}
