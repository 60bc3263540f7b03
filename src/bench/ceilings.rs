//! What the adapter can do at best, measured by kernels that do one thing.

use super::clock::Clock;
use super::report::Ceilings;
use crate::Result;
use crate::engine::Limit;
use crate::gpu::{Active, Program, ProgramDescriptor};
use crate::kernels::ceilings::{copy, count, fill, multiply_add};
use crate::plan::{Extent, Plan};

/// Most z of the multiply–add kernel.
const MOST_LANES: u32 = 16_384;
/// Invocations of the multiply–add kernel for each z: enough work for a slow device to be timed by one.
const INVOCATIONS: u32 = 16_384;
/// vec4 for each z of the copy, 1 MiB.
const COPY_BLOCKS: u32 = 65_536;
/// Most MiB of each buffer of the copy: past any cache, and within WebGPU's default limit of a binding.
const COPY_MOST: u64 = 128;
/// Dependent dispatches in a pass.
const CHAIN: usize = 256;
/// What a multiply–add dispatch lasts at the least, to fill the device for long enough.
const FULL: f64 = 2e-2;

/// Measures all of them, and whether the device's own clock can be believed.
pub(super) async fn measure(clock: &mut Clock<'_>, limit: Limit) -> Result<Ceilings> {
    let gpu = clock.gpu;
    let memory = limit.memory.unwrap_or(u64::MAX).min(2 * gpu.largest_binding());
    let copy_lanes = (memory / (2 << 20)).clamp(1, COPY_MOST) as u32;
    let mut plan = Plan::default();
    let result = plan.buffer("ceilings result", Extent::Fixed(16));
    let buffer_bytes = u64::from(COPY_BLOCKS) * 16;
    let source = plan.buffer("ceilings source", Extent::PerLane(buffer_bytes));
    let destination = plan.buffer("ceilings destination", Extent::PerLane(buffer_bytes));
    let multiply_add = multiply_add(INVOCATIONS, result);
    let copy = copy(COPY_BLOCKS, source, destination);
    let (flops, bytes) = (multiply_add.flops, copy.bytes);
    let multiply_add = plan.add_phase("multiply_add", vec![multiply_add]);
    let fill = plan.add_phase("fill", vec![fill(COPY_BLOCKS, source)]);
    let copy = plan.add_phase("copy", vec![copy]);
    let chain = plan.add_phase("chain", vec![count(result); CHAIN]);
    let count = plan.add_phase("count", vec![count(result)]);
    let descriptor = ProgramDescriptor { lanes: copy_lanes, slots: 1, steps: 1, ..ProgramDescriptor::default() };
    let program = Program::new(gpu, plan, descriptor).await?;
    let active = |lanes| Active { lanes, slots: 1, step: 0 };

    let commands = |phase, active: Active| {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("ceilings") });
        program.encode(&mut encoder, phase, active);
        encoder.finish()
    };
    clock.run(commands(fill, active(copy_lanes)))?;
    let waits = clock.best(async |n| (0..n).map(|_| clock.run(commands(count, active(1)))).sum());
    clock.submit = waits.await?;
    let mut z = 1;
    while clock.run(commands(multiply_add, active(z)))? < FULL && z < MOST_LANES {
        z *= 4;
    }
    let record = |phase, active| {
        let program = &program;
        move |encoder: &mut wgpu::CommandEncoder| {
            program.encode(encoder, phase, active);
        }
    };
    let full = clock.each(record(multiply_add, active(z))).await?;
    let copied = clock.each(record(copy, active(copy_lanes))).await?;
    let chain = clock.each(record(chain, active(1))).await?;
    clock.judge_device(&program, multiply_add, active(z)).await?;
    Ok(Ceilings {
        flops_per_second: (flops * u64::from(z)) as f64 / full,
        bytes_per_second: (bytes * u64::from(copy_lanes)) as f64 / copied,
        dispatch_seconds: chain / CHAIN as f64,
        submit_seconds: clock.submit,
    })
}
