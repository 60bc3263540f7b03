//! Cases of gathering mini-batches.

use super::{Case, Cases, SLOTS, Trial, Want, batch_sizes, image, schedule, wanted};
use crate::kernels::ImageLayout;
use crate::kernels::gather_images::{self, Augment, GatherImages};
use crate::net::Shape;
use kernels_tests::{gather_images as twin, shape};

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
}

impl Case for GatherCase {
    fn op(&self) -> &'static str {
        if self.augment.is_some() { "gather_images, augmented" } else { "gather_images" }
    }

    fn fill(&self, t: &mut Trial) {
        let (batch, each, step) = (self.batch, self.shape.len() as usize, self.step);
        let layout = ImageLayout::new(self.shape, 2);
        let bytes: Vec<u8> = (0..self.images as usize * each).map(|_| t.noise.below(256) as u8).collect();
        let labels: Vec<u32> = (0..self.images).map(|_| t.noise.below(10)).collect();
        let chunk = (self.images / 2).max(1).next_multiple_of(4);
        let (head, tail) = bytes.split_at((chunk.min(self.images) as usize) * each);
        let images = [("images 0", head), ("images 1", tail)].map(|(label, bytes)| {
            let mut bytes = bytes.to_vec();
            bytes.resize(bytes.len().next_multiple_of(4).max(4), 0xff);
            t.words(label, bytemuck::pod_collect_to_vec(&bytes))
        });
        let indices = batch_sizes(batch).map(|v| (0..v).map(|_| t.noise.below(self.images)).collect::<Vec<u32>>());
        let [channels, height, width] = [self.shape.channels, self.shape.height, self.shape.width].map(|n| n as usize);
        let image = shape::Image { channels, height, width };
        let padding = vec![0.0; (4 - channels) * height * width];
        let (mut want, mut want_labels) = (Vec::new(), Vec::new());
        for indices in &indices {
            let (x, batch_labels) = twin::gather_images(&image, &bytes, &labels, indices, indices.len());
            let as_gathered = |(own, index): (&[f64], &u32)| match self.augment {
                Some(Augment { padding, flip, rotation, seed }) => {
                    let twin = twin::Augment { padding, flip, rotation: f64::from(rotation), seed, round: 0, step };
                    twin::augment(&image, own, &twin.draw(*index))
                }
                None => own.to_vec(),
            };
            let padded = x.chunks_exact(each).zip(indices).flat_map(|of| [as_gathered(of), padding.clone()].concat());
            let padded: Vec<f64> = padded.collect();
            want.extend(wanted(layout, batch, indices.len(), &padded, &vec![0.0; padded.len()]));
            want_labels.extend(batch_labels.into_iter().map(Want::Bits));
            want_labels.resize(want_labels.len() + batch - indices.len(), Want::Keep);
        }
        let b = gather_images::Buffers {
            schedule: t.words("schedule", schedule(step, batch, &indices)),
            images,
            labels: t.words("labels", labels),
            input: t.output("input", want),
            batch_labels: t.output("batch labels", want_labels),
            batch_sizes: t.output("batch sizes", batch_sizes(batch).map(|v| Want::Bits(v as u32)).to_vec()),
        };
        let kernel = GatherImages {
            batch: batch as u32,
            slot_capacity: SLOTS as u32,
            images_per_chunk: chunk,
            input: layout,
            augment: self.augment,
        };
        t.dispatches.push(kernel.dispatch("case", b));
        t.active.step = step;
    }
}

pub(super) fn standard(cases: &mut Cases) {
    let changed = |padding, flip, rotation| Some(Augment { padding, flip, rotation, seed: 77 });
    let gathered = [
        (5, image(3, 28, 28), 30, 0, None),
        (4, image(1, 5, 3), 9, 2, None),
        (3, image(4, 2, 7), 16, 1, None),
        (5, image(3, 32, 32), 30, 2, changed(4, true, 0.0)),
        (3, image(3, 40, 36), 9, 0, changed(0, true, 30.0)),
        (6, image(1, 7, 10), 12, 1, changed(2, false, 180.0)),
    ];
    for (seed, (batch, shape, images, step, augment)) in (400..).zip(gathered) {
        cases.add(seed, GatherCase { batch, shape, images, step, augment });
    }
}
