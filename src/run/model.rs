//! A trained ensemble on a GPU: what a checkpoint becomes, to be evaluated at any width or asked for predictions.

use super::checkpoint::{Checkpoint, Tensor, tensor_name};
use super::config::TrainConfig;
use super::robust::{Progress, RobustReport};
use crate::data::Dataset;
use crate::engine::{AttackOptions, Attacked, Attacker, EvaluateOptions, Evaluator, ImageStore, Limit, Server, Staging, Totals};
use crate::fl::init::{Init, fan_in_scale, init_tensor, tensor_rng};
use crate::fl::{Attack, Client, DomainSizes, Method, Partition, Ratio, batches, selection};
use crate::gpu::Gpu;
use crate::net::{Network, Shape, TensorKind, digits};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Network and bases of one ensemble.
pub struct Model {
    /// The base network.
    pub network: Network,
    /// Parameters of the bases.
    pub server: Server,
    /// Which widths can be mixed.
    pub method: Method,
    /// Class names' number.
    pub classes: usize,
}

/// The base network of that name at that width.
///
/// # Errors
/// [`Error::Config`] where there is no such network or it has no channels left.
pub fn network(name: &str, base_width: Ratio, classes: usize) -> Result<Network> {
    match name {
        "digits" => digits(base_width.numerator(), base_width.denominator(), classes as u32),
        other => Err(Error::Config(format!("no network named {other:?}: this version knows digits"))),
    }
}

/// Freshly initialised bases, from the seed alone (paper, section 3.2; `rescale_init` is its correction of the fan-in).
///
/// # Errors
/// As [`Server::new`].
pub fn initial_bases(gpu: &Gpu, network: &Network, bases: usize, base_width: Ratio, seed: u64, rescale_init: bool) -> Result<Server> {
    let server = Server::new(gpu, network, bases as u32)?;
    for base in 0..bases {
        let tensors = network.tensors.iter().enumerate().map(|(i, t)| {
            let kind = match t.kind {
                TensorKind::ConvWeight | TensorKind::LinearWeight { .. } => Init::Weight,
                TensorKind::Bias => Init::Bias { fan_in: t.fan_in },
                TensorKind::NormWeight => Init::Ones,
                TensorKind::NormBias => Init::Zeros,
            };
            let scale = fan_in_scale(rescale_init, t.first_layer, base_width);
            (t.name.clone(), init_tensor(kind, &t.shape, scale, &mut tensor_rng(seed, base, i)))
        });
        server.upload(gpu, network, base as u32, &tensors.collect());
    }
    Ok(server)
}

/// Names and PyTorch shapes of a network's tensors, as checkpoints are asked for them.
pub fn wanted_tensors(network: &Network) -> Vec<(String, Vec<usize>)> {
    network.tensors.iter().map(|t| (t.name.clone(), t.shape.clone())).collect()
}

/// The clients of a data set under a run's options.
///
/// # Errors
/// As [`crate::fl::partition()`].
pub fn partition(dataset: &Dataset, config: &TrainConfig) -> Result<Partition> {
    let sizes = dataset.domains.iter().map(|d| DomainSizes { name: d.name.clone(), train: d.train.len(), test: d.test.len() });
    crate::fl::partition::partition(&sizes.collect::<Vec<_>>(), &config.partition_settings(), &config.method())
}

impl Model {
    /// Uploads the bases of a checkpoint. `file` is its name in errors.
    ///
    /// # Errors
    /// [`Error::Data`] where tensors are missing or have other shapes than the network's.
    pub fn from_checkpoint(gpu: &Gpu, checkpoint: Checkpoint, file: &str) -> Result<Model> {
        let header = &checkpoint.header;
        let network = network(&header.network, header.base_width, header.classes)?;
        let method = header.config.method();
        let classes = header.classes;
        let server = Server::new(gpu, &network, header.bases as u32)?;
        let model = Model { network, server, method, classes };
        model.load_bases(gpu, checkpoint, file)?;
        Ok(model)
    }

    /// Replaces the bases by those of a checkpoint of the same ensemble. `file` is its name in errors.
    ///
    /// # Errors
    /// [`Error::Data`] where tensors are missing or have other shapes than the network's.
    pub fn load_bases(&self, gpu: &Gpu, checkpoint: Checkpoint, file: &str) -> Result<()> {
        let bases = checkpoint.take_parameters(&wanted_tensors(&self.network), file)?;
        for (base, tensors) in bases.into_iter().enumerate() {
            let named = self.network.tensors.iter().zip(tensors).map(|(spec, t)| (spec.name.clone(), t.data)).collect();
            self.server.upload(gpu, &self.network, base as u32, &named);
        }
        Ok(())
    }

    /// The bases as a checkpoint holds them.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn tensors(&self, gpu: &Gpu) -> Result<BTreeMap<String, Tensor>> {
        let bases = self.server.download(gpu, &self.network).await?;
        let mut tensors = BTreeMap::new();
        for (b, mut base) in bases.into_iter().enumerate() {
            for spec in &self.network.tensors {
                let data = base.remove(&spec.name).expect("downloaded by the same list");
                tensors.insert(tensor_name(b, &spec.name), Tensor { shape: spec.shape.clone(), data });
            }
        }
        Ok(tensors)
    }

    /// Number of bases of each width.
    ///
    /// # Errors
    /// [`Error::Config`] naming a width that cannot be mixed.
    pub fn mixed_bases(&self, widths: &[Ratio]) -> Result<Vec<u32>> {
        widths.iter().map(|w| Ok(self.method.mixed_bases(*w)? as u32)).collect()
    }

    /// Accuracy of every width on each client's test images, from one forward of the bases.
    ///
    /// # Errors
    /// [`Error::Config`] for a width that cannot be mixed or a batch that does not fit, [`Error::Gpu`] for the device's.
    pub async fn test(&self, gpu: &Gpu, images: &Images, clients: &[Client], settings: &TestSettings) -> Result<Report> {
        let lists: Vec<Vec<u32>> = clients.iter().map(|c| images.test_indices(c)).collect();
        let (owners, list) = batches_of_clients(&lists, settings.batch)?;
        let options = EvaluateOptions {
            batch: settings.batch as u32,
            widths: self.mixed_bases(&settings.widths)?,
            batches: list.len() as u32,
            limit: settings.limit,
            guarded: false,
        };
        let mut evaluator = Evaluator::new(gpu, &self.network, &self.server, &images.store, options).await?;
        let staging = Staging::new(gpu, evaluator.staging_bytes(list.len()));
        evaluator.submit(gpu, &list, &staging, 0)?;
        let totals = evaluator.totals(&staging.read(gpu).await?);
        let per_client = per_client(clients.len(), settings.widths.len(), &owners, &totals[..list.len()]);
        Ok(Report::new(&settings.widths, clients, &images.domains, &per_client))
    }

    /// Accuracy of every width on each client's test images after an attack against that width's own mix: robust accuracy.
    ///
    /// The attack differentiates through the mean logits and the statistics of each batch; its random start comes from
    /// `seed` (paper, Algorithm 4 and section 4.2).
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
        let lists: Vec<Vec<u32>> = clients.iter().map(|c| images.test_indices(c)).collect();
        let (owners, list) = batches_of_clients(&lists, settings.batch)?;
        let mut totals = vec![Vec::new(); list.len()];
        let mut progress = Vec::new();
        for bases in self.mixed_bases(&settings.widths)? {
            let options = AttackOptions {
                attack,
                bases,
                batch: settings.batch as u32,
                batches: list.len() as u32,
                seed,
                limit: settings.limit,
                guarded: false,
            };
            let mut attacker = Attacker::new(gpu, &self.network, &self.server, &images.store, options).await?;
            let start = attacker.start(gpu, &list).await?;
            let end = attacker.attack(gpu, &list).await?;
            totals.iter_mut().zip(&end).for_each(|(all, one)| all.push(one.totals));
            let images: u32 = end.iter().map(|a| a.totals.samples).sum();
            let mean_loss = |all: &[Attacked]| all.iter().map(|a| f64::from(a.totals.loss)).sum::<f64>() / f64::from(images.max(1));
            let without_gradient = end.iter().map(|a| a.without_gradient).sum();
            progress.push(Progress { start_loss: mean_loss(&start), loss: mean_loss(&end), without_gradient, images });
        }
        let per_client = per_client(clients.len(), settings.widths.len(), &owners, &totals);
        let report = Report::new(&settings.widths, clients, &images.domains, &per_client);
        Ok(RobustReport { attack, report, progress })
    }

    /// Class probabilities of single images, H·W·3 bytes each, at each width: `[width][image][class]`.
    ///
    /// The images of one call form the batches whose statistics batch norm uses, so a prediction depends on the images
    /// it is made with; at least two are needed.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two images or a width that cannot be mixed, [`Error::Gpu`] for the device's.
    pub async fn predict(&self, gpu: &Gpu, pixels: &[u8], widths: &[Ratio], batch: usize, limit: Limit) -> Result<Vec<Vec<Vec<f32>>>> {
        let count = pixels.len() / self.network.input.len() as usize;
        if count < 2 {
            return Err(Error::Config("predictions need at least two images: batch norm normalises over the batch".into()));
        }
        let store = ImageStore::new(gpu, self.network.input, &[(pixels, &vec![0; count])])?;
        let list = batches::evaluation_batches(&(0..count as u32).collect::<Vec<_>>(), batch)?;
        let options =
            EvaluateOptions { batch: batch as u32, widths: self.mixed_bases(widths)?, batches: list.len() as u32, limit, guarded: false };
        let mut evaluator = Evaluator::new(gpu, &self.network, &self.server, &store, options).await?;
        let mut logits = evaluator.logits(gpu, &list).await?;
        logits.iter_mut().flatten().for_each(|row| softmax(row));
        Ok(logits)
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
    /// Images of a batch; under batch statistics it is part of the result.
    pub batch: usize,
    /// How much of the GPU to take.
    pub limit: Limit,
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

/// Evaluation batches of every client's images, one client a batch, and the client of each.
pub(super) fn batches_of_clients(lists: &[Vec<u32>], batch: usize) -> Result<(Vec<usize>, Vec<Vec<u32>>)> {
    let mut owners = Vec::new();
    let mut all = Vec::new();
    for (client, images) in lists.iter().enumerate() {
        for batch in batches::evaluation_batches(images, batch)? {
            owners.push(client);
            all.push(batch);
        }
    }
    Ok((owners, all))
}

/// Sums of the batches' counters, `[client][width]`.
pub(super) fn per_client(clients: usize, widths: usize, owners: &[usize], totals: &[Vec<Totals>]) -> Vec<Vec<Totals>> {
    let mut sums = vec![vec![Totals::default(); widths]; clients];
    for (owner, batch) in owners.iter().zip(totals) {
        for (sum, t) in sums[*owner].iter_mut().zip(batch) {
            sum.loss += t.loss;
            sum.correct += t.correct;
            sum.samples += t.samples;
        }
    }
    sums
}

/// Accuracies of one width.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
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
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
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
