//! Who has which role, also by way of other roles; worked out once.

use std::collections::{HashMap, HashSet};

/// How many steps one role may lead to another.
const MAX_STEPS: usize = 10;
/// How many pairs of somebody and a role there may be.
const MAX_PAIRS: usize = 200_000;

/// The roles of one kind.
#[derive(Debug, Default)]
pub(super) struct Roles {
    /// By domain, then by who; the domain is empty where there is none.
    all: HashMap<String, HashMap<String, HashSet<String>>>,
}

impl Roles {
    /// Works out the roles of these lines: who, role, and the domain where there is one.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn new(lines: &[Vec<String>]) -> Result<Self, String> {
        let mut direct: HashMap<&str, HashMap<&str, Vec<&str>>> = HashMap::new();
        for line in lines {
            let [who, role, rest @ ..] = line.as_slice() else { continue };
            let domain = rest.first().map_or("", String::as_str);
            direct.entry(domain).or_default().entry(who).or_default().push(role);
        }
        let (mut all, mut pairs) = (HashMap::new(), 0);
        for (domain, graph) in &direct {
            let mut in_domain = HashMap::new();
            for who in graph.keys() {
                let mut found: HashSet<String> = HashSet::new();
                let mut edge: Vec<&str> = vec![who];
                for _ in 0..MAX_STEPS {
                    let next = edge.iter().filter_map(|name| graph.get(name)).flatten();
                    edge = next.copied().filter(|role| found.insert((*role).to_owned())).collect();
                }
                pairs += found.len();
                if pairs > MAX_PAIRS {
                    return Err(format!("the policy's roles come to more than {MAX_PAIRS}"));
                }
                in_domain.insert((*who).to_owned(), found);
            }
            all.insert((*domain).to_owned(), in_domain);
        }
        Ok(Self { all })
    }

    /// Whether somebody has a role, or is it.
    pub(super) fn has(&self, who: &str, role: &str, domain: &str) -> bool {
        let of = || self.all.get(domain).and_then(|in_domain| in_domain.get(who));
        who == role || of().is_some_and(|roles| roles.contains(role))
    }
}

#[cfg(test)]
mod tests {
    use super::Roles;

    #[test]
    fn roles_lead_to_roles_and_stay_in_their_domain() {
        let lines = [["a", "b", ""], ["b", "c", ""], ["c", "a", ""], ["a", "x", "d"]];
        let lines: Vec<Vec<String>> = lines.iter().map(|line| line.map(str::to_owned).to_vec()).collect();
        let roles = Roles::new(&lines).unwrap();
        for (who, role, domain, wanted) in [
            ("a", "b", "", true),
            ("a", "c", "", true),
            ("c", "b", "", true),
            ("a", "x", "", false),
            ("a", "x", "d", true),
            ("z", "z", "", true),
            ("z", "a", "", false),
        ] {
            assert_eq!(roles.has(who, role, domain), wanted, "{who} {role} {domain}");
        }
    }
}
