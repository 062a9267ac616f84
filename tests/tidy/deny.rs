//! What `cargo deny check` asks by `deny.toml`, but for the advisories: building that program takes longer than all
//! that is asked here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use toml::{Table, Value};

/// A crate, as `cargo tree` names it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    name: String,
    version: String,
    licence: String,
}

/// What the crate is made of, for every system and with all features, by dependencies of these kinds.
fn parts(kinds: &str) -> BTreeSet<Part> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--locked", "--all-features", "--target", "all"])
        .args(["--prefix", "none", "--format", "{p}|{l}", "--edges", kinds])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {said}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let part = |line: &str| {
        // What was shown before has a star.
        let (part, licence) = line.trim_end_matches(" (*)").split_once('|')?;
        let mut words = part.split(' ');
        Some(Part {
            name: words.next()?.to_owned(),
            version: words.next()?.to_owned(),
            licence: licence.to_owned(),
        })
    };
    let lines = text.lines().filter(|line| !line.is_empty());
    let parts: BTreeSet<_> = lines
        .map(|line| part(line).unwrap_or_else(|| panic!("cargo tree: {line}")))
        .collect();
    assert!(parts.len() > 100, "what cargo tree says has changed");
    parts
}

fn read(file: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(path).expect("a file");
    text.parse().expect("TOML")
}

/// A list of `deny.toml`: its texts, or what its tables have under `crate`.
fn list(rules: &Table, table: &str, key: &str) -> BTreeSet<String> {
    let of = |value: &Value| {
        let name = value.get("crate").unwrap_or(value);
        name.as_str().expect("a name").to_owned()
    };
    let values = rules[table][key].as_array().expect("a list");
    values.iter().map(of).collect()
}

#[test]
fn licences_are_those_that_are_accepted_and_each_is_needed() {
    let allowed = list(&read("deny.toml"), "licenses", "allow");
    let parts = parts("normal,build,dev");
    let mut needed = BTreeSet::new();
    for part in &parts {
        match accepted(&part.licence, &allowed) {
            Some(by) => needed.extend(by),
            None => panic!("{} is under `{}`", part.name, part.licence),
        }
    }
    assert_eq!(needed, allowed, "no more are accepted than there are");
}

#[test]
fn no_crate_is_there_that_is_banned_and_none_twice_without_a_reason() {
    let rules = read("deny.toml");
    let banned = list(&rules, "bans", "deny");
    assert!(banned.contains("ring"), "{banned:?}");
    for part in parts("normal,build,dev") {
        assert!(!banned.contains(&part.name), "{part:?} is banned");
    }
    let mut versions = BTreeMap::<_, usize>::new();
    for part in parts("normal,build") {
        *versions.entry(part.name).or_default() += 1;
    }
    assert_eq!(rules["bans"]["multiple-versions"].as_str(), Some("deny"));
    let twice = versions.into_iter().filter(|(_, count)| *count > 1);
    let twice: BTreeSet<String> = twice.map(|(name, _)| name).collect();
    assert_eq!(twice, list(&rules, "bans", "skip"));
}

#[test]
fn every_dependency_names_a_version_and_comes_from_the_one_registry() {
    let rules = read("deny.toml");
    assert_eq!(rules["bans"]["wildcards"].as_str(), Some("deny"));
    let root = read("Cargo.toml");
    let members = root["workspace"]["members"].as_array().unwrap().clone();
    let members = members.iter().map(|member| member.as_str().unwrap());
    for (file, manifest) in members
        .map(|member| format!("{member}/Cargo.toml"))
        .map(|file| (file.clone(), read(&file)))
        .chain([("Cargo.toml".to_owned(), root)])
    {
        let is_private = manifest["package"].get("publish") == Some(&Value::Boolean(false));
        for (name, wanted) in dependencies(&manifest) {
            let version = wanted.get("version").unwrap_or(wanted).as_str();
            let is_here = is_private && wanted.get("path").is_some();
            let is_said = version.is_some_and(|version| !version.contains('*'));
            assert!(is_said || is_here, "{file}: {name} has no version");
        }
    }

    for key in ["unknown-registry", "unknown-git"] {
        assert_eq!(rules["sources"][key].as_str(), Some("deny"));
    }
    let ours = ["roundel", "roundel-benches", "roundel-interleavings"];
    let lock = read("Cargo.lock");
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let source = package.get("source").map(|source| source.as_str().unwrap());
        let is_known = match source {
            Some(source) => source.starts_with("registry+") && source.ends_with("/crates.io-index"),
            None => ours.contains(&name),
        };
        assert!(is_known, "{name} comes from {source:?}");
    }
}

/// What a manifest depends on, for whatever and on whatever system.
fn dependencies(manifest: &Table) -> Vec<(&String, &Value)> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([manifest]);
    let mut found = Vec::new();
    for table in tables {
        for kind in KINDS {
            found.extend(
                table
                    .get(kind)
                    .and_then(Value::as_table)
                    .into_iter()
                    .flatten(),
            );
        }
    }
    found
}

/// The accepted licences by which somebody may use what is under an expression of SPDX; none where one of them is
/// missing. With a choice, the first that is accepted is taken.
fn accepted(expression: &str, allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    // What cargo took before SPDX.
    let spaced = expression.replace('/', " OR ");
    let spaced = spaced.replace('(', "( ").replace(')', " )");
    let mut words = spaced.split_whitespace().peekable();
    let verdict = choice(&mut words, allowed);
    assert_eq!(words.next(), None, "`{expression}` is not understood");
    verdict
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn choice(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let mut verdict = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        let other = all(words, allowed);
        verdict = verdict.or(other);
    }
    verdict
}

fn all(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let mut verdict = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        let other = one(words, allowed);
        verdict = verdict.zip(other).map(|(a, b)| &a | &b);
    }
    verdict
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let mut name = words.next()?.to_owned();
    if name == "(" {
        let verdict = choice(words, allowed);
        assert_eq!(words.next(), Some(")"));
        return verdict;
    }
    if words.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", words.next()?);
    }
    allowed.contains(&name).then(|| BTreeSet::from([name]))
}

#[test]
fn an_expression_of_licences_is_accepted_by_what_it_asks_for() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let allowed = set(&["MIT", "ISC"]);
    for (expression, by) in [
        ("MIT", Some(&["MIT"][..])),
        ("GPL-3.0", None),
        ("GPL-3.0 OR MIT", Some(&["MIT"])),
        ("GPL-3.0/MIT", Some(&["MIT"])),
        ("GPL-3.0 AND MIT", None),
        ("MIT AND ISC", Some(&["MIT", "ISC"])),
        ("GPL-3.0 OR MIT AND ISC", Some(&["MIT", "ISC"])),
        ("(GPL-3.0 OR MIT) AND ISC", Some(&["MIT", "ISC"])),
        ("ISC AND (GPL-3.0 AND MIT OR GPL-3.0)", None),
        ("MIT WITH something", None),
    ] {
        let expected = by.map(set);
        assert_eq!(accepted(expression, &allowed), expected, "{expression}");
    }
}
