//! Row stores: rows of parameters on the GPU, which programs read, train copies of, average and write back.

use super::Staging;
use crate::gpu::Gpu;
use crate::net::{Network, NormRow, TensorSpec};
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

    /// Records that a part of a row, in vec4, is copied to the same place of the same row of `to`.
    ///
    /// # Panics
    /// As [`Rows::copy`].
    pub(super) fn copy_part(&self, encoder: &mut wgpu::CommandEncoder, row: u32, part: &Range<u32>, to: &Rows) {
        assert!(self.blocks == to.blocks && part.end <= self.blocks && row < self.count.min(to.count), "{part:?} of row {row}");
        let at = self.row_bytes() * u64::from(row) + u64::from(part.start) * 16;
        encoder.copy_buffer_to_buffer(&self.buffer, at, &to.buffer, at, part.len() as u64 * 16);
    }

    /// Records that all values become zero.
    pub(super) fn clear(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.clear_buffer(&self.buffer, 0, None);
    }
}

/// What helps where there is no room for what clients keep.
const OWN: &str = "switch local-bn (or bn-mode post) off, name less in personal, or use fewer clients";

/// What every client keeps of every base: the row of client `c` and base `b` is `c · bases + b`.
#[derive(Debug, Clone)]
pub struct ClientRows {
    /// The parts of a row of parameters that a row here holds, one after the other, in vec4; ascending.
    pub parts: Vec<Range<u32>>,
    /// The batch norms, where the parts are those and nothing else: an evaluation reads them where they lie.
    pub norms: Option<NormRow>,
    /// Number of clients.
    pub clients: u32,
    /// Number of bases.
    pub bases: u32,
    /// The rows, `[client][base]`.
    pub rows: Rows,
}

impl ClientRows {
    /// Rows of zeros for the tensors that `keeps` names; none where it names none.
    ///
    /// # Errors
    /// As [`Rows::new`].
    pub fn new(gpu: &Gpu, network: &Network, keeps: impl Fn(&TensorSpec) -> bool, clients: u32, bases: u32) -> Result<Option<ClientRows>> {
        let parts = network.places(keeps);
        if parts.is_empty() {
            return Ok(None);
        }
        let norms = (parts == network.places(|t| t.kind.is_norm())).then(|| network.norm_row());
        let what = if norms.is_some() { "batch norms" } else { "own parameters" };
        let what = format!("{what} of {clients} clients and {bases} bases");
        ClientRows::of_parts(gpu, parts, norms, clients, bases, (&what, OWN)).map(Some)
    }

    /// Zeros for batch norms as a row of `norms` holds them, which may be others than the network's.
    ///
    /// # Errors
    /// As [`Rows::new`].
    pub fn of_norms(gpu: &Gpu, network: &Network, norms: NormRow, clients: u32, bases: u32) -> Result<ClientRows> {
        let place = network.norm_start..network.norm_start + norms.len();
        let what = format!("batch norms of {clients} clients and {bases} bases");
        ClientRows::of_parts(gpu, vec![place], Some(norms), clients, bases, (&what, OWN))
    }

    /// Zeros for these parts. `words` are for the error: what the rows hold, and what helps where there is no room for them.
    pub(super) fn of_parts(
        gpu: &Gpu,
        parts: Vec<Range<u32>>,
        norms: Option<NormRow>,
        clients: u32,
        bases: u32,
        (what, advice): (&str, &str),
    ) -> Result<ClientRows> {
        let blocks = parts.iter().map(ExactSizeIterator::len).sum::<usize>() as u32;
        let rows = Rows::new(gpu, clients * bases, blocks, what, advice)?;
        Ok(ClientRows { parts, norms, clients, bases, rows })
    }

    /// The row of a client and a base.
    ///
    /// # Panics
    /// Where there is no such client or base: the kernels do not look.
    pub fn place(&self, client: u32, base: u32) -> u32 {
        assert!(client < self.clients && base < self.bases, "client {client}, base {base} of {} and {}", self.clients, self.bases);
        client * self.bases + base
    }

    /// Whether a tensor is kept.
    pub fn keeps(&self, tensor: &TensorSpec) -> bool {
        self.parts.iter().any(|part| part.contains(&tensor.offset))
    }

    /// What is kept of a row of parameters.
    pub fn of_row(&self, row: &[f32]) -> Vec<f32> {
        self.parts.iter().flat_map(|part| &row[part.start as usize * 4..part.end as usize * 4]).copied().collect()
    }

    /// A row of `blocks` vec4 of parameters with the kept ones of a client and a base out of the `values` of all rows, and zeros elsewhere.
    pub fn full_row(&self, values: &[f32], place: u32, blocks: u32) -> Vec<f32> {
        let mut own = &values[place as usize * self.rows.values()..][..self.rows.values()];
        let mut row = vec![0.0; blocks as usize * 4];
        for part in &self.parts {
            let (of_part, rest) = own.split_at(part.len() * 4);
            row[part.start as usize * 4..part.end as usize * 4].copy_from_slice(of_part);
            own = rest;
        }
        row
    }

    /// Gives every client what the bases have.
    pub fn begin(&self, gpu: &Gpu, bases: &Rows) {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("own parameters") });
        for client in 0..self.clients {
            for base in 0..self.bases {
                let mut to = self.rows.row_bytes() * u64::from(self.place(client, base));
                for part in &self.parts {
                    let (from, bytes) = (bases.row_bytes() * u64::from(base) + u64::from(part.start) * 16, part.len() as u64 * 16);
                    encoder.copy_buffer_to_buffer(&bases.buffer, from, &self.rows.buffer, to, bytes);
                    to += bytes;
                }
            }
        }
        gpu.submit(encoder);
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
            a.copy_part(&mut encoder, 1, &(1..2), &b);
            gpu.submit(encoder);
            let expected = [&values[8..16], &[9.0; 4], &values[12..16]].concat();
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
