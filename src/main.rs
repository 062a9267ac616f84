//! The `roundel` binary.

fn main() {}
