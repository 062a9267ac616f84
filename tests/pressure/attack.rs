//! x
use std::process::ExitCode;
pub(crate) const ROLE_VARIABLE: &str = "ROUNDEL_TEST_ATTACK";
pub(crate) fn run(_name: &str) -> ExitCode {
    ExitCode::SUCCESS
}
