//! The f64 twins against ten training steps of PyTorch in float64, tensor by tensor.

use crate::fixture::{BATCH, Closeness, Fixture, OPTIMISER, SCALE, STEPS, initial_parameters, network};
use kernels_tests::gather_images::gather_images;
use kernels_tests::network::{Batch, Digits, Tensors};
use kernels_tests::sgd::Sgd;

/// Both sides round in f64; the floor stands for the rounding of sums that nearly cancel.
const CLOSENESS: Closeness = Closeness { relative: 1e-9, floor: 1e-13 };

/// The twins' way of doing the fixtures' run, right unless a test bends it.
struct Run {
    network: Digits,
    parameters: Tensors,
    scale: f64,
    masked: bool,
    optimiser: Sgd,
}

impl Run {
    fn new(batch: usize, masked: bool) -> Run {
        let parameters = initial_parameters();
        Run { network: network(batch), parameters, scale: SCALE, masked, optimiser: OPTIMISER }
    }

    /// The fixtures' images, gathered from their bytes; samples past them hold what must not matter.
    fn images(&self) -> (Vec<f64>, Vec<u32>) {
        let forward = Fixture::open("digits_forward", CLOSENESS);
        let bytes: Vec<u8> = forward.get("images").iter().map(|&value| value as u8).collect();
        let labels: Vec<u32> = forward.get("labels").iter().map(|&value| value as u32).collect();
        let indices: Vec<u32> = (0..BATCH as u32).collect();
        let (mut x, mut labels) = gather_images(&self.network.image, &bytes, &labels, &indices, self.network.batch);
        x[BATCH * self.network.image.len()..].fill(100.0);
        labels[BATCH..].fill(2);
        (x, labels)
    }

    /// The first step's forward and the evaluation, against `digits_forward`.
    fn check_forward(&self) -> Result<(), String> {
        let fixture = Fixture::open("digits_forward", CLOSENESS);
        let (x, labels) = self.images();
        let batch = Batch { x: &x, labels: &labels, valid: BATCH };
        for (name, values) in &self.parameters {
            fixture.check_checksums(&format!("initial_checksums/{name}"), 0, values)?;
        }
        for (name, values) in &self.network.forward(&self.parameters, &batch, self.scale).tensors {
            fixture.check(name, self.valid(values))?;
        }
        fixture.check("logits.eval", self.valid(&self.network.evaluate(&self.parameters, &batch)))?;
        fixture.all_compared(&["images", "labels"])
    }

    /// The ten steps, against a training fixture.
    fn check_training(self, fixture: &str) -> Result<(), String> {
        let fixture = Fixture::open(fixture, CLOSENESS);
        let (x, labels) = self.images();
        let batch = Batch { x: &x, labels: &labels, valid: BATCH };
        let mut parameters = self.parameters.clone();
        let mut buffers = Tensors::new();
        let mut losses = Vec::new();
        for number in 0..STEPS {
            let step = self.network.step(&mut parameters, &mut buffers, &batch, self.scale, self.masked, &self.optimiser);
            if number == 0 {
                fixture.check("loss", self.valid(&step.loss.loss))?;
                fixture.check("gradient/logits", self.valid(&step.loss.dlogits))?;
                for (name, gradient) in &step.gradients {
                    if name == "x" {
                        fixture.check("gradient/x", self.valid(gradient))?;
                    } else {
                        fixture.check_parameter(&format!("gradient/{name}"), gradient)?;
                        fixture.check_checksums(&format!("gradient_checksums/{name}"), 0, gradient)?;
                    }
                }
            }
            losses.push(step.mean_loss);
            for (name, values) in &parameters {
                fixture.check_checksums(&format!("step_checksums/{name}"), number, values)?;
            }
        }
        fixture.check("step_losses", &losses)?;
        for (name, values) in &parameters {
            fixture.check_parameter(&format!("final/{name}"), values)?;
        }
        fixture.check("final/logits.eval", self.valid(&self.network.evaluate(&parameters, &batch)))?;
        fixture.all_compared(&[])
    }

    /// The part of a tensor whose first axis is the batch that belongs to the valid samples.
    fn valid<'a>(&self, values: &'a [f64]) -> &'a [f64] {
        &values[..values.len() / self.network.batch * BATCH]
    }
}

#[test]
fn forward() {
    Run::new(BATCH, false).check_forward().unwrap();
}

#[test]
fn ten_steps_plain() {
    Run::new(BATCH, false).check_training("digits_plain").unwrap();
}

#[test]
fn ten_steps_masked() {
    Run::new(BATCH, true).check_training("digits_masked").unwrap();
}

#[test]
fn ten_steps_with_room_for_more_samples() {
    Run::new(BATCH + 2, false).check_forward().unwrap();
    Run::new(BATCH + 2, true).check_training("digits_masked").unwrap();
}

/// The comparisons above can fail: each of these small departures is noticed, and by the tensor it should be.
#[test]
fn departures_are_noticed() {
    let bend = |masked: bool, change: &dyn Fn(&mut Run)| {
        let mut run = Run::new(BATCH, masked);
        change(&mut run);
        run
    };
    let noticed = |outcome: Result<(), String>, by: &str| {
        let message = outcome.expect_err(by);
        assert!(message.starts_with(by), "expected {by} to be noticed, not {message}");
    };
    // In the forward: no layer correction, a BN without ε, one weight slightly off, two weights exchanged.
    noticed(bend(false, &|run| run.scale = 1.0).check_forward(), "conv1.");
    noticed(bend(false, &|run| run.network.eps = 0.0).check_forward(), "conv1.y");
    noticed(
        bend(false, &|run| run.parameters.get_mut("fc1.weight").unwrap()[70_001] += 1e-5).check_forward(),
        "initial_checksums/fc1.weight",
    );
    noticed(
        bend(false, &|run| run.parameters.get_mut("conv2.weight").unwrap().swap(3, 4)).check_forward(),
        "initial_checksums/conv2.weight, row 0, weighted sum",
    );
    // In training: the other loss, and each of the optimiser's settings. The momentum only tells from the second step.
    noticed(bend(false, &|_| ()).check_training("digits_masked"), "loss");
    noticed(bend(true, &|_| ()).check_training("digits_plain"), "loss");
    noticed(bend(false, &|run| run.optimiser.learning_rate *= 1.0 + 1e-6).check_training("digits_plain"), "step_checksums/bn1.bias, row 0");
    noticed(bend(false, &|run| run.optimiser.weight_decay = 0.0).check_training("digits_plain"), "step_checksums/bn1.bias, row 0");
    noticed(bend(false, &|run| run.optimiser.momentum = 0.8999).check_training("digits_plain"), "step_checksums/bn1.bias, row 1");
}
