//! The account and Region that a broker stands for.

use super::template::Template;

/// The account and Region of all that policies are asked about (AWS-ID-54).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The first part of an ARN: `aws`.
    pub partition: String,
    /// `us-east-1` unless set.
    pub region: String,
    /// `123456789012` unless set.
    pub account: String,
    /// Whether policies may name any account and Region. Otherwise those that name others match nothing
    /// (AWS-ID-53).
    pub any: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            partition: "aws".to_owned(),
            region: "us-east-1".to_owned(),
            account: "123456789012".to_owned(),
            any: false,
        }
    }
}

impl Scope {
    /// What every ARN begins with: `arn:aws:iot:us-east-1:123456789012:`.
    pub fn prefix(&self) -> String {
        let Self {
            partition,
            region,
            account,
            ..
        } = self;
        format!("arn:{partition}:iot:{region}:{account}:")
    }

    /// A pattern for ARNs with this account and Region in place of its own, where those are ignored.
    pub(super) fn localized(&self, pattern: &Template) -> Template {
        if !self.any {
            return pattern.clone();
        }
        let mut pieces = pattern.split(6);
        // The last piece may go on to the end of the ARN, so it is none of these.
        let ended = pieces.len() - 1;
        for (place, own) in [(3, &self.region), (4, &self.account)] {
            if place < ended {
                pieces[place] = Template::literal(own);
            }
        }
        Template::join(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::super::template::Wildcards;
    use super::*;

    #[test]
    fn any_account_and_region_become_ones_own() {
        let template = |text| Template::parse(text, Wildcards::Special).unwrap();
        let scope = Scope {
            any: true,
            ..Scope::default()
        };
        for (text, localized) in [
            (
                "arn:aws:iot:eu-west-1:1:topic/a:b",
                "arn:aws:iot:us-east-1:123456789012:topic/a:b",
            ),
            ("arn:aws:iot:*:*:*", "arn:aws:iot:us-east-1:123456789012:*"),
            ("arn:aws:iot:eu-west-1:*", "arn:aws:iot:us-east-1:*"),
            ("arn:aws-cn:iot:eu*", "arn:aws-cn:iot:eu*"),
            ("*", "*"),
        ] {
            assert_eq!(
                scope.localized(&template(text)),
                template(localized),
                "{text}"
            );
            assert_eq!(Scope::default().localized(&template(text)), template(text));
        }
    }
}
