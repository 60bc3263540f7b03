//! The server's bases on the GPU.

use super::Staging;
use crate::gpu::Gpu;
use crate::net::Network;
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Parameters of every base, and the running average of the round.
pub struct Server {
    /// Number of bases.
    pub bases: u32,
    row: u64,
    pub(crate) parameters: wgpu::Buffer,
    pub(crate) average: wgpu::Buffer,
}

impl Server {
    /// Bytes on the GPU.
    pub fn bytes(&self) -> u64 {
        self.parameters.size() + self.average.size()
    }

    /// Bases with all parameters zero; [`Server::upload`] gives them values.
    ///
    /// # Errors
    /// [`Error::Config`] where they exceed the adapter's largest binding.
    pub fn new(gpu: &Gpu, network: &Network, bases: u32) -> Result<Server> {
        let row = u64::from(network.parameter_blocks) * 16;
        let size = row * u64::from(bases);
        if size > gpu.largest_binding() {
            return Err(Error::Config(format!(
                "{bases} bases of {} parameters take {} MB in one buffer, of which this adapter binds {} MB at most: \
                 train fewer or narrower bases, or choose another adapter with --adapter",
                network.parameters(),
                size / 1_000_000,
                gpu.largest_binding() / 1_000_000
            )));
        }
        Ok(Server { bases, row, parameters: gpu.storage("server", size), average: gpu.storage("average", size) })
    }

    /// Sets a base from PyTorch-shaped tensors by state-dict name.
    ///
    /// # Panics
    /// Where a tensor of the network is missing or has another length: callers check checkpoints before.
    pub fn upload(&self, gpu: &Gpu, network: &Network, base: u32, tensors: &BTreeMap<String, Vec<f32>>) {
        let mut row = vec![0f32; self.row as usize / 4];
        for tensor in &network.tensors {
            network.pack(tensor, &tensors[&tensor.name], &mut row);
        }
        gpu.queue.write_buffer(&self.parameters, self.row * u64::from(base), bytemuck::cast_slice(&row));
    }

    /// All bases as PyTorch-shaped tensors by state-dict name.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn download(&self, gpu: &Gpu, network: &Network) -> Result<Vec<BTreeMap<String, Vec<f32>>>> {
        let staging = Staging::new(gpu, self.parameter_bytes());
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("download") });
        self.copy_out(&mut encoder, &staging, 0);
        gpu.submit(encoder);
        Ok(self.parse(network, &staging.read(gpu).await?))
    }

    /// Bytes of the bases' parameters.
    pub fn parameter_bytes(&self) -> u64 {
        self.row * u64::from(self.bases)
    }

    /// Records that the bases' parameters are copied to a staging buffer.
    pub(crate) fn copy_out(&self, encoder: &mut wgpu::CommandEncoder, staging: &Staging, offset: u64) {
        encoder.copy_buffer_to_buffer(&self.parameters, 0, &staging.buffer, offset, self.parameter_bytes());
    }

    /// Records that `other`'s bases are copied to this server's, from base `first` on.
    ///
    /// # Panics
    /// Where there are not so many, or they are of another network.
    pub(crate) fn copy_in(&self, encoder: &mut wgpu::CommandEncoder, first: u32, other: &Server) {
        assert!(self.row == other.row && first + other.bases <= self.bases, "{} bases from {first} of {}", other.bases, self.bases);
        encoder.copy_buffer_to_buffer(&other.parameters, 0, &self.parameters, self.row * u64::from(first), other.parameter_bytes());
    }

    /// Records that bases from `first` on are copied to all of `other`'s.
    ///
    /// # Panics
    /// As [`Server::copy_in`].
    pub(crate) fn copy_from(&self, encoder: &mut wgpu::CommandEncoder, first: u32, other: &Server) {
        assert!(self.row == other.row && first + other.bases <= self.bases, "{} bases from {first} of {}", other.bases, self.bases);
        encoder.copy_buffer_to_buffer(&self.parameters, self.row * u64::from(first), &other.parameters, 0, other.parameter_bytes());
    }

    /// All bases, as [`Server::download`] gives them, out of the bytes that were read back.
    pub(crate) fn parse(&self, network: &Network, bytes: &[u8]) -> Vec<BTreeMap<String, Vec<f32>>> {
        let of_row = |row: &[u8]| {
            let row: Vec<f32> = bytemuck::pod_collect_to_vec(row);
            network.tensors.iter().map(|t| (t.name.clone(), network.unpack(t, &row))).collect()
        };
        bytes.chunks_exact(self.row as usize).map(of_row).collect()
    }

    /// Forgets the running average, before a round's first wave.
    pub(super) fn begin(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.clear_buffer(&self.average, 0, None);
    }

    /// Takes over the averages, so many vec4 of each row, of the bases that were trained; the others keep their value.
    pub(super) fn commit(&self, encoder: &mut wgpu::CommandEncoder, trained: impl Iterator<Item = u32>, blocks: u32) {
        for base in trained {
            let at = self.row * u64::from(base);
            encoder.copy_buffer_to_buffer(&self.average, at, &self.parameters, at, u64::from(blocks) * 16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuOptions;
    use crate::net::digits;

    #[test]
    fn bases_that_no_binding_holds_are_refused_with_advice() {
        pollster::block_on(async {
            let gpu = Gpu::open(&GpuOptions { default_limits: true, ..GpuOptions::default() }).await.expect("an adapter");
            let network = digits(1, 1, 10).expect("a width");
            let error = Server::new(&gpu, &network, 8).err().expect("455 MB of 134").to_string();
            assert!(error.contains("8 bases of 14219210 parameters") && error.contains("fewer or narrower bases"), "{error}");
            assert!(Server::new(&gpu, &network, 2).is_ok());
        });
    }
}
