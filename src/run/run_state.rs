//! One run: its options, model, clients, state and best round; who trains what in its next round, its validation, metrics and checkpoints. Its
//! lanes are trained by [`super::Federation`], alone or beside those of other runs.

use super::checkpoint::{Checkpoint, DataFingerprint, Header};
use super::config::{TrainConfig, ValidConfig};
use super::init::begin_from;
use super::metrics::{RoundMetrics, width_metrics};
use super::model::{self, Images, Model, TestSettings, batches_of_clients, per_client};
use crate::data::Dataset;
use crate::engine::{
    AttackOptions, Attacker, Batch, ClientRows, ClientWork, ControlVariates, Corner, Ensemble, EvaluateOptions, Evaluator, GroupWork,
    Limit, OptimizerState, Staging, Totals, TrainingState,
};
use crate::fl::{Client, Found, Lane, Ratio, RoundPlan, Selection, Stage, State, Submodel, Task, Warning, batches, plan_round};
use crate::gpu::Gpu;
use crate::{Error, Result};
use std::sync::Arc;

/// Where a run begins.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// The effective configuration.
    pub config: ValidConfig,
    /// The checkpoint that it goes on from, with its file's name for errors; none: the first round.
    pub checkpoint: Option<(Checkpoint, String)>,
    /// Without a checkpoint to go on from: the one whose bases the first round begins with, with its file's name for errors; none: fresh
    /// bases.
    pub init: Option<(Checkpoint, String)>,
}

/// A run in training.
pub struct Run {
    /// The device it runs on.
    pub gpu: Gpu,
    /// The effective configuration.
    pub config: ValidConfig,
    /// All clients.
    pub clients: Vec<Client>,
    /// What is unusual about the clients' shares.
    pub warnings: Vec<Warning>,
    /// How the bases of another training fit this one, where it begins with them; one line each.
    pub notes: Vec<String>,
    /// The server's ensemble.
    pub model: Model,
    /// The data set on the GPU.
    pub images: Arc<Images>,
    /// Rounds trained so far.
    pub rounds_done: usize,
    /// The best round so far.
    pub selection: Selection,
    state: State,
    validation: Option<Validation>,
    /// Evaluates one base after the other on training images, where the algorithm asks for losses.
    losses: Option<Evaluator>,
    snapshot: Option<Snapshot>,
    fingerprint: DataFingerprint,
}

/// What follows the training of a round: bytes of counters of its validation, then of the bases; dispatches.
#[derive(Default)]
pub(super) struct End {
    validation: u64,
    state: u64,
    pub(super) dispatches: u64,
}

impl End {
    /// Bytes in all.
    pub(super) fn bytes(&self) -> u64 {
        self.validation + self.state
    }
}

/// The model after a round, as it was read back with the round's counters: it outlives the device.
struct Snapshot {
    rounds_done: usize,
    bytes: Vec<u8>,
}

/// Every client's validation batches and the program that evaluates them.
struct Validation {
    /// Those of the widths that are mixed, or of one corner each.
    evaluators: Vec<(Evaluator, Option<Corner>)>,
    /// Of the full width, in adversarial training.
    attacker: Option<Attacker>,
    batches: Vec<Batch>,
}

impl Validation {
    /// Asks each client's own base from now on, where they have such.
    fn set_own(&mut self, own: &Option<Vec<u32>>) {
        self.evaluators.iter_mut().for_each(|(evaluator, _)| evaluator.set_own(own));
        self.attacker.iter_mut().for_each(|attacker| attacker.set_own(own));
    }

    /// Bytes of staging that a validation needs: standard accuracies, then robust accuracy.
    fn staging_bytes(&self) -> u64 {
        let standard: u64 = self.evaluators.iter().map(|(e, _)| e.staging_bytes(self.batches.len())).sum();
        standard + self.attacker.as_ref().map_or(0, |a| a.staging_bytes(self.batches.len()))
    }

    /// Submits a validation, corners taken first. Its counters go to `staging` at `offset`. Returns the number of dispatches.
    fn submit(&mut self, gpu: &Gpu, staging: &Staging, offset: u64) -> Result<u64> {
        let (mut at, mut dispatches) = (offset, 0);
        for (evaluator, corner) in &mut self.evaluators {
            dispatches += corner.as_ref().map_or(0, |corner| corner.take_now(gpu));
            evaluator.submit(gpu, &self.batches, staging, at)?;
            dispatches += evaluator.dispatches;
            at += evaluator.staging_bytes(self.batches.len());
        }
        if let Some(attacker) = &mut self.attacker {
            let before = gpu.counts();
            attacker.submit(gpu, &self.batches, staging, at)?;
            dispatches += (gpu.counts() - before).dispatches;
        }
        Ok(dispatches)
    }

    /// Counters `[batch][width]` out of the bytes that were read back; those of attacked images, `[batch][1]`, in adversarial training.
    fn totals(&self, bytes: &[u8]) -> (Vec<Vec<Totals>>, Option<Vec<Vec<Totals>>>) {
        let mut all = vec![Vec::new(); self.batches.len()];
        let mut rest = bytes;
        for (evaluator, _) in &self.evaluators {
            let (own, others) = rest.split_at(evaluator.staging_bytes(self.batches.len()) as usize);
            all.iter_mut().zip(evaluator.totals(own)).for_each(|(all, own)| all.extend(own));
            rest = others;
        }
        let attacked = self.attacker.as_ref().map(|a| a.results(&self.batches, rest).iter().map(|a| vec![a.totals]).collect());
        (all, attacked)
    }
}

/// Mean loss and accuracy over images.
pub(super) struct Means {
    loss: f64,
    accuracy: f64,
}

impl Means {
    /// Over the counters of clients, in their order.
    pub(super) fn of<'a>(totals: impl Iterator<Item = &'a Vec<Totals>>) -> Means {
        let (mut loss, mut correct, mut samples) = (0.0, 0u64, 0u64);
        for t in totals.flatten() {
            loss += f64::from(t.loss);
            correct += u64::from(t.correct);
            samples += u64::from(t.samples);
        }
        let count = samples.max(1) as f64;
        Means { loss: loss / count, accuracy: correct as f64 / count }
    }
}

impl Run {
    /// One of so many runs that are trained together.
    pub(super) async fn new(gpu: &Gpu, dataset: &Dataset, images: &Arc<Images>, spec: RunSpec, together: usize) -> Result<Run> {
        let config = spec.config;
        let Some((mut checkpoint, file)) = spec.checkpoint else {
            let mut model = initial_model(gpu, dataset, &config)?;
            let notes = match spec.init {
                Some((checkpoint, file)) => begin_from(gpu, &mut model, checkpoint, &file, &config)?,
                None => Vec::new(),
            };
            let run = Run::with_model(gpu, dataset, images, config, model, (None, None), together).await?;
            return Ok(Run { notes, ..run });
        };
        let header = checkpoint.header.clone();
        let state = header.state.ok_or_else(|| {
            Error::Data(format!("{file}: it keeps the best round's bases but not the state of sampling: resume from last.safetensors"))
        })?;
        if header.classes != dataset.classes.len() {
            return Err(Error::Data(format!(
                "{file}: trained on {} classes, the data has {}: use the data that the run was started with",
                header.classes,
                dataset.classes.len()
            )));
        }
        let kept = checkpoint.split_training();
        let model = Model::from_checkpoint(gpu, checkpoint, &file)?;
        let begun = (Some(state), Some((kept, file.as_str())));
        let mut run = Run::with_model(gpu, dataset, images, config, model, begun, together).await?;
        if let Some(difference) = header.data.and_then(|then| then.difference(&run.fingerprint)) {
            return Err(Error::Data(format!("{file}: {difference}: use the data that the run was started with")));
        }
        run.rounds_done = header.rounds_done;
        run.selection = Selection { best: header.best };
        Ok(run)
    }

    async fn with_model(
        gpu: &Gpu,
        dataset: &Dataset,
        images: &Arc<Images>,
        config: ValidConfig,
        mut model: Model,
        (state, kept): (Option<State>, Option<(Checkpoint, &str)>),
        together: usize,
    ) -> Result<Run> {
        let parts = model::partition(dataset, &config)?;
        let clients = parts.clients;
        let state = match state {
            Some(state) => state,
            None => model.algorithm.start(config.seed, clients.len())?,
        };
        model.own = model.algorithm.own_bases(&state);
        model.check_clients(clients.len())?;
        let training = training_state(gpu, &model, &config, &clients)?;
        match kept {
            Some((mut kept, file)) => model.load_state(gpu, training, &mut kept, file)?,
            None => model.state = training,
        }
        let fingerprint = DataFingerprint::new(dataset, &clients);
        let robust = config.lambda_train > 0.0;
        let lists: Vec<Vec<u32>> = clients.iter().map(|c| images.validation_indices(c)).collect();
        let batches = batches_of_clients(&lists, config.batch_size)?;
        let validation = if batches.is_empty() {
            None
        } else {
            // Standard accuracy is that of the clean batch norms alone, robust accuracy that of the adversarial ones.
            let parts = model.parts(gpu, &config.widths.0).await?;
            let (batch, count) = (config.batch_size as u32, batches.len() as u32);
            // A quarter of what images and bases leave.
            let share = config.limit().share(taken(images, &model, together), 2).split((parts.len() * together) as u64);
            let attacker = match parts.last() {
                Some(part) if robust => {
                    let options = AttackOptions {
                        attack: config.train_attack.into(),
                        bases: part.counts().last().copied().unwrap_or(1),
                        ensemble: model.validated(1.0),
                        batch,
                        batches: count,
                        seed: config.seed as u32,
                        limit: share,
                        guarded: false,
                    };
                    Some(Attacker::new(gpu, part.network(), part.server(), &images.store, options).await?)
                }
                _ => None,
            };
            let mut evaluators = Vec::new();
            for part in parts {
                let (widths, ensemble) = (part.counts().to_vec(), model.validated(0.0));
                let options = EvaluateOptions { batch, widths, ensemble, batches: count, limit: share, guarded: false };
                let evaluator = Evaluator::new(gpu, part.network(), part.server(), &images.store, options).await?;
                evaluators.push((evaluator, part.into_corner()));
            }
            Some(Validation { evaluators, attacker, batches })
        };
        let losses = match model.algorithm.asks_for(Stage::Losses, config.rounds) {
            true => {
                let count = clients.iter().map(|c| c.train.len().div_ceil(config.batch_size)).sum::<usize>() as u32;
                let limit = config.limit().share(taken(images, &model, together), 2).split(together as u64);
                let ensemble = Ensemble { own: None, ..model.validated(0.0) };
                let batch = config.batch_size as u32;
                let options = EvaluateOptions { batch, widths: vec![1], ensemble, batches: count, limit, guarded: false };
                Some(Evaluator::new(gpu, &model.network, &model.server, &images.store, options).await?)
            }
            false => None,
        };
        // Before the rounds, not after them.
        let fits = model.check_test(gpu, images, &clients, &config, &config.test_settings()).await;
        fits.map_err(|error| match error {
            Error::Config(message) => Error::Config(format!("the test after the training: {message}")),
            other => other,
        })?;
        Ok(Run {
            gpu: gpu.clone(),
            config,
            clients,
            warnings: parts.warnings,
            notes: Vec::new(),
            model,
            images: images.clone(),
            rounds_done: 0,
            selection: Selection { best: None },
            state,
            validation,
            losses,
            snapshot: None,
            fingerprint,
        })
    }

    /// Most lanes of a round among the clients of that submodel: the clients that train most bases, as many as take part.
    pub(super) fn most_lanes(&self, submodel: &Option<Submodel>) -> Result<usize> {
        let mut lanes: Vec<usize> = self.tasks()?.into_iter().filter(|task| task.submodel == *submodel).map(|task| task.bases).collect();
        lanes.sort_unstable_by(|a, b| b.cmp(a));
        Ok(lanes.iter().take(self.config.clients_per_round.unwrap_or(usize::MAX)).sum())
    }

    /// What each client that can train trains in a round, at most.
    pub(super) fn tasks(&self) -> Result<Vec<Task>> {
        self.clients.iter().filter(|c| c.can_train()).map(|c| self.model.algorithm.task(c.budget)).collect()
    }

    /// Most local steps of a client in a round.
    pub(super) fn most_steps(&self) -> Result<usize> {
        let c = &self.config;
        let mut steps = equal_steps(c, &self.clients).unwrap_or(0);
        for client in self.clients.iter().filter(|_| !c.equal_steps()) {
            steps = steps.max(batches::batch_sizes(client.train.len(), c.batch_size)?.len() * c.local_epochs);
        }
        Ok(steps)
    }

    /// Bytes of staging that validation and checkpoint of a round need.
    pub(super) fn staging_bytes(&self) -> u64 {
        self.validation.as_ref().map_or(0, Validation::staging_bytes) + self.model.state_bytes()
    }

    /// Decides the next round: who trains what.
    pub(super) fn plan(&mut self) -> Result<RoundPlan> {
        let settings = self.config.round_settings(self.rounds_done);
        plan_round(&settings, &*self.model.algorithm, &self.clients, &mut self.state, self.rounds_done)
    }

    /// The mean loss of every base on the training images of each of the round's clients.
    pub(super) async fn losses(&mut self, plan: &RoundPlan) -> Result<Found> {
        let evaluator = self.losses.as_mut().expect("the algorithm asks for losses");
        let (mut batches, mut slots) = (Vec::new(), Vec::new());
        for (slot, own) in plan.clients.iter().enumerate() {
            let images = self.images.train_indices(&self.clients[own.client]);
            for images in batches::evaluation_batches(&images, self.config.batch_size)? {
                batches.push(Batch { client: own.client as u32, images });
                slots.push(slot);
            }
        }
        let bytes = evaluator.staging_bytes(batches.len());
        let bases = self.model.server.count;
        let staging = Staging::new(&self.gpu, bytes * u64::from(bases));
        for base in 0..bases {
            evaluator.set_bases(&self.model.server, &[base]);
            evaluator.submit(&self.gpu, &batches, &staging, bytes * u64::from(base))?;
        }
        let read = staging.read(&self.gpu).await?;
        let mut losses = vec![Vec::new(); plan.clients.len()];
        for of_base in read.chunks_exact(bytes as usize) {
            let mut sums = vec![(0.0, 0u32); plan.clients.len()];
            for (slot, totals) in slots.iter().zip(evaluator.totals(of_base)) {
                sums[*slot].0 += f64::from(totals[0].loss);
                sums[*slot].1 += totals[0].samples;
            }
            losses.iter_mut().zip(sums).for_each(|(all, (loss, images))| all.push(loss / f64::from(images.max(1))));
        }
        Ok(Found::Losses(losses))
    }

    /// Lets the algorithm draw its conclusions from what a stage found.
    pub(super) fn conclude(&mut self, found: Found, plan: &mut RoundPlan) -> Result<()> {
        self.model.algorithm.after(found, plan, &mut self.state)?;
        plan.share_out();
        Ok(())
    }

    /// Submits what the round that was trained is followed by: its validation and a copy of the bases, both as configured, to
    /// `staging` at `offset`.
    pub(super) fn submit_end(&mut self, staging: &Staging, offset: u64) -> Result<End> {
        let (round, mut end) = (self.rounds_done, End::default());
        self.model.own = self.model.algorithm.own_bases(&self.state);
        self.validation.iter_mut().for_each(|v| v.set_own(&self.model.own));
        let validates = self.config.validates_after(round);
        if let (true, Some(v)) = (validates, &mut self.validation) {
            end.dispatches = v.submit(&self.gpu, staging, offset)?;
            end.validation = v.staging_bytes();
        }
        if validates || self.config.saves_after(round) {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("state") });
            self.model.copy_state(&mut encoder, staging, offset + end.validation);
            self.gpu.submit(encoder);
            end.state = self.model.state_bytes();
        }
        Ok(end)
    }

    /// Ends the round: its metrics out of its counters, on clean and on attacked images, and of the bytes that
    /// [`Run::submit_end`] asked for.
    pub(super) fn finish(&mut self, plan: &RoundPlan, [clean, adversarial]: [Means; 2], end: &End, bytes: &[u8]) -> Result<RoundMetrics> {
        let round = plan.round;
        let lambda = self.config.lambda_train;
        // A part that is not trained on has no images, and a loss of 0.
        let loss = (1.0 - lambda) * clean.loss + lambda * adversarial.loss;
        if !loss.is_finite() {
            return Err(Error::Training(format!(
                "training diverged in round {}: the loss is not a number; start again with a lower lr (now {})",
                round + 1,
                plan.lr
            )));
        }
        let (validated, state) = bytes.split_at(end.validation as usize);
        let mut validation = Vec::new();
        let mut robust_validation = None;
        let mut best = false;
        if let Some(v) = self.validation.as_ref().filter(|_| !validated.is_empty()) {
            let (totals, attacked) = v.totals(validated);
            let widths = &self.config.widths.0;
            let metrics = |width: Ratio, sums: &[Vec<Totals>], i: usize| {
                let accuracy = |t: &Totals| (t.samples > 0).then(|| t.accuracy());
                let of_client = |(c, t): (&Client, &Vec<Totals>)| (self.images.domains[c.domain].as_str(), accuracy(&t[i]));
                width_metrics(width, &self.clients.iter().zip(sums).map(of_client).collect::<Vec<_>>())
            };
            let sums = per_client(self.clients.len(), widths.len(), &v.batches, &totals);
            validation.extend(widths.iter().enumerate().map(|(i, width)| metrics(*width, &sums, i)));
            // The widths are ascending: the last is the full one.
            let full = widths[widths.len() - 1];
            if let Some(totals) = attacked {
                robust_validation = Some(metrics(full, &per_client(self.clients.len(), 1, &v.batches, &totals), 0));
            }
            let standard = validation.last().and_then(|v| v.accuracy);
            let robust = robust_validation.as_ref().map_or(Some(0.0), |v| v.accuracy);
            if let (Some(standard), Some(robust)) = (standard, robust) {
                best = self.selection.offer(round, (1.0 - lambda) * standard + lambda * robust);
            }
        }
        self.rounds_done += 1;
        self.snapshot = (!state.is_empty()).then(|| Snapshot { rounds_done: self.rounds_done, bytes: state.to_vec() });
        Ok(RoundMetrics {
            round,
            lr: plan.lr,
            clients: plan.clients.len(),
            lanes: plan.lanes.len(),
            train_loss: loss,
            train_accuracy: if lambda < 1.0 { clean.accuracy } else { adversarial.accuracy },
            robust_train_accuracy: (lambda > 0.0).then_some(adversarial.accuracy),
            validation,
            robust_validation,
            best,
            own_bases: self.model.own.clone(),
            figures: self.model.algorithm.figures(&self.state),
        })
    }

    /// What every participating client does in a round, by group of lanes and by the engine's image indices; `base` says which base of a lane
    /// is meant.
    pub(super) fn work(&self, plan: &RoundPlan, submodels: &[Option<Submodel>], base: fn(&Lane) -> usize) -> Result<Vec<GroupWork>> {
        let mut work = vec![GroupWork::default(); submodels.len()];
        for (group, submodel) in work.iter_mut().zip(submodels) {
            let weights = plan.weights.iter().find(|(own, _)| own == submodel);
            group.weights = weights.map_or(Vec::new(), |(_, weights)| weights.iter().map(|w| *w as f32).collect());
        }
        for (slot, p) in plan.clients.iter().enumerate() {
            let images = self.images.train_indices(&self.clients[p.client]);
            let c = &self.config;
            let batches = match equal_steps(c, &self.clients) {
                Some(steps) => batches::cycled_batches(c.seed, plan.round, p.client, steps, &images, c.batch_size),
                None => batches::local_batches(c.seed, plan.round, p.client, c.local_epochs, &images, c.batch_size)?,
            };
            let lanes = plan.lanes.iter().filter(|l| l.slot == slot);
            let own = ClientWork { client: p.client as u32, batches, bases: lanes.map(|l| (base(l) as u32, l.share as f32)).collect() };
            let group = submodels.iter().position(|own| *own == p.submodel).expect("those of all clients that train");
            work[group].clients.push(own);
        }
        Ok(work)
    }

    /// Everything needed to go on from here, and to evaluate at any width. After a round with validation, and where a checkpoint is
    /// due (`checkpoint-every`), it came with the round's readback: then the device is not asked, and may be lost.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn checkpoint(&self) -> Result<Checkpoint> {
        let tensors = match &self.snapshot {
            Some(state) if state.rounds_done == self.rounds_done => self.model.parse_state(&state.bytes),
            _ => self.model.tensors(&self.gpu).await?,
        };
        let input = self.model.network.input;
        let algorithm = &self.model.algorithm;
        Ok(Checkpoint {
            header: Header {
                network: self.model.network.name.clone(),
                classes: self.model.classes,
                image: [input.channels as usize, input.height as usize, input.width as usize],
                bases: self.model.server.count as usize,
                base_width: algorithm.base_width(),
                max_width: algorithm.full_width()?,
                rounds_done: self.rounds_done,
                best: self.selection.best,
                state: Some(self.state.clone()),
                own_bases: self.model.own.clone(),
                mixed: None,
                config: self.config.clone().into(),
                data: Some(self.fingerprint.clone()),
            },
            tensors,
        })
    }

    /// Replaces the server's bases and the clients' batch norms, as by those of the best round before a test.
    ///
    /// # Errors
    /// [`Error::Data`] where tensors are missing or have other shapes.
    pub fn load_bases(&mut self, checkpoint: Checkpoint, file: &str) -> Result<()> {
        self.snapshot = None;
        self.model.load_bases(&self.gpu, checkpoint, file)
    }

    /// Accuracy of the server's bases on the clients' test images, through the clean batch norms where they are dual. In batch-norm
    /// mode `post` every client re-estimates statistics first.
    ///
    /// # Errors
    /// As [`Model::test`].
    pub async fn test(&mut self) -> Result<model::Report> {
        self.model.estimate_statistics(&self.gpu, &self.images, &self.clients, &self.config).await?;
        let settings = self.config.test_settings();
        self.model.test(&self.gpu, &self.images, &self.clients, &settings).await
    }
}

/// The ensemble before its first round.
fn initial_model(gpu: &Gpu, dataset: &Dataset, config: &ValidConfig) -> Result<Model> {
    let algorithm = config.algorithm();
    let network = config.network(dataset.classes.len())?;
    let bases = algorithm.bases()?;
    let server = model::initial_bases(gpu, &network, bases, algorithm.base_width(), config.seed, config.rescale_init)?;
    if algorithm.shares_start() {
        server.repeat_first(gpu);
    }
    let mut local = None;
    if config.keeps_any() {
        let clients = model::partition(dataset, config)?.clients.len() as u32;
        local = ClientRows::new(gpu, &network, |tensor| config.keeps(tensor), clients, bases as u32)?;
    }
    if let Some(local) = &local {
        local.begin(gpu, &server);
    }
    let (architecture, classes, bn_mode) = (config.network.architecture()?, dataset.classes.len(), config.bn_mode);
    let state = TrainingState::default();
    Ok(Model { network, server, state, algorithm, architecture, classes, bn_mode, local, own: None, mixed: None })
}

/// What a training keeps besides the bases, as it is before the first round.
fn training_state(gpu: &Gpu, model: &Model, config: &ValidConfig, clients: &[Client]) -> Result<TrainingState> {
    let Model { network, server, local, .. } = model;
    let optimizer = config.server_optimizer().map(|optimizer| OptimizerState::new(gpu, server, optimizer));
    let images = |client: &Client| if client.can_train() { client.train.len() as f64 } else { 0.0 };
    let all: f64 = clients.iter().map(images).sum();
    let shares = || clients.iter().map(|client| (images(client) / all) as f32).collect();
    let control = config.scaffold.then(|| ControlVariates::new(gpu, network, server, local.as_ref(), shares())).transpose()?;
    Ok(TrainingState { optimizer, control })
}

/// Bytes of images, bases and averages: what is left of the user's limit is shared by training and validation. Together, all bases lie
/// once more in the program of the training.
pub(super) fn taken(images: &Images, model: &Model, together: usize) -> u64 {
    let stores = if together > 1 { 3 * together as u64 } else { 2 };
    images.store.bytes() + stores * model.server.bytes() + model.state.bytes()
}

/// The number of steps that every client takes in a round, where their numbers of images differ by design.
fn equal_steps(config: &ValidConfig, clients: &[Client]) -> Option<usize> {
    let sizes = clients.iter().filter(|c| c.can_train()).map(|c| c.train.len());
    config.equal_steps().then(|| batches::mean_steps(sizes, config.local_epochs, config.batch_size))
}

impl TrainConfig {
    /// How much of the GPU a program may take.
    pub fn limit(&self) -> Limit {
        let lanes = self.wave_lanes.map(|n| n.min(u32::MAX as usize) as u32);
        Limit { memory: self.memory_limit.map(|b| b.0), lanes, ..Limit::default() }
    }

    /// The test after the training.
    fn test_settings(&self) -> TestSettings {
        TestSettings { widths: self.widths.0.clone(), lambda: 0.0, order: Vec::new(), batch: self.eval_batch_size, limit: self.limit() }
    }
}
