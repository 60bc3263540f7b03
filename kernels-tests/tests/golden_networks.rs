//! The paper's other networks, and one without batch norms, against training steps of PyTorch in float64: the evaluation's
//! logits, the sign of the input's gradient, every parameter's gradient, the parameters after. `golden/README.md` describes
//! the fixtures.

use crate::fixture::{Closeness, Fixture, STRIDE, uniform};
use splitmix_fl::engine::{
    AttackOptions, Attacker, Batch, ClientWork, Ensemble, EvaluateOptions, Evaluator, ImageStore, Limit, LocalTraining, Rows, Staging,
    TrainOptions, Trainer,
};
use splitmix_fl::fl::Attack;
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::kernels::Tuning;
use splitmix_fl::net::{Architecture, Network};
use std::collections::BTreeMap;

const LABELS: [u8; 4] = [4, 1, 7, 4];
/// Most steps of a fixture.
const STEPS: usize = 3;
const SCALE: f32 = 8.0;
const LEARNING_RATE: f32 = 0.02;
/// Parameters and gradients of more elements are stored in part.
const WHOLE: usize = 1000;
const IMAGE_STREAM: u64 = 0xFFFE;
const STEP: Closeness = Closeness { relative: 1e-3, floor: 3e-5 };
const THREE_STEPS: Closeness = Closeness { relative: 5e-3, floor: 5e-4 };

/// `Plain` of `golden/generate_networks.py`.
const PLAIN: &str = r#"
    name = "plain"
    input = [3, 12, 10]
    layers = [
        { type = "conv2d", name = "a", out-channels = 5, kernel = 3, padding = 1 },
        { type = "relu" },
        { type = "residual", body = [
            { type = "conv2d", name = "b", out-channels = 6, kernel = 3, stride = 2, padding = 1 },
            { type = "relu" },
            { type = "conv2d", name = "c", out-channels = 6, kernel = 3, padding = 1 },
        ], shortcut = [
            { type = "conv2d", name = "d", out-channels = 6, kernel = 1, stride = 2 },
        ] },
        { type = "relu" },
        { type = "max-pool", kernel = 3, stride = 1, padding = 1 },
        { type = "average-pool", height = 2, width = 3 },
        { type = "linear", name = "h", out-features = 7 },
        { type = "relu" },
        { type = "linear", name = "fc" },
    ]
"#;

struct Bench {
    gpu: Gpu,
    network: Network,
    server: Rows,
    images: ImageStore,
    pixels: Vec<u8>,
    fixture: Fixture,
}

impl Bench {
    async fn new(name: &str, width: (u32, u32), seed: u64) -> Bench {
        let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
        let gpu = Gpu::open(&GpuOptions { adapter, ..Default::default() }).await;
        let gpu = gpu.unwrap_or_else(|error| panic!("{error}"));
        let architecture = Architecture::built_in(name).unwrap_or_else(|| Architecture::from_toml(PLAIN).expect("a network"));
        let network = architecture.base(width.0, width.1, 10).expect("a width");
        let server = Rows::of_bases(&gpu, &network, 1).expect("the base fits");
        let values = (0..LABELS.len() as u64 * u64::from(network.input.len())).map(|i| uniform(seed, IMAGE_STREAM, i));
        let pixels: Vec<u8> = values.map(|u| ((u + 1.0) * 128.0).floor() as u8).collect();
        let images = ImageStore::new(&gpu, network.input, &[(&pixels, &LABELS)]).expect("four images fit");
        let bench = Bench { gpu, server, images, pixels, fixture: Fixture::open(&format!("network_{name}"), STEP), network };
        bench.reset(seed);
        bench
    }

    /// Gives the base its initial parameters, and returns them.
    fn reset(&self, seed: u64) -> BTreeMap<String, Vec<f32>> {
        let net = &self.network;
        let mut names: Vec<&str> = net.tensors.iter().map(|t| t.name.as_str()).collect();
        names.sort_unstable();
        let mut named = BTreeMap::new();
        for (stream, name) in (0..).zip(names) {
            let tensor = net.tensor(name).expect("its own name");
            let (layer, kind) = name.rsplit_once('.').expect("layer and kind");
            let weight = net.tensor(&format!("{layer}.weight")).expect("a layer has a weight");
            let fan_in: usize = weight.shape[1..].iter().product();
            let exponent = (0..).find(|e| 4usize.pow(*e) >= fan_in).expect("large enough") + if net.name == "plain" { 3 } else { 0 };
            let value = |u: f64| match (tensor.kind.is_norm(), kind) {
                (true, "weight") => 1.0 + u / 4.0,
                (true, _) => u / 4.0,
                (false, _) => u / f64::from(1u32 << exponent),
            };
            let values = (0..tensor.len() as u64).map(|i| value(uniform(seed, stream, i)) as f32).collect();
            named.insert(name.to_string(), values);
        }
        self.server.upload(&self.gpu, net, 0, &named);
        named
    }

    /// So many steps on the batch. Returns the trainer and the mean loss.
    async fn train(&self, steps: usize, keep_activations: bool, tuning: Option<Tuning>) -> (Trainer, f64) {
        let options = TrainOptions {
            guarded: true,
            keep_activations,
            tuning,
            ..TrainOptions::new(
                LocalTraining { batch: LABELS.len() as u32 + 1, steps: STEPS as u32, scale: SCALE, ..LocalTraining::default() },
                1,
            )
        };
        let mut trainer = Trainer::new(&self.gpu, &self.network, &self.server, &self.images, options).await.expect("one lane fits");
        let work = vec![ClientWork { client: 0, batches: vec![(0..LABELS.len() as u32).collect(); steps], bases: vec![(0, 1.0)] }];
        let staging = Staging::new(&self.gpu, Trainer::staging_bytes(1));
        trainer.round(&self.gpu, &self.server, &work, LEARNING_RATE, &staging, 0).expect("submitted");
        let totals = Trainer::totals(&work, &staging.read(&self.gpu).await.expect("read back"))[0][0];
        trainer.program().check_guards(&self.gpu).await.expect("no stray write");
        (trainer, f64::from(totals.loss) / f64::from(totals.samples))
    }

    /// The evaluation's logits, and where one step of the sign of the input's gradient goes.
    async fn evaluation(&self) {
        let batch = || vec![Batch::from((0..LABELS.len() as u32).collect::<Vec<_>>())];
        let size = LABELS.len() as u32;
        let ensemble = Ensemble::default();
        let options = EvaluateOptions {
            batch: size,
            widths: vec![1],
            ensemble: ensemble.clone(),
            batches: 1,
            limit: Limit::default(),
            guarded: true,
        };
        let mut evaluator = Evaluator::new(&self.gpu, &self.network, &self.server, &self.images, options).await.expect("one batch fits");
        let logits = evaluator.logits(&self.gpu, &batch()).await.expect("read back");
        let flat: Vec<f64> = logits[0].iter().flatten().map(|v| f64::from(*v)).collect();
        check(self.fixture.check("logits.eval", &flat));

        let attack: Attack = "fgsm".parse().expect("an attack");
        let limit = Limit::default();
        let options = AttackOptions { attack: attack.into(), bases: 1, ensemble, batch: size, batches: 1, seed: 1, limit, guarded: true };
        let mut attacker = Attacker::new(&self.gpu, &self.network, &self.server, &self.images, options).await.expect("one batch fits");
        let attacked = attacker.images(&self.gpu, &batch()).await.expect("attacked").remove(0);
        let (shape, mut judged) = (self.network.input, 0);
        let signs = self.fixture.get("signs[::31]");
        for (i, sign) in signs.iter().enumerate().map(|(i, s)| (i * STRIDE, *s)).filter(|(_, s)| s.abs() == 2.0) {
            let (plane, area) = ((shape.height * shape.width) as usize, shape.len() as usize);
            let (n, c, p) = (i / area, i % area / plane, i % plane);
            let at = p * shape.channels as usize + c;
            let clean = f64::from(self.pixels[n * area + at]) / 255.0;
            let want = (clean + 8.0 / 255.0 * sign.signum()).clamp(0.0, 1.0);
            let got = f64::from(attacked[n][at]);
            assert!((got - want).abs() < 1e-6, "image {n}, channel {c}, pixel {p}: {got} for {want}");
            judged += 1;
        }
        assert!(judged > signs.len() * 8 / 10, "{judged} of {}", signs.len());
    }
}

fn check(result: Result<(), String>) {
    result.unwrap_or_else(|error| panic!("{error}"));
}

async fn steps(name: &str, width: (u32, u32), seed: u64, tuning: Option<Tuning>) {
    let bench = Bench::new(name, width, seed).await;
    if tuning.is_none() {
        bench.evaluation().await;
    }
    let (trainer, loss) = bench.train(1, true, tuning).await;
    let losses = bench.fixture.get("losses");
    assert!((loss - losses[0]).abs() < 1e-5 * losses[0], "loss {loss}, PyTorch {}", losses[0]);
    let bytes = trainer.program().read(&bench.gpu, &[trainer.plan.gradient]).await.expect("read back").remove(0);
    let row: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
    for tensor in &bench.network.tensors {
        let values: Vec<f64> = bench.network.unpack(tensor, &row).into_iter().map(f64::from).collect();
        check(bench.fixture.check_sample(&format!("gradient/{}", tensor.name), &values, WHOLE));
    }
    // A parameter's rounding, divided by the learning rate.
    let descended = Fixture::open(&format!("network_{name}"), Closeness { floor: 1e-4, ..STEP });
    // The optimiser's steps: activations share memory, the largest linear layer descends where its gradient is.
    let initial = bench.reset(seed);
    bench.train(1, false, tuning).await;
    let base = bench.server.download(&bench.gpu, &bench.network).await.expect("read back").remove(0);
    for (name, values) in &base {
        let (rate, decay) = (f64::from(LEARNING_RATE), 5e-4);
        let gradient = values.iter().zip(&initial[name]).map(|(after, before)| (f64::from(*before), f64::from(*after)));
        let gradient: Vec<f64> = gradient.map(|(before, after)| (before - after) / rate - decay * before).collect();
        check(descended.check_sample(&format!("gradient/{name}"), &gradient, WHOLE));
    }
    bench.reset(seed);
    let last = Fixture::open(&format!("network_{name}"), THREE_STEPS);
    let (_, loss) = bench.train(losses.len(), false, tuning).await;
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    assert!((loss - mean).abs() < 1e-3 * mean, "loss {loss}, PyTorch {mean}");
    let base = bench.server.download(&bench.gpu, &bench.network).await.expect("read back").remove(0);
    for (name, values) in base {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        check(last.check_sample(&format!("final/{name}"), &values, WHOLE));
    }
}

#[test]
fn preact_resnet18_is_pytorchs() {
    pollster::block_on(steps("preact-resnet18", (1, 16), 32, None));
}

#[test]
fn preact_resnet18_with_the_kernels_of_gpus_is_pytorchs() {
    pollster::block_on(steps("preact-resnet18", (1, 16), 32, Some(Tuning::baseline())));
}

#[test]
fn alexnet_is_pytorchs() {
    pollster::block_on(steps("alexnet", (1, 32), 20, None));
}

#[test]
fn alexnet_with_the_kernels_of_gpus_is_pytorchs() {
    pollster::block_on(steps("alexnet", (1, 32), 20, Some(Tuning::baseline())));
}

#[test]
fn a_network_without_batch_norms_is_pytorchs() {
    pollster::block_on(steps("plain", (1, 1), 23, None));
}
