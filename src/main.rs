//! The `roundel` binary: a broker on the command line.

mod cli;

use std::process::ExitCode;

/// Fast where another thread frees what one allocates, as with routed messages, and gives back to the
/// system what a load has left, also when nothing happens any more.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
