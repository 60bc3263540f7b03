//! Cases of residual sums, rectification and average pooling: what stands between the other layers.

use super::{Case, LANES, Noise, Trial, Want, absolute, batch_sizes, lane_table, size_table, stored, wanted};
use crate::kernels::average_pool::{self, AveragePool};
use crate::kernels::relu::{self, Relu};
use crate::kernels::residual_add::{self, ResidualAdd};
use crate::kernels::{BufferId, ImageLayout, Tuning};
use crate::net::Shape;
use kernels_tests::average_pool::average_pool_backward as twin_pool_backward;
use kernels_tests::average_pool::average_pool_forward as twin_pool_forward;
use kernels_tests::relu::relu_backward as twin_relu_backward;
use kernels_tests::relu::relu_forward as twin_relu_forward;
use kernels_tests::residual_add::residual_add as twin_add;
use kernels_tests::shape::AveragePool2d;

/// Images of every lane, poisoned past each lane's samples, and their values.
fn images(t: &mut Trial, noise: &mut Noise, label: &str, batch: usize, layout: ImageLayout) -> (BufferId, Vec<Vec<f64>>) {
    let values: Vec<Vec<f64>> = valid(batch).iter().map(|v| noise.images(*v, layout)).collect();
    let all: Vec<f32> = values.iter().zip(valid(batch)).flat_map(|(x, v)| stored(layout, batch, v, x, 0, f32::NAN)).collect();
    (t.values(label, &all), values)
}

/// Valid samples of each lane.
fn valid(batch: usize) -> [usize; LANES.len()] {
    LANES.map(|l| batch_sizes(batch)[l[0] as usize])
}

/// What must come out: each lane's images, allowed the rounding of those magnitudes.
fn all_wanted(layout: ImageLayout, batch: usize, lanes: impl Iterator<Item = (Vec<f64>, Vec<f64>)>) -> Vec<Want> {
    lanes.zip(valid(batch)).flat_map(|((y, magnitude), v)| wanted(layout, batch, v, &y, &magnitude)).collect()
}

/// A sum of two images, or a multiple of one.
#[derive(Debug, Clone, Copy)]
pub struct ResidualAddCase {
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an image.
    pub shape: Shape,
    /// Whether there are two.
    pub two: bool,
    /// Factor on the sum.
    pub factor: f32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for ResidualAddCase {
    fn op(&self) -> &'static str {
        "residual_add"
    }

    fn shape(&self) -> String {
        let s = self.shape;
        let images = if self.two { "two images" } else { "one image" };
        format!("{}×{}×{}×{}, {images}, factor {}", self.batch, s.channels, s.height, s.width, self.factor)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let (mut noise, mut t) = (Noise::new(self.seed), Trial::default());
        let [a, b, y] = [1, 0, 2].map(|border| ImageLayout::new(self.shape, border));
        let lanes = t.words("lanes", lane_table());
        let batch_sizes = t.words("batch sizes", size_table(self.batch));
        let (of_a, values_a) = images(&mut t, &mut noise, "a", self.batch, a);
        let (of_b, values_b) = images(&mut t, &mut noise, "b", self.batch, b);
        let factor = f64::from(self.factor);
        let want = values_a.iter().zip(&values_b).map(|(a, b)| {
            let b = self.two.then_some(b.as_slice());
            let sizes = twin_add(&absolute(a), b.map(absolute).as_deref(), factor.abs());
            (twin_add(a, b, factor), sizes)
        });
        let out = t.output("y", all_wanted(y, self.batch, want));
        let kernel = ResidualAdd { batch: self.batch as u32, a, b: self.two.then_some(b), y, factor: self.factor };
        let buffers = residual_add::Buffers { lanes, batch_sizes, a: of_a, b: if self.two { of_b } else { of_a }, y: out };
        t.dispatches = vec![kernel.dispatch("case", buffers)];
        t
    }
}

/// One direction of a rectification.
#[derive(Debug, Clone, Copy)]
pub struct ReluCase {
    /// Backward, or forward.
    pub backward: bool,
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an image.
    pub shape: Shape,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for ReluCase {
    fn op(&self) -> &'static str {
        if self.backward { "relu_backward" } else { "relu_forward" }
    }

    fn shape(&self) -> String {
        let s = self.shape;
        format!("{}×{}×{}×{}", self.batch, s.channels, s.height, s.width)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let (mut noise, mut t) = (Noise::new(self.seed), Trial::default());
        let [x, dy, out] = [1, 0, 2].map(|border| ImageLayout::new(self.shape, border));
        let lanes = t.words("lanes", lane_table());
        let batch_sizes = t.words("batch sizes", size_table(self.batch));
        let (input, values) = images(&mut t, &mut noise, "x", self.batch, x);
        let kernel = Relu { batch: self.batch as u32, x };
        if self.backward {
            let (of_dy, gradients) = images(&mut t, &mut noise, "dy", self.batch, dy);
            let want = values.iter().zip(&gradients).map(|(x, dy)| (twin_relu_backward(x, dy), absolute(dy)));
            let out_buffer = t.output("dx", all_wanted(out, self.batch, want));
            let b = relu::backward::Buffers { lanes, batch_sizes, x: input, dy: of_dy, dx: out_buffer };
            t.dispatches = vec![kernel.backward("case", out, dy, b)];
        } else {
            let want = values.iter().map(|x| (twin_relu_forward(x), absolute(x)));
            let out_buffer = t.output("y", all_wanted(out, self.batch, want));
            let b = relu::forward::Buffers { lanes, batch_sizes, x: input, y: out_buffer };
            t.dispatches = vec![kernel.forward("case", out, b)];
        }
        t
    }
}

/// One direction of adaptive average pooling.
#[derive(Debug, Clone, Copy)]
pub struct AveragePoolCase {
    /// Backward, or forward.
    pub backward: bool,
    /// Capacity of a mini-batch.
    pub batch: usize,
    /// Shape of an input image.
    pub input: Shape,
    /// Height and width of an output image, at most those of the input.
    pub output: (u32, u32),
    /// Seed of the data.
    pub seed: u64,
}

impl Case for AveragePoolCase {
    fn op(&self) -> &'static str {
        if self.backward { "average_pool_backward" } else { "average_pool_forward" }
    }

    fn shape(&self) -> String {
        let i = self.input;
        format!("{}×{}×{}×{} to {}×{}", self.batch, i.channels, i.height, i.width, self.output.0, self.output.1)
    }

    fn trial(&self, _: Tuning) -> Trial {
        let (mut noise, mut t) = (Noise::new(self.seed), Trial::default());
        let output = Shape { height: self.output.0, width: self.output.1, ..self.input };
        let pool = AveragePool { batch: self.batch as u32, input: self.input, output };
        let (x, y) = (ImageLayout::new(self.input, 1), ImageLayout::new(output, 2));
        let twin = |valid: usize| AveragePool2d {
            planes: valid * x.blocks() as usize * 4,
            in_height: self.input.height as usize,
            in_width: self.input.width as usize,
            out_height: self.output.0 as usize,
            out_width: self.output.1 as usize,
        };
        let lanes = t.words("lanes", lane_table());
        let batch_sizes = t.words("batch sizes", size_table(self.batch));
        let (from, to) = if self.backward { (y, x) } else { (x, y) };
        let (input, values) = images(&mut t, &mut noise, "input", self.batch, from);
        let run = |v: usize, values: &[f64]| {
            if self.backward { twin_pool_backward(&twin(v), values) } else { twin_pool_forward(&twin(v), values) }
        };
        let want = values.iter().zip(valid(self.batch)).map(|(values, v)| (run(v, values), run(v, &absolute(values))));
        let out = t.output("output", all_wanted(to, self.batch, want));
        t.dispatches = vec![if self.backward {
            pool.backward("case", x, y, average_pool::backward::Buffers { lanes, batch_sizes, dy: input, dx: out })
        } else {
            pool.forward("case", x, y, average_pool::forward::Buffers { lanes, batch_sizes, x: input, y: out })
        }];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let image = |channels, height, width| Shape { channels, height, width };
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    let shapes = [(3, image(8, 32, 32)), (4, image(64, 4, 4)), (5, image(3, 5, 1)), (2, image(10, 1, 1))];
    for (seed, (batch, shape)) in (400..).zip(shapes) {
        cases.push(Box::new(ResidualAddCase { batch, shape, two: true, factor: 1.0, seed }));
        cases.push(Box::new(ResidualAddCase { batch, shape, two: true, factor: 8.0, seed }));
        cases.push(Box::new(ResidualAddCase { batch, shape, two: false, factor: 8.0, seed }));
        cases.push(Box::new(ReluCase { backward: false, batch, shape, seed }));
        cases.push(Box::new(ReluCase { backward: true, batch, shape, seed }));
    }
    let pools = [
        (4, image(64, 4, 4), (1, 1)),
        (3, image(32, 7, 7), (6, 6)),
        (3, image(5, 7, 9), (3, 4)),
        (2, image(4, 6, 5), (6, 5)),
        (2, image(1, 1, 1), (1, 1)),
        (5, image(6, 11, 3), (2, 3)),
    ];
    for (seed, (batch, input, output)) in (420..).zip(pools) {
        for backward in [false, true] {
            cases.push(Box::new(AveragePoolCase { backward, batch, input, output, seed }));
        }
    }
    cases
}
