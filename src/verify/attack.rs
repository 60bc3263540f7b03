//! Cases of attacks on images: start, steps, the worst of several.

use super::{Case, Cases, LANES, SLOTS, Trial, Want, batch_sizes, image, schedule, stored, wanted};
use crate::kernels::ImageLayout;
use crate::kernels::attack::{self, AttackImages, By};
use crate::net::Shape;
use kernels_tests::attack as twin;

/// Start or step of an attack on images.
#[derive(Debug, Clone, Copy)]
pub struct AttackCase {
    /// A step, not the start.
    pub step: bool,
    /// Capacity of a batch.
    pub batch: usize,
    /// Bases attacked together; 0: every lane attacks for itself.
    pub bases: usize,
    /// Shape of an image, of up to four channels.
    pub shape: Shape,
    /// Radius.
    pub epsilon: f32,
    /// Step size.
    pub alpha: f32,
}

impl Case for AttackCase {
    fn op(&self) -> &'static str {
        if self.step { "attack, step" } else { "attack, start" }
    }

    fn fill(&self, t: &mut Trial) {
        let batch = self.batch;
        let (images, gradient) = (ImageLayout::new(self.shape, 2), ImageLayout::new(self.shape, 1));
        let (channels, area) = (self.shape.channels as usize, (self.shape.height * self.shape.width) as usize);
        let (epsilon, alpha) = (f64::from(self.epsilon), f64::from(self.alpha));
        let (seed, round, local_step) = (t.seed as u32, 3, 1);
        let by = if self.bases == 0 { By::Lane } else { By::Slot { bases: self.bases as u32 } };
        // Indices of images anywhere, and the clean images of each slot: pixels in [0, 1], the padded channels 0.
        let slots = batch_sizes(batch).map(|valid| {
            let indices: Vec<u32> = (0..valid).map(|_| (t.noise.value().abs() * 1e6) as u32).collect();
            (indices, t.noise.pixels(valid, images))
        });
        let clean_words: Vec<f32> =
            slots.iter().flat_map(|(indices, clean)| stored(images, batch, indices.len(), clean, 0, f32::NAN)).collect();
        // Slot and base of whoever is attacked.
        let attackers: Vec<(usize, u32)> = match by {
            By::Slot { .. } => (0..SLOTS).map(|s| (s, twin::ENSEMBLE)).collect(),
            By::Lane => LANES.iter().map(|l| (l[0] as usize, l[2])).collect(),
        };
        let (mut attacked_words, mut dx_words, mut want, mut want_moved) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (slot, base) in attackers.iter().copied() {
            let (indices, clean) = &slots[slot];
            let valid = indices.len();
            let key = twin::NoiseKey { seed, round, step: local_step, base };
            let before = t.noise.near(clean, valid, images, epsilon);
            let mut gradients: Vec<Vec<f64>> = (0..self.bases.max(1)).map(|_| t.noise.images(valid, gradient)).collect();
            // Every other image has no gradient.
            let flat = |i: usize| i / (4 * area) % 2 == 1;
            gradients.iter_mut().flat_map(|g| g.iter_mut().enumerate()).filter(|(i, _)| flat(*i)).for_each(|(_, g)| *g = 0.0);
            want_moved.extend((0..batch).map(|n| match (n < valid, self.step) {
                (false, _) => Want::Keep,
                (true, false) => Want::Bits(0),
                (true, true) => Want::Bits(6 | u32::from(n % 2 == 0)),
            }));
            let value = |i: usize| {
                let (n, c, p) = (i / (4 * area), i / area % 4, i % area);
                if c >= channels {
                    return 0.0;
                }
                if self.step {
                    // Summed in f32 in the bases' order, for a sign has no tolerance.
                    let sum = gradients.iter().fold(0.0f32, |sum, g| sum + g[i] as f32);
                    return twin::step(before[i], clean[i], f64::from(sum), alpha, epsilon);
                }
                twin::start(clean[i], twin::noise(key, indices[n], p as u32)[c], epsilon)
            };
            let after: Vec<f64> = (0..clean.len()).map(value).collect();
            want.extend(wanted(images, batch, valid, &after, &vec![1.0; after.len()]));
            attacked_words.extend(stored(images, batch, valid, &before, 0, f32::NAN));
            dx_words.extend(gradients.iter().flat_map(|g| stored(gradient, batch, valid, g, 0, f32::NAN)));
        }
        // A step sets the lowest bit and leaves the others.
        let moved = t.words("moved", vec![6; attackers.len() * batch]);
        t.expected.push((moved, want_moved));
        let b = attack::Buffers {
            batch_sizes: t.batch_sizes(batch),
            clean: t.values("clean", &clean_words),
            lanes: t.lanes(),
            schedule: t.words("schedule", schedule(local_step, batch, &slots.map(|(indices, _)| indices))),
            dx: t.values("dx", &dx_words),
            attacked: t.changed("attacked", &attacked_words, want),
            moved,
        };
        let kernel = AttackImages {
            batch: batch as u32,
            by,
            images,
            gradient,
            seed,
            start: self.epsilon,
            epsilon: self.epsilon,
            alpha: self.alpha,
            slot_capacity: SLOTS as u32,
        };
        let mut dispatch = if self.step { kernel.step("case", b) } else { kernel.start("case", b) };
        dispatch.uniforms.set("round", round);
        t.dispatches.push(dispatch);
        t.active.step = local_step;
    }
}

/// The worst of the outcomes of an attack's restarts.
#[derive(Debug, Clone, Copy)]
pub struct WorstCase {
    /// Capacity of a batch.
    pub batch: usize,
    /// The first restart, which forgets what was before.
    pub first: bool,
}

impl Case for WorstCase {
    fn op(&self) -> &'static str {
        "attack, worst"
    }

    fn fill(&self, t: &mut Trial) {
        let (mut now, mut before, mut want) = (Vec::new(), Vec::new(), Vec::new());
        for valid in batch_sizes(self.batch) {
            for n in 0..self.batch {
                let mut outcome = || [t.noise.value().abs() as f32, f32::from(u8::from(t.noise.value() > 0.0))];
                let (a, b) = (outcome(), outcome());
                let merged = if self.first { a } else { [a[0].max(b[0]), a[1].min(b[1])] };
                now.extend(if n < valid { a } else { [f32::NAN; 2] });
                before.extend(if n < valid && !self.first { b } else { [f32::NAN; 2] });
                want.extend(merged.map(|v| if n < valid { Want::Bits(v.to_bits()) } else { Want::Keep }));
            }
        }
        let worst = t.changed("worst", &before, want);
        let (batch_sizes, outcomes) = (t.batch_sizes(self.batch), t.values("outcomes", &now));
        let layout = ImageLayout::new(image(3, 2, 2), 0);
        let (batch, by) = (self.batch as u32, By::Slot { bases: 1 });
        let none =
            AttackImages { batch, by, images: layout, gradient: layout, seed: 0, start: 0.0, epsilon: 0.0, alpha: 0.0, slot_capacity: 1 };
        let mut dispatch = none.worst("case", batch_sizes, outcomes, worst);
        dispatch.uniforms.set("restart", u32::from(!self.first));
        t.dispatches.push(dispatch);
    }
}

pub(super) fn standard(cases: &mut Cases) {
    for first in [true, false] {
        cases.add(470, WorstCase { batch: 70, first });
    }
    for step in [false, true] {
        let case = AttackCase { step, batch: 5, bases: 3, shape: image(3, 28, 28), epsilon: 8.0 / 255.0, alpha: 2.0 / 255.0 };
        let large = AttackCase { batch: 3, bases: 1, shape: image(1, 5, 3), epsilon: 0.5, alpha: 0.75, ..case };
        let still = AttackCase { bases: 2, shape: image(4, 3, 7), epsilon: 0.0, ..case };
        for case in [case, large, still, AttackCase { bases: 0, ..case }, AttackCase { bases: 0, ..large }] {
            cases.add(480, case);
        }
    }
}
