//! Cases of ensembles: mean logits and the gradient of their loss.

use super::{Case, Noise, SLOTS, Trial, Want, batch_sizes, labels, size_table};
use crate::kernels::ensemble::gradient::EnsembleGradient;
use crate::kernels::ensemble::mean::EnsembleMean;
use crate::kernels::{Tuning, ensemble};
use kernels_tests::shape;

/// Rows of logits as stored, those past `valid` and the padding all NaN.
fn rows_of_logits(values: &[f64], batch: usize, valid: usize, classes: usize) -> Vec<f32> {
    let row = classes.next_multiple_of(4);
    let mut out = vec![f32::NAN; batch * row];
    for n in 0..valid {
        for c in 0..classes {
            out[n * row + c] = values[n * classes + c] as f32;
        }
    }
    out
}

/// Logits of several bases, one after the other, as stored. Padded classes hold zeros, as a linear layer leaves them.
fn logits_of_bases(values: &[f64], batch: usize, valid: usize, classes: usize) -> Vec<f32> {
    let row = classes.next_multiple_of(4);
    let padded = |(i, v): (usize, f32)| if i / row < valid && i % row >= classes { 0.0 } else { v };
    let of_base = |own| rows_of_logits(own, batch, valid, classes).into_iter().enumerate().map(padded).collect::<Vec<_>>();
    values.chunks_exact(valid * classes).flat_map(of_base).collect()
}

/// Mean logits of several widths, their losses and counters.
#[derive(Debug, Clone, Copy)]
pub struct EnsembleCase {
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Number of classes.
    pub classes: usize,
    /// Number of bases; all widths from one base to all are mixed, the widest first.
    pub bases: usize,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for EnsembleCase {
    fn op(&self) -> &'static str {
        "ensemble_mean"
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let (batch, classes, bases, row) = (self.batch, self.classes, self.bases, self.classes.next_multiple_of(4));
        let labels = labels(&mut noise, batch, classes);
        let valid = batch_sizes(batch);
        let widths: Vec<usize> = (1..=bases).rev().collect();
        let mut stored = Vec::new();
        let (mut want_mixed, mut want_outcomes, mut want_totals) = (Vec::new(), Vec::new(), Vec::new());
        for s in 0..SLOTS {
            let logits = noise.values(bases * valid[s] * classes);
            stored.extend(logits_of_bases(&logits, batch, valid[s], classes));
            let shape = shape::Logits { batch: valid[s], valid: valid[s], classes };
            let own = &labels[s * batch..s * batch + valid[s]];
            for mixed in kernels_tests::ensemble::ensemble_mean(&shape, &logits, own, &widths) {
                let mut out = vec![Want::Keep; batch * row];
                let mut outcomes = vec![Want::Keep; batch * 2];
                for n in 0..valid[s] {
                    for c in 0..row {
                        let value = if c < classes { mixed.logits[n * classes + c] } else { 0.0 };
                        out[n * row + c] = Want::Near(value, 1.0);
                    }
                    outcomes[2 * n] = Want::Near(mixed.loss[n], 4.0);
                    outcomes[2 * n + 1] = Want::Bits(f32::from(u8::from(mixed.correct[n])).to_bits());
                }
                want_mixed.extend(out);
                want_outcomes.extend(outcomes);
                let loss: f64 = mixed.loss.iter().sum();
                want_totals.push(Want::Near(loss, 4.0 * valid[s] as f64));
                let correct = mixed.correct.iter().filter(|c| **c).count() as u32;
                want_totals.extend([correct, valid[s] as u32, 0].map(Want::Bits));
            }
        }
        let b = ensemble::mean::Buffers {
            batch_sizes: t.words("batch sizes", size_table(batch)),
            logits: t.values("logits", &stored),
            batch_labels: t.words("batch labels", labels),
            widths: t.words("widths", widths.iter().map(|w| *w as u32).collect()),
            mixed: t.output("mixed", want_mixed),
            outcomes: t.output("outcomes", want_outcomes),
            totals: t.output("totals", want_totals),
        };
        let kernel = EnsembleMean { batch: batch as u32, classes: classes as u32, bases: bases as u32, widths: widths.len() as u32 };
        t.dispatches = kernel.dispatches("case", b).to_vec();
        t
    }
}

/// The gradient of an ensemble's loss with respect to its bases' logits.
#[derive(Debug, Clone, Copy)]
pub struct EnsembleGradientCase {
    /// Capacity of a batch.
    pub batch: usize,
    /// Number of classes.
    pub classes: usize,
    /// Bases mixed.
    pub bases: usize,
    /// Places from a label to the class meant.
    pub shift: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for EnsembleGradientCase {
    fn op(&self) -> &'static str {
        "ensemble_gradient"
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let (batch, classes, bases, row) = (self.batch, self.classes, self.bases, self.classes.next_multiple_of(4));
        let labels = labels(&mut noise, batch, classes);
        let valid = batch_sizes(batch);
        let (mut stored, mut want) = (Vec::new(), Vec::new());
        for s in 0..SLOTS {
            let logits = noise.values(bases * valid[s] * classes);
            stored.extend(logits_of_bases(&logits, batch, valid[s], classes));
            let shape = shape::Logits { batch: valid[s], valid: valid[s], classes };
            let own = labels[s * batch..s * batch + valid[s]].iter().map(|l| (l + self.shift) % classes as u32).collect::<Vec<_>>();
            let gradient = kernels_tests::ensemble::ensemble_gradient(&shape, &logits, &own);
            for _ in 0..bases {
                let at = |i: usize| match (i / row, i % row) {
                    (n, _) if n >= valid[s] => Want::Keep,
                    (_, c) if c >= classes => Want::Near(0.0, 0.0),
                    (n, c) => Want::Near(gradient[n * classes + c], 4.0 / bases as f64),
                };
                want.extend((0..batch * row).map(at));
            }
        }
        let b = ensemble::gradient::Buffers {
            batch_sizes: t.words("batch sizes", size_table(batch)),
            logits: t.values("logits", &stored),
            batch_labels: t.words("batch labels", labels),
            dlogits: t.output("dlogits", want),
        };
        let kernel = EnsembleGradient { batch: batch as u32, classes: classes as u32, bases: bases as u32 };
        let mut dispatch = kernel.dispatch("case", b);
        dispatch.uniforms.set("shift", self.shift);
        t.dispatches = vec![dispatch];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    vec![
        Box::new(EnsembleCase { batch: 9, classes: 10, bases: 8, seed: 430 }),
        Box::new(EnsembleCase { batch: 3, classes: 4, bases: 1, seed: 431 }),
        Box::new(EnsembleGradientCase { batch: 9, classes: 10, bases: 8, shift: 0, seed: 440 }),
        Box::new(EnsembleGradientCase { batch: 3, classes: 5, bases: 1, shift: 3, seed: 441 }),
    ]
}
