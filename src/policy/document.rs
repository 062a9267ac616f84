//! The grammar of a policy (AWS-POL-01, -02).

use super::action::ActionSet;
use super::condition::Condition;
use super::json::{Malformed, Node};
use super::key::Key;
use super::operator::Operator;
use super::template::{Template, Wildcards};

/// The only version there is for policies with variables.
const VERSION: &str = "2012-10-17";

/// The longest document, in characters that are no white space (AWS-LIM-27).
const LENGTH_MAX: usize = 2_048;

/// The same with white space, where the service's model ends (AWS-OPS-34).
const LENGTH_MAX_IN_ALL: usize = 404_600;

/// A policy, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    statements: Vec<Statement>,
    length: usize,
}

/// One of its statements.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    sid: Option<String>,
    effect: Effect,
    pub(super) actions: ActionSet,
    /// The patterns that mean none of the actions there are, with their paths.
    pub(super) idle_actions: Vec<(String, String)>,
    pub(super) resources: Vec<Template>,
    /// Whether it is about everything but its resources.
    pub(super) is_not_resource: bool,
    pub(super) conditions: Vec<Condition>,
}

/// What a statement does with a request that it applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are their own names")]
pub enum Effect {
    Allow,
    Deny,
}

impl Document {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// When the service would answer with MalformedPolicyException. The message names the place: line and
    /// column of what is no JSON, and the path of what is no policy, as in `Statement[1].Action[0]`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let length = length(text)?;
        let root = Node::parse(text)?;
        let mut statements = None;
        let mut version = None;
        for (name, value) in root.members("")? {
            match name.as_str() {
                "Version" => version = Some(value.text("Version")?),
                "Id" => {
                    value.text("Id")?;
                }
                "Statement" => statements = Some(value),
                other => return Err(unknown("", other, "Version, Id and Statement")),
            }
        }
        if version != Some(VERSION) {
            let found =
                version.map_or("it is missing".to_owned(), |found| format!("not `{found}`"));
            let reason = format!("`{VERSION}` is wanted, {found}");
            return Err(Malformed::at("Version", reason));
        }
        let statements = statements.ok_or_else(|| Malformed::whole("`Statement` is missing"))?;
        let statements = statements.one_or_more("Statement");
        if statements.is_empty() {
            return Err(Malformed::at(
                "Statement",
                "one statement is wanted at least",
            ));
        }
        let parsed = statements
            .iter()
            .map(|(path, node)| Statement::parse(node, path));
        let statements = parsed.collect::<Result<Vec<_>, _>>()?;
        check_sids(&statements)?;
        Ok(Self { statements, length })
    }

    /// Its statements, in their order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Its length in characters that are no white space: 2,048 at most.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// Counts the characters of a document that are no white space.
fn length(text: &str) -> Result<usize, Malformed> {
    let characters = text.chars().filter(|c| !c.is_ascii_whitespace()).count();
    let (length, most) = match characters {
        1..=LENGTH_MAX => (text.chars().count(), LENGTH_MAX_IN_ALL),
        0 => return Err(Malformed::whole("it is empty")),
        more => (more, LENGTH_MAX),
    };
    if length > most {
        let counted = if most == LENGTH_MAX {
            " that are no white space"
        } else {
            ""
        };
        let reason = format!("{length} characters{counted}: {most} is the most");
        return Err(Malformed::whole(reason));
    }
    Ok(characters)
}

/// No two statements of a document have the same name.
fn check_sids(statements: &[Statement]) -> Result<(), Malformed> {
    for (index, statement) in statements.iter().enumerate() {
        let mut before = statements[..index].iter();
        if let Some(sid) = statement.sid()
            && before.any(|other| other.sid() == Some(sid))
        {
            let path = format!("Statement[{index}].Sid");
            return Err(Malformed::at(
                &path,
                format!("another statement is called `{sid}`"),
            ));
        }
    }
    Ok(())
}

fn unknown(path: &str, name: &str, known: &str) -> Malformed {
    Malformed::at(path, format!("`{name}` has no place here: {known} have"))
}

impl Statement {
    /// Its name, if it has one.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// What it does with what it applies to.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    fn parse(node: &Node, path: &str) -> Result<Self, Malformed> {
        let mut effect = None;
        let mut actions = None;
        let mut resources = None;
        let mut sid = None;
        let mut conditions = Vec::new();
        for (name, value) in node.members(path)? {
            let place = format!("{path}.{name}");
            match name.as_str() {
                "Sid" => sid = parse_sid(value, &place)?,
                "Effect" => effect = Some(parse_effect(value, &place)?),
                "Action" | "NotAction" => {
                    only_one(path, "Action", actions.is_some())?;
                    actions = Some((name == "NotAction", parse_actions(value, &place)?));
                }
                "Resource" | "NotResource" => {
                    only_one(path, "Resource", resources.is_some())?;
                    resources = Some((name == "NotResource", parse_resources(value, &place)?));
                }
                "Condition" => conditions = parse_conditions(value, &place)?,
                other => {
                    let known =
                        "Sid, Effect, Action, NotAction, Resource, NotResource and Condition";
                    return Err(unknown(path, other, known));
                }
            }
        }
        let missing = |name: &str| Malformed::at(path, format!("`{name}` is missing"));
        let (is_not_action, (actions, idle_actions)) = actions.ok_or_else(|| missing("Action"))?;
        let (is_not_resource, resources) = resources.ok_or_else(|| missing("Resource"))?;
        Ok(Self {
            sid,
            effect: effect.ok_or_else(|| missing("Effect"))?,
            actions: if is_not_action {
                actions.complement()
            } else {
                actions
            },
            idle_actions,
            resources,
            is_not_resource,
            conditions,
        })
    }
}

fn only_one(path: &str, name: &str, is_there: bool) -> Result<(), Malformed> {
    let reason = || format!("`{name}` and `Not{name}` exclude each other");
    (!is_there)
        .then_some(())
        .ok_or_else(|| Malformed::at(path, reason()))
}

/// A name of letters and digits; an empty one is none.
fn parse_sid(node: &Node, path: &str) -> Result<Option<String>, Malformed> {
    let sid = node.text(path)?;
    if !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let reason = format!("`{sid}` has more in it than letters and digits");
        return Err(Malformed::at(path, reason));
    }
    Ok((!sid.is_empty()).then(|| sid.to_owned()))
}

fn parse_effect(node: &Node, path: &str) -> Result<Effect, Malformed> {
    match node.text(path)? {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        other => Err(Malformed::at(
            path,
            format!("`{other}` is neither `Allow` nor `Deny`"),
        )),
    }
}

/// The texts of an element that has one at least, with their paths.
fn texts<'a>(node: &'a Node, path: &str) -> Result<Vec<(String, &'a str)>, Malformed> {
    let values = node.one_or_more(path);
    if values.is_empty() {
        return Err(Malformed::at(path, "one is wanted at least"));
    }
    let texts = values.into_iter().map(|(path, value)| {
        let text = value.text(&path)?;
        Ok((path, text))
    });
    texts.collect()
}

/// The actions, and the patterns that mean none of them.
fn parse_actions(node: &Node, path: &str) -> Result<(ActionSet, Vec<(String, String)>), Malformed> {
    let (mut actions, mut idle) = (ActionSet::default(), Vec::new());
    for (path, text) in texts(node, path)? {
        if !is_action(text) {
            let reason = format!("`{text}` is no action: `*`, or `iot:` and letters, `*` and `?`");
            return Err(Malformed::at(&path, reason));
        }
        let meant = ActionSet::matching(text);
        if meant.is_empty() {
            idle.push((path, text.to_owned()));
        }
        actions = actions.with(meant);
    }
    Ok((actions, idle))
}

fn is_action(text: &str) -> bool {
    let is_name = |text: &str, others: &[char]| {
        let is_fitting = |c: char| c.is_ascii_alphanumeric() || others.contains(&c);
        !text.is_empty() && text.chars().all(is_fitting)
    };
    let parts = text.split_once(':');
    text == "*"
        || parts
            .is_some_and(|(service, name)| is_name(service, &['-']) && is_name(name, &['*', '?']))
}

fn parse_resources(node: &Node, path: &str) -> Result<Vec<Template>, Malformed> {
    let resources = texts(node, path)?.into_iter().map(|(path, text)| {
        let template = Template::parse(text, Wildcards::Special);
        let template = template.map_err(|reason| Malformed::at(&path, reason))?;
        if is_arn(text, &template) {
            return Ok(template);
        }
        let reason = format!(
            "`{text}` is neither `*` nor an ARN: arn:aws:iot:REGION:ACCOUNT:topic/NAME is one"
        );
        Err(Malformed::at(&path, reason))
    });
    resources.collect()
}

/// Whether it has the six parts of an ARN, or ends in a `*` that stands for the last of them.
fn is_arn(text: &str, template: &Template) -> bool {
    let pieces = template.split(6);
    let is_whole = pieces.len() == 6 && pieces[5] != Template::literal("");
    template.is_everything() || (text.starts_with("arn:") && (is_whole || text.ends_with('*')))
}

fn parse_conditions(node: &Node, path: &str) -> Result<Vec<Condition>, Malformed> {
    let mut conditions = Vec::new();
    for (name, block) in node.members(path)? {
        let path = format!("{path}.{name}");
        let operator = Operator::parse(name);
        let operator = operator
            .ok_or_else(|| Malformed::at(&path, format!("there is no operator `{name}`")))?;
        for (name, values) in block.members(&path)? {
            let path = format!("{path}.{name}");
            if name.is_empty() {
                return Err(Malformed::at(&path, "a key has a name"));
            }
            let mut expected = Vec::new();
            for (path, value) in values.one_or_more(&path) {
                let read = operator.relation.expect(&condition_value(value, &path)?);
                expected.push(read.map_err(|reason| Malformed::at(&path, reason))?);
            }
            conditions.push(Condition {
                operator,
                key: Key::parse(name),
                expected,
            });
        }
    }
    Ok(conditions)
}

/// Numbers and booleans may stand without quotes.
fn condition_value(node: &Node, path: &str) -> Result<String, Malformed> {
    match node {
        Node::Text(text) | Node::Number(text) => Ok(text.clone()),
        Node::Flag(flag) => Ok(flag.to_string()),
        other => Err(other.unexpected(path, "a string")),
    }
}
