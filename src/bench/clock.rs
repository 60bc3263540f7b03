//! Timing: the host's clock round a submit and a wait, and the device's own where it can be believed.

use crate::gpu::{Active, Gpu, Program, Timestamps};
use crate::plan::PhaseId;
use crate::{Error, Result};
use std::time::Instant;

/// What a measurement by the host's clock lasts at the least: well over the clock's and the scheduler's grain.
const LONG_ENOUGH: f64 = 0.02;
/// After so many seconds a measurement is not repeated again.
const PATIENCE: f64 = 3.0;
/// Most repetitions inside one measurement.
const MOST: u32 = 1024;

/// The device's times as a share of the host's: from here on they cannot be right.
const TOO_LONG: f64 = 1.05;

/// How times are taken on one device.
pub(super) struct Clock<'a> {
    pub gpu: &'a Gpu,
    repeats: u32,
    /// Seconds of a submit and a wait that do nothing worth mentioning; taken off what the host measures.
    pub submit: f64,
    /// Why the device's own clock is not used; `None` where it is.
    pub distrust: Option<String>,
}

impl<'a> Clock<'a> {
    /// The host's clock, until [`Clock::judge_device`] finds the device's to be as good.
    pub fn new(gpu: &'a Gpu, repeats: u32) -> Clock<'a> {
        Clock { gpu, repeats, submit: 0.0, distrust: Some("the adapter offers none".into()) }
    }

    /// One line for the report.
    pub fn describe(&self) -> String {
        match &self.distrust {
            None => format!("each dispatch by device timestamps, the rest by the host's clock; best of {}", self.repeats),
            Some(why) => format!("the host's, best of {} (no device timestamps: {why})", self.repeats),
        }
    }

    /// Seconds by the host's clock until what `submit` submits is done.
    pub fn wall(&self, submit: impl FnOnce() -> Result<()>) -> Result<f64> {
        let began = Instant::now();
        submit()?;
        let waited = self.gpu.device.poll(wgpu::PollType::wait_indefinitely());
        let seconds = began.elapsed().as_secs_f64();
        self.gpu.check()?;
        waited.map_err(|error| Error::Gpu(format!("waiting for the GPU failed: {error}")))?;
        Ok(seconds)
    }

    /// The same of recorded commands.
    pub fn run(&self, commands: wgpu::CommandBuffer) -> Result<f64> {
        self.wall(|| {
            self.gpu.queue.submit([commands]);
            Ok(())
        })
    }

    /// The least seconds of one turn, where `measure(n)` gives those of `n` turns together.
    pub async fn best(&self, mut measure: impl AsyncFnMut(u32) -> Result<f64>) -> Result<f64> {
        let began = Instant::now();
        let late = || began.elapsed().as_secs_f64() > PATIENCE;
        // The first time may have to wake or fetch something.
        let mut least = measure(1).await?;
        if late() {
            return Ok(least);
        }
        let mut n = 1;
        loop {
            least = measure(n).await?;
            if least >= LONG_ENOUGH || n == MOST {
                break;
            }
            let wanted = 1.2 * f64::from(n) * LONG_ENOUGH / least.max(1e-9);
            // In bounded strides: one reading that is far too low must not set the pace.
            n = (wanted.ceil() as u32).clamp(n + 1, (n * 16).min(MOST));
        }
        for _ in 1..self.repeats {
            if late() {
                break;
            }
            least = least.min(measure(n).await?);
        }
        Ok(least / f64::from(n))
    }

    /// The least seconds that the device needs for what `record` records, recorded many times in one submit, by the
    /// host's clock. What is recorded must be of a kind that can be repeated.
    pub async fn each(&self, record: impl Fn(&mut wgpu::CommandEncoder)) -> Result<f64> {
        self.best(async |n| {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("bench") });
            for _ in 0..n {
                record(&mut encoder);
            }
            let commands = encoder.finish();
            let seconds = self.run(commands)?;
            // Never less than half: a wait that went unusually well must not leave nothing.
            Ok((seconds - self.submit).max(seconds / 2.0))
        })
        .await
    }

    /// Decides whether the device's clock is to be believed, by a phase that keeps the device busy for as long as it lasts:
    /// a clock that works then agrees with the host's, which sees little more than that.
    pub async fn judge_device(&mut self, program: &Program, phase: PhaseId, active: Active) -> Result<()> {
        let Some(timestamps) = Timestamps::new(self.gpu, program.plan.phase(phase).len() as u32) else {
            return Ok(());
        };
        // Something else on the machine can delay the host: the run in which the two agree most counts.
        let mut most = 0f64;
        for _ in 0..self.repeats.max(3) {
            let (wall, times) = self.device_times(program, phase, active, &timestamps).await?;
            most = most.max(times.iter().sum::<f64>() / wall);
        }
        self.distrust =
            if (0.8..TOO_LONG).contains(&most) { None } else { Some(format!("they gave {most:.3} of the time that a busy device took")) };
        Ok(())
    }

    /// The least seconds of each dispatch of a phase.
    pub async fn dispatches(&self, program: &Program, phase: PhaseId, active: Active) -> Result<Vec<f64>> {
        if self.distrust.is_none()
            && let Some(times) = self.dispatches_by_device(program, phase, active).await?
        {
            return Ok(times);
        }
        let mut times = Vec::new();
        for wanted in 0..program.plan.phase(phase).len() {
            let seconds = self.each(|encoder| {
                program.encode_some(encoder, phase, active, |i| i == wanted);
            });
            times.push(seconds.await?);
        }
        Ok(times)
    }

    /// The same by the device's clock, each dispatch after those before it as in a real step; `None` where the times
    /// cannot be right.
    async fn dispatches_by_device(&self, program: &Program, phase: PhaseId, active: Active) -> Result<Option<Vec<f64>>> {
        let count = program.plan.phase(phase).len();
        let Some(timestamps) = Timestamps::new(self.gpu, count as u32) else {
            return Ok(None);
        };
        let mut least = vec![f64::INFINITY; count];
        let began = Instant::now();
        // The first is a warm-up, unless it is too slow to be repeated.
        for repeat in 0..=self.repeats {
            let (wall, times) = self.device_times(program, phase, active, &timestamps).await?;
            if times.iter().any(|t| *t <= 0.0) || times.iter().sum::<f64>() > wall * TOO_LONG {
                return Ok(None);
            }
            let late = began.elapsed().as_secs_f64() > PATIENCE;
            if repeat > 0 || late {
                for (least, time) in least.iter_mut().zip(times) {
                    *least = least.min(time);
                }
            }
            if late {
                break;
            }
        }
        Ok(Some(least))
    }

    /// Seconds of one run of a phase by the host's clock, and of each dispatch by the device's.
    async fn device_times(&self, program: &Program, phase: PhaseId, active: Active, timestamps: &Timestamps) -> Result<(f64, Vec<f64>)> {
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(program.plan.name(phase)) });
        program.encode_timed(&mut encoder, phase, active, timestamps);
        timestamps.resolve(&mut encoder);
        let commands = encoder.finish();
        let wall = self.run(commands)?;
        Ok((wall, timestamps.read(self.gpu).await?))
    }
}
