//! Whole connections: a broker in virtual time, and clients that send it whatever the bytes say.

mod observer;
mod owner;
mod script;
mod world;

use world::World;

/// The first byte chooses the broker's configuration. The rest is a script: connections open and
/// close, clients send packets that are whole, damaged or made up, read or do not, and time passes.
///
/// # Panics
///
/// If the broker does, sends a client what this may not get, holds more than its bounds allow, or is
/// of no use afterwards.
pub fn connection(data: &[u8]) {
    let Some((&choice, script)) = data.split_first() else {
        return;
    };
    let mut world = World::new(choice);
    for step in script::steps(script) {
        world.carry_out(&step);
    }
    world.end();
}
