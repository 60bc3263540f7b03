//! Every kernel against its twin over random shapes, between poisoned guards, with trusted and with checked shaders.
//!
//! A case is [`splitmix_fl::verify::Case`]; proptest draws its shape and the seed of its data, and shrinks a failing one. Shapes live in
//! uniforms but for kernel sizes, strides and tile lengths, which are drawn from few values so that few variants are compiled.
//! Needs an adapter: `SPLITMIX_ADAPTER` chooses one by a part of its name.
//!
//! What takes the time is compiling a variant, so a run takes a sample, in which every kernel meets every variant; all of it with
//! `SPLITMIX_TESTS=complete` (`./test.sh --complete`).

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use splitmix_fl::engine::Augment;
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::kernels::row_distance::RowDistance;
use splitmix_fl::kernels::server_step::Rule;
use splitmix_fl::kernels::{Traits, Tuning};
use splitmix_fl::net::{Norms, Shape};
use splitmix_fl::verify::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::process::Command;

/// Whether all cases are wanted, or a sample.
fn complete() -> bool {
    std::env::var_os("SPLITMIX_TESTS").is_some_and(|wanted| wanted == "complete")
}

/// One case in so many is in a sample.
const SAMPLED: usize = 3;

/// How many random cases there are of so many.
fn some(cases: u32) -> u32 {
    if complete() { cases } else { cases.div_ceil(SAMPLED as u32) }
}

/// The self-test's cases, by kernel.
fn by_kernel() -> BTreeMap<&'static str, Vec<Seeded>> {
    let mut kernels: BTreeMap<_, Vec<_>> = BTreeMap::new();
    standard_cases().into_iter().for_each(|case| kernels.entry(case.op()).or_default().push(case));
    kernels
}

/// Of one kernel's cases those that meet variant `v`: at least one, and others with the next variant.
fn sample<T>(cases: &[T], v: usize) -> impl Iterator<Item = &T> {
    let every = SAMPLED.min(cases.len());
    cases.iter().skip(v % every).step_by(every)
}

/// Random cases of one kind on one device; the variants it compiles are kept.
struct Bench {
    gpu: Gpu,
}

impl Bench {
    fn new(checked_shaders: bool) -> Bench {
        let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
        let gpu = pollster::block_on(Gpu::open(&GpuOptions { adapter, checked_shaders, default_limits: true, ..GpuOptions::default() }));
        Bench { gpu: gpu.unwrap_or_else(|error| panic!("{error}")) }
    }

    fn run(&self, case: &Seeded, tuning: Tuning) -> Result<(), String> {
        let outcome = pollster::block_on(run_tuned(&self.gpu, case, tuning));
        let outcome = outcome.map_err(|error| format!("{} {}: {error}", case.op(), case.shape()))?;
        match outcome.failure {
            Some(failure) => Err(format!("{} {} with {tuning:?}: {failure}", case.op(), case.shape())),
            None => Ok(()),
        }
    }

    /// The case with the variant that a GPU gets and with another, drawn by the shape: each costs a compilation.
    fn run_two(&self, case: &Seeded) -> Result<(), String> {
        let candidates = Tuning::candidates(self.gpu.traits());
        let drawn = case.shape().bytes().fold(7usize, |hash, b| hash.wrapping_mul(31).wrapping_add(usize::from(b))) % candidates.len();
        self.run(case, Tuning::baseline())?;
        self.run(case, candidates[drawn])
    }

    /// The self-test's cases of a share of all kernels with a share of all variants.
    fn standard(&self, variants: impl Fn(usize) -> bool, kernels: impl Fn(usize) -> bool) {
        let cases = by_kernel();
        for (v, tuning) in Tuning::candidates(self.gpu.traits()).into_iter().enumerate().filter(|(v, _)| variants(*v)) {
            for (_, cases) in cases.values().enumerate().filter(|(k, _)| kernels(*k)) {
                let all = cases.iter().filter(|_| complete());
                let sampled = sample(cases, v).filter(|_| !complete());
                all.chain(sampled).for_each(|case| self.run(case, tuning).unwrap_or_else(|error| panic!("{error}")));
            }
        }
    }

    fn check<S: Strategy>(&self, cases: u32, strategy: S, case: impl Fn(S::Value) -> Option<Seeded>)
    where
        S::Value: Debug,
    {
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
        // The same cases every time: a failure can be run again.
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let result = runner.run(&strategy, |value| {
            let case = case(value).ok_or_else(|| TestCaseError::reject("no window fits"))?;
            self.run_two(&case).map_err(TestCaseError::fail)
        });
        result.unwrap_or_else(|error| panic!("{error}"));
    }
}

fn image(channels: std::ops::Range<u32>, most: u32) -> impl Strategy<Value = Shape> {
    (channels, 1..most, 1..most).prop_map(|(channels, height, width)| Shape { channels, height, width })
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Forward), Just(Direction::BackwardData), Just(Direction::BackwardWeight)]
}

fn scale() -> impl Strategy<Value = f32> {
    prop_oneof![Just(1.0), Just(8.0)]
}

fn all(checked_shaders: bool, cases: u32) {
    let bench = Bench::new(checked_shaders);
    // Widths of few lengths, so that the tiles are few; odd, even, one and prime among them.
    let widths = prop_oneof![Just(1u32), Just(5), Just(8), Just(13)];
    let geometry = (1u32..6, prop_oneof![Just(1u32), Just(3), Just(5)], 1u32..3, 0u32..3);
    bench.check(
        cases,
        (direction(), 1usize..8, image(1..10, 11), widths, 1u32..10, geometry, scale(), any::<bool>(), any::<u64>()),
        |(direction, batch, input, width, out_channels, (kernel_height, kernel_width, stride, padding), scale, input_per_slot, seed)| {
            let input = Shape { width, ..input };
            let kernel = (kernel_height, kernel_width);
            let statistics = seed % 2 == 1;
            let case = ConvCase { direction, batch, input, out_channels, kernel, stride, padding, scale, input_per_slot, statistics };
            case.is_valid().then(|| Seeded::new(case, seed))
        },
    );
    bench.check(cases, (direction(), 1usize..21, image(1..10, 5), 1u32..20, scale(), any::<u64>()), |c| {
        let (direction, batch, from, out_features, scale, seed) = c;
        Some(Seeded::new(LinearCase { direction, batch, from, out_features, scale, sgd: seed % 2 == 1 }, seed))
    });
    let means = prop_oneof![Just(0.0f32), Just(3.0), Just(-50.0)];
    let norm = (any::<bool>(), 1usize..9, image(1..10, 20), any::<bool>(), 1u32..4, means, scale(), any::<bool>(), any::<u64>());
    bench.check(cases, norm, |(backward, batch, shape, relu, pool, mean, scale, running, seed)| {
        // Over a single value the deviation is all rounding: a batch norm of one is never trained.
        (pool <= shape.height.min(shape.width) && (batch > 2 || shape.height * shape.width > 3))
            .then(|| Seeded::new(BatchNormCase { backward, batch, shape, relu, pool, features: false, mean, scale, running }, seed))
    });
    let means = prop_oneof![Just(0.0f32), Just(3.0), Just(-50.0)];
    bench.check(cases / 2, (any::<bool>(), 3usize..40, 1u32..70, any::<bool>(), means, scale(), any::<bool>(), any::<u64>()), |c| {
        let (backward, batch, channels, relu, mean, scale, running, seed) = c;
        let shape = Shape { channels, height: 1, width: 1 };
        Some(Seeded::new(BatchNormCase { backward, batch, shape, relu, pool: 1, features: true, mean, scale, running }, seed))
    });
    bench.check(cases, (any::<bool>(), 1usize..6, image(1..10, 14), 1u32..4, 1u32..4, 0u32..2, any::<u64>()), |c| {
        let (backward, batch, input, kernel, stride, padding, seed) = c;
        let case = MaxPoolCase { backward, batch, input, kernel, stride, padding };
        case.is_valid().then(|| Seeded::new(case, seed))
    });
    bench.check(cases / 2, (any::<bool>(), 1usize..6, image(1..10, 14), 1u32..15, 1u32..15, any::<u64>()), |c| {
        let (backward, batch, input, height, width, seed) = c;
        let output = (height.min(input.height), width.min(input.width));
        Some(Seeded::new(AveragePoolCase { backward, batch, input, output }, seed))
    });
    bench.check(cases / 4, (1usize..6, image(1..10, 14), any::<bool>(), scale(), any::<u64>()), |(batch, shape, two, factor, seed)| {
        Some(Seeded::new(ResidualAddCase { batch, shape, two, factor }, seed))
    });
    bench.check(cases / 4, (any::<bool>(), 1usize..6, image(1..10, 14), any::<u64>()), |(backward, batch, shape, seed)| {
        Some(Seeded::new(ReluCase { backward, batch, shape }, seed))
    });
    let classes = prop_oneof![Just(1usize), Just(2), Just(10), Just(13), Just(70)];
    bench.check(cases / 2, (1usize..150, 1usize..40, classes, any::<bool>(), any::<bool>(), 1.0f32..20.0, any::<u64>()), |c| {
        let (batch, in_features, classes, masked, summed, size, seed) = c;
        Some(Seeded::new(LossCase { batch, in_features, classes, masked, summed, share: [1.0, 0.25][seed as usize % 2], size }, seed))
    });
    bench.check(cases / 2, (1usize..7, image(1..5, 12), 1u32..30, 0u32..4, any::<u64>()), |c| {
        let (batch, shape, images, step, seed) = c;
        let (padding, flip, rotation) = ((seed >> 8) as u32 % 5, seed & 1 == 1, ((seed >> 16) % 181) as f32);
        let augment = (seed & 2 == 2).then_some(Augment { padding, flip, rotation, seed: seed as u32 });
        Some(Seeded::new(GatherCase { batch, shape, images, step, augment }, seed))
    });
    bench.check(cases / 2, (1usize..20, 1usize..20, 1usize..9, any::<u64>()), |c| {
        let (batch, classes, bases, seed) = c;
        Some(Seeded::new(EnsembleCase { batch, classes, bases }, seed))
    });
    bench.check(cases / 4, (1u32..200, 1usize..8, any::<u64>()), |(length, steps, seed)| {
        let start = seed as u32 % length;
        let skip = (start, (seed >> 32) as u32 % (length - start));
        Some(Seeded::new(SgdCase { length, skip, two: seed % 2 == 1, steps }, seed))
    });
    bench.check(cases / 4, (1usize..9, 1usize..40, 1usize..9, any::<u64>()), |(batch, classes, bases, seed)| {
        Some(Seeded::new(EnsembleGradientCase { batch, classes, bases, shift: seed as u32 % 9 }, seed))
    });
    let attack = (any::<bool>(), 1usize..7, 0usize..5, image(1..5, 9), 0.0f32..0.6, 0.0f32..0.6, any::<u64>());
    bench.check(cases / 4, attack, |(step, batch, bases, shape, epsilon, alpha, seed)| {
        Some(Seeded::new(AttackCase { step, batch, bases, shape, epsilon, alpha }, seed))
    });
    let geometry = (1u32..6, prop_oneof![Just(1u32), Just(3), Just(5)], 1u32..3, 0u32..3);
    bench.check(cases / 4, (1usize..7, image(1..5, 23), 1u32..10, geometry, any::<u64>()), |(batch, input, out_channels, g, seed)| {
        let (kernel_height, kernel_width, stride, padding) = g;
        let case = AttackStepCase { batch, input, out_channels, kernel: (kernel_height, kernel_width), stride, padding };
        case.is_valid().then(|| Seeded::new(case, seed))
    });
    let mix = (1u32..100, any::<bool>(), any::<bool>(), any::<bool>(), 0.0f32..=1.0, any::<u64>());
    bench.check(cases / 4, mix, |(blocks, dual, running, own_rows, lambda, seed)| {
        let norms = Norms { dual, tracked: running || seed % 2 == 1 };
        Some(Seeded::new(BatchNormMixCase { blocks, norms, running, own_rows, lambda }, seed))
    });
    bench.check(cases / 8, (1u32..100, any::<bool>(), 0u32..6, any::<u64>()), |(blocks, cumulative, step, seed)| {
        Some(Seeded::new(RunningStatisticsCase { blocks, cumulative, step }, seed))
    });
    bench.check(cases / 8, (1u32..100, 0u32..3, any::<u64>()), |(length, kind, seed)| {
        Some(Seeded::new(ClientRowsCase { keep: kind == 1, by_base: kind == 2, length }, seed))
    });
    bench.check(cases / 4, (1u32..200, any::<u64>()), |(length, seed)| Some(Seeded::new(CopyCase { length }, seed)));
    bench.check(cases / 4, (1u32..200, any::<u64>()), |(length, seed)| Some(Seeded::new(AverageCase { length }, seed)));
    bench.check(cases / 8, (1u32..200, 0usize..4, any::<u64>()), |(length, rule, seed)| {
        let rule = [None, Some(Rule::Adagrad), Some(Rule::Adam), Some(Rule::Yogi)][rule];
        Some(Seeded::new(ServerStepCase { rule, length }, seed))
    });
    bench.check(cases / 8, (1u32..200, any::<bool>(), any::<u64>()), |(length, update, seed)| {
        Some(Seeded::new(ControlVariatesCase { update, length }, seed))
    });
    bench.check(cases / 8, (0u32..9, 1u32..300, 0u32..5, 1u32..9, any::<u64>()), |(start, length, more, rows, seed)| {
        Some(Seeded::new(DistanceCase { kernel: RowDistance { start, length, stride: start + length + more, rows } }, seed))
    });
}

#[test]
fn random_shapes_with_trusted_shaders() {
    all(false, some(120));
}

#[test]
fn random_shapes_with_bounds_checks() {
    all(true, some(60));
}

#[test]
fn the_self_tests_cases_with_bounds_checks() {
    Bench::new(true).standard(|v| v == 0, |kernel| kernel % 2 == 0);
}

#[test]
fn the_self_tests_other_cases_with_bounds_checks() {
    Bench::new(true).standard(|v| v == 0, |kernel| kernel % 2 == 1);
}

#[test]
fn the_self_tests_cases_with_every_other_variant() {
    Bench::new(false).standard(|v| v % 2 == 1, |_| true);
}

#[test]
fn the_self_tests_cases_with_the_other_variants() {
    Bench::new(false).standard(|v| v % 2 == 0 && v > 0, |_| true);
}

/// Mesa's software driver takes its subgroups' size from the environment; with other drivers these are the cases once more. The self-test as
/// it is passes as the program's (tests/cli.rs).
#[test]
fn the_self_tests_cases_with_smaller_subgroups() {
    let size = ("LP_NATIVE_VECTOR_WIDTH", "128");
    if std::env::var_os(size.0).is_none() {
        // The driver asks for it when it is loaded: in a process of its own.
        let own = std::env::current_exe().expect("this program");
        let mut again = Command::new(own);
        again.args(["--exact", "numeric::the_self_tests_cases_with_smaller_subgroups"]).env(size.0, size.1);
        let done = again.output().expect("started");
        let told = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&done.stderr));
        return;
    }
    let bench = Bench::new(false);
    if complete() {
        let report = pollster::block_on(self_test(&bench.gpu, |_| {})).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(report.failed(), 0, "{report}");
    } else {
        bench.standard(|v| v == 0, |_| true);
    }
}

#[test]
fn every_entry_point_has_a_case() {
    // Of the two kinds of devices: each has entry points that the other has no use for.
    let cpu = Tuning::new(Traits { is_cpu: true, subgroup: Some(8), workgroup_memory: 32_768 });
    let both = [Tuning::baseline(), cpu];
    let (mut covered, mut missed) = (BTreeSet::new(), Vec::new());
    for tuning in both {
        let points: Vec<Vec<Vec<_>>> =
            by_kernel().values().map(|cases| cases.iter().map(|case| case.trial(tuning).entry_points()).collect()).collect();
        let all: BTreeSet<_> = points.iter().flatten().flatten().copied().collect();
        for v in 0..SAMPLED {
            let sampled: BTreeSet<_> = points.iter().flat_map(|cases| sample(cases, v)).flatten().copied().collect();
            missed.extend(all.difference(&sampled).map(|point| (v, tuning.subgroup, *point)));
        }
        covered.extend(all);
    }
    assert!(missed.is_empty(), "(sample, subgroup, entry point): {missed:?} have no case in the sample: give them cases in a row");
    let mut found = 0;
    for shader in splitmix_fl::kernels::shader::ALL.iter().filter(|s| s.name != "ceilings") {
        let module = naga::front::wgsl::parse_str(&shader.text()).unwrap_or_else(|error| panic!("{}: {error}", shader.name));
        for entry in module.entry_points {
            assert!(covered.iter().any(|c| *c == (shader.name, entry.name.as_str())), "{}::{} has no case", shader.name, entry.name);
            found += 1;
        }
    }
    assert_eq!(found, covered.len(), "entry points in the files and in the cases");
}
