//! The engine against ten training steps of PyTorch in float64: every activation, every gradient, the parameters after.
//!
//! Tolerances are for f32 against f64: a relative 1e-4 of the value plus 1e-5 of the tensor's largest, after forwards
//! and backwards of thirteen layers with sums of up to 4 704 terms. Ten optimiser
//! steps at a large rate amplify rounding as any training does, hence the wider bound there.

use crate::fixture::{BATCH, Closeness, Fixture, OPTIMISER, SCALE, STEPS, initial_parameters};
use splitmix_fl::engine::{
    ClientWork, Ensemble, EvaluateOptions, Evaluator, ImageStore, Limit, LocalTraining, Optimizer, Rows, Staging, TrainOptions, Trainer,
};
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::kernels::{ImageLayout, Tuning};
use splitmix_fl::net::{Network, digits};
use std::collections::BTreeMap;

const STEP: Closeness = Closeness { relative: 1e-4, floor: 1e-5 };
const TEN_STEPS: Closeness = Closeness { relative: 5e-3, floor: 1e-3 };

/// One base with the fixtures' parameters, and their images.
struct Bench {
    gpu: Gpu,
    network: Network,
    server: Rows,
    images: ImageStore,
}

impl Bench {
    async fn new(checked_shaders: bool) -> Bench {
        let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
        let gpu = Gpu::open(&GpuOptions { adapter, checked_shaders, ..Default::default() }).await;
        let gpu = gpu.unwrap_or_else(|error| panic!("{error}"));
        let network = digits(1, 8, 10).expect("the fixtures' network");
        let server = Rows::of_bases(&gpu, &network, 1).expect("the bases fit");
        let fixture = Fixture::open("digits_forward", STEP);
        let bytes = |name: &str| fixture.get(name).iter().map(|v| *v as u8).collect::<Vec<_>>();
        let images = ImageStore::new(&gpu, network.input, &[(&bytes("images"), &bytes("labels"))]).expect("six images fit");
        let bench = Bench { gpu, network, server, images };
        bench.reset();
        bench
    }

    /// Gives the base its initial parameters.
    fn reset(&self) {
        let named = initial_parameters().into_iter().map(|(name, values)| (name, values.into_iter().map(|v| v as f32).collect()));
        self.server.upload(&self.gpu, &self.network, 0, &named.collect::<BTreeMap<_, Vec<f32>>>());
    }

    /// So many steps on the fixtures' batch, in buffers with room for `batch` images. Returns the trainer, the mean loss.
    /// Where activations are not kept, the largest gradient is not either: it is spent where it is computed.
    async fn train(&self, steps: usize, batch: u32, masked_loss: bool, keep_activations: bool, tuning: Option<Tuning>) -> (Trainer, f64) {
        let optimizer = Optimizer::Sgd { momentum: OPTIMISER.momentum as f32 };
        self.train_by(optimizer, OPTIMISER.learning_rate as f32, steps, batch, masked_loss, keep_activations, tuning).await
    }

    #[allow(clippy::too_many_arguments)]
    async fn train_by(
        &self,
        optimizer: Optimizer,
        learning_rate: f32,
        steps: usize,
        batch: u32,
        masked_loss: bool,
        keep_activations: bool,
        tuning: Option<Tuning>,
    ) -> (Trainer, f64) {
        self.reset();
        let options = TrainOptions {
            guarded: true,
            keep_activations,
            tuning,
            ..TrainOptions::new(
                LocalTraining {
                    batch,
                    steps: STEPS as u32,
                    scale: SCALE as f32,
                    masked_loss,
                    optimizer,
                    weight_decay: OPTIMISER.weight_decay as f32,
                    ..LocalTraining::default()
                },
                1,
            )
        };
        let mut trainer = Trainer::new(&self.gpu, &self.network, &self.server, &self.images, options).await.expect("one lane fits");
        let work = vec![ClientWork { client: 0, batches: vec![(0..BATCH as u32).collect(); steps], bases: vec![(0, 1.0)] }];
        let staging = Staging::new(&self.gpu, Trainer::staging_bytes(1));
        trainer.round(&self.gpu, &self.server, &work, learning_rate, &staging, 0).expect("submitted");
        let totals = Trainer::totals(&work, &staging.read(&self.gpu).await.expect("read back"))[0][0];
        trainer.program().check_guards(&self.gpu).await.expect("no stray write");
        assert_eq!(totals.samples as usize, steps * BATCH);
        (trainer, f64::from(totals.loss) / f64::from(totals.samples))
    }

    async fn parameters(&self) -> BTreeMap<String, Vec<f64>> {
        let base = self.server.download(&self.gpu, &self.network).await.expect("read back").remove(0);
        base.into_iter().map(|(name, values)| (name, values.into_iter().map(f64::from).collect())).collect()
    }
}

/// Valid images of a stored activation, as PyTorch orders them.
fn images(bytes: &[u8], layout: ImageLayout) -> Vec<f64> {
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
    let (shape, mut out) = (layout.shape, Vec::new());
    for n in 0..BATCH as u32 {
        for c in 0..shape.channels {
            for y in 0..shape.height {
                for x in 0..shape.width {
                    let block = n * layout.image() + layout.origin(0) + y * layout.row() + x * layout.blocks() + c / 4;
                    out.push(f64::from(values[(block * 4 + c % 4) as usize]));
                }
            }
        }
    }
    out
}

fn check(result: Result<(), String>) {
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// One step: activations, loss and gradients, then the evaluation. `batch` is the room that the buffers have.
async fn one_step(checked_shaders: bool, batch: u32, tuning: Option<Tuning>) {
    let bench = Bench::new(checked_shaders).await;
    let forward = Fixture::open("digits_forward", STEP);
    for (masked, name) in [(false, "digits_plain"), (true, "digits_masked")] {
        let fixture = Fixture::open(name, STEP);
        let (trainer, loss) = bench.train(1, batch, masked, true, tuning).await;
        let mean = fixture.get("loss").iter().sum::<f64>() / BATCH as f64;
        assert!((loss - mean).abs() < 1e-5 * mean, "{name}: loss {loss}, PyTorch {mean}");

        // `bn1.1.output` is conv1's activation after its batch norm and ReLU.
        let names = [
            "conv1.z", "conv1.y", "pool1", "conv2.z", "conv2.y", "pool2", "conv3.z", "conv3.y", "fc1.z", "fc1.y", "fc2.z", "fc2.y",
            "logits",
        ];
        let program = trainer.program();
        for (i, name) in names.iter().enumerate() {
            if ["conv1.y", "conv2.y"].contains(name) {
                continue; // Pooled on the way and never stored: its maxima are compared as pool1 and pool2.
            }
            let suffix = format!(".{i}.output");
            let (_, id, layout) = trainer.plan.named.iter().find(|(n, _, _)| n.ends_with(&suffix)).expect("a named activation");
            let bytes = program.read(&bench.gpu, &[*id]).await.expect("read back").remove(0);
            check(forward.check(name, &images(&bytes, *layout)));
        }
        let (_, id, layout) = trainer.plan.named.iter().find(|(n, _, _)| n == "fc3.12.output_gradient").expect("named");
        let bytes = program.read(&bench.gpu, &[*id]).await.expect("read back").remove(0);
        check(fixture.check("gradient/logits", &images(&bytes, *layout)));

        let bytes = program.read(&bench.gpu, &[trainer.plan.gradient]).await.expect("read back").remove(0);
        let row: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        for tensor in &bench.network.tensors {
            let values: Vec<f64> = bench.network.unpack(tensor, &row).into_iter().map(f64::from).collect();
            check(fixture.check_parameter(&format!("gradient/{}", tensor.name), &values));
        }
    }

    bench.reset();
    let ensemble = Ensemble::default();
    let options = EvaluateOptions { batch, widths: vec![1], ensemble, batches: 1, limit: Limit::default(), guarded: true };
    let mut evaluator = Evaluator::new(&bench.gpu, &bench.network, &bench.server, &bench.images, options).await.expect("one batch fits");
    let logits = evaluator.logits(&bench.gpu, &[(0..BATCH as u32).collect::<Vec<_>>().into()]).await.expect("read back");
    let flat: Vec<f64> = logits[0].iter().flatten().map(|v| f64::from(*v)).collect();
    check(forward.check("logits.eval", &flat));
    evaluator.program().check_guards(&bench.gpu).await.expect("no stray write");
    let checksums: Vec<String> = bench.network.tensors.iter().map(|t| format!("initial_checksums/{}", t.name)).collect();
    let apart: Vec<&str> = ["images", "labels"].into_iter().chain(checksums.iter().map(String::as_str)).collect();
    check(forward.all_compared(&[apart.as_slice(), &["conv1.y", "conv2.y"]].concat()));
}

#[test]
fn a_step_is_pytorchs() {
    pollster::block_on(one_step(false, BATCH as u32, None));
}

#[test]
fn a_step_in_larger_buffers_with_bounds_checks_is_pytorchs() {
    pollster::block_on(one_step(true, 9, None));
}

#[test]
fn a_step_with_the_kernels_of_gpus_is_pytorchs() {
    pollster::block_on(one_step(false, BATCH as u32, Some(Tuning::baseline())));
}

async fn ten_steps(keep_activations: bool, tuning: Option<Tuning>) {
    let bench = Bench::new(false).await;
    for (masked, name) in [(false, "digits_plain"), (true, "digits_masked")] {
        let fixture = Fixture::open(name, TEN_STEPS);
        let (_, loss) = bench.train(STEPS, BATCH as u32, masked, keep_activations, tuning).await;
        let mean = fixture.get("step_losses").iter().sum::<f64>() / STEPS as f64;
        assert!((loss - mean).abs() < 1e-3 * mean, "{name}: loss {loss}, PyTorch {mean}");
        for (tensor, values) in bench.parameters().await {
            check(fixture.check_parameter(&format!("final/{tensor}"), &values));
        }
    }
}

#[test]
fn ten_steps_are_pytorchs() {
    pollster::block_on(ten_steps(true, None));
}

#[test]
fn ten_steps_in_shared_memory_are_pytorchs() {
    pollster::block_on(ten_steps(false, None));
}

#[test]
fn ten_steps_with_the_kernels_of_gpus_are_pytorchs() {
    pollster::block_on(ten_steps(false, Some(Tuning::baseline())));
}

#[test]
fn ten_steps_of_adam_are_pytorchs() {
    pollster::block_on(async {
        let bench = Bench::new(false).await;
        let fixture = Fixture::open("digits_adam", Closeness { relative: 1e-3, floor: 2e-4 });
        let (_, loss) = bench.train_by(Optimizer::Adam, 0.001, STEPS, BATCH as u32 + 1, false, false, None).await;
        let mean = fixture.get("step_losses").iter().sum::<f64>() / STEPS as f64;
        assert!((loss - mean).abs() < 1e-3 * mean, "loss {loss}, PyTorch {mean}");
        let before_norm = ["conv1.bias", "conv2.bias", "conv3.bias", "fc1.bias", "fc2.bias"];
        for (tensor, values) in bench.parameters().await.iter().filter(|(name, _)| !before_norm.contains(&name.as_str())) {
            check(fixture.check_parameter(&format!("final/{tensor}"), values));
        }
        check(fixture.all_compared(&["step_losses"]));
    });
}
