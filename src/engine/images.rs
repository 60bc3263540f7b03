//! All images of a run on the GPU, as u8, uploaded once.

use crate::gpu::Gpu;
use crate::net::Shape;
use crate::{Error, Result};

/// Images and labels on the GPU. Indices count images in the order they were given.
pub struct ImageStore {
    /// Shape of every image.
    pub shape: Shape,
    /// Number of images.
    pub count: u32,
    /// Images in the first chunk; the rest is in the second.
    pub images_per_chunk: u32,
    pub(crate) chunks: [wgpu::Buffer; 2],
    pub(crate) labels: wgpu::Buffer,
}

/// Bytes of images that are written at once.
const PIECE: usize = 64 << 20;

impl ImageStore {
    /// Bytes on the GPU.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(wgpu::Buffer::size).sum::<u64>() + self.labels.size()
    }

    /// Uploads images, H·W·C bytes each, with their labels.
    ///
    /// # Errors
    /// [`Error::Config`] where they do not fit two bindings of this adapter.
    pub fn new(gpu: &Gpu, shape: Shape, sets: &[(&[u8], &[u8])]) -> Result<ImageStore> {
        let each = shape.len() as usize;
        let count: usize = sets.iter().map(|(_, labels)| labels.len()).sum();
        // Chunks start at whole words: a number of images divisible by four does.
        let most = (gpu.largest_binding() / each as u64 / 4 * 4).min(u64::from(u32::MAX / 8));
        if count as u64 > 2 * most {
            return Err(Error::Config(format!(
                "{count} images of {each} bytes do not fit this adapter, which holds {}: lower train-per-domain or percent",
                2 * most
            )));
        }
        let first = count.min(most as usize);
        let bytes = |images: usize| (images * each).next_multiple_of(4) as u64;
        let chunks = [gpu.storage("images 0", bytes(first)), gpu.storage("images 1", bytes(count - first))];
        let labels = gpu.storage("labels", 4 * count as u64);
        let mut all = Vec::with_capacity(count * each + 4);
        let mut all_labels = Vec::with_capacity(count);
        for (pixels, set_labels) in sets {
            assert_eq!(pixels.len(), set_labels.len() * each, "pixels and labels disagree");
            all.extend_from_slice(pixels);
            all_labels.extend(set_labels.iter().map(|l| u32::from(*l)));
        }
        let (head, tail) = all.split_at(first * each);
        for (buffer, part) in chunks.iter().zip([head, tail]) {
            // By pieces that are on their way before the next, for each is copied once more on its way.
            for (piece, at) in part.chunks(PIECE).zip((0..).step_by(PIECE)) {
                let mut piece = piece.to_vec();
                piece.resize(piece.len().next_multiple_of(4), 0);
                gpu.queue.write_buffer(buffer, at, &piece);
                gpu.queue.submit([]);
            }
        }
        gpu.queue.write_buffer(&labels, 0, bytemuck::cast_slice(&all_labels));
        gpu.queue.submit([]);
        Ok(ImageStore { shape, count: count as u32, images_per_chunk: (first as u32).max(1), chunks, labels })
    }
}
