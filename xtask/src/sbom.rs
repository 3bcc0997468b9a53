//! `cargo xtask sbom`: the list of everything that the program is made of, as CycloneDX 1.6.
//!
//! Made of `cargo metadata`, `Cargo.lock` and the lock file of the console alone, without a clock and without chance: the same tree gives the same
//! bytes, so that two lists can be compared. C and C++ sources (AWS-LC, jemalloc, Luau) are inside of the crates that are listed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::command::{command, root, say};

const HELP: &str = "usage: cargo xtask sbom [--target TRIPLE] [-o FILE]

  Writes a list of all crates and packages that the program is made of (CycloneDX 1.6, JSON), to target/usher.cdx.json or FILE.
  What only takes part in building has the scope `excluded`; what only tests use isn't listed.
";
/// The package whose binary is shipped.
const SHIPPED: &str = "usher-gateway";

/// Writes the list.
///
/// # Errors
/// A word that is none; cargo or a lock file can't be read; the file can't be written.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    let (mut target, mut file) = ("x86_64-unknown-linux-gnu".to_owned(), None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--help" | "-h" | "help", _) => return say(HELP.trim_end()),
            ("--target", Some(value)) => target.clone_from(value),
            ("-o", Some(value)) => file = Some(std::path::PathBuf::from(value)),
            (other, _) => bail!("{other:?} is no option, or lacks its value\n\n{HELP}"),
        }
    }
    let list = list(&target)?;
    let file = file.unwrap_or_else(|| root().join("target/usher.cdx.json"));
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut text = serde_json::to_string_pretty(&list)?;
    text.push('\n');
    std::fs::write(&file, text).with_context(|| format!("could not write {}", file.display()))?;
    let count = list.get("components").and_then(Value::as_array).map_or(0, Vec::len);
    say(&format!("{count} components for {target}: {}", file.display()))
}

/// A crate of the graph.
struct Package {
    name: String,
    version: String,
    licence: String,
    /// Whether it only runs inside of the compiler.
    is_macro: bool,
    /// Whether it is one of ours.
    ours: bool,
    /// What it needs to run, and what to be built.
    needs: Vec<(String, bool)>,
}

fn list(target: &str) -> anyhow::Result<Value> {
    let words = ["metadata", "--locked", "--format-version", "1", "--filter-platform", target];
    let output = command("cargo", &words).output().context("could not start cargo")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?;
    let packages = packages(&metadata)?;
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).context("could not read Cargo.lock")?;
    let checksums = checksums(&lock);
    let shipped = packages
        .iter()
        .find(|(_, package)| package.name == SHIPPED)
        .map(|(id, _)| id.clone())
        .with_context(|| format!("{SHIPPED} is not in the workspace"))?;
    let runs = reached(&packages, &shipped, false);
    let built = reached(&packages, &shipped, true);
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for (id, package) in packages.iter().filter(|(id, _)| built.contains(*id)) {
        let needs: BTreeSet<String> = package
            .needs
            .iter()
            .filter(|(need, _)| built.contains(need))
            .filter_map(|(need, _)| packages.get(need).map(reference))
            .collect();
        dependencies.push(json!({ "ref": reference(package), "dependsOn": needs }));
        if *id == shipped {
            continue;
        }
        let mut component = json!({
            "type": "library",
            "bom-ref": reference(package),
            "name": package.name,
            "version": package.version,
            "scope": if runs.contains(id) { "required" } else { "excluded" },
            "licenses": [{ "expression": package.licence }],
        });
        if let (Some(members), false) = (component.as_object_mut(), package.ours) {
            members
                .insert("purl".to_owned(), json!(format!("pkg:cargo/{}@{}", package.name, package.version)));
            if let Some(sum) = checksums.get(&(package.name.as_str(), package.version.as_str())) {
                members.insert("hashes".to_owned(), json!([{ "alg": "SHA-256", "content": sum }]));
            }
        }
        components.push(component);
    }
    components.extend(of_the_console()?);
    let version = packages.get(&shipped).map_or("", |package| package.version.as_str());
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": format!("{SHIPPED}@{version}"),
                "name": "usher",
                "version": version,
                "licenses": [{ "expression": "Apache-2.0" }],
            },
            "properties": [{ "name": "cargo:target", "value": target }],
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn reference(package: &Package) -> String {
    format!("{}@{}", package.name, package.version)
}

/// All crates of the graph by their id.
fn packages(metadata: &Value) -> anyhow::Result<BTreeMap<String, Package>> {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let array =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut found = BTreeMap::new();
    for package in array(metadata, "packages") {
        let kinds = array(&package, "targets").into_iter().flat_map(|target| array(&target, "kind"));
        let name = text(&package, "name");
        let licence = text(&package, "license");
        if licence.is_empty() {
            bail!("{name} names no licence in its manifest; deny.toml wants one too");
        }
        found.insert(
            text(&package, "id"),
            Package {
                name,
                version: text(&package, "version"),
                // The old form of `or`, which CycloneDX doesn't take.
                licence: licence.replace('/', " OR "),
                is_macro: kinds.into_iter().any(|kind| kind == "proc-macro"),
                ours: package.get("source").is_none_or(Value::is_null),
                needs: Vec::new(),
            },
        );
    }
    for node in metadata.get("resolve").map(|resolve| array(resolve, "nodes")).unwrap_or_default() {
        let Some(package) = found.get_mut(&text(&node, "id")) else { continue };
        for need in array(&node, "deps") {
            let kinds: Vec<String> =
                array(&need, "dep_kinds").iter().map(|kind| text(kind, "kind")).collect();
            // Without a word it is an ordinary one; `dev` is for tests.
            if kinds.iter().any(String::is_empty) {
                package.needs.push((text(&need, "pkg"), false));
            } else if kinds.iter().any(|kind| kind == "build") {
                package.needs.push((text(&need, "pkg"), true));
            }
        }
    }
    Ok(found)
}

/// What is reached from here: what runs, or what takes part in building too.
fn reached(packages: &BTreeMap<String, Package>, from: &str, building: bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![from.to_owned()];
    while let Some(id) = left.pop() {
        let Some(package) = packages.get(&id) else { continue };
        if (package.is_macro && !building) || !found.insert(id) {
            continue;
        }
        let needs = package.needs.iter().filter(|(_, build)| building || !build);
        left.extend(needs.map(|(id, _)| id.clone()));
    }
    found
}

/// The checksums that the lock file holds, by name and version.
fn checksums(lock: &str) -> BTreeMap<(&str, &str), &str> {
    let mut found = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let member = |name: &str| {
            package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        if let (Some(name), Some(version), Some(sum)) =
            (member("name"), member("version"), member("checksum"))
        {
            found.insert((name, version), sum);
        }
    }
    found
}

/// The packages that the console's files, which are embedded, were built of.
fn of_the_console() -> anyhow::Result<Vec<Value>> {
    let file = root().join("crates/console/ui/package-lock.json");
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
    let lock: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    let packages = lock.get("packages").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut found = BTreeMap::new();
    for (place, package) in packages {
        // The console itself, and what only builds or tests it.
        let Some((_, name)) = place.rsplit_once("node_modules/") else { continue };
        let is = |member: &str| package.get(member).and_then(Value::as_bool).unwrap_or_default();
        if is("dev") || is("devOptional") {
            continue;
        }
        let text = |member: &str| package.get(member).and_then(Value::as_str).unwrap_or_default();
        let purl = format!("pkg:npm/{}@{}", name.replacen('@', "%40", 1), text("version"));
        let component = json!({
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": text("version"),
            "scope": "required",
            "licenses": [{ "expression": text("license") }],
            "purl": purl,
        });
        found.insert(purl, component);
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::list;

    #[test]
    fn all_that_runs_is_in_the_list_once_with_version_licence_and_checksum() {
        let list = list("x86_64-unknown-linux-gnu").unwrap();
        let components = list["components"].as_array().unwrap();
        let of = |name: &str| -> Vec<&Value> {
            components.iter().filter(|component| component["name"] == name).collect()
        };
        for (name, scope) in [
            ("rustls", "required"),
            ("tikv-jemalloc-sys", "required"),
            ("usher-proxy", "required"),
            ("react", "required"),
            // They run inside of the compiler, or of a build script.
            ("serde_derive", "excluded"),
            ("cc", "excluded"),
        ] {
            let found = of(name);
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(found[0]["scope"], scope, "{name}");
        }
        // Tests alone use them.
        for name in ["tiktoken-rs", "proptest", "playwright-core", "vite"] {
            assert!(of(name).is_empty(), "{name}");
        }
        let mut references = std::collections::BTreeSet::new();
        for component in components {
            assert!(references.insert(component["bom-ref"].as_str().unwrap()), "{component} is there twice");
            assert!(!component["licenses"][0]["expression"].as_str().unwrap().is_empty(), "{component}");
            if component["purl"].as_str().is_some_and(|purl| purl.starts_with("pkg:cargo/")) {
                assert_eq!(component["hashes"][0]["content"].as_str().unwrap().len(), 64, "{component}");
            }
        }
        for needs in list["dependencies"].as_array().unwrap() {
            for need in needs["dependsOn"].as_array().unwrap() {
                assert!(references.contains(need.as_str().unwrap()), "{need} is in no component");
            }
        }
        assert_eq!(list, super::list("x86_64-unknown-linux-gnu").unwrap(), "the same tree, the same list");
    }
}
