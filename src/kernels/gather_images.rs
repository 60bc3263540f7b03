//! Mini-batches by index from the resident images; see `shaders/gather_images.wgsl`.

use super::{Access::*, BufferId, Dispatch, ImageLayout, Kernel, Over, WORKGROUP, shader};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct GatherImages {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Slots of a row of the schedule.
    pub slot_capacity: u32,
    /// Images in the first of the two image buffers.
    pub images_per_chunk: u32,
    /// Layout of the gathered input; at most four channels.
    pub input: ImageLayout,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `[step][slot][1 + batch]` u32: valid samples, then image indices.
    pub schedule: BufferId,
    /// u8 images, H·W·C, packed in u32: the first chunk and the rest.
    pub images: [BufferId; 2],
    /// u32 label of each image.
    pub labels: BufferId,
    /// Out: f32 images in [0, 1].
    pub input: BufferId,
    /// Out: u32 labels of the batch.
    pub batch_labels: BufferId,
    /// Out: u32 valid samples of each slot.
    pub batch_sizes: BufferId,
}

impl GatherImages {
    /// The dispatch, over slots.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let shape = self.input.shape;
        let payload = u64::from(self.batch) * u64::from(shape.len());
        Dispatch {
            label: label.into(),
            kernel: Kernel {
                shader: shader::gather_images,
                entry: "gather_images",
                constants: vec![],
                access: &[Read, Read, Read, Read, Write, Write, Write],
            },
            words: vec![
                0,
                self.slot_capacity,
                self.batch,
                shape.channels,
                shape.height,
                shape.width,
                self.input.row(),
                self.input.image(),
                self.input.origin(0),
                self.images_per_chunk,
            ],
            step_word: Some(0),
            buffers: vec![b.schedule, b.images[0], b.images[1], b.labels, b.input, b.batch_labels, b.batch_sizes],
            invocations: self.batch * (shape.height * shape.width).div_ceil(4),
            workgroup: WORKGROUP,
            over: Over::Slots,
            flops: payload,
            bytes: payload * 5,
        }
    }
}
