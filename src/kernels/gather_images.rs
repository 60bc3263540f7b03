//! Mini-batches by index from the resident images; see `shaders/gather_images.wgsl`.

use super::{BufferId, Dispatch, ImageLayout, Over, shader, uniforms};

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
    /// Changes to every image, each time it is gathered.
    pub augment: Option<Augment>,
}

/// Random changes to training images, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augment {
    /// A crop of the image with so many zero pixels on every side.
    pub padding: u32,
    /// A flip of left and right, every other time.
    pub flip: bool,
    /// A rotation by up to so many degrees, at most 180, to the nearest pixel; one of 127 angles.
    pub rotation: f32,
    /// Seed of the draws.
    pub seed: u32,
}

/// Angles that a rotation is one of.
const ANGLES: i32 = 127;

impl Augment {
    /// Cosine and sine · 2¹⁴ of every angle, and one angle more to fill the last vec4.
    fn angles(&self) -> Vec<i32> {
        let of = |i: i32| {
            let angle = f64::from(self.rotation).to_radians() * f64::from(i - ANGLES / 2) / f64::from(ANGLES / 2);
            [libm::cos(angle), libm::sin(angle)].map(|v| (v * 16384.0).round() as i32)
        };
        (0..=ANGLES).flat_map(of).collect()
    }
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
    /// The dispatch, over slots. The uniform `round` is for the draws of augmented images.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let shape = self.input.shape;
        let payload = u64::from(self.batch) * u64::from(shape.len());
        let augment = self.augment.unwrap_or(Augment { padding: 0, flip: false, rotation: 0.0, seed: 0 });
        Dispatch::new(
            label,
            shader::gather_images,
            if self.augment.is_some() { "gather_augmented" } else { "gather_images" },
            Over::Slots,
            self.batch * (shape.height * shape.width).div_ceil(4),
        )
        .uniforms(uniforms! {
            step: 0,
            slot_capacity: self.slot_capacity,
            batch: self.batch,
            channels: shape.channels,
            height: shape.height,
            width: shape.width,
            out_row: self.input.row(),
            out_image: self.input.image(),
            out_origin: self.input.origin(0),
            images_per_chunk: self.images_per_chunk,
            seed: augment.seed,
            round: 0,
            padding: augment.padding,
            flip: augment.flip,
            angles: augment.angles(),
        })
        .step("step")
        .reads([b.schedule, b.images[0], b.images[1], b.labels])
        .writes([b.input, b.batch_labels, b.batch_sizes])
        .cost(payload, payload * 5)
    }
}
