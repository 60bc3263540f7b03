//! Numeric verification: every kernel against its f64 twin on this adapter.
//!
//! A [`Case`] is one kernel at one shape. It makes its inputs from a seed, has the twin (`kernels_tests`) say what every
//! stored value must become, and everything else is poison: NaN in the samples past a batch's end, in other parameters'
//! places and round every buffer. A kernel that reads what it must not turns its result into NaN, one that writes what
//! it must not changes a bit that is compared. [`self_test`] runs a fixed list of cases and whole steps; the crate
//! `kernels-tests` runs random ones.
//!
//! A file has the cases of one operation, under the name of its module in [`crate::kernels`].

mod adam;
mod attack;
mod average_pool;
mod batch_norm;
mod client_rows;
mod control_variates;
mod conv2d;
mod copy_bases;
mod corner;
mod ensemble;
mod gather_images;
mod linear;
mod max_pool;
mod proximal;
mod relu;
mod residual_add;
mod row_distance;
mod server_step;
mod sgd;
mod softmax_cross_entropy;
mod steps;
mod weighted_average;

pub use adam::AdamCase;
pub use attack::{AttackCase, WorstCase};
pub use average_pool::AveragePoolCase;
pub use batch_norm::{BatchNormCase, BatchNormMixCase, RunningStatisticsCase};
pub use client_rows::ClientRowsCase;
pub use control_variates::ControlVariatesCase;
pub use conv2d::{AttackStepCase, ConvCase};
pub use copy_bases::CopyCase;
pub use corner::{CornerCase, CornerStep};
pub use ensemble::{EnsembleCase, EnsembleGradientCase};
pub use gather_images::GatherCase;
pub use linear::LinearCase;
pub use max_pool::MaxPoolCase;
pub use proximal::ProximalCase;
pub use relu::ReluCase;
pub use residual_add::ResidualAddCase;
pub use row_distance::DistanceCase;
pub use server_step::ServerStepCase;
pub use sgd::SgdCase;
pub use softmax_cross_entropy::LossCase;
pub use weighted_average::AverageCase;

use crate::Result;
use crate::gpu::{Active, Gpu, Program, ProgramDescriptor};
use crate::kernels::{Activation, BufferId, Dispatch, ImageLayout, LaneTables, ParameterPlace, Tuning, WORKGROUP};
use crate::net::Shape;
use crate::plan::{Extent, Plan};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt;

/// One kernel at one shape.
pub trait Case: fmt::Debug {
    /// The kernel and direction, as in `conv2d_forward`.
    fn op(&self) -> &'static str;
    /// Adds inputs, dispatches and what must come out.
    fn fill(&self, t: &mut Trial);
}

/// A case on the data of a seed.
pub struct Seeded {
    case: Box<dyn Case>,
    seed: u64,
}

impl Seeded {
    /// The case with data from `seed`.
    pub fn new(case: impl Case + 'static, seed: u64) -> Seeded {
        Seeded { case: Box::new(case), seed }
    }

    /// As [`Case::op`].
    pub fn op(&self) -> &'static str {
        self.case.op()
    }

    /// The shape, for tables and failures: the case's fields, by name, and the seed.
    pub fn shape(&self) -> String {
        let all = format!("{:?}", self.case);
        let fields = all.split_once("{ ").and_then(|(_, fields)| fields.strip_suffix(" }")).unwrap_or_default();
        format!("{}, seed {}", fields.replace(": ", " "), self.seed)
    }

    /// The case with all its data, for these tiles.
    pub fn trial(&self, tuning: Tuning) -> Trial {
        let mut trial = Trial {
            seed: self.seed,
            noise: Noise::new(self.seed),
            tuning,
            plan: Plan::default(),
            dispatches: Vec::new(),
            initial: Vec::new(),
            expected: Vec::new(),
            active: Active { lanes: LANES.len() as u32, slots: SLOTS as u32, step: 0 },
        };
        self.case.fill(&mut trial);
        trial
    }
}

/// What one stored 32-bit word must become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Want {
    /// Stay as it was, bit for bit.
    Keep,
    /// Come near this value; the allowed error grows with the magnitude, the sum of the terms' sizes.
    Near(f64, f64),
    /// Become exactly these bits.
    Bits(u32),
}

/// A kernel call with all its data.
pub struct Trial {
    seed: u64,
    noise: Noise,
    tuning: Tuning,
    plan: Plan,
    dispatches: Vec<Dispatch>,
    /// Initial words of every buffer.
    initial: Vec<Vec<u32>>,
    expected: Vec<(BufferId, Vec<Want>)>,
    /// All lanes and slots at step 0 unless a case says otherwise.
    active: Active,
}

/// Error that every result may have, whatever its magnitude.
const ABSOLUTE: f64 = 1e-6;
/// Error as a share of the magnitude: about eighty roundings of f32.
const RELATIVE: f64 = 1e-5;

impl Trial {
    /// A buffer with these words in it.
    fn words(&mut self, label: &str, words: Vec<u32>) -> BufferId {
        self.initial.push(words);
        let bytes = self.initial.last().map_or(0, |w| w.len() as u64 * 4);
        self.plan.buffer(label, Extent::Fixed(bytes))
    }

    /// A buffer with these values in it.
    fn values<V: Copy + Into<f64>>(&mut self, label: &str, values: &[V]) -> BufferId {
        self.words(label, values.iter().map(|v| ((*v).into() as f32).to_bits()).collect())
    }

    /// An output, all poison before: a word that must stay is noticed whatever is written over it, a zero, too.
    fn output(&mut self, label: &str, want: Vec<Want>) -> BufferId {
        let id = self.words(label, vec![u32::MAX; want.len()]);
        self.expected.push((id, want));
        id
    }

    /// A buffer with these values in it that must end like this.
    fn changed<V: Copy + Into<f64>>(&mut self, label: &str, values: &[V], want: Vec<Want>) -> BufferId {
        let id = self.values(label, values);
        self.expected.push((id, want));
        id
    }

    /// A buffer between two stages, poisoned, whose result is not looked at.
    fn scratch(&mut self, label: &str, bytes: u64) -> BufferId {
        self.words(label, vec![f32::NAN.to_bits(); (bytes / 4) as usize])
    }

    /// The table of lanes.
    fn lanes(&mut self) -> BufferId {
        self.words("lanes", LANES.concat())
    }

    /// The valid samples of every slot.
    fn batch_sizes(&mut self, batch: usize) -> BufferId {
        self.words("batch sizes", batch_sizes(batch).map(|n| n as u32).to_vec())
    }

    /// Both, of a batch.
    fn tables(&mut self, batch: usize) -> LaneTables {
        LaneTables { lanes: self.lanes(), batch_sizes: self.batch_sizes(batch) }
    }

    /// Images of every lane, poisoned past each lane's samples, and their values.
    fn images(&mut self, label: &str, batch: usize, layout: ImageLayout) -> (Activation, Vec<Vec<f64>>) {
        let values: Vec<_> = valid(batch).iter().map(|v| self.noise.images(*v, layout)).collect();
        (self.store(label, batch, layout, &values), values)
    }

    /// These images of every lane, poisoned past each lane's samples.
    fn store<'a>(&mut self, label: &str, batch: usize, layout: ImageLayout, lanes: impl IntoIterator<Item = &'a Vec<f64>>) -> Activation {
        let all = lanes.into_iter().zip(valid(batch)).flat_map(|(x, v)| stored(layout, batch, v, x, 0, f32::NAN));
        Activation { buffer: self.values(label, &all.collect::<Vec<_>>()), layout }
    }

    /// Images that must become each lane's, allowed the rounding of those magnitudes.
    fn result(&mut self, label: &str, batch: usize, layout: ImageLayout, lanes: impl Iterator<Item = (Vec<f64>, Vec<f64>)>) -> Activation {
        Activation { buffer: self.output(label, all_wanted(layout, batch, lanes)), layout }
    }

    /// Labels of every slot; those past the batch size name a class all the same.
    fn labels(&mut self, batch: usize, classes: usize) -> Vec<u32> {
        (0..SLOTS * batch).map(|_| self.noise.below(classes as u32)).collect()
    }

    /// Entry points that the trial runs, as (shader, entry point).
    pub fn entry_points(&self) -> Vec<(&'static str, &'static str)> {
        self.dispatches.iter().map(|d| (d.kernel.shader.name, d.kernel.entry)).collect()
    }

    /// The dispatches.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Worst error as a share of the allowed.
    pub worst: f64,
    /// Where and how it failed: the worst word's place, value and error.
    pub failure: Option<String>,
}

/// Runs one case between guards, with the tiles that this adapter gets.
///
/// # Errors
/// As [`run_tuned`].
pub async fn run(gpu: &Gpu, case: &Seeded) -> Result<Outcome> {
    run_tuned(gpu, case, gpu.tuning()).await
}

/// Runs one case between guards, with any tiles.
///
/// # Errors
/// [`crate::Error::Gpu`] where the device refuses a shader or is lost. A wrong result is no error but an [`Outcome`].
pub async fn run_tuned(gpu: &Gpu, case: &Seeded, tuning: Tuning) -> Result<Outcome> {
    let trial = case.trial(tuning);
    let (mut plan, active) = (trial.plan, trial.active);
    let case = plan.add_phase("case", trial.dispatches);
    if tuning != gpu.tuning() {
        // A row of one workgroup each, where the kernel knows rows: as many as a network has parameters would take long.
        let dispatches = plan.phases.iter_mut().flat_map(|(_, dispatches)| dispatches);
        dispatches.filter(|d| d.kernel.row().is_some()).for_each(|d| d.kernel.constants.push(("ROW", WORKGROUP)));
    }
    let descriptor = ProgramDescriptor { lanes: 1, slots: 1, steps: active.step + 1, external: vec![], guarded: true };
    let program = Program::new(gpu, plan, descriptor).await?;
    for (i, words) in trial.initial.iter().enumerate() {
        program.write(gpu, BufferId(i), 0, bytemuck::cast_slice(words));
    }
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("case") });
    program.encode(&mut encoder, case, active);
    gpu.submit(encoder);
    let ids: Vec<BufferId> = trial.expected.iter().map(|(id, _)| *id).collect();
    let results = program.read(gpu, &ids).await?;

    let mut outcome = Outcome { worst: 0.0, failure: None };
    for ((id, want), bytes) in trial.expected.iter().zip(results) {
        let got: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
        for (i, want) in want.iter().enumerate() {
            let (share, wanted) = match *want {
                Want::Keep if got[i] == trial.initial[id.0][i] => continue,
                Want::Keep => (f64::INFINITY, "an untouched word".to_string()),
                Want::Bits(bits) if got[i] == bits => continue,
                Want::Bits(bits) => (f64::INFINITY, format!("{bits}")),
                Want::Near(value, magnitude) => {
                    let error = (f64::from(f32::from_bits(got[i])) - value).abs();
                    let share = error / (ABSOLUTE + RELATIVE * magnitude);
                    (if share.is_nan() { f64::INFINITY } else { share }, format!("{value:e}"))
                }
            };
            if share > outcome.worst {
                outcome.worst = share;
                if share > 1.0 {
                    let label = &program.plan.buffers[id.0].label;
                    let value = f32::from_bits(got[i]);
                    outcome.failure = Some(format!(
                        "{label}[{i}]: got {value:e} ({}), want {wanted}, error {:.0}% of the allowed",
                        got[i],
                        100.0 * share
                    ));
                }
            }
        }
    }
    if let Err(error) = program.check_guards(gpu).await {
        outcome = Outcome { worst: f64::INFINITY, failure: Some(error.to_string()) };
    }
    Ok(outcome)
}

/// One line of a [`SelfTest`].
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Kernel or property.
    pub op: String,
    /// Shape.
    pub shape: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a self-test found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SelfTest {
    /// A line a check.
    pub rows: Vec<Row>,
}

impl SelfTest {
    /// Number of checks that failed.
    pub fn failed(&self) -> usize {
        self.rows.iter().filter(|r| r.outcome.failure.is_some()).count()
    }
}

impl fmt::Display for SelfTest {
    /// A table, the failures after it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|r| r.op.chars().count()).max().unwrap_or(0).max(2);
        writeln!(f, "{:width$}  error / allowed          shape", "op")?;
        for row in &self.rows {
            let verdict = if row.outcome.failure.is_some() { "FAILED" } else { "ok" };
            writeln!(f, "{:width$}  {:>14.1}%  {verdict:6}  {}", row.op, 100.0 * row.outcome.worst, row.shape)?;
        }
        for row in self.rows.iter().filter(|r| r.outcome.failure.is_some()) {
            writeln!(f, "{} {}: {}", row.op, row.shape, row.outcome.failure.as_deref().unwrap_or_default())?;
        }
        writeln!(f, "{} passed, {} failed", self.rows.len() - self.failed(), self.failed())
    }
}

/// Runs [`standard_cases`] and the whole-step checks; `done` is called with each row.
///
/// # Errors
/// [`crate::Error::Gpu`] where the device refuses a shader or is lost.
pub async fn self_test(gpu: &Gpu, mut done: impl FnMut(&Row)) -> Result<SelfTest> {
    let mut report = SelfTest::default();
    let mut add = |row: Row| {
        done(&row);
        report.rows.push(row);
    };
    for case in standard_cases() {
        let outcome = run(gpu, &case).await?;
        add(Row { op: case.op().to_string(), shape: case.shape(), outcome });
    }
    for row in steps::checks(gpu).await? {
        add(row);
    }
    Ok(report)
}

/// The cases of an operation, or of several.
#[derive(Default)]
struct Cases(Vec<Seeded>);

impl Cases {
    fn add(&mut self, seed: u64, case: impl Case + 'static) {
        self.0.push(Seeded::new(case, seed));
    }
}

/// The fixed cases of the self-test: the Digits CNN's own layers at r = 1/8, odd and tiny shapes, every kernel.
pub fn standard_cases() -> Vec<Seeded> {
    let operations = [
        conv2d::standard,
        linear::standard,
        batch_norm::standard,
        max_pool::standard,
        client_rows::standard,
        residual_add::standard,
        relu::standard,
        average_pool::standard,
        gather_images::standard,
        sgd::standard,
        adam::standard,
        proximal::standard,
        copy_bases::standard,
        weighted_average::standard,
        server_step::standard,
        control_variates::standard,
        ensemble::standard,
        corner::standard,
        attack::standard,
        softmax_cross_entropy::standard,
        row_distance::standard,
    ];
    let mut cases = Cases::default();
    operations.into_iter().for_each(|standard| standard(&mut cases));
    cases.0
}

/// Slots of a trial, and each lane's (slot, parameter row, base). Lanes of one slot share its images; rows are permuted.
const SLOTS: usize = 3;
const LANES: [[u32; 4]; 4] = [[0, 2, 1, 0], [1, 0, 0, 0], [2, 3, 1, 0], [1, 1, 2, 0]];
const ROWS: usize = 4;

/// Valid samples of each slot: a full batch, part of one, a single sample.
fn batch_sizes(batch: usize) -> [usize; SLOTS] {
    [batch, batch - batch / 3, 1]
}

/// Valid samples of each lane.
fn valid(batch: usize) -> [usize; LANES.len()] {
    LANES.map(|l| batch_sizes(batch)[l[0] as usize])
}

/// The table of lanes, with these rows of batch norms.
fn lanes_with_norms(rows: [u32; LANES.len()]) -> Vec<u32> {
    let mut table = LANES;
    table.iter_mut().zip(rows).for_each(|(lane, row)| lane[3] = row);
    table.concat()
}

/// Pseudo-random numbers of a case.
struct Noise(ChaCha8Rng);

impl Noise {
    fn new(seed: u64) -> Noise {
        Noise(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in [−1, 1), exact in f32.
    fn value(&mut self) -> f64 {
        f64::from(self.0.next_u32() >> 8) / 8_388_608.0 - 1.0
    }

    fn below(&mut self, n: u32) -> u32 {
        self.0.next_u32() % n
    }

    fn values(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.value()).collect()
    }

    /// Images of pixels in [0, 1].
    fn pixels(&mut self, batch: usize, layout: ImageLayout) -> Vec<f64> {
        self.images(batch, layout).into_iter().map(|v| rounded(v.abs().min(1.0))).collect()
    }

    /// Images anywhere in the balls around clean ones.
    fn near(&mut self, clean: &[f64], batch: usize, layout: ImageLayout, epsilon: f64) -> Vec<f64> {
        let inside = |(c, v): (&f64, f64)| rounded(kernels_tests::attack::clip(c + epsilon * v, *c, epsilon));
        clean.iter().zip(self.images(batch, layout)).map(inside).collect()
    }

    /// N·C·H·W images whose channels past `channels` are zero: what padded channels hold.
    fn images(&mut self, batch: usize, layout: ImageLayout) -> Vec<f64> {
        let (padded, area) = (layout.blocks() as usize * 4, (layout.shape.height * layout.shape.width) as usize);
        let real = layout.shape.channels as usize;
        (0..batch * padded * area).map(|i| if i / area % padded < real { self.value() } else { 0.0 }).collect()
    }
}

/// Place of (sample, padded channel, row, column) in a buffer of stored images, in words.
fn place(layout: ImageLayout, n: usize, c: usize, y: usize, x: usize) -> usize {
    let block = n as u32 * layout.image() + layout.origin(0) + y as u32 * layout.row() + x as u32 * layout.blocks() + c as u32 / 4;
    (block * 4) as usize + c % 4
}

/// Calls `f(index in N·C·H·W with padded channels, place in the stored buffer)` for so many samples.
fn for_each_pixel(layout: ImageLayout, samples: usize, mut f: impl FnMut(usize, usize)) {
    let (c, h, w) = (layout.blocks() as usize * 4, layout.shape.height as usize, layout.shape.width as usize);
    for n in 0..samples {
        for i in 0..c * h * w {
            f(n * c * h * w + i, place(layout, n, i / (h * w), i / w % h, i % w));
        }
    }
}

/// Images as a kernel reads them: a border of zeros `ring` pixels wide, and poison in the rest of the border and in the
/// samples past `valid`.
fn stored(layout: ImageLayout, batch: usize, valid: usize, images: &[f64], ring: u32, poison: f32) -> Vec<f32> {
    let mut out = vec![poison; layout.bytes(batch as u32) as usize / 4];
    let s = layout.shape;
    // The image with its ring is an image of the same rows, deeper in a narrower border.
    let ringed = Shape { height: s.height + 2 * ring, width: s.width + 2 * ring, ..s };
    let inner = ImageLayout { shape: ringed, border: layout.border - ring };
    for_each_pixel(inner, valid, |_, at| out[at] = 0.0);
    for_each_pixel(layout, valid, |i, at| out[at] = images[i] as f32);
    out
}

/// What stored images must become: near the twin's, borders and samples past `valid` untouched.
fn wanted(layout: ImageLayout, batch: usize, valid: usize, images: &[f64], magnitude: &[f64]) -> Vec<Want> {
    let mut out = vec![Want::Keep; layout.bytes(batch as u32) as usize / 4];
    for_each_pixel(layout, valid, |i, at| out[at] = Want::Near(images[i], magnitude[i]));
    out
}

fn absolute(values: &[f64]) -> Vec<f64> {
    values.iter().map(|v| v.abs()).collect()
}

/// Which gradient, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Output from input.
    Forward,
    /// Gradient of the input.
    BackwardData,
    /// Gradient of weight and bias.
    BackwardWeight,
}

const DIRECTIONS: [Direction; 3] = [Direction::Forward, Direction::BackwardData, Direction::BackwardWeight];

/// Weights and biases of every parameter row, and how they lie in one.
struct ParameterRows {
    place: ParameterPlace,
    weights: Vec<Vec<f64>>,
    biases: Vec<Vec<f64>>,
    /// Place in a row, in words, of every weight `[o][i][tap]` and then of every bias.
    places: Vec<usize>,
}

/// Parameters of padded shape `out × inputs × taps`, zero but where `real(o, i)`; `at(o, i, tap)` is a weight's place among the weights.
fn parameter_rows(
    noise: &mut Noise,
    (out, inputs, taps): (usize, usize, usize),
    real: impl Fn(usize, usize) -> bool,
    at: impl Fn(usize, usize, usize) -> usize,
) -> ParameterRows {
    // A gap before, between and after, so that a wrong offset shows.
    let blocks = out * inputs * taps / 4;
    let place = ParameterPlace { stride: (3 + blocks + out / 4 + 2) as u32, weight: 3, bias: Some((3 + blocks) as u32) };
    let start = place.weight as usize * 4;
    let indices = |n: usize| (n / taps / inputs, n / taps % inputs, n % taps);
    let weight_places = (0..out * inputs * taps).map(indices).map(|(o, i, tap)| start + at(o, i, tap));
    let places = weight_places.chain((0..out).map(|o| start + blocks * 4 + o)).collect();
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    for _ in 0..ROWS {
        let mut value = |o, i| if real(o, i) { noise.value() } else { 0.0 };
        weights.push((0..out * inputs * taps).map(indices).map(|(o, i, _)| value(o, i)).collect());
        biases.push((0..out).map(|o| value(o, 0)).collect());
    }
    ParameterRows { place, weights, biases, places }
}

impl ParameterRows {
    /// The rows as stored, among NaN.
    fn stored(&self) -> Vec<f64> {
        let rows = self.weights.iter().zip(&self.biases);
        self.laid_out(rows.map(|(weights, biases)| weights.iter().chain(biases).copied()), f64::NAN)
    }

    /// What a lane's twin makes of weights and biases, with its size, at their places in the lanes' rows; none elsewhere.
    fn gradients(&self, lanes: impl Iterator<Item = (Gradients, Gradients)>) -> Vec<Option<(f64, f64)>> {
        let pairs = |((dw, db), (sw, sb)): (Gradients, Gradients)| dw.into_iter().chain(db).zip(sw.into_iter().chain(sb)).map(Some);
        self.laid_out(lanes.map(pairs), None)
    }

    fn laid_out<T: Copy>(&self, rows: impl Iterator<Item = impl Iterator<Item = T>>, elsewhere: T) -> Vec<T> {
        let row = |values| {
            let mut out = vec![elsewhere; self.place.stride as usize * 4];
            self.places.iter().zip(values).for_each(|(at, value)| out[*at] = value);
            out
        };
        rows.flat_map(row).collect()
    }
}

/// Of weights and biases.
type Gradients = (Vec<f64>, Vec<f64>);

/// What a twin that is linear in each of these values makes of them, and of their sizes: by those the rounding error grows.
fn sized<T, const N: usize>(values: [&[f64]; N], twin: impl Fn([&[f64]; N]) -> T) -> (T, T) {
    let sizes = values.map(absolute);
    (twin(values), twin(sizes.each_ref().map(Vec::as_slice)))
}

/// Rows of `count` values each, padded to vec4, for `batch` samples: `value(index in [sample][count])` in the first `valid`.
fn padded_rows<T: Copy>((batch, valid, count): (usize, usize, usize), padding: T, unused: T, value: impl Fn(usize) -> T) -> Vec<T> {
    let row = count.next_multiple_of(4);
    let at = |i: usize| match (i / row, i % row) {
        (n, _) if n >= valid => unused,
        (_, c) if c >= count => padding,
        (n, c) => value(n * count + c),
    };
    (0..batch * row).map(at).collect()
}

/// `[step][slot][1 + batch]` of batch sizes and indices of images; whatever is not of `step` is no image.
fn schedule(step: u32, batch: usize, slots: &[Vec<u32>]) -> Vec<u32> {
    let mut table = vec![u32::MAX; step as usize * SLOTS * (1 + batch)];
    for indices in slots {
        table.push(indices.len() as u32);
        table.extend(indices);
        table.resize(table.len() + batch - indices.len(), u32::MAX);
    }
    table
}

/// What must come out: each lane's images, allowed the rounding of those magnitudes.
fn all_wanted(layout: ImageLayout, batch: usize, lanes: impl Iterator<Item = (Vec<f64>, Vec<f64>)>) -> Vec<Want> {
    lanes.zip(valid(batch)).flat_map(|((y, magnitude), v)| wanted(layout, batch, v, &y, &magnitude)).collect()
}

/// Near these values where `reached` says so of their place, untouched elsewhere.
fn near_where(values: &[f64], magnitude: f64, reached: impl Fn(usize) -> bool) -> Vec<Want> {
    values.iter().enumerate().map(|(i, v)| if reached(i) { Want::Near(*v, magnitude) } else { Want::Keep }).collect()
}

/// Exactly these values, as f32.
fn exactly<V: Copy + Into<f64>>(values: &[V]) -> Vec<Want> {
    values.iter().map(|v| Want::Bits(((*v).into() as f32).to_bits())).collect()
}

/// Rounded to f32, as a kernel sees them.
fn rounded(value: f64) -> f64 {
    f64::from(value as f32)
}

const fn image(channels: u32, height: u32, width: u32) -> Shape {
    Shape { channels, height, width }
}

/// Batches and shapes of images between layers.
const BETWEEN: [(usize, Shape); 4] = [(3, image(8, 32, 32)), (4, image(64, 4, 4)), (5, image(3, 5, 1)), (2, image(10, 1, 1))];
