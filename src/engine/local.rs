//! Batch norms that every client keeps for itself.

use super::Staging;
use crate::gpu::Gpu;
use crate::net::NormRow;
use crate::{Error, Result};

/// Batch norms of every client and base on the GPU. A copy is another handle to the same memory.
#[derive(Debug, Clone)]
pub struct LocalNorms {
    /// What each of them holds.
    pub row: NormRow,
    /// Number of clients.
    pub clients: u32,
    /// Number of bases.
    pub bases: u32,
    pub(crate) buffer: wgpu::Buffer,
}

impl LocalNorms {
    /// Batch norms of zeros.
    ///
    /// # Errors
    /// [`Error::Config`] where they exceed the adapter's largest binding.
    pub fn new(gpu: &Gpu, row: NormRow, clients: u32, bases: u32) -> Result<LocalNorms> {
        let size = u64::from(row.len()) * 16 * u64::from(clients) * u64::from(bases);
        if size > gpu.largest_binding() {
            return Err(Error::Config(format!(
                "batch norms of {clients} clients and {bases} bases take {} MB in one buffer, of which this adapter binds {} MB at \
                 most: switch local-bn (or bn-mode post) off, or use fewer clients",
                size / 1_000_000,
                gpu.largest_binding() / 1_000_000
            )));
        }
        Ok(LocalNorms { row, clients, bases, buffer: gpu.storage("local batch norms", size) })
    }

    /// Bytes on the GPU.
    pub fn bytes(&self) -> u64 {
        self.buffer.size()
    }

    /// Values of one (client, base).
    pub fn values(&self) -> usize {
        self.row.len() as usize * 4
    }

    /// Place of a client's and base's values, in rows.
    ///
    /// # Panics
    /// Where there is no such client or base: the kernels do not look.
    pub fn place(&self, client: u32, base: u32) -> u32 {
        assert!(client < self.clients && base < self.bases, "client {client}, base {base} of {} and {}", self.clients, self.bases);
        client * self.bases + base
    }

    /// Sets all values: `[client][base]`, each as batch norms end a row of parameters.
    ///
    /// # Panics
    /// Where their number is wrong.
    pub fn upload(&self, gpu: &Gpu, values: &[f32]) {
        assert_eq!(values.len(), self.values() * (self.clients * self.bases) as usize, "local batch norms");
        gpu.queue.write_buffer(&self.buffer, 0, bytemuck::cast_slice(values));
    }

    /// All values, as [`LocalNorms::upload`] takes them.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn download(&self, gpu: &Gpu) -> Result<Vec<f32>> {
        let staging = Staging::new(gpu, self.bytes());
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("download") });
        self.copy_out(&mut encoder, &staging, 0);
        gpu.submit(encoder);
        Ok(bytemuck::pod_collect_to_vec(&staging.read(gpu).await?))
    }

    /// Records that all values are copied to a staging buffer.
    pub(crate) fn copy_out(&self, encoder: &mut wgpu::CommandEncoder, staging: &Staging, offset: u64) {
        encoder.copy_buffer_to_buffer(&self.buffer, 0, &staging.buffer, offset, self.bytes());
    }
}
