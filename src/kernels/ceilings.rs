//! What the adapter itself can do, for benchmarks; see `shaders/ceilings.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};

/// Turns of the loop of [`multiply_add`].
const ROUNDS: u32 = 64;
/// Operations of a turn: 32 multiply–adds of vec4.
const TURN_FLOPS: u64 = 32 * 4 * 2;
/// Factor and addend of the multiply–adds: the chains tend to y / (1 − x), an ordinary number.
const X: f32 = 0.75;
const Y: f32 = 0.5;

/// Fused multiply–adds in registers by `invocations` a lane. `result` is at least one vec4, never written.
pub fn multiply_add(invocations: u32, result: BufferId) -> Dispatch {
    let flops = u64::from(invocations) * u64::from(ROUNDS) * TURN_FLOPS;
    dispatch("multiply_add", invocations).writes([result]).cost(flops, 0)
}

/// Gives every vec4 of `length` a lane a value unlike its neighbours'.
pub fn fill(length: u32, result: BufferId) -> Dispatch {
    dispatch("fill", length).writes([result]).cost(0, u64::from(length) * 16)
}

/// Copies `length` vec4 a lane.
pub fn copy(length: u32, source: BufferId, destination: BufferId) -> Dispatch {
    dispatch("copy", length).reads([source]).writes([destination]).cost(0, u64::from(length) * 32)
}

/// Adds one to the u32 at the start of `counter`, whatever the number of lanes: run it with one.
pub fn count(counter: BufferId) -> Dispatch {
    dispatch("count", 1).writes([counter])
}

fn dispatch(entry: &'static str, invocations: u32) -> Dispatch {
    Dispatch::new(entry, shader::ceilings, entry, Over::Lanes, invocations)
        .constants([("ROUNDS", ROUNDS)])
        .uniforms(uniforms! { length: invocations, x: X, y: Y })
}
