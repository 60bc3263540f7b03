//! Federations that are trained together: the lanes of all of them go through the same dispatches.
//!
//! A lane never depends on another, and averages add the lanes of a base in their order, so a federation among others comes to the
//! same bits as alone. Each keeps its own model, state, clients and validation; what they share is the program of the training,
//! whose bases are those of all of them, one federation's after the other's.

use super::federation::{Federation, Means, RoundOutcome, RunSpec, taken};
use super::model::Images;
use crate::data::Dataset;
use crate::engine::{
    Adversarial, Compared, Distances, GroupSetting, GroupWork, LaneGroups, LocalTraining, Narrower, Rows, Staging, TrainOptions,
};
use crate::fl::{Cut, Found, Lane, Ratio, RoundPlan, Stage};
use crate::gpu::Gpu;
use crate::{Error, Result};
use std::sync::Arc;

/// Federations on one device that are trained together.
pub struct Together {
    runs: Vec<Federation>,
    training: Training,
}

impl Together {
    /// Federations of one data set, each from its own start. Their configurations must allow it
    /// ([`super::TrainConfig::trains_together`]); any one can be alone.
    ///
    /// # Errors
    /// [`Error::Config`] for none, for such as do not go together, and where they do not fit the adapter or the memory limit; else as
    /// [`super::FederationBuilder::build`].
    pub async fn new(gpu: &Gpu, dataset: &Dataset, starts: Vec<RunSpec>) -> Result<Together> {
        let Some((first, others)) = starts.split_first() else {
            return Err(Error::Config("there is no run to train: name at least one".into()));
        };
        for other in others {
            if !first.config.trains_together(&other.config)? {
                return Err(Error::Config(format!(
                    "{} and {} cannot be trained together: they may differ in seed and clients-per-round only, and not be adversarial, \
                     augment images or keep batch norms local; train them one after the other",
                    first.config.out.display(),
                    other.config.out.display()
                )));
            }
        }
        let images = Arc::new(Images::new(gpu, dataset, first.config.network(dataset.classes.len())?.input)?);
        let (together, mut runs) = (starts.len(), Vec::new());
        for start in starts {
            runs.push(Federation::start(gpu, dataset, &images, start, together).await?);
        }
        let training = Training::new(&runs.iter().collect::<Vec<_>>()).await?;
        Ok(Together { runs, training })
    }

    /// The federations, in the order of their starts.
    pub fn runs(&self) -> &[Federation] {
        &self.runs
    }

    /// The federations, without the program of their training.
    pub fn into_runs(self) -> Vec<Federation> {
        self.runs
    }

    /// Lanes of all federations that are trained at once, of each width of lanes.
    pub fn lanes_per_wave(&self) -> Vec<u32> {
        self.training.lanes.lanes_per_wave()
    }

    /// Trains, averages and (as configured) validates the next round of those that are furthest behind, among these that have rounds left.
    /// One readback, at its end. What it came to is told by the number of the federation; nothing where no rounds are left.
    ///
    /// # Errors
    /// [`Error::Gpu`] for the device's: then none of them must be used any more. An error of one federation alone, as
    /// [`Federation::round`] has it, is in its own outcome: that one must not be named again.
    pub async fn round(&mut self, among: &[usize]) -> Result<Vec<(usize, Result<RoundOutcome>)>> {
        let left = |(i, f): &(usize, &Federation)| among.contains(i) && f.rounds_done < f.config.rounds;
        let Some(round) = self.runs.iter().enumerate().filter(left).map(|(_, f)| f.rounds_done).min() else {
            return Ok(Vec::new());
        };
        let behind = |(i, f): &(usize, &mut Federation)| among.contains(i) && f.rounds_done == round;
        let mut runs: Vec<(usize, &mut Federation)> = self.runs.iter_mut().enumerate().filter(behind).collect();
        let outcomes = self.training.round(&mut runs).await?;
        Ok(runs.iter().map(|(i, _)| *i).zip(outcomes).collect())
    }
}

/// The program of the training of one federation or of several together.
pub(super) struct Training {
    /// What the clients of each group of lanes train.
    cuts: Vec<Option<Cut>>,
    lanes: LaneGroups,
    /// Place of each federation's first base among all.
    first: Vec<u32>,
    /// Number of all bases.
    bases: u32,
    /// The bases of all of them; none where there is one federation, whose own are trained.
    joint: Option<Rows>,
    staging: Staging,
}

impl Training {
    /// The program for these federations, of like configurations.
    ///
    /// # Errors
    /// [`Error::Config`] where they do not fit the adapter or the memory limit, [`Error::Gpu`] where the device refuses.
    pub(super) async fn new(runs: &[&Federation]) -> Result<Training> {
        let Federation { gpu, config, model, images, .. } = runs[0];
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
        let mut cuts: Vec<Option<Cut>> = tasks.into_iter().flatten().map(|task| task.cut).collect();
        cuts.sort_by_key(|cut| cut.as_ref().map(|c| c.width));
        cuts.dedup();
        // What the user allows is for everything: a quarter of what images and bases leave goes to validation.
        let robust = config.lambda_train > 0.0;
        let asks_for = |stage| model.algorithm.asks_for(stage, config.rounds);
        let eighths = if robust || asks_for(Stage::Losses) { 4 } else { 6 };
        let share = config.limit().share(taken(images, &model.server, runs.len()), eighths);
        let lanes = asks_for(Stage::FromLanes);
        let distances = (lanes || asks_for(Stage::FromBases)).then(|| Distances { scope: model.algorithm.scope(), lanes });
        let mut groups = Vec::new();
        let mut most_lanes = 0;
        for cut in &cuts {
            let lanes = runs.iter().map(|run| run.most_lanes(cut)).sum::<Result<usize>>()?.max(1) as u32;
            most_lanes += lanes;
            let scale = |width: Ratio| if config.rescale_layer { 1.0 / width.as_f64() as f32 } else { 1.0 };
            let corner = |width: Ratio| config.network_of(width, model.classes);
            let narrower = cut
                .iter()
                .flat_map(|cut| &cut.narrower)
                .map(|width| Ok(Narrower { network: corner(*width)?, scale: scale(*width), label: width.to_string() }));
            let training = LocalTraining {
                batch: config.batch_size as u32,
                steps: steps.max(1) as u32,
                scale: scale(cut.as_ref().map_or(model.algorithm.base_width(), |cut| cut.width)),
                masked_loss: config.masked_loss,
                adversarial: robust.then(|| Adversarial::by(&config.train_attack, config.lambda_train as f32, config.seed as u32)),
                augment: config.augment(),
                optimizer: config.optimizer(),
                weight_decay: config.weight_decay as f32,
                proximal: config.proximal as f32,
                narrower: narrower.collect::<Result<_>>()?,
            };
            let (local_norms, limit) = (model.local.clone(), share.split(cuts.len() as u64));
            let options = TrainOptions { local_norms, distances, limit, ..TrainOptions::new(training, lanes) };
            groups.push(GroupSetting { corner: cut.as_ref().map(|cut| corner(cut.width)).transpose()?, options });
        }
        let lanes = LaneGroups::new(gpu, network, joint.as_ref().unwrap_or(&model.server), &images.store, groups).await?;
        let ends: u64 = runs.iter().map(|run| run.staging_bytes()).sum();
        let staging = Staging::new(gpu, LaneGroups::staging_bytes(most_lanes) + ends);
        Ok(Training { cuts, lanes, first, bases, joint, staging })
    }

    /// Trains, averages and validates the next round of some of the federations, each with its number among those that the program was
    /// made for; all have the same number of rounds done.
    ///
    /// # Errors
    /// [`Error::Gpu`] for the device's; what goes wrong in one federation is in its own outcome.
    pub(super) async fn round(&mut self, runs: &mut [(usize, &mut Federation)]) -> Result<Vec<Result<RoundOutcome>>> {
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

    /// The work of all of them, as if they were one federation: its bases are theirs, one federation's after the other's. `base` says which
    /// base of a lane is meant.
    fn work(&self, runs: &[(usize, &mut Federation)], plans: &[RoundPlan], base: fn(&Lane) -> usize) -> Result<Vec<GroupWork>> {
        let mut work = vec![GroupWork { clients: Vec::new(), weights: vec![0.0; self.bases as usize] }; self.cuts.len()];
        for ((number, run), plan) in runs.iter().zip(plans) {
            let first = self.first[*number];
            for (all, mut own) in work.iter_mut().zip(run.work(plan, &self.cuts, base)?) {
                own.clients.iter_mut().flat_map(|c| &mut c.bases).for_each(|(base, _)| *base += first);
                all.clients.append(&mut own.clients);
                all.weights[first as usize..][..own.weights.len()].copy_from_slice(&own.weights);
            }
        }
        Ok(work)
    }

    /// The federation of each client's work, in the order of [`Training::work`]'s groups.
    fn owners(&self, plans: &[RoundPlan]) -> Vec<usize> {
        let of_cut = |cut: &Option<Cut>| {
            let of_plan = |(owner, plan): (usize, &RoundPlan)| vec![owner; plan.clients.iter().filter(|c| c.cut == *cut).count()];
            plans.iter().enumerate().flat_map(of_plan).collect::<Vec<_>>()
        };
        self.cuts.iter().flat_map(of_cut).collect()
    }

    /// Submits that the federations' bases are copied to or from the joint ones, where there are any.
    fn copy_bases(&self, runs: &[(usize, &mut Federation)], copy: fn(&mut wgpu::CommandEncoder, &Rows, u32, &Rows)) {
        let (Some(joint), gpu) = (&self.joint, &runs[0].1.gpu) else {
            return;
        };
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("bases") });
        runs.iter().for_each(|(number, run)| copy(&mut encoder, joint, self.first[*number], &run.model.server));
        gpu.submit(encoder);
    }
}
