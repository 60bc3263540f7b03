//! A whole training step of the Digits network, composed of the twins.

use std::collections::BTreeMap;

use crate::batch_norm::{Normalization, Statistics, batch_norm_backward, batch_norm_forward, batch_norm_statistics};
use crate::conv2d::{conv2d_backward_data, conv2d_backward_weight, conv2d_forward};
use crate::linear::{linear_backward_data, linear_backward_weight, linear_forward};
use crate::max_pool::{max_pool_backward, max_pool_forward};
use crate::sgd::{Sgd, sgd};
use crate::shape::{BatchNorm, Conv2d, Image, Linear, Logits, Pool2d, check_len};
use crate::softmax_cross_entropy::{CrossEntropy, class_presence, softmax_cross_entropy};

/// Tensors by name, each flat and row-major.
pub type Tensors = BTreeMap<String, Vec<f64>>;

/// The Digits network (or a base of it) at any size: conv5×5 BN ReLU pool2 · conv5×5 BN ReLU pool2 · conv5×5 BN ReLU ·
/// fc BN ReLU · fc BN ReLU · fc. Convolutions have padding 2, pools halve (odd sizes round down).
///
/// Its batch norms use the batch's statistics in training and in evaluation (the BN mode `batch`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Digits {
    /// Capacity of the batch.
    pub batch: usize,
    /// Input images, at least 4×4.
    pub image: Image,
    /// Output channels of conv1, conv2, conv3: 8, 8, 16 for a base of r = 1/8.
    pub conv: [usize; 3],
    /// Output features of fc1, fc2: 256, 64 for a base of r = 1/8.
    pub hidden: [usize; 2],
    /// Output features of fc3.
    pub classes: usize,
    /// Added to the variances, 1e-5 in the method.
    pub eps: f64,
}

/// The Digits network's forward pass on one mini-batch.
///
/// `tensors` holds, by name: for every block `b` of conv1, conv2, conv3, fc1, fc2 the pre-BN output `b.z` (scaled), and
/// the post-BN-ReLU output `b.y`; the pools' outputs `pool1` and `pool2`; and the `logits`. Activations are N·C·H·W.
#[derive(Clone, Debug)]
pub struct Forward {
    pub tensors: Tensors,
    /// Batch statistics by batch norm: bn1 … bn5.
    pub statistics: BTreeMap<String, Statistics>,
    /// Arg-max indices of pool1 and pool2 within their windows.
    pub pool_indices: [Vec<u32>; 2],
}

/// A training step's outcome.
#[derive(Clone, Debug)]
pub struct Step {
    pub forward: Forward,
    pub loss: CrossEntropy,
    /// Mean loss over the valid samples.
    pub mean_loss: f64,
    /// Gradient of the mean loss by parameter name, and with respect to the input images as `x`.
    pub gradients: Tensors,
}

/// One mini-batch.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// N·C·H·W, values in [0, 1].
    pub x: &'a [f64],
    /// `[batch]`.
    pub labels: &'a [u32],
    /// How many of the samples count, at least 1.
    pub valid: usize,
}

/// A conv or linear layer with its batch norm, in order of execution.
const BLOCKS: [(&str, &str); 5] = [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("fc1", "bn4"), ("fc2", "bn5")];

impl Digits {
    /// Every parameter's name (PyTorch's) and shape, in PyTorch's order.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let [c1, c2, c3] = self.conv;
        let [h1, h2] = self.hidden;
        let weights = [
            ("conv1", vec![c1, self.image.channels, 5, 5]),
            ("conv2", vec![c2, c1, 5, 5]),
            ("conv3", vec![c3, c2, 5, 5]),
            ("fc1", vec![h1, self.fc1().in_features]),
            ("fc2", vec![h2, h1]),
            ("fc3", vec![self.classes, h2]),
        ];
        let mut parameters = Vec::new();
        for (index, (layer, weight)) in weights.into_iter().enumerate() {
            let channels = weight[0];
            parameters.push((format!("{layer}.weight"), weight));
            parameters.push((format!("{layer}.bias"), vec![channels]));
            if let Some((_, norm)) = BLOCKS.get(index) {
                parameters.push((format!("{norm}.weight"), vec![channels]));
                parameters.push((format!("{norm}.bias"), vec![channels]));
            }
        }
        parameters
    }

    /// Forward pass with the layer correction `scale` (`1/r` in training, 1 in evaluation).
    pub fn forward(&self, parameters: &Tensors, batch: &Batch, scale: f64) -> Forward {
        check_len("x", batch.x.len(), self.batch * self.image.len());
        let mut tensors = Tensors::new();
        let mut statistics = BTreeMap::new();
        let mut pool_indices = [Vec::new(), Vec::new()];
        let mut current = batch.x.to_vec();
        for (index, (layer, norm)) in BLOCKS.into_iter().enumerate() {
            let (weight, bias) = (&parameters[&format!("{layer}.weight")], &parameters[&format!("{layer}.bias")]);
            let z = match index {
                0..3 => conv2d_forward(&self.conv(index), &current, weight, bias, scale),
                _ => linear_forward(&self.linear(index), &current, weight, bias, scale),
            };
            let shape = self.norm(index, batch.valid);
            let of_batch = batch_norm_statistics(&shape, &z);
            current = batch_norm_forward(&shape, &z, &of_batch, &self.normalization(parameters, norm));
            tensors.insert(format!("{layer}.z"), z);
            tensors.insert(format!("{layer}.y"), current.clone());
            statistics.insert(norm.to_string(), of_batch);
            if index < 2 {
                let (pooled, indices) = max_pool_forward(&self.pool(index), &current);
                current = pooled;
                tensors.insert(format!("pool{}", index + 1), current.clone());
                pool_indices[index] = indices;
            }
        }
        // The classifier is never corrected.
        let logits = linear_forward(&self.linear(5), &current, &parameters["fc3.weight"], &parameters["fc3.bias"], 1.0);
        tensors.insert("logits".to_string(), logits);
        Forward { tensors, statistics, pool_indices }
    }

    /// Forward, cross entropy (masked or plain) and backward; `scale` as in [`forward`](Self::forward).
    pub fn gradients(&self, parameters: &Tensors, batch: &Batch, scale: f64, masked: bool) -> Step {
        let forward = self.forward(parameters, batch, scale);
        let tensors = &forward.tensors;
        let shape = Logits { batch: self.batch, valid: batch.valid, classes: self.classes };
        let multiplier = class_presence(batch.labels, batch.valid, self.classes, masked);
        let loss = softmax_cross_entropy(&shape, &tensors["logits"], batch.labels, &multiplier);

        let mut gradients = Tensors::new();
        let mut insert = |layer: &str, (weight, bias): (Vec<f64>, Vec<f64>)| {
            gradients.insert(format!("{layer}.weight"), weight);
            gradients.insert(format!("{layer}.bias"), bias);
        };
        insert("fc3", linear_backward_weight(&self.linear(5), &tensors["fc2.y"], &loss.dlogits));
        // The gradient with respect to the output of the layer above the one at hand.
        let mut flowing = linear_backward_data(&self.linear(5), &loss.dlogits, &parameters["fc3.weight"]);
        for (index, (layer, norm)) in BLOCKS.into_iter().enumerate().rev() {
            if index < 2 {
                flowing = max_pool_backward(&self.pool(index), &flowing, &forward.pool_indices[index]);
            }
            let through_norm = batch_norm_backward(
                &self.norm(index, batch.valid),
                &flowing,
                &tensors[&format!("{layer}.z")],
                &forward.statistics[norm],
                &self.normalization(parameters, norm),
                scale,
            );
            insert(norm, (through_norm.dgamma, through_norm.dbeta));
            let input: &[f64] = match index {
                0 => batch.x,
                1 => &tensors["pool1"],
                2 => &tensors["pool2"],
                3 => &tensors["conv3.y"],
                _ => &tensors["fc1.y"],
            };
            let (dz, weight) = (through_norm.dz, &parameters[&format!("{layer}.weight")]);
            if index < 3 {
                insert(layer, conv2d_backward_weight(&self.conv(index), input, &dz));
                flowing = conv2d_backward_data(&self.conv(index), &dz, weight);
            } else {
                insert(layer, linear_backward_weight(&self.linear(index), input, &dz));
                flowing = linear_backward_data(&self.linear(index), &dz, weight);
            }
        }
        gradients.insert("x".to_string(), flowing);
        let mean_loss = loss.mean_loss(batch.valid);
        Step { forward, loss, mean_loss, gradients }
    }

    /// One training step: [`gradients`](Self::gradients), then SGD on every parameter, in place.
    ///
    /// `buffers` holds the momentum by parameter name; a missing one starts at 0.
    pub fn step(&self, parameters: &mut Tensors, buffers: &mut Tensors, batch: &Batch, scale: f64, masked: bool, settings: &Sgd) -> Step {
        let step = self.gradients(parameters, batch, scale, masked);
        for (name, values) in parameters.iter_mut() {
            let buffer = buffers.entry(name.clone()).or_insert_with(|| vec![0.0; values.len()]);
            sgd(settings, values, buffer, &step.gradients[name]);
        }
        step
    }

    /// Logits `[batch][classes]` in evaluation: no layer correction, statistics of this batch.
    pub fn evaluate(&self, parameters: &Tensors, batch: &Batch) -> Vec<f64> {
        self.forward(parameters, batch, 1.0).tensors.remove("logits").expect("forward gives logits")
    }

    /// Side lengths of the image after `pools` pools.
    fn size(&self, pools: usize) -> (usize, usize) {
        (self.image.height >> pools, self.image.width >> pools)
    }

    fn conv(&self, index: usize) -> Conv2d {
        let (in_height, in_width) = self.size(index);
        Conv2d {
            batch: self.batch,
            in_channels: if index == 0 { self.image.channels } else { self.conv[index - 1] },
            in_height,
            in_width,
            out_channels: self.conv[index],
            kernel_height: 5,
            kernel_width: 5,
            stride: 1,
            padding: 2,
        }
    }

    fn pool(&self, index: usize) -> Pool2d {
        let (in_height, in_width) = self.size(index);
        let channels = self.conv[index];
        Pool2d { batch: self.batch, channels, in_height, in_width, kernel: 2, stride: 2, padding: 0 }
    }

    fn fc1(&self) -> Linear {
        let (height, width) = self.size(2);
        Linear { batch: self.batch, in_features: self.conv[2] * height * width, out_features: self.hidden[0] }
    }

    /// The linear layer at place 3, 4 or 5 of the network.
    fn linear(&self, index: usize) -> Linear {
        match index {
            3 => self.fc1(),
            4 => Linear { batch: self.batch, in_features: self.hidden[0], out_features: self.hidden[1] },
            _ => Linear { batch: self.batch, in_features: self.hidden[1], out_features: self.classes },
        }
    }

    fn norm(&self, index: usize, valid: usize) -> BatchNorm {
        if index < 3 {
            let (height, width) = self.size(index);
            BatchNorm { batch: self.batch, valid, channels: self.conv[index], pixels: height * width }
        } else {
            BatchNorm { batch: self.batch, valid, channels: self.hidden[index - 3], pixels: 1 }
        }
    }

    fn normalization<'a>(&self, parameters: &'a Tensors, norm: &str) -> Normalization<'a> {
        Normalization {
            gamma: &parameters[&format!("{norm}.weight")],
            beta: &parameters[&format!("{norm}.bias")],
            eps: self.eps,
            relu: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient_check::random;

    fn small() -> Digits {
        Digits {
            batch: 4,
            image: Image { channels: 2, height: 6, width: 5 },
            conv: [2, 3, 2],
            hidden: [5, 4],
            classes: 3,
            // Large, to keep the curvature low on so few values.
            eps: 0.1,
        }
    }

    fn parameters(network: &Digits, seed: u64) -> Tensors {
        let random = |(index, (name, shape)): (usize, (String, Vec<usize>))| (name, random(seed + index as u64, shape.iter().product()));
        network.parameters().into_iter().enumerate().map(random).collect()
    }

    #[test]
    fn a_base_of_one_eighth_has_224_194_parameters() {
        let network = Digits {
            batch: 1,
            image: Image { channels: 3, height: 28, width: 28 },
            conv: [8, 8, 16],
            hidden: [256, 64],
            classes: 10,
            eps: 1e-5,
        };
        let count: usize = network.parameters().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(count, 224_194);
    }

    /// Every gradient of the whole network along a random direction, by central differences. Pools and ReLUs make the
    /// loss only piecewise smooth, so directions whose two half-steps disagree (a kink lies between) are passed over.
    #[test]
    fn gradients_match_differences_of_the_loss() {
        let network = small();
        let mut checked = 0;
        for seed in 0..4 {
            let parameters = parameters(&network, 100 * seed);
            let images: Vec<f64> = random(seed, network.batch * network.image.len());
            let batch = Batch { x: &images, labels: &[2, 0, 2, 1], valid: 3 };
            let masked = seed % 2 == 0;
            let step = network.gradients(&parameters, &batch, 2.0, masked);
            for name in step.gradients.keys() {
                let point = parameters.get(name).unwrap_or(&images);
                let direction = random(seed ^ 77, point.len());
                let loss = |distance: f64| {
                    let moved: Vec<f64> = point.iter().zip(&direction).map(|(p, d)| p + distance * d).collect();
                    if name == "x" {
                        return network.gradients(&parameters, &Batch { x: &moved, ..batch }, 2.0, masked).mean_loss;
                    }
                    let mut parameters = parameters.clone();
                    parameters.insert(name.clone(), moved);
                    network.gradients(&parameters, &batch, 2.0, masked).mean_loss
                };
                let slope: f64 = step.gradients[name].iter().zip(&direction).map(|(g, d)| g * d).sum();
                let (above, below) = (loss(1e-6) - step.mean_loss, step.mean_loss - loss(-1e-6));
                if (above - below).abs() > 1e-10 {
                    continue;
                }
                let numeric = (above + below) / 2e-6;
                assert!((numeric - slope).abs() < 1e-6, "{name}, seed {seed}: slope {slope}, differences {numeric}");
                checked += 1;
            }
        }
        assert!(checked >= 80, "only {checked} of 92 directions were smooth");
    }

    #[test]
    fn spare_samples_change_nothing() {
        let network = small();
        let start = parameters(&network, 5);
        let images = random(6, network.batch * network.image.len());
        let full = Digits { batch: 3, ..network };
        let per_image = network.image.len();
        let padded = network.gradients(&start, &Batch { x: &images, labels: &[2, 0, 2, 1], valid: 3 }, 4.0, true);
        let exact = full.gradients(&start, &Batch { x: &images[..3 * per_image], labels: &[2, 0, 2], valid: 3 }, 4.0, true);
        assert_eq!(padded.mean_loss, exact.mean_loss);
        for (name, gradient) in &exact.gradients {
            assert_eq!(&padded.gradients[name][..gradient.len()], gradient, "{name}");
        }
    }

    #[test]
    fn training_lowers_the_loss() {
        let network = Digits { conv: [4, 4, 4], hidden: [8, 8], ..small() };
        let (mut parameters, mut buffers) = (parameters(&network, 9), Tensors::new());
        for (_, norm) in BLOCKS {
            parameters.get_mut(&format!("{norm}.weight")).unwrap().fill(1.0);
            parameters.get_mut(&format!("{norm}.bias")).unwrap().fill(0.0);
        }
        let images = random(10, network.batch * network.image.len());
        let batch = Batch { x: &images, labels: &[0, 1, 2, 0], valid: 4 };
        let settings = Sgd { learning_rate: 0.05, momentum: 0.9, weight_decay: 5e-4 };
        let mut step = || network.step(&mut parameters, &mut buffers, &batch, 8.0, false, &settings).mean_loss;
        let losses: Vec<f64> = (0..30).map(|_| step()).collect();
        assert!(losses[29] < 0.1 * losses[0], "{losses:?}");
    }
}
