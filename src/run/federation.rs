//! The federated loop, of one run or of several together: a round plans who trains what, trains every lane on the GPU, averages each base,
//! validates, and reads its counters back once.
//!
//! The lanes of all runs go through the same dispatches. A lane never depends on another, and averages add the lanes of a base in their
//! order, so a run among others comes to the same bits as alone. Each keeps its own model, state, clients and validation; what they share is
//! the program of the training, whose bases are those of all of them, one run's after the other's.

use super::checkpoint::Checkpoint;
use super::config::TrainConfig;
use super::metrics::RoundMetrics;
use super::model::{Images, Report};
use super::run_state::{Means, Run, RunSpec, taken};
use crate::data::Dataset;
use crate::engine::{
    Adversarial, Compared, Distances, GroupSetting, GroupWork, LaneGroups, LocalTraining, Narrower, Rows, Staging, TrainOptions,
};
use crate::fl::{Found, Lane, Ratio, RoundPlan, Stage, Submodel};
use crate::gpu::Gpu;
use crate::{Error, Result};
use std::sync::Arc;

/// Runs on one device that are trained together; mostly one.
pub struct Federation {
    runs: Vec<Run>,
    training: Training,
    /// Whether a round failed: what is on the device belongs to no round.
    failed: bool,
}

/// Options of a federation that is to be made; see [`Federation::builder`].
pub struct FederationBuilder<'a> {
    gpu: Gpu,
    dataset: &'a Dataset,
    config: Option<TrainConfig>,
    checkpoint: Option<(Checkpoint, String)>,
    init: Option<(Checkpoint, String)>,
}

impl FederationBuilder<'_> {
    /// The options of the training. By default those of the checkpoint that it resumes, else those of the default run.
    pub fn config(self, config: impl Into<TrainConfig>) -> Self {
        FederationBuilder { config: Some(config.into()), ..self }
    }

    /// Continues where `checkpoint` was written (its file's name in `file`, for errors), bit for bit. Options that are given, too, must be
    /// those of then, but for what may differ ([`TrainConfig::check_resume`]).
    pub fn resume(self, checkpoint: Checkpoint, file: &str) -> Self {
        FederationBuilder { checkpoint: Some((checkpoint, file.into())), ..self }
    }

    /// Starts the first round with the bases of a checkpoint in place of fresh ones. Without effect if a checkpoint is resumed.
    pub fn init(self, checkpoint: Checkpoint, file: &str) -> Self {
        FederationBuilder { init: Some((checkpoint, file.into())), ..self }
    }

    /// The federation, before its next round.
    ///
    /// # Errors
    /// [`Error::Config`] naming an option that is not valid, [`Error::Data`] if data and options, or data and checkpoint, do not fit each
    /// other, [`Error::Gpu`] for the device's.
    pub async fn build(self) -> Result<Federation> {
        let saved = || self.checkpoint.as_ref().map(|(checkpoint, _)| checkpoint.header.config.clone());
        let config = self.config.clone().or_else(saved).unwrap_or_default().validate()?;
        Federation::together(&self.gpu, self.dataset, vec![RunSpec { config, checkpoint: self.checkpoint, init: self.init }]).await
    }
}

/// What a round did.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundOutcome {
    /// What the configuration, the data and the adapter decide.
    pub metrics: RoundMetrics,
    /// Federations that were trained together; waves, dispatches and submits are those of all of them.
    pub together: usize,
    /// Waves that the lanes were trained in.
    pub waves: usize,
    /// Dispatches of training and validation.
    pub dispatches: u64,
    /// Submits of the training.
    pub submits: u64,
    /// Who trained what: (client, base) pairs.
    pub trained: Vec<(usize, usize)>,
}

impl Federation {
    /// What a federation of one run is made of: a device and data, and by default the options of the default run.
    pub fn builder(gpu: Gpu, dataset: &Dataset) -> FederationBuilder<'_> {
        FederationBuilder { gpu, dataset, config: None, checkpoint: None, init: None }
    }

    /// Runs of one data set, each as its specification says. Their configurations must allow it
    /// ([`super::TrainConfig::trains_together`]); any one can be alone.
    ///
    /// # Errors
    /// [`Error::Config`] for none, for runs that do not go together, and if they do not fit the adapter or the memory limit; else as
    /// [`FederationBuilder::build`].
    pub async fn together(gpu: &Gpu, dataset: &Dataset, specs: Vec<RunSpec>) -> Result<Federation> {
        let Some((first, others)) = specs.split_first() else {
            return Err(Error::Config("there is no run to train: name at least one".into()));
        };
        for other in others {
            if !first.config.trains_together(&other.config)? {
                return Err(Error::Config(format!(
                    "{} and {} cannot be trained together: they may differ in seed and clients-per-round only, and not be adversarial, \
                     augment images, leave anything with the clients, or have a server optimiser or scaffold; train them one after the \
                     other",
                    first.config.out.display(),
                    other.config.out.display()
                )));
            }
        }
        let images = Arc::new(Images::new(gpu, dataset, first.config.network(dataset.classes.len())?.input)?);
        let (together, mut runs) = (specs.len(), Vec::new());
        for spec in specs {
            runs.push(Run::new(gpu, dataset, &images, spec, together).await?);
        }
        let training = Training::new(&runs).await?;
        Ok(Federation { runs, training, failed: false })
    }

    /// A federation of a run that was one of several.
    ///
    /// # Errors
    /// [`Error::Config`] if it does not fit the adapter or the memory limit, [`Error::Gpu`] for the device's.
    pub async fn of(run: Run) -> Result<Federation> {
        let runs = vec![run];
        let training = Training::new(&runs).await?;
        Ok(Federation { runs, training, failed: false })
    }

    /// The runs, in the order of their specifications.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The first run, which is the only one of a federation that a builder made.
    pub fn run(&self) -> &Run {
        &self.runs[0]
    }

    /// The same, to be tested or to be given other bases.
    pub fn run_mut(&mut self) -> &mut Run {
        &mut self.runs[0]
    }

    /// The runs, without the program of their training.
    pub fn into_runs(self) -> Vec<Run> {
        self.runs
    }

    /// Lanes of all runs that are trained at once, of each width of lanes.
    pub fn lanes_per_wave(&self) -> Vec<u32> {
        self.training.lanes.lanes_per_wave()
    }

    /// [`Federation::round`], as long as the first run has rounds left; then nothing.
    pub async fn next_round(&mut self) -> Option<Result<RoundOutcome>> {
        match self.run().rounds_done < self.run().config.rounds {
            true => Some(self.round().await),
            false => None,
        }
    }

    /// Trains, averages and (as configured) validates the next round of the first run. One readback, at its end.
    ///
    /// # Errors
    /// [`Error::Training`] if the loss is no longer a number, [`Error::Gpu`] for the device's. After an error every further round is an error,
    /// too: the last checkpoint is the place to continue from.
    pub async fn round(&mut self) -> Result<RoundOutcome> {
        if self.failed {
            return Err(Error::Training("an earlier round failed: resume from the last checkpoint".into()));
        }
        // Also if the future is dropped halfway.
        self.failed = true;
        let outcome = self.training.round(&mut [(0, &mut self.runs[0])]).await?.remove(0);
        self.failed = outcome.is_err();
        outcome
    }

    /// The same for all runs that are furthest behind, among these that have rounds left, by their numbers; nothing if no rounds are left.
    ///
    /// # Errors
    /// [`Error::Gpu`] for the device's: then none of them must be used any more. An error of one run alone, as [`Federation::round`] has it,
    /// is in its own outcome: that one must not be named again.
    pub async fn round_of(&mut self, among: &[usize]) -> Result<Vec<(usize, Result<RoundOutcome>)>> {
        let left = |(i, run): &(usize, &Run)| among.contains(i) && run.rounds_done < run.config.rounds;
        let Some(round) = self.runs.iter().enumerate().filter(left).map(|(_, run)| run.rounds_done).min() else {
            return Ok(Vec::new());
        };
        let behind = |(i, run): &(usize, &mut Run)| among.contains(i) && run.rounds_done == round;
        let mut runs: Vec<(usize, &mut Run)> = self.runs.iter_mut().enumerate().filter(behind).collect();
        let outcomes = self.training.round(&mut runs).await?;
        Ok(runs.iter().map(|(i, _)| *i).zip(outcomes).collect())
    }

    /// [`Run::checkpoint`] of the first run.
    ///
    /// # Errors
    /// As there.
    pub async fn checkpoint(&self) -> Result<Checkpoint> {
        self.run().checkpoint().await
    }

    /// [`Run::test`] of the first run.
    ///
    /// # Errors
    /// As there.
    pub async fn test(&mut self) -> Result<Report> {
        self.run_mut().test().await
    }
}

/// The program of the training of one run or of several together.
struct Training {
    /// What the clients of each group of lanes train.
    submodels: Vec<Option<Submodel>>,
    lanes: LaneGroups,
    /// Place of each run's first base among all.
    first: Vec<u32>,
    /// Number of all bases.
    bases: u32,
    /// The bases of all of them; none where there is one run, whose own are trained.
    joint: Option<Rows>,
    staging: Staging,
}

impl Training {
    /// The program for these runs, of like configurations.
    ///
    /// # Errors
    /// [`Error::Config`] where they do not fit the adapter or the memory limit, [`Error::Gpu`] where the device refuses.
    async fn new(runs: &[Run]) -> Result<Training> {
        let Run { gpu, config, model, images, .. } = &runs[0];
        let network = &model.network;
        let mut first = Vec::new();
        let mut bases = 0;
        for run in runs {
            first.push(bases);
            bases += run.model.server.count;
        }
        let joint = if runs.len() > 1 { Some(Rows::of_bases(gpu, network, bases)?) } else { None };
        let mut steps = 0;
        for run in runs {
            steps = steps.max(run.most_steps()?);
        }
        let tasks = runs.iter().map(|run| run.tasks()).collect::<Result<Vec<_>>>()?;
        let mut submodels: Vec<Option<Submodel>> = tasks.into_iter().flatten().map(|task| task.submodel).collect();
        submodels.sort_by_key(|submodel| submodel.as_ref().map(|c| c.width));
        submodels.dedup();
        // What the user allows is for everything: a quarter of what images and bases leave goes to validation.
        let robust = config.lambda_train > 0.0;
        let asks_for = |stage| model.algorithm.asks_for(stage, config.rounds);
        let eighths = if robust || asks_for(Stage::Losses) { 4 } else { 6 };
        let share = config.limit().share(taken(images, model, runs.len()), eighths);
        let lanes = asks_for(Stage::FromLanes);
        let distances = (lanes || asks_for(Stage::FromBases)).then(|| Distances { scope: model.algorithm.scope(), lanes });
        let mut groups = Vec::new();
        let mut most_lanes = 0;
        for submodel in &submodels {
            let lanes = runs.iter().map(|run| run.most_lanes(submodel)).sum::<Result<usize>>()?.max(1) as u32;
            most_lanes += lanes;
            let scale = |width: Ratio| if config.rescale_layer { 1.0 / width.as_f64() as f32 } else { 1.0 };
            let corner = |width: Ratio| config.network_of(width, model.classes);
            let narrower = submodel
                .iter()
                .flat_map(|submodel| &submodel.narrower)
                .map(|width| Ok(Narrower { network: corner(*width)?, scale: scale(*width), label: width.to_string() }));
            let training = LocalTraining {
                batch: config.batch_size as u32,
                steps: steps.max(1) as u32,
                scale: scale(submodel.as_ref().map_or(model.algorithm.base_width(), |submodel| submodel.width)),
                masked_loss: config.masked_loss,
                adversarial: robust.then(|| Adversarial::by(&config.train_attack, config.lambda_train as f32, config.seed as u32)),
                augment: config.augment(),
                optimizer: config.optimizer(),
                weight_decay: config.weight_decay as f32,
                proximal: config.proximal as f32,
                narrower: narrower.collect::<Result<_>>()?,
            };
            let (personal, limit) = (model.local.clone(), share.split(submodels.len() as u64));
            let options = TrainOptions { personal, state: model.state.clone(), distances, limit, ..TrainOptions::new(training, lanes) };
            groups.push(GroupSetting { corner: submodel.as_ref().map(|submodel| corner(submodel.width)).transpose()?, options });
        }
        let lanes = LaneGroups::new(gpu, network, joint.as_ref().unwrap_or(&model.server), &images.store, groups).await?;
        let ends: u64 = runs.iter().map(|run| run.staging_bytes()).sum();
        let staging = Staging::new(gpu, LaneGroups::staging_bytes(most_lanes) + ends);
        Ok(Training { submodels, lanes, first, bases, joint, staging })
    }

    /// Trains, averages and validates the next round of some of the runs, each with its number among those that the program was
    /// made for; all have the same number of rounds done.
    ///
    /// # Errors
    /// [`Error::Gpu`] for the device's; what goes wrong in one run is in its own outcome.
    async fn round(&mut self, runs: &mut [(usize, &mut Run)]) -> Result<Vec<Result<RoundOutcome>>> {
        let gpu = runs[0].1.gpu.clone();
        let mut plans = runs.iter_mut().map(|(_, run)| run.plan()).collect::<Result<Vec<_>>>()?;
        let stages = runs[0].1.model.algorithm.stages(plans[0].round);
        // Where nothing is found out after the training, a lane is averaged as soon as it is trained.
        let waits = stages.iter().any(|stage| matches!(stage, Stage::FromBases | Stage::FromLanes));
        let mut work = Vec::new();
        let mut dispatches = 0;
        for stage in stages {
            match stage {
                Stage::Losses => {
                    for ((_, run), plan) in runs.iter_mut().zip(&mut plans) {
                        let found = run.losses(plan).await?;
                        run.conclude(found, plan)?;
                    }
                }
                Stage::Train => {
                    work = self.work(runs, &plans, |lane| lane.base)?;
                    self.copy_bases(runs, |encoder, joint, first, own| own.copy(encoder, 0..own.count, joint, first));
                    self.lanes.set_round(plans[0].round as u32);
                    let rate = plans[0].lr as f32;
                    match waits {
                        true => self.lanes.train_only(&gpu, &work, rate, &self.staging, 0)?,
                        false => {
                            let server = self.joint.as_ref().unwrap_or(&runs[0].1.model.server);
                            self.lanes.round(&gpu, server, &work, rate, &self.staging, 0)?;
                        }
                    }
                }
                Stage::FromBases | Stage::FromLanes => {
                    let compared = if stage == Stage::FromBases { Compared::WithBases } else { Compared::WithLanes };
                    let mut rows = self.lanes.distances(&gpu, &work, compared).await?.into_iter();
                    let mut lane = 0;
                    for ((number, run), plan) in runs.iter_mut().zip(&mut plans) {
                        let lanes = plan.lanes.len();
                        let (start, count) = match stage {
                            Stage::FromBases => (self.first[*number] as usize, plan.bases),
                            _ => (lane, lanes),
                        };
                        let own = rows.by_ref().take(lanes).map(|row| row[start..start + count].to_vec()).collect();
                        lane += lanes;
                        run.conclude(if stage == Stage::FromBases { Found::FromBases(own) } else { Found::FromLanes(own) }, plan)?;
                    }
                }
                Stage::Average => {
                    if waits {
                        let into = self.work(runs, &plans, |lane| lane.into)?;
                        let server = self.joint.as_ref().unwrap_or(&runs[0].1.model.server);
                        self.lanes.average(&gpu, server, &into)?;
                    }
                    dispatches += self.lanes.dispatches;
                    self.copy_bases(runs, |encoder, joint, first, own| joint.copy(encoder, first..first + own.count, own, 0));
                }
            }
        }
        let counters = LaneGroups::staging_bytes(plans.iter().map(|plan| plan.lanes.len() as u32).sum());
        let (mut at, mut ends) = (counters, Vec::new());
        for (_, run) in runs.iter_mut() {
            let end = run.submit_end(&self.staging, at)?;
            dispatches += end.dispatches;
            at += end.bytes();
            ends.push(end);
        }
        let bytes = self.staging.read_first(&gpu, at).await?;

        let (counters, mut rest) = bytes.split_at(counters as usize);
        let owners = self.owners(&plans);
        let totals = LaneGroups::totals(&work, counters);
        let (waves, submits, together) = (self.lanes.waves(&work), self.lanes.submits, runs.len());
        let mut outcomes = Vec::new();
        for (owner, (((_, run), plan), end)) in runs.iter_mut().zip(&plans).zip(&ends).enumerate() {
            let means = totals.each_ref().map(|all| Means::of(all.iter().zip(&owners).filter(|(_, o)| **o == owner).map(|(t, _)| t)));
            let (own, others) = rest.split_at(end.bytes() as usize);
            rest = others;
            let trained = plan.lanes.iter().map(|lane| (plan.clients[lane.slot].client, lane.base)).collect();
            let metrics = run.finish(plan, means, end, own);
            outcomes.push(metrics.map(|metrics| RoundOutcome { metrics, together, waves, dispatches, submits, trained }));
        }
        Ok(outcomes)
    }

    /// The work of all of them, as if they were one run: its bases are theirs, one run's after the other's. `base` says which
    /// base of a lane is meant.
    fn work(&self, runs: &[(usize, &mut Run)], plans: &[RoundPlan], base: fn(&Lane) -> usize) -> Result<Vec<GroupWork>> {
        let mut work = vec![GroupWork { clients: Vec::new(), weights: vec![0.0; self.bases as usize] }; self.submodels.len()];
        for ((number, run), plan) in runs.iter().zip(plans) {
            let first = self.first[*number];
            for (all, mut own) in work.iter_mut().zip(run.work(plan, &self.submodels, base)?) {
                own.clients.iter_mut().flat_map(|c| &mut c.bases).for_each(|(base, _)| *base += first);
                all.clients.append(&mut own.clients);
                all.weights[first as usize..][..own.weights.len()].copy_from_slice(&own.weights);
            }
        }
        Ok(work)
    }

    /// The run of each client's work, in the order of [`Training::work`]'s groups.
    fn owners(&self, plans: &[RoundPlan]) -> Vec<usize> {
        let of_submodel = |submodel: &Option<Submodel>| {
            let of_plan = |(owner, plan): (usize, &RoundPlan)| vec![owner; plan.clients.iter().filter(|c| c.submodel == *submodel).count()];
            plans.iter().enumerate().flat_map(of_plan).collect::<Vec<_>>()
        };
        self.submodels.iter().flat_map(of_submodel).collect()
    }

    /// Submits that the runs' bases are copied to or from the joint ones, where there are any.
    fn copy_bases(&self, runs: &[(usize, &mut Run)], copy: fn(&mut wgpu::CommandEncoder, &Rows, u32, &Rows)) {
        let (Some(joint), gpu) = (&self.joint, &runs[0].1.gpu) else {
            return;
        };
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("bases") });
        runs.iter().for_each(|(number, run)| copy(&mut encoder, joint, self.first[*number], &run.model.server));
        gpu.submit(encoder);
    }
}
