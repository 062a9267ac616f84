//! The `roundel` binary: a broker on the command line.

mod cli;

use std::process::ExitCode;

/// Made for many small allocations that another thread frees, as routed messages are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
