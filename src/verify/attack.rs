//! Cases of attacks on images: start, steps, the worst of several.

use super::{Case, LANES, Noise, SLOTS, Trial, Want, batch_sizes, lane_table, size_table, stored, wanted};
use crate::gpu::Active;
use crate::kernels::attack::{AttackImages, By};
use crate::kernels::{ImageLayout, Tuning};
use crate::net::Shape;
use kernels_tests::attack;

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
    /// Seed of the data.
    pub seed: u64,
}

impl Case for AttackCase {
    fn op(&self) -> &'static str {
        if self.step { "attack, step" } else { "attack, start" }
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let batch = self.batch;
        let (images, gradient) = (ImageLayout::new(self.shape, 2), ImageLayout::new(self.shape, 1));
        let (channels, area) = (self.shape.channels as usize, (self.shape.height * self.shape.width) as usize);
        let (epsilon, alpha) = (f64::from(self.epsilon), f64::from(self.alpha));
        let (seed, round, local_step) = (self.seed as u32, 3, 1);
        let by = if self.bases == 0 { By::Lane } else { By::Slot { bases: self.bases as u32 } };
        // [step][slot][1 + batch], indices of images anywhere; and the clean images of each slot.
        let valid = batch_sizes(batch);
        let mut schedule = vec![u32::MAX; (local_step as usize + 1) * SLOTS * (1 + batch)];
        let row = |slot: usize| (local_step as usize * SLOTS + slot) * (1 + batch);
        let (mut clean, mut clean_words) = (Vec::new(), Vec::new());
        for (s, valid) in valid.into_iter().enumerate() {
            schedule[row(s)] = valid as u32;
            (0..valid).for_each(|n| schedule[row(s) + 1 + n] = (noise.value().abs() * 1e6) as u32);
            // Pixels in [0, 1], the padded channels 0.
            clean.push(noise.images(valid, images).iter().map(|v| f64::from(v.abs().min(1.0) as f32)).collect::<Vec<_>>());
            clean_words.extend(stored(images, batch, valid, &clean[s], 0, f32::NAN));
        }
        // Slot and base of whoever is attacked.
        let attackers: Vec<(usize, u32)> = match by {
            By::Slot { .. } => (0..SLOTS).map(|s| (s, attack::ENSEMBLE)).collect(),
            By::Lane => LANES.iter().map(|l| (l[0] as usize, l[2])).collect(),
        };
        let (mut attacked_words, mut dx_words, mut want, mut want_moved) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (slot, base) in attackers.iter().copied() {
            let (valid, clean) = (valid[slot], &clean[slot]);
            let key = attack::NoiseKey { seed, round, step: local_step, base };
            // Attacked ones lie anywhere in the ball.
            let inside = |(c, v): (&f64, f64)| f64::from(attack::clip(c + epsilon * v, *c, epsilon) as f32);
            let before: Vec<f64> = clean.iter().zip(noise.images(valid, images)).map(inside).collect();
            let mut gradients: Vec<Vec<f64>> = (0..self.bases.max(1)).map(|_| noise.images(valid, gradient)).collect();
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
                    return attack::step(before[i], clean[i], f64::from(sum), alpha, epsilon);
                }
                attack::start(clean[i], attack::noise(key, schedule[row(slot) + 1 + n], p as u32)[c], epsilon)
            };
            let after: Vec<f64> = (0..clean.len()).map(value).collect();
            want.extend(wanted(images, batch, valid, &after, &vec![1.0; after.len()]));
            attacked_words.extend(stored(images, batch, valid, &before, 0, f32::NAN));
            for g in &gradients {
                dx_words.extend(stored(gradient, batch, valid, g, 0, f32::NAN));
            }
        }
        let attacked = t.values("attacked", &attacked_words);
        t.expect(attacked, want);
        // A step sets the lowest bit and leaves the others.
        let moved = t.words("moved", vec![6; attackers.len() * batch]);
        t.expect(moved, want_moved);
        let b = crate::kernels::attack::Buffers {
            batch_sizes: t.words("batch sizes", size_table(batch)),
            clean: t.values("clean", &clean_words),
            lanes: t.words("lanes", lane_table()),
            schedule: t.words("schedule", schedule),
            dx: t.values("dx", &dx_words),
            attacked,
            moved,
            outcomes: moved,
            worst: moved,
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
        t.dispatches = vec![dispatch];
        t.active = Some(Active { lanes: LANES.len() as u32, slots: SLOTS as u32, step: local_step });
        t
    }
}

/// The worst of the outcomes of an attack's restarts.
#[derive(Debug, Clone, Copy)]
pub struct WorstCase {
    /// Capacity of a batch.
    pub batch: usize,
    /// The first restart, which forgets what was before.
    pub first: bool,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for WorstCase {
    fn op(&self) -> &'static str {
        "attack, worst"
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let valid = batch_sizes(self.batch);
        let (mut now, mut before, mut want) = (Vec::new(), Vec::new(), Vec::new());
        for valid in valid {
            for n in 0..self.batch {
                let mut outcome = || [noise.value().abs() as f32, f32::from(u8::from(noise.value() > 0.0))];
                let (a, b) = (outcome(), outcome());
                let merged = if self.first { a } else { [a[0].max(b[0]), a[1].min(b[1])] };
                now.extend(if n < valid { a } else { [f32::NAN; 2] });
                before.extend(if n < valid && !self.first { b } else { [f32::NAN; 2] });
                want.extend(merged.map(|v| if n < valid { Want::Bits(v.to_bits()) } else { Want::Keep }));
            }
        }
        let worst = t.values("worst", &before);
        t.expect(worst, want);
        let outcomes = t.values("outcomes", &now);
        let b = crate::kernels::attack::Buffers {
            batch_sizes: t.words("batch sizes", size_table(self.batch)),
            clean: worst,
            lanes: worst,
            schedule: worst,
            dx: worst,
            attacked: worst,
            moved: worst,
            outcomes,
            worst,
        };
        let layout = ImageLayout::new(Shape { channels: 3, height: 2, width: 2 }, 0);
        let batch = self.batch as u32;
        let kernel = AttackImages {
            batch,
            by: By::Slot { bases: 1 },
            images: layout,
            gradient: layout,
            seed: 0,
            start: 0.0,
            epsilon: 0.0,
            alpha: 0.0,
            slot_capacity: 1,
        };
        let mut dispatch = kernel.worst("case", b);
        dispatch.uniforms.set("restart", u32::from(!self.first));
        t.dispatches = vec![dispatch];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let image = |channels, height, width| Shape { channels, height, width };
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for first in [true, false] {
        cases.push(Box::new(WorstCase { batch: 70, first, seed: 470 }));
    }
    for step in [false, true] {
        let case = AttackCase { step, batch: 5, bases: 3, shape: image(3, 28, 28), epsilon: 8.0 / 255.0, alpha: 2.0 / 255.0, seed: 480 };
        cases.push(Box::new(case));
        cases.push(Box::new(AttackCase { batch: 3, bases: 1, shape: image(1, 5, 3), epsilon: 0.5, alpha: 0.75, ..case }));
        cases.push(Box::new(AttackCase { bases: 2, shape: image(4, 3, 7), epsilon: 0.0, ..case }));
        cases.push(Box::new(AttackCase { bases: 0, ..case }));
        cases.push(Box::new(AttackCase { bases: 0, batch: 3, shape: image(1, 5, 3), epsilon: 0.5, alpha: 0.75, ..case }));
    }
    cases
}
