//! Local training of a round: every (client, base) lane of a wave advances in the same dispatches.

use super::{ClientRows, ControlVariates, ImageStore, Limit, Rows, Staging, Totals, TrainingState, external, schedule_row, wave};
use crate::gpu::{Active, Gpu, Program, ProgramDescriptor};
use crate::kernels::Tuning;
use crate::kernels::adam::Adam;
pub use crate::kernels::gather_images::Augment;
pub use crate::kernels::server_step::{Adaptive, Rule, ServerOptimizer};
use crate::kernels::weighted_average;
use crate::net::{Network, between};
pub use crate::plan::train::{Adversarial, Distances, LocalTraining, Narrower, Optimizer};
use crate::plan::train::{ControlBuffers, DistancePhase, TOTALS_BYTES, TrainPlan, TrainSetting};
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// Settings of local training that hold for a whole run.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// What is trained and how.
    pub training: LocalTraining,
    /// What stays with the clients and is not averaged.
    pub personal: Option<ClientRows>,
    /// Whether the average can wait for distances to be measured, and which.
    pub distances: Option<Distances>,
    /// What it keeps from round to round besides the bases.
    pub state: TrainingState,
    /// Most lanes of a round.
    pub lanes: u32,
    /// How much of the GPU to take.
    pub limit: Limit,
    /// Surround buffers with poison, for tests.
    pub guarded: bool,
    /// Give every activation memory of its own, so that tests can read it after a step.
    pub keep_activations: bool,
    /// Variants of the kernels other than the adapter's own, for tests and benchmarks.
    pub tuning: Option<Tuning>,
}

impl TrainOptions {
    /// So many lanes of a training, of which nothing stays with the clients, in as much of the GPU as there is.
    pub fn new(training: LocalTraining, lanes: u32) -> TrainOptions {
        let limit = Limit::default();
        TrainOptions {
            training,
            personal: None,
            distances: None,
            state: TrainingState::default(),
            lanes,
            limit,
            guarded: false,
            keep_activations: false,
            tuning: None,
        }
    }
}

/// What one client does in a round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientWork {
    /// The client, for what it keeps to itself.
    pub client: u32,
    /// Image indices of each local step's mini-batch, none empty.
    pub batches: Vec<Vec<u32>>,
    /// Bases it trains, each with its share in that base's average.
    pub bases: Vec<(u32, f32)>,
}

/// What the lanes of a round are compared with, after their training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// With the server's bases, as the round began with them.
    WithBases,
    /// With each other.
    WithLanes,
}

/// A wave whose lanes wait for their average.
struct Waiting {
    /// The lanes, as (client, index of its base).
    lanes: Vec<(usize, usize)>,
    /// Their number of clients.
    slots: u32,
    /// Their parameters, where another wave has the program's memory.
    parameters: Option<wgpu::Buffer>,
}

/// SCAFFOLD's control variates in a program.
struct Control {
    variates: ControlVariates,
    buffers: ControlBuffers,
    /// The server's of the next round.
    sum: Rows,
}

/// The program of local training.
pub struct Trainer {
    /// The plan's own handles.
    pub plan: TrainPlan,
    program: Program,
    options: TrainOptions,
    lanes_per_wave: u32,
    slots_per_wave: u32,
    /// The running average of a round.
    average: Rows,
    control: Option<Control>,
    /// The waves of a round that is trained, but not averaged.
    waiting: Vec<Waiting>,
    /// Number of the round, for the noise of attacks.
    round: u32,
    /// That of the round.
    learning_rate: f32,
    /// The parts of a row, in vec4, that the server takes over.
    averaged: Vec<Range<u32>>,
    /// Dispatches of the last round.
    pub dispatches: u64,
    /// Submits of the last round.
    pub submits: u64,
}

impl Trainer {
    /// Builds the program for waves as large as the adapter and the limit allow.
    ///
    /// # Errors
    /// [`Error::Config`] where not one lane fits or the batch norms are not those that the options want, [`Error::Gpu`] where
    /// the device refuses.
    pub async fn new(gpu: &Gpu, network: &Network, server: &Rows, images: &ImageStore, options: TrainOptions) -> Result<Trainer> {
        let training = &options.training;
        if let Some(a) = training.adversarial
            && !(a.lambda > 0.0 && a.lambda <= 1.0)
        {
            return Err(Error::Config(format!("the share of attacked images is {}: it must be above 0 and at most 1", a.lambda)));
        }
        if network.norms.dual != training.adversarial.is_some_and(|a| a.lambda < 1.0) {
            return Err(Error::Config(
                "dual batch norms are for training on clean and on attacked images; all else wants single ones: give the network \
                 other batch norms, or the training another share of attacked images"
                    .into(),
            ));
        }
        if options.state.control.is_some() && (training.optimizer != (Optimizer::Sgd { momentum: 0.0 }) || !training.narrower.is_empty()) {
            return Err(Error::Config("control variates are the mean gradients of SGD without momentum, of whole bases".into()));
        }
        if !training.narrower.is_empty() && (network.norms.tracked || training.adversarial.is_some() || options.personal.is_some()) {
            return Err(Error::Config(
                "corners are trained together by batch statistics only, on images as they are: leave tracked batch norms, what stays with \
                 the clients, and adversarial training out"
                    .into(),
            ));
        }
        let personal = options.personal.as_ref().map_or(&[][..], |own| &own.parts);
        let setting = |batch: u32, lanes: u32, slots: u32| TrainSetting {
            network,
            bases: server.count,
            training,
            batch,
            personal,
            distances: options.distances,
            server: options.state.optimizer.as_ref().map(|state| state.optimizer),
            control: options.state.control.is_some(),
            images_per_chunk: images.images_per_chunk,
            slot_capacity: slots,
            lane_capacity: lanes,
            tuning: options.tuning.unwrap_or(gpu.tuning()),
            keep_gradients: options.keep_activations,
        };
        let plan_for = |batch, lanes, slots| {
            let mut p = TrainPlan::new(&setting(batch, lanes, slots));
            if !options.keep_activations {
                p.plan.share_memory();
            }
            p
        };
        let footprint = |batch| plan_for(batch, options.lanes, options.lanes).plan.footprint();
        let fit = |limit| wave(gpu, limit, &footprint, training.batch, 1, u64::from(options.lanes));
        let mut lanes = fit(options.limit)?;
        if options.distances.is_some() && lanes < options.lanes {
            // The lanes of all waves wait together for their average.
            lanes = fit(options.limit.share(u64::from(options.lanes) * server.row_bytes(), 8))?;
        }
        // In the worst case every lane of a wave is another client's.
        let slots = lanes;
        let plan = plan_for(training.batch, lanes, slots);
        let mut external = external(images, server, plan.images, plan.labels, plan.server);
        let average = server.like(gpu, "average");
        external.push((plan.average, average.buffer.clone()));
        external.extend(plan.personal.zip(options.personal.as_ref().map(|own| own.rows.buffer.clone())));
        if let Some((phase, state)) = plan.server_step.zip(options.state.optimizer.as_ref()) {
            external.extend([(phase.mean, state.mean.buffer.clone()), (phase.square, state.square.buffer.clone())]);
        }
        let control = plan.control.zip(options.state.control.as_ref()).map(|(buffers, control)| {
            let sum = control.server.like(gpu, "sum of control variates");
            external.extend([
                (buffers.server, control.server.buffer.clone()),
                (buffers.sum, sum.buffer.clone()),
                (buffers.clients, control.clients.rows.buffer.clone()),
            ]);
            Control { variates: control.clone(), buffers, sum }
        });
        let descriptor = ProgramDescriptor { lanes, slots, steps: training.steps, external, guarded: options.guarded };
        let program = Program::new(gpu, plan.plan.clone(), descriptor).await?;
        if let Some(table) = plan.corrections {
            program.write(gpu, table, 0, bytemuck::cast_slice(&Adam::corrections(training.steps)));
        }
        for (table, n) in plan.places.iter().zip(&training.narrower) {
            program.write(gpu, *table, 0, bytemuck::cast_slice(&network.corner_table(&n.network)?));
        }
        // What the server's optimiser moves is not copied.
        let mut moved = personal.to_vec();
        if options.state.optimizer.is_some() {
            moved.extend(between(personal, network.trained_blocks));
            moved.sort_by_key(|part| part.start);
        }
        let averaged = between(&moved, network.parameter_blocks);
        Ok(Trainer {
            plan,
            program,
            options,
            lanes_per_wave: lanes,
            slots_per_wave: slots,
            average,
            control,
            waiting: Vec::new(),
            round: 0,
            learning_rate: 0.0,
            averaged,
            dispatches: 0,
            submits: 0,
        })
    }

    /// Bytes of staging that a round of so many lanes needs: for the counters of clean images, then for those of attacked ones.
    pub fn staging_bytes(lanes: u32) -> u64 {
        u64::from(lanes) * 2 * TOTALS_BYTES
    }

    /// Tells the number of the next round: another round's attacks start at other noise.
    pub fn set_round(&mut self, round: u32) {
        self.round = round;
    }

    /// The program, for tests and benchmarks.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Lanes of a full wave.
    pub fn lanes_per_wave(&self) -> u32 {
        self.lanes_per_wave
    }

    /// Submits a round: local training of all clients, wave by wave, and the new average of every trained base.
    /// The lanes' counters go to `staging` at `offset`, in the order that [`Trainer::totals`] expects. Nothing is awaited.
    ///
    /// Lanes are ordered by their number of steps, longest first, so that the lanes still at work are always a prefix;
    /// clients of equal length keep their order. Averages add lanes in that order, whatever the waves.
    ///
    /// # Errors
    /// [`Error::Config`] where a client's work exceeds what the trainer was made for.
    pub fn round(
        &mut self,
        gpu: &Gpu,
        server: &Rows,
        work: &[ClientWork],
        learning_rate: f32,
        staging: &Staging,
        offset: u64,
    ) -> Result<()> {
        self.submits = 0;
        let encoder = self.train(gpu, work, learning_rate, staging, offset, true)?;
        self.settle(gpu, encoder, server, work)
    }

    /// The first half of [`Trainer::round`]: the lanes are trained, and wait for [`Trainer::average`]. Between the two,
    /// [`Trainer::distances`] can be asked for.
    ///
    /// # Errors
    /// As [`Trainer::round`].
    ///
    /// # Panics
    /// Where the options have no distances.
    pub fn train_only(&mut self, gpu: &Gpu, work: &[ClientWork], learning_rate: f32, staging: &Staging, offset: u64) -> Result<()> {
        assert!(self.plan.from_bases.is_some(), "lanes wait where distances can be measured");
        self.submits = 0;
        self.train(gpu, work, learning_rate, staging, offset, false)?;
        gpu.check()
    }

    /// The second half: the new average of every base, out of the lanes that wait. `work` is what they were trained by, but for the bases
    /// and shares, which say where each lane goes.
    ///
    /// # Errors
    /// [`Error::Gpu`] for the device's.
    ///
    /// # Panics
    /// Where they have other lanes.
    pub fn average(&mut self, gpu: &Gpu, server: &Rows, work: &[ClientWork]) -> Result<()> {
        for waiting in std::mem::take(&mut self.waiting) {
            let mut encoder = self.encoder(gpu);
            self.recall(&mut encoder, &waiting);
            self.write_members(gpu, work, &waiting.lanes);
            self.dispatches += self.program.play(gpu, &mut encoder, self.plan.aggregate, waiting.active());
            // The members of the next wave are written before its submit.
            gpu.submit(encoder);
            self.submits += 1;
        }
        self.settle(gpu, self.encoder(gpu), server, work)
    }

    /// Squared distances of the lanes that wait, in the order of [`Trainer::totals`], from the server's bases or from each other. Awaits
    /// the result.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    ///
    /// # Panics
    /// Where the options do not have these distances.
    pub async fn distances(&mut self, gpu: &Gpu, work: &[ClientWork], compared: Compared) -> Result<Vec<Vec<f64>>> {
        let places = places(work);
        let others: Vec<Option<&Waiting>> = match compared {
            Compared::WithBases => vec![None],
            Compared::WithLanes => self.waiting.iter().map(Some).collect(),
        };
        let mut all = vec![Vec::new(); places.len()];
        for own in &self.waiting {
            for other in &others {
                let mut encoder = self.encoder(gpu);
                let DistancePhase { phase, kernel, distances } = match other {
                    None => self.plan.from_bases.expect("distances from bases"),
                    Some(other) => {
                        let (phase, rows) = self.plan.from_lanes.expect("distances from lanes");
                        self.recall(&mut encoder, other);
                        let bytes = other.lanes.len() as u64 * self.average.row_bytes();
                        self.program.copy(&mut encoder, self.plan.parameters, rows, bytes);
                        phase
                    }
                };
                self.recall(&mut encoder, own);
                self.dispatches += self.program.play(gpu, &mut encoder, phase, own.active());
                let bytes = own.lanes.len() as u64 * kernel.lane_bytes();
                let staging = Staging::new(gpu, bytes);
                self.program.copy_out(&mut encoder, distances, bytes, &staging, 0);
                gpu.submit(encoder);
                self.submits += 1;
                let rows = kernel.parse(&staging.read(gpu).await?);
                for (lane, row) in own.lanes.iter().zip(rows) {
                    match other {
                        None => all[places[lane]] = row,
                        // Columns in the order of the rows.
                        Some(other) => {
                            let columns: &mut Vec<f64> = &mut all[places[lane]];
                            columns.resize(places.len(), 0.0);
                            other.lanes.iter().zip(row).for_each(|(lane, value)| columns[places[lane]] = value);
                        }
                    }
                }
            }
        }
        Ok(all)
    }

    /// Submits the local training of all clients; the lanes are averaged at once, or wait. Returns what is to be recorded after it.
    fn train(
        &mut self,
        gpu: &Gpu,
        work: &[ClientWork],
        learning_rate: f32,
        staging: &Staging,
        offset: u64,
        at_once: bool,
    ) -> Result<wgpu::CommandEncoder> {
        let order = lane_order(work);
        for client in work {
            let longest = client.batches.iter().map(Vec::len).max().unwrap_or(0);
            if client.batches.len() > self.options.training.steps as usize || longest > self.options.training.batch as usize {
                return Err(Error::Config(format!(
                    "a client's {} steps of up to {longest} images exceed the {} × {} planned for",
                    client.batches.len(),
                    self.options.training.steps,
                    self.options.training.batch
                )));
            }
        }
        self.dispatches = 0;
        self.waiting.clear();
        let submits = gpu.counts().submits;
        self.learning_rate = learning_rate;
        self.program.set(gpu, &self.plan.learning_rates, "learning_rate", learning_rate);
        self.program.set(gpu, &self.plan.rounds, "round", self.round);
        let mut encoder = self.encoder(gpu);
        self.average.clear(&mut encoder);
        self.control.iter().for_each(|c| c.variates.server.copy(&mut encoder, 0..c.sum.count, &c.sum, 0));
        let waves = order.len().div_ceil(self.lanes_per_wave as usize).max(1);
        let per_wave = order.len().div_ceil(waves).max(1);
        let mut done = 0u64;
        let second = offset + order.len() as u64 * TOTALS_BYTES;
        if self.plan.adversarial_totals.is_none() {
            // Counters of an earlier round may lie here.
            encoder.clear_buffer(&staging.buffer, second, Some(order.len() as u64 * TOTALS_BYTES));
        }
        for lanes in order.chunks(per_wave) {
            let slots;
            (encoder, slots) = self.wave(gpu, encoder, work, lanes, at_once);
            let bytes = lanes.len() as u64 * TOTALS_BYTES;
            self.program.copy_out(&mut encoder, self.plan.totals, bytes, staging, offset + done);
            if let Some(totals) = self.plan.adversarial_totals {
                self.program.copy_out(&mut encoder, totals, bytes, staging, second + done);
            }
            done += bytes;
            if !at_once {
                let bytes = lanes.len() as u64 * self.average.row_bytes();
                let parameters = (waves > 1).then(|| {
                    let own = gpu.storage("waiting lanes", bytes);
                    self.program.copy_to(&mut encoder, self.plan.parameters, &own, bytes);
                    own
                });
                self.waiting.push(Waiting { lanes: lanes.to_vec(), slots, parameters });
            }
            // Tables of the next wave are written before its submit: this one must be on its way.
            gpu.submit(encoder);
            encoder = self.encoder(gpu);
        }
        self.submits += gpu.counts().submits - submits;
        Ok(encoder)
    }

    /// Submits that the bases with lanes take over their averages; those that nobody trained keep their values.
    fn settle(&mut self, gpu: &Gpu, mut encoder: wgpu::CommandEncoder, server: &Rows, work: &[ClientWork]) -> Result<()> {
        let trained: BTreeSet<u32> = work.iter().flat_map(|client| &client.bases).map(|(base, _)| *base).collect();
        if let Some(step) = self.plan.server_step {
            let flags: Vec<u32> = (0..server.count).map(|base| trained.contains(&base).into()).collect();
            self.program.write(gpu, step.trained, 0, bytemuck::cast_slice(&flags));
            self.dispatches += self.program.play(gpu, &mut encoder, step.phase, Active { lanes: 0, slots: 0, step: 0 });
        }
        if let Some(Control { variates, sum, .. }) = &self.control {
            for base in &trained {
                variates.clients.parts.iter().for_each(|part| sum.copy_part(&mut encoder, *base, part, &variates.server));
            }
        }
        for base in trained {
            self.averaged.iter().for_each(|part| self.average.copy_part(&mut encoder, base, part, server));
        }
        gpu.submit(encoder);
        self.submits += 1;
        gpu.check()
    }

    /// Records that the lanes of a wave lie in the program's memory again.
    fn recall(&self, encoder: &mut wgpu::CommandEncoder, waiting: &Waiting) {
        if let Some(parameters) = &waiting.parameters {
            self.program.copy_from(encoder, parameters, self.plan.parameters, waiting.lanes.len() as u64 * self.average.row_bytes());
        }
    }

    /// Writes which base each lane of a wave is averaged into.
    fn write_members(&self, gpu: &Gpu, work: &[ClientWork], lanes: &[(usize, usize)]) {
        let members: Vec<(u32, f32)> = lanes.iter().map(|(client, i)| work[*client].bases[*i]).collect();
        self.program.write(gpu, self.plan.members, 0, bytemuck::cast_slice(&weighted_average::members(self.average.count, &members)));
    }

    /// Counters of every client of the round on clean images, one a base it trained, out of the bytes that were read back.
    pub fn totals(work: &[ClientWork], bytes: &[u8]) -> Vec<Vec<Totals>> {
        Trainer::parse(work, bytes)
    }

    /// The same on attacked images; zeros where there were none.
    pub fn adversarial_totals(work: &[ClientWork], bytes: &[u8]) -> Vec<Vec<Totals>> {
        Trainer::parse(work, &bytes[lane_order(work).len() * TOTALS_BYTES as usize..])
    }

    fn parse(work: &[ClientWork], bytes: &[u8]) -> Vec<Vec<Totals>> {
        let mut totals: Vec<Vec<Totals>> = work.iter().map(|c| vec![Totals::default(); c.bases.len()]).collect();
        for ((client, i), t) in lane_order(work).into_iter().zip(Totals::parse(bytes)) {
            totals[client][i] = t;
        }
        totals
    }

    fn encoder(&self, gpu: &Gpu) -> wgpu::CommandEncoder {
        gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("round") })
    }

    /// Records one wave, whose lanes are averaged at once or left. `lanes` are (client, index of its base). Returns its number of clients.
    fn wave(
        &mut self,
        gpu: &Gpu,
        encoder: wgpu::CommandEncoder,
        work: &[ClientWork],
        lanes: &[(usize, usize)],
        at_once: bool,
    ) -> (wgpu::CommandEncoder, u32) {
        let mut clients: Vec<usize> = Vec::new();
        let mut table = Vec::with_capacity(lanes.len() * 4);
        // Rows of clients have the same places in every store.
        let own_rows = self.options.personal.as_ref().or(self.control.as_ref().map(|control| &control.variates.clients));
        for (lane, (client, i)) in lanes.iter().enumerate() {
            // Lanes of a client are neighbours.
            if clients.last() != Some(client) {
                clients.push(*client);
            }
            let (base, _) = work[*client].bases[*i];
            let own = own_rows.map_or(0, |rows| rows.place(work[*client].client, base));
            table.extend([clients.len() as u32 - 1, lane as u32, base, own]);
        }
        let steps = clients.iter().map(|c| work[*c].batches.len()).max().unwrap_or(0);
        let row = 1 + self.options.training.batch as usize;
        let mut schedule = vec![0u32; steps * self.slots_per_wave as usize * row];
        for (slot, client) in clients.iter().enumerate() {
            for (step, batch) in work[*client].batches.iter().enumerate() {
                let at = (step * self.slots_per_wave as usize + slot) * row;
                schedule_row(&mut schedule[at..at + row], batch);
            }
        }
        self.program.write(gpu, self.plan.lanes, 0, bytemuck::cast_slice(&table));
        if at_once {
            self.write_members(gpu, work, lanes);
        }
        if let Some(Control { buffers, variates, .. }) = &self.control {
            let scale = |client: &usize| 1.0 / (work[*client].batches.len() as f32 * self.learning_rate);
            let scales: Vec<f32> = clients.iter().map(scale).collect();
            self.program.write(gpu, buffers.scales, 0, bytemuck::cast_slice(&scales));
            let members: Vec<(u32, f32)> =
                lanes.iter().map(|(c, i)| (work[*c].bases[*i].0, variates.shares[work[*c].client as usize])).collect();
            let members = weighted_average::members(self.average.count, &members);
            self.program.write(gpu, buffers.members, 0, bytemuck::cast_slice(&members));
        }
        self.program.write(gpu, self.plan.schedule, 0, bytemuck::cast_slice(&schedule));

        let mut encoder = encoder;
        let all = Active { lanes: lanes.len() as u32, slots: clients.len() as u32, step: 0 };
        self.program.clear(&mut encoder, self.plan.totals);
        self.plan.adversarial_totals.iter().for_each(|t| self.program.clear(&mut encoder, *t));
        self.dispatches += self.program.play(gpu, &mut encoder, self.plan.start, all);
        let attack_steps = self.options.training.adversarial.map_or(0, |a| a.steps);
        for step in 0..steps {
            let still = |c: &usize| work[*c].batches.len() > step;
            let active = Active {
                lanes: lanes.iter().take_while(|(c, _)| still(c)).count() as u32,
                slots: clients.iter().take_while(|c| still(c)).count() as u32,
                step: step as u32,
            };
            if let Some((attack, attack_step)) = self.plan.attack {
                self.dispatches += self.program.play(gpu, &mut encoder, attack, active);
                for _ in 0..attack_steps {
                    self.dispatches += self.program.play(gpu, &mut encoder, attack_step, active);
                }
            }
            self.dispatches += self.program.play(gpu, &mut encoder, self.plan.step, active);
        }
        if at_once {
            self.dispatches += self.program.play(gpu, &mut encoder, self.plan.aggregate, all);
        }
        self.dispatches += self.program.play(gpu, &mut encoder, self.plan.finish, all);
        (encoder, clients.len() as u32)
    }
}

impl Waiting {
    fn active(&self) -> Active {
        Active { lanes: self.lanes.len() as u32, slots: self.slots, step: 0 }
    }
}

/// The place of each lane, as (client, index of its base), among all, client by client.
fn places(work: &[ClientWork]) -> HashMap<(usize, usize), usize> {
    let lanes = work.iter().enumerate().flat_map(|(client, w)| (0..w.bases.len()).map(move |i| (client, i)));
    lanes.zip(0..).collect()
}

/// All lanes as (client, index of its base), clients with more steps first.
fn lane_order(work: &[ClientWork]) -> Vec<(usize, usize)> {
    let mut clients: Vec<usize> = (0..work.len()).collect();
    clients.sort_by_key(|c| std::cmp::Reverse(work[*c].batches.len()));
    clients.into_iter().flat_map(|c| (0..work[c].bases.len()).map(move |i| (c, i))).collect()
}
