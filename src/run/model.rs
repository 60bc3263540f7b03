//! A trained ensemble on a GPU: what a checkpoint becomes, to be evaluated at any width or asked for predictions.

use super::checkpoint::{Checkpoint, LOCAL, Mixed, Tensor, client_name, server_name, tensor_name};
use super::config::{BnMode, TrainConfig, ValidConfig};
use super::robust::{Progress, RobustReport};
use crate::data::{Dataset, Holding};
use crate::engine::{
    AttackOptions, Attacked, Attacker, Batch, ClientRows, Corner, Ensemble, EstimateOptions, EvaluateOptions, Evaluator, ImageStore, Limit,
    Rows, Staging, Totals, TrainingState, check_estimate, estimate_statistics,
};
use crate::fl::assignment;
use crate::fl::init::{Init, fan_in_scale, init_tensor, tensor_rng};
use crate::fl::partition::ListedClient;
use crate::fl::{Algorithm, Attack, Client, Composition, DomainLabels, Partition, Ratio, Warning, batches, selection};
use crate::gpu::Gpu;
use crate::net::{Architecture, Network, NormRow, Norms, Shape, TensorKind, TensorSpec};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Network and bases of one ensemble.
pub struct Model {
    /// The base network.
    pub network: Network,
    /// Parameters of the bases.
    pub server: Rows,
    /// What a training keeps besides; nothing in a model to use.
    pub state: TrainingState,
    /// What a model of each width is made of.
    pub algorithm: Arc<dyn Algorithm>,
    /// The network at full width, of which corners are cut.
    pub architecture: Architecture,
    /// Class names' number.
    pub classes: usize,
    /// How batch norm normalises in evaluation.
    pub bn_mode: BnMode,
    /// What each client keeps to itself from training, or batch norms with re-estimated statistics.
    pub local: Option<ClientRows>,
    /// The base of each client's own, where the same bases do not answer for all.
    pub own: Option<Vec<u32>>,
    /// Of a model of one width and λ: which.
    pub mixed: Option<Mixed>,
}

/// Image indices, `[client][batch]`.
type ClientBatches = Vec<Vec<Vec<u32>>>;

/// Epochs over a client's training images that re-estimate its statistics in batch-norm mode `post`.
pub const POST_EPOCHS: usize = 20;

/// Freshly initialised bases, from the seed alone (paper, section 3.2; `rescale_init` is its correction of the fan-in).
///
/// # Errors
/// As [`Rows::new`].
pub fn initial_bases(gpu: &Gpu, network: &Network, bases: usize, base_width: Ratio, seed: u64, rescale_init: bool) -> Result<Rows> {
    let server = Rows::of_bases(gpu, network, bases as u32)?;
    for base in 0..bases {
        let tensors = network.tensors.iter().enumerate().map(|(i, t)| {
            let kind = match t.kind {
                TensorKind::ConvWeight | TensorKind::LinearWeight { .. } => Init::Weight,
                TensorKind::Bias => Init::Bias { fan_in: t.fan_in },
                TensorKind::NormWeight | TensorKind::RunningVariance => Init::Ones,
                TensorKind::NormBias | TensorKind::RunningMean => Init::Zeros,
            };
            let scale = fan_in_scale(rescale_init, t.first_layer, base_width);
            (t.name.clone(), init_tensor(kind, &t.shape, scale, &mut tensor_rng(seed, base, i)))
        });
        server.upload(gpu, network, base as u32, &tensors.collect());
    }
    Ok(server)
}

/// The tensors of batch norms.
fn norm_tensors(network: &Network) -> impl Iterator<Item = &TensorSpec> {
    network.tensors.iter().filter(|t| t.kind.is_norm())
}

/// Names and PyTorch shapes of a network's tensors, as checkpoints are asked for them.
pub fn wanted_tensors(network: &Network) -> Vec<(String, Vec<usize>)> {
    network.tensors.iter().map(|t| (t.name.clone(), t.shape.clone())).collect()
}

fn holding(c: &Holding) -> ListedClient<'_> {
    ListedClient { name: &c.name, domain: c.domain, train: &c.train, validation: &c.validation, test: &c.test }
}

/// The clients of a data set under a run's options.
///
/// # Errors
/// As [`crate::fl::partition()`].
pub fn partition(dataset: &Dataset, config: &ValidConfig) -> Result<Partition> {
    let (settings, algorithm) = (config.partition_settings()?, config.algorithm());
    let budgets = |clients| algorithm.budgets(clients);
    let with_untrained = |mut all: Partition| -> Result<Partition> {
        all.warnings.extend(assignment::untrained(&*algorithm, &all.clients)?);
        Ok(all)
    };
    if !dataset.clients.is_empty() {
        let listed: Vec<ListedClient> = dataset.clients.iter().map(holding).collect();
        let mut all = crate::fl::partition::listed(&listed, &settings, &budgets)?;
        if config.validation_ratio != TrainConfig::default().validation_ratio && listed.iter().all(|c| !c.validation.is_empty()) {
            all.warnings.push(Warning::RatioUnused { domains: dataset.domains.iter().map(|d| d.name.clone()).collect() });
        }
        return with_untrained(all);
    }
    let labels = dataset.domains.iter().map(|d| DomainLabels {
        name: d.name.clone(),
        train: &d.train.labels,
        test: &d.test.labels,
        validation: d.validation,
    });
    let mut dealt = crate::fl::partition::partition(&labels.collect::<Vec<_>>(), &settings, &budgets)?;
    let split: Vec<String> = dataset.domains.iter().filter(|d| d.validation > 0).map(|d| d.name.clone()).collect();
    if config.validation_ratio != TrainConfig::default().validation_ratio && !split.is_empty() {
        dealt.warnings.push(Warning::RatioUnused { domains: split });
    }
    with_untrained(dealt)
}

impl Model {
    /// Uploads the bases of a checkpoint. `file` is its name in errors.
    ///
    /// # Errors
    /// [`Error::Data`] where tensors are missing or have other shapes than the network's.
    pub fn from_checkpoint(gpu: &Gpu, checkpoint: Checkpoint, file: &str) -> Result<Model> {
        let header = &checkpoint.header;
        let (network, algorithm, architecture) = (header.network()?, header.config.algorithm(), header.config.network.architecture()?);
        let (classes, bn_mode, mixed) = (header.classes, header.bn_mode(), header.mixed.clone());
        let server = Rows::of_bases(gpu, &network, header.bases as u32)?;
        let state = TrainingState::default();
        let mut model = Model { network, server, state, algorithm, architecture, classes, bn_mode, local: None, own: None, mixed };
        model.load_bases(gpu, checkpoint, file)?;
        Ok(model)
    }

    /// Replaces the bases, and what the clients keep to themselves, by those of a checkpoint of the same ensemble.
    /// `file` is its name in errors.
    ///
    /// # Errors
    /// [`Error::Data`] where tensors are missing or have other shapes than the network's.
    pub fn load_bases(&mut self, gpu: &Gpu, mut checkpoint: Checkpoint, file: &str) -> Result<()> {
        let config = checkpoint.header.config.clone();
        checkpoint.split_training();
        let kept: Vec<&TensorSpec> = self.network.tensors.iter().filter(|t| config.keeps(t)).collect();
        if !kept.is_empty() && checkpoint.header.mixed.is_none() {
            let wanted: Vec<_> = kept.iter().map(|t| (t.name.clone(), t.len())).collect();
            let (clients, bases) = checkpoint.take_clients(LOCAL, &wanted, file)?;
            let own = self.local.take().filter(|local| local.clients as usize == clients);
            let local = match own {
                Some(own) => Some(own),
                None => ClientRows::new(gpu, &self.network, |t| config.keeps(t), clients as u32, self.server.count)?,
            };
            if let Some(local) = &local {
                self.write_clients(gpu, local, &bases);
            }
            self.local = local;
        }
        self.own.clone_from(&checkpoint.header.own_bases);
        let bases = checkpoint.take_parameters(&wanted_tensors(&self.network), file)?;
        for (base, tensors) in bases.into_iter().enumerate() {
            let named = self.network.tensors.iter().zip(tensors).map(|(spec, t)| (spec.name.clone(), t.data)).collect();
            self.server.upload(gpu, &self.network, base as u32, &named);
        }
        Ok(())
    }

    /// Takes what a training keeps besides the bases out of a checkpoint to resume from. `file` is its name in errors.
    ///
    /// # Errors
    /// [`Error::Data`] where tensors are missing or have other shapes than the network's.
    pub(super) fn load_state(&mut self, gpu: &Gpu, state: TrainingState, checkpoint: &mut Checkpoint, file: &str) -> Result<()> {
        let wanted: Vec<_> = self.trained().map(|t| (t.name.clone(), t.shape.clone())).collect();
        for (kind, rows) in state.of_bases() {
            for base in 0..rows.count {
                let mut row = vec![0.0; rows.values()];
                let tensors = checkpoint.take_server(kind, base as usize, &wanted, file)?;
                self.trained().zip(tensors).for_each(|(spec, tensor)| self.network.pack(spec, &tensor.data, &mut row));
                rows.write(gpu, base, &row);
            }
        }
        for (kind, rows) in state.of_clients() {
            let wanted: Vec<_> = self.network.tensors.iter().filter(|t| rows.keeps(t)).map(|t| (t.name.clone(), t.len())).collect();
            let (clients, bases) = checkpoint.take_clients(kind, &wanted, file)?;
            if clients != rows.clients as usize {
                return Err(Error::Data(format!(
                    "{file}: {kind} is of {clients} clients, the data has {}: use the data that the run was started with",
                    rows.clients
                )));
            }
            self.write_clients(gpu, rows, &bases);
        }
        self.state = state;
        Ok(())
    }

    /// Uploads what clients keep: for each base the values of each kept tensor, those of all clients one after the other.
    fn write_clients(&self, gpu: &Gpu, rows: &ClientRows, bases: &[Vec<Vec<f32>>]) {
        let kept: Vec<&TensorSpec> = self.network.tensors.iter().filter(|t| rows.keeps(t)).collect();
        let mut values = Vec::new();
        for client in 0..rows.clients as usize {
            for base in bases {
                let mut row = vec![0.0; self.server.values()];
                for (tensor, all) in kept.iter().zip(base) {
                    self.network.pack(tensor, &all[client * tensor.len()..][..tensor.len()], &mut row);
                }
                values.extend(rows.of_row(&row));
            }
        }
        rows.rows.write(gpu, 0, &values);
    }

    /// The tensors that are trained, not measured.
    fn trained(&self) -> impl Iterator<Item = &TensorSpec> {
        self.network.tensors.iter().filter(|t| !t.kind.is_statistic())
    }

    /// Whether clients have something of their own in the model: parameters or a base.
    pub fn is_personal(&self) -> bool {
        self.local.is_some() || self.own.is_some()
    }

    /// Checks that a client is chosen where clients have something of their own, and none where they do not.
    ///
    /// # Errors
    /// [`Error::Config`] saying which.
    pub fn check_choice(&self, client: Option<&str>) -> Result<()> {
        let norms = self.local.as_ref().is_some_and(|local| local.norms.is_some());
        let what = if self.own.is_some() {
            "a base"
        } else if norms {
            "batch norms"
        } else {
            "parameters"
        };
        match (self.is_personal(), client) {
            (false, Some(_)) => Err(Error::Config("client: this model has the same parameters for all clients: leave it out".into())),
            (true, None) => {
                Err(Error::Config(format!("client: every client has {what} of its own in this model: choose one with --client")))
            }
            _ => Ok(()),
        }
    }

    /// Checks that clients which have parameters or a base of their own are as many as the data has.
    ///
    /// # Errors
    /// [`Error::Data`] with both numbers.
    pub fn check_clients(&self, clients: usize) -> Result<()> {
        let kept = [("parameters", self.local.as_ref().map(|local| local.clients as usize)), ("bases", self.own.as_ref().map(Vec::len))];
        for (what, own) in kept {
            if let Some(own) = own.filter(|own| *own != clients) {
                return Err(Error::Data(format!(
                    "the model keeps {what} of {own} clients, the data has {clients}: use the data that the run was started with"
                )));
            }
        }
        Ok(())
    }

    /// The bases as a checkpoint holds them.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn tensors(&self, gpu: &Gpu) -> Result<BTreeMap<String, Tensor>> {
        let staging = Staging::new(gpu, self.state_bytes());
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("download") });
        self.copy_state(&mut encoder, &staging, 0);
        gpu.submit(encoder);
        Ok(self.parse_state(&staging.read(gpu).await?))
    }

    /// What the clients keep as part of the model: re-estimated statistics are not.
    fn own_rows(&self) -> Option<&ClientRows> {
        self.local.as_ref().filter(|_| self.bn_mode != BnMode::Post)
    }

    /// Bytes of all that a checkpoint holds of the bases.
    pub(super) fn state_bytes(&self) -> u64 {
        self.stored().iter().map(|rows| rows.bytes()).sum()
    }

    /// All rows that a checkpoint holds, in their order.
    fn stored(&self) -> Vec<&Rows> {
        let local = self.own_rows().map(|local| &local.rows);
        let bases = self.state.of_bases().into_iter().map(|(_, rows)| rows);
        let clients = self.state.of_clients().into_iter().map(|(_, clients)| &clients.rows);
        [&self.server].into_iter().chain(local).chain(bases).chain(clients).collect()
    }

    /// Records that they are copied to a staging buffer.
    pub(super) fn copy_state(&self, encoder: &mut wgpu::CommandEncoder, staging: &Staging, offset: u64) {
        let mut at = offset;
        for rows in self.stored() {
            rows.copy_out(encoder, staging, at);
            at += rows.bytes();
        }
    }

    /// The tensors of a checkpoint out of the bytes that were read back.
    pub(super) fn parse_state(&self, bytes: &[u8]) -> BTreeMap<String, Tensor> {
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
        let mut rest = values.as_slice();
        let mut next = |rows: &Rows| {
            let (own, others) = rest.split_at(rows.values() * rows.count as usize);
            rest = others;
            own
        };
        let mut tensors = BTreeMap::new();
        for (b, mut base) in self.server.parse(&self.network, next(&self.server)).into_iter().enumerate() {
            for spec in &self.network.tensors {
                let data = base.remove(&spec.name).expect("parsed by the same list");
                tensors.insert(tensor_name(b, &spec.name), Tensor { shape: spec.shape.clone(), data });
            }
        }
        if let Some(local) = self.own_rows() {
            self.parse_clients(LOCAL, local, next(&local.rows), &mut tensors);
        }
        for (kind, rows) in self.state.of_bases() {
            for (base, row) in next(rows).chunks_exact(rows.values()).enumerate() {
                for spec in self.trained() {
                    let tensor = Tensor { shape: spec.shape.clone(), data: self.network.unpack(spec, row) };
                    tensors.insert(server_name(kind, base, &spec.name), tensor);
                }
            }
        }
        for (kind, rows) in self.state.of_clients() {
            self.parse_clients(kind, rows, next(&rows.rows), &mut tensors);
        }
        tensors
    }

    /// The tensors of what clients keep out of its values.
    fn parse_clients(&self, kind: &str, rows: &ClientRows, values: &[f32], tensors: &mut BTreeMap<String, Tensor>) {
        for base in 0..rows.bases {
            let mut kept: Vec<(&TensorSpec, Vec<f32>)> =
                self.network.tensors.iter().filter(|t| rows.keeps(t)).map(|spec| (spec, Vec::new())).collect();
            for client in 0..rows.clients {
                // One at a time: whole rows of all clients may not fit the memory.
                let row = rows.full_row(values, rows.place(client, base), self.network.parameter_blocks);
                kept.iter_mut().for_each(|(spec, data)| data.extend(self.network.unpack(spec, &row)));
            }
            for (spec, data) in kept {
                let shape = vec![rows.clients as usize, spec.len()];
                tensors.insert(client_name(kind, base as usize, &spec.name), Tensor { shape, data });
            }
        }
    }

    /// How the model is validated in training: by running statistics where they are tracked, else by the batch's.
    pub fn validated(&self, lambda: f32) -> Ensemble {
        let running = self.bn_mode == BnMode::Tracked;
        Ensemble { order: Vec::new(), running, lambda, local: self.own_rows().cloned(), own: self.own.clone() }
    }

    /// How the model is used: the same, but by re-estimated statistics in batch-norm mode `post`.
    ///
    /// # Errors
    /// [`Error::Config`] where statistics have not been estimated ([`Model::estimate_statistics`]).
    pub fn ensemble(&self, lambda: f64, order: &[u32]) -> Result<Ensemble> {
        if self.bn_mode == BnMode::Post && self.local.is_none() {
            return Err(Error::Config("bn-mode = post: the clients' statistics have to be estimated first".into()));
        }
        let running = self.bn_mode != BnMode::Batch;
        Ok(Ensemble { order: order.to_vec(), running, lambda: lambda as f32, local: self.local.clone(), own: self.own.clone() })
    }

    /// In batch-norm mode `post`, estimates the statistics of every client and base: the mean over [`POST_EPOCHS`] epochs of the
    /// client's training batches, without the layer correction; a client with fewer than two training images gets the mean of the others'.
    /// Else does nothing.
    ///
    /// # Errors
    /// [`Error::Data`] where no client has two training images, [`Error::Gpu`] for the device's.
    pub async fn estimate_statistics(&mut self, gpu: &Gpu, images: &Images, clients: &[Client], config: &ValidConfig) -> Result<()> {
        if self.bn_mode != BnMode::Post {
            return Ok(());
        }
        let (local, work) = self.estimation(gpu, images, clients, config)?;
        let options = EstimateOptions { batch: config.batch_size as u32, limit: config.limit(), guarded: false };
        let bases = self.server.download(gpu, &self.network).await?;
        let affine = bases.iter().map(|tensors| {
            let mut row = vec![0.0; self.network.parameter_blocks as usize * 4];
            norm_tensors(&self.network).for_each(|t| self.network.pack(t, &tensors[&t.name], &mut row));
            let mut own = row[self.network.norm_start as usize * 4..].to_vec();
            own.resize(local.rows.values(), 0.0);
            own
        });
        local.rows.write(gpu, 0, &affine.collect::<Vec<_>>().concat().repeat(clients.len()));
        estimate_statistics(gpu, &self.network, &self.server, &images.store, &local, &work, &options).await?;
        let (able, idle): (Vec<usize>, Vec<usize>) = (0..clients.len()).partition(|i| clients[*i].can_train());
        if able.is_empty() {
            return Err(Error::Data("bn-mode = post: no client has two training images to estimate statistics on".into()));
        }
        if !idle.is_empty() {
            let mut values = local.rows.read(gpu).await?;
            let each = values.len() / clients.len();
            for i in 0..each {
                let sum: f64 = able.iter().map(|client| f64::from(values[client * each + i])).sum();
                idle.iter().for_each(|client| values[client * each + i] = (sum / able.len() as f64) as f32);
            }
            local.rows.write(gpu, 0, &values);
        }
        self.local = Some(local);
        Ok(())
    }

    /// Room for the clients' statistics, and the training batches that estimate them, `[client][batch]`.
    fn estimation(&self, gpu: &Gpu, images: &Images, clients: &[Client], config: &ValidConfig) -> Result<(ClientRows, ClientBatches)> {
        let row = NormRow { norms: Norms { dual: false, tracked: true }, ..self.network.norm_row() };
        let local = ClientRows::of_norms(gpu, &self.network, row, clients.len() as u32, self.server.count)?;
        let mut work = Vec::new();
        for (i, client) in clients.iter().enumerate() {
            let own = if client.can_train() { images.train_indices(client) } else { Vec::new() };
            // No round draws these epochs' orders.
            work.push(batches::local_batches(config.seed, u32::MAX as usize, i, POST_EPOCHS, &own, config.batch_size)?);
        }
        Ok((local, work))
    }

    /// Checks before any training that the test after it fits the adapter and the memory limit, and what comes before the test in
    /// batch-norm mode `post`.
    ///
    /// # Errors
    /// [`Error::Config`] with what helps.
    pub(super) async fn check_test(
        &self,
        gpu: &Gpu,
        images: &Images,
        clients: &[Client],
        config: &ValidConfig,
        settings: &TestSettings,
    ) -> Result<()> {
        let lists: Vec<Vec<u32>> = clients.iter().map(|c| images.test_indices(c)).collect();
        let batches = batches_of_clients(&lists, settings.batch)?.len() as u32;
        let mut local = self.local.clone();
        if self.bn_mode == BnMode::Post {
            let (room, work) = self.estimation(gpu, images, clients, config)?;
            let options = EstimateOptions { batch: config.batch_size as u32, limit: config.limit(), guarded: false };
            check_estimate(gpu, &self.network, &self.server, &images.store, &room, &work, &options)?;
            local = Some(room);
        }
        let running = self.bn_mode != BnMode::Batch;
        let ensemble = Ensemble { order: Vec::new(), running, lambda: 0.0, local, own: self.own.clone() };
        for part in self.parts(gpu, &settings.widths).await? {
            let options = settings.evaluation(&part, ensemble.clone(), batches);
            Evaluator::check(gpu, part.network(), part.server(), &images.store, &options)?;
        }
        Ok(())
    }

    /// Checks before any test that attacks on its images fit.
    ///
    /// # Errors
    /// [`Error::Config`] with what helps.
    pub async fn check_attack(
        &self,
        gpu: &Gpu,
        images: &Images,
        clients: &[Client],
        settings: &TestSettings,
        attack: Attack,
    ) -> Result<()> {
        let lists: Vec<Vec<u32>> = clients.iter().map(|c| images.test_indices(c)).collect();
        let batches = batches_of_clients(&lists, settings.batch)?.len() as u32;
        for part in self.parts(gpu, &settings.widths).await? {
            for bases in part.counts() {
                let options = settings.attack(attack, *bases, self.ensemble(0.0, &settings.order)?, batches, 0);
                Attacker::check(gpu, part.network(), part.server(), &images.store, &options)?;
            }
        }
        Ok(())
    }

    /// What is evaluated for models of these widths, in their order: all mixes of bases together, each corner on its own, as the bases
    /// are now.
    ///
    /// # Errors
    /// [`Error::Config`] naming a width that there is not; [`Error::Gpu`] where the device refuses.
    pub async fn parts(&self, gpu: &Gpu, widths: &[Ratio]) -> Result<Vec<Part<'_>>> {
        if let Some(mixed) = &self.mixed {
            if let Some(other) = widths.iter().find(|w| **w != mixed.width) {
                return Err(Error::Config(format!("this model is mixed for width {}; it has no width {other}", mixed.width)));
            }
            return Ok(vec![Part::Bases { network: &self.network, server: &self.server, counts: vec![self.server.count; widths.len()] }]);
        }
        let mut parts = Vec::new();
        for width in widths {
            match self.algorithm.model(*width)? {
                Composition::Mix(count) => match parts.last_mut() {
                    Some(Part::Bases { counts, .. }) => counts.push(count as u32),
                    _ => parts.push(Part::Bases { network: &self.network, server: &self.server, counts: vec![count as u32] }),
                },
                Composition::Corner => {
                    let narrow = self.architecture.corner(width.numerator(), width.denominator(), self.classes as u32)?;
                    let corner = Corner::new(gpu, &self.network, &self.server, narrow).await?;
                    corner.take_now(gpu);
                    parts.push(Part::Corner(Box::new(corner)));
                }
            }
        }
        Ok(parts)
    }

    /// Checks that the model can be used at that share of the adversarial batch norms.
    ///
    /// # Errors
    /// [`Error::Config`] where the share is outside [0, 1] or the model has one batch norm only.
    pub fn check_lambda(&self, lambda: f64) -> Result<()> {
        if !(0.0..=1.0).contains(&lambda) {
            return Err(Error::Config(format!("lambda = {lambda}: it is a share in [0, 1]")));
        }
        if lambda > 0.0 && !self.network.norms.dual {
            let why = match &self.mixed {
                Some(m) => format!("this model is mixed for lambda {} already: leave lambda out", m.lambda),
                None => "this model has no adversarial batch norms: train it with lambda-train between 0 and 1, or leave lambda out".into(),
            };
            return Err(Error::Config(format!("lambda = {lambda}: {why}")));
        }
        Ok(())
    }

    /// Accuracy of every width on each client's test images, from one forward of the bases.
    ///
    /// # Errors
    /// [`Error::Config`] for a width or λ that the model does not have or a batch that does not fit, [`Error::Data`] for a model whose
    /// answers are not finite, [`Error::Gpu`] for the device's.
    pub async fn test(&self, gpu: &Gpu, images: &Images, clients: &[Client], settings: &TestSettings) -> Result<Report> {
        Ok(self.test_each(gpu, images, clients, settings, &[settings.lambda]).await?.remove(0))
    }

    /// The same for several λ in place of that of the settings.
    ///
    /// # Errors
    /// As [`Model::test`].
    pub async fn test_each(
        &self,
        gpu: &Gpu,
        images: &Images,
        clients: &[Client],
        settings: &TestSettings,
        lambdas: &[f64],
    ) -> Result<Vec<Report>> {
        let lists: Vec<Vec<u32>> = clients.iter().map(|c| images.test_indices(c)).collect();
        let list = batches_of_clients(&lists, settings.batch)?;
        let totals = self.totals(gpu, images, &list, settings, lambdas).await?;
        let report = |totals: Vec<Vec<Totals>>| {
            let per_client = per_client(clients.len(), settings.widths.len(), &list, &totals);
            Report::new(&settings.widths, clients, &images.domains, &per_client)
        };
        Ok(totals.into_iter().map(report).collect())
    }

    /// Counters `[λ][batch][width]`.
    async fn totals(
        &self,
        gpu: &Gpu,
        images: &Images,
        list: &[Batch],
        settings: &TestSettings,
        lambdas: &[f64],
    ) -> Result<Vec<Vec<Vec<Totals>>>> {
        lambdas.iter().try_for_each(|l| self.check_lambda(*l))?;
        let mut all = vec![vec![Vec::new(); list.len()]; lambdas.len()];
        for part in self.parts(gpu, &settings.widths).await? {
            let options = settings.evaluation(&part, self.ensemble(0.0, &settings.order)?, list.len() as u32);
            let mut evaluator = Evaluator::new(gpu, part.network(), part.server(), &images.store, options).await?;
            let staging = Staging::new(gpu, evaluator.staging_bytes(list.len()));
            for (lambda, all) in lambdas.iter().zip(&mut all) {
                evaluator.set_lambda(gpu, *lambda as f32);
                evaluator.submit(gpu, list, &staging, 0)?;
                let totals = evaluator.totals(&staging.read(gpu).await?);
                check_finite(totals.iter().flatten().map(|t| t.loss))?;
                all.iter_mut().zip(totals).for_each(|(all, own)| all.extend(own));
            }
        }
        Ok(all)
    }

    /// The bases by their own accuracy on the clients' validation images, the best first; of equals, the first. With it, that
    /// accuracy: the mean over the clients.
    ///
    /// # Errors
    /// [`Error::Data`] where no client has validation images; else as [`Model::test`].
    pub async fn order_by_accuracy(
        &self,
        gpu: &Gpu,
        images: &Images,
        clients: &[Client],
        settings: &TestSettings,
    ) -> Result<Vec<(u32, f64)>> {
        self.check_lambda(settings.lambda)?;
        if self.own.is_some() {
            return Err(Error::Config("order = accuracy: every client has one base of its own in this model: leave order out".into()));
        }
        let lists: Vec<Vec<u32>> = clients.iter().map(|c| images.validation_indices(c)).collect();
        let list = batches_of_clients(&lists, settings.batch)?;
        let options = EvaluateOptions {
            batch: settings.batch as u32,
            widths: vec![1],
            ensemble: self.ensemble(settings.lambda, &[])?,
            batches: list.len() as u32,
            limit: settings.limit,
            guarded: false,
        };
        let mut evaluator = Evaluator::new(gpu, &self.network, &self.server, &images.store, options).await?;
        let staging = Staging::new(gpu, evaluator.staging_bytes(list.len()));
        let mut order = Vec::new();
        for base in 0..self.server.count {
            evaluator.set_bases(&self.server, &[base]);
            evaluator.submit(gpu, &list, &staging, 0)?;
            let totals = evaluator.totals(&staging.read(gpu).await?);
            check_finite(totals[..list.len()].iter().flatten().map(|t| t.loss))?;
            let per_client = per_client(clients.len(), 1, &list, &totals[..list.len()]);
            let accuracies: Vec<Option<f64>> = per_client.iter().map(|t| (t[0].samples > 0).then(|| t[0].accuracy())).collect();
            let mean = selection::mean(&accuracies)
                .ok_or_else(|| Error::Data("order = accuracy: no client has validation images to order the bases by".into()))?;
            order.push((base, mean));
        }
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(order)
    }

    /// Accuracy of every width on each client's test images after an attack against that width's own mix: robust accuracy.
    ///
    /// The attack differentiates through the mean logits, the λ-mix of batch norms and, where they are the batch's, its
    /// statistics; its random start comes from `seed` (paper, Algorithm 4 and section 4.2).
    ///
    /// # Errors
    /// As [`Model::test`].
    pub async fn attack(
        &self,
        gpu: &Gpu,
        images: &Images,
        clients: &[Client],
        settings: &TestSettings,
        attack: Attack,
        seed: u32,
    ) -> Result<RobustReport> {
        Ok(self.attack_each(gpu, images, clients, settings, attack, seed, &[settings.lambda], |_, _| {}).await?.remove(0))
    }

    /// The same for several λ in place of that of the settings; `before` is called before each (width, λ).
    ///
    /// # Errors
    /// As [`Model::test`].
    #[allow(clippy::too_many_arguments)]
    pub async fn attack_each(
        &self,
        gpu: &Gpu,
        images: &Images,
        clients: &[Client],
        settings: &TestSettings,
        attack: Attack,
        seed: u32,
        lambdas: &[f64],
        mut before: impl FnMut(Ratio, f64),
    ) -> Result<Vec<RobustReport>> {
        lambdas.iter().try_for_each(|l| self.check_lambda(*l))?;
        let lists: Vec<Vec<u32>> = clients.iter().map(|c| images.test_indices(c)).collect();
        let list = batches_of_clients(&lists, settings.batch)?;
        // [λ][batch][width]
        let mut totals = vec![vec![Vec::new(); list.len()]; lambdas.len()];
        let mut progress = vec![Vec::new(); lambdas.len()];
        let parts = self.parts(gpu, &settings.widths).await?;
        let models = parts.iter().flat_map(|part| part.counts().iter().map(move |bases| (part, *bases)));
        for (width, (part, bases)) in settings.widths.iter().zip(models) {
            let options = settings.attack(attack, bases, self.ensemble(0.0, &settings.order)?, list.len() as u32, seed);
            let mut attacker = Attacker::new(gpu, part.network(), part.server(), &images.store, options).await?;
            for (i, lambda) in lambdas.iter().enumerate() {
                before(*width, *lambda);
                attacker.set_lambda(gpu, *lambda as f32);
                let start = attacker.start(gpu, &list).await?;
                let end = attacker.attack(gpu, &list).await?;
                check_finite(start.iter().chain(&end).map(|a| a.totals.loss))?;
                totals[i].iter_mut().zip(&end).for_each(|(all, one)| all.push(one.totals));
                let images: u32 = end.iter().map(|a| a.totals.samples).sum();
                let mean_loss = |all: &[Attacked]| all.iter().map(|a| f64::from(a.totals.loss)).sum::<f64>() / f64::from(images.max(1));
                let without_gradient = end.iter().map(|a| a.without_gradient).sum();
                progress[i].push(Progress { start_loss: mean_loss(&start), loss: mean_loss(&end), without_gradient, images });
            }
        }
        let report = |(totals, progress): (Vec<Vec<Totals>>, Vec<Progress>)| {
            let per_client = per_client(clients.len(), settings.widths.len(), &list, &totals);
            RobustReport { attack, report: Report::new(&settings.widths, clients, &images.domains, &per_client), progress }
        };
        Ok(totals.into_iter().zip(progress).map(report).collect())
    }

    /// Class probabilities of single images, H·W·3 bytes each, at each width: `[width][image][class]`, through the batch norms of
    /// `client` where clients keep their own.
    ///
    /// By batch statistics the images of one call form the batches that batch norm uses, so a prediction depends on the images
    /// it is made with; at least two are needed then. Images whose number is a multiple of `settings.batch` are cut into just such batches.
    ///
    /// # Errors
    /// [`Error::Config`] for too few images or a width that there is not, [`Error::Data`] for a model whose answers are not finite,
    /// [`Error::Gpu`] for the device's.
    pub async fn predict(&self, gpu: &Gpu, pixels: &[u8], settings: &TestSettings, client: u32) -> Result<Vec<Vec<Vec<f32>>>> {
        self.check_lambda(settings.lambda)?;
        let count = pixels.len() / self.network.input.len() as usize;
        if count < 2 && self.bn_mode == BnMode::Batch {
            return Err(Error::Config("predictions need at least two images: batch norm normalises over the batch".into()));
        }
        let store = ImageStore::new(gpu, self.network.input, &[(pixels, &vec![0; count])])?;
        let indices: Vec<u32> = (0..count as u32).collect();
        let list = match self.bn_mode {
            BnMode::Batch if settings.batch < 2 || !count.is_multiple_of(settings.batch) => {
                batches::evaluation_batches(&indices, settings.batch)?
            }
            _ => indices.chunks(settings.batch.max(1)).map(<[u32]>::to_vec).collect(),
        };
        let list: Vec<Batch> = list.into_iter().map(|images| Batch { client, images }).collect();
        let mut logits = Vec::new();
        for part in self.parts(gpu, &settings.widths).await? {
            let limit = Limit { batch: "context", ..settings.limit };
            let ensemble = self.ensemble(settings.lambda, &settings.order)?;
            let options = EvaluateOptions { limit, ..settings.evaluation(&part, ensemble, list.len() as u32) };
            let mut evaluator = Evaluator::new(gpu, part.network(), part.server(), &store, options).await?;
            logits.extend(evaluator.logits(gpu, &list).await?);
        }
        check_finite(logits.iter().flatten().flatten().copied())?;
        logits.iter_mut().flatten().for_each(|row| softmax(row));
        Ok(logits)
    }
}

/// Bases that are evaluated together, for models of one or several widths.
pub enum Part<'a> {
    /// The first so many of the ensemble's bases, mixed: one number a width.
    Bases {
        /// The base network.
        network: &'a Network,
        /// The bases.
        server: &'a Rows,
        /// Their number in each width.
        counts: Vec<u32>,
    },
    /// The corner of one width.
    Corner(Box<Corner>),
}

impl Part<'_> {
    /// The network of the bases.
    pub fn network(&self) -> &Network {
        match self {
            Part::Bases { network, .. } => network,
            Part::Corner(corner) => &corner.network,
        }
    }

    /// The bases.
    pub fn server(&self) -> &Rows {
        match self {
            Part::Bases { server, .. } => server,
            Part::Corner(corner) => &corner.server,
        }
    }

    /// How many of them make each width.
    pub fn counts(&self) -> &[u32] {
        match self {
            Part::Bases { counts, .. } => counts,
            Part::Corner(_) => &[1],
        }
    }

    /// The corner, if it is one, to be kept and taken again.
    pub fn into_corner(self) -> Option<Corner> {
        match self {
            Part::Bases { .. } => None,
            Part::Corner(corner) => Some(*corner),
        }
    }
}

/// Refuses logits or losses that are not finite: they say nothing about an image, though accuracies can be counted from them.
fn check_finite(mut values: impl Iterator<Item = f32>) -> Result<()> {
    match values.find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => Err(Error::Data(format!(
            "the model's answers reach {value}: its parameters are too large for 32-bit floats; take an older or another checkpoint"
        ))),
    }
}

fn softmax(row: &mut [f32]) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|v| *v = (*v - top).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|v| *v /= sum);
}

/// Settings of a test.
#[derive(Debug, Clone)]
pub struct TestSettings {
    /// Widths to mix.
    pub widths: Vec<Ratio>,
    /// Share of the adversarial batch norms, in [0, 1]; 0 for a model that has none.
    pub lambda: f64,
    /// Bases in the order in which they are mixed; empty: in their own.
    pub order: Vec<u32>,
    /// Images of a batch; under batch statistics it is part of the result.
    pub batch: usize,
    /// How much of the GPU to take.
    pub limit: Limit,
}

impl TestSettings {
    /// The evaluation of a part of a model in so many batches of test images.
    fn evaluation(&self, part: &Part, ensemble: Ensemble, batches: u32) -> EvaluateOptions {
        let (batch, widths) = (self.batch as u32, part.counts().to_vec());
        EvaluateOptions { batch, widths, ensemble, batches, limit: self.limit(), guarded: false }
    }

    /// An attack on so many batches of test images against so many bases.
    fn attack(&self, attack: Attack, bases: u32, ensemble: Ensemble, batches: u32, seed: u32) -> AttackOptions {
        AttackOptions {
            attack: attack.into(),
            bases,
            ensemble,
            batch: self.batch as u32,
            batches,
            seed,
            limit: self.limit(),
            guarded: false,
        }
    }

    fn limit(&self) -> Limit {
        Limit { batch: "eval-batch-size", ..self.limit }
    }
}

/// A data set on the GPU, with the place of every domain's images in it.
pub struct Images {
    /// The images.
    pub store: ImageStore,
    /// Domain names, in the data set's order.
    pub domains: Vec<String>,
    train: Vec<u32>,
    test: Vec<u32>,
}

impl Images {
    /// Uploads all images of a data set, training images of each domain before its test images.
    ///
    /// # Errors
    /// [`Error::Data`] where the images do not have the network's shape, [`Error::Config`] where they do not fit.
    pub fn new(gpu: &Gpu, dataset: &Dataset, shape: Shape) -> Result<Images> {
        let mut sets = Vec::new();
        let (mut train, mut test, mut next) = (Vec::new(), Vec::new(), 0u32);
        for domain in &dataset.domains {
            for (set, starts) in [(&domain.train, &mut train), (&domain.test, &mut test)] {
                if (set.height, set.width) != (shape.height, shape.width) {
                    return Err(Error::Data(format!(
                        "domain {}: images are {}×{}, the network wants {}×{}",
                        domain.name, set.height, set.width, shape.height, shape.width
                    )));
                }
                starts.push(next);
                next += set.len() as u32;
                sets.push((set.pixels.as_slice(), set.labels.as_slice()));
            }
        }
        let store = ImageStore::new(gpu, shape, &sets)?;
        Ok(Images { store, domains: dataset.domains.iter().map(|d| d.name.clone()).collect(), train, test })
    }

    /// Places of a client's training images in the store.
    pub fn train_indices(&self, client: &Client) -> Vec<u32> {
        client.train.iter().map(|i| self.train[client.domain] + i).collect()
    }

    /// Places of a client's validation images, which come from its domain's training set.
    pub fn validation_indices(&self, client: &Client) -> Vec<u32> {
        client.validation.iter().map(|i| self.train[client.domain] + i).collect()
    }

    /// Places of a client's test images.
    pub fn test_indices(&self, client: &Client) -> Vec<u32> {
        client.test.iter().map(|i| self.test[client.domain] + i).collect()
    }
}

/// Evaluation batches of every client's images, one client a batch.
pub(super) fn batches_of_clients(lists: &[Vec<u32>], batch: usize) -> Result<Vec<Batch>> {
    let mut all = Vec::new();
    for (client, images) in (0..).zip(lists) {
        let of_client = batches::evaluation_batches(images, batch)?;
        all.extend(of_client.into_iter().map(|images| Batch { client, images }));
    }
    Ok(all)
}

/// Sums of the batches' counters, `[client][width]`.
pub(super) fn per_client(clients: usize, widths: usize, batches: &[Batch], totals: &[Vec<Totals>]) -> Vec<Vec<Totals>> {
    let mut sums = vec![vec![Totals::default(); widths]; clients];
    for (batch, totals) in batches.iter().zip(totals) {
        for (sum, t) in sums[batch.client as usize].iter_mut().zip(totals) {
            sum.loss += t.loss;
            sum.correct += t.correct;
            sum.samples += t.samples;
        }
    }
    sums
}

/// Accuracies of one width.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Accuracy {
    /// The width.
    pub width: Ratio,
    /// Unweighted mean over the clients that have images, in [0, 1].
    pub mean: Option<f64>,
    /// The same over the clients of each domain, in the data's order.
    pub domains: Vec<(String, Option<f64>)>,
    /// Accuracy of each client, in client order; none without images.
    pub clients: Vec<Option<f64>>,
}

/// What a test found, width by width.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// One entry a width, in the order asked for.
    pub widths: Vec<Accuracy>,
}

impl Report {
    fn new(widths: &[Ratio], clients: &[Client], domains: &[String], totals: &[Vec<Totals>]) -> Report {
        let of_width = |(i, width): (usize, &Ratio)| {
            let accuracies: Vec<Option<f64>> = totals.iter().map(|t| (t[i].samples > 0).then(|| t[i].accuracy())).collect();
            let of_domain = |(d, name): (usize, &String)| {
                let own: Vec<_> = clients.iter().zip(&accuracies).filter(|(c, _)| c.domain == d).map(|(_, a)| *a).collect();
                (name.clone(), selection::mean(&own))
            };
            Accuracy {
                width: *width,
                mean: selection::mean(&accuracies),
                domains: domains.iter().enumerate().map(of_domain).collect(),
                clients: accuracies,
            }
        };
        Report { widths: widths.iter().enumerate().map(of_width).collect() }
    }
}
