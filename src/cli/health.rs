//! `roundel health`: whether a broker is ready, for containers and scripts that wait for one.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Call, CallError, Client, HttpAddr};
use super::failure::Failure;

/// For an answer; one that takes longer is as good as none.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Where the broker's control API listens [default: as ROUNDEL_HTTP_HOST, ROUNDEL_HTTP_PORT or the file in ROUNDEL_CONFIG
    /// says, or 127.0.0.1:9883]
    #[arg(long, value_name = "ADDR")]
    http: Option<HttpAddr>,
}

pub(crate) fn run(args: &HealthArgs) -> Result<(), Failure> {
    let addr = match args.http {
        Some(addr) => {
            super::environment()?
                .check_variables()
                .map_err(Failure::misuse)?;
            addr
        }
        None => configured()?,
    };
    let addr = addr.reachable();
    let answer = Client::new(addr).within(LIMIT).call(&Call {
        method: "GET",
        target: "/readyz",
        accept: "application/json",
        body: None,
    });
    let why = match answer {
        Ok(answer) => {
            let said: Value = serde_json::from_str(&answer).unwrap_or_default();
            if said.get("status").and_then(Value::as_str) == Some("ready") {
                return super::print("ready\n");
            }
            "the answer is none of a broker".to_owned()
        }
        Err(CallError::Refused(refused)) => refused.error,
        Err(CallError::Unreachable(error)) => format!("nobody answers: {error}"),
    };
    Err(Failure::refused(format!("not ready at {addr}: {why}")))
}

/// Where the control API listens of a broker that is started with the same variables.
fn configured() -> Result<HttpAddr, Failure> {
    let mut sources = super::environment()?;
    if let Some(file) = super::path_variable("ROUNDEL_CONFIG") {
        sources = sources.file(file);
    }
    let loaded = sources.load().map_err(Failure::misuse)?;
    let listeners = loaded.config.listeners;
    let origin = loaded.program.ports.get("http");
    let origin = origin.map_or_else(String::new, ToString::to_string);
    match listeners.http {
        None => Err(Failure::misused(format!(
            "{origin}: the control API is off, so there is nobody to ask"
        ))),
        Some(0) => Err(Failure::misused(format!(
            "{origin}: any free port was chosen, and --http has to say which"
        ))),
        Some(port) => Ok(HttpAddr::from(std::net::SocketAddr::new(
            listeners.http_host,
            port,
        ))),
    }
}
