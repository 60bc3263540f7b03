//! Dual batch norm, the attack and adversarial training against PyTorch in float64, by batch and by running statistics.

use crate::fixture::{BATCH, Closeness, Fixture, OPTIMISER, STEPS, dual_parameters};
use kernels_tests::attack;
use splitmix_fl::engine::{
    Adversarial, AttackOptions, Attacker, Batch, Ensemble, EvaluateOptions, Evaluator, ImageStore, Limit, LocalTraining, Optimizer, Rows,
    Staging, TrainOptions, Trainer,
};
use splitmix_fl::fl::Attack;
use splitmix_fl::gpu::{Active, Gpu, GpuOptions};
use splitmix_fl::kernels::Tuning;
use splitmix_fl::net::{Network, Norms, digits};
use std::collections::BTreeMap;

const STEP: Closeness = Closeness { relative: 1e-4, floor: 1e-5 };
const EPSILON: f64 = 8.0 / 255.0;
const ALPHA: f64 = 1.25 * EPSILON / 7.0;
const PGD_STEPS: usize = 7;
const MIXES: [f64; 4] = [0.0, 0.3, 0.8, 1.0];
const AREA: usize = 28 * 28;

struct Bench {
    gpu: Gpu,
    network: Network,
    server: Rows,
    images: ImageStore,
    /// Clean images, N·C·H·W.
    clean: Vec<f64>,
    tracked: bool,
    fixture: Fixture,
}

impl Bench {
    async fn new(tracked: bool) -> Bench {
        let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
        let gpu = Gpu::open(&GpuOptions { adapter, ..Default::default() }).await.unwrap_or_else(|error| panic!("{error}"));
        let network = digits(1, 8, 10).expect("the fixtures' network").with_norms(Norms { dual: true, tracked });
        let server = Rows::of_bases(&gpu, &network, 1).expect("the base fits");
        let named = dual_parameters(tracked).into_iter().map(|(name, v)| (name, v.into_iter().map(|v| v as f32).collect()));
        server.upload(&gpu, &network, 0, &named.collect::<BTreeMap<_, Vec<f32>>>());
        let plain = Fixture::open("digits_forward", STEP);
        let bytes = |name: &str| plain.get(name).iter().map(|v| *v as u8).collect::<Vec<_>>();
        let pixels = bytes("images");
        let clean = (0..pixels.len()).map(|i| f64::from(pixels[channels_last(i)]) / 255.0).collect();
        let images = ImageStore::new(&gpu, network.input, &[(&pixels, &bytes("labels"))]).expect("six images fit");
        let fixture = Fixture::open(if tracked { "robust_tracked" } else { "robust_batch" }, STEP);
        Bench { gpu, network, server, images, clean, tracked, fixture }
    }

    fn ensemble(&self, lambda: f64) -> Ensemble {
        Ensemble { running: self.tracked, lambda: lambda as f32, ..Ensemble::default() }
    }

    async fn attacker(&self, attack: &str, lambda: f64) -> Attacker {
        let options = AttackOptions {
            attack: attack.parse::<Attack>().expect("an attack").into(),
            bases: 1,
            ensemble: self.ensemble(lambda),
            batch: BATCH as u32 + 1,
            batches: 1,
            seed: 7,
            limit: Limit::default(),
            guarded: true,
        };
        Attacker::new(&self.gpu, &self.network, &self.server, &self.images, options).await.expect("it fits")
    }

    /// The golden iterates of PGD-7, N·C·H·W each, the start first.
    fn iterates(&self) -> Vec<Vec<f64>> {
        let key = attack::NoiseKey { seed: 7, round: 3, step: 0, base: 0 };
        let start = |i: usize| {
            let (n, c, p) = (i / (3 * AREA), i / AREA % 3, i % AREA);
            attack::start(self.clean[i], attack::noise(key, n as u32, p as u32)[c], EPSILON)
        };
        let mut all: Vec<Vec<f64>> = vec![(0..self.clean.len()).map(start).collect()];
        for signs in self.fixture.get("pgd/signs").chunks_exact(self.clean.len()) {
            let x = &all[all.len() - 1];
            all.push((0..x.len()).map(|i| attack::step(x[i], self.clean[i], signs[i], ALPHA, EPSILON)).collect());
        }
        all
    }
}

/// Place of an N·C·H·W value among N·H·W·C ones.
fn channels_last(i: usize) -> usize {
    let (n, c, p) = (i / (3 * AREA), i / AREA % 3, i % AREA);
    (n * AREA + p) * 3 + c
}

fn batch() -> Vec<Batch> {
    vec![(0..BATCH as u32).collect::<Vec<_>>().into()]
}

fn images(x: &[f64]) -> Vec<Vec<f32>> {
    let mut out = vec![vec![0.0; 3 * AREA]; BATCH];
    for (i, v) in x.iter().enumerate() {
        let at = channels_last(i);
        out[at / (3 * AREA)][at % (3 * AREA)] = *v as f32;
    }
    out
}

fn check(result: Result<(), String>) {
    result.unwrap_or_else(|error| panic!("{error}"));
}

async fn mixes(tracked: bool) {
    let bench = Bench::new(tracked).await;
    let options = EvaluateOptions {
        batch: BATCH as u32 + 2,
        widths: vec![1],
        ensemble: bench.ensemble(0.0),
        batches: 1,
        limit: Limit::default(),
        guarded: true,
    };
    let mut evaluator = Evaluator::new(&bench.gpu, &bench.network, &bench.server, &bench.images, options).await.expect("it fits");
    for lambda in MIXES {
        evaluator.set_lambda(&bench.gpu, lambda as f32);
        let logits = evaluator.logits(&bench.gpu, &batch()).await.expect("read back").remove(0);
        let flat: Vec<f64> = logits.iter().flatten().map(|v| f64::from(*v)).collect();
        check(bench.fixture.check(&format!("mix/{lambda:?}/logits"), &flat));
        // The gradient through the mix, by its signs: one step from the clean images.
        let moved = bench.attacker("fgsm-eps0.5/255", lambda).await.images(&bench.gpu, &batch()).await.expect("attacked").remove(0);
        let gradient = bench.fixture.get(&format!("mix/{lambda:?}/gradient/x"));
        let mut judged = 0;
        for (n, of_image) in gradient.chunks_exact(3 * 100).enumerate() {
            let largest = of_image.iter().fold(0.0f64, |m, g| m.max(g.abs()));
            for (i, g) in of_image.iter().enumerate() {
                let (c, y, x) = (i / 100, i / 10 % 10 * 3, i % 10 * 3);
                let clean = bench.clean[(n * 3 + c) * AREA + y * 28 + x];
                let way = f64::from(moved[n][(y * 28 + x) * 3 + c]) - clean;
                if g.abs() > 1e-4 * largest && (0.01..0.99).contains(&clean) {
                    assert!((way - g.signum() * 0.5 / 255.0).abs() < 1e-6, "λ {lambda}: gradient {g} of {largest}, moved by {way}");
                    judged += 1;
                }
            }
        }
        assert!(judged > gradient.len() / 2, "{judged} of {}", gradient.len());
    }
    evaluator.program().check_guards(&bench.gpu).await.expect("no stray write");
}

/// From each of PyTorch's iterates the step goes where PyTorch's goes, wherever the gradient has a clear sign.
async fn pgd(tracked: bool) {
    let bench = Bench::new(tracked).await;
    let mut attacker = bench.attacker("pgd-7", 1.0).await;
    let iterates = bench.iterates();
    let signs = bench.fixture.get("pgd/signs");
    for t in 0..PGD_STEPS {
        let next = attacker.advance(&bench.gpu, &batch(), &[images(&iterates[t])], 1).await.expect("advanced").remove(0);
        let mut judged = 0;
        for (i, sign) in signs[t * bench.clean.len()..][..bench.clean.len()].iter().enumerate().filter(|(_, s)| s.abs() == 2.0) {
            let (got, want) = (f64::from(next[channels_last(i) / (3 * AREA)][channels_last(i) % (3 * AREA)]), iterates[t + 1][i]);
            assert!((got - want).abs() < 1e-6, "step {t}, value {i}: {got} for {want}, gradient's sign {sign}");
            judged += 1;
        }
        assert!(judged > bench.clean.len() * 9 / 10, "{judged}");
    }
}

/// Steps on clean and on PyTorch's attacked images, for `tuning`'s kernels.
async fn training(tracked: bool, tuning: Option<Tuning>) {
    let bench = Bench::new(tracked).await;
    let attacked = bench.iterates().remove(PGD_STEPS);
    let capacity = BATCH + 1;
    let options = TrainOptions {
        guarded: true,
        keep_activations: true,
        tuning,
        ..TrainOptions::new(
            LocalTraining {
                batch: capacity as u32,
                steps: STEPS as u32,
                scale: if tracked { 1.0 } else { 8.0 },
                adversarial: Some(Adversarial::by(&"pgd-7".parse().expect("an attack"), 0.5, 7)),
                optimizer: Optimizer::Sgd { momentum: OPTIMISER.momentum as f32 },
                weight_decay: OPTIMISER.weight_decay as f32,
                ..LocalTraining::default()
            },
            1,
        )
    };
    let mut trainer = Trainer::new(&bench.gpu, &bench.network, &bench.server, &bench.images, options).await.expect("it fits");
    // A round of nobody, for the learning rate; then the phases one by one.
    let staging = Staging::new(&bench.gpu, 16);
    trainer.set_round(3);
    trainer.round(&bench.gpu, &bench.server, &[], OPTIMISER.learning_rate as f32, &staging, 0).expect("submitted");
    let (program, plan) = (trainer.program(), &trainer.plan);
    let row: Vec<u32> = [BATCH as u32].into_iter().chain(0..BATCH as u32).chain([u32::MAX]).collect();
    program.write(&bench.gpu, plan.lanes, 0, bytemuck::cast_slice(&[0u32; 4]));
    program.write(&bench.gpu, plan.schedule, 0, bytemuck::cast_slice(&row.repeat(STEPS)));
    let (id, layout) = plan.attacked.expect("adversarial training");
    let mut stored = vec![0f32; layout.bytes(capacity as u32) as usize / 4];
    let place = |i: usize| {
        let (n, c, p) = (i / (3 * AREA), i / AREA % 3, i % AREA);
        ((n as u32 * layout.image() + layout.origin(0)) as usize + p / 28 * layout.row() as usize + p % 28) * 4 + c
    };
    attacked.iter().enumerate().for_each(|(i, v)| stored[place(i)] = *v as f32);
    let play = |phase, step: usize| {
        let count = program.submit(&bench.gpu, &[phase], Active { lanes: 1, slots: 1, step: step as u32 });
        assert!(count > 0, "{phase:?}");
    };
    let read = async |id| {
        let bytes = program.read(&bench.gpu, &[id]).await.expect("read back").remove(0);
        bytemuck::pod_collect_to_vec::<u8, f32>(&bytes)
    };
    let (attack, attack_step) = plan.attack.expect("adversarial training");
    play(plan.start, 0);
    for step in 0..STEPS {
        play(attack, step);
        if step == 0 {
            // The attack of the engine itself, all steps: rounding may turn the few gradients around 0.
            (0..PGD_STEPS).for_each(|_| play(attack_step, 0));
            let own = read(id).await;
            let same = (0..attacked.len()).filter(|i| (f64::from(own[place(*i)]) - attacked[*i]).abs() < 1e-6).count();
            assert!(same > attacked.len() * 999 / 1000, "{same} of {} values where PyTorch's attack ends", attacked.len());
        }
        program.write(&bench.gpu, id, 0, bytemuck::cast_slice(&stored));
        play(plan.step, step);
        if step == 0 {
            let gradients = [read(plan.gradient).await, read(plan.adversarial_gradient.expect("two losses")).await];
            let sum: Vec<f32> = gradients[0].iter().zip(&gradients[1]).map(|(a, b)| a + b).collect();
            let row = read(plan.parameters).await;
            let values = |tensor, row: &[f32]| bench.network.unpack(tensor, row).into_iter().map(f64::from).collect::<Vec<_>>();
            for tensor in &bench.network.tensors {
                match tensor.kind.is_statistic() {
                    true => check(bench.fixture.check(&format!("first/{}", tensor.name), &values(tensor, &row))),
                    false => check(near(&bench.fixture, &format!("gradient/{}", tensor.name), &values(tensor, &sum), 1e-3)),
                }
            }
        }
    }
    let totals: Vec<f32> = [read(plan.totals).await[0], read(plan.adversarial_totals.expect("counted")).await[0]].into();
    for (branch, total) in totals.into_iter().enumerate() {
        let want: f64 = bench.fixture.get("losses").iter().skip(branch).step_by(2).sum::<f64>() * BATCH as f64;
        assert!((f64::from(total) - want).abs() < 1e-3 * want, "loss {total} for {want}");
    }
    let row = read(plan.parameters).await;
    for tensor in &bench.network.tensors {
        let values: Vec<f64> = bench.network.unpack(tensor, &row).into_iter().map(f64::from).collect();
        check(near(&bench.fixture, &format!("final/{}", tensor.name), &values, 5e-3));
    }
    program.check_guards(&bench.gpu).await.expect("no stray write");
}

/// The tensor as a whole: its distance from PyTorch's as a share of its size. A ReLU or a maximum that rounding turns moves
/// single values by more. The gradient of a bias before a batch norm is 0 but for rounding.
fn near(fixture: &Fixture, name: &str, got: &[f64], share: f64) -> Result<(), String> {
    let (stored, got): (String, Vec<f64>) = match got.len() {
        n if n > 10_000 => (format!("{name}[::31]"), got.iter().copied().step_by(31).collect()),
        _ => (name.to_string(), got.to_vec()),
    };
    let want = fixture.get(&stored);
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    let (error, size) = (norm(&mut got.iter().zip(want).map(|(g, w)| g - w)), norm(&mut want.iter().copied()));
    if got.len() == want.len() && error <= share * size + 1e-5 { Ok(()) } else { Err(format!("{name}: {error:e} off, of {size:e}")) }
}

#[test]
fn mixes_by_batch_statistics_are_pytorchs() {
    pollster::block_on(mixes(false));
}

#[test]
fn mixes_by_running_statistics_are_pytorchs() {
    pollster::block_on(mixes(true));
}

#[test]
fn every_step_of_an_attack_by_batch_statistics_is_pytorchs() {
    pollster::block_on(pgd(false));
}

#[test]
fn every_step_of_an_attack_by_running_statistics_is_pytorchs() {
    pollster::block_on(pgd(true));
}

#[test]
fn adversarial_training_by_batch_statistics_is_pytorchs() {
    pollster::block_on(training(false, None));
}

#[test]
fn adversarial_training_by_running_statistics_is_pytorchs() {
    pollster::block_on(training(true, None));
}

#[test]
fn adversarial_training_with_the_kernels_of_gpus_is_pytorchs() {
    pollster::block_on(training(true, Some(Tuning::baseline())));
}
