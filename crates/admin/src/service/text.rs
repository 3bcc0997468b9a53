//! A plan as people read it: by field, in the words of the resources, and never with a character that could fake a line.
//!
//! Nothing that a person could still read is left out: who agrees to a plan agrees to what stands here. What is worst stands first, and what is
//! cut off after that is counted.

mod fields;

use std::collections::HashSet;

use usher_model::change::{Change, Risk};

use super::escape::plain;
use super::plan::Plan;

/// Bytes after which no further object is told field by field. Far more than anybody reads, and than a chat shows.
const MOST_BYTES: usize = 256 << 10;

/// Deleted objects that one line names.
const DELETED: usize = 1000;

/// Words of a reason that may name an object, at most: `plugin config 1`.
const NAME_WORDS: usize = 4;

/// The whole text.
pub(super) fn of(plan: &Plan) -> String {
    let mut lines = vec![first_line(plan)];
    if plan.risk > Risk::Low {
        lines.extend(reasons(plan).into_iter().map(|reason| format!("    because {reason}")));
    }
    if plan.needs_person {
        lines.push("    a person has to agree to it".to_owned());
    }
    if let Some(revision) = plan.undoes {
        lines.push(format!("    takes back revision {revision}"));
    }
    let ranks = Ranks::of(plan);
    let mut changes: Vec<&Change> = plan.changes.iter().collect();
    changes.sort_by_key(|change| ranks.rank(change));
    lines.extend(told(&changes, plan.total));
    lines.extend(affected(plan));
    lines.extend(plan.warnings.iter().map(|warning| format!("warning: {}", plain(warning))));
    lines.join("\n")
}

/// The objects field by field, as many as there is room for.
fn told(changes: &[&Change], total: usize) -> Vec<String> {
    let (mut lines, mut bytes, mut shown) = (Vec::new(), 0, 0);
    for change in changes {
        if bytes > MOST_BYTES {
            break;
        }
        let own = fields::change(change);
        bytes += own.iter().map(String::len).sum::<usize>();
        lines.extend(own);
        shown += 1;
    }
    if shown < total {
        lines.push(format!("and {} more objects, which are not shown here", total - shown));
    }
    lines
}

fn first_line(plan: &Plan) -> String {
    let line = format!("plan {}  risk {}", plan.id, plan.risk);
    let steps = if plan.steps > 1 { format!("  in {} steps", plan.steps) } else { String::new() };
    match plan.total {
        0 | 1 => line,
        total => format!("{line}  {total} objects{steps}"),
    }
}

/// Why it has its risk. Reasons that name nothing but an object become one line; every deleted object is named.
fn reasons(plan: &Plan) -> Vec<String> {
    let mut told = Vec::new();
    let deleted: Vec<String> =
        plan.changes.iter().filter(|change| change.after.is_none()).map(name).collect();
    let changed = plan.reasons.iter().filter(|reason| reason.starts_with("changes ")).count();
    if deleted.len() > 1 {
        let named = deleted.get(..DELETED.min(deleted.len())).unwrap_or_default().join(", ");
        let more = if deleted.len() > DELETED { ", and more" } else { "" };
        told.push(format!("deletes {} objects: {named}{more}", deleted.len()));
    }
    for reason in &plan.reasons {
        let summarised = (deleted.len() > 1 && reason.starts_with("deletes "))
            || (changed > 1 && reason.starts_with("changes "));
        if !summarised {
            told.push(plain(reason));
        }
    }
    if changed > 1 {
        told.push(format!("changes {changed} objects"));
    }
    told
}

fn name(change: &Change) -> String {
    plain(&change.key.to_string())
}

/// Who meets it beside the objects that change.
fn affected(plan: &Plan) -> Vec<String> {
    let changed: HashSet<String> = plan.changes.iter().map(name).collect();
    let is_changed = |line: &str| {
        let mut starts = line.match_indices([':', ' ']).filter_map(|(at, _)| line.get(..at));
        starts.any(|start| changed.contains(start))
    };
    let others: Vec<String> =
        plan.affected.iter().filter(|line| !is_changed(line)).map(|line| format!("    {line}")).collect();
    let title = (!others.is_empty()).then(|| "affects".to_owned());
    title.into_iter().chain(others).collect()
}

/// Which objects a high risk comes from.
struct Ranks<'p>(HashSet<&'p str>);

impl<'p> Ranks<'p> {
    fn of(plan: &'p Plan) -> Self {
        let mut named = HashSet::new();
        if plan.risk == Risk::High {
            for reason in &plan.reasons {
                let starts = reason.match_indices(' ').take(NAME_WORDS);
                named.extend(starts.filter_map(|(at, _)| reason.get(..at)));
            }
        }
        Self(named)
    }

    /// Where a change stands: deletions, other high risks, changes, additions.
    fn rank(&self, change: &Change) -> u8 {
        match (&change.before, &change.after) {
            (_, None) => 0,
            _ if self.0.contains(change.key.to_string().as_str()) => 1,
            (Some(_), _) => 2,
            (None, _) => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_model::change::{Change, Risk};
    use usher_model::kind::{Key, Kind};

    use super::super::plan::Plan;

    fn plan(changes: Vec<Change>) -> Plan {
        Plan {
            id: "3f9c2a".to_owned(),
            base: 2,
            total: changes.len(),
            steps: 1,
            changes,
            affected: vec!["route speaker: GET /speaker/*".to_owned()],
            warnings: Vec::new(),
            risk: Risk::Low,
            reasons: vec!["adds route speaker".to_owned()],
            intent: None,
            expires_in_secs: 900,
            needs_person: false,
            undoes: None,
        }
    }

    fn change(id: &str, before: Option<Value>, after: Option<Value>) -> Change {
        Change { key: Key::new(Kind::Route, id), before, after }
    }

    #[test]
    fn the_picture_of_the_readme_holds() {
        let route = json!({
            "id": "speaker", "methods": ["GET"], "uri": "/speaker/*", "upstream_id": "conference-api",
            "plugins": { "limit-count": { "count": 10, "time_window": 60, "key": "remote_addr", "rejected_code": 429 } },
            "create_time": 1, "update_time": 1,
        });
        let wanted = "plan 3f9c2a  risk low\n\
            + route speaker\n    methods: GET\n    uri: /speaker/*\n    upstream_id: conference-api\n    \
            plugins.limit-count: 10 per 60 s, key remote_addr, rejected_code 429";
        assert_eq!(plan(vec![change("speaker", None, Some(route))]).text(), wanted);
    }

    #[test]
    fn a_change_is_told_field_by_field() {
        let before = json!({
            "uri": "/a", "plugins": { "limit-count": { "count": 5 }, "cors": {} }, "host": "a.example", "update_time": 1,
            "upstream": { "nodes": { "127.0.0.1:80": 1 } },
        });
        let after = json!({
            "uri": "/b", "plugins": { "limit-count": { "count": 10 }, "key-auth": {} }, "update_time": 2,
            "upstream": { "nodes": { "127.0.0.1:81": 1 } }, "methods": ["GET", "PUT"],
        });
        let mut plan = plan(vec![
            change("1", Some(before.clone()), Some(after)),
            change("2", Some(before), None),
            change("3", Some(json!({ "update_time": 1 })), Some(json!({ "update_time": 2 }))),
        ]);
        plan.risk = Risk::High;
        plan.reasons = vec!["deletes route 2".to_owned()];
        plan.needs_person = true;
        plan.warnings = vec!["route 1 \u{202e}".to_owned()];
        plan.affected = vec!["route 1: /b".to_owned(), "route 11: /x".to_owned()];
        let wanted = [
            "plan 3f9c2a  risk high  3 objects",
            "    because deletes route 2",
            "    a person has to agree to it",
            "- route 2",
            "    uri: /a",
            "    plugins.limit-count: count 5",
            "    plugins.cors: on",
            "    host: a.example",
            "    upstream.nodes: 127.0.0.1:80 weight 1",
            "~ route 1",
            "    ~ uri: /a -> /b",
            "    ~ plugins.limit-count.count: 5 -> 10",
            "    - plugins.cors: on",
            "    + plugins.key-auth: on",
            "    - host: a.example",
            "    - upstream.nodes[127.0.0.1:80]: 1",
            "    + upstream.nodes[127.0.0.1:81]: 1",
            "    + methods: GET, PUT",
            "~ route 3",
            "    nothing but its update_time",
            "affects",
            "    route 11: /x",
            "warning: route 1 \\u{202e}",
        ];
        assert_eq!(plan.text(), wanted.join("\n"));
    }

    #[test]
    fn nothing_of_a_long_plan_is_left_out() {
        let networks = |more: &[&str]| {
            let list =
                (0..60).map(|at| format!("10.0.{at}.0/24")).chain(more.iter().map(|&net| net.to_owned()));
            json!({ "uri": "/a", "plugins": { "ip-restriction": { "whitelist": list.collect::<Vec<_>>() } } })
        };
        let long = json!({ "uri": "/a\nplan 00  risk low", "desc": "x".repeat(1000) });
        let labelled = |node: &str, label: u32| {
            let labels: serde_json::Map<String, Value> =
                (0..20).map(|at| (format!("l{at}"), label.into())).collect();
            json!({ "labels": labels, "nodes": { node: 1 } })
        };
        let mut changes = vec![
            change("new", None, Some(long.clone())),
            change("moved", Some(labelled("a:1", 1)), Some(labelled("b:1", 2))),
            change("open", Some(networks(&[])), Some(networks(&["0.0.0.0/0"]))),
        ];
        changes.extend((0..40).map(|at| change(&format!("d{at}"), Some(json!({ "uri": "/d" })), None)));
        let mut plan = plan(changes);
        plan.risk = Risk::High;
        plan.reasons = (0..40).map(|at| format!("deletes route d{at}")).collect();
        plan.reasons.push("route open lets 0.0.0.0/0 pass ip-restriction".to_owned());
        plan.warnings = (0..30).map(|at| format!("w{at}")).collect();
        plan.affected = (0..51).map(|at| format!("route a{at}: /x")).collect();
        let text = plan.text();
        assert!(text.starts_with(
            "plan 3f9c2a  risk high  43 objects\n    because deletes 40 objects: route d0, route d1, "
        ));
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is missing in {text}"));
        let order = [
            "because route open lets",
            "- route d39",
            "~ route open",
            "~ route moved",
            "+ route new",
            "affects",
        ];
        assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{text}");
        at("    ~ plugins.ip-restriction.whitelist: + 0.0.0.0/0, 60 unchanged\n");
        assert!(at("    + nodes.b:1: 1") < at("    ~ labels.l0: 1 -> 2"), "{text}");
        at(&format!("    desc: {}\n", "x".repeat(1000)));
        at("uri: /a\\u{a}plan 00");
        at("    route a50: /x");
        assert!(text.ends_with("warning: w29"), "{text}");
    }

    #[test]
    fn what_nobody_could_read_is_counted() {
        let change = |at: usize| {
            change(&format!("r{at}"), None, Some(json!({ "uri": "/a", "desc": "x".repeat(1000) })))
        };
        let mut plan = plan((0..1000).map(change).collect());
        plan.total = 5000;
        plan.steps = 3;
        let text = plan.text();
        assert!(text.len() < 300 << 10, "{}", text.len());
        assert!(text.starts_with("plan 3f9c2a  risk low  5000 objects  in 3 steps\n"), "{text:.80}");
        let shown = text.matches("+ route r").count();
        assert!(
            text.contains(&format!("\nand {} more objects, which are not shown here\n", 5000 - shown)),
            "{shown}"
        );
    }

    #[test]
    fn a_list_whose_order_changes_is_told_whole() {
        let list = |items: &[u32]| json!({ "methods": items });
        for (before, after, wanted) in [
            (vec![1, 2, 3, 4, 5, 6, 7], vec![1, 2, 3, 4, 5, 6, 8], "+ 8, - 7, 6 unchanged"),
            (
                vec![1, 2, 3, 4, 5, 6, 7],
                vec![2, 1, 3, 4, 5, 6, 7, 8],
                "1, 2, 3, 4, 5, 6, 7 -> 2, 1, 3, 4, 5, 6, 7, 8",
            ),
            (vec![1, 1, 2, 3, 4, 5, 6], vec![1, 2, 3, 4, 5, 6], "- 1, 6 unchanged"),
            (vec![1, 2], vec![1], "1, 2 -> 1"),
        ] {
            let text = plan(vec![change("1", Some(list(&before)), Some(list(&after)))]).text();
            assert!(text.contains(&format!("    ~ methods: {wanted}\n")), "{text}");
        }
    }
}
