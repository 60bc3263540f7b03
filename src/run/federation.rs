//! The federated loop: a round plans who trains what, trains every lane on the GPU, averages each base, validates, and
//! reads its counters back once.

use super::checkpoint::{Checkpoint, Header};
use super::config::TrainConfig;
use super::metrics::{RoundMetrics, width_metrics};
use super::model::{self, Images, Model, TestSettings, batches_of_clients, per_client};
use crate::data::Dataset;
use crate::engine::{
    Adversarial, AttackOptions, Attacker, Batch, ClientWork, Corner, EvaluateOptions, Evaluator, GroupSetting, GroupWork, LaneGroups,
    Limit, Narrower, Staging, Totals, TrainOptions,
};
use crate::fl::{Client, Cut, Deck, Ratio, RoundPlan, Selection, Warning, batches, plan_round};
use crate::gpu::Gpu;
use crate::{Error, Result};

/// A federation in training.
pub struct Federation {
    /// The device it runs on.
    pub gpu: Gpu,
    /// The effective configuration.
    pub config: TrainConfig,
    /// All clients.
    pub clients: Vec<Client>,
    /// What is unusual about the clients' shares.
    pub warnings: Vec<Warning>,
    /// The server's ensemble.
    pub model: Model,
    /// The data set on the GPU.
    pub images: Images,
    /// Rounds trained so far.
    pub rounds_done: usize,
    /// The best round so far.
    pub selection: Selection,
    deck: Deck,
    /// What the clients of each group of lanes train.
    cuts: Vec<Option<Cut>>,
    lanes: LaneGroups,
    validation: Option<Validation>,
    staging: Staging,
    state: Option<State>,
}

/// The model after a round, as it was read back with the round's counters: it outlives the device.
struct State {
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
struct Means {
    loss: f64,
    accuracy: f64,
}

impl Means {
    fn of(totals: &[Vec<Totals>]) -> Means {
        let (mut loss, mut correct, mut samples) = (0.0, 0u64, 0u64);
        for t in totals.iter().flatten() {
            loss += f64::from(t.loss);
            correct += u64::from(t.correct);
            samples += u64::from(t.samples);
        }
        let count = samples.max(1) as f64;
        Means { loss: loss / count, accuracy: correct as f64 / count }
    }
}

/// What a round did.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundOutcome {
    /// What the configuration, the data and the adapter decide.
    pub metrics: RoundMetrics,
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
    /// A federation before its first round, with freshly initialised bases. `config` is validated.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Data`] where configuration and data do not fit each other, [`Error::Gpu`] for
    /// the device's.
    pub async fn new(gpu: Gpu, dataset: &Dataset, config: TrainConfig) -> Result<Federation> {
        let algorithm = config.algorithm();
        let network = config.network(dataset.classes.len())?;
        let bases = algorithm.bases()?;
        let server = model::initial_bases(&gpu, &network, bases, algorithm.base_width(), config.seed, config.rescale_init)?;
        let local = match config.local_bn {
            true => {
                let clients = model::partition(dataset, &config)?.clients.len();
                Some(model::initial_norms(&gpu, &network, clients, bases)?)
            }
            false => None,
        };
        let (architecture, classes, bn_mode) = (config.network.architecture()?, dataset.classes.len(), config.bn_mode);
        let model = Model { network, server, algorithm, architecture, classes, bn_mode, local, mixed: None };
        Federation::with_model(gpu, dataset, config, model, Deck::new(bases)?).await
    }

    /// A federation that goes on where `checkpoint` (its file's name in `file`) was written, bit for bit.
    ///
    /// # Errors
    /// As [`Federation::new`]; [`Error::Data`] for a checkpoint that cannot be resumed from.
    pub async fn resume(gpu: Gpu, dataset: &Dataset, config: TrainConfig, checkpoint: Checkpoint, file: &str) -> Result<Federation> {
        let header = checkpoint.header.clone();
        let deck = header.deck.ok_or_else(|| {
            Error::Data(format!("{file}: it keeps the best round's bases but not the state of sampling: resume from last.safetensors"))
        })?;
        if header.classes != dataset.classes.len() {
            return Err(Error::Data(format!(
                "{file}: trained on {} classes, the data has {}: use the data that the run was started with",
                header.classes,
                dataset.classes.len()
            )));
        }
        let model = Model::from_checkpoint(&gpu, checkpoint, file)?;
        let mut federation = Federation::with_model(gpu, dataset, config, model, deck).await?;
        federation.rounds_done = header.rounds_done;
        federation.selection = Selection { best: header.best };
        Ok(federation)
    }

    async fn with_model(gpu: Gpu, dataset: &Dataset, config: TrainConfig, model: Model, deck: Deck) -> Result<Federation> {
        let parts = model::partition(dataset, &config)?;
        let clients = parts.clients;
        let images = Images::new(&gpu, dataset, model.network.input)?;
        // What the user allows is for everything: a quarter of what images and bases leave goes to validation.
        let taken = images.store.bytes() + model.server.bytes();
        let limit = config.limit();

        let mut steps = equal_steps(&config, &clients).unwrap_or(0);
        for client in clients.iter().filter(|_| config.dirichlet.is_none()) {
            steps = steps.max(batches::batch_sizes(client.train.len(), config.batch_size)?.len() * config.local_epochs);
        }
        let robust = config.lambda_train > 0.0;
        let mut cuts: Vec<Option<Cut>> = clients.iter().filter(|c| c.can_train()).map(|c| c.task.cut.clone()).collect();
        cuts.sort_by_key(|cut| cut.as_ref().map(|c| c.width));
        cuts.dedup();
        let mut groups = Vec::new();
        let mut most_lanes = 0;
        for cut in &cuts {
            // The largest round: the clients that train most bases, as many as take part.
            let mut lanes: Vec<usize> = clients.iter().filter(|c| c.can_train() && c.task.cut == *cut).map(|c| c.task.bases).collect();
            lanes.sort_unstable_by(|a, b| b.cmp(a));
            let lanes = lanes.iter().take(config.clients_per_round.unwrap_or(usize::MAX)).sum::<usize>().max(1) as u32;
            most_lanes += lanes;
            let scale = |width: Ratio| if config.rescale_layer { 1.0 / width.as_f64() as f32 } else { 1.0 };
            let corner = |width: Ratio| config.network_of(width, dataset.classes.len());
            let narrower = cut
                .iter()
                .flat_map(|cut| &cut.narrower)
                .map(|width| Ok(Narrower { network: corner(*width)?, scale: scale(*width), label: width.to_string() }));
            let options = TrainOptions {
                batch: config.batch_size as u32,
                scale: scale(cut.as_ref().map_or(model.algorithm.base_width(), |cut| cut.width)),
                masked_loss: config.masked_loss,
                adversarial: robust.then_some(Adversarial {
                    lambda: config.lambda_train as f32,
                    attack: config.train_attack,
                    seed: config.seed as u32,
                }),
                local_norms: model.local.clone(),
                augment: config.augment(),
                optimizer: config.optimizer(),
                weight_decay: config.weight_decay as f32,
                proximal: config.proximal as f32,
                narrower: narrower.collect::<Result<_>>()?,
                lanes,
                steps: steps.max(1) as u32,
                limit: limit.share(taken, if robust { 4 } else { 6 }).split(cuts.len() as u64),
                guarded: false,
                keep_activations: false,
                tuning: None,
            };
            groups.push(GroupSetting { corner: cut.as_ref().map(|cut| corner(cut.width)).transpose()?, options });
        }
        if groups.is_empty() {
            return Err(Error::Data("no client has two images to train on".into()));
        }
        let lanes = LaneGroups::new(&gpu, &model.network, &model.server, &images.store, groups).await?;

        let lists: Vec<Vec<u32>> = clients.iter().map(|c| images.validation_indices(c)).collect();
        let batches = batches_of_clients(&lists, config.batch_size)?;
        let validation = if batches.is_empty() {
            None
        } else {
            // Standard accuracy is that of the clean batch norms alone, robust accuracy that of the adversarial ones.
            let parts = model.parts(&gpu, &config.widths.0).await?;
            let (batch, count) = (config.batch_size as u32, batches.len() as u32);
            let share = limit.share(taken, 2).split(parts.len() as u64);
            let attacker = match parts.last() {
                Some(part) if robust => {
                    let options = AttackOptions {
                        attack: config.train_attack,
                        bases: part.counts().last().copied().unwrap_or(1),
                        ensemble: model.validated(1.0),
                        batch,
                        batches: count,
                        seed: config.seed as u32,
                        limit: share,
                        guarded: false,
                    };
                    Some(Attacker::new(&gpu, part.network(), part.server(), &images.store, options).await?)
                }
                _ => None,
            };
            let mut evaluators = Vec::new();
            for part in parts {
                let (widths, ensemble) = (part.counts().to_vec(), model.validated(0.0));
                let options = EvaluateOptions { batch, widths, ensemble, batches: count, limit: share, guarded: false };
                let evaluator = Evaluator::new(&gpu, part.network(), part.server(), &images.store, options).await?;
                evaluators.push((evaluator, part.into_corner()));
            }
            Some(Validation { evaluators, attacker, batches })
        };
        let validation_bytes = validation.as_ref().map_or(0, Validation::staging_bytes);
        let staging = Staging::new(&gpu, LaneGroups::staging_bytes(most_lanes) + validation_bytes + model.state_bytes());
        Ok(Federation {
            gpu,
            config,
            clients,
            warnings: parts.warnings,
            model,
            images,
            rounds_done: 0,
            selection: Selection { best: None },
            deck,
            cuts,
            lanes,
            validation,
            staging,
            state: None,
        })
    }

    /// Lanes that are trained at once, of each width of lanes.
    pub fn lanes_per_wave(&self) -> Vec<u32> {
        self.lanes.lanes_per_wave()
    }

    /// Trains, averages and (as configured) validates the next round. One readback, at its end.
    ///
    /// # Errors
    /// [`Error::Training`] where the loss is no longer a number, [`Error::Gpu`] for the device's. The federation must
    /// not be used after an error; its last checkpoint is the place to go on from.
    pub async fn round(&mut self) -> Result<RoundOutcome> {
        let round = self.rounds_done;
        let plan = plan_round(&self.config.round_settings(), &*self.model.algorithm, &self.clients, &mut self.deck, round)?;
        let work = self.work(&plan)?;
        self.lanes.set_round(round as u32);
        self.lanes.round(&self.gpu, &self.model.server, &work, plan.lr as f32, &self.staging, 0)?;
        let train_bytes = LaneGroups::staging_bytes(plan.lanes.len() as u32);
        let mut dispatches = self.lanes.dispatches;
        let mut end = train_bytes;
        let validates = self.config.validates_after(round);
        if let (true, Some(v)) = (validates, &mut self.validation) {
            dispatches += v.submit(&self.gpu, &self.staging, end)?;
            end += v.staging_bytes();
        }
        let state = end as usize;
        if validates || self.config.saves_after(round) {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("state") });
            self.model.copy_state(&mut encoder, &self.staging, end);
            self.gpu.submit(encoder);
            end += self.model.state_bytes();
        }
        let bytes = self.staging.read_first(&self.gpu, end).await?;
        let (train_counters, rest) = bytes[..state].split_at(train_bytes as usize);

        let [clean, adversarial] = LaneGroups::totals(&work, train_counters).map(|totals| Means::of(&totals));
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
        let mut validation = Vec::new();
        let mut robust_validation = None;
        let mut best = false;
        if let (true, Some(v)) = (validates, &mut self.validation) {
            let (totals, attacked) = v.totals(rest);
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
        self.state = (end as usize > state).then(|| State { rounds_done: self.rounds_done, bytes: bytes[state..].to_vec() });
        Ok(RoundOutcome {
            metrics: RoundMetrics {
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
            },
            waves: self.lanes.waves(&work),
            dispatches,
            submits: self.lanes.submits,
            trained: plan.lanes.iter().map(|lane| (plan.clients[lane.slot].client, lane.base)).collect(),
        })
    }

    /// What every participating client does in a round, by group of lanes and by the engine's image indices.
    fn work(&self, plan: &RoundPlan) -> Result<Vec<GroupWork>> {
        let mut work = vec![GroupWork::default(); self.cuts.len()];
        for (group, cut) in work.iter_mut().zip(&self.cuts) {
            let weights = plan.weights.iter().find(|(own, _)| own == cut);
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
            let own = ClientWork { client: p.client as u32, batches, bases: lanes.map(|l| (l.base as u32, l.share as f32)).collect() };
            let group = self.cuts.iter().position(|cut| *cut == p.cut).expect("the cuts are those of all clients that train");
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
        let tensors = match &self.state {
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
                bases: self.model.server.bases as usize,
                base_width: algorithm.base_width(),
                max_width: algorithm.full_width()?,
                rounds_done: self.rounds_done,
                best: self.selection.best,
                deck: Some(self.deck.clone()),
                mixed: None,
                config: self.config.clone(),
            },
            tensors,
        })
    }

    /// Replaces the server's bases and the clients' batch norms, as by those of the best round before a test.
    ///
    /// # Errors
    /// [`Error::Data`] where tensors are missing or have other shapes.
    pub fn load_bases(&mut self, checkpoint: Checkpoint, file: &str) -> Result<()> {
        self.state = None;
        self.model.load_bases(&self.gpu, checkpoint, file)
    }

    /// Accuracy of the server's bases on the clients' test images, through the clean batch norms where they are dual. In batch-norm
    /// mode `post` every client re-estimates statistics first.
    ///
    /// # Errors
    /// As [`Model::test`].
    pub async fn test(&mut self) -> Result<model::Report> {
        self.model.estimate_statistics(&self.gpu, &self.images, &self.clients, &self.config).await?;
        let settings = TestSettings {
            widths: self.config.widths.0.clone(),
            lambda: 0.0,
            order: Vec::new(),
            batch: self.config.eval_batch_size,
            limit: self.config.limit(),
        };
        self.model.test(&self.gpu, &self.images, &self.clients, &settings).await
    }
}

/// With Dirichlet sizes, the number of steps that every client takes in a round.
fn equal_steps(config: &TrainConfig, clients: &[Client]) -> Option<usize> {
    let sizes = clients.iter().filter(|c| c.can_train()).map(|c| c.train.len());
    config.dirichlet.map(|_| batches::mean_steps(sizes, config.local_epochs, config.batch_size))
}

impl TrainConfig {
    /// How much of the GPU a program may take.
    pub fn limit(&self) -> Limit {
        Limit { memory: self.memory_limit.map(|b| b.0), lanes: self.wave_lanes.map(|n| n.min(u32::MAX as usize) as u32) }
    }
}
