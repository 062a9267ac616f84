//! The pages for people: every link between them leads somewhere, and the site of `docs/` has them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Folders that nobody wrote.
const NOT_OURS: [&str; 4] = ["target", "node_modules", ".env", ".peers"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages of a folder and the folders in it, by their paths in the repository.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root().join(folder)).expect("a folder") {
        let entry = entry.expect("an entry of it");
        let name = entry.file_name();
        let path = folder.join(&name);
        let kind = entry.file_type().expect("what it is");
        if kind.is_dir() && !NOT_OURS.iter().any(|other| *other == name) {
            pages(&path, found);
        } else if kind.is_file() && path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
}

/// A page without its programs, and without code in its lines.
fn prose(text: &str) -> String {
    let mut kept = String::new();
    let mut fence = false;
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        if !is_fence && !fence {
            // Every second part of a line is code.
            let parts = line.split('`').step_by(2);
            kept.push_str(&parts.collect::<Vec<_>>().join("code"));
        }
        fence ^= is_fence;
        kept.push('\n');
    }
    assert!(!fence, "a block does not end");
    kept
}

/// Where the links and pictures of a text lead.
fn targets(prose: &str) -> Vec<&str> {
    let in_markdown = prose.split("](").skip(1);
    let mut found: Vec<_> = in_markdown
        .map(|rest| rest.split(')').next().unwrap_or_default())
        .collect();
    for attribute in [" src=\"", " srcset=\"", " href=\""] {
        let in_html = prose.split(attribute).skip(1);
        found.extend(in_html.map(|rest| rest.split('"').next().unwrap_or_default()));
    }
    found
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut counts = BTreeMap::new();
    let mut found = BTreeSet::new();
    let mut fence = false;
    for line in text.lines() {
        fence ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if fence || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().chars();
        let kept = kept.filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let count = counts.entry(anchor.clone()).or_insert(0);
        found.insert(match *count {
            0 => anchor,
            more => format!("{anchor}-{more}"),
        });
        *count += 1;
    }
    found
}

/// A path without the steps that lead up; `None` if it leaves the repository.
fn resolved(path: &Path) -> Option<PathBuf> {
    let mut whole = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !whole.pop() {
                    return None;
                }
            }
            other => whole.push(other),
        }
    }
    Some(whole)
}

/// What is wrong with a link of a page.
fn fault(page: &Path, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let linked = match path {
        "" => page.to_owned(),
        path => {
            let joined = page.parent().expect("a file has a folder").join(path);
            match resolved(&joined) {
                Some(linked) => linked,
                None => return Some("leads out of the repository"),
            }
        }
    };
    if !root().join(&linked).exists() {
        return Some("no such file");
    }
    let anchor = anchor?;
    if linked.extension().is_none_or(|end| end != "md") {
        return Some("only pages have anchors");
    }
    let text = fs::read_to_string(root().join(linked)).expect("a page");
    (!anchors(&text).contains(anchor)).then_some("no such heading")
}

#[test]
fn links_of_all_pages_lead_somewhere() {
    let mut all = Vec::new();
    pages(Path::new(""), &mut all);
    assert!(all.len() > 25, "the pages were not found");
    let mut faults = Vec::new();
    let mut count = 0;
    for page in all {
        let text = fs::read_to_string(root().join(&page)).expect("a page");
        for target in targets(&prose(&text)) {
            count += 1;
            if let Some(what) = fault(&page, target) {
                faults.push(format!("{}: {target}: {what}", page.display()));
            }
        }
    }
    assert!(count > 150, "only {count} links were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn summary_of_the_site_has_each_page_once() {
    let docs = Path::new("docs");
    let mut expected = Vec::new();
    pages(docs, &mut expected);
    let summary = docs.join("SUMMARY.md");
    expected.retain(|page| *page != summary);
    expected.sort();
    let text = fs::read_to_string(root().join(summary)).expect("the summary");
    let links = targets(&text).into_iter().map(|target| docs.join(target));
    let mut listed: Vec<_> = links.collect();
    listed.sort();
    assert_eq!(listed, expected);
}

#[test]
fn rules_of_shared_subscriptions_name_tests() {
    let read = |path| fs::read_to_string(root().join(path)).expect("a file");
    let page = read("docs/shared-subscriptions.md");
    let tests = read("tests/conformance/shared.rs");
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let rules: Vec<_> = rows.filter(|row| *row != "| rule | test |").collect();
    assert!(rules.len() > 20, "the rules were not found");
    for rule in rules {
        let names: Vec<_> = rule.split("`shared::").skip(1).collect();
        assert!(!names.is_empty(), "no test shows this: {rule}");
        for name in names {
            let name = name.split('`').next().unwrap_or_default();
            let is_test = tests.contains(&format!("#[test]\nfn {name}() {{"));
            assert!(is_test, "there is no test `{name}`");
        }
    }
}

/// `docs/build` knows links out of `docs/` by their form.
#[test]
fn links_out_of_the_site_are_those_that_its_builder_changes() {
    let mut all = Vec::new();
    pages(Path::new("docs"), &mut all);
    for page in all {
        let up = "../".repeat(page.components().count() - 1);
        let text = fs::read_to_string(root().join(&page)).expect("a page");
        for target in targets(&prose(&text)) {
            let path = target.split('#').next().unwrap_or_default();
            let linked = resolved(&page.parent().expect("docs").join(path));
            let is_out = linked.is_some_and(|linked| !linked.starts_with("docs"));
            let is_changed = path
                .strip_prefix(&up)
                .is_some_and(|rest| !rest.starts_with('.'));
            let is_local = !target.contains("://");
            assert_eq!(
                is_out && is_local,
                is_changed,
                "{}: {target}",
                page.display()
            );
        }
    }
}

#[test]
fn faults_of_links_are_found() {
    let page = Path::new("docs/README.md");
    let text = "See [a](testing.md#setup), [b](../README.md), `[c](code)`.\n```\n[d](in-a-block)\n```\n![e](x.svg)";
    assert_eq!(
        targets(&prose(text)),
        ["testing.md#setup", "../README.md", "x.svg"]
    );
    let titles = anchors("# One `two`, three\n## One two three\n```\n# none\n```\n#none");
    assert_eq!(
        titles.into_iter().collect::<Vec<_>>(),
        ["one-two-three", "one-two-three-1"]
    );
    for (target, what) in [
        ("testing.md#setup", None),
        ("https://example.org/", None),
        ("../README.md", None),
        ("nowhere.md", Some("no such file")),
        ("testing.md#set-up", Some("no such heading")),
        ("#no-such", Some("no such heading")),
        ("../../README.md", Some("leads out of the repository")),
        ("../Cargo.toml#package", Some("only pages have anchors")),
    ] {
        assert_eq!(fault(page, target), what, "{target}");
    }
}
