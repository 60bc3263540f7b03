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
//! Batch norms that stay with the clients are `local.0.bn1.weight` of shape `[clients, channels]`, and so on.
//!
//! [`import`] also takes the bare names of a single network (`conv1.weight`) for an ensemble of one base, the
//! prefixes `module.` (a wrapped PyTorch model) and `server.` (a flattened `server_model`), and the authors' names of dual batch
//! norms (`0.bn1.clean_bn.weight`, `0.bn1.noise_bn.weight`).
//!
//! # Metadata
//! One key, `splitmix`: a JSON object with `format` and the fields of [`Header`]. One key only, because the order of
//! several is not defined and the same state must give the same bytes.

use super::config::{BnMode, TrainConfig};
use crate::data::{Dataset, Domain};
use crate::fl::{Best, Client, Deck, Ratio};
use crate::net::{Network, Norms};
use crate::{Error, Result};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The format that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 2;

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
    /// State of base sampling, needed to resume; a checkpoint of the best round has none.
    pub deck: Option<Deck>,
    /// What the bases are, where they are no longer those of a training but a mixed model made of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixed: Option<Mixed>,
    /// The effective configuration of the run.
    pub config: TrainConfig,
    /// The data that the run was started with; unknown of an imported model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Holdings>,
}

/// What a run's data were: names, numbers and checksums, so that other data do not take their place unseen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Holdings {
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
        let mut shares = flate2::Crc::new();
        for client in clients {
            shares.update(client.name.as_bytes());
            for images in [&client.train, &client.validation, &client.test] {
                shares.update(&(images.len() as u32).to_le_bytes());
                images.iter().for_each(|image| shares.update(&image.to_le_bytes()));
            }
        }
        Checksums { domains: dataset.domains.iter().map(of_domain).collect(), clients: shares.sum() }
    }
}

impl Holdings {
    /// Those of a data set with its clients.
    pub fn new(dataset: &Dataset, clients: &[Client]) -> Holdings {
        let domains = dataset.domains.iter().map(|d| (d.name.clone(), d.train.len(), d.test.len())).collect();
        let checksums = Some(Checksums::new(dataset, clients));
        Holdings { classes: dataset.classes.clone(), domains, clients: clients.len(), checksums }
    }

    /// The first that is another in `now`, in words; `None` where both are the same.
    pub fn difference(&self, now: &Holdings) -> Option<String> {
        if self.classes != now.classes {
            return Some(format!("its classes were {}, the data has {}", self.classes.join(", "), now.classes.join(", ")));
        }
        let names = |h: &Holdings| h.domains.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>().join(", ");
        if names(self) != names(now) {
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

/// The name of tensor `name` of base `base` among the batch norms that stay with the clients.
pub fn local_name(base: usize, name: &str) -> String {
    format!("local.{base}.{name}")
}

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
    /// [`Error::Data`] when a value is not finite (training diverged: better to keep the checkpoint before) or a
    /// tensor's data does not fill its shape.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes: Vec<(&String, &[usize], Vec<u8>)> = Vec::with_capacity(self.tensors.len());
        for (name, tensor) in &self.tensors {
            if let Some(index) = tensor.data.iter().position(|value| !value.is_finite()) {
                return Err(Error::Data(format!(
                    "after {} rounds the parameter {name} holds {} at index {index}: training diverged; nothing is \
                     saved over the checkpoint before; lower lr and start again",
                    self.header.rounds_done, tensor.data[index]
                )));
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
        let (metadata, tensors) = read(bytes, file)?;
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

    /// Batch norms that stay with the clients, moved out by name in a base: for each base and each of `wanted` (name, length), the
    /// values of all clients, one after the other; and the number of clients.
    ///
    /// # Errors
    /// [`Error::Data`] as [`Checkpoint::take_parameters`].
    pub fn take_local(&mut self, wanted: &[(String, usize)], file: &str) -> Result<(usize, Vec<Vec<Vec<f32>>>)> {
        let mut clients = None;
        let mut bases = Vec::with_capacity(self.header.bases);
        for base in 0..self.header.bases {
            let tensors = wanted.iter().map(|(name, length)| {
                let name = local_name(base, name);
                let tensor = self.tensors.remove(&name).ok_or_else(|| missing(file, &name))?;
                let rows = *clients.get_or_insert(tensor.shape.first().copied().unwrap_or(0));
                Ok(of_shape(file, &name, tensor, &[rows, *length])?.data)
            });
            bases.push(tensors.collect::<Result<Vec<_>>>()?);
        }
        Ok((clients.unwrap_or(0), bases))
    }

    /// The tensors named in `wanted` (name in a base, shape), base by base and in the order of `wanted`, moved out.
    ///
    /// # Errors
    /// [`Error::Data`] for a tensor that is missing, has another shape (with both shapes), or is not asked for.
    pub fn take_parameters(mut self, wanted: &[(String, Vec<usize>)], file: &str) -> Result<Vec<Vec<Tensor>>> {
        let mut bases = Vec::with_capacity(self.header.bases);
        for base in 0..self.header.bases {
            let tensors = wanted.iter().map(|(name, shape)| {
                let name = tensor_name(base, name);
                let tensor = self.tensors.remove(&name).ok_or_else(|| missing(file, &name))?;
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

/// Parameters taken from another program's file.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The tensors of each base, in the order asked for.
    pub bases: Vec<Vec<Tensor>>,
    /// Names of tensors in the file that were not used, such as running statistics in batch-norm mode `batch`. The
    /// user should be told.
    pub unused: Vec<String>,
}

/// Reads the parameters of an ensemble of `bases` bases from any safetensors file (see the module for the names), one
/// of this program's included. `wanted` lists name within a base and shape.
///
/// # Errors
/// [`Error::Data`] for a file that cannot be read and for tensors that are missing, of another shape, not 32-bit
/// floats, or not finite.
pub fn import(bytes: &[u8], file: &str, wanted: &[(String, Vec<usize>)], bases: usize) -> Result<Imported> {
    let (_, mut tensors) = read(bytes, file)?;
    let mut imported = Vec::with_capacity(bases);
    for base in 0..bases {
        let mut parameters = Vec::with_capacity(wanted.len());
        for (name, shape) in wanted {
            let full = tensor_name(base, name);
            let mut stems = vec![full.clone(), dual_name(&full)];
            if bases == 1 {
                stems.extend([name.clone(), dual_name(name)]);
            }
            let names = stems.iter().flat_map(|stem| ["", "server.", "module."].map(|prefix| format!("{prefix}{stem}")));
            let found = names.collect::<Vec<_>>().into_iter().find_map(|name| Some((tensors.remove(&name)?, name)));
            let (tensor, name) = found.ok_or_else(|| missing(file, &full))?;
            let tensor = tensor.map_err(|problem| Error::Data(format!("{file}: tensor {name} {problem}")))?;
            parameters.push(of_shape(file, &name, tensor, shape)?);
        }
        imported.push(parameters);
    }
    Ok(Imported { bases: imported, unused: tensors.into_keys().collect() })
}

/// The name in the authors' program of a tensor of the clean or the adversarial one of two batch norms.
fn dual_name(name: &str) -> String {
    let (layer, kind) = name.rsplit_once('.').unwrap_or(("", name));
    match layer.strip_suffix(".adversarial") {
        Some(layer) => format!("{layer}.noise_bn.{kind}"),
        None => format!("{layer}.clean_bn.{kind}"),
    }
}

fn missing(file: &str, name: &str) -> Error {
    Error::Data(format!("{file}: no tensor {name}: the file is of another network or has fewer bases than the configuration asks for"))
}

fn of_shape(file: &str, name: &str, tensor: Tensor, shape: &[usize]) -> Result<Tensor> {
    if tensor.shape == shape {
        return Ok(tensor);
    }
    Err(Error::Data(format!(
        "{file}: tensor {name} should have shape {shape:?} but has {:?}: check the network, the number of classes and \
         base-width",
        tensor.shape
    )))
}

/// A tensor, or what is wrong with it.
type Read = std::result::Result<Tensor, String>;

/// The metadata of ours, if any, and every tensor. A tensor that cannot be used is an error only when it is wanted.
fn read(bytes: &[u8], file: &str) -> Result<(Option<String>, BTreeMap<String, Read>)> {
    let broken = |error: SafeTensorError| Error::Data(format!("{file}: {}", explain(bytes, &error)));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let all = SafeTensors::deserialize(bytes).map_err(broken)?;
    let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY).cloned());
    let tensors = all.iter().map(|(name, view)| (name.to_string(), read_tensor(&view))).collect();
    Ok((metadata, tensors))
}

fn read_tensor(view: &TensorView) -> Read {
    if view.dtype() != Dtype::F32 {
        return Err(format!("holds {} values; only F32 can be read: convert it with .float()", view.dtype()));
    }
    let (words, _) = view.data().as_chunks::<4>();
    let data: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    match data.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(format!("holds {} at index {index}: the values are not finite", data[index])),
        None => Ok(Tensor { shape: view.shape().to_vec(), data }),
    }
}

/// What is wrong with a file that safetensors refuses, in words that help its owner.
fn explain(bytes: &[u8], error: &SafeTensorError) -> String {
    let truncated = "the file is cut short: its copying or writing did not finish; take the original or an older \
                     checkpoint";
    match error {
        _ if bytes.is_empty() => "the file is empty".into(),
        _ if bytes.starts_with(b"PK") => {
            "this is a PyTorch file: convert it to safetensors first (the documentation of run::checkpoint shows how)".into()
        }
        // A safetensors file starts with the length of a JSON object, which comes next.
        _ if bytes.get(8).is_some_and(|&byte| byte != b'{') => "this is not a safetensors file".into(),
        SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => truncated.into(),
        SafeTensorError::MetadataIncompleteBuffer => match data_end(bytes) {
            Some(end) if end < bytes.len() => format!("the file has {} bytes after its end", bytes.len() - end),
            _ => truncated.into(),
        },
        SafeTensorError::HeaderTooLarge => "this is not a safetensors file".into(),
        other => format!("the safetensors header is damaged: {other}"),
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

/// The header of a file with so many tensors.
fn parse_header(text: &str, tensors: usize, file: &str) -> Result<Header> {
    let damaged = |what: String| Error::Data(format!("{file}: the splitmix metadata is damaged: {what}"));
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    // The format first: the rest of a newer one need not be readable.
    let format = object.remove("format").and_then(|format| format.as_u64()).ok_or_else(|| damaged("no format".into()))?;
    if format > u64::from(FORMAT) {
        return Err(Error::Data(format!(
            "{file}: written by a newer splitmix (format {format}, this one reads up to {FORMAT}): update splitmix"
        )));
    }
    let header: Header = serde_json::from_value(serde_json::Value::Object(object)).map_err(|error| damaged(error.to_string()))?;
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
    if let Some(deck) = header.deck.as_ref().filter(|deck| deck.bases() != header.bases) {
        return Err(damaged(format!("the deck has {} bases, the ensemble {}", deck.bases(), header.bases)));
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
        let mut deck = Deck::new(2).unwrap();
        deck.deal(1, 0, 0, 1).unwrap();
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
                deck: Some(deck),
                mixed: None,
                config: TrainConfig::default().validate().unwrap(),
                data: None,
            },
            tensors,
        }
    }

    #[test]
    fn other_data_are_told_by_what_differs() {
        let then = Holdings {
            classes: vec!["0".into(), "1".into()],
            domains: vec![("a".into(), 9, 3), ("b".into(), 8, 2)],
            clients: 4,
            checksums: Some(Checksums { domains: vec![1, 2], clients: 3 }),
        };
        assert_eq!(then.difference(&then.clone()), None);
        let told = |change: fn(&mut Holdings)| {
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
        assert_eq!(then.difference(&Holdings { checksums: None, ..then.clone() }), None);
    }

    #[test]
    fn a_pixel_a_label_or_a_client_changes_the_checksums() {
        let dataset = crate::data::embedded().unwrap();
        let config = TrainConfig::default().validate().unwrap();
        let clients = crate::run::model::partition(&dataset, &config).unwrap().clients;
        let then = Holdings::new(&dataset, &clients);
        assert_eq!(then.difference(&Holdings::new(&dataset, &clients)), None);
        let told = |dataset: &Dataset, clients: &[Client]| then.difference(&Holdings::new(dataset, clients)).unwrap();
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
        let bits = [1, 0x8000_0000, 0x7f7f_ffff, 0x0080_0000, 0x3eaa_aaab, 0xbf80_0001];
        let data = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        checkpoint.tensors.insert("0.conv1.weight".into(), Tensor { shape: vec![6], data });
        let back = Checkpoint::from_bytes(&checkpoint.to_bytes().unwrap(), "x").unwrap();
        assert_eq!(back.tensors["0.conv1.weight"].data.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);
    }

    #[test]
    fn every_truncation_is_told() {
        let bytes = example(3).to_bytes().unwrap();
        refused(&[], &["empty"]);
        for length in 1..bytes.len() {
            refused(&bytes[..length], &["cut short"]);
        }
        let mut longer = bytes.clone();
        longer.extend([0; 5]);
        refused(&longer, &["5 bytes after its end"]);
    }

    #[test]
    fn other_files_are_told() {
        refused(b"# a text file, not a checkpoint", &["not a safetensors file"]);
        refused(b"PK\x03\x04 and so on", &["PyTorch", "convert"]);
        refused(&[0xff; 64], &["not a safetensors file"]);
        refused(&file(None, "0.conv1.weight", Dtype::F32, &[0; 4]), &["no splitmix metadata"]);
        // A header that is not JSON, and one whose offsets overlap.
        let mut text = 20u64.to_le_bytes().to_vec();
        text.extend(b"{\"a\": unquoted }    ");
        refused(&text, &["header is damaged"]);
        let json = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
        let mut overlap = (json.len() as u64).to_le_bytes().to_vec();
        overlap.extend(json);
        overlap.extend([0; 8]);
        refused(&overlap, &["damaged"]);
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

    #[test]
    fn newer_and_damaged_metadata() {
        let with = |metadata: &str| file(Some(metadata), "0.w", Dtype::F32, &[0; 4]);
        refused(
            &with(r#"{"format":9,"anything":[]}"#),
            &["written by a newer splitmix (format 9, this one reads up to 2): update splitmix"],
        );
        refused(&with("{}"), &["no format"]);
        refused(&with("[1]"), &["damaged"]);
        refused(&with(r#"{"format":1}"#), &["missing field"]);
        let header = |change: &dyn Fn(&mut Header)| {
            let mut header = example(1).header;
            change(&mut header);
            serde_json::to_string(&Versioned { format: 1, header: &header }).unwrap()
        };
        refused(&with(&header(&|header| header.bases = 1)), &["deck has 2 bases"]);
        refused(&with(&header(&|header| header.bases = 0)), &["no bases"]);
        for bases in [3, (1 << 32) + 2, 1 << 60] {
            refused(&with(&header(&|header| header.bases = bases)), &[&format!("it has {bases} bases, more than")]);
        }
        let one = |change: &dyn Fn(&mut Header)| {
            with(&header(&|header| {
                (header.bases, header.deck) = (1, None);
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
        let header = serde_json::to_string(&Versioned { format: 1, header: &example(1).header }).unwrap();
        let infinite = file(Some(&header), "0.w", Dtype::F32, &f32::INFINITY.to_le_bytes());
        refused(&infinite, &["tensor 0.w holds inf at index 0"]);
        refused(&file(Some(&header), "0.w", Dtype::F64, &[0; 8]), &["tensor 0.w holds F64"]);
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
        assert!(told(checkpoint).contains("no tensor 1.conv1.bias"));
        let mut checkpoint = example(1);
        checkpoint.tensors.get_mut("0.conv1.weight").unwrap().shape = vec![6];
        let message = told(checkpoint);
        assert!(message.contains("0.conv1.weight should have shape [2, 3, 1, 1] but has [6]"), "{message}");
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
    fn the_authors_names_are_imported_with_or_without_a_prefix() {
        let own = import(&example(1).to_bytes().unwrap(), "x", &wanted(), 2).unwrap();
        assert!(own.unused.is_empty());
        for prefix in ["", "server.", "module."] {
            let imported = import(&foreign(|name| format!("{prefix}{name}")), "x", &wanted(), 2).unwrap();
            assert_eq!(imported.bases, own.bases, "{prefix}");
            assert_eq!(imported.unused, ["0.bn1.num_batches_tracked"]);
        }
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
        assert!(told(&[("bn1.num_batches_tracked".into(), vec![])]).contains("I64"));
        assert!(told(&[("fc9.weight".into(), vec![])]).contains("no tensor 0.fc9.weight"));
    }
}
