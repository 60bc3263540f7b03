//! How fast the engine is on an adapter, beside what that adapter can do.
//!
//! A figure alone says little about a machine nobody has seen, so the adapter's own ceilings are measured first:
//! multiply–adds in registers, a copy, a dispatch that does nothing. Everything after is printed with the least time
//! that its operations and its bytes would take at those ceilings. Images are noise from a fixed seed, and the learning
//! rate is 0, so that the values stay ordinary however often a step is repeated: the time depends on neither.
//!
//! Every time is the best of several: what else runs on the machine can only add to it.

mod ceilings;
mod clock;
mod report;
mod table;
mod workload;

pub use report::{
    AdversarialCost, BenchReport, Bound, Case, Ceilings, Cost, KernelTable, KernelTime, Progress, Setting, Start, VariantTable,
};

use crate::engine::{
    Adversarial, Batch, ClientWork, Ensemble, EvaluateOptions, Evaluator, Limit, LocalTraining, Staging, TrainOptions, Trainer,
};
use crate::fl::{Attack, Ratio};
use crate::gpu::{Active, Gpu, Program, ProgramDescriptor};
use crate::kernels::Tuning;
use crate::plan::PhaseId;
use crate::plan::input_gradient::{InputGradientPlan, InputGradientSetting};
use crate::run::config::NetworkChoice;
use crate::{Error, Result};
use clock::Clock;
use report::Work;
use std::time::Instant;
use workload::Workload;

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchOptions {
    /// Numbers of lanes (replicas trained at once) to measure steps and rounds with.
    pub lanes: Vec<u32>,
    /// Number of lanes with which every dispatch is timed by itself, in `lanes` or not; 0 for none.
    pub kernels_at: u32,
    /// Images of a mini-batch, at least 2.
    pub batch: u32,
    /// The network.
    pub network: NetworkChoice,
    /// Width of a base.
    pub base_width: Ratio,
    /// Bases of the ensemble.
    pub bases: u32,
    /// Local steps of a round.
    pub steps: u32,
    /// Most times that a measurement is repeated; slow ones are repeated less.
    pub repeats: u32,
    /// How much of the GPU to take, all programs together. Lanes beyond it run in waves.
    pub limit: Limit,
    /// Measure the validation of 50 clients of 111 images each.
    pub validation: bool,
    /// Time the kernels of a step with every variant, at `kernels_at` lanes.
    pub variants: bool,
    /// When the process started, and how long it took to open the device, in seconds.
    pub started: Option<(Instant, f64)>,
}

impl BenchOptions {
    /// The paper's setting, with about as many lanes as a round of 50 clients has (185), or few on a driver that runs on the CPU.
    pub fn for_adapter(gpu: &Gpu) -> BenchOptions {
        let most = if gpu.is_cpu() { 8 } else { 190 };
        BenchOptions {
            lanes: if gpu.is_cpu() { vec![1, 2, 4, 8] } else { vec![1, 8, 64, 190] },
            kernels_at: most,
            batch: 32,
            network: NetworkChoice::Named("digits".into()),
            base_width: Ratio::EIGHTH,
            bases: 8,
            steps: 4,
            repeats: 7,
            limit: Limit::default(),
            validation: false,
            variants: false,
            started: None,
        }
    }

    fn check(&self) -> Result<()> {
        let fail = |why: &str| Err(Error::Config(format!("benchmark: {why}")));
        if self.lanes.contains(&0) {
            return fail("0 lanes have nothing to measure: ask for 1 or more");
        }
        if self.lanes.is_empty() && self.kernels_at == 0 {
            return fail("nothing to measure: give at least one number of lanes");
        }
        if self.batch < 2 {
            return fail("the batch size must be at least 2: batch norm normalises over the batch");
        }
        if self.bases == 0 || self.steps == 0 || self.repeats == 0 {
            return fail("bases, steps and repeats must be at least 1");
        }
        Ok(())
    }
}

/// Measures the adapter and the engine on it. `progress` is called with what is about to be measured, and with every section of the page as soon
/// as it is known: a wide network on a slow adapter takes long, and whoever stops it keeps what there is.
///
/// # Errors
/// [`Error::Config`] for options that make no sense or do not fit the adapter, [`Error::Gpu`] for the device's, and
/// where what was timed did not count the samples it should have.
pub async fn run(gpu: &Gpu, options: &BenchOptions, mut progress: impl FnMut(Progress)) -> Result<BenchReport> {
    options.check()?;
    let workload = Workload::new(gpu, options)?;
    let start = match options.started {
        Some((began, device)) => {
            progress(Progress::Next("the first step"));
            Some(start(gpu, &workload, began, device).await?)
        }
        None => None,
    };
    progress(Progress::Next("the adapter's ceilings"));
    let mut clock = Clock::new(gpu, options.repeats);
    let ceilings = ceilings::measure(&mut clock, options.limit).await?;
    let mut report = BenchReport {
        version: env!("CARGO_PKG_VERSION").into(),
        adapter: gpu.describe(),
        setting: Setting {
            network: workload.network.name.clone(),
            base_width: options.base_width,
            parameters: workload.network.parameters(),
            macs: workload.network.macs(),
            bases: options.bases,
            batch: options.batch,
            steps: options.steps,
            repeats: options.repeats,
        },
        clock: clock.describe(),
        ceilings,
        // Until the end is there.
        ceilings_again: ceilings,
        start,
        kernels: None,
        variants: None,
        cases: Vec::new(),
    };
    progress(Progress::Section(&report.head()));
    if options.kernels_at > 0 {
        let lanes = options.kernels_at;
        progress(Progress::Next(&format!("{lanes} lanes, every dispatch")));
        let mut bench = CaseBench::new(&clock, &ceilings, &workload, lanes).await?;
        report.kernels = Some(bench.kernels().await?);
        progress(Progress::Section(&report.kernels_page()));
        if options.variants {
            progress(Progress::Next(&format!("{lanes} lanes, every variant")));
            report.variants = Some(bench.variants().await?);
            progress(Progress::Section(&report.variants_page()));
        }
    }
    let mut lanes = options.lanes.clone();
    lanes.extend((options.kernels_at > 0).then_some(options.kernels_at));
    lanes.sort_unstable();
    lanes.dedup();
    for lanes in lanes {
        progress(Progress::Next(&format!("{lanes} lanes, steps and rounds")));
        let case = CaseBench::new(&clock, &ceilings, &workload, lanes).await?.case().await?;
        progress(Progress::Section(&report.case_page(&case)));
        report.cases.push(case);
    }
    progress(Progress::Next("the ceilings again"));
    report.ceilings_again = ceilings::measure(&mut clock, options.limit).await?;
    progress(Progress::Section(&report.end()));
    Ok(report)
}

/// One round of one local step, with the programs that a run would make for it, timed from the start of the process.
async fn start(gpu: &Gpu, workload: &Workload, began: Instant, device: f64) -> Result<Start> {
    let lanes = workload.options.kernels_at.max(workload.options.lanes.iter().copied().max().unwrap_or(1));
    let mut trainer = workload.trainer(gpu, lanes, None).await?;
    let program = began.elapsed().as_secs_f64();
    let mut work = workload.clients(lanes);
    work.iter_mut().for_each(|c| c.batches.truncate(1));
    let staging = Staging::new(gpu, Trainer::staging_bytes(lanes));
    trainer.round(gpu, &workload.server, &work, 0.0, &staging, 0)?;
    staging.read(gpu).await?;
    Ok(Start { device, program, first_step: began.elapsed().as_secs_f64() })
}

impl Workload {
    /// What the user allows, after what all programs share: half for training, a quarter each for the other two.
    fn limit(&self, eighths: u64) -> Limit {
        self.options.limit.share(self.common_bytes(), eighths)
    }

    fn common_bytes(&self) -> u64 {
        // Bases and their averages.
        self.images.bytes() + 2 * self.server.bytes()
    }

    async fn trainer(&self, gpu: &Gpu, lanes: u32, tuning: Option<Tuning>) -> Result<Trainer> {
        Trainer::new(gpu, &self.network, &self.server, &self.images, self.train_options(lanes, tuning)).await
    }

    fn train_options(&self, lanes: u32, tuning: Option<Tuning>) -> TrainOptions {
        let o = &self.options;
        let training =
            LocalTraining { batch: o.batch, steps: o.steps, scale: (1.0 / o.base_width.as_f64()) as f32, ..LocalTraining::default() };
        TrainOptions { limit: self.limit(4), tuning, ..TrainOptions::new(training, lanes) }
    }

    async fn evaluator(&self, gpu: &Gpu, batches: usize) -> Result<Evaluator> {
        let o = &self.options;
        let evaluate = EvaluateOptions {
            batch: o.batch,
            widths: self.widths(),
            ensemble: Ensemble::default(),
            batches: batches as u32,
            limit: self.limit(2),
            guarded: false,
        };
        Evaluator::new(gpu, &self.network, &self.server, &self.images, evaluate).await
    }

    /// The program of input gradients for as many of the lanes as fit, and what it has at work.
    async fn input_gradient(&self, gpu: &Gpu, work: &[ClientWork], lanes: u32) -> Result<(Program, PhaseId, Vec<Active>)> {
        let o = &self.options;
        let plan_for = |batch, slots| {
            let mut p = InputGradientPlan::new(&InputGradientSetting {
                network: &self.network,
                batch,
                images_per_chunk: self.images.images_per_chunk,
                slot_capacity: slots,
                tuning: gpu.tuning(),
            });
            p.plan.share_memory();
            p
        };
        let footprint = |batch| plan_for(batch, lanes).plan.footprint();
        let most = crate::engine::wave(gpu, self.limit(2), &footprint, o.batch, 1, u64::from(lanes))?;
        let waves = waves(work, lanes, most);
        let plan = plan_for(o.batch, most);
        let external = crate::engine::external(&self.images, &self.server, plan.images, plan.labels, plan.server);
        let descriptor = ProgramDescriptor { lanes: most, slots: most, steps: 1, external, guarded: false };
        let (lane_table, schedule, phase) = (plan.lanes, plan.schedule, plan.phase);
        let program = Program::new(gpu, plan.plan, descriptor).await?;
        let wave = workload::first_lanes(work, waves[0].lanes);
        let table: Vec<u32> =
            wave.iter().enumerate().flat_map(|(slot, c)| c.bases.iter().flat_map(move |(b, _)| [slot as u32, *b, *b, 0])).collect();
        let rows: Vec<u32> = wave.iter().flat_map(|c| std::iter::once(o.batch).chain(c.batches[0].iter().copied())).collect();
        program.write(gpu, lane_table, 0, bytemuck::cast_slice(&table));
        program.write(gpu, schedule, 0, bytemuck::cast_slice(&rows));
        Ok((program, phase, waves))
    }
}

/// The least seconds of an evaluation of these batches.
async fn evaluations(clock: &Clock<'_>, evaluator: &mut Evaluator, batches: &[Batch], staging: &Staging, offset: u64) -> Result<f64> {
    let measure = async |n| clock.wall(|| (0..n).try_for_each(|_| evaluator.submit(clock.gpu, batches, staging, offset)));
    clock.best(measure).await
}

/// What each wave has at work where `most` lanes fit one: the same split that the trainer makes. A wave that begins inside
/// a client is taken for one that does not.
fn waves(work: &[ClientWork], lanes: u32, most: u32) -> Vec<Active> {
    let per_wave = lanes.div_ceil(lanes.div_ceil(most));
    let active = |lanes| Active { lanes, slots: workload::first_lanes(work, lanes).len() as u32, step: 0 };
    (0..lanes).step_by(per_wave as usize).map(|first| active(per_wave.min(lanes - first))).collect()
}

/// The programs for one number of lanes.
struct CaseBench<'a> {
    clock: &'a Clock<'a>,
    ceilings: &'a Ceilings,
    workload: &'a Workload,
    work: Vec<ClientWork>,
    /// What each wave has at work.
    waves: Vec<Active>,
    trainer: Trainer,
    evaluator: Evaluator,
    /// One batch of images a client's evaluation.
    batches: Vec<Batch>,
    staging: Staging,
    lanes: u32,
}

impl<'a> CaseBench<'a> {
    async fn new(clock: &'a Clock<'a>, ceilings: &'a Ceilings, workload: &'a Workload, lanes: u32) -> Result<CaseBench<'a>> {
        let gpu = clock.gpu;
        let trainer = workload.trainer(gpu, lanes, None).await?;
        let batches = workload.evaluation(lanes);
        let evaluator = workload.evaluator(gpu, batches.len()).await?;
        let staging = Staging::new(gpu, Trainer::staging_bytes(lanes) + evaluator.staging_bytes(batches.len()));
        let work = workload.clients(lanes);
        let waves = waves(&work, lanes, trainer.lanes_per_wave());
        Ok(CaseBench { clock, ceilings, workload, work, waves, trainer, evaluator, batches, staging, lanes })
    }

    /// A round of training and what it counted.
    async fn round(&mut self, evaluate: bool) -> Result<()> {
        let gpu = self.clock.gpu;
        self.trainer.round(gpu, &self.workload.server, &self.work, 0.0, &self.staging, 0)?;
        if evaluate {
            self.evaluator.submit(gpu, &self.batches, &self.staging, Trainer::staging_bytes(self.lanes))?;
        }
        let bytes = self.staging.read(gpu).await?;
        let (trained, evaluated) = bytes.split_at(Trainer::staging_bytes(self.lanes) as usize);
        let o = &self.workload.options;
        let lane_samples = o.steps * o.batch;
        for t in Trainer::totals(&self.work, trained).iter().flatten() {
            self.expect(t.samples, lane_samples, t.loss, "training")?;
        }
        if evaluate {
            let batches = self.evaluator.totals(evaluated);
            for t in batches.iter().take(self.batches.len()).flatten() {
                self.expect(t.samples, o.batch, t.loss, "evaluation")?;
            }
        }
        Ok(())
    }

    /// Refuses to time what did not do its work.
    fn expect(&self, samples: u32, wanted: u32, loss: f32, what: &str) -> Result<()> {
        if samples == wanted && loss.is_finite() {
            return Ok(());
        }
        Err(Error::Gpu(format!(
            "{what} of {} lanes counted {samples} samples of {wanted} with a loss of {loss}: this adapter computes wrongly, run the self-test",
            self.lanes
        )))
    }

    /// Leaves the buffers of both programs as a full wave's work leaves them, so that phases can be repeated by themselves.
    async fn fill(&mut self) -> Result<()> {
        let wave = workload::first_lanes(&self.work, self.waves[0].lanes);
        let gpu = self.clock.gpu;
        self.trainer.round(gpu, &self.workload.server, &wave, 0.0, &self.staging, 0)?;
        self.evaluator.submit(gpu, &self.batches, &self.staging, Trainer::staging_bytes(self.lanes))?;
        self.staging.read(gpu).await.map(|_| ())
    }

    /// Every dispatch of a wave's training and of its evaluation, each by itself.
    async fn kernels(&mut self) -> Result<KernelTable> {
        self.fill().await?;
        let training = self.waves[0];
        let evaluation = self.evaluation_wave();
        let mut table =
            KernelTable { lanes: training.lanes, clients: training.slots, evaluation_lanes: evaluation.lanes, rows: Vec::new() };
        let phases = [
            (self.trainer.program(), self.trainer.plan.start, training),
            (self.trainer.program(), self.trainer.plan.step, training),
            (self.trainer.program(), self.trainer.plan.finish, training),
            (self.evaluator.program(), self.evaluator.phase(), evaluation),
        ];
        for (program, phase, active) in phases {
            let times = self.clock.dispatches(program, phase, active).await?;
            for (dispatch, seconds) in program.plan.phase(phase).iter().zip(times) {
                let work = Work::of_dispatch(self.ceilings, dispatch, active);
                table.rows.push(KernelTime {
                    phase: program.plan.name(phase).into(),
                    dispatch: dispatch.label.clone(),
                    kernel: format!("{}::{}", dispatch.kernel.shader.name, dispatch.kernel.entry),
                    cost: Cost::new(self.ceilings, work, seconds, 1, 0),
                });
            }
        }
        Ok(table)
    }

    /// What the first wave of an evaluation has at work.
    fn evaluation_wave(&self) -> Active {
        let slots = self.evaluator.slots_per_wave().min(self.batches.len() as u32);
        Active { lanes: slots * self.workload.options.bases, slots, step: 0 }
    }

    /// Steps, evaluations and rounds.
    async fn case(&mut self) -> Result<Case> {
        self.fill().await?;
        let bases = self.workload.options.bases;
        let steps = u64::from(self.workload.options.steps);
        let slots = self.batches.len() as u32;
        let of_training = |phase| Work::of_waves(self.ceilings, self.trainer.program(), phase, &self.waves);
        let (start, step_work, finish) = {
            let plan = &self.trainer.plan;
            (of_training(plan.start), of_training(plan.step), of_training(plan.finish))
        };
        let evaluation_work = Work::of_waves(
            self.ceilings,
            self.evaluator.program(),
            self.evaluator.phase(),
            &[Active { lanes: slots * bases, slots, step: 0 }],
        );
        let round_work = start + step_work * steps + finish;

        let step = self.phase(self.trainer.program(), self.trainer.plan.step, &self.waves).await?;

        let offset = Trainer::staging_bytes(self.lanes);
        let seconds = evaluations(self.clock, &mut self.evaluator, &self.batches, &self.staging, offset).await?;
        let evaluation = Cost::new(self.ceilings, evaluation_work, seconds, self.evaluator.dispatches, self.evaluator.submits);

        let seconds = self.rounds(false).await?;
        let round = Cost::new(self.ceilings, round_work, seconds, self.trainer.dispatches, self.trainer.submits);
        let seconds = self.rounds(true).await?;
        let dispatches = self.trainer.dispatches + self.evaluator.dispatches;
        let submits = self.trainer.submits + self.evaluator.submits;
        let round_and_validation = Cost::new(self.ceilings, round_work + evaluation_work, seconds, dispatches, submits);
        let (input_gradient, input_gradient_bytes) = self.input_gradient().await?;
        let adversarial = self.adversarial().await?;
        let validation = if self.workload.options.validation { Some(self.validation().await?) } else { None };
        Ok(Case {
            lanes: self.lanes,
            clients: self.work.len() as u32,
            waves: self.waves.len() as u32,
            lanes_per_wave: self.waves[0].lanes,
            evaluation_lanes: slots * bases,
            training_bytes: self.trainer.program().bytes,
            evaluation_bytes: self.evaluator.program().bytes,
            step,
            input_gradient,
            input_gradient_bytes,
            adversarial,
            common_bytes: self.workload.common_bytes(),
            evaluation,
            round,
            round_and_validation,
            validation,
        })
    }

    /// Forward and input gradient of all lanes, and the bytes of its program.
    async fn input_gradient(&self) -> Result<(Cost, u64)> {
        let gpu = self.clock.gpu;
        let (program, phase, waves) = self.workload.input_gradient(gpu, &self.work, self.lanes).await?;
        Ok((self.phase(&program, phase, &waves).await?, program.bytes))
    }

    /// A phase of a program in these waves, submitted as in a round: one after the other, with no wait between.
    async fn phase(&self, program: &Program, phase: PhaseId, waves: &[Active]) -> Result<Cost> {
        let seconds = self.clock.best(async |n| {
            self.clock.wall(|| {
                (0..n).flat_map(|_| waves).for_each(|wave| submit(self.clock.gpu, program, phase, *wave));
                Ok(())
            })
        });
        let work = Work::of_waves(self.ceilings, program, phase, waves);
        let dispatches = program.plan.phase(phase).len() * waves.len();
        Ok(Cost::new(self.ceilings, work, seconds.await?, dispatches as u64, waves.len() as u64))
    }

    /// A step of adversarial training: the attack of the paper, then clean and attacked images; and a standard step, timed in turn
    /// with it.
    async fn adversarial(&mut self) -> Result<AdversarialCost> {
        let gpu = self.clock.gpu;
        let (network, server) = self.workload.dual(gpu)?;
        let adversarial = Adversarial::by(&Attack::TRAINING, 0.5, 1);
        let steps = adversarial.steps;
        let mut options = self.workload.train_options(self.lanes, None);
        options.training.adversarial = Some(adversarial);
        options.limit = self.workload.limit(2);
        let mut trainer = Trainer::new(gpu, &network, &server, &self.workload.images, options).await?;
        let waves = waves(&self.work, self.lanes, trainer.lanes_per_wave());
        let wave = workload::first_lanes(&self.work, waves[0].lanes);
        trainer.round(gpu, &server, &wave, 0.0, &self.staging, 0)?;
        let bytes = self.staging.read(gpu).await?;
        for t in Trainer::totals(&wave, &bytes).iter().chain(&Trainer::adversarial_totals(&wave, &bytes)).flatten() {
            let o = &self.workload.options;
            self.expect(t.samples, o.steps * o.batch, t.loss, "adversarial training")?;
        }
        let (program, step) = (trainer.program(), trainer.plan.step);
        let (attack, attack_step) = trainer.plan.attack.expect("adversarial training");
        let of = |phase| Work::of_waves(self.ceilings, program, phase, &waves);
        let count = |phase| (program.plan.phase(phase).len() * waves.len()) as u64;
        let submits = waves.len() as u64;
        let attack_cost = self.phase(program, attack_step, &waves).await?;
        // In turn, and as many standard steps at a time as last about as long, so that what else runs on the machine slows both
        // alike: the median of their ratios.
        let adversarial = |wave: &Active| {
            submit(gpu, program, attack, *wave);
            (0..steps).for_each(|_| submit(gpu, program, attack_step, *wave));
            submit(gpu, program, step, *wave);
        };
        let (mut whole, mut ratios) = (f64::INFINITY, Vec::new());
        for _ in 0..self.workload.options.repeats.max(3) {
            let one = self.clock.wall(|| {
                waves.iter().for_each(adversarial);
                Ok(())
            })?;
            let standard = self.clock.wall(|| {
                (0..STANDARD_STEPS).flat_map(|_| &self.waves).for_each(|w| submit(gpu, self.trainer.program(), self.trainer.plan.step, *w));
                Ok(())
            })?;
            whole = whole.min(one);
            ratios.push(one / standard * f64::from(STANDARD_STEPS));
        }
        ratios.sort_by(f64::total_cmp);
        let work = of(attack) + of(attack_step) * u64::from(steps) + of(step);
        let dispatches = count(attack) + u64::from(steps) * count(attack_step) + count(step);
        let step = Cost::new(self.ceilings, work, whole, dispatches, (u64::from(steps) + 2) * submits);
        let by_operations =
            work.flops as f64 / Work::of_waves(self.ceilings, self.trainer.program(), self.trainer.plan.step, &self.waves).flops as f64;
        Ok(AdversarialCost {
            step,
            attack_step: attack_cost,
            steps,
            standard_steps: ratios[ratios.len() / 2],
            by_operations,
            bytes: program.bytes,
        })
    }

    /// Validation of the paper's 50 clients with 111 images each.
    async fn validation(&self) -> Result<Cost> {
        let gpu = self.clock.gpu;
        let batches = self.workload.validation(50, 111);
        let mut evaluator = self.workload.evaluator(gpu, batches.len()).await?;
        let staging = Staging::new(gpu, evaluator.staging_bytes(batches.len()));
        let slots = batches.len() as u32;
        // By the images that there are: the plan counts full batches.
        let full = slots * self.workload.options.batch;
        let images: usize = batches.iter().map(|b| b.images.len()).sum();
        let all = Active { lanes: slots * self.workload.options.bases, slots, step: 0 };
        let planned = Work::of_waves(self.ceilings, evaluator.program(), evaluator.phase(), &[all]);
        let part = |n: u64| (n as f64 * images as f64 / f64::from(full)) as u64;
        let work = Work { flops: part(planned.flops), bytes: part(planned.bytes), floor: planned.floor * images as f64 / f64::from(full) };
        let seconds = evaluations(self.clock, &mut evaluator, &batches, &staging, 0).await?;
        Ok(Cost::new(self.ceilings, work, seconds, evaluator.dispatches, evaluator.submits))
    }

    /// The convolutions and linear layers of a step with every variant of their kernels.
    async fn variants(&mut self) -> Result<VariantTable> {
        let gpu = self.clock.gpu;
        let tunings = Tuning::candidates(gpu.traits());
        let wave = workload::first_lanes(&self.work, self.waves[0].lanes);
        let mut rows: Vec<(String, Vec<Option<f64>>)> = Vec::new();
        // Turn and turn about, so that what else runs on the machine slows all alike.
        for (i, tuning) in (0..3).flat_map(|_| tunings.iter().enumerate()) {
            let mut trainer = self.workload.trainer(gpu, self.waves[0].lanes, Some(*tuning)).await?;
            trainer.round(gpu, &self.workload.server, &wave, 0.0, &self.staging, 0)?;
            self.staging.read(gpu).await?;
            let times = self.clock.dispatches(trainer.program(), trainer.plan.step, self.waves[0]).await?;
            for (dispatch, seconds) in trainer.program().plan.phase(trainer.plan.step).iter().zip(times) {
                let has_variants = ["conv2d", "linear"].iter().any(|p| dispatch.kernel.shader.name.starts_with(p));
                if !has_variants {
                    continue;
                }
                let row = match rows.iter().position(|(label, _)| *label == dispatch.label) {
                    Some(row) => row,
                    None => {
                        rows.push((dispatch.label.clone(), vec![None; tunings.len()]));
                        rows.len() - 1
                    }
                };
                let best = &mut rows[row].1[i];
                *best = Some(best.map_or(seconds, |b| b.min(seconds)));
            }
        }
        let variants = tunings.iter().map(|t| format!("{t:?}").replace("Tuning ", "")).collect();
        Ok(VariantTable { lanes: self.waves[0].lanes, variants, rows })
    }

    /// Seconds of a round, its readback and the host's part included.
    async fn rounds(&mut self, evaluate: bool) -> Result<f64> {
        let clock = self.clock;
        clock
            .best(async |n| {
                let began = std::time::Instant::now();
                for _ in 0..n {
                    self.round(evaluate).await?;
                }
                Ok(began.elapsed().as_secs_f64())
            })
            .await
    }
}

/// Standard steps that are timed beside an adversarial one.
const STANDARD_STEPS: u32 = 8;

fn submit(gpu: &Gpu, program: &Program, phase: PhaseId, active: Active) {
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(program.plan.name(phase)) });
    program.encode(&mut encoder, phase, active);
    gpu.submit(encoder);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuOptions;

    /// Opens the default adapter; the suite needs one, a software driver at the least.
    async fn gpu(options: GpuOptions) -> Gpu {
        Gpu::open(&options).await.unwrap_or_else(|error| panic!("this test needs a GPU adapter: {error}"))
    }

    fn tiny(gpu: &Gpu) -> BenchOptions {
        let base_width = "1/32".parse().unwrap();
        BenchOptions {
            lanes: vec![1, 3],
            kernels_at: 2,
            batch: 4,
            base_width,
            bases: 2,
            steps: 2,
            repeats: 1,
            ..BenchOptions::for_adapter(gpu)
        }
    }

    fn assert_sound(cost: &Cost, what: &str) {
        for value in [cost.seconds, cost.share, cost.bytes_per_second, cost.byte_floor] {
            assert!(value.is_finite() && value > 0.0, "{what}: {cost:?}");
        }
        assert!(cost.flops_per_second.is_finite() && cost.arithmetic_floor.is_finite(), "{what}: {cost:?}");
    }

    #[test]
    fn a_tiny_run_gives_finite_positive_figures_within_the_default_limits() {
        pollster::block_on(async {
            let gpu = gpu(GpuOptions { default_limits: true, checked_shaders: true, ..GpuOptions::default() }).await;
            // Three lanes run in two waves.
            let limit = Limit { lanes: Some(2), memory: Some(64 << 20), ..Limit::default() };
            let (mut told, mut page) = (0, String::new());
            let started = Some((Instant::now(), 0.0));
            let report = run(&gpu, &BenchOptions { limit, started, ..tiny(&gpu) }, |progress| match progress {
                Progress::Next(_) => told += 1,
                Progress::Section(text) => page += text,
            })
            .await
            .unwrap();
            assert_eq!(page, report.to_string(), "what is told on the way is the page");
            let start = report.start.expect("asked for");
            assert!(0.0 < start.program && start.program < start.first_step, "{start:?}");
            assert_eq!(told, 7);
            let c = report.ceilings;
            for value in [c.flops_per_second, c.bytes_per_second, c.dispatch_seconds, c.submit_seconds] {
                assert!(value.is_finite() && value > 0.0, "{c:?}");
            }
            assert_eq!(
                report.cases.iter().map(|c| (c.lanes, c.waves, c.lanes_per_wave)).collect::<Vec<_>>(),
                [(1, 1, 1), (2, 1, 2), (3, 2, 2)]
            );
            for case in &report.cases {
                for (cost, what) in [
                    (&case.step, "step"),
                    (&case.input_gradient, "input gradient"),
                    (&case.evaluation, "evaluation"),
                    (&case.round, "round"),
                    (&case.round_and_validation, "round and validation"),
                    (&case.adversarial.step, "adversarial step"),
                    (&case.adversarial.attack_step, "attack step"),
                ] {
                    assert_sound(cost, &format!("{what} of {} lanes", case.lanes));
                }
                assert!(case.round.flops >= 2 * case.step.flops && case.round.dispatches > 2 * case.step.dispatches);
            }
            let kernels = report.kernels.as_ref().expect("asked for");
            for row in &kernels.rows {
                assert_sound(&row.cost, &row.dispatch);
            }
            let step: u64 = kernels.rows.iter().filter(|r| r.phase == "step").map(|r| r.cost.flops).sum();
            assert_eq!(step, report.cases[1].step.flops);
            assert!(report.to_string().contains("conv1 forward"));
        });
    }

    #[test]
    fn dependent_dispatches_see_each_other_and_a_copy_is_one() {
        use crate::gpu::ProgramDescriptor;
        use crate::kernels::ceilings::{copy, count, fill, multiply_add};
        use crate::plan::{Extent, Plan};
        pollster::block_on(async {
            let gpu = gpu(GpuOptions { default_limits: true, ..GpuOptions::default() }).await;
            let mut plan = Plan::default();
            let counter = plan.buffer("counter", Extent::Fixed(16));
            let result = plan.buffer("result", Extent::Fixed(16));
            let source = plan.buffer("source", Extent::PerLane(100 * 16));
            let destination = plan.buffer("destination", Extent::PerLane(100 * 16));
            let mut dispatches = vec![count(counter); 9];
            dispatches.extend([multiply_add(100, result), fill(100, source), copy(100, source, destination)]);
            let all = plan.add_phase("all", dispatches);
            let descriptor = ProgramDescriptor { lanes: 3, slots: 1, steps: 1, guarded: true, ..ProgramDescriptor::default() };
            let program = Program::new(&gpu, plan, descriptor).await.unwrap();
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            program.encode(&mut encoder, all, Active { lanes: 1, slots: 1, step: 0 });
            program.encode_some(&mut encoder, all, Active { lanes: 3, slots: 1, step: 0 }, |i| i > 8);
            gpu.submit(encoder);
            let read = program.read(&gpu, &[counter, result, source, destination]).await.unwrap();
            assert_eq!(read[0][..4], 9u32.to_le_bytes());
            assert_eq!(read[1], [0; 16], "the multiply–adds' result is not to be stored");
            assert_eq!(read[2], read[3]);
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(&read[3]);
            assert!(values.windows(2).all(|w| w[0] != w[1]) && values.iter().all(|v| v.is_finite()));
            program.check_guards(&gpu).await.unwrap();
        });
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        pollster::block_on(async {
            let gpu = gpu(GpuOptions::default()).await;
            for (options, word) in [
                (BenchOptions { lanes: vec![0], ..tiny(&gpu) }, "0 lanes"),
                (BenchOptions { lanes: vec![], kernels_at: 0, ..tiny(&gpu) }, "at least one"),
                (BenchOptions { batch: 1, ..tiny(&gpu) }, "at least 2"),
                (BenchOptions { repeats: 0, ..tiny(&gpu) }, "at least 1"),
            ] {
                let error = run(&gpu, &options, |_| ()).await.unwrap_err();
                assert!(matches!(&error, Error::Config(text) if text.contains(word)), "{error}");
            }
        });
    }
}
