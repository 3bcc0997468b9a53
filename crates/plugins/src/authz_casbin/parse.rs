//! Reads a matcher, such as `g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act`.

use super::matcher::Kind;
use super::model::Model;

/// How deep a matcher may be nested.
const MAX_DEPTH: usize = 64;

/// A matcher, taken apart.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    Or(Vec<Node>),
    And(Vec<Node>),
    Not(Box<Node>),
    Equal(Operand, Operand),
    In(Operand, Vec<Operand>),
    /// A role: its kind, who, which role, and where.
    Role(usize, Vec<Operand>),
    /// A pattern: its number, and what it is compared with.
    Pattern(usize, Operand),
    Constant(bool),
}

/// A value in a matcher.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Request(usize),
    Policy(usize),
    Text(String),
}

/// A pattern in a matcher: how it is written, and where it stands.
#[derive(Debug, PartialEq)]
pub(super) struct PatternSite {
    pub(super) kind: Kind,
    pub(super) pattern: Operand,
}

/// Reads a model's matcher.
///
/// # Errors
/// What can't be understood.
pub(super) fn parse(model: &Model) -> Result<(Node, Vec<PatternSite>), String> {
    let mut reader = Reader { model, rest: &model.matcher, sites: Vec::new(), depth: 0 };
    let node = reader.or()?;
    reader.skip();
    if reader.rest.is_empty() { Ok((node, reader.sites)) } else { Err(reader.lost()) }
}

struct Reader<'m> {
    model: &'m Model,
    rest: &'m str,
    sites: Vec<PatternSite>,
    depth: usize,
}

impl<'m> Reader<'m> {
    fn lost(&self) -> String {
        let rest: String = self.rest.chars().take(40).collect();
        format!("the model's matcher can't be understood at {rest:?}")
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn or(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("the model's matcher is nested more than {MAX_DEPTH} levels deep"));
        }
        let mut nodes = vec![self.and()?];
        while self.take("||") {
            nodes.push(self.and()?);
        }
        self.depth -= 1;
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Or(nodes) })
    }

    fn and(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.one()?];
        while self.take("&&") {
            nodes.push(self.one()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::And(nodes) })
    }

    fn one(&mut self) -> Result<Node, String> {
        self.skip();
        if self.rest.starts_with('!') && !self.rest.starts_with("!=") {
            self.take("!");
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(format!("the model's matcher is nested more than {MAX_DEPTH} levels deep"));
            }
            let node = self.one()?;
            self.depth -= 1;
            return Ok(Node::Not(Box::new(node)));
        }
        if self.take("(") {
            let node = self.or()?;
            return if self.take(")") { Ok(node) } else { Err(self.lost()) };
        }
        let before = self.rest;
        if let Some(name) = self.word() {
            match name {
                "true" => return Ok(Node::Constant(true)),
                "false" => return Ok(Node::Constant(false)),
                _ if self.take("(") => return self.call(name),
                _ => self.rest = before,
            }
        }
        let left = self.operand()?;
        if self.take("==") {
            return Ok(Node::Equal(left, self.operand()?));
        }
        if self.take("!=") {
            return Ok(Node::Not(Box::new(Node::Equal(left, self.operand()?))));
        }
        if self.take("in") && self.take("(") {
            return Ok(Node::In(left, self.operands()?));
        }
        Err(self.lost())
    }

    fn call(&mut self, name: &str) -> Result<Node, String> {
        let operands = self.operands()?;
        if let Some(kind) = self.model.roles.iter().position(|(role, _)| role == name) {
            let size = self.model.roles.get(kind).map_or(0, |(_, size)| *size);
            if operands.len() != size {
                return Err(format!(
                    "the model's matcher gives {name} {} values; it has {size}",
                    operands.len()
                ));
            }
            return Ok(Node::Role(kind, operands));
        }
        let kind = Kind::named(name).ok_or_else(|| {
            format!("the model's matcher calls {name}, which is not known; known are keyMatch to keyMatch5, regexMatch, ipMatch, globMatch, and the roles of the model")
        })?;
        let [value, pattern] = <[Operand; 2]>::try_from(operands)
            .map_err(|_| format!("the model's matcher has to give {name} two values"))?;
        if matches!(pattern, Operand::Request(_)) {
            return Err(format!(
                "the model's matcher takes a pattern of {name} from the request; it has to be the policy's"
            ));
        }
        self.sites.push(PatternSite { kind, pattern });
        Ok(Node::Pattern(self.sites.len() - 1, value))
    }

    fn operands(&mut self) -> Result<Vec<Operand>, String> {
        let mut operands = vec![self.operand()?];
        while self.take(",") {
            operands.push(self.operand()?);
        }
        if self.take(")") { Ok(operands) } else { Err(self.lost()) }
    }

    fn word(&mut self) -> Option<&'m str> {
        self.skip();
        let end = self.rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        (!word.is_empty()).then(|| {
            self.rest = rest;
            word
        })
    }

    fn operand(&mut self) -> Result<Operand, String> {
        self.skip();
        for quote in ['"', '\'', '`'] {
            if let Some(inside) = self.rest.strip_prefix(quote) {
                let (text, rest) = inside.split_once(quote).ok_or_else(|| self.lost())?;
                self.rest = rest;
                return Ok(Operand::Text(text.to_owned()));
            }
        }
        let whole = self.rest;
        let owner = self.word().unwrap_or_default();
        let name = if self.take(".") { self.word().unwrap_or_default() } else { "" };
        let place = |fields: &[String]| fields.iter().position(|field| field == name);
        let found = match owner {
            "r" => place(&self.model.request).map(Operand::Request),
            "p" => place(&self.model.policy).map(Operand::Policy),
            _ => None,
        };
        if found.is_none() || self.rest.starts_with('.') {
            self.rest = whole;
            return Err(self.lost());
        }
        found.ok_or_else(|| self.lost())
    }
}
