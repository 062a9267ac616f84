//! The account of all statements: each is proved by tests that name it or is listed with the reason
//! why no socket can show it. `docs/conformance.md` is that account, written by this module.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// Rewrites `docs/conformance.md` when it is set.
const UPDATE_VARIABLE: &str = "UPDATE_DOCS";

const MQTT5: &str = include_str!("statements/mqtt5.csv");
const MQTT311: &str = include_str!("statements/mqtt311.csv");
const NOT_OBSERVABLE: &str = include_str!("not_observable.csv");

/// `docs/conformance.md` says of every statement which tests prove it, and nothing else.
#[test]
fn every_statement_is_accounted_for() {
    let statements: Vec<Statement> = [('5', MQTT5), ('3', MQTT311)]
        .into_iter()
        .flat_map(|(key, csv)| statements(key, csv))
        .collect();
    let reasons: BTreeMap<String, String> = (records(NOT_OBSERVABLE).into_iter().skip(1))
        .map(|record| <[String; 2]>::try_from(record).expect("an id and a reason"))
        .map(|[id, reason]| (id, reason))
        .collect();
    let proofs = proofs();

    let known: BTreeSet<&String> = statements.iter().map(|statement| &statement.key).collect();
    let named: Vec<&String> = proofs
        .keys()
        .chain(reasons.keys())
        .filter(|key| !known.contains(key))
        .collect();
    assert!(
        named.is_empty(),
        "no standard has these statements: {named:?}"
    );
    let open: Vec<&String> = (known.iter().copied())
        .filter(|key| !proofs.contains_key(*key) && !reasons.contains_key(*key))
        .collect();
    assert!(
        open.is_empty(),
        "{} without a test or a reason: {open:#?}",
        open.len()
    );
    let twice: Vec<&String> = reasons
        .keys()
        .filter(|key| proofs.contains_key(*key))
        .collect();
    assert!(
        twice.is_empty(),
        "these have a test and a reason not to have one: {twice:?}"
    );

    let account = account(&statements, &proofs, &reasons);
    let file = root().join("docs/conformance.md");
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        fs::create_dir_all(root().join("docs")).expect("a directory for the document");
        fs::write(&file, &account).expect("the document is written");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == account,
        "docs/conformance.md is out of date: run the tests with {UPDATE_VARIABLE}=1 and commit it"
    );
}

/// A normative statement of one of the standards.
struct Statement {
    /// The key that tests name it by: `5:` or `3:` and the label of the standard.
    key: String,
    paraphrase: String,
}

fn statements(standard: char, csv: &str) -> Vec<Statement> {
    let records = records(csv);
    let columns = &records[0];
    let column = |name: &str| {
        columns
            .iter()
            .position(|column| column == name)
            .expect("a column of that name")
    };
    let (id, paraphrase) = (column("id"), column("paraphrase"));
    (records[1..].iter())
        .map(|record| Statement {
            key: format!("{standard}:{}", record[id]),
            paraphrase: record[paraphrase].clone(),
        })
        .collect()
}

/// The tests that name each statement, as `module::test`.
fn proofs() -> BTreeMap<String, Vec<String>> {
    let mut proofs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources() {
        let module = file
            .file_stem()
            .expect("a file name")
            .to_string_lossy()
            .into_owned();
        let source = fs::read_to_string(&file).expect("a source file");
        for (name, keys) in tests(&source) {
            for key in keys {
                proofs
                    .entry(key)
                    .or_default()
                    .push(format!("{module}::{name}"));
            }
        }
    }
    proofs
}

/// The tests of a source file with the statements that their documentation starts with.
fn tests(source: &str) -> Vec<(String, Vec<String>)> {
    let mut tests = Vec::new();
    let (mut documentation, mut is_test) = (String::new(), false);
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("///") {
            documentation += text;
        } else if line == "#[test]" {
            is_test = true;
        } else if let Some(signature) = line.strip_prefix("fn ").filter(|_| is_test) {
            let name = signature
                .split('(')
                .next()
                .expect("a name before the parameters");
            let is_key = |word: &&str| word.starts_with("5:MQTT-") || word.starts_with("3:MQTT-");
            let keys = documentation.split_whitespace().take_while(is_key);
            tests.push((name.to_owned(), keys.map(str::to_owned).collect()));
        }
        if !line.starts_with("///") && !line.starts_with("#[") {
            documentation.clear();
            is_test = false;
        }
    }
    tests
}

/// The document.
fn account(
    statements: &[Statement],
    proofs: &BTreeMap<String, Vec<String>>,
    reasons: &BTreeMap<String, String>,
) -> String {
    let mut text = String::from(
        "# Conformance\n\n\
         Every normative statement of MQTT 5.0 and MQTT 3.1.1, with the tests in `tests/conformance` \
         that prove it\nagainst the running broker, or the reason why no socket can show it. The \
         statements are restated in our\nown words; the labels are those of the standards.\n\n\
         This file is written by the tests: `UPDATE_DOCS=1 cargo test --test conformance ledger`.\n",
    );
    for (standard, prefix) in [("MQTT 5.0", "5:"), ("MQTT 3.1.1", "3:")] {
        let rows: Vec<&Statement> = statements
            .iter()
            .filter(|statement| statement.key.starts_with(prefix))
            .collect();
        let proved = rows
            .iter()
            .filter(|statement| proofs.contains_key(&statement.key))
            .count();
        write!(
            text,
            "\n## {standard}\n\n{} statements: {proved} proved by tests, {} that no socket can show.\n\n\
             | Statement | In short | Proof |\n| --- | --- | --- |\n",
            rows.len(),
            rows.len() - proved,
        )
        .expect("a string takes everything");
        for Statement { key, paraphrase } in rows {
            let proof = match proofs.get(key) {
                Some(tests) => tests
                    .iter()
                    .map(|test| format!("`{test}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
                None => format!("– {}", reasons[key]),
            };
            let label = key.trim_start_matches(prefix);
            let paraphrase = paraphrase.replace('|', "\\|");
            writeln!(text, "| {label} | {paraphrase} | {proof} |")
                .expect("a string takes everything");
        }
    }
    text
}

/// The records of comma-separated values, in which a field may be quoted.
fn records(csv: &str) -> Vec<Vec<String>> {
    let mut records = vec![];
    let (mut record, mut field, mut quoted) = (vec![], String::new(), false);
    let mut characters = csv.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    records
}

/// The files with tests, in the order of their names.
fn sources() -> Vec<PathBuf> {
    let directory = root().join("tests/conformance");
    let mut files: Vec<PathBuf> = (fs::read_dir(directory).expect("the directory of this file"))
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
