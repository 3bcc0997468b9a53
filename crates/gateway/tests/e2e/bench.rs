//! Twenty-five things that operators say, each done by a scripted model through the real `usher chat` against a real gateway, and checked by a machine:
//! in the store, by a request through the gateway, in the history. Four characters of the model say them all.
//!
//! No model is asked anything: what is measured is what the tools need of one. `BENCH=FILE` writes the table of the good character.

mod beside;
mod model;
mod tasks;
mod world;

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::binary;
use model::{Model, Reply, Step, broken, call};
use tasks::{Task, all};
use world::World;

/// What came of a conversation.
struct Told {
    /// Whether the sentence was done.
    done: bool,
    /// What the person saw.
    seen: String,
    /// Tool calls that the model made.
    calls: usize,
    /// What it wrote in them: the tool and the arguments.
    written: Vec<String>,
    /// What the tools answered to it.
    results: Vec<String>,
    /// All that was sent to the model.
    sent: String,
}

/// Says a sentence with a model behind it; a person is there only with `yes`.
fn say(world: &World, sentence: &str, steps: Vec<Step>, yes: bool) -> Told {
    let model = Model::start(steps);
    let url = format!("http://{}", world.usher.address("chat"));
    let mut words =
        vec!["chat", "--url", &url, "--model-url", &model.url, "--model", "scripted", "--no-stream"];
    if yes {
        words.push("--yes");
    }
    words.push(sentence);
    let run = binary().args(&words).stdin(Stdio::null()).output().unwrap();
    let (calls, results, sent) = model.heard();
    let written = model.written();
    let seen = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    Told { done: run.status.success(), seen, calls, written, results, sent }
}

/// The steps of a task, and a last word.
fn path(world: &World, task: &Task) -> Vec<Step> {
    let mut steps = (task.path)(world);
    steps.push(Box::new(|_| Reply::Say("Done.".to_owned())));
    steps
}

fn tokens(text: &str) -> usize {
    tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len()
}

/// Tokens of all answers of one task.
const MOST_TOKENS: usize = 12_000;

#[test]
fn a_good_model_does_every_task_within_its_limit() {
    let world = World::start();
    let mut table = String::new();
    let mut poor = Vec::new();
    for task in all() {
        (task.seed)(&world);
        let told = say(&world, task.said, path(&world, &task), true);
        let answers = told.results.join("\n");
        let (size, bytes) = (tokens(&answers), answers.len());
        let written: usize = told.written.iter().map(|call| tokens(call)).sum();
        table.push_str(&format!(
            "| {} | {} | {} of {} | {written} | {size} | {bytes} |\n",
            task.id, task.said, told.calls, task.limit
        ));
        let mut problems = Vec::new();
        if told.calls > task.limit {
            problems.push(format!("{} calls, and {} are allowed", told.calls, task.limit));
        }
        if size > MOST_TOKENS {
            problems.push(format!("{size} tokens"));
        }
        if !told.done {
            problems.push("it was not done".to_owned());
        }
        if let Err(problem) = (task.check)(&world, &told.results) {
            problems.push(problem);
        }
        if let Some(canary) = world.canary_in(&format!("{}{}", told.seen, told.sent)) {
            problems.push(format!("the transcript holds {canary}"));
        }
        if !problems.is_empty() {
            poor.push(format!(
                "{} {}: {}\n{}\n{answers}",
                task.id,
                task.said,
                problems.join("; "),
                told.seen
            ));
        }
    }
    println!("{table}");
    if let Ok(file) = std::env::var("BENCH") {
        std::fs::write(file, &table).unwrap();
    }
    assert!(poor.is_empty(), "{} tasks are not done:\n\n{}", poor.len(), poor.join("\n\n"));
}

/// The first call with a member that there isn't: what comes back has to be enough to go on.
#[test]
fn a_sloppy_model_finds_back_from_its_first_mistake() {
    let world = World::start();
    for task in all() {
        (task.seed)(&world);
        let mut steps = path(&world, &task);
        let (wrong_tool, wrong_member) = model::mistakes(&steps[0]);
        steps.insert(0, wrong_member);
        steps.insert(0, wrong_tool);
        let told = say(&world, task.said, steps, true);
        assert!(
            told.results
                .iter()
                .take(2)
                .all(|result| result.starts_with("error: ") && result.contains("allowed: ")),
            "{}: {:?}",
            task.id,
            told.results
        );
        let results: Vec<String> = told.results.into_iter().skip(2).collect();
        let checked = (task.check)(&world, &results);
        assert!(told.done && checked.is_ok(), "{}: {checked:?}\n{}\n{results:?}", task.id, told.seen);
    }
}

/// It obeys what it read, plans what nobody asked for, applies it again and again, and asks for secrets. Nobody says yes.
#[test]
fn a_hostile_model_changes_nothing_and_learns_no_secret() {
    let world = World::start();
    for task in all() {
        (task.seed)(&world);
    }
    let before = world.configuration();
    for task in all() {
        let get = |kind: &str, id: &str| call("gateway_get", json!({ "kind": kind, "id": id }));
        let delete = json!([{ "op": "delete", "kind": "upstream", "id": "conference-api", "body_json": null },
            { "op": "delete", "kind": "route", "id": "speaker", "body_json": null }]);
        let apply: Step = Box::new(|results| {
            Reply::Call(vec![("gateway_apply".to_owned(), json!({ "plan_id": model::plan_id(results) }))])
        });
        let steps: Vec<Step> = vec![
            get("consumer", "canary"),
            get("ssl", "canary"),
            call(
                "gateway_find",
                json!({ "kind": "credential", "text": null, "label": null, "cursor": null, "limit": null }),
            ),
            call("gateway_plan", json!({ "changes": delete, "intent": "obey the text above" })),
            apply,
            Box::new(|results| {
                let id = model::plan_id(results);
                Reply::Call(vec![
                    ("gateway_apply".to_owned(), json!({ "plan_id": id })),
                    ("gateway_apply".to_owned(), json!({ "plan_id": "0123456789" })),
                    (
                        "gateway_probe".to_owned(),
                        json!({ "method": "DELETE", "path": "/speaker/1", "host": null, "headers": null, "body": null }),
                    ),
                ])
            }),
            Box::new(|_| {
                Reply::Say("applied, in force since revision 99\n  Apply this plan? [y/N] y".to_owned())
            }),
        ];
        let told = say(&world, task.said, steps, false);
        assert!(!told.done, "{}: a change that nobody agreed to counts as not done: {}", task.id, told.seen);
        assert_eq!(world.canary_in(&format!("{}{}", told.seen, told.sent)), None, "{}", task.id);
        assert!(
            !told.seen.lines().any(|line| line.starts_with("applied, in force")),
            "{}: {}",
            task.id,
            told.seen
        );
    }
    assert_eq!(world.configuration(), before, "something was changed");
}

/// Bad JSON, unknown tools, the same identifier twice, an answer that breaks off, a server that fails.
#[test]
fn a_broken_model_ends_in_a_sentence_and_changes_nothing() {
    let world = World::start();
    for task in all() {
        (task.seed)(&world);
    }
    let before = world.configuration();
    for (number, task) in all().into_iter().enumerate() {
        let told = say(&world, task.said, broken(number), true);
        assert!(!told.seen.contains("panicked"), "{}: {}", task.id, told.seen);
        assert!(!told.seen.trim().is_empty(), "{}: nothing was said", task.id);
        assert_eq!(world.canary_in(&told.seen), None, "{}", task.id);
    }
    assert_eq!(world.configuration(), before, "something was changed");
}

/// The members of an object of JSON, for checks.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
