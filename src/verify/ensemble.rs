//! Cases of ensembles: mean logits and the gradient of their loss.

use super::{Case, Cases, SLOTS, Trial, Want, batch_sizes, padded_rows};
use crate::kernels::ensemble::{self, gradient::EnsembleGradient, mean::EnsembleMean};
use kernels_tests::{ensemble as twin, shape::Logits};

/// What a case is given for each slot.
struct Slot {
    shape: Logits,
    /// Of all bases, one after the other.
    logits: Vec<f64>,
    labels: Vec<u32>,
}

/// Every slot's own, then all logits and all labels as stored. Padded classes hold zeros, as a linear layer leaves them.
fn draw(t: &mut Trial, batch: usize, classes: usize, bases: usize) -> ([Slot; SLOTS], Vec<f64>, Vec<u32>) {
    let all = t.labels(batch, classes);
    let mut labels = all.chunks_exact(batch);
    let slots = batch_sizes(batch).map(|valid| Slot {
        shape: Logits { batch: valid, valid, classes },
        logits: t.noise.values(bases * valid * classes),
        labels: labels.next().map_or(Vec::new(), |labels| labels[..valid].to_vec()),
    });
    let stored = slots.iter().flat_map(|Slot { shape, logits, .. }| {
        let of_base = |own: &[f64]| padded_rows((batch, shape.valid, classes), 0.0, f64::NAN, |i| own[i]);
        logits.chunks_exact(shape.valid * classes).flat_map(of_base)
    });
    let stored = stored.collect();
    (slots, stored, all)
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
}

impl Case for EnsembleCase {
    fn op(&self) -> &'static str {
        "ensemble_mean"
    }

    fn fill(&self, t: &mut Trial) {
        let (batch, classes, bases) = (self.batch, self.classes, self.bases);
        let (slots, stored, labels) = draw(t, batch, classes, bases);
        let widths: Vec<usize> = (1..=bases).rev().collect();
        let (mut want_mixed, mut want_outcomes, mut want_totals) = (Vec::new(), Vec::new(), Vec::new());
        for Slot { shape, logits, labels } in &slots {
            let valid = shape.valid;
            for mixed in twin::ensemble_mean(shape, logits, labels, &widths) {
                let near = |i: usize| Want::Near(mixed.logits[i], 1.0);
                want_mixed.extend(padded_rows((batch, valid, classes), Want::Near(0.0, 1.0), Want::Keep, near));
                let correct = mixed.correct.iter().map(|correct| u8::from(*correct));
                let outcomes = mixed.loss.iter().zip(correct.clone());
                want_outcomes.extend(outcomes.flat_map(|(loss, c)| [Want::Near(*loss, 4.0), Want::Bits(f32::from(c).to_bits())]));
                want_outcomes.resize(want_outcomes.len() + 2 * (batch - valid), Want::Keep);
                want_totals.push(Want::Near(mixed.loss.iter().sum(), 4.0 * valid as f64));
                want_totals.extend([correct.map(u32::from).sum(), valid as u32, 0].map(Want::Bits));
            }
        }
        let b = ensemble::mean::Buffers {
            batch_sizes: t.batch_sizes(batch),
            logits: t.values("logits", &stored),
            batch_labels: t.words("batch labels", labels),
            widths: t.words("widths", widths.iter().map(|w| *w as u32).collect()),
            mixed: t.output("mixed", want_mixed),
            outcomes: t.output("outcomes", want_outcomes),
            totals: t.output("totals", want_totals),
        };
        let kernel = EnsembleMean { batch: batch as u32, classes: classes as u32, bases: bases as u32, widths: widths.len() as u32 };
        t.dispatches.extend(kernel.dispatches("case", b));
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
}

impl Case for EnsembleGradientCase {
    fn op(&self) -> &'static str {
        "ensemble_gradient"
    }

    fn fill(&self, t: &mut Trial) {
        let (batch, classes, bases) = (self.batch, self.classes, self.bases);
        let (slots, stored, labels) = draw(t, batch, classes, bases);
        let mut want = Vec::new();
        for Slot { shape, logits, labels } in &slots {
            let meant: Vec<u32> = labels.iter().map(|l| (l + self.shift) % classes as u32).collect();
            let gradient = twin::ensemble_gradient(shape, logits, &meant);
            let near = |i: usize| Want::Near(gradient[i], 4.0 / bases as f64);
            let of_base = padded_rows((batch, shape.valid, classes), Want::Near(0.0, 0.0), Want::Keep, near);
            want.extend(of_base.repeat(bases));
        }
        let b = ensemble::gradient::Buffers {
            batch_sizes: t.batch_sizes(batch),
            logits: t.values("logits", &stored),
            batch_labels: t.words("batch labels", labels),
            dlogits: t.output("dlogits", want),
        };
        let kernel = EnsembleGradient { batch: batch as u32, classes: classes as u32, bases: bases as u32 };
        let mut dispatch = kernel.dispatch("case", b);
        dispatch.uniforms.set("shift", self.shift);
        t.dispatches.push(dispatch);
    }
}

pub(super) fn standard(cases: &mut Cases) {
    cases.add(430, EnsembleCase { batch: 9, classes: 10, bases: 8 });
    cases.add(431, EnsembleCase { batch: 3, classes: 4, bases: 1 });
    cases.add(440, EnsembleGradientCase { batch: 9, classes: 10, bases: 8, shift: 0 });
    cases.add(441, EnsembleGradientCase { batch: 3, classes: 5, bases: 1, shift: 3 });
}
