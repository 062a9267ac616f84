//! What an operation of the service is.

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;

use crate::aws::registry::{Draft, State};

use super::super::Api;
use super::call::Call;
use super::host::Host;
use super::refusal::Refusal;

/// The value of an answer, where `null` stands for what is left out: members, or the whole body.
pub(super) type Answered = Result<Value, Refusal>;

/// One that is waited for.
pub(super) type Awaited = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// The first version that answers any.
const FIRST: &str = "0.1.0";

/// An operation of one of the service's models.
pub(super) struct Operation {
    /// As the model names it.
    pub(super) name: &'static str,
    pub(super) service: Service,
    /// Method and path as the model writes them: `GET /things/{thingName}`.
    pub(super) line: &'static str,
    pub(super) run: Run,
    /// Its body is a member by itself, whatever it is declared as; otherwise it is JSON with the members.
    pub(super) is_raw: bool,
    /// The version of this project that answers it first.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the documentation"))]
    pub(super) since: &'static str,
    /// How it differs from the service's, as far as anybody knows; empty if in nothing.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the documentation"))]
    pub(super) differs: &'static str,
}

/// How an operation is answered.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// From the registry as it is.
    Read(fn(&State, &Call) -> Answered),
    /// By a change of the registry.
    Change(fn(&mut Draft<'_>, &Call) -> Answered),
    /// By more than that.
    Work(fn(&Host, &Call) -> Answered),
    /// By a body that is written already, after a change of the registry or without one.
    Payload(fn(&Host, &Call) -> Result<Vec<u8>, Refusal>),
    /// By making keys or signatures, which takes long.
    Issue(fn(&Host, &Call) -> Answered),
    /// By a broker that need not have a registry.
    Ask(fn(&Host, &Call) -> Answered),
    /// The same by a task that waits for others.
    Await(fn(Api, Call) -> Awaited),
    /// Not at all.
    Refused,
}

/// The models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// The control plane.
    Iot,
    /// The data plane.
    IotData,
    /// Jobs, as devices see them.
    IotJobsData,
}

impl Service {
    /// As the AWS CLI and boto3 call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Iot => "iot",
            Self::IotData => "iot-data",
            Self::IotJobsData => "iot-jobs-data",
        }
    }
}

impl Operation {
    const fn iot(name: &'static str, line: &'static str, run: Run) -> Self {
        Self {
            name,
            service: Service::Iot,
            line,
            run,
            is_raw: false,
            since: FIRST,
            differs: "",
        }
    }

    /// The same with a body that is taken as it is.
    pub(super) const fn raw(self) -> Self {
        Self {
            is_raw: true,
            ..self
        }
    }

    pub(super) const fn read(
        name: &'static str,
        line: &'static str,
        run: fn(&State, &Call) -> Answered,
    ) -> Self {
        Self::iot(name, line, Run::Read(run))
    }

    pub(super) const fn change(
        name: &'static str,
        line: &'static str,
        run: fn(&mut Draft<'_>, &Call) -> Answered,
    ) -> Self {
        Self::iot(name, line, Run::Change(run))
    }

    pub(super) const fn work(
        name: &'static str,
        line: &'static str,
        run: fn(&Host, &Call) -> Answered,
    ) -> Self {
        Self::iot(name, line, Run::Work(run))
    }

    pub(super) const fn issue(
        name: &'static str,
        line: &'static str,
        run: fn(&Host, &Call) -> Answered,
    ) -> Self {
        Self::iot(name, line, Run::Issue(run))
    }

    pub(super) const fn payload(
        name: &'static str,
        line: &'static str,
        run: fn(&Host, &Call) -> Result<Vec<u8>, Refusal>,
    ) -> Self {
        Self::iot(name, line, Run::Payload(run))
    }

    pub(super) const fn ask(
        name: &'static str,
        line: &'static str,
        run: fn(&Host, &Call) -> Answered,
    ) -> Self {
        Self::iot(name, line, Run::Ask(run))
    }

    pub(super) const fn wait(
        name: &'static str,
        line: &'static str,
        run: fn(Api, Call) -> Awaited,
    ) -> Self {
        Self::iot(name, line, Run::Await(run))
    }

    /// The same of another service than the control plane.
    pub(super) const fn of(self, service: Service) -> Self {
        Self { service, ..self }
    }

    pub(super) const fn refused(service: Service, name: &'static str, line: &'static str) -> Self {
        Self::iot(name, line, Run::Refused).of(service)
    }

    pub(super) const fn differs(self, differs: &'static str) -> Self {
        Self { differs, ..self }
    }

    pub(super) fn method(&self) -> &'static str {
        self.line.split_once(' ').map_or("", |(method, _)| method)
    }

    pub(super) fn path(&self) -> &'static str {
        self.line.split_once(' ').map_or("", |(_, path)| path)
    }
}

impl Run {
    /// Whether there is nothing to be done without a registry.
    pub(super) fn needs_registry(self) -> bool {
        match self {
            Self::Read(_) | Self::Change(_) | Self::Work(_) | Self::Payload(_) | Self::Issue(_) => {
                true
            }
            Self::Ask(_) | Self::Await(_) | Self::Refused => false,
        }
    }
}
