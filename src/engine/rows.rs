//! Row stores: rows of parameters on the GPU, which programs read, train copies of, average and write back.

use super::Staging;
use crate::gpu::Gpu;
use crate::net::{Network, NormRow};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;

/// Rows of one length in one buffer: the server's bases, a sum of them, what clients keep of their own. A copy is another handle to the
/// same memory.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Number of rows.
    pub count: u32,
    /// Length of a row in vec4.
    pub blocks: u32,
    pub(crate) buffer: wgpu::Buffer,
}

impl Rows {
    /// Rows of zeros. `what` and `advice` are for the error alone: what the rows hold, and what helps where there is no room for them.
    ///
    /// # Errors
    /// [`Error::Config`] where they exceed the adapter's largest binding.
    pub fn new(gpu: &Gpu, count: u32, blocks: u32, what: &str, advice: &str) -> Result<Rows> {
        let size = u64::from(count) * u64::from(blocks) * 16;
        if size > gpu.largest_binding() {
            return Err(Error::Config(format!(
                "{what} take {} MB in one buffer, of which this adapter binds {} MB at most: {advice}",
                size / 1_000_000,
                gpu.largest_binding() / 1_000_000
            )));
        }
        Ok(Rows { count, blocks, buffer: gpu.storage(what, size) })
    }

    /// Bases of a network with all parameters zero; [`Rows::upload`] gives them values.
    ///
    /// # Errors
    /// As [`Rows::new`].
    pub fn of_bases(gpu: &Gpu, network: &Network, bases: u32) -> Result<Rows> {
        let what = format!("{bases} bases of {} parameters", network.parameters());
        Rows::new(gpu, bases, network.parameter_blocks, &what, "train fewer or narrower bases, or choose another adapter with --adapter")
    }

    /// As many rows of zeros of the same length.
    pub(super) fn like(&self, gpu: &Gpu, label: &str) -> Rows {
        Rows { buffer: gpu.storage(label, self.bytes()), ..self.clone() }
    }

    /// Bytes on the GPU.
    pub fn bytes(&self) -> u64 {
        self.row_bytes() * u64::from(self.count)
    }

    /// Values of a row.
    pub fn values(&self) -> usize {
        self.blocks as usize * 4
    }

    /// Bytes of a row on the GPU.
    pub(super) fn row_bytes(&self) -> u64 {
        u64::from(self.blocks) * 16
    }

    /// Sets the values of rows from `first` on.
    ///
    /// # Panics
    /// Where they are no whole rows of the store.
    pub fn write(&self, gpu: &Gpu, first: u32, values: &[f32]) {
        let (end, all) = (first as usize * self.values() + values.len(), self.count as usize * self.values());
        assert!(end <= all && values.len().is_multiple_of(self.values()), "{} values from row {first} of {}", values.len(), self.count);
        gpu.queue.write_buffer(&self.buffer, self.row_bytes() * u64::from(first), bytemuck::cast_slice(values));
    }

    /// The values of all rows.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn read(&self, gpu: &Gpu) -> Result<Vec<f32>> {
        let staging = Staging::new(gpu, self.bytes());
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("read rows") });
        self.copy_out(&mut encoder, &staging, 0);
        gpu.submit(encoder);
        Ok(bytemuck::pod_collect_to_vec(&staging.read(gpu).await?))
    }

    /// Sets a base from PyTorch-shaped tensors by state-dict name.
    ///
    /// # Panics
    /// Where a tensor of the network is missing or has another length: callers check checkpoints before.
    pub fn upload(&self, gpu: &Gpu, network: &Network, base: u32, tensors: &BTreeMap<String, Vec<f32>>) {
        let mut row = vec![0f32; self.values()];
        for tensor in &network.tensors {
            network.pack(tensor, &tensors[&tensor.name], &mut row);
        }
        self.write(gpu, base, &row);
    }

    /// All bases as PyTorch-shaped tensors by state-dict name.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn download(&self, gpu: &Gpu, network: &Network) -> Result<Vec<BTreeMap<String, Vec<f32>>>> {
        Ok(self.parse(network, &self.read(gpu).await?))
    }

    /// The same out of the values of all rows.
    pub(crate) fn parse(&self, network: &Network, values: &[f32]) -> Vec<BTreeMap<String, Vec<f32>>> {
        let of_row = |row: &[f32]| network.tensors.iter().map(|t| (t.name.clone(), network.unpack(t, row))).collect();
        values.chunks_exact(self.values()).map(of_row).collect()
    }

    /// Records that all rows are copied to a staging buffer.
    pub(crate) fn copy_out(&self, encoder: &mut wgpu::CommandEncoder, staging: &Staging, offset: u64) {
        encoder.copy_buffer_to_buffer(&self.buffer, 0, &staging.buffer, offset, self.bytes());
    }

    /// Records that rows are copied to those of `to` from `first` on.
    ///
    /// # Panics
    /// Where there are not so many, or of another length.
    pub(crate) fn copy(&self, encoder: &mut wgpu::CommandEncoder, rows: Range<u32>, to: &Rows, first: u32) {
        let count = rows.len() as u32;
        assert!(self.blocks == to.blocks && rows.end <= self.count && first + count <= to.count, "{rows:?} to {first} of {}", to.count);
        let at = |row: u32| self.row_bytes() * u64::from(row);
        encoder.copy_buffer_to_buffer(&self.buffer, at(rows.start), &to.buffer, at(first), at(count));
    }

    /// Copies the first row to all others.
    pub fn repeat_first(&self, gpu: &Gpu) {
        let first = Rows { count: 1, buffer: gpu.storage("first row", self.row_bytes()), ..self.clone() };
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("repeat a row") });
        self.copy(&mut encoder, 0..1, &first, 0);
        (1..self.count).for_each(|row| first.copy(&mut encoder, 0..1, self, row));
        gpu.submit(encoder);
    }

    /// Records that the first `blocks` vec4 of a row are copied to the same row of `to`.
    ///
    /// # Panics
    /// As [`Rows::copy`].
    pub(super) fn copy_part(&self, encoder: &mut wgpu::CommandEncoder, row: u32, blocks: u32, to: &Rows) {
        assert!(self.blocks == to.blocks && blocks <= self.blocks && row < self.count.min(to.count), "{blocks} of row {row}");
        let at = self.row_bytes() * u64::from(row);
        encoder.copy_buffer_to_buffer(&self.buffer, at, &to.buffer, at, u64::from(blocks) * 16);
    }

    /// Records that all values become zero.
    pub(super) fn clear(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.clear_buffer(&self.buffer, 0, None);
    }
}

/// Batch norms that every client keeps of every base: the row of client `c` and base `b` is `c · bases + b`.
#[derive(Debug, Clone)]
pub struct LocalNorms {
    /// What each of the rows holds, as batch norms end a row of parameters.
    pub row: NormRow,
    /// Number of clients.
    pub clients: u32,
    /// Number of bases.
    pub bases: u32,
    /// The rows, `[client][base]`.
    pub rows: Rows,
}

impl LocalNorms {
    /// Batch norms of zeros.
    ///
    /// # Errors
    /// As [`Rows::new`].
    pub fn new(gpu: &Gpu, row: NormRow, clients: u32, bases: u32) -> Result<LocalNorms> {
        let what = format!("batch norms of {clients} clients and {bases} bases");
        let advice = "switch local-bn (or bn-mode post) off, or use fewer clients";
        Ok(LocalNorms { row, clients, bases, rows: Rows::new(gpu, clients * bases, row.len(), &what, advice)? })
    }

    /// The row of a client and a base.
    ///
    /// # Panics
    /// Where there is no such client or base: the kernels do not look.
    pub fn place(&self, client: u32, base: u32) -> u32 {
        assert!(client < self.clients && base < self.bases, "client {client}, base {base} of {} and {}", self.clients, self.bases);
        client * self.bases + base
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
            let error = Rows::of_bases(&gpu, &network, 8).expect_err("455 MB of 134").to_string();
            assert!(error.contains("8 bases of 14219210 parameters") && error.contains("fewer or narrower bases"), "{error}");
            assert!(Rows::of_bases(&gpu, &network, 2).is_ok());
        });
    }

    #[test]
    fn rows_are_written_copied_and_read() {
        pollster::block_on(async {
            let gpu = Gpu::open(&GpuOptions::default()).await.expect("an adapter");
            let [a, b] = [3, 2].map(|count| Rows::new(&gpu, count, 2, "rows", "").expect("they fit"));
            let values: Vec<f32> = (0..24u8).map(f32::from).collect();
            a.write(&gpu, 0, &values);
            b.write(&gpu, 1, &[9.0; 8]);
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
            a.copy(&mut encoder, 1..2, &b, 0);
            a.copy_part(&mut encoder, 1, 1, &b);
            gpu.submit(encoder);
            let expected = [&values[8..16], &values[8..12], &[9.0; 4]].concat();
            assert_eq!(b.read(&gpu).await.expect("read"), expected);
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
            a.clear(&mut encoder);
            gpu.submit(encoder);
            assert_eq!(a.read(&gpu).await.expect("read"), [0.0; 24]);
            b.repeat_first(&gpu);
            assert_eq!(b.read(&gpu).await.expect("read"), expected[..8].repeat(2));
        });
    }
}
