//! Cases of gathering mini-batches.

use super::{Case, Noise, SLOTS, Trial, Want, batch_sizes, place};
use crate::gpu::Active;
use crate::kernels::gather_images::{Augment, GatherImages};
use crate::kernels::{ImageLayout, Tuning, gather_images};
use crate::net::Shape;
use kernels_tests::shape;

/// Gathering a mini-batch from two chunks of images.
#[derive(Debug, Clone, Copy)]
pub struct GatherCase {
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an image, at most four channels.
    pub shape: Shape,
    /// Images in the set; the second chunk starts at the first multiple of four past the middle.
    pub images: u32,
    /// Local step whose row of the schedule is read.
    pub step: u32,
    /// Changes to every image.
    pub augment: Option<Augment>,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for GatherCase {
    fn op(&self) -> &'static str {
        if self.augment.is_some() { "gather_images, augmented" } else { "gather_images" }
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let (batch, each) = (self.batch, self.shape.len() as usize);
        let layout = ImageLayout::new(self.shape, 2);
        let bytes: Vec<u8> = (0..self.images as usize * each).map(|_| noise.below(256) as u8).collect();
        let labels: Vec<u32> = (0..self.images).map(|_| noise.below(10)).collect();
        let chunk = (self.images / 2).max(1).next_multiple_of(4);
        let (head, tail) = bytes.split_at((chunk.min(self.images) as usize) * each);
        let mut pack = |label: &str, bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.resize(bytes.len().next_multiple_of(4).max(4), 0xff);
            t.words(label, bytemuck::pod_collect_to_vec(&bytes))
        };
        let images = [pack("images 0", head), pack("images 1", tail)];
        let valid = batch_sizes(batch);
        let mut schedule = vec![u32::MAX; (self.step as usize + 1) * SLOTS * (1 + batch)];
        let mut want = vec![Want::Keep; SLOTS * layout.bytes(batch as u32) as usize / 4];
        let mut want_labels = vec![Want::Keep; SLOTS * batch];
        for slot in 0..SLOTS {
            let row = (self.step as usize * SLOTS + slot) * (1 + batch);
            schedule[row] = valid[slot] as u32;
            let indices: Vec<u32> = (0..valid[slot]).map(|_| noise.below(self.images)).collect();
            schedule[row + 1..row + 1 + indices.len()].copy_from_slice(&indices);
            let image = shape::Image {
                channels: self.shape.channels as usize,
                height: self.shape.height as usize,
                width: self.shape.width as usize,
            };
            let (mut x, batch_labels) = kernels_tests::gather_images::gather_images(&image, &bytes, &labels, &indices, valid[slot]);
            if let Some(a) = self.augment {
                let (rotation, round) = (f64::from(a.rotation), 0);
                let twin = kernels_tests::gather_images::Augment {
                    padding: a.padding,
                    flip: a.flip,
                    rotation,
                    seed: a.seed,
                    round,
                    step: self.step,
                };
                for (own, index) in x.chunks_exact_mut(image.len()).zip(&indices) {
                    let changed = kernels_tests::gather_images::augment(&image, own, &twin.draw(*index));
                    own.copy_from_slice(&changed);
                }
            }
            let start = slot * layout.bytes(batch as u32) as usize / 4;
            for n in 0..valid[slot] {
                want_labels[slot * batch + n] = Want::Bits(batch_labels[n]);
                for y in 0..image.height {
                    for column in 0..image.width {
                        for c in 0..4 {
                            let from = ((n * image.channels + c) * image.height + y) * image.width + column;
                            let value = if c < image.channels { x[from] } else { 0.0 };
                            want[start + place(layout, n, c, y, column)] = Want::Near(value, 0.0);
                        }
                    }
                }
            }
        }
        let b = gather_images::Buffers {
            schedule: t.words("schedule", schedule),
            images,
            labels: t.words("labels", labels),
            input: t.output("input", want),
            batch_labels: t.output("batch labels", want_labels),
            batch_sizes: t.output("batch sizes", valid.iter().map(|v| Want::Bits(*v as u32)).collect()),
        };
        let kernel = GatherImages {
            batch: batch as u32,
            slot_capacity: SLOTS as u32,
            images_per_chunk: chunk,
            input: layout,
            augment: self.augment,
        };
        t.dispatches = vec![kernel.dispatch("case", b)];
        t.active = Some(Active { lanes: 0, slots: SLOTS as u32, step: self.step });
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let changed = |padding, flip, rotation| Some(Augment { padding, flip, rotation, seed: 77 });
    let image = |channels, height, width| Shape { channels, height, width };
    vec![
        Box::new(GatherCase { batch: 5, shape: image(3, 28, 28), images: 30, step: 0, augment: None, seed: 400 }),
        Box::new(GatherCase { batch: 4, shape: image(1, 5, 3), images: 9, step: 2, augment: None, seed: 401 }),
        Box::new(GatherCase { batch: 3, shape: image(4, 2, 7), images: 16, step: 1, augment: None, seed: 402 }),
        Box::new(GatherCase { batch: 5, shape: image(3, 32, 32), images: 30, step: 2, augment: changed(4, true, 0.0), seed: 403 }),
        Box::new(GatherCase { batch: 3, shape: image(3, 40, 36), images: 9, step: 0, augment: changed(0, true, 30.0), seed: 404 }),
        Box::new(GatherCase { batch: 6, shape: image(1, 7, 10), images: 12, step: 1, augment: changed(2, false, 180.0), seed: 405 }),
    ]
}
