//! One model of one width and one λ, taken out of a trained ensemble (in-situ customisation; paper, sections 3.1 and 3.3).

use super::checkpoint::{Checkpoint, Header, Mixed, Tensor, tensor_name};
use super::model::{Model, Part};
use crate::fl::Ratio;
use crate::gpu::Gpu;
use crate::kernels::EPSILON;
use crate::net::{Branch, Layer, Network, Norms};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// What is taken out of an ensemble.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Width: any that the ensemble can be mixed to.
    pub width: Ratio,
    /// Share of the adversarial batch norms, in [0, 1].
    pub lambda: f64,
    /// The bases in the order in which they are taken; empty: their own.
    pub order: Vec<u32>,
    /// Number and name of the client whose own parameters are taken, where clients have such.
    pub client: Option<(u32, String)>,
}

impl Model {
    /// The bases, or the corner, of a width with their batch norms folded into single ones, as a checkpoint whose header is that of the ensemble
    /// but for what it says of bases. It needs no λ any more, and keeps statistics unless evaluation is by the batch's.
    ///
    /// # Errors
    /// [`Error::Config`] for a width or λ that the ensemble does not have, and where clients have something of their own and
    /// none is chosen; [`Error::Gpu`] where the device was lost.
    pub async fn mix(&self, gpu: &Gpu, header: &Header, choice: &Choice) -> Result<Checkpoint> {
        self.check_lambda(choice.lambda)?;
        let part = self.parts(gpu, &[choice.width]).await?.remove(0);
        let count = part.counts()[0] as usize;
        let ensemble = self.ensemble(choice.lambda, &choice.order)?;
        self.check_choice(choice.client.as_ref().map(|(_, name)| name.as_str()))?;
        let own = self.own.as_ref().zip(choice.client.as_ref()).map(|(own, (client, _))| vec![own[*client as usize]]);
        if own.is_some() && !choice.order.is_empty() {
            return Err(Error::Config("order: every client has one base of its own in this model: leave order out".into()));
        }
        let all: Vec<u32> = if let Some(own) = own {
            own
        } else if choice.order.is_empty() {
            (0..self.server.count).collect()
        } else {
            choice.order.clone()
        };
        if count > all.len() || all.iter().any(|b| *b >= self.server.count) {
            return Err(Error::Config(format!(
                "bases {all:?} do not make width {}: name {count} of the {} there are",
                choice.width, self.server.count
            )));
        }
        let order = &all[..count];
        let local = match (&self.local, &choice.client) {
            (None, _) | (_, None) => None,
            (Some(local), Some((client, _))) => Some((local, *client, local.rows.read(gpu).await?)),
        };
        let bases = part.server().download(gpu, part.network()).await?;
        let source = local.as_ref().map_or(self.network.norms, |(l, _, _)| l.norms.map_or(self.network.norms, |row| row.norms));
        let with_source = part.network().clone().with_norms(source);
        let single = part.network().clone().with_norms(Norms { dual: false, tracked: ensemble.running });
        let mut tensors = BTreeMap::new();
        for (place, base) in order.iter().enumerate() {
            let mut of_base = bases[*base as usize].clone();
            if let Some((local, client, values)) = &local {
                let row = local.full_row(values, local.place(*client, *base), with_source.parameter_blocks);
                let own = with_source.tensors.iter().filter(|t| local.keeps(t));
                of_base.extend(own.map(|t| (t.name.clone(), with_source.unpack(t, &row))));
            }
            fold(&with_source, &mut of_base, ensemble.running, choice.lambda);
            for spec in &single.tensors {
                let data = of_base.remove(&spec.name).expect("folded to single batch norms");
                tensors.insert(tensor_name(place, &spec.name), Tensor { shape: spec.shape.clone(), data });
            }
        }
        let order = match &self.mixed {
            // A mix of a mix is of the same bases.
            Some(m) => order.iter().map(|b| m.order[*b as usize]).collect(),
            None => order.iter().map(|b| *b as usize).collect(),
        };
        let before = self.mixed.as_ref();
        let lambda = before.map_or(if self.network.norms.dual { choice.lambda } else { 0.0 }, |m| m.lambda);
        let client = choice.client.as_ref().map(|(_, name)| name.clone()).or_else(|| before.and_then(|m| m.client.clone()));
        let mixed = Mixed { width: choice.width, lambda, order, client };
        let base_width = if matches!(part, Part::Corner(_)) { choice.width } else { header.base_width };
        Ok(Checkpoint {
            header: Header { bases: count, base_width, state: None, own_bases: None, mixed: Some(mixed), ..header.clone() },
            tensors,
        })
    }
}

/// Folds dual batch norms into single ones, by the formulas of `shaders/batch_norm_mix.wgsl`, and drops the others' tensors.
fn fold(network: &Network, tensors: &mut BTreeMap<String, Vec<f32>>, running: bool, lambda: f64) {
    for layer in network.layers.iter().filter(|l| matches!(l, Layer::BatchNorm { .. })) {
        let mut of = |branch: Branch, suffix: &str| {
            let infix = if branch == Branch::Adversarial { ".adversarial" } else { "" };
            tensors.remove(&format!("{}{infix}.{suffix}", layer.name()))
        };
        let mut norm = |branch| {
            let (weight, bias) = (of(branch, "weight")?, of(branch, "bias")?);
            let statistics = of(branch, "running_mean").zip(of(branch, "running_var")).filter(|_| running);
            let (mean, variance) = statistics.unwrap_or_else(|| (vec![0.0; weight.len()], vec![1.0; weight.len()]));
            Some([weight, bias, mean, variance])
        };
        let mut first = norm(Branch::Clean).expect("every batch norm has a clean one");
        let second = norm(Branch::Adversarial).filter(|_| network.norms.dual);
        if let Some(mut second) = second {
            let mut share = lambda;
            if share > 0.5 {
                std::mem::swap(&mut first, &mut second);
                share = 1.0 - share;
            }
            for c in 0..first[0].len() {
                let at = |n: &[Vec<f32>; 4], i: usize| f64::from(n[i][c]);
                let deviation = |n: &[Vec<f32>; 4]| if running { 1.0 / (at(n, 3) + f64::from(EPSILON)).sqrt() } else { 1.0 };
                let factor = share * at(&second, 0) * deviation(&second);
                let weight = (1.0 - share) * at(&first, 0) + factor / deviation(&first);
                let bias = (1.0 - share) * at(&first, 1) + share * at(&second, 1) + factor * (at(&first, 2) - at(&second, 2));
                (first[0][c], first[1][c]) = (weight as f32, bias as f32);
            }
        }
        let [weight, bias, mean, variance] = first;
        let mut put = |suffix: &str, values| tensors.insert(format!("{}.{suffix}", layer.name()), values);
        put("weight", weight);
        put("bias", bias);
        if running {
            put("running_mean", mean);
            put("running_var", variance);
        }
    }
}
