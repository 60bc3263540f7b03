//! Checkpoints: parameters as safetensors, everything else as JSON in the file's metadata.
//!
//! # Tensor names
//! `{base}.{name}`: the base's index, a dot, and the name that PyTorch gives the tensor in a network of the same
//! layers, such as `0.conv1.weight`, `7.fc3.bias` or `3.bn4.weight`. Shapes are PyTorch's (`[out, in, height, width]`,
//! `[out, in]`). These are the keys of the ensemble's state dict in the authors' program (its `EnsembleNet` registers
//! base `i` as module `"i"`), so a checkpoint of theirs becomes one of ours by a change of container:
//!
//! ```python
//! import torch
//! from safetensors.torch import save_file
//! state = torch.load("checkpoint.pt", map_location="cpu", weights_only=False)
//! state = state["server_model"]["server"]  # not for a bare state dict
//! save_file({name: tensor.contiguous() for name, tensor in state.items()}, "checkpoint.safetensors")
//! ```
//!
//! Adversarial batch norms are `0.bn1.adversarial.weight`, running statistics `0.bn1.running_mean` and `0.bn1.running_var`.
//! What stays with the clients is `local.0.bn1.weight` of shape `[clients, values]`, and so on; in checkpoints to resume from, what the
//! server's optimiser keeps, `server.mean.0.conv1.weight`, and control variates, `server.control.0.…` and the clients' `control.0.…`.
//!
//! [`import`] also takes the bare names of a single network (`conv1.weight`) for an ensemble of one base, prefixes of wrapped models
//! (`module.`, `_orig_mod.`, `model.`, …, alone or nested) where all names have the same, any other prefixes where they are left out of names
//! that are unique without them, and the authors' names: those of dual batch norms
//! (`0.bn1.clean_bn.weight`, `0.bn1.noise_bn.weight`) and of both their ResNets (`0.n4.weight` or `0.bn4.weight`,
//! `0.layer2.0.shortcut.weight`, `0.linear.weight`).
//!
//! Values are 32-bit floats. F16 and BF16 are read exactly, F64 is rounded to the nearest. A value that no training leaves (not finite, a
//! running variance below 0, any other of 2⁶⁴ or more) is refused with the name of its tensor, wherever a checkpoint is read.
//!
//! # Metadata
//! One key, `splitmix`: a JSON object with `format` and the fields of [`Header`]. One key only, because the order of
//! several is not defined and the same state must give the same bytes.

use super::config::{BnMode, TrainConfig};
use crate::data::{Dataset, Domain};
use crate::fl::{Attack, Best, Client, Ratio, State};
use crate::net::{Network, Norms};
use crate::{Error, Result};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The format that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 3;

const METADATA_KEY: &str = "splitmix";

/// One tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Dimensions in PyTorch's order.
    pub shape: Vec<usize>,
    /// Values, last dimension fastest; as many as the product of the dimensions.
    pub data: Vec<f32>,
}

/// All of a checkpoint but its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Header {
    /// Name of the network, such as `digits`.
    pub network: String,
    /// Number of classes.
    pub classes: usize,
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// Number of bases.
    pub bases: usize,
    /// Width `r` of a base.
    pub base_width: Ratio,
    /// Largest budget `R`.
    pub max_width: Ratio,
    /// Rounds trained so far; the next round has this number.
    pub rounds_done: usize,
    /// The best round so far.
    pub best: Option<Best>,
    /// What the algorithm keeps between rounds, needed to resume; a checkpoint of the best round has none.
    pub state: Option<State>,
    /// The base that answers for each client, where each has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_bases: Option<Vec<u32>>,
    /// What the bases are, where they are no longer those of a training but a mixed model made of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixed: Option<Mixed>,
    /// The effective configuration of the run.
    pub config: TrainConfig,
    /// The data that the run was started with; unknown of an imported model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataFingerprint>,
}

/// What a run's data were: names, numbers and checksums, so that other data do not take their place unseen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataFingerprint {
    /// Names of the classes in their order.
    pub classes: Vec<String>,
    /// Domains in their order: name, images for training, images for testing.
    pub domains: Vec<(String, usize, usize)>,
    /// Number of clients.
    pub clients: usize,
    /// CRC-32 of what the domains and the clients hold; unknown of a checkpoint of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksums: Option<Checksums>,
}

/// CRC-32 of all that is trained and tested on: against mistakes, not against intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Checksums {
    /// Of each domain's images and labels.
    pub domains: Vec<u32>,
    /// Of the clients' names and of which images each has.
    pub clients: u32,
}

impl Checksums {
    fn new(dataset: &Dataset, clients: &[Client]) -> Checksums {
        let of_domain = |domain: &Domain| {
            let mut crc = flate2::Crc::new();
            [&domain.train, &domain.test].into_iter().flat_map(|set| [&set.labels, &set.pixels]).for_each(|bytes| crc.update(bytes));
            crc.sum()
        };
        let names = clients.iter().map(|c| c.name.as_str());
        Checksums { domains: dataset.domains.iter().map(of_domain).collect(), clients: Checksums::of_clients(names, clients, dataset) }
    }

    /// That of the clients under the names given, one each. What a file lists for a client is the same in whatever order a run takes it.
    fn of_clients<'a>(names: impl Iterator<Item = &'a str>, clients: &[Client], dataset: &Dataset) -> u32 {
        let mut shares = flate2::Crc::new();
        for (i, (name, client)) in names.zip(clients).enumerate() {
            shares.update(name.as_bytes());
            let listed = dataset.clients.get(i);
            let parts = [
                (&client.train, false),
                (&client.validation, listed.is_some_and(|listed| !listed.validation.is_empty())),
                (&client.test, listed.is_some()),
            ];
            for (images, is_listed) in parts {
                shares.update(&(images.len() as u32).to_le_bytes());
                let mut images = Cow::from(images);
                if is_listed {
                    images.to_mut().sort_unstable();
                }
                images.iter().for_each(|image| shares.update(&image.to_le_bytes()));
            }
        }
        shares.sum()
    }
}

impl DataFingerprint {
    /// Those of a data set with its clients.
    pub fn new(dataset: &Dataset, clients: &[Client]) -> DataFingerprint {
        let domains = dataset.domains.iter().map(|d| (d.name.clone(), d.train.len(), d.test.len())).collect();
        let checksums = Some(Checksums::new(dataset, clients));
        DataFingerprint { classes: dataset.classes.clone(), domains, clients: clients.len(), checksums }
    }

    /// The first that is another in a data set with its clients, in words; `None` where both are the same. Domains may have other names: a
    /// folder that was renamed holds the same images, as the checksums prove.
    pub fn difference_from(&self, dataset: &Dataset, clients: &[Client]) -> Option<String> {
        let now = DataFingerprint::new(dataset, clients);
        let renamed = || {
            let checksums = now.checksums.as_ref()?;
            if self.checksums.is_none() || self.domains.len() != now.domains.len() {
                return None;
            }
            let before = |client: &Client| {
                let (then, domain) = (&self.domains[client.domain].0, &dataset.domains[client.domain].name);
                client.name.strip_prefix(domain.as_str()).filter(|rest| rest.starts_with('-')).map(|rest| format!("{then}{rest}"))
            };
            let names: Vec<String> = clients.iter().map(|c| before(c).unwrap_or_else(|| c.name.clone())).collect();
            let domains = self.domains.iter().zip(&now.domains).map(|((name, ..), (_, train, test))| (name.clone(), *train, *test));
            let own = Checksums::of_clients(names.iter().map(String::as_str), clients, dataset);
            let checksums = Checksums { clients: own, domains: checksums.domains.clone() };
            Some(DataFingerprint { domains: domains.collect(), checksums: Some(checksums), ..now.clone() })
        };
        match renamed() {
            Some(same) if self.difference(&same).is_none() => None,
            _ => self.difference(&now),
        }
    }

    /// The first that is another in `now`, names included, in words; `None` where both are the same.
    pub fn difference(&self, now: &DataFingerprint) -> Option<String> {
        if self.classes != now.classes {
            return Some(format!("its classes were {}, the data has {}", self.classes.join(", "), now.classes.join(", ")));
        }
        let names = |h: &DataFingerprint| h.domains.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>().join(", ");
        if names(self) != names(now) {
            let checksums = self.checksums.iter().flat_map(|c| &c.domains).zip(now.checksums.iter().flat_map(|c| &c.domains));
            let both = self.domains.iter().zip(&now.domains).zip(checksums);
            let renamed: Vec<_> = both.filter(|((then, now), _)| then.0 != now.0).collect();
            let known = self.checksums.is_some() && now.checksums.is_some() && self.domains.len() == now.domains.len();
            if known && renamed.iter().all(|(_, (then, now))| then == now) {
                let pairs: Vec<String> = renamed.iter().map(|((then, now), _)| format!("{} is now called {}", then.0, now.0)).collect();
                return Some(format!("its domain {}, with the same images (rename it back)", pairs.join(", its domain ")));
            }
            return Some(format!("its domains were {}, the data has {}", names(self), names(now)));
        }
        let sizes = self.domains.iter().zip(&now.domains).find(|(then, now)| then != now);
        if let Some(((name, train, test), now)) = sizes {
            return Some(format!("domain {name} had {train} + {test} images (training + test) and has {} + {}", now.1, now.2));
        }
        if self.clients != now.clients {
            return Some(format!("it had {} clients, the data has {}", self.clients, now.clients));
        }
        let (then, now) = (self.checksums.as_ref()?, now.checksums.as_ref()?);
        let mut domains = self.domains.iter().zip(then.domains.iter().zip(&now.domains));
        if let Some(((name, ..), _)) = domains.find(|(_, (then, now))| then != now) {
            return Some(format!("domain {name} had as many images, but other ones or other labels"));
        }
        (then.clients != now.clients).then(|| "its clients had other images of the same data, or other names".into())
    }
}

/// A model of one width and one λ, taken out of a trained ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mixed {
    /// Its width.
    pub width: Ratio,
    /// Share of the adversarial batch norms, which are folded into single ones.
    pub lambda: f64,
    /// The ensemble's bases that it is made of, in their order.
    pub order: Vec<usize>,
    /// Client whose batch norms it has, where clients keep their own.
    pub client: Option<String>,
}

impl Header {
    /// The network of the bases.
    ///
    /// # Errors
    /// [`Error::Config`] where there is none of that name, or it has no channels left.
    pub fn network(&self) -> Result<Network> {
        Ok(self.config.network_of(self.base_width, self.classes)?.with_norms(self.norms()))
    }

    /// What the batch norms of the bases keep.
    pub fn norms(&self) -> Norms {
        match &self.mixed {
            Some(_) => Norms { dual: false, tracked: self.config.bn_mode != BnMode::Batch },
            None => self.config.norms(),
        }
    }

    /// How the bases are evaluated: mixed models keep the statistics that were re-estimated.
    pub fn bn_mode(&self) -> BnMode {
        match (&self.mixed, self.config.bn_mode) {
            (Some(_), BnMode::Post) => BnMode::Tracked,
            (_, mode) => mode,
        }
    }
}

/// A saved ensemble.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What the tensors belong to.
    pub header: Header,
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// The kind of what is the clients' own in the model.
pub const LOCAL: &str = "local";

/// The name of what clients keep of tensor `name` of base `base`: `kind` is [`LOCAL`] or control.
pub fn client_name(kind: &str, base: usize, name: &str) -> String {
    format!("{kind}.{base}.{name}")
}

/// The name of what the server keeps of tensor `name` of base `base`: `kind` is mean, square or control.
pub fn server_name(kind: &str, base: usize, name: &str) -> String {
    format!("{OF_SERVER}{kind}.{base}.{name}")
}

const OF_SERVER: &str = "server.";
const OF_TRAINING: [&str; 2] = [OF_SERVER, "control."];

/// The name of tensor `name` of base `base`.
pub fn tensor_name(base: usize, name: &str) -> String {
    format!("{base}.{name}")
}

#[derive(Serialize)]
struct Versioned<'a> {
    format: u32,
    #[serde(flatten)]
    header: &'a Header,
}

impl Checkpoint {
    /// The bytes of the file. The same checkpoint always gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Data`] when a value is one that no training leaves (it diverged: better to keep the checkpoint before) or a
    /// tensor's data does not fill its shape.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes: Vec<(&String, &[usize], Vec<u8>)> = Vec::with_capacity(self.tensors.len());
        for (name, tensor) in &self.tensors {
            if let Some(index) = tensor.data.iter().position(|value| !is_usable(name, *value)) {
                let value = shown(tensor.data[index]);
                return Err(Error::Data(match &self.header.mixed {
                    Some(_) => format!(
                        "the mixed parameter {name} holds {value} at index {index}: the bases are beyond what 32-bit floats hold; nothing is \
                         written; mix an older checkpoint"
                    ),
                    None => format!(
                        "after {} rounds the parameter {name} holds {value} at index {index}: training diverged; nothing is \
                         saved over the checkpoint before; lower lr and start again",
                        self.header.rounds_done
                    ),
                }));
            }
            let data = tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect();
            bytes.push((name, &tensor.shape, data));
        }
        let views = bytes.iter().map(|(name, shape, data)| {
            let view = TensorView::new(Dtype::F32, shape.to_vec(), data);
            view.map(|view| (*name, view)).map_err(|error| Error::Data(format!("tensor {name}: {error}")))
        });
        let views: Vec<_> = views.collect::<Result<_>>()?;
        let cannot = |what: &dyn std::fmt::Display| Error::Data(format!("the checkpoint cannot be written: {what}"));
        let header = serde_json::to_string(&Versioned { format: FORMAT, header: &self.header });
        let metadata = HashMap::from([(METADATA_KEY.to_string(), header.map_err(|error| cannot(&error))?)]);
        safetensors::serialize(views, Some(metadata)).map_err(|error| cannot(&error))
    }

    /// Reads the bytes of a checkpoint that this program wrote; `file` is its name in errors.
    ///
    /// # Errors
    /// [`Error::Data`] saying what is wrong with the file and what to do.
    pub fn from_bytes(bytes: &[u8], file: &str) -> Result<Checkpoint> {
        let Contents { metadata, tensors, .. } = read(bytes, file)?;
        let Some(header) = metadata else {
            return Err(Error::Data(format!(
                "{file}: no splitmix metadata: this is not a checkpoint of splitmix; parameters of another program \
                 have to be imported: splitmix import"
            )));
        };
        if let Some((name, problem)) = tensors.iter().find_map(|(name, read)| Some((name, read.as_ref().err()?))) {
            return Err(Error::Data(format!("{file}: tensor {name} {problem}")));
        }
        let tensors: BTreeMap<_, _> = tensors.into_iter().filter_map(|(name, read)| Some((name, read.ok()?))).collect();
        Ok(Checkpoint { header: parse_header(&header, tensors.len(), file)?, tensors })
    }

    /// What clients keep of a kind, moved out by name in a base: for each base and each of `wanted` (name, length), the
    /// values of all clients, one after the other; and the number of clients.
    ///
    /// # Errors
    /// [`Error::Data`] as [`Checkpoint::take_parameters`].
    pub fn take_clients(&mut self, kind: &str, wanted: &[(String, usize)], file: &str) -> Result<(usize, Vec<Vec<Vec<f32>>>)> {
        let mut clients = None;
        let mut bases = Vec::with_capacity(self.header.bases);
        for base in 0..self.header.bases {
            let tensors = wanted.iter().map(|(name, length)| {
                let name = client_name(kind, base, name);
                let tensor = self.tensors.remove(&name).ok_or_else(|| missing(file, &[&name], self.tensors.keys(), OTHER_NETWORK))?;
                let rows = *clients.get_or_insert(tensor.shape.first().copied().unwrap_or(0));
                Ok(of_shape(file, &name, tensor, &[rows, *length])?.data)
            });
            bases.push(tensors.collect::<Result<Vec<_>>>()?);
        }
        Ok((clients.unwrap_or(0), bases))
    }

    /// What the server keeps of a base, moved out, in the order of `wanted` (name in a base, shape).
    ///
    /// # Errors
    /// [`Error::Data`] as [`Checkpoint::take_parameters`].
    pub fn take_server(&mut self, kind: &str, base: usize, wanted: &[(String, Vec<usize>)], file: &str) -> Result<Vec<Tensor>> {
        let tensors = wanted.iter().map(|(name, shape)| {
            let name = server_name(kind, base, name);
            let tensor = self.tensors.remove(&name).ok_or_else(|| missing(file, &[&name], self.tensors.keys(), OTHER_NETWORK))?;
            of_shape(file, &name, tensor, shape)
        });
        tensors.collect()
    }

    /// Leaves out what only a next round needs: the algorithm's state, and the tensors of [`Checkpoint::split_training`].
    pub fn without_state(mut self) -> Checkpoint {
        self.header.state = None;
        self.split_training();
        self
    }

    /// Moves out what a training keeps from round to round besides the bases: tensors of the server's optimiser and control variates.
    pub fn split_training(&mut self) -> Checkpoint {
        let of_training = |name: &String| OF_TRAINING.iter().any(|prefix| name.starts_with(prefix));
        let (own, others) = std::mem::take(&mut self.tensors).into_iter().partition(|(name, _)| of_training(name));
        self.tensors = others;
        Checkpoint { header: self.header.clone(), tensors: own }
    }

    /// The tensors named in `wanted` (name in a base, shape), base by base and in the order of `wanted`, moved out.
    ///
    /// # Errors
    /// [`Error::Data`] for a tensor that is missing, has another shape (with both shapes), or is not asked for.
    pub fn take_parameters(mut self, wanted: &[(String, Vec<usize>)], file: &str) -> Result<Vec<Vec<Tensor>>> {
        let mut bases = Vec::with_capacity(self.header.bases);
        for base in 0..self.header.bases {
            let tensors = wanted.iter().enumerate().map(|(i, (name, shape))| {
                let name = tensor_name(base, name);
                let Some(tensor) = self.tensors.remove(&name) else {
                    let others: Vec<String> = wanted[i..].iter().map(|(name, _)| tensor_name(base, name)).collect();
                    return Err(missing(file, &others, self.tensors.keys(), OTHER_NETWORK));
                };
                of_shape(file, &name, tensor, shape)
            });
            bases.push(tensors.collect::<Result<Vec<Tensor>>>()?);
        }
        match self.tensors.keys().next() {
            None => Ok(bases),
            Some(extra) => Err(Error::Data(format!(
                "{file}: tensor {extra} does not belong to a network {} with {} bases",
                self.header.network, self.header.bases
            ))),
        }
    }
}

/// A name in a file, and the part of it that was looked for.
pub type Shortened = (String, String);

/// Parameters taken from another program's file.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The tensors of each base, in the order asked for.
    pub bases: Vec<Vec<Tensor>>,
    /// Names of tensors in the file that were not used, such as running statistics in batch-norm mode `batch`. The
    /// user should know: see [`Imported::notes`].
    pub unused: Vec<String>,
    /// Number of tensors in the file whose 64-bit values were rounded.
    pub rounded: usize,
    /// A name for each prefix that was left out.
    pub shortened: Vec<Shortened>,
}

impl Imported {
    /// What of the file is not as it was in it, in a sentence each: tensors that were not used, by their kind, and rounded values.
    pub fn notes(&self) -> Vec<String> {
        // What a name is used for, by its end; the last takes what is left.
        type Kind = (fn(&str) -> bool, &'static str);
        const KINDS: [Kind; 4] = [
            (|name| name.ends_with(".num_batches_tracked"), "num_batches_tracked, counters that no result depends on"),
            (
                |name| [".running_mean", ".running_var"].iter().any(|end| name.ends_with(end)) && !name.contains(".noise_bn."),
                "running statistics (running_mean, running_var); --bn-mode tracked keeps them",
            ),
            (|name| name.contains(".noise_bn."), "of adversarial batch norms (noise_bn); a --lambda-train between 0 and 1 keeps them"),
            (|_| true, ""),
        ];
        let mut of_kind: [Vec<&String>; KINDS.len()] = Default::default();
        for name in &self.unused {
            let kind = KINDS.iter().position(|(is, _)| is(name)).unwrap_or(KINDS.len() - 1);
            of_kind[kind].push(name);
        }
        let mut notes = Vec::new();
        for ((_, what), names) in KINDS.iter().zip(&of_kind).filter(|(_, names)| !names.is_empty()) {
            let several = if names.len() == 1 { "tensor is" } else { "tensors are" };
            notes.push(match *what {
                "" => format!("{} {several} not used: {}", names.len(), some(names)),
                what => format!("{} {several} not used: {what}", names.len()),
            });
        }
        if !self.shortened.is_empty() {
            let examples: Vec<String> = self.shortened.iter().map(|(name, part)| format!("{name} is taken as {part}")).collect();
            notes.push(format!("prefixes are left out of the tensors' names: {}", some(&examples)));
        }
        if self.rounded > 0 {
            notes.push(format!("64-bit values were rounded to 32 bits in {} of the file's tensors", self.rounded));
        }
        notes
    }
}

/// The first three of a list of names, and how many more there are.
fn some<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| printable(name.as_ref())).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// A name out of a file, on one line and not too long.
fn printable(name: &str) -> String {
    const LONGEST: usize = 80;
    let escaped: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().count() > LONGEST { format!("{escaped}…") } else { escaped }
}

/// Names of wrappers around a model, which PyTorch puts before its tensors' names: data parallelism (also of sharded and DeepSpeed
/// models), `torch.compile`, and the attributes and keys under which programs keep a model.
const WRAPPERS: [&str; 12] = [
    "module",
    "_orig_mod",
    "model",
    "net",
    "network",
    "state_dict",
    "model_state_dict",
    "server_model",
    "server",
    "_module",
    "_forward_module",
    "_fsdp_wrapped_module",
];

/// Most wrappers around one another.
const WRAPPED: usize = 4;

/// Other programs' names of layers, beside ours: the last parts of a layer's name in a base. Those of the authors' CIFAR-10 networks
/// (their `nets/HeteFL/preresne.py` and `preresnet.py`); `linear` is also that of the widespread PyTorch-CIFAR ResNets.
const SPELLINGS: [(&str, &str); 6] =
    [("bn1", "n1"), ("bn2", "n2"), ("bn", "bn4"), ("bn", "n4"), ("shortcut.0", "shortcut"), ("fc", "linear")];

/// The names that a tensor of a base may have in a file, ours first.
fn spellings(name: &str) -> Vec<String> {
    let (layer, kind) = name.rsplit_once('.').unwrap_or(("", name));
    let (layer, branch) = match layer.strip_suffix(".adversarial") {
        Some(layer) => (layer, [".adversarial", ".noise_bn"]),
        None => (layer, ["", ".clean_bn"]),
    };
    let others = SPELLINGS.iter().filter_map(|(ours, theirs)| {
        let head = layer.strip_suffix(ours).filter(|head| head.is_empty() || head.ends_with('.'))?;
        Some(format!("{head}{theirs}"))
    });
    let layers = std::iter::once(layer.to_string()).chain(others);
    layers.flat_map(|layer| branch.map(|branch| format!("{layer}{branch}.{kind}"))).collect()
}

/// What stands before the base's number and between it and the tensor's name.
type Wrapping = (String, String);

/// Every way in which names of a file may be wrapped, none first.
fn wrappings<'a>(names: impl Iterator<Item = &'a String>) -> Vec<Wrapping> {
    // Lengths of the text before each cut after 0, 1, … wrappers.
    let cuts = |text: &str| {
        let mut cuts = vec![0];
        while cuts.len() <= WRAPPED {
            let at = cuts[cuts.len() - 1];
            match text[at..].split_once('.') {
                Some((head, _)) if WRAPPERS.contains(&head) => cuts.push(at + head.len() + 1),
                _ => break,
            }
        }
        cuts
    };
    let mut all = BTreeSet::from([Wrapping::default()]);
    for name in names {
        for outer in cuts(name) {
            all.insert((name[..outer].into(), String::new()));
            if let Some((number, rest)) = name[outer..].split_once('.')
                && number.parse::<u32>().is_ok()
            {
                all.extend(cuts(rest).into_iter().map(|inner| (name[..outer].into(), rest[..inner].into())));
            }
        }
    }
    all.into_iter().collect()
}

/// Where each wanted tensor of each base is in a file of these names; `None` where it is not.
struct Search<'a> {
    names: HashSet<&'a str>,
    /// Spellings of each wanted name.
    wanted: Vec<Vec<String>>,
    bases: usize,
}

impl Search<'_> {
    fn find(&self, (outer, inner): &Wrapping, base: usize, spellings: &[String]) -> Option<String> {
        let there = |name: String| self.names.contains(name.as_str()).then_some(name);
        spellings.iter().find_map(|name| {
            let numbered = there(format!("{outer}{base}.{inner}{name}"));
            // A single network need not be numbered.
            numbered.or_else(|| if self.bases == 1 && inner.is_empty() { there(format!("{outer}{name}")) } else { None })
        })
    }

    /// The names of all wanted tensors, base by base; `None` where one is missing.
    fn all(&self, wrapping: &Wrapping) -> Option<Vec<String>> {
        (0..self.bases).flat_map(|base| self.wanted.iter().map(move |names| self.find(wrapping, base, names))).collect()
    }

    /// The names of all wanted tensors, base by base, whatever stands before them and whatever wrappers within: each wanted name must be
    /// the end of exactly one name. With them, for each prefix a name and the part of it that was looked for.
    fn by_ends(&self) -> Option<(Vec<String>, Vec<Shortened>)> {
        // `torch.compile` and others wrap layers, too; no layer of a network is called so.
        let is_layer = |part: &&str| !(part.starts_with('_') && WRAPPERS.contains(part));
        let plain: Vec<(String, &str)> =
            self.names.iter().map(|name| (name.split('.').filter(is_layer).collect::<Vec<_>>().join("."), *name)).collect();
        let mut places: Vec<(usize, usize)> = (0..self.bases).flat_map(|base| (0..self.wanted.len()).map(move |i| (base, i))).collect();
        let parts = |i: usize| self.wanted[i].first().map_or(0, |name| name.split('.').count());
        let most = 1 + (0..self.wanted.len()).flat_map(|i| &self.wanted[i]).map(|name| name.split('.').count()).max().unwrap_or(0);
        let mut by_end: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, (name, _)) in plain.iter().enumerate() {
            let dots = name.rmatch_indices('.').map(|(at, _)| at + 1).chain([0]);
            dots.take(most).for_each(|at| by_end.entry(&name[at..]).or_default().push(i));
        }
        // The longest first: the end of layer1.0.conv1.weight, too, is conv1.weight.
        places.sort_by_key(|(_, i)| std::cmp::Reverse(parts(*i)));
        let mut taken = vec![false; plain.len()];
        let mut found = vec![String::new(); places.len()];
        let mut shortened = BTreeMap::new();
        for (base, i) in places {
            let ends = self.wanted[i].iter().map(|name| if self.bases == 1 { name.clone() } else { tensor_name(base, name) });
            let fits: Vec<(usize, String)> =
                ends.flat_map(|end| by_end.get(end.as_str()).into_iter().flatten().map(move |n| (*n, end.clone()))).collect();
            let mut free = fits.into_iter().filter(|(n, _)| !taken[*n]);
            let (Some((n, end)), None) = (free.next(), free.next()) else { return None };
            taken[n] = true;
            let name = plain[n].1;
            if name != end {
                let prefix = name.strip_suffix(end.as_str()).unwrap_or(name);
                shortened.entry(prefix).or_insert_with(|| (printable(name), printable(&end)));
            }
            found[base * self.wanted.len() + i] = name.to_string();
        }
        Some((found, shortened.into_values().collect()))
    }

    /// What stands before wanted names, a base's number apart, that before most of them first.
    fn prefixes(&self) -> Vec<Wrapping> {
        // A file of very many names is not searched for long.
        const SEARCHED: usize = 4096;
        const MOST: usize = 8;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let wanted: Vec<&String> = self.wanted.iter().flatten().take(256).collect();
        let mut names: Vec<&str> = self.names.iter().copied().collect();
        names.sort_unstable();
        for name in names.into_iter().take(SEARCHED) {
            let heads = wanted.iter().filter_map(|end| name.strip_suffix(end.as_str())).filter(|head| head.ends_with('.'));
            for head in heads {
                let number = head.trim_end_matches('.').rsplit('.').next().filter(|part| part.parse::<u32>().is_ok());
                *counts.entry(number.map_or(head, |number| &head[..head.len() - number.len() - 1])).or_default() += 1;
            }
        }
        let mut prefixes: Vec<(&str, usize)> = counts.into_iter().filter(|(head, _)| !head.is_empty()).collect();
        prefixes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        prefixes.into_iter().take(MOST).map(|(head, _)| (head.to_string(), String::new())).collect()
    }

    /// Number of bases that are complete, from the first.
    fn complete(&self, wrapping: &Wrapping) -> usize {
        let whole = |base: &usize| self.wanted.iter().all(|names| self.find(wrapping, *base, names).is_some());
        (0..self.bases).take_while(whole).count()
    }
}

/// Reads the parameters of an ensemble of `bases` bases from any safetensors file (see the module for the names), one
/// of this program's included. `wanted` lists name within a base and shape.
///
/// # Errors
/// [`Error::Data`] for a file that cannot be read, for tensors that are missing, of another shape or no floats, and for values that no
/// training leaves, in whichever tensor.
pub fn import(bytes: &[u8], file: &str, wanted: &[(String, Vec<usize>)], bases: usize) -> Result<Imported> {
    let Contents { mut tensors, rounded, .. } = read(bytes, file)?;
    let own: HashSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    // Another spelling of one tensor may be the name of another.
    let of = |name: &String| spellings(name).into_iter().filter(|other| other == name || !own.contains(other.as_str())).collect();
    let search =
        Search { names: tensors.keys().map(String::as_str).collect(), wanted: wanted.iter().map(|(name, _)| of(name)).collect(), bases };
    // A file of many odd names is not searched for long.
    const TRIED: usize = 16;
    let (known, others) = (wrappings(tensors.keys()), search.prefixes());
    let mut found = known.iter().chain(&others).filter_map(|wrapping| Some((wrapping, search.all(wrapping)?))).peekable();
    let is_known = found.peek().is_some_and(|(wrapping, _)| known.contains(wrapping));
    let (names, shortened) = match found.next() {
        Some((_, names)) if is_known => (names, Vec::new()),
        Some(((prefix, _), names)) => {
            let example = names.first().map(|name| (printable(name), printable(name.strip_prefix(prefix).unwrap_or(name))));
            (names, example.into_iter().collect())
        }
        None => search.by_ends().ok_or_else(|| not_found(file, &search, known.iter().take(TRIED).chain(&others), wanted))?,
    };
    // What another program's prefix stands before is not used, where there is one of a known place.
    let mut again = found.filter(|(wrapping, others)| known.contains(wrapping) == is_known && *others != names);
    if let Some((_, others)) = again.next() {
        let [one, other] = [&names, &others].map(|names| names.first().map_or(String::new(), |name| printable(name)));
        return Err(Error::Data(format!("{file}: the network is there twice, as {one} and as {other}: leave one of both in the file")));
    }
    let mut parameters = Vec::with_capacity(names.len());
    for (name, (_, shape)) in names.iter().zip(wanted.iter().cycle()) {
        // Each is there: it was just found, and no two of the wanted have a name in common.
        let tensor = tensors.remove(name).ok_or_else(|| missing(file, &[name], tensors.keys(), OTHER_NETWORK))?;
        let tensor = tensor.map_err(|problem| Error::Data(format!("{file}: tensor {name} {problem}")))?;
        parameters.push(of_shape(file, name, tensor, shape)?);
    }
    let mut parameters = parameters.into_iter();
    let imported = (0..bases).map(|_| parameters.by_ref().take(wanted.len()).collect()).collect();
    Ok(Imported { bases: imported, unused: tensors.into_keys().collect(), rounded, shortened })
}

/// The number of classes of another program's parameters, by the linear layer of this name and number of inputs: the length of its bias,
/// else the outputs of its weight. `None` where the file has none of both.
///
/// # Errors
/// [`Error::Data`] for a file that cannot be read.
pub fn imported_classes(bytes: &[u8], file: &str, classifier: &str, inputs: usize) -> Result<Option<usize>> {
    let tensors = open(bytes, file)?;
    let shape = |kind: &str| {
        spellings(&format!("{classifier}.{kind}")).into_iter().find_map(|ours| {
            let is = |name: &str| name.strip_suffix(ours.as_str()).is_some_and(|head| head.is_empty() || head.ends_with('.'));
            tensors.iter().find(|(name, _)| is(name)).map(|(_, tensor)| tensor.shape().to_vec())
        })
    };
    Ok(match (shape("bias").as_deref(), shape("weight").as_deref()) {
        (Some([classes]), _) => Some(*classes),
        // One that is transposed has its outputs last; what is wrong with it is reported when it is read.
        (_, Some([first, classes])) if *first == inputs && *classes != inputs => Some(*classes),
        (_, Some([classes, ..])) => Some(*classes),
        _ => None,
    })
}

/// What may be wrong where tensors of a checkpoint are missing.
const OTHER_NETWORK: &str = "the file is of another network or has fewer bases than its configuration says";

/// A wanted tensor that is not there, the first of `wanted`, beside names that are.
fn missing<'a, T: AsRef<str>>(file: &str, wanted: &[T], names: impl Iterator<Item = &'a String>, why: &str) -> Error {
    let others: Vec<&String> = names.filter(|name| !name.ends_with(".num_batches_tracked")).collect();
    let has = if others.is_empty() { "no other tensors".into() } else { some(&others) };
    let first = wanted.first().map_or("", AsRef::as_ref);
    Error::Data(format!("{file}: no tensor {first}: the file has {has} where {} are wanted; {why}", some(wanted)))
}

/// Why the wanted tensors were not found under any wrapping: the names beside one another, and what their difference says.
fn not_found<'a>(
    file: &str,
    search: &Search,
    wrappings: impl Iterator<Item = &'a Wrapping> + Clone,
    wanted: &[(String, Vec<usize>)],
) -> Error {
    let bases = search.bases;
    let places: Vec<(usize, usize)> = (0..bases).flat_map(|base| (0..wanted.len()).map(move |i| (base, i))).collect();
    let lookup = |wrapping: &Wrapping| -> Vec<Option<String>> {
        places.iter().map(|(base, i)| search.find(wrapping, *base, &search.wanted[*i])).collect()
    };
    let best = wrappings.clone().map(|w| (w, lookup(w))).max_by_key(|(_, found)| found.iter().flatten().count());
    let Some((wrapping, found)) = best else { return missing(file, &[""], [].iter(), OTHER_NETWORK) };
    let absent: Vec<String> =
        places.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|((base, i), _)| tensor_name(*base, &wanted[*i].0)).collect();
    let all = |ends: &[&str]| absent.iter().all(|name| ends.iter().any(|end| name.contains(end)));
    let single = Search { names: search.names.clone(), wanted: search.wanted.clone(), bases: 1 };
    let complete = search.complete(wrapping);
    let why = if bases > 1 && complete == 0 && wrappings.clone().any(|w| single.all(w).is_some()) {
        format!("the file holds one network, the configuration has {bases} bases: add --method fedavg and its --width")
    } else if complete > 0 {
        format!("bases in the file: {complete}, in the configuration: {bases}; check --base-width and --budgets")
    } else if all(&[".running_mean", ".running_var"]) {
        "the file has no running statistics: leave out --bn-mode tracked".into()
    } else if all(&[".adversarial."]) {
        "the file has no adversarial batch norms: leave out --lambda-train".into()
    } else {
        "the file is of another network: check --network, --method, --base-width and --budgets".into()
    };
    let count = found.iter().flatten().count();
    let why = match wrapping.0.as_str() {
        prefix if !prefix.is_empty() && count > 0 => {
            format!("with the prefix {:?} left out, {count} of the {} wanted tensors are found; {why}", printable(prefix), found.len())
        }
        _ => why,
    };
    let used: HashSet<&str> = found.iter().flatten().map(String::as_str).collect();
    let mut others: Vec<String> = search.names.iter().filter(|name| !used.contains(*name)).map(ToString::to_string).collect();
    others.sort_unstable();
    missing(file, &absent, others.iter(), &why)
}

fn of_shape(file: &str, name: &str, tensor: Tensor, shape: &[usize]) -> Result<Tensor> {
    if tensor.shape == shape {
        return Ok(tensor);
    }
    let what = if tensor.shape.iter().rev().eq(shape) {
        match shape {
            [_, _] => "it is transposed: save it as PyTorch does, outputs first, with .t().contiguous()",
            _ => "it is transposed: save it as PyTorch does, outputs first, with .permute(3, 2, 0, 1).contiguous()",
        }
    } else {
        "check the network, the number of classes and base-width"
    };
    Err(Error::Data(format!("{file}: tensor {name} should have shape {shape:?} but has {:?}: {what}", tensor.shape)))
}

/// A tensor, or why its values cannot be read.
type Read = std::result::Result<Tensor, String>;

/// All of a safetensors file.
struct Contents {
    /// The metadata of ours, if any.
    metadata: Option<String>,
    /// Every tensor. One that holds no floats is an error only when it is wanted.
    tensors: BTreeMap<String, Read>,
    /// Number of tensors whose 64-bit values were rounded.
    rounded: usize,
}

fn open<'a>(bytes: &'a [u8], file: &str) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|error| Error::Data(format!("{file}: {}", explain(bytes, &error))))
}

fn read(bytes: &[u8], file: &str) -> Result<Contents> {
    let all = open(bytes, file)?;
    let broken = |error: SafeTensorError| Error::Data(format!("{file}: {}", explain(bytes, &error)));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY).cloned());
    let (mut tensors, mut rounded) = (BTreeMap::new(), 0);
    for (name, view) in all.iter() {
        let tensor = read_tensor(&view);
        if let Ok(tensor) = &tensor {
            let problem = impossible(name, tensor, &view);
            if let Some(problem) = problem {
                return Err(Error::Data(format!("{file}: tensor {} holds {problem}", printable(name))));
            }
        }
        rounded += usize::from(view.dtype() == Dtype::F64);
        tensors.insert(name.to_string(), tensor);
    }
    Ok(Contents { metadata, tensors, rounded })
}

fn read_tensor(view: &TensorView) -> Read {
    fn values<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|word| value(*word)).collect()
    }
    let bytes = view.data();
    let data = match view.dtype() {
        Dtype::F32 => values(bytes, f32::from_le_bytes),
        Dtype::F16 => values(bytes, |word| half::f16::from_le_bytes(word).to_f32()),
        Dtype::BF16 => values(bytes, |word| half::bf16::from_le_bytes(word).to_f32()),
        Dtype::F64 => values(bytes, |word| f64::from_le_bytes(word) as f32),
        other => return Err(format!("holds {other} values; F32, F16, BF16 and F64 can be read: convert it with .float()")),
    };
    Ok(Tensor { shape: view.shape().to_vec(), data })
}

/// From here on the square of a value is more than a 32-bit float can hold, and with it what batch norm and the optimiser compute.
const TOO_LARGE: f32 = 18_446_744_073_709_551_616.0;

/// Whether a tensor of this name may have the value. A running variance is a mean of squares itself.
fn is_usable(name: &str, value: f32) -> bool {
    match name.ends_with("running_var") {
        true => value.is_finite() && value >= 0.0,
        false => value.abs() < TOO_LARGE,
    }
}

/// A value in a message, without many zeros.
fn shown(value: f32) -> String {
    if value.abs() < 1e6 { value.to_string() } else { format!("{value:e}") }
}

/// A value of a tensor that no training leaves, in words.
fn impossible(name: &str, tensor: &Tensor, view: &TensorView) -> Option<String> {
    const WHAT: &str = "the file is damaged or its training diverged; take an older checkpoint";
    let index = tensor.data.iter().position(|value| !is_usable(name, *value))?;
    let value = tensor.data[index];
    let double = view.data().as_chunks().0.get(index).map(|word| f64::from_le_bytes(*word)).filter(|_| view.dtype() == Dtype::F64);
    Some(match double {
        Some(double) if double.is_finite() && !value.is_finite() => {
            format!("{double:e} at index {index}, more than a 32-bit float can hold: {WHAT}")
        }
        _ if !value.is_finite() => format!("{value} at index {index}: the values are not finite: {WHAT}"),
        _ if value.abs() >= TOO_LARGE => format!("{} at index {index}, too large to compute with: {WHAT}", shown(value)),
        _ => format!("{value} at index {index}: a variance is never below 0: {WHAT}"),
    })
}

/// How a PyTorch file becomes one that can be read.
const CONVERT: &str = "convert it in Python: import torch, safetensors.torch as s; s.save_file({k: v.contiguous() for k, v in \
                       torch.load(\"FILE\", map_location=\"cpu\").items()}, \"FILE.safetensors\")";

/// What a file of another kind is, by its first bytes, and what to do with it.
fn other_kind(bytes: &[u8]) -> Option<String> {
    const PACKED: [(&[u8], &str, &str); 4] = [
        (b"\x1f\x8b", "gzip", "gunzip"),
        (b"BZh", "bzip2", "bunzip2"),
        (b"\xfd7zXZ", "xz", "unxz"),
        (b"\x28\xb5\x2f\xfd", "Zstandard", "unzstd"),
    ];
    const OTHERS: [(&[u8], &str); 6] = [
        (b"\x89HDF", "an HDF5 file, as Keras writes"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"GGUF", "a GGUF file"),
        (b"\x89PNG", "a PNG picture"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"GIF8", "a GIF picture"),
    ];
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let begins = |with: &str| text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with.as_bytes()));
    let within = |what: &[u8]| bytes[..bytes.len().min(4096)].windows(what.len()).any(|window| window == what);
    if begins("version https://git-lfs") {
        return Some("this is a Git LFS pointer, not the file itself: fetch that with git lfs pull".into());
    }
    if ["<!doctype", "<html", "<head", "<?xml", "<!--", "<error"].into_iter().any(begins) {
        return Some("this is a web page (HTML), not a checkpoint: the download gave a page instead; download the file itself".into());
    }
    if bytes.starts_with(b"PK") {
        return Some(if within(b".npy") {
            "this is a NumPy archive (.npz): save its arrays with safetensors.numpy.save_file".into()
        } else if within(b"/data.pkl") {
            format!("this is a PyTorch file (a zip archive, .pt or .pth): {CONVERT}")
        } else {
            "this is a zip archive: unpack it first, and name the file in it that holds the tensors".into()
        });
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some("this is a tar archive: unpack it first, with tar -xf, and name the file in it that holds the tensors".into());
    }
    if matches!(bytes, [0x80, 2..=5, ..]) || is_old_pickle(bytes) {
        return Some(format!("this is a Python pickle, as older versions of PyTorch write: {CONVERT}"));
    }
    // A protocol buffer: the version of the format, then the name of the program that wrote it, or another field.
    if matches!(bytes, [8, 3..=30, 0x12 | 0x1a | 0x22 | 0x3a | 0x42, ..]) {
        return Some("this is an ONNX file, which is written but not read: name the checkpoint that it was made from".into());
    }
    if let Some((_, name, tool)) = PACKED.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Some(format!("this is a file packed by {name}: unpack it first, with {tool}"));
    }
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(format!("this is {what}, not a safetensors file: name a checkpoint"));
    }
    // A few bytes need not end with a whole character.
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]);
    if bytes.is_empty() || head.trim_end_matches(char::REPLACEMENT_CHARACTER).contains(|c: char| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    if str::from_utf8(bytes).is_ok_and(|text| toml::from_str::<toml::Table>(text).is_ok_and(|table| !table.is_empty())) {
        return Some("this is a TOML file of options: name the checkpoint, for example best.safetensors in the folder of a run".into());
    }
    (begins("{") || begins("[")).then(|| "this is JSON text, not a safetensors file: name the file that holds the tensors".into())
}

/// Whether a file is a pickle of protocol 0 or 1, which has no head of its own: it begins with an object's opcodes, or with the names of a
/// module and a class on a line each, and ends with the opcode that stops.
fn is_old_pickle(bytes: &[u8]) -> bool {
    let is_name = |line: &[u8]| !line.is_empty() && line.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    let names_a_class = || {
        let mut lines = bytes.strip_prefix(b"c").unwrap_or_default().splitn(3, |byte| *byte == b'\n');
        let names = lines.by_ref().take(2).filter(|line| is_name(line)).count();
        names == 2 && lines.next().is_some_and(|rest| matches!(rest.first(), Some(b'(' | b')' | b'p' | b'q' | b'R')))
    };
    let object = [&b"(dp"[..], b"(lp", b"(tp", b"}q", b"]q", b"}.", b"(d.", b"(l."].iter().any(|head| bytes.starts_with(head));
    bytes.trim_ascii_end().last() == Some(&b'.') && (object || names_a_class())
}

/// What is wrong with a file that safetensors refuses, in words that help its owner.
fn explain(bytes: &[u8], error: &SafeTensorError) -> String {
    let truncated = "the file is cut short: its copying or writing did not finish; take the original or an older \
                     checkpoint";
    // A safetensors file starts with the length of a JSON object, which comes next.
    let own = bytes.get(8) == Some(&b'{');
    if let Some(kind) = Some(bytes).filter(|_| !own).and_then(other_kind) {
        return kind;
    }
    let foreign = "this is not a safetensors file: name a checkpoint, for example best.safetensors in the folder of a run";
    match error {
        _ if bytes.is_empty() => format!("the file is empty: {}", truncated.trim_start_matches("the file is cut short: ")),
        _ if bytes.len() > 8 && !own => foreign.into(),
        SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => truncated.into(),
        SafeTensorError::MetadataIncompleteBuffer => match data_end(bytes) {
            Some(end) if end < bytes.len() => {
                format!("the file has {} bytes after its end: something was added to it; take the original", bytes.len() - end)
            }
            _ => truncated.into(),
        },
        SafeTensorError::HeaderTooLarge => foreign.into(),
        error => {
            let what = match error {
                SafeTensorError::InvalidHeader(_) | SafeTensorError::InvalidHeaderDeserialization(_) => {
                    "it is not the JSON of tensors".into()
                }
                SafeTensorError::InvalidOffset(name) => format!("the place of tensor {} cannot be", printable(name)),
                _ => "the sizes of its tensors do not fit their places".into(),
            };
            format!("the safetensors header is damaged: {what}; take the original or an older checkpoint")
        }
    }
}

/// Where a file's data should end, by its header.
fn data_end(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(rest.get(..length)?).ok()?;
    let ends = header.values().filter_map(|entry| entry.get("data_offsets")?.get(1)?.as_u64());
    usize::try_from(ends.max().unwrap_or(0)).ok()?.checked_add(length)?.checked_add(8)
}

/// What the JSON reader says is wrong, in plain words.
fn in_words(error: &str) -> String {
    let error = error.rsplit_once(" at line ").map_or(error, |(what, _)| what);
    let named = |start: &str| error.strip_prefix(start)?.split('`').next();
    if let Some(key) = named("missing field `") {
        return format!("it has no {key:?}");
    }
    if let Some(key) = named("unknown field `") {
        return format!("it has {key:?}, which is not known");
    }
    let kinds = ["invalid type: ", "invalid value: ", "invalid length "];
    match kinds.iter().find_map(|kind| error.strip_prefix(kind)).and_then(|rest| rest.split_once(", expected ")) {
        None => error.into(),
        Some((found, wanted)) => {
            let wanted = match wanted {
                "usize" | "u64" | "u32" => "a whole number",
                "f64" | "f32" => "a number",
                "a string" => "text",
                "a sequence" => "a list",
                "a map" => "an object",
                other => other.strip_prefix("struct ").map_or(other, |_| "an object"),
            };
            let found = match found {
                "map" => "an object".to_string(),
                "sequence" => "a list".into(),
                other => match other.strip_prefix("string ") {
                    Some(text) => format!("the text {text}"),
                    None => other.rsplit(' ').next().unwrap_or_default().trim_matches('`').to_string(),
                },
            };
            format!("it has {found} where {wanted} is wanted")
        }
    }
}

/// The header of a file with so many tensors.
fn parse_header(text: &str, tensors: usize, file: &str) -> Result<Header> {
    let damaged =
        |what: String| Error::Data(format!("{file}: the splitmix metadata is damaged: {what}; take the original or an older checkpoint"));
    let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
    let mut object = object.map_err(|_| damaged("it is not a JSON object".into()))?;
    // The format first: the rest of a newer one need not be readable.
    let format = object.remove("format").and_then(|format| format.as_u64()).ok_or_else(|| damaged("it has no \"format\"".into()))?;
    if format > u64::from(FORMAT) {
        return Err(Error::Data(format!(
            "{file}: written by a newer splitmix (format {format}, this one reads up to {FORMAT}): update splitmix"
        )));
    }
    // An attack may have values that are no longer taken from users; without its key it is the default.
    let attack = object.get_mut("config").and_then(|config| config.as_object_mut()?.remove("train-attack"));
    // Up to format 2 all methods kept the deck of Split-Mix.
    let deck = (format < 3).then(|| object.remove("deck")).flatten();
    let header = serde_json::from_value::<Header>(serde_json::Value::Object(object));
    let mut header = header.map_err(|error| damaged(in_words(&error.to_string())))?;
    if let Some(attack) = attack {
        let attack = attack.as_str().map(Attack::recorded).ok_or_else(|| damaged("train-attack is no name".into()))?;
        header.config.train_attack = attack.map_err(|error| damaged(error.to_string()))?;
    }
    if header.bases == 0 {
        return Err(damaged("it has no bases".into()));
    }
    // Before anything is sized by it.
    if header.bases > tensors {
        return Err(damaged(format!("it has {} bases, more than the file has tensors ({tensors})", header.bases)));
    }
    if let Some(mixed) = header.mixed.as_ref().filter(|mixed| mixed.order.len() != header.bases) {
        return Err(damaged(format!("the mixed model has {} bases, the ensemble {}", mixed.order.len(), header.bases)));
    }
    let input = header.config.network.architecture().map_err(|error| damaged(error.to_string()))?.input.map(|n| n as usize);
    if header.image != input {
        return Err(damaged(format!("images are {:?}, those of its network {input:?} (channels, height, width)", header.image)));
    }
    // A checkpoint of an earlier version may lack options that its method has got since.
    let method = header.config.method;
    header.config.own.complete(method.options).map_err(|error| damaged(error.to_string()))?;
    let algorithm = header.config.algorithm();
    if let Some(deck) = deck.filter(|deck| !deck.is_null()) {
        let deck = deck.as_object().cloned().ok_or_else(|| damaged("its deck is not an object".into()))?;
        let keeps_deck = algorithm.start(0, 1).is_ok_and(|state| !state.is_empty());
        header.state = Some(if keeps_deck { deck } else { State::new() });
    }
    if let Some(own) = header.own_bases.iter().flatten().find(|own| **own as usize >= header.bases) {
        return Err(damaged(format!("a client has base {own} of its own, and there are {}", header.bases)));
    }
    if let Some(state) = &header.state {
        algorithm.check(state, header.bases).map_err(|error| damaged(error.to_string()))?;
    }
    Ok(header)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example(rounds_done: usize) -> Checkpoint {
        let tensor = |shape: &[usize], first: f32| {
            let count: usize = shape.iter().product();
            Tensor { shape: shape.to_vec(), data: (0..count).map(|i| first + i as f32).collect() }
        };
        let mut tensors = BTreeMap::new();
        for base in 0..2 {
            tensors.insert(tensor_name(base, "conv1.weight"), tensor(&[2, 3, 1, 1], base as f32));
            tensors.insert(tensor_name(base, "conv1.bias"), tensor(&[2], -1.5));
        }
        Checkpoint {
            header: Header {
                network: "digits".into(),
                classes: 10,
                image: [3, 28, 28],
                bases: 2,
                base_width: "1/2".parse().unwrap(),
                max_width: Ratio::ONE,
                rounds_done,
                best: Some(Best { round: 0, accuracy: 0.1 + 0.2 }),
                state: serde_json::from_str(r#"{"bases":2,"dealt":1}"#).unwrap(),
                own_bases: None,
                mixed: None,
                config: TrainConfig::default().validate().unwrap().into(),
                data: None,
            },
            tensors,
        }
    }

    #[test]
    fn other_data_are_told_by_what_differs() {
        let then = DataFingerprint {
            classes: vec!["0".into(), "1".into()],
            domains: vec![("a".into(), 9, 3), ("b".into(), 8, 2)],
            clients: 4,
            checksums: Some(Checksums { domains: vec![1, 2], clients: 3 }),
        };
        assert_eq!(then.difference(&then.clone()), None);
        let told = |change: fn(&mut DataFingerprint)| {
            let mut now = then.clone();
            change(&mut now);
            then.difference(&now).unwrap()
        };
        assert_eq!(told(|h| h.classes.swap(0, 1)), "its classes were 0, 1, the data has 1, 0");
        assert_eq!(told(|h| h.domains.insert(1, ("c".into(), 1, 1))), "its domains were a, b, the data has a, c, b");
        assert_eq!(told(|h| h.domains[1].2 = 5), "domain b had 8 + 2 images (training + test) and has 8 + 5");
        assert_eq!(told(|h| h.clients = 5), "it had 4 clients, the data has 5");
        assert_eq!(told(|h| h.checksums.as_mut().unwrap().domains[1] = 7), "domain b had as many images, but other ones or other labels");
        assert_eq!(told(|h| h.checksums.as_mut().unwrap().clients = 7), "its clients had other images of the same data, or other names");
        // Of a checkpoint of an earlier version nothing more is known.
        assert_eq!(then.difference(&DataFingerprint { checksums: None, ..then.clone() }), None);
    }

    #[test]
    fn a_pixel_a_label_or_a_client_changes_the_checksums() {
        let dataset = crate::data::embedded().unwrap();
        let config = TrainConfig::default().validate().unwrap();
        let clients = crate::run::model::partition(&dataset, &config).unwrap().clients;
        let then = DataFingerprint::new(&dataset, &clients);
        assert_eq!(then.difference(&DataFingerprint::new(&dataset, &clients)), None);
        let told = |dataset: &Dataset, clients: &[Client]| then.difference(&DataFingerprint::new(dataset, clients)).unwrap();
        for change in [|d: &mut Domain| d.test.labels[1] ^= 1, |d: &mut Domain| *d.train.pixels.last_mut().unwrap() ^= 1] {
            let mut other = dataset.clone();
            change(&mut other.domains[1]);
            let words = told(&other, &clients);
            assert!(words.contains(&dataset.domains[1].name) && words.contains("labels"), "{words}");
        }
        let mut other = clients.clone();
        let image = other[0].train.pop().unwrap();
        other[0].validation.push(image);
        assert!(told(&dataset, &other).contains("its clients"));
    }

    fn wanted() -> Vec<(String, Vec<usize>)> {
        vec![("conv1.weight".into(), vec![2, 3, 1, 1]), ("conv1.bias".into(), vec![2])]
    }

    fn refused(bytes: &[u8], words: &[&str]) {
        let error = Checkpoint::from_bytes(bytes, "a.safetensors").unwrap_err();
        assert!(matches!(error, Error::Data(_)));
        let message = error.to_string();
        assert!(message.starts_with("a.safetensors: "), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{message} lacks one of {words:?}");
    }

    /// A safetensors file with this metadata value and one scalar tensor of the given type.
    fn file(metadata: Option<&str>, name: &str, dtype: Dtype, data: &[u8]) -> Vec<u8> {
        let view = TensorView::new(dtype, vec![data.len() * 8 / dtype.bitsize()], data).unwrap();
        let metadata = metadata.map(|text| HashMap::from([(METADATA_KEY.to_string(), text.to_string())]));
        safetensors::serialize([(name, view)], metadata).unwrap()
    }

    #[test]
    fn it_is_read_back_exactly_and_always_the_same_bytes() {
        let checkpoint = example(3);
        let bytes = checkpoint.to_bytes().unwrap();
        assert_eq!(Checkpoint::from_bytes(&bytes, "x").unwrap(), checkpoint);
        assert_eq!(checkpoint.clone().to_bytes().unwrap(), bytes);
        assert_eq!(Checkpoint::from_bytes(&bytes, "x").unwrap().to_bytes().unwrap(), bytes);
    }

    #[test]
    fn every_bit_of_a_float_survives() {
        let mut checkpoint = example(3);
        let bits = [1, 0x8000_0000, 0x5f7f_ffff, 0x0080_0000, 0x3eaa_aaab, 0xbf80_0001];
        let data = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        checkpoint.tensors.insert("0.conv1.weight".into(), Tensor { shape: vec![6], data });
        let back = Checkpoint::from_bytes(&checkpoint.to_bytes().unwrap(), "x").unwrap();
        assert_eq!(back.tensors["0.conv1.weight"].data.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);
    }

    #[test]
    fn every_truncation_is_told() {
        let bytes = example(3).to_bytes().unwrap();
        refused(&[], &["the file is empty: its copying or writing did not finish; take the original or an older checkpoint"]);
        for length in 1..bytes.len() {
            refused(&bytes[..length], &["cut short"]);
        }
        let mut longer = bytes.clone();
        longer.extend([0; 5]);
        refused(&longer, &["5 bytes after its end: something was added to it; take the original"]);
    }

    #[test]
    fn other_files_are_told() {
        refused(b"# a text file, not a checkpoint", &["not a safetensors file: name a checkpoint, for example best.safetensors"]);
        let mut tar = vec![0; 512];
        tar[..8].copy_from_slice(b"model.pt");
        tar[257..262].copy_from_slice(b"ustar");
        refused(&tar, &["this is a tar archive: unpack it first, with tar -xf"]);
        for pickle in [
            &b"(dp0\nVconv1.weight\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n."[..],
            b"ccollections\nOrderedDict\np0\n(tRp1\n.",
            b"}q\x00(X\x01\x00\x00\x00aq\x01K\x01u.",
        ] {
            refused(pickle, &["this is a Python pickle", "s.save_file("]);
        }
        refused(b"\x08\x07\x12\x07pytorch\x1a\x052.0.1:\x80\x01", &["this is an ONNX file, which is written but not read"]);
        refused(b"network = \"digits\"\nrounds = 18\n", &["this is a TOML file of options: name the checkpoint"]);
        refused(b"cat\ndog\nbird.", &["not a safetensors file"]);
        refused(b"PK\x03\x04 archive/data.pkl", &["a PyTorch file (a zip archive, .pt or .pth): convert it in Python", "s.save_file("]);
        refused(b"PK\x03\x04 notes.txt", &["this is a zip archive: unpack it first, and name the file in it that holds the tensors"]);
        refused(b"PK\x03\x04 x.npy and so on", &["a NumPy archive (.npz)"]);
        refused(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", &["a Python pickle", "s.save_file("]);
        refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n", &["a Git LFS pointer", "git lfs pull"]);
        for page in [
            "<!DOCTYPE html><title>Log in</title>",
            "\n\n <HTML><body>404</body>",
            "\u{feff}<?xml version=\"1.0\"?><Error/>",
            "<Error><Code>NoSuchKey",
        ] {
            refused(page.as_bytes(), &["a web page (HTML)", "download the file itself"]);
        }
        refused(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", &["packed by gzip", "gunzip"]);
        refused(b"\x89HDF\r\n\x1a\n\x00\x00", &["an HDF5 file, as Keras writes"]);
        refused(b"\x89PNG\r\n\x1a\n\x00\x00", &["a PNG picture"]);
        refused(b"{\"metadata\": {\"total_size\": 5}}", &["JSON text", "the file that holds the tensors"]);
        refused(&[0xff; 64], &["not a safetensors file"]);
        refused(&file(None, "0.conv1.weight", Dtype::F32, &[0; 4]), &["no splitmix metadata"]);
        // A header that is not JSON, and one whose offsets overlap.
        let mut text = 20u64.to_le_bytes().to_vec();
        text.extend(b"{\"a\": unquoted }    ");
        refused(&text, &["the safetensors header is damaged: it is not the JSON of tensors; take the original or an older checkpoint"]);
        let json = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
        let mut overlap = (json.len() as u64).to_le_bytes().to_vec();
        overlap.extend(json);
        overlap.extend([0; 8]);
        refused(&overlap, &["the safetensors header is damaged: the place of tensor a cannot be; take the original"]);
    }

    #[test]
    fn random_damage_never_panics() {
        use rand::Rng;
        let bytes = example(3).to_bytes().unwrap();
        let mut rng = crate::fl::rng(1, crate::fl::Purpose::Init, 0, 0, 0);
        for _ in 0..3000 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + rng.next_u32() % 4 {
                let place = rng.next_u32() as usize % damaged.len();
                damaged[place] = rng.next_u32() as u8;
            }
            let _ = Checkpoint::from_bytes(&damaged, "x");
            let _ = import(&damaged, "x", &wanted(), 2);
        }
    }

    fn header_text() -> String {
        serde_json::to_string(&Versioned { format: FORMAT, header: &example(1).header }).unwrap()
    }

    #[test]
    fn the_deck_of_older_formats_is_the_state_of_split_mix() {
        let read = |from: &str, to: &str| {
            let text = header_text().replacen("\"format\":3", "\"format\":2", 1).replacen("\"state\"", "\"deck\"", 1).replacen(from, to, 1);
            parse_header(&text, 4, "x").map(|header| header.state)
        };
        assert_eq!(read("", "").unwrap(), example(1).header.state);
        assert_eq!(read("{\"bases\":2,\"dealt\":1}", "null").unwrap(), None);
        assert_eq!(read("\"method\":\"split-mix\"", "\"method\":\"fedavg\"").unwrap(), Some(State::new()));
        assert!(read("\"dealt\":1", "\"dealt\":-1").unwrap_err().to_string().contains("not a deck of bases"));
        // What a method does not keep is not taken for its state.
        let other = header_text().replacen("\"method\":\"split-mix\"", "\"method\":\"fedavg\"", 1);
        assert!(parse_header(&other, 4, "x").unwrap_err().to_string().contains("\"bases\", which this method does not keep"));
    }

    #[test]
    fn options_that_a_method_has_got_since_have_their_defaults() {
        let with = |own: &str| {
            let text = header_text().replacen("\"method\":\"split-mix\"", &format!("\"method\":\"probe\",{own}"), 1);
            parse_header(&text.replacen("{\"bases\":2,\"dealt\":1}", "{}", 1), 4, "x").map(|header| header.config)
        };
        let own = serde_json::to_string(&with("\"probe-pull\":0.25").unwrap().own).unwrap();
        assert_eq!(own, r#"{"probe-halves":false,"probe-on":"all","probe-parts":4,"probe-pull":0.25}"#);
        let message = with("\"probe-parts\":65").unwrap_err().to_string();
        assert!(message.contains("metadata is damaged: probe-parts = 65: it must be at most 64"), "{message}");
    }

    #[test]
    fn newer_and_damaged_metadata() {
        let with = |metadata: &str| file(Some(metadata), "0.w", Dtype::F32, &[0; 4]);
        refused(
            &with(r#"{"format":9,"anything":[]}"#),
            &["written by a newer splitmix (format 9, this one reads up to 3): update splitmix"],
        );
        let damaged = |what: &str| format!("the splitmix metadata is damaged: {what}; take the original or an older checkpoint");
        refused(&with("{}"), &[&damaged("it has no \"format\"")]);
        refused(&with("[1]"), &[&damaged("it is not a JSON object")]);
        refused(&with("{"), &[&damaged("it is not a JSON object")]);
        refused(&with(r#"{"format":1}"#), &[&damaged("it has no \"network\"")]);
        let text = header_text();
        for (from, to, told) in [
            ("\"bases\":2", "\"bases\":\"two\"", "it has the text \"two\" where a whole number is wanted"),
            ("\"bases\":2", "\"bases\":-1", "it has -1 where a whole number is wanted"),
            ("\"bases\":2", "\"bases\":[]", "it has a list where a whole number is wanted"),
            ("\"bases\":2", "\"bases\":2,\"colour\":1", "it has \"colour\", which is not known"),
        ] {
            assert!(text.contains(from), "{text}");
            refused(&with(&text.replacen(from, to, 1)), &[&damaged(told)]);
        }
        let header = |change: &dyn Fn(&mut Header)| {
            let mut header = example(1).header;
            change(&mut header);
            serde_json::to_string(&Versioned { format: FORMAT, header: &header }).unwrap()
        };
        refused(&with(&header(&|header| header.bases = 1)), &["deck has 2 bases"]);
        refused(&with(&header(&|header| header.bases = 0)), &["no bases"]);
        for bases in [3, (1 << 32) + 2, 1 << 60] {
            refused(&with(&header(&|header| header.bases = bases)), &[&format!("it has {bases} bases, more than")]);
        }
        let one = |change: &dyn Fn(&mut Header)| {
            with(&header(&|header| {
                (header.bases, header.state) = (1, None);
                change(header);
            }))
        };
        assert!(Checkpoint::from_bytes(&one(&|_| {}), "x").is_ok());
        refused(&one(&|header| header.image = [3, 14, 14]), &["images are [3, 14, 14]", "network [3, 28, 28]"]);
        refused(&one(&|header| header.config.network = "none".parse().unwrap()), &["network = none"]);
        let mixed = |order: &[usize]| Some(Mixed { width: Ratio::ONE, lambda: 0.0, order: order.to_vec(), client: None });
        refused(&one(&|header| header.mixed = mixed(&[1, 0])), &["mixed model has 2 bases"]);
        assert!(Checkpoint::from_bytes(&one(&|header| header.mixed = mixed(&[5])), "x").is_ok());
    }

    #[test]
    fn values_that_are_not_finite() {
        let mut checkpoint = example(12);
        checkpoint.tensors.get_mut("1.conv1.bias").unwrap().data[1] = f32::NAN;
        let message = checkpoint.to_bytes().unwrap_err().to_string();
        assert!(message.contains("after 12 rounds") && message.contains("1.conv1.bias"), "{message}");
        // What would be refused when it is read is not written.
        checkpoint.tensors.get_mut("1.conv1.bias").unwrap().data[1] = 2e20;
        assert!(checkpoint.to_bytes().unwrap_err().to_string().contains("1.conv1.bias holds 2e20 at index 1: training diverged"));
        let header = serde_json::to_string(&Versioned { format: FORMAT, header: &example(1).header }).unwrap();
        let infinite = file(Some(&header), "0.w", Dtype::F32, &f32::INFINITY.to_le_bytes());
        for (value, told) in [(1e20f32, "1e20"), (-TOO_LARGE, "-1.8446744e19")] {
            let large = format!("tensor 0.w holds {told} at index 0, too large to compute with: the file is damaged");
            refused(&file(Some(&header), "0.w", Dtype::F32, &value.to_le_bytes()), &[&large]);
        }
        refused(&infinite, &["tensor 0.w holds inf at index 0: the values are not finite"]);
        refused(&file(Some(&header), "0.w", Dtype::F16, &0x7e00u16.to_le_bytes()), &["tensor 0.w holds NaN at index 0"]);
        refused(&file(Some(&header), "0.w", Dtype::I32, &[0; 4]), &["tensor 0.w holds I32 values; F32, F16, BF16 and F64 can be read"]);
        let doubles: Vec<u8> = [1.0, -1e39f64].iter().flat_map(|v| v.to_le_bytes()).collect();
        let large = "tensor 0.w holds -1e39 at index 1, more than a 32-bit float can hold";
        refused(&file(Some(&header), "0.w", Dtype::F64, &doubles), &[large]);
    }

    #[test]
    fn a_variance_below_zero_is_refused_wherever_it_is() {
        let header = serde_json::to_string(&Versioned { format: FORMAT, header: &example(1).header }).unwrap();
        for name in ["0.bn1.running_var", "0.bn1.adversarial.running_var", "local.0.bn1.running_var", "0.bn1.clean_bn.running_var"] {
            let negative = file(Some(&header), name, Dtype::F32, &(-0.5f32).to_le_bytes());
            let told = format!("tensor {name} holds -0.5 at index 0: a variance is never below 0");
            refused(&negative, &[&told]);
            // Not only where it is wanted.
            let message = import(&negative, "a.safetensors", &wanted(), 2).unwrap_err().to_string();
            assert!(message.contains(&told), "{message}");
        }
        for (name, value) in [("0.bn1.running_var", 0.0f32), ("0.bn1.running_var", -0.0), ("0.bn1.running_mean", -0.5)] {
            assert!(Checkpoint::from_bytes(&file(Some(&header), name, Dtype::F32, &value.to_le_bytes()), "x").is_err_and(|e| {
                // Another problem: the example has two bases.
                e.to_string().contains("2 bases, more than")
            }));
        }
    }

    #[test]
    fn narrower_and_wider_floats_are_converted() {
        let read = |dtype, bytes: &[u8]| {
            let name = "conv1.bias".to_string();
            let length = bytes.len() * 8 / dtype_bits(dtype);
            import(&file(None, &name, dtype, bytes), "x", &[(name, vec![length])], 1).unwrap()
        };
        fn dtype_bits(dtype: Dtype) -> usize {
            dtype.bitsize()
        }
        // By IEEE 754: the largest and smallest of each kind, subnormal ones, zeros, and values in between.
        let halves = [0x3c00u16, 0xc000, 0x7bff, 0x0400, 0x0001, 0x83ff, 0x8000, 0x3555];
        let exact = [1.0, -2.0, 65504.0, 6.103_515_6e-5, 5.960_464_5e-8, -6.097_555e-5, -0.0, 0.333_251_95];
        let bytes: Vec<u8> = halves.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(read(Dtype::F16, &bytes).bases[0][0].data.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), exact.map(f32::to_bits));
        let brains = [0x3f80u16, 0xc049, 0x5f7f, 0x0080, 0x0001, 0x8000];
        let bytes: Vec<u8> = brains.iter().flat_map(|v| v.to_le_bytes()).collect();
        let bits = brains.map(|v| u32::from(v) << 16);
        assert_eq!(read(Dtype::BF16, &bytes).bases[0][0].data.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);
        // Halfway cases go to the even neighbour.
        let doubles = [0.1, 1.0 + 2f64.powi(-24), 1.0 + 3.0 * 2f64.powi(-24), 2f64.powi(63), 1e-300];
        let bytes: Vec<u8> = doubles.iter().flat_map(|v: &f64| v.to_le_bytes()).collect();
        let imported = read(Dtype::F64, &bytes);
        assert_eq!(imported.bases[0][0].data, [0.1, 1.0, 1.0 + 2.0 * f32::EPSILON, 2f32.powi(63), 0.0]);
        assert_eq!(imported.notes(), ["64-bit values were rounded to 32 bits in 1 of the file's tensors"]);
    }

    #[test]
    fn data_must_fill_the_shape() {
        let mut checkpoint = example(1);
        checkpoint.tensors.get_mut("1.conv1.bias").unwrap().shape = vec![5];
        assert!(checkpoint.to_bytes().unwrap_err().to_string().contains("1.conv1.bias"));
    }

    #[test]
    fn parameters_by_base_and_name() {
        let bases = example(1).take_parameters(&wanted(), "x").unwrap();
        assert_eq!(bases.len(), 2);
        assert_eq!(bases[1][0].data[0], 1.0);
        assert_eq!(bases[1][1].shape, [2]);
    }

    #[test]
    fn missing_misshapen_and_extra_parameters() {
        let told = |checkpoint: Checkpoint| checkpoint.take_parameters(&wanted(), "x").unwrap_err().to_string();
        let mut checkpoint = example(1);
        checkpoint.tensors.remove("1.conv1.bias");
        checkpoint.tensors.insert("1.conv9.bias".into(), Tensor { shape: vec![1], data: vec![0.0] });
        assert_eq!(
            told(checkpoint),
            "x: no tensor 1.conv1.bias: the file has 1.conv9.bias where 1.conv1.bias are wanted; the file is of another network or has \
             fewer bases than its configuration says"
        );
        let mut checkpoint = example(1);
        checkpoint.tensors.get_mut("0.conv1.weight").unwrap().shape = vec![6];
        let message = told(checkpoint);
        assert!(message.contains("0.conv1.weight should have shape [2, 3, 1, 1] but has [6]: check the network"), "{message}");
        let mut checkpoint = example(1);
        checkpoint.tensors.get_mut("0.conv1.weight").unwrap().shape = vec![1, 1, 3, 2];
        let message = told(checkpoint);
        assert!(message.contains("should have shape [2, 3, 1, 1] but has [1, 1, 3, 2]: it is transposed"), "{message}");
        assert!(message.ends_with("outputs first, with .permute(3, 2, 0, 1).contiguous()"), "{message}");
        let mut checkpoint = example(1);
        let tensor = checkpoint.tensors["0.conv1.bias"].clone();
        checkpoint.tensors.insert("2.conv1.bias".into(), tensor);
        assert!(told(checkpoint).contains("2.conv1.bias does not belong"));
    }

    /// The example's tensors under other names, with PyTorch's step counter among them.
    fn foreign(rename: impl Fn(&str) -> String) -> Vec<u8> {
        let checkpoint = example(1);
        let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = checkpoint
            .tensors
            .iter()
            .map(|(name, t)| (rename(name), t.shape.clone(), t.data.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let counter = 5i64.to_le_bytes();
        let mut views: Vec<(String, TensorView)> =
            bytes.iter().map(|(name, shape, data)| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap())).collect();
        views.push(("0.bn1.num_batches_tracked".into(), TensorView::new(Dtype::I64, vec![], &counter).unwrap()));
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn known_prefixes_are_stripped_where_all_names_have_them() {
        let own = import(&example(1).to_bytes().unwrap(), "x", &wanted(), 2).unwrap();
        assert!(own.unused.is_empty() && own.notes().is_empty());
        for prefix in ["", "server.", "module.", "model.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "state_dict.model."] {
            let imported = import(&foreign(|name| format!("{prefix}{name}")), "x", &wanted(), 2).unwrap();
            assert_eq!(imported.bases, own.bases, "{prefix}");
            assert_eq!(imported.unused, ["0.bn1.num_batches_tracked"]);
            // Each base wrapped, too.
            let within = |name: &str| name.replacen('.', "._orig_mod.module.", 1);
            let imported = import(&foreign(|name| format!("{prefix}{}", within(name))), "x", &wanted(), 2).unwrap();
            assert_eq!(imported.bases, own.bases, "{prefix}");
        }
        let told = |rename: fn(&str) -> String| import(&foreign(rename), "x", &wanted(), 2).unwrap_err().to_string();
        let message = told(|name| name.replacen('1', "3", 1));
        assert!(message.contains("bases in the file: 1, in the configuration: 2") || message.contains("another network"), "{message}");
    }

    #[test]
    fn other_prefixes_are_left_out_with_a_note_where_every_tensor_is_then_found() {
        let own = import(&example(1).to_bytes().unwrap(), "x", &wanted(), 2).unwrap();
        let taken = |rename: fn(&str) -> String| {
            let imported = import(&foreign(rename), "x", &wanted(), 2).unwrap();
            assert_eq!(imported.bases, own.bases);
            imported.notes().into_iter().find(|note| note.starts_with("prefixes")).unwrap()
        };
        assert_eq!(
            taken(|name| format!("student.{name}")),
            "prefixes are left out of the tensors' names: student.0.conv1.weight is taken as 0.conv1.weight"
        );
        // Some have one and some none; layers are wrapped within.
        assert_eq!(
            taken(|name| if name.starts_with('0') { format!("module.{name}") } else { name.into() }),
            "prefixes are left out of the tensors' names: module.0.conv1.weight is taken as 0.conv1.weight"
        );
        let within = taken(|name| name.replace("conv1.", "conv1._orig_mod."));
        assert!(within.contains("0.conv1._orig_mod.weight is taken as 0.conv1.weight"), "{within}");
        // A part of a network is refused with the prefix.
        let told = |rename: fn(&str) -> String| import(&foreign(rename), "x", &wanted(), 2).unwrap_err().to_string();
        assert_eq!(
            told(|name| if name == "1.conv1.bias" { "encoder.head".into() } else { format!("encoder.{name}") }),
            "x: no tensor 1.conv1.bias: the file has encoder.head where 1.conv1.bias are wanted; with the prefix \"encoder.\" left out, 3 of \
             the 4 wanted tensors are found; bases in the file: 1, in the configuration: 2; check --base-width and --budgets"
        );
    }

    #[test]
    fn a_network_that_is_there_twice_is_refused() {
        let checkpoint = example(1);
        let twice = ["0.conv1.weight", "0.conv1.bias"].iter().flat_map(|name| {
            let tensor = &checkpoint.tensors[*name];
            ["model.", "module."].map(|prefix| (format!("{prefix}{name}"), tensor.shape.clone(), vec![0u8; tensor.data.len() * 4]))
        });
        let twice: Vec<_> = twice.collect();
        let views = twice.iter().map(|(name, shape, data)| (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
        let message = import(&safetensors::serialize(views, None).unwrap(), "x", &wanted(), 1).unwrap_err().to_string();
        let told = "x: the network is there twice, as model.0.conv1.weight and as module.0.conv1.weight: leave one of both in the file";
        assert_eq!(message, told);
    }

    #[test]
    fn a_missing_tensor_is_told_with_what_its_names_say() {
        let told = |bytes: &[u8], wanted: &[(String, Vec<usize>)], bases| import(bytes, "x", wanted, bases).unwrap_err().to_string();
        let two = foreign(|name| name.to_string());
        assert!(
            told(&two, &wanted(), 4).contains("no tensor 2.conv1.weight: ")
                && told(&two, &wanted(), 4).contains("bases in the file: 2, in the configuration: 4")
        );
        let bare = foreign(|name| name.strip_prefix("0.").map_or(format!("other.{name}"), String::from));
        let message = told(&bare, &wanted(), 2);
        assert!(message.contains("holds one network, the configuration has 2 bases: add --method fedavg"), "{message}");
        let more = |name: &str| [wanted(), vec![(name.to_string(), vec![2])]].concat();
        assert!(told(&two, &more("bn1.running_mean"), 2).contains("no running statistics: leave out --bn-mode tracked"));
        assert!(told(&two, &more("bn1.adversarial.bias"), 2).contains("no adversarial batch norms: leave out --lambda-train"));
        // A name may be anything.
        let odd = foreign(|name| format!("{}\n{name}", "x".repeat(200)));
        let message = told(&odd, &wanted(), 2);
        assert!(!message.contains('\n') && message.len() < 800, "{message}");
    }

    #[test]
    fn tensors_that_are_not_used_are_told_by_their_kind() {
        let names = (0..80).map(|i| format!("0.bn{i}.num_batches_tracked"));
        let statistics = ["0.bn1.running_mean", "0.bn1.running_var", "0.bn1.noise_bn.running_var", "0.bn1.noise_bn.weight"];
        let unused: Vec<String> = names.chain(statistics.map(String::from)).chain((0..5).map(|i| format!("extra{i}"))).collect();
        assert_eq!(
            Imported { bases: vec![], unused, rounded: 0, shortened: vec![] }.notes(),
            [
                "80 tensors are not used: num_batches_tracked, counters that no result depends on",
                "2 tensors are not used: running statistics (running_mean, running_var); --bn-mode tracked keeps them",
                "2 tensors are not used: of adversarial batch norms (noise_bn); a --lambda-train between 0 and 1 keeps them",
                "5 tensors are not used: extra0, extra1, extra2 and 2 more",
            ]
        );
        let one = Imported { bases: vec![], unused: vec!["a".into()], rounded: 0, shortened: vec![] };
        assert_eq!(one.notes(), ["1 tensor is not used: a"]);
    }

    /// The authors' CIFAR-10 network at 1/64 of its width, of 2 bases: its tensors' names, by their two files, and shapes, beside our names.
    /// `n` is the letter or letters before a batch norm's number.
    fn authors_resnet(n: &str, dual: bool, tracked: bool) -> Vec<(String, String, Vec<usize>)> {
        let mut all = Vec::new();
        for base in 0..2 {
            let mut put = |theirs: String, ours: String, shape: &[usize]| {
                all.push((format!("{base}.{theirs}"), format!("{base}.{ours}"), shape.to_vec()));
            };
            let kinds = if tracked { &["weight", "bias", "running_mean", "running_var"][..] } else { &["weight", "bias"] };
            let norm = |put: &mut dyn FnMut(String, String, &[usize]), theirs: String, ours: String, channels: usize| {
                for kind in kinds {
                    match dual {
                        false => put(format!("{theirs}.{kind}"), format!("{ours}.{kind}"), &[channels]),
                        true => {
                            put(format!("{theirs}.clean_bn.{kind}"), format!("{ours}.{kind}"), &[channels]);
                            put(format!("{theirs}.noise_bn.{kind}"), format!("{ours}.adversarial.{kind}"), &[channels]);
                        }
                    }
                }
            };
            put("conv1.weight".into(), "conv1.weight".into(), &[1, 3, 3, 3]);
            let mut before = 1;
            for (layer, channels) in (1..).zip([1, 2, 4, 8]) {
                for block in 0..2 {
                    let at = format!("layer{layer}.{block}");
                    norm(&mut put, format!("{at}.{n}1"), format!("{at}.bn1"), before);
                    put(format!("{at}.conv1.weight"), format!("{at}.conv1.weight"), &[channels, before, 3, 3]);
                    norm(&mut put, format!("{at}.{n}2"), format!("{at}.bn2"), channels);
                    put(format!("{at}.conv2.weight"), format!("{at}.conv2.weight"), &[channels, channels, 3, 3]);
                    if before != channels {
                        put(format!("{at}.shortcut.weight"), format!("{at}.shortcut.0.weight"), &[channels, before, 1, 1]);
                    }
                    before = channels;
                }
            }
            norm(&mut put, format!("{n}4"), "bn".into(), 8);
            put("linear.weight".into(), "fc.weight".into(), &[10, 8]);
            put("linear.bias".into(), "fc.bias".into(), &[10]);
        }
        all
    }

    #[test]
    fn the_authors_residual_networks_are_imported_tensor_by_tensor() {
        for (n, dual, tracked) in [("n", false, false), ("bn", false, true), ("n", false, true), ("bn", true, true), ("n", true, false)] {
            let tensors = authors_resnet(n, dual, tracked);
            let mut of_name = BTreeMap::new();
            let bytes: Vec<Vec<u8>> = (1u16..)
                .zip(&tensors)
                .map(|(i, (_, ours, shape))| {
                    let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|v| f32::from(i) + v as f32 / 1024.0).collect();
                    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                    of_name.insert(ours.clone(), Tensor { shape: shape.clone(), data: values });
                    bytes
                })
                .collect();
            let views = tensors
                .iter()
                .zip(&bytes)
                .map(|((theirs, _, shape), data)| (theirs, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
            let file = safetensors::serialize(views, None).unwrap();
            let config = TrainConfig {
                network: "preact-resnet18".parse().unwrap(),
                base_width: "1/64".parse().unwrap(),
                lambda_train: if dual { 0.5 } else { 0.0 },
                bn_mode: if tracked { BnMode::Tracked } else { BnMode::Batch },
                ..TrainConfig::default()
            };
            let wanted = crate::run::model::wanted_tensors(&config.network(10).unwrap());
            assert_eq!(wanted.len() * 2, tensors.len());
            let imported = import(&file, "x", &wanted, 2).unwrap();
            assert!(imported.unused.is_empty(), "{:?}", imported.unused);
            for (base, parameters) in imported.bases.iter().enumerate() {
                for ((name, _), tensor) in wanted.iter().zip(parameters) {
                    assert_eq!(*tensor, of_name[&tensor_name(base, name)], "{n} {name}");
                }
            }
            assert_eq!(imported_classes(&file, "x", "fc", 8).unwrap(), Some(10));
        }
    }

    #[test]
    fn classes_are_the_classifiers_outputs() {
        let classes = |weight: [usize; 2], bias: Option<usize>| {
            let data = vec![0; 4 * weight[0] * weight[1]];
            let mut views = vec![("module.fc3.weight", TensorView::new(Dtype::F32, weight.to_vec(), &data).unwrap())];
            views.extend(bias.map(|n| ("module.fc3.bias", TensorView::new(Dtype::F32, vec![n], &data[..4 * n]).unwrap())));
            imported_classes(&safetensors::serialize(views, None).unwrap(), "x", "fc3", 128).unwrap()
        };
        assert_eq!(classes([10, 128], Some(10)), Some(10));
        assert_eq!(classes([128, 10], Some(10)), Some(10), "transposed");
        assert_eq!(classes([128, 10], None), Some(10), "transposed, without a bias");
        assert_eq!(classes([10, 64], None), Some(10), "of another width");
        assert_eq!(classes([128, 128], None), Some(128));
        assert_eq!(imported_classes(&file(None, "x.weight", Dtype::F32, &[0; 4]), "x", "fc3", 128).unwrap(), None);
    }

    #[test]
    fn a_header_with_an_attack_of_an_earlier_version_is_read() {
        let mut checkpoint = example(1);
        checkpoint.header.config.train_attack = Attack::fgsm(0.5).unwrap();
        let text = serde_json::to_string(&Versioned { format: 2, header: &checkpoint.header }).unwrap();
        let old = text.replace("fgsm-eps0.5/255", "fgsm-eps0.5");
        assert_ne!(old, text);
        for (text, attack) in [(&old, "fgsm-eps0.5/255"), (&text, "fgsm-eps0.5/255"), (&text.replace("fgsm-eps0.5/255", "pgd-0"), "pgd-0")]
        {
            assert_eq!(parse_header(text, 9, "x").unwrap().config.train_attack.to_string(), attack);
        }
        let message = parse_header(&text.replace("fgsm-eps0.5/255", "cw"), 9, "x").unwrap_err().to_string();
        assert!(message.contains("no attack is called \"cw\""), "{message}");
    }

    #[test]
    fn renamed_domains_with_the_same_images_are_no_other_data() {
        let dataset = crate::data::embedded().unwrap();
        let config = TrainConfig::default().validate().unwrap();
        let of = |dataset: &Dataset| crate::run::model::partition(dataset, &config).unwrap().clients;
        let then = DataFingerprint::new(&dataset, &of(&dataset));
        let mut renamed = dataset.clone();
        renamed.domains.iter_mut().for_each(|domain| domain.name = format!("my {}", domain.name));
        assert_eq!(then.difference_from(&renamed, &of(&renamed)), None);
        assert_eq!(
            then.difference(&DataFingerprint::new(&renamed, &of(&renamed))).unwrap(),
            "its domain mnist is now called my mnist, its domain optdigits is now called my optdigits, its domain synth-digits is now called my \
             synth-digits, its domain mnist-m-style is now called my mnist-m-style, with the same images (rename it back)"
        );
        // Other images under another name are told, and so is a file that does not know its images.
        let mut other = renamed.clone();
        other.domains[1].test.pixels[7] ^= 1;
        assert!(then.difference_from(&other, &of(&other)).unwrap().starts_with("its domains were "));
        let unknown = DataFingerprint { checksums: None, ..then.clone() };
        assert!(unknown.difference_from(&renamed, &of(&renamed)).unwrap().starts_with("its domains were "));
        let mut swapped = dataset.clone();
        swapped.domains.swap(0, 1);
        assert!(then.difference_from(&swapped, &of(&swapped)).is_some());
        let mut classes = renamed.clone();
        classes.classes[3] = "three".into();
        assert!(then.difference_from(&classes, &of(&classes)).unwrap().starts_with("its classes were "));

        // What a file lists for a client is the same in whatever order a run takes it, under a new name, too.
        let mut listed = dataset.clone();
        listed.clients = vec![crate::data::Holding {
            name: "ward".into(),
            domain: 0,
            train: (0..90).collect(),
            validation: (90..120).collect(),
            test: (0..50).collect(),
        }];
        let of_seed = |dataset: &Dataset, seed| {
            let config = TrainConfig { seed, ..config.clone().into() }.validate().unwrap();
            crate::run::model::partition(dataset, &config).unwrap().clients
        };
        let (then, others) = (DataFingerprint::new(&listed, &of_seed(&listed, 1)), of_seed(&listed, 2));
        assert_ne!(of_seed(&listed, 1)[0].test, others[0].test);
        assert_eq!(then.difference_from(&listed, &others), None);
        listed.domains.iter_mut().for_each(|domain| domain.name = format!("my {}", domain.name));
        assert_eq!(then.difference_from(&listed, &others), None);
    }

    #[test]
    fn a_single_network_has_bare_names() {
        let bare = foreign(|name| name.strip_prefix("0.").map_or(format!("other.{name}"), String::from));
        let imported = import(&bare, "x", &wanted(), 1).unwrap();
        assert_eq!(imported.bases[0][0].data[..2], [0.0, 1.0]);
        assert_eq!(imported.unused.len(), 3);
        // An ensemble of two needs numbered names.
        assert!(import(&bare, "x", &wanted(), 2).unwrap_err().to_string().contains("no tensor 0.conv1.weight"));
    }

    #[test]
    fn dual_batch_norms_may_have_the_authors_names() {
        // The example's tensors in the place of a clean and of an adversarial batch norm's.
        let bytes = foreign(|name| name.replace("conv1.weight", "bn1.clean_bn.weight").replace("conv1.bias", "bn1.noise_bn.weight"));
        let wanted = [("bn1.weight".into(), vec![2, 3, 1, 1]), ("bn1.adversarial.weight".into(), vec![2])];
        let own = import(&example(1).to_bytes().unwrap(), "x", &super::tests::wanted(), 2).unwrap();
        assert_eq!(import(&bytes, "x", &wanted, 2).unwrap().bases, own.bases);
    }

    #[test]
    fn import_checks_what_it_takes() {
        let bytes = foreign(|name| name.to_string());
        let told = |wanted: &[(String, Vec<usize>)]| import(&bytes, "x", wanted, 2).unwrap_err().to_string();
        assert!(told(&[("conv1.bias".into(), vec![3])]).contains("should have shape [3] but has [2]"));
        assert!(told(&[("bn1.num_batches_tracked".into(), vec![])]).contains("no tensor 1.bn1.num_batches_tracked"));
        assert!(told(&[("fc9.weight".into(), vec![])]).contains("no tensor 0.fc9.weight"));
    }
}
