//! The device's own clock round compute passes, where the adapter has one.

use super::{Gpu, Staging};
use crate::Result;

/// Bytes of one timestamp.
const TICK_BYTES: u64 = 8;

/// A pair of timestamps for each of a number of compute passes.
pub struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: Staging,
    passes: u32,
    seconds_per_tick: f64,
}

impl Timestamps {
    /// Room for so many passes; `None` where the device offers no timestamps or not so many.
    pub fn new(gpu: &Gpu, passes: u32) -> Option<Timestamps> {
        let count = passes.max(1) * 2;
        if !gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) || count > wgpu::QUERY_SET_MAX_QUERIES {
            return None;
        }
        let queries =
            gpu.device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("timestamps"), ty: wgpu::QueryType::Timestamp, count });
        let bytes = u64::from(count) * TICK_BYTES;
        let resolved = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: bytes,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let seconds_per_tick = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        Some(Timestamps { queries, resolved, staging: Staging::new(gpu, bytes), passes, seconds_per_tick })
    }

    /// What pass number `pass` is begun with.
    pub(super) fn writes(&self, pass: u32) -> wgpu::ComputePassTimestampWrites<'_> {
        assert!(pass < self.passes, "pass {pass} of {}", self.passes);
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * pass),
            end_of_pass_write_index: Some(2 * pass + 1),
        }
    }

    /// Records the collection of all timestamps, after the passes; every one must have been recorded before.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..self.passes * 2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging.buffer, 0, self.resolved.size());
    }

    /// Waits for what was submitted and gives the seconds of each pass: 0 where the device's clock ran backwards. Not
    /// every driver's clock is worth believing, so compare the sum with a clock of the host.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] where the device was lost.
    pub async fn read(&self, gpu: &Gpu) -> Result<Vec<f64>> {
        let bytes = self.staging.read(gpu).await?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        Ok(ticks.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * self.seconds_per_tick).collect())
    }
}
