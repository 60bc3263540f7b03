//! Whole training steps on this adapter: against the composed twin, and against themselves, bit for bit.

use super::{Outcome, Row};
use crate::Result;
use crate::engine::{ClientWork, ImageStore, Limit, LocalTraining, Rows, Staging, Totals, TrainOptions, Trainer};
use crate::gpu::Gpu;
use crate::net::{Network, digits};
use kernels_tests::network::{Batch, Digits, Tensors};
use kernels_tests::shape::Image;
use std::collections::BTreeMap;

const BASES: u32 = 3;
const IMAGES: usize = 24;
const BATCH: usize = 6;
const STEPS: usize = 2;
const SCALE: f64 = 16.0;

/// Bases of four and eight channels on pseudo-random images.
struct Bench {
    network: Network,
    store: ImageStore,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    initial: Vec<BTreeMap<String, Vec<f32>>>,
}

type Bases = Vec<BTreeMap<String, Vec<f32>>>;

impl Bench {
    fn new(gpu: &Gpu) -> Result<Bench> {
        let network = digits(1, 16, 10)?;
        let mut noise = super::Noise::new(500);
        let pixels: Vec<u8> = (0..IMAGES * network.input.len() as usize).map(|_| noise.below(256) as u8).collect();
        let labels: Vec<u8> = (0..IMAGES).map(|i| (i * 3 % 10) as u8).collect();
        let store = ImageStore::new(gpu, network.input, &[(&pixels, &labels)])?;
        let initial = (0..BASES).map(|_| {
            let tensor = |t: &crate::net::TensorSpec| {
                let scale = 1.0 / (t.fan_in.max(1) as f64).sqrt();
                let values = noise.values(t.len());
                (t.name.clone(), values.iter().map(|v| if t.fan_in == 0 { (1.0 + 0.2 * v) as f32 } else { (scale * v) as f32 }).collect())
            };
            network.tensors.iter().map(tensor).collect()
        });
        let initial = initial.collect();
        Ok(Bench { network, store, pixels, labels, initial })
    }

    async fn round(&self, gpu: &Gpu, work: &[ClientWork], lanes_per_wave: Option<u32>) -> Result<(Bases, Vec<Vec<Totals>>)> {
        let server = Rows::of_bases(gpu, &self.network, BASES)?;
        for (b, base) in self.initial.iter().enumerate() {
            server.upload(gpu, &self.network, b as u32, base);
        }
        let lanes = work.iter().map(|c| c.bases.len() as u32).sum();
        let training = LocalTraining { batch: BATCH as u32, steps: STEPS as u32, scale: SCALE as f32, ..LocalTraining::default() };
        let limit = Limit { memory: None, lanes: lanes_per_wave, ..Limit::default() };
        let options = TrainOptions { limit, guarded: true, ..TrainOptions::new(training, lanes) };
        let mut trainer = Trainer::new(gpu, &self.network, &server, &self.store, options).await?;
        let staging = Staging::new(gpu, Trainer::staging_bytes(lanes));
        trainer.round(gpu, &server, work, LEARNING_RATE as f32, &staging, 0)?;
        let totals = Trainer::totals(work, &staging.read(gpu).await?);
        trainer.program().check_guards(gpu).await?;
        Ok((server.download(gpu, &self.network).await?, totals))
    }
}

const LEARNING_RATE: f64 = 0.05;

fn batches(first: u32, sizes: &[u32]) -> Vec<Vec<u32>> {
    let mut next = first;
    sizes
        .iter()
        .map(|n| {
            next += n;
            (next - n..next).map(|i| i % IMAGES as u32).collect()
        })
        .collect()
}

fn verdict(op: &str, shape: &str, failure: Option<String>) -> Row {
    let worst = if failure.is_some() { f64::INFINITY } else { 0.0 };
    Row { op: op.into(), shape: shape.into(), outcome: Outcome { worst, failure } }
}

fn same(a: &Bases, b: &Bases) -> bool {
    let bits = |bases: &Bases| bases.iter().flat_map(|b| b.values()).flatten().map(|v| v.to_bits()).collect::<Vec<_>>();
    bits(a) == bits(b)
}

pub(super) async fn checks(gpu: &Gpu) -> Result<Vec<Row>> {
    let bench = Bench::new(gpu)?;
    let alone = vec![ClientWork { client: 0, batches: batches(0, &[6, 4]), bases: vec![(1, 1.0)] }];
    let (bases, totals) = bench.round(gpu, &alone, None).await?;
    let mut rows = vec![twin_step(&bench, &alone[0], &bases[1], totals[0][0])];

    let many = vec![
        ClientWork { client: 0, batches: batches(9, &[6]), bases: vec![(0, 0.5), (2, 1.0)] },
        ClientWork { client: 0, batches: batches(0, &[6, 4]), bases: vec![(1, 1.0)] },
        ClientWork { client: 0, batches: batches(3, &[5, 5]), bases: vec![(0, 0.5)] },
    ];
    let (among, among_totals) = bench.round(gpu, &many, None).await?;
    let equal = same(&vec![among[1].clone()], &vec![bases[1].clone()]) && among_totals[1][0] == totals[0][0];
    rows.push(verdict("lane independence", "one lane alone, and among four", (!equal).then(|| "the lane's bits differ".into())));
    let (again, _) = bench.round(gpu, &many, None).await?;
    let failure = (!same(&among, &again)).then(|| "two runs of one round differ".into());
    rows.push(verdict("run to run", "one round twice", failure));
    let (waves, _) = bench.round(gpu, &many, Some(1)).await?;
    let failure = (!same(&among, &waves)).then(|| "a round in waves of one lane differs from one wave".into());
    rows.push(verdict("waves", "one wave, and four", failure));
    Ok(rows)
}

/// Two steps of one base: its parameters and loss against the composed twin.
fn twin_step(bench: &Bench, work: &ClientWork, got: &BTreeMap<String, Vec<f32>>, totals: Totals) -> Row {
    let c = |i: usize| bench.network.shapes[i].channels as usize;
    let digits = Digits {
        batch: BATCH,
        image: Image { channels: 3, height: 28, width: 28 },
        conv: [c(0), c(3), c(6)],
        hidden: [c(8), c(10)],
        classes: 10,
        eps: 1e-5,
    };
    let base = work.bases[0].0 as usize;
    let mut parameters: Tensors = bench.initial[base].iter().map(|(n, v)| (n.clone(), v.iter().map(|v| f64::from(*v)).collect())).collect();
    let initial = parameters.clone();
    let mut buffers = Tensors::new();
    let mut loss = 0.0;
    let labels: Vec<u32> = bench.labels.iter().map(|l| u32::from(*l)).collect();
    let settings = kernels_tests::sgd::Sgd { learning_rate: LEARNING_RATE, momentum: 0.9, weight_decay: 5e-4 };
    for batch in &work.batches {
        let (x, own) = kernels_tests::gather_images::gather_images(&digits.image, &bench.pixels, &labels, batch, BATCH);
        let valid = batch.len();
        let step = digits.step(&mut parameters, &mut buffers, &Batch { x: &x, labels: &own, valid }, SCALE, false, &settings);
        loss += step.mean_loss * valid as f64;
    }
    // A kink — a ReLU's or a pool's — that rounding passes on the other side moves single weights by more than rounding
    // does; the distance of the whole tensor, as a share of how far it moved, does not depend on one of them.
    let mut outcome = Outcome { worst: (f64::from(totals.loss) - loss).abs() / (1e-4 * loss), failure: None };
    if outcome.worst > 1.0 {
        outcome.failure = Some(format!("loss {}, the twin's {loss}", totals.loss));
    }
    for (name, want) in &parameters {
        let distance = |a: &mut dyn Iterator<Item = f64>| a.map(|d| d * d).sum::<f64>().sqrt();
        let error = distance(&mut got[name].iter().zip(want).map(|(g, w)| f64::from(*g) - w));
        let moved = distance(&mut initial[name].iter().zip(want).map(|(i, w)| i - w));
        let share = error / (1e-5 + 0.02 * moved);
        let share = if share.is_nan() { f64::INFINITY } else { share };
        if share > outcome.worst {
            outcome.worst = share;
            if share > 1.0 {
                outcome.failure = Some(format!("{name} is {error:e} from the twin's after moving {moved:e}"));
            }
        }
    }
    Row { op: "training step".into(), shape: "two steps of a Digits base of width 1/16 against the composed twin".into(), outcome }
}
