//! What a benchmark found: plain data for JSON, and tables to read.

use super::table::Table;
use crate::fl::Ratio;
use crate::gpu::{Active, Program};
use crate::kernels::Dispatch;
use crate::plan::PhaseId;
use crate::text::plural;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Mul};

/// Everything that a benchmark found. Its `Display` is a page of aligned tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BenchReport {
    /// Version of this program.
    pub version: String,
    /// Name, kind, backend and driver of the adapter.
    pub adapter: String,
    /// What was trained.
    pub setting: Setting,
    /// How times were taken, in words.
    pub clock: String,
    /// What the adapter can do. Shares are of these.
    pub ceilings: Ceilings,
    /// The same, measured again at the end: where it differs, other work had a part of the machine, and shares are off.
    pub ceilings_again: Ceilings,
    /// From the start of the process to the first finished step, where its beginning is known.
    pub start: Option<Start>,
    /// Every dispatch by itself, where it was asked for.
    pub kernels: Option<KernelTable>,
    /// Every kernel with several variants by each of them, where it was asked for.
    pub variants: Option<VariantTable>,
    /// Steps and rounds, by number of lanes, ascending.
    pub cases: Vec<Case>,
}

/// What was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Setting {
    /// The network, as in `digits`.
    pub network: String,
    /// Width of one base.
    pub base_width: Ratio,
    /// Parameters of one base.
    pub parameters: u64,
    /// Multiply–accumulate operations of one image's forward through one base.
    pub macs: u64,
    /// Bases of the ensemble.
    pub bases: u32,
    /// Images of a mini-batch.
    pub batch: u32,
    /// Local steps of a round.
    pub steps: u32,
    /// Most times that a measurement was repeated.
    pub repeats: u32,
}

/// Seconds since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Start {
    /// The device is open.
    pub device: f64,
    /// Images, bases and the training program are on it, all kernels compiled.
    pub program: f64,
    /// The first round of one local step is done and read back.
    pub first_step: f64,
}

/// The kernels of a step that have variants, timed with each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VariantTable {
    /// Lanes of the wave.
    pub lanes: u32,
    /// The variants in words; the first is the one that this adapter gets.
    pub variants: Vec<String>,
    /// Every dispatch with its seconds by variant; none where a variant could not run.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

impl VariantTable {
    /// The best time of a row as a share of that of the variant in use.
    pub fn share(times: &[Option<f64>]) -> f64 {
        let best = times.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        times.first().copied().flatten().map_or(0.0, |chosen| best / chosen)
    }
}

/// What the adapter can do, measured by kernels that do one thing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ceilings {
    /// f32 operations a second of fused multiply–adds in registers, each counted as two.
    pub flops_per_second: f64,
    /// Bytes read and written a second by a copy too large for a GPU's caches.
    pub bytes_per_second: f64,
    /// Seconds of a dispatch that does nothing but wait for the one before.
    pub dispatch_seconds: f64,
    /// Seconds of submitting one such dispatch and waiting for it.
    pub submit_seconds: f64,
}

/// Which of the ceilings leaves a piece of work the longer least time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The multiply–adds.
    Arithmetic,
    /// The copy.
    Bytes,
}

/// What a piece of work does, counted from its plan.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Work {
    pub flops: u64,
    pub bytes: u64,
    /// Seconds of the longer of its two floors, summed over its dispatches.
    pub floor: f64,
}

impl Work {
    /// Of one dispatch over what is at work.
    pub fn of_dispatch(ceilings: &Ceilings, dispatch: &Dispatch, active: Active) -> Work {
        let (flops, bytes) = (dispatch.flops, dispatch.bytes);
        let floor = (flops as f64 / ceilings.flops_per_second).max(bytes as f64 / ceilings.bytes_per_second);
        Work { flops, bytes, floor } * u64::from(active.count(dispatch.over))
    }

    /// Of a phase, once for each wave.
    pub fn of_waves(ceilings: &Ceilings, program: &Program, phase: PhaseId, waves: &[Active]) -> Work {
        let dispatches = program.plan.phase(phase);
        waves.iter().flat_map(|w| dispatches.iter().map(|d| Work::of_dispatch(ceilings, d, *w))).fold(Work::default(), Work::add)
    }
}

impl Add for Work {
    type Output = Work;
    fn add(self, other: Work) -> Work {
        Work { flops: self.flops + other.flops, bytes: self.bytes + other.bytes, floor: self.floor + other.floor }
    }
}

impl Mul<u64> for Work {
    type Output = Work;
    fn mul(self, times: u64) -> Work {
        Work { flops: self.flops * times, bytes: self.bytes * times, floor: self.floor * times as f64 }
    }
}

/// A measured time beside the work done in it and the least time that this work could take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cost {
    /// Measured, in seconds.
    pub seconds: f64,
    /// Floating-point operations of the plan; a multiply–add counts two.
    pub flops: u64,
    /// Bytes that the plan's dispatches must move at the least: each reads its inputs once and writes its outputs once.
    pub bytes: u64,
    /// Operations a second.
    pub flops_per_second: f64,
    /// Of those bytes, a second.
    pub bytes_per_second: f64,
    /// Seconds of the operations at the multiply–add ceiling.
    pub arithmetic_floor: f64,
    /// Seconds of the bytes at the copy ceiling.
    pub byte_floor: f64,
    /// Seconds of the longer of the two floors, dispatch by dispatch: what the work takes where nothing overlaps.
    pub combined_floor: f64,
    /// The longer floor.
    pub bound: Bound,
    /// The longer floor as a share of the measured time. It can pass 1 where the bytes stay in a cache.
    pub share: f64,
    /// Dispatches recorded.
    pub dispatches: u64,
    /// Submits made; 0 for a dispatch by itself.
    pub submits: u64,
}

impl Cost {
    /// `work` done in `seconds`, which must be above 0.
    pub(super) fn new(ceilings: &Ceilings, work: Work, seconds: f64, dispatches: u64, submits: u64) -> Cost {
        let (flops, bytes) = (work.flops as f64, work.bytes as f64);
        let arithmetic_floor = flops / ceilings.flops_per_second;
        let byte_floor = bytes / ceilings.bytes_per_second;
        Cost {
            seconds,
            flops: work.flops,
            bytes: work.bytes,
            flops_per_second: flops / seconds,
            bytes_per_second: bytes / seconds,
            arithmetic_floor,
            byte_floor,
            combined_floor: work.floor,
            bound: if arithmetic_floor >= byte_floor { Bound::Arithmetic } else { Bound::Bytes },
            share: arithmetic_floor.max(byte_floor) / seconds,
            dispatches,
            submits,
        }
    }
}

/// Every dispatch of a wave by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KernelTable {
    /// Lanes of the wave in training.
    pub lanes: u32,
    /// Clients of the wave.
    pub clients: u32,
    /// Lanes of the wave in evaluation.
    pub evaluation_lanes: u32,
    /// Every dispatch, in the order of their phases.
    pub rows: Vec<KernelTime>,
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KernelTime {
    /// `start`, `step` and `finish` of training, or `evaluate`.
    pub phase: String,
    /// What it is for, as in `conv1 forward`.
    pub dispatch: String,
    /// Shader and entry point.
    pub kernel: String,
    /// Time and work.
    pub cost: Cost,
}

/// Steps and rounds with one number of lanes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Case {
    /// Replicas trained: (client, base) pairs.
    pub lanes: u32,
    /// Clients they belong to.
    pub clients: u32,
    /// Waves that training took.
    pub waves: u32,
    /// Lanes of the largest wave.
    pub lanes_per_wave: u32,
    /// Lanes of the evaluation: all bases for one batch of every so many clients.
    pub evaluation_lanes: u32,
    /// Bytes of the training program's buffers.
    pub training_bytes: u64,
    /// Bytes of the evaluation program's buffers.
    pub evaluation_bytes: u64,
    /// One local step of all lanes: gather, forward, backward, SGD.
    pub step: Cost,
    /// Forward of a wave's lanes and the gradient of the summed loss with respect to their images: what a step of an attack
    /// is made of.
    pub input_gradient: Cost,
    /// Bytes of that program's buffers.
    pub input_gradient_bytes: u64,
    /// Adversarial training.
    pub adversarial: AdversarialCost,
    /// Bytes that the programs share: images, labels, the server's bases and averages.
    pub common_bytes: u64,
    /// All widths from one forward of the bases.
    pub evaluation: Cost,
    /// A round: download, local steps, averages and the readback of the counters.
    pub round: Cost,
    /// The same with the evaluation before the readback.
    pub round_and_validation: Cost,
    /// Validation of all widths for 50 clients of 111 images each, where it was asked for.
    pub validation: Option<Cost>,
}

/// Adversarial training: what a step costs in which every lane attacks its images first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AdversarialCost {
    /// One local step of all lanes: attack, then clean and attacked images, forward, backward and SGD.
    pub step: Cost,
    /// One step of the attack of all lanes.
    pub attack_step: Cost,
    /// Steps of the attack.
    pub steps: u32,
    /// Time of a whole step in standard ones, timed in turn with it: the median ratio.
    pub standard_steps: f64,
    /// The same by operations.
    pub by_operations: f64,
    /// Bytes of the program's buffers.
    pub bytes: u64,
}

/// Four significant digits or so, in plain notation.
fn number(value: f64) -> String {
    match value.abs() {
        v if v < 10.0 => format!("{value:.3}"),
        v if v < 100.0 => format!("{value:.2}"),
        v if v < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn milliseconds(seconds: f64) -> String {
    number(seconds * 1e3)
}

fn giga(value: f64) -> String {
    number(value * 1e-9)
}

fn mega(bytes: u64) -> String {
    number(bytes as f64 * 1e-6)
}

fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

/// As in `31% FMA`.
fn share(cost: &Cost) -> String {
    let ceiling = match cost.bound {
        Bound::Arithmetic => "FMA ",
        Bound::Bytes => "copy",
    };
    format!("{} {ceiling}", percent(cost.share))
}

/// What a running benchmark reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// What is measured next.
    Next(&'a str),
    /// A section of the report's page, as soon as it is known: together they are the report's `Display`.
    Section(&'a str),
}

impl BenchReport {
    /// What was measured, and the ceilings.
    pub(super) fn head(&self) -> String {
        let (s, c) = (&self.setting, &self.ceilings);
        let mut text = format!("splitmix-fl {} on {}\n", self.version, self.adapter);
        text += &format!(
            "network:  {} at width {}: {} parameters, {} MMAC an image; {}, batches of {}, rounds of {}\n",
            s.network,
            s.base_width,
            s.parameters,
            number(s.macs as f64 * 1e-6),
            plural(s.bases, "base"),
            s.batch,
            plural(s.steps, "step")
        );
        text += &format!("clock:    {}\n", self.clock);
        text += &format!(
            "ceilings: FMA {} GFLOP/s, copy {} GB/s, dependent dispatch {} µs, submit and wait {} µs\n",
            giga(c.flops_per_second),
            giga(c.bytes_per_second),
            number(c.dispatch_seconds * 1e6),
            number(c.submit_seconds * 1e6)
        );
        if let Some(t) = &self.start {
            text += &format!(
                "start:    device open after {} ms, program ready after {} ms, first step done after {} ms\n",
                milliseconds(t.device),
                milliseconds(t.program),
                milliseconds(t.first_step)
            );
        }
        text
    }

    /// Every dispatch, where they were timed, and the slowest of them.
    pub(super) fn kernels_page(&self) -> String {
        let page = |kernels| format!("\n{kernels}\n{}", Slowest { kernels, ceilings: &self.ceilings });
        self.kernels.as_ref().map_or(String::new(), page)
    }

    /// Every variant, where they were timed.
    pub(super) fn variants_page(&self) -> String {
        self.variants.as_ref().map_or(String::new(), |variants| format!("\n{variants}"))
    }

    /// One of its cases.
    pub(super) fn case_page(&self, case: &Case) -> String {
        format!("\n{}", CasePage { case, setting: &self.setting })
    }

    /// What compares the cases with each other and with the bars, and the ceilings at the end.
    pub(super) fn end(&self) -> String {
        let mut text = String::new();
        if self.cases.len() > 1 {
            text += "\nA step and a round by lanes\n";
            let each = |cost: &Cost, case: &Case| milliseconds(cost.seconds / f64::from(case.lanes));
            let images = |case: &Case| f64::from(case.lanes) * f64::from(self.setting.batch);
            let table = Table::of::<&Case>(
                &self.cases,
                &[
                    ("lanes", &|case| case.lanes.to_string()),
                    ("waves", &|case| case.waves.to_string()),
                    ("step ms", &|case| milliseconds(case.step.seconds)),
                    ("ms a lane", &|case| each(&case.step, case)),
                    ("images/s", &|case| format!("{:.0}", images(case) / case.step.seconds)),
                    ("GFLOP/s", &|case| giga(case.step.flops_per_second)),
                    ("of ceiling", &|case| share(&case.step)),
                    ("round ms", &|case| milliseconds(case.round.seconds)),
                    ("ms a lane", &|case| each(&case.round, case)),
                    ("with validation", &|case| milliseconds(case.round_and_validation.seconds)),
                ],
            );
            text += &table.to_string();
        }
        if let Some(goals) = goals(self) {
            text += "\nThe bars set for one H100 through Vulkan, 190 lanes × 32\n";
            let table = Table::of::<(&str, f64, f64, f64)>(
                goals,
                &[
                    ("", &|(what, ..)| what.to_string()),
                    ("ms", &|(_, seconds, ..)| milliseconds(*seconds)),
                    ("bar", &|(_, _, bar, _)| milliseconds(*bar)),
                    ("stretch", &|(.., stretch)| milliseconds(*stretch)),
                    ("", &|(_, seconds, bar, stretch)| match seconds {
                        seconds if seconds <= stretch => "stretch".into(),
                        seconds if seconds <= bar => "met".into(),
                        _ => "missed".into(),
                    }),
                ],
            );
            text += &table.to_string();
        }
        let (then, again) = (&self.ceilings, &self.ceilings_again);
        let (flops, bytes) = (again.flops_per_second / then.flops_per_second, again.bytes_per_second / then.bytes_per_second);
        let steady = |ratio: f64| (0.9..1.1).contains(&ratio);
        let verdict = if steady(flops) && steady(bytes) { "" } else { ": something else is at work here, shares are off" };
        let (flops, bytes) = (giga(again.flops_per_second), giga(again.bytes_per_second));
        text + &format!("\nceilings at the end: FMA {flops} GFLOP/s, copy {bytes} GB/s{verdict}\n")
    }
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.head(), self.kernels_page(), self.variants_page())?;
        self.cases.iter().try_for_each(|case| f.write_str(&self.case_page(case)))?;
        f.write_str(&self.end())
    }
}

impl fmt::Display for KernelTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Every dispatch, {} of {} ({} in evaluation)",
            plural(self.lanes, "lane"),
            plural(self.clients, "client"),
            self.evaluation_lanes
        )?;
        let mut table = Table::new(&["", "ms", "of phase", "GFLOP", "GFLOP/s", "MB", "GB/s", "of ceiling"]);
        for rows in self.rows.chunk_by(|a, b| a.phase == b.phase) {
            let sum = |of: fn(&Cost) -> f64| rows.iter().map(|r| of(&r.cost)).sum::<f64>();
            let seconds = sum(|c| c.seconds);
            let (flops, bytes) = (sum(|c| c.flops as f64), sum(|c| c.bytes as f64));
            table.row([
                format!("{}, {}", rows[0].phase, plural(rows.len() as u32, "dispatch").replace("dispatchs", "dispatches")),
                milliseconds(seconds),
                "100.0%".into(),
                giga(flops),
                giga(flops / seconds),
                number(bytes * 1e-6),
                giga(bytes / seconds),
                String::new(),
            ]);
            for r in rows {
                table.row([
                    format!("  {}", r.dispatch),
                    milliseconds(r.cost.seconds),
                    percent(r.cost.seconds / seconds),
                    giga(r.cost.flops as f64),
                    giga(r.cost.flops_per_second),
                    mega(r.cost.bytes),
                    giga(r.cost.bytes_per_second),
                    share(&r.cost),
                ]);
            }
        }
        write!(f, "{table}")
    }
}

/// Share of a ceiling below which it is not what limits a kernel.
const LOW: f64 = 0.2;

/// The slowest dispatches of a training step, with what limits each.
struct Slowest<'a> {
    kernels: &'a KernelTable,
    ceilings: &'a Ceilings,
}

impl Slowest<'_> {
    /// The nearest of the three ceilings of a dispatch by itself, and its share.
    fn limit(&self, cost: &Cost) -> (&'static str, f64) {
        let launch = self.ceilings.dispatch_seconds / cost.seconds;
        let what = match cost.bound {
            _ if launch.max(cost.share) < LOW => "its loads, or too few invocations",
            _ if launch > cost.share => "launch of a dispatch",
            Bound::Arithmetic => "multiply–adds",
            Bound::Bytes => "memory",
        };
        (what, launch.max(cost.share))
    }
}

impl fmt::Display for Slowest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<&KernelTime> = self.kernels.rows.iter().filter(|r| r.phase == "step").collect();
        let seconds: f64 = rows.iter().map(|r| r.cost.seconds).sum();
        rows.sort_by(|a, b| b.cost.seconds.total_cmp(&a.cost.seconds));
        writeln!(f, "The slowest of a step")?;
        let table = Table::of::<&&KernelTime>(
            rows.iter().take(5),
            &[
                ("", &|r| format!("  {}", r.dispatch)),
                ("ms", &|r| milliseconds(r.cost.seconds)),
                ("of step", &|r| percent(r.cost.seconds / seconds)),
                ("of ceiling", &|r| percent(self.limit(&r.cost).1)),
                ("limited by", &|r| self.limit(&r.cost).0.into()),
            ],
        );
        write!(f, "{table}")?;
        let low: Vec<_> = rows.iter().filter(|r| self.limit(&r.cost).1 < LOW).collect();
        let time: f64 = low.iter().map(|r| r.cost.seconds).sum();
        writeln!(
            f,
            "{} of {} dispatches stay under {:.0}% of every ceiling, {:.1}% of the step's time",
            low.len(),
            rows.len(),
            100.0 * LOW,
            100.0 * time / seconds
        )
    }
}

impl fmt::Display for VariantTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Variants, {}; ms of each, 0 the one in use", plural(self.lanes, "lane"))?;
        for (i, variant) in self.variants.iter().enumerate() {
            writeln!(f, "  {i}: {variant}")?;
        }
        let mut header = vec!["".to_string()];
        header.extend((0..self.variants.len()).map(|i| i.to_string()));
        header.push("best of 0".into());
        let mut table = Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
        for (name, times) in &self.rows {
            let mut row = vec![format!("  {name}")];
            row.extend(times.iter().map(|t| t.map_or("–".into(), milliseconds)));
            row.push(format!("{:.0}%", 100.0 * VariantTable::share(times)));
            table.row(row);
        }
        write!(f, "{table}")
    }
}

/// Bars for the paper's round on one H100 through Vulkan: what was measured, the bar and the stretch, in seconds.
fn goals(report: &BenchReport) -> Option<Vec<(&'static str, f64, f64, f64)>> {
    let s = &report.setting;
    let case = report.cases.iter().find(|c| c.lanes == 190)?;
    if (s.network.as_str(), s.base_width, s.batch, s.steps) != ("digits", Ratio::EIGHTH, 32, 4) {
        return None;
    }
    let mut rows = vec![
        ("training step", case.step.seconds, 2.0e-3, 1.4e-3),
        ("forward and input gradient", case.input_gradient.seconds, 1.5e-3, 1.0e-3),
        ("round of 4 steps", case.round.seconds, 10e-3, 7e-3),
        ("adversarial step", case.adversarial.step.seconds, 15e-3, 10e-3),
    ];
    rows.extend(case.validation.map(|v| ("validation, 50 × 111 images", v.seconds, 5e-3, 3e-3)));
    Some(rows)
}

/// A case with what it takes to read it.
struct CasePage<'a> {
    case: &'a Case,
    setting: &'a Setting,
}

impl fmt::Display for CasePage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.case;
        writeln!(
            f,
            "{} of {} in {} of up to {}; {} MB to train, {} MB to evaluate, {} MB for input gradients, {} MB of images and bases",
            plural(c.lanes, "lane"),
            plural(c.clients, "client"),
            plural(c.waves, "wave"),
            c.lanes_per_wave,
            mega(c.training_bytes),
            mega(c.evaluation_bytes),
            mega(c.input_gradient_bytes),
            mega(c.common_bytes)
        )?;
        let steps = plural(self.setting.steps, "step");
        let mut lines = vec![
            ("training step".to_string(), &c.step),
            ("forward and input gradient".to_string(), &c.input_gradient),
            (format!("evaluation, {} lanes", c.evaluation_lanes), &c.evaluation),
            (format!("round of {steps}"), &c.round),
            ("round and validation".to_string(), &c.round_and_validation),
            (format!("adversarial step, {} of attack", plural(c.adversarial.steps, "step")), &c.adversarial.step),
            ("attack step".to_string(), &c.adversarial.attack_step),
        ];
        lines.extend(c.validation.iter().map(|v| ("validation, 50 × 111 images".to_string(), v)));
        let table = Table::of::<(String, &Cost)>(
            lines,
            &[
                ("", &|(name, _)| name.clone()),
                ("ms", &|(_, cost)| milliseconds(cost.seconds)),
                ("arithmetic floor", &|(_, cost)| milliseconds(cost.arithmetic_floor)),
                ("byte floor", &|(_, cost)| milliseconds(cost.byte_floor)),
                ("combined", &|(_, cost)| milliseconds(cost.combined_floor)),
                ("of combined", &|(_, cost)| percent(cost.combined_floor / cost.seconds)),
                ("of ceiling", &|(_, cost)| share(cost)),
                ("GFLOP", &|(_, cost)| giga(cost.flops as f64)),
                ("GFLOP/s", &|(_, cost)| giga(cost.flops_per_second)),
                ("of FMA", &|(_, cost)| percent(cost.arithmetic_floor / cost.seconds)),
                ("GB/s", &|(_, cost)| giga(cost.bytes_per_second)),
                ("dispatches", &|(_, cost)| cost.dispatches.to_string()),
                ("submits", &|(_, cost)| cost.submits.to_string()),
            ],
        );
        write!(f, "{table}")?;
        let a = &c.adversarial;
        writeln!(
            f,
            "an adversarial step takes {:.2} standard steps, {:.2} by operations, and {} MB",
            a.standard_steps,
            a.by_operations,
            mega(a.bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILINGS: Ceilings = Ceilings { flops_per_second: 1e9, bytes_per_second: 1e8, dispatch_seconds: 1e-6, submit_seconds: 1e-5 };

    #[test]
    fn a_cost_is_set_against_the_nearer_ceiling() {
        // 1 ms of arithmetic and 4 ms of bytes at the ceilings, done in 5 ms.
        let cost = Cost::new(&CEILINGS, Work { flops: 1_000_000, bytes: 400_000, floor: 4e-3 }, 5e-3, 3, 1);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9 * b, "{a} and {b}");
        close(cost.arithmetic_floor, 1e-3);
        close(cost.byte_floor, 4e-3);
        close(cost.share, 0.8);
        close(cost.flops_per_second, 2e8);
        close(cost.bytes_per_second, 8e7);
        assert_eq!(cost.bound, Bound::Bytes);
        let cost = Cost::new(&CEILINGS, Work { flops: 8_000_000, bytes: 400_000, floor: 8e-3 }, 16e-3, 3, 1);
        assert_eq!(cost.bound, Bound::Arithmetic);
        close(cost.share, 0.5);
        assert_eq!(Cost::new(&CEILINGS, Work::default(), 1e-3, 1, 0).share, 0.0);
    }

    #[test]
    fn the_slowest_are_told_with_what_limits_them() {
        let row = |dispatch: &str, flops, bytes, seconds| KernelTime {
            phase: "step".into(),
            dispatch: dispatch.into(),
            kernel: String::new(),
            cost: Cost::new(&CEILINGS, Work { flops, bytes, floor: 0.0 }, seconds, 1, 0),
        };
        let rows = vec![
            row("small", 0, 0, 2.0 * CEILINGS.dispatch_seconds),
            row("copying", 0, 400_000, 5e-3),
            row("waiting", 1_000_000, 0, 20e-3),
            row("multiplying", 8_000_000, 400_000, 16e-3),
        ];
        let kernels = KernelTable { lanes: 1, clients: 1, evaluation_lanes: 1, rows };
        let text = Slowest { kernels: &kernels, ceilings: &CEILINGS }.to_string();
        let lines: Vec<&str> = text.lines().collect();
        for (line, wanted) in lines[2..6].iter().zip([
            ["waiting", "5.0%", "its loads"],
            ["multiplying", "50.0%", "multiply–adds"],
            ["copying", "80.0%", "memory"],
            ["small", "50.0%", "launch"],
        ]) {
            assert!(wanted.iter().all(|w| line.contains(w)), "{line}");
        }
        assert!(lines[6].starts_with("1 of 4 dispatches stay under 20%"), "{text}");
    }

    fn report() -> BenchReport {
        let cost = Cost::new(&CEILINGS, Work { flops: 1_000_000, bytes: 400_000, floor: 4e-3 }, 5e-3, 3, 1);
        let case = |lanes| Case {
            lanes,
            clients: 1,
            waves: 1,
            lanes_per_wave: lanes,
            evaluation_lanes: 8,
            training_bytes: 1,
            evaluation_bytes: 1,
            step: cost,
            input_gradient: cost,
            input_gradient_bytes: 1,
            adversarial: AdversarialCost { step: cost, attack_step: cost, steps: 7, standard_steps: 8.0, by_operations: 7.5, bytes: 1 },
            common_bytes: 1,
            evaluation: cost,
            round: cost,
            round_and_validation: cost,
            validation: None,
        };
        let row = |phase: &str| KernelTime { phase: phase.into(), dispatch: "conv1".into(), kernel: "conv::forward".into(), cost };
        BenchReport {
            version: "1.2.3".into(),
            adapter: "a GPU".into(),
            setting: Setting {
                network: "digits".into(),
                base_width: Ratio::EIGHTH,
                parameters: 224_194,
                macs: 1_158_528,
                bases: 8,
                batch: 32,
                steps: 4,
                repeats: 5,
            },
            clock: "the host's".into(),
            ceilings: CEILINGS,
            ceilings_again: Ceilings { bytes_per_second: CEILINGS.bytes_per_second * 1.2, ..CEILINGS },
            start: Some(Start { device: 0.1, program: 0.2, first_step: 0.3 }),
            variants: Some(VariantTable {
                lanes: 8,
                variants: vec!["in use".into(), "another".into()],
                rows: vec![("conv1".into(), vec![Some(4e-3), Some(2e-3)]), ("conv2".into(), vec![Some(4e-3), None])],
            }),
            kernels: Some(KernelTable { lanes: 8, clients: 1, evaluation_lanes: 8, rows: vec![row("step"), row("step"), row("finish")] }),
            cases: vec![case(1), case(8)],
        }
    }

    #[test]
    fn json_keeps_everything() {
        let report = report();
        let text = serde_json::to_string(&report).unwrap();
        assert!(text.contains("\"flops-per-second\":1000000000.0"), "{text}");
        assert_eq!(serde_json::from_str::<BenchReport>(&text).unwrap(), report);
    }

    #[test]
    fn the_page_sums_phases_and_prints_both_floors() {
        let page = report().to_string();
        assert!(page.lines().any(|l| l.starts_with("ceilings at the end:") && l.ends_with("shares are off")), "{page}");
        let sum = page.lines().find(|l| l.starts_with("step, 2 dispatches")).expect("a line a phase");
        assert_eq!(sum.split_whitespace().skip(3).collect::<Vec<_>>(), ["10.00", "100.0%", "0.002", "0.200", "0.800", "0.080"]);
        let step = page.lines().find(|l| l.starts_with("training step")).expect("a line a cost");
        let cells: Vec<_> = step.split_whitespace().skip(2).collect();
        assert_eq!(cells, ["5.000", "1.000", "4.000", "4.000", "80.0%", "80.0%", "copy", "0.001", "0.200", "20.0%", "0.080", "3", "1"]);
        // The variant in use needs twice the best one's time, and is the best.
        let shares: Vec<_> = page.lines().filter(|l| l.starts_with("  conv")).filter_map(|l| l.split_whitespace().last()).collect();
        assert_eq!(&shares[shares.len() - 2..], ["50%", "100%"]);
        // The sweep, one line for each number of lanes.
        assert!(page.lines().any(|l| l.split_whitespace().take(4).eq(["8", "1", "5.000", "0.625"])), "{page}");
    }
}
