//! Tells the time of every dispatch of a real run, one line each.

use super::{Active, Gpu, Program, Timestamps};
use crate::plan::PhaseId;
use std::time::Instant;

/// Runs a phase dispatch by dispatch, waiting for each, and prints to standard error what it took: by the device's
/// timestamps where there are some, else by the host's clock. The same dispatches in the same order as
/// [`Program::encode`], so the same bits.
pub(super) fn run(gpu: &Gpu, program: &Program, phase: PhaseId, active: Active) -> u64 {
    let mut count = 0;
    let timestamps = Timestamps::new(gpu, 1);
    for (i, dispatch) in program.plan.phase(phase).iter().enumerate() {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("trace") });
        let recorded = match &timestamps {
            Some(timestamps) => program.encode_one_timed(&mut encoder, phase, i, active, timestamps),
            None => program.encode_some(&mut encoder, phase, active, |j| j == i),
        };
        if recorded == 0 {
            continue;
        }
        if let Some(timestamps) = &timestamps {
            timestamps.resolve(&mut encoder);
        }
        let start = Instant::now();
        gpu.submit(encoder);
        // A failed wait means a lost device, which the run itself reports.
        let _ = gpu.device.poll(wgpu::PollType::wait_indefinitely());
        let host = start.elapsed().as_secs_f64();
        let device = timestamps.as_ref().and_then(|t| pollster::block_on(t.read(gpu)).ok()).and_then(|t| t.first().copied());
        let seconds = device.filter(|s| *s > 0.0).unwrap_or(host);
        let z = f64::from(active.count(dispatch.over));
        eprintln!(
            "trace {} {} {:32} {:44} {:6} {:10.3} ms {:9.2} GFLOP/s {:9.2} GB/s",
            program.plan.name(phase),
            active.step,
            dispatch.label,
            format!("{}::{}", dispatch.kernel.shader.name, dispatch.kernel.entry),
            z,
            seconds * 1e3,
            dispatch.flops as f64 * z / seconds * 1e-9,
            dispatch.bytes as f64 * z / seconds * 1e-9,
        );
        count += recorded;
    }
    count
}
