//! What a client or a device may ask for, and sets of it.

use std::fmt;
use std::str::FromStr;

use super::template::{Template, Wildcards};

/// What a request is about (AWS-POL-06 to -13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the service's action of that name")]
pub enum Action {
    Connect,
    Publish,
    RetainPublish,
    Subscribe,
    Receive,
    GetRetainedMessage,
    ListRetainedMessages,
    GetThingShadow,
    UpdateThingShadow,
    DeleteThingShadow,
    ListNamedShadowsForThing,
    DeleteConnection,
    GetConnection,
    ListSubscriptions,
    SendDirectMessage,
    AssumeRoleWithCertificate,
    DescribeJobExecution,
    GetPendingJobExecutions,
    UpdateJobExecution,
    StartNextPendingJobExecution,
}

/// The name of no action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no action of a client: iot:Connect, iot:Publish and iot:Subscribe are some")]
pub struct UnknownAction(String);

impl Action {
    /// All there are.
    pub const ALL: [Self; 20] = [
        Self::Connect,
        Self::Publish,
        Self::RetainPublish,
        Self::Subscribe,
        Self::Receive,
        Self::GetRetainedMessage,
        Self::ListRetainedMessages,
        Self::GetThingShadow,
        Self::UpdateThingShadow,
        Self::DeleteThingShadow,
        Self::ListNamedShadowsForThing,
        Self::DeleteConnection,
        Self::GetConnection,
        Self::ListSubscriptions,
        Self::SendDirectMessage,
        Self::AssumeRoleWithCertificate,
        Self::DescribeJobExecution,
        Self::GetPendingJobExecutions,
        Self::UpdateJobExecution,
        Self::StartNextPendingJobExecution,
    ];

    /// `iot:Publish`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "iot:Connect",
            Self::Publish => "iot:Publish",
            Self::RetainPublish => "iot:RetainPublish",
            Self::Subscribe => "iot:Subscribe",
            Self::Receive => "iot:Receive",
            Self::GetRetainedMessage => "iot:GetRetainedMessage",
            Self::ListRetainedMessages => "iot:ListRetainedMessages",
            Self::GetThingShadow => "iot:GetThingShadow",
            Self::UpdateThingShadow => "iot:UpdateThingShadow",
            Self::DeleteThingShadow => "iot:DeleteThingShadow",
            Self::ListNamedShadowsForThing => "iot:ListNamedShadowsForThing",
            Self::DeleteConnection => "iot:DeleteConnection",
            Self::GetConnection => "iot:GetConnection",
            Self::ListSubscriptions => "iot:ListSubscriptions",
            Self::SendDirectMessage => "iot:SendDirectMessage",
            Self::AssumeRoleWithCertificate => "iot:AssumeRoleWithCertificate",
            Self::DescribeJobExecution => "iotjobsdata:DescribeJobExecution",
            Self::GetPendingJobExecutions => "iotjobsdata:GetPendingJobExecutions",
            Self::UpdateJobExecution => "iotjobsdata:UpdateJobExecution",
            Self::StartNextPendingJobExecution => "iotjobsdata:StartNextPendingJobExecution",
        }
    }

    /// What the resource of such a request begins with, before a `/`; `*` where it is that and nothing else
    /// (AWS-ID-57).
    pub fn resource_type(self) -> &'static str {
        match self {
            Self::Connect
            | Self::DeleteConnection
            | Self::GetConnection
            | Self::ListSubscriptions
            | Self::SendDirectMessage => "client",
            Self::Publish | Self::RetainPublish | Self::Receive | Self::GetRetainedMessage => {
                "topic"
            }
            Self::Subscribe => "topicfilter",
            Self::ListRetainedMessages => "*",
            Self::GetThingShadow
            | Self::UpdateThingShadow
            | Self::DeleteThingShadow
            | Self::ListNamedShadowsForThing
            | Self::DescribeJobExecution
            | Self::GetPendingJobExecutions
            | Self::UpdateJobExecution
            | Self::StartNextPendingJobExecution => "thing",
            Self::AssumeRoleWithCertificate => "rolealias",
        }
    }

    /// The names that a policy may use for it, in small letters: actions of jobs were once `iot:` (AWS-ID-44).
    fn names(self) -> impl Iterator<Item = String> {
        let name = self.name().to_ascii_lowercase();
        let old = name
            .strip_prefix("iotjobsdata:")
            .map(|rest| format!("iot:{rest}"));
        [Some(name), old].into_iter().flatten()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    /// Takes `iot:Publish`, in any case, and `Publish` alone.
    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        let wanted = text.to_ascii_lowercase();
        let is_meant = |action: &Self| {
            let mut names = action.names();
            names.any(|name| name == wanted || name.split(':').nth(1) == Some(&wanted))
        };
        let found = Self::ALL.into_iter().find(is_meant);
        found.ok_or_else(|| UnknownAction(text.to_owned()))
    }
}

/// Some of the actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ActionSet(u32);

impl ActionSet {
    /// Those that a pattern of a policy means: `iot:Pub*`, in any case (AWS-ID-55).
    pub(super) fn matching(pattern: &str) -> Self {
        let Ok(template) = Template::parse(&pattern.to_ascii_lowercase(), Wildcards::Special)
        else {
            return Self::default(); // an action has no variables
        };
        let is_meant = |action: &Action| {
            let mut names = action.names();
            names.any(|name| template.fits(&name, |_| None))
        };
        let bits = Action::ALL.into_iter().filter(is_meant).map(Self::bit);
        Self(bits.fold(0, |all, bit| all | bit))
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All the others.
    pub(super) fn complement(self) -> Self {
        Self(!self.0)
    }

    pub(super) fn contains(self, action: Action) -> bool {
        self.0 & Self::bit(action) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL
            .into_iter()
            .filter(move |&action| self.contains(action))
    }

    fn bit(action: Action) -> u32 {
        1 << action as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(pattern: &str) -> Vec<Action> {
        ActionSet::matching(pattern).iter().collect()
    }

    /// AWS-ID-55.
    #[test]
    fn patterns_mean_actions_in_any_case() {
        assert_eq!(matching("iot:publish"), [Action::Publish]);
        assert_eq!(matching("IoT:Pub*"), [Action::Publish]);
        assert_eq!(
            matching("iot:*Publish"),
            [Action::Publish, Action::RetainPublish]
        );
        assert_eq!(matching("iot:?ublish"), [Action::Publish]);
        assert_eq!(matching("*"), Action::ALL);
        assert_eq!(matching("s3:*"), []);
        assert_eq!(matching("iot:Publis"), []);
    }

    /// AWS-ID-44.
    #[test]
    fn actions_of_jobs_have_two_names() {
        let both = [
            "iot:DescribeJobExecution",
            "iotjobsdata:DescribeJobExecution",
        ];
        for name in both {
            assert_eq!(matching(name), [Action::DescribeJobExecution]);
            assert_eq!(name.parse(), Ok(Action::DescribeJobExecution));
        }
        assert_eq!(matching("iot:*"), Action::ALL);
        assert_eq!(matching("iotjobsdata:*").len(), 4);
    }

    #[test]
    fn names_are_read_with_and_without_the_service() {
        for action in Action::ALL {
            assert_eq!(action.name().parse(), Ok(action));
            assert_eq!(action.name().split(':').nth(1).unwrap().parse(), Ok(action));
        }
        assert_eq!("publish".parse(), Ok(Action::Publish));
        assert!("iot:".parse::<Action>().is_err());
        assert!("iot:Pub*".parse::<Action>().is_err());
    }

    #[test]
    fn a_complement_has_the_others() {
        let set = ActionSet::matching("iot:Connect");
        assert!(!set.complement().contains(Action::Connect));
        assert_eq!(set.complement().iter().count(), Action::ALL.len() - 1);
        assert!(ActionSet::matching("*").complement().is_empty());
    }
}
