//! The configuration of a training run: one list of options, shared by the TOML file, the command line and the
//! checkpoint.

#[cfg(feature = "native")]
mod flags;

use crate::engine::{Augment, Optimizer};
use crate::error::one_of;
use crate::fl::algorithms::options::{MethodOption, OwnOptions};
use crate::fl::algorithms::registry::{self, MethodName, Settings};
use crate::fl::{
    Algorithm, Attack, Budgets, Composition, PartitionSettings, Ratio, RoundSettings, Schedule, Scheme, TestSplit, batches::SMALLEST_BATCH,
    partition::LARGEST_ALPHA,
};
use crate::net::{Architecture, Network, Norms};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Defines [`TrainConfig`] (every option with its value) and [`TrainOverrides`] (every option perhaps) from one
/// list, so that a file key, a flag, its help and its documentation cannot drift apart.
macro_rules! options {
    (
        required { $( $(#[doc = $doc:literal])+ [$heading:literal $(, $($arg:tt)+)?] $name:ident: $type:ident = $default:expr; )* }
        optional { $( $(#[doc = $opt_doc:literal])+ [$opt_heading:literal $(, $($opt_arg:tt)+)?] $opt_name:ident: $opt_type:ident; )* }
    ) => {
        /// Everything that decides a training run. Keys in files are the field names with dashes, the same as the
        /// command line's flags.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case", default)]
        pub struct TrainConfig {
            $( $(#[doc = $doc])+ pub $name: $type, )*
            $( $(#[doc = $opt_doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $opt_name: Option<$opt_type>, )*
            /// The methods' own options; they refuse keys that are not known.
            #[serde(flatten)]
            pub own: OwnOptions,
        }

        impl Default for TrainConfig {
            /// The default run: Split-Mix on the embedded data, small enough for a machine without a GPU. The paper's own
            /// setting is `presets/digits.toml`.
            fn default() -> TrainConfig {
                TrainConfig { $( $name: $default, )* $( $opt_name: None, )* own: OwnOptions::default() }
            }
        }

        /// Options given on the command line; each that is given replaces the file's value.
        #[derive(Clone, Debug, Default, PartialEq)]
        #[cfg_attr(feature = "native", derive(clap::Args))]
        pub struct TrainOverrides {
            $(
                $(#[doc = $doc])+
                #[cfg_attr(feature = "native", arg(long, help_heading = $heading $(, $($arg)+)?))]
                pub $name: Option<$type>,
            )*
            $(
                $(#[doc = $opt_doc])+
                #[cfg_attr(feature = "native", arg(long, help_heading = $opt_heading $(, $($opt_arg)+)?))]
                pub $opt_name: Option<$opt_type>,
            )*
            /// The methods' own options.
            #[cfg_attr(feature = "native", command(flatten))]
            pub own: OwnOptions,
        }

        impl TrainOverrides {
            /// Puts every option that is given into `config`.
            pub fn apply(self, config: &mut TrainConfig) {
                $( if let Some(value) = self.$name { config.$name = value; } )*
                $( if self.$opt_name.is_some() { config.$opt_name = self.$opt_name; } )*
                config.own.extend(self.own);
            }

            /// The names of the options that are given, as they are written, in their order.
            pub fn given(&self) -> Vec<String> {
                let given = [$( (stringify!($name), self.$name.is_some()), )* $( (stringify!($opt_name), self.$opt_name.is_some()), )*];
                let given = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.replace('_', "-"));
                given.chain(self.own.given().map(|(key, _)| key.to_string())).collect()
            }
        }

        /// The field names, in their order.
        const FIELDS: &[&str] = &[$( stringify!($name), )* $( stringify!($opt_name), )*];

        /// The fields with the names of their types, for messages.
        #[cfg(feature = "native")]
        pub(super) const KINDS: &[(&str, &str)] =
            &[$( (stringify!($name), stringify!($type)), )* $( (stringify!($opt_name), stringify!($opt_type)), )*];
    };
}

options! {
    required {
        /// Where images come from: `embedded` (the data inside the program), `directory` (see data-dir) or `csv` (see clients-file).
        ["Data"] data: DataSource = DataSource::Embedded;
        /// Domains to use, by name and in this order, separated by commas. Empty: all that the data has.
        ["Data"] domains: Names = List(Vec::new());
        /// Number clients starting at this domain (from 0). Budgets rise with the client's number, so the first
        /// domain has the smallest.
        ["Data"] domain_order: usize = 0;
        /// Clients of each domain, at least 1.
        ["Data"] clients_per_domain: usize = 4;
        /// Share of each domain's training images that is used, in (0, 1].
        ["Data"] percent: f64 = 1.0;
        /// Give each client test images of its training classes, with partition = classes: the same as test-partition = own.
        ["Data", num_args = 0..=1, default_missing_value = "true"] consistent_test_classes: bool = false;
        /// Fewest images of a client, validation images included, with partition = dirichlet or sizes (Flower's min_partition_size); with
        /// partition = classes and dirichlet, of a client's class.
        ["Data"] smallest_share: usize = 16;
        /// Share of each class's pictures that is for testing where a folder of pictures has no train/ and test/, in (0, 1).
        ["Data"] test_ratio: f64 = 0.2;
        /// Share of each client's images that is kept for validation, in [0, 1).
        ["Data"] validation_ratio: f64 = 0.2;

        /// Network: digits, preact-resnet18, alexnet, or a TOML file that describes one, as those in networks/. Images are
        /// resized to its input.
        ["Method"] network: NetworkChoice = NetworkChoice::Named("digits".into());
        /// Algorithm, by its name in [`registry::METHODS`].
        ["Method", help = registry::help()] method: MethodName = MethodName::default();
        /// Split-Mix: width of one base as a fraction of the full network, for example 1/8.
        ["Method"] base_width: Ratio = Ratio::EIGHTH;
        /// FedAvg: width of the network as a fraction of the full one.
        ["Method"] width: Ratio = Ratio::ONE;
        /// Largest width that each group of clients can train; not in FedAvg. 8-4-2-1 means 1/8, 1/4, 1/2 and 1; PdQ
        /// means Q/P; lnS_M is log-normal with shape S and scale M.
        ["Method"] budgets: Budgets = Budgets::default();
        /// Split-Mix: start with the fan-in of the full-width layers. Always off in other methods.
        ["Method", num_args = 0..=1, default_missing_value = "true"] rescale_init: bool = true;
        /// Split-Mix: divide layer outputs by the base width while training. Always off in FedAvg; always on in HeteroFL, by the
        /// corner's width.
        ["Method", num_args = 0..=1, default_missing_value = "true"] rescale_layer: bool = true;
        /// SHeteroFL: a client counts in averages once for every width that it trains, as in the authors' program.
        ["Method", num_args = 0..=1, default_missing_value = "true"] count_widths: bool = false;
        /// Batch-norm mode. `batch`: batch statistics in training and in evaluation. `tracked`: running statistics, averaged
        /// like weights, in evaluation. `post`: trained as batch; before a test every client re-estimates statistics.
        ["Method"] bn_mode: BnMode = BnMode::Batch;
        /// Every client keeps its batch norms, parameters and running statistics, to itself: the server does not average
        /// them.
        ["Method", num_args = 0..=1, default_missing_value = "true"] local_bn: bool = false;
        /// Share of attacked images in the training loss, in [0, 1]. 0: standard training; between 0 and 1: adversarial
        /// training with dual batch norms, mixed at test time (the lambda of eval); 1: attacked images only.
        ["Method"] lambda_train: f64 = 0.0;
        /// Attack of the adversarial training and of its validation: pgd-STEPS or fgsm in a ball of 8/255; -epsN: of N/255.
        ["Method"] train_attack: Attack = Attack::TRAINING;
        /// Multiply the logits of classes absent from the batch by 0 before the loss (for clients that have few
        /// classes).
        ["Method", num_args = 0..=1, default_missing_value = "true"] masked_loss: bool = false;

        /// Augmentation of training images: random crop after padding with this many zero pixels on every side.
        ["Training"] crop_padding: usize = 0;
        /// Augmentation: flip horizontally with probability 1/2.
        ["Training", num_args = 0..=1, default_missing_value = "true"] flip: bool = false;
        /// Augmentation: rotate by up to this many degrees, in [0, 180].
        ["Training"] rotation: f64 = 0.0;
        /// Federated rounds, at least 1.
        ["Training"] rounds: usize = 18;
        /// Passes over a client's images in a round, at least 1.
        ["Training"] local_epochs: usize = 1;
        /// Images in a training batch and in a validation batch, at least 3.
        ["Training"] batch_size: usize = 16;
        /// Images in a test batch, at least 3. With batch statistics it is part of the result.
        ["Training"] eval_batch_size: usize = 128;
        /// Initial learning rate, above 0.
        ["Training"] lr: f64 = 0.05;
        /// How the learning rate falls: none, cos, multi_step, multi_step50 or multi_step100.
        ["Training"] schedule: Schedule = Schedule::Cos;
        /// Optimiser of local training, fresh in every round: sgd, or adam with PyTorch's defaults.
        ["Training"] optimizer: OptimizerName = OptimizerName::Sgd;
        /// Momentum of SGD, in [0, 1).
        ["Training"] momentum: f64 = 0.9;
        /// Weight decay, at least 0, added to the gradient of every parameter.
        ["Training"] weight_decay: f64 = 5e-4;
        /// FedProx: weight of a term that holds a client's parameters near the server's, at least 0; 0: there is none.
        ["Training"] proximal: f64 = 0.0;
        /// Seed of every random choice, at most 2^63 − 1.
        ["Training"] seed: u64 = 1;

        /// Widths to validate, separated by commas. Empty: those of the budgets. The full width is always added.
        ["Run"] widths: Widths = List(Vec::new());
        /// Validate every N rounds, and after the last.
        ["Run"] validate_every: usize = 3;
        /// Write a checkpoint every N rounds, and after the last.
        ["Run"] checkpoint_every: usize = 1;
        /// Keep the run-time bounds checks in the shaders: slower, and safe with an untrusted driver.
        ["Run", num_args = 0..=1, default_missing_value = "true"] checked_shaders: bool = false;
        /// Folder of the run: configuration, metrics and checkpoints.
        ["Run"] out: PathBuf = PathBuf::from("runs/train");
    }
    optional {
        /// Folder with the data sets, for data = directory.
        ["Data"] data_dir: PathBuf;
        /// CSV file that names each client's pictures, for data = csv: columns client, image (relative to the file) and class; if
        /// wanted, split (train, validation, test) and domain.
        ["Data"] clients_file: PathBuf;
        /// Maximum training images per domain.
        ["Data"] train_per_domain: usize;
        /// How a domain's training images are dealt to its clients; iid when not given. `iid`: equal numbers, at random. `dirichlet`: label
        /// skew, each class by a Dirichlet law (alpha, smallest-share, self-balancing). `shards`: shards of the images sorted by class
        /// (shards-per-client). `classes`: images of a few classes per client (classes-per-client). `sizes`: different numbers of images by a
        /// Dirichlet law (alpha, smallest-share). With dirichlet and sizes every client takes the same number of steps: the mean, over
        /// full batches.
        ["Data"] partition: PartitionName;
        /// Concentration of the Dirichlet law with partition = dirichlet or sizes, above 0: 0.1 is strong skew, 100 nearly none.
        ["Data"] alpha: f64;
        /// A client that has its equal share of the images gets none of the classes after that, with partition = dirichlet; false
        /// when not given.
        ["Data", num_args = 0..=1, default_missing_value = "true"] self_balancing: bool;
        /// Shards of each client with partition = shards; 2 when not given.
        ["Data"] shards_per_client: usize;
        /// Classes of each client with partition = classes, drawn from a deck. Without partition it sets partition = classes.
        ["Data"] classes_per_client: usize;
        /// Without classes-per-client: the same as partition = sizes with this alpha. With it: the number of images of each client's
        /// class follows a Dirichlet law of this concentration.
        ["Data"] dirichlet: f64;
        /// Which test images a client has. `own`: as its training images are distributed over the classes (with sizes: as many as its
        /// share). `global`: every client the same share of each class. `redrawn`: of classes drawn anew, with partition = classes only. When
        /// not given: equal numbers at random with iid, redrawn with classes, own with the others.
        ["Data"] test_partition: TestPartition;
        /// Make each domain's training images long-tailed: class c of C keeps n·F^(−c/(C−1)) of the largest class's n images, at least 1; F
        /// is the size of the first class over that of the last. Test images stay.
        ["Data"] imbalance_factor: f64;
        /// Clients drawn for each round; all when not given.
        ["Training"] clients_per_round: usize;
        /// Written by `train --resume --rounds N`, each time that N is larger: how many rounds were trained of how many, as 18/18. The cosine
        /// of those rounds spreads over the number of rounds of then.
        ["Training"] rounds_before: Stages;
        /// Start a new run from the bases of this checkpoint (or of the best round of this run's folder) instead of fresh ones. Network,
        /// method and base-width must be the same; data, seed and all else may differ.
        ["Run"] init: PathBuf;
        /// CRC-32 of the file of init, 8 hexadecimal digits: written by `train`, which then takes no other file.
        ["Run"] init_checksum: String;
        /// Adapter to run on: a part of its name; the fastest when not given.
        ["Run"] adapter: String;
        /// GPU memory to use at most, for example 2GiB or 500MB; 4GiB when not given.
        ["Run"] memory_limit: ByteSize;
        /// Lanes trained at once at most; as many as memory allows when not given. It does not change the result.
        ["Run"] wave_lanes: usize;
    }
}

/// Most rounds of a run.
const MOST_ROUNDS: usize = 1_000_000;

/// Most images of a batch.
const LARGEST_BATCH: usize = 65_536;

/// Options that cannot change what is learnt, and may differ when a run is resumed. The test comes after the last round.
const FREE_ON_RESUME: &[&str] =
    &["out", "data-dir", "clients-file", "adapter", "memory-limit", "wave-lanes", "checked-shaders", "checkpoint-every", "eval-batch-size"];

/// Options that say how images are dealt to clients: without effect where a file names each client's images.
pub const DEALING: [&str; 14] = [
    "domain-order",
    "clients-per-domain",
    "percent",
    "consistent-test-classes",
    "smallest-share",
    "train-per-domain",
    "partition",
    "alpha",
    "self-balancing",
    "shards-per-client",
    "classes-per-client",
    "dirichlet",
    "test-partition",
    "imbalance-factor",
];

/// The two of them that a configuration with a file of clients may have, with a warning.
const DEALT_BY_FILE: [&str; 2] = ["clients-per-domain", "smallest-share"];

/// Options that runs may differ in that are trained together: their lanes go through the same dispatches.
const FREE_TOGETHER: &[&str] = &["seed", "out", "clients-per-round"];

/// A list that is an array in files and a comma-separated text on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct List<T>(pub Vec<T>);

/// A list of names.
pub type Names = List<String>;
/// A list of widths.
pub type Widths = List<Ratio>;
/// Earlier numbers of rounds of a run.
pub type Stages = List<Stage>;

/// How far a run had come when its number of rounds was raised; text in files and on the command line, as 18/30.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Stage {
    /// Rounds trained until then, at least 1.
    pub trained: usize,
    /// Number of rounds that the run was to have until then.
    pub planned: usize,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.trained, self.planned)
    }
}

impl FromStr for Stage {
    type Err = Error;
    /// # Errors
    /// [`Error::Config`] for anything but two numbers, the first from 1 to the second.
    fn from_str(text: &str) -> Result<Stage> {
        let numbers = text.split_once('/').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
        match numbers {
            Some((trained, planned)) if 0 < trained && trained <= planned => Ok(Stage { trained, planned }),
            _ => Err(Error::Config(format!("\"{text}\" is not a number of trained and of planned rounds: write it as 18/30"))),
        }
    }
}

impl TryFrom<String> for Stage {
    type Error = Error;
    fn try_from(text: String) -> Result<Stage> {
        text.parse()
    }
}

impl From<Stage> for String {
    fn from(stage: Stage) -> String {
        stage.to_string()
    }
}

impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(T::to_string).collect::<Vec<_>>().join(","))
    }
}

impl<T: FromStr> FromStr for List<T> {
    type Err = T::Err;
    fn from_str(text: &str) -> std::result::Result<List<T>, T::Err> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Ok(List(parts.map(str::parse).collect::<std::result::Result<_, _>>()?))
    }
}

/// An enumeration of names: text in files and on the command line, with an error that lists the names.
macro_rules! names {
    ($(#[$meta:meta])* $name:ident, $what:literal { $( $(#[$variant_meta:meta])* $variant:ident = $text:literal, )+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum $name { $( $(#[$variant_meta])* $variant, )+ }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $( $name::$variant => $text, )+ })
            }
        }

        impl FromStr for $name {
            type Err = Error;
            /// In any letter case.
            ///
            /// # Errors
            /// [`Error::Config`] listing the names.
            fn from_str(text: &str) -> Result<$name> {
                match text.to_ascii_lowercase().as_str() {
                    $( $text => Ok($name::$variant), )+
                    _ => Err(Error::Config(format!("\"{text}\" is not {}: choose {}", $what, one_of(&[$( $text ),+])))),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<$name> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.to_string()
            }
        }
    };
}

names! {
    /// Where the images come from.
    DataSource, "a source of data" {
        /// Inside the program.
        Embedded = "embedded",
        /// A folder of data sets.
        Directory = "directory",
        /// A file that names each client's images.
        Csv = "csv",
    }
}

names! {
    /// How a domain's training images are dealt.
    PartitionName, "a partition" {
        /// Equal numbers, at random.
        Iid = "iid",
        /// Label skew by a Dirichlet law.
        Dirichlet = "dirichlet",
        /// Shards of the images sorted by class.
        Shards = "shards",
        /// A few classes per client.
        Classes = "classes",
        /// Different numbers of images by a Dirichlet law.
        Sizes = "sizes",
    }
}

names! {
    /// Which test images a client has.
    TestPartition, "a test partition" {
        /// As its training images are distributed.
        Own = "own",
        /// Every client the same.
        Global = "global",
        /// Of classes drawn anew.
        Redrawn = "redrawn",
    }
}

names! {
    /// The optimisers.
    OptimizerName, "an optimiser" {
        /// Stochastic gradient descent with momentum.
        Sgd = "sgd",
        /// Adam.
        Adam = "adam",
    }
}

names! {
    /// The batch-norm modes.
    BnMode, "a batch-norm mode" {
        /// Batch statistics in training and in evaluation; no running statistics.
        Batch = "batch",
        /// Running statistics, of momentum 0.1 and unbiased variance, for evaluation.
        Tracked = "tracked",
        /// Trained as `batch`; statistics are re-estimated by every client before a test.
        Post = "post",
    }
}

/// The network that is trained: in files a name or a description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NetworkChoice {
    /// A built-in one; on the command line and in files also a TOML file, which takes the place of its name when it is read.
    Named(String),
    /// Any other.
    Described(Architecture),
}

impl NetworkChoice {
    /// The network at full width.
    ///
    /// # Errors
    /// [`Error::Config`] where there is none of that name.
    pub fn architecture(&self) -> Result<Architecture> {
        match self {
            NetworkChoice::Described(architecture) => Ok(architecture.clone()),
            NetworkChoice::Named(name) => Architecture::built_in(name).ok_or_else(|| {
                let names = Architecture::names().join(", ");
                Error::Config(format!(
                    "network = {name}: this network is not known: choose {names}, or a file NAME.toml that describes one"
                ))
            }),
        }
    }
}

impl FromStr for NetworkChoice {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> std::result::Result<NetworkChoice, Self::Err> {
        Ok(NetworkChoice::Named(text.into()))
    }
}

/// A number of bytes, written with a unit: B, kB, MB, GB (powers of 1000), KiB, MiB, GiB (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 7] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000), ("B", 1)];

impl FromStr for ByteSize {
    type Err = Error;
    /// # Errors
    /// [`Error::Config`] for anything but a number above 0 and one of the units (bytes without one).
    fn from_str(text: &str) -> Result<ByteSize> {
        let trimmed = text.trim();
        let unit = UNITS
            .iter()
            .find(|(unit, _)| trimmed.get(trimmed.len().saturating_sub(unit.len())..).is_some_and(|end| end.eq_ignore_ascii_case(unit)));
        let (digits, factor) = unit.map_or((trimmed, 1), |(unit, factor)| (&trimmed[..trimmed.len() - unit.len()], *factor));
        match digits.trim().parse::<f64>() {
            // Below 2^53 bytes every whole number is exact; no GPU has more.
            Ok(number) if number > 0.0 && number * factor as f64 >= 1.0 && number * (factor as f64) < 9e15 => {
                Ok(ByteSize((number * factor as f64) as u64))
            }
            _ => Err(Error::Config(format!("\"{text}\" is not an amount of memory: write it as 2GiB, 512MiB or 500MB"))),
        }
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS.into_iter().find(|(_, factor)| self.0.is_multiple_of(*factor)).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<ByteSize, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A value as it is written on the command line, for messages.
fn plain(value: Option<&serde_json::Value>) -> String {
    value.map_or(String::new(), |value| value.as_str().map_or(value.to_string(), String::from))
}

/// A number in few characters, for messages.
fn short(value: f64) -> String {
    let plain = value.to_string();
    if plain.len() <= 12 { plain } else { format!("{value:e}") }
}

impl TrainConfig {
    /// The keys of the file and the flags of the command line, in their order.
    pub fn keys() -> Vec<String> {
        FIELDS.iter().map(|field| field.replace('_', "-")).chain(MethodOption::all().map(|option| option.key().to_string())).collect()
    }

    /// Checks every option and every combination, and makes the configuration say what will be done: FedAvg has
    /// neither of Split-Mix's corrections, HeteroFL has that of the layers, and the full width is among the widths.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key, its value and its range.
    pub fn validate(mut self) -> Result<TrainConfig> {
        fn check(fine: bool, key: &str, value: impl fmt::Display, what: &str) -> Result<()> {
            if fine { Ok(()) } else { Err(Error::Config(format!("{key} = {value}: {what}"))) }
        }
        let at_least_one = [
            ("clients-per-domain", self.clients_per_domain),
            ("rounds", self.rounds),
            ("local-epochs", self.local_epochs),
            ("validate-every", self.validate_every),
            ("checkpoint-every", self.checkpoint_every),
            ("train-per-domain", self.train_per_domain.unwrap_or(1)),
            ("clients-per-round", self.clients_per_round.unwrap_or(1)),
            ("wave-lanes", self.wave_lanes.unwrap_or(1)),
        ];
        for (key, value) in at_least_one {
            check(value >= 1, key, value, "it must be at least 1")?;
        }
        check(self.rounds <= MOST_ROUNDS, "rounds", self.rounds, &format!("it must be at most {MOST_ROUNDS}"))?;
        for (key, value) in [("batch-size", self.batch_size), ("eval-batch-size", self.eval_batch_size)] {
            let what = "it must be at least 3, so that batch norm never has a batch of one image";
            check(value >= SMALLEST_BATCH, key, value, what)?;
            check(value <= LARGEST_BATCH, key, value, &format!("it must be at most {LARGEST_BATCH}"))?;
        }
        check(self.local_epochs <= 10_000, "local-epochs", self.local_epochs, "it must be at most 10000")?;
        check(self.percent > 0.0 && self.percent <= 1.0, "percent", short(self.percent), "it is a share in (0, 1]")?;
        check(self.test_ratio > 0.0 && self.test_ratio < 1.0, "test-ratio", short(self.test_ratio), "it is a share in (0, 1)")?;
        check((0.0..=180.0).contains(&self.rotation), "rotation", short(self.rotation), "it is a number of degrees in [0, 180]")?;
        let (ratio, key) = (self.validation_ratio, "validation-ratio");
        check((0.0..1.0).contains(&ratio), key, short(ratio), "it is a share in [0, 1)")?;
        // The shaders' numbers have 32 bits: a smaller rate would be 0 there.
        check((1e-30..=1e6).contains(&self.lr), "lr", short(self.lr), "it must be a number above 0, from 1e-30 to 1e6, for example 0.05")?;
        check((0.0..1.0).contains(&self.momentum), "momentum", short(self.momentum), "it must be in [0, 1)")?;
        for (key, value) in [("weight-decay", self.weight_decay), ("proximal", self.proximal)] {
            check((0.0..=1e6).contains(&value), key, short(value), "it must be a number of at least 0 and at most 1e6")?;
        }
        check(i64::try_from(self.seed).is_ok(), "seed", self.seed, "it must be at most 2^63 - 1")?;
        check(!self.out.as_os_str().is_empty(), "out", "\"\"", "name the folder of the run")?;
        check((0.0..=1.0).contains(&self.lambda_train), "lambda-train", short(self.lambda_train), "it is a share in [0, 1]")?;
        check(
            self.train_attack.restarts() == 1 && !self.train_attack.is_targeted(),
            "train-attack",
            self.train_attack,
            "training attacks are untargeted and have one start: leave -restarts and -targeted out",
        )?;
        check(self.train_attack.steps() <= 10_000, "train-attack", self.train_attack, "it takes at most 10000 steps")?;
        if self.bn_mode == BnMode::Post {
            let what = "statistics are re-estimated on clean images: adversarial training needs bn-mode = tracked or batch";
            check(self.lambda_train == 0.0, "lambda-train", self.lambda_train, &format!("bn-mode = post, and {what}"))?;
            let what = "with bn-mode = post every client already has its own statistics; choose tracked or batch";
            check(!self.local_bn, "local-bn", self.local_bn, what)?;
        }
        let domains = &self.domains.0;
        for (index, domain) in domains.iter().enumerate() {
            check(!domains[..index].contains(domain), "domains", domain, "this domain is named twice")?;
        }
        match (self.data, &self.data_dir) {
            (DataSource::Directory, None) => {
                return Err(Error::Config("data = directory: name the folder with data-dir".into()));
            }
            (DataSource::Embedded | DataSource::Csv, Some(folder)) => {
                let what = "it is read with data = directory only: set that, or leave data-dir out";
                check(false, "data-dir", folder.display(), what)?;
            }
            _ => {}
        }
        match (self.data, &self.clients_file) {
            (DataSource::Csv, None) => return Err(Error::Config("data = csv: name the file with clients-file".into())),
            (DataSource::Embedded | DataSource::Directory, Some(file)) => {
                check(false, "clients-file", file.display(), "it is read with data = csv only: set that, or leave clients-file out")?;
            }
            _ => {}
        }
        if self.data == DataSource::Csv {
            let (own, default) = (self.as_object()?, TrainConfig::default().as_object()?);
            // Runs of earlier versions may have these two; a warning names them.
            let refused = DEALING.into_iter().chain(["domains"]).filter(|key| !DEALT_BY_FILE.contains(key));
            for key in refused {
                if let Some(value) = own.get(key).filter(|value| default.get(key) != Some(value)) {
                    check(false, key, plain(Some(value)), "the clients file says who has which images: leave it out")?;
                }
            }
        }
        for (index, width) in self.widths.0.iter().enumerate() {
            check(!self.widths.0[..index].contains(width), "widths", width, "this width is there twice: leave one out")?;
        }
        self.test_split(self.scheme()?)?;
        let stages = self.stages();
        let rising = stages.windows(2).all(|pair| pair[0].trained < pair[1].trained && pair[0].planned < pair[1].planned);
        let fits = rising && stages.last().is_none_or(|last| last.trained < self.rounds);
        check(
            fits,
            "rounds-before",
            List(stages.to_vec()),
            "each must be of more rounds than the one before, and rounds of more than all",
        )?;
        if let Some(checksum) = &self.init_checksum {
            check(self.init.is_some(), "init-checksum", checksum, "it is the checksum of the file of init: name that, or leave it out")?;
        }
        let (factor, what) = (self.imbalance_factor.unwrap_or(1.0), "it is the size of the largest class over that of the smallest");
        let turned = if factor > 0.0 && factor < 1.0 { 1.0 / factor } else { 100.0 };
        check(
            (1.0..=1e9).contains(&factor),
            "imbalance-factor",
            short(factor),
            &format!("{what}, from 1 to 1e9: write {}", turned.round().min(1e9)),
        )?;

        let architecture = self.network.architecture()?;
        let channels = architecture.input[0];
        // A larger border would leave crops without a pixel of the image.
        let side = architecture.input[1].min(architecture.input[2]) as usize;
        let what = format!("the images have {side} pixels on their shorter side: it must be at most {}", side.saturating_sub(1));
        check(self.crop_padding < side, "crop-padding", self.crop_padding, &what)?;
        check(channels == 3, "network", &architecture.name, &format!("it reads {channels} channels, and the images have 3"))?;
        self.own.complete(self.method.options)?;
        (self.method.check)(&self.settings())?;
        self = self.settled();
        let (own, default) = (self.as_object()?, TrainConfig::default().as_object()?);
        for (key, what) in self.method.refuses.iter().filter(|(key, _)| own.get(*key) != default.get(*key)) {
            check(false, key, plain(own.get(*key)), what)?;
        }
        let what = "it is for shetero-fl, whose clients train several widths";
        check(!self.count_widths || self.method.concerns("count-widths"), "count-widths", self.count_widths, what)?;
        let algorithm = self.algorithm();
        let mut widths = match self.widths.0.as_slice() {
            [] => algorithm.widths()?,
            widths => widths.to_vec(),
        };
        widths.push(algorithm.full_width()?);
        widths.sort();
        widths.dedup();
        for &width in &widths {
            let fits = algorithm.model(width);
            fits.map_err(|error| Error::Config(format!("widths: {error}")))?;
        }
        // The narrowest network that is trained or tested has channels left.
        self.network_of(algorithm.base_width(), 2)?;
        if self.trains_corners() {
            widths.iter().try_for_each(|width| self.network_of(*width, 2).map(|_| ()))?;
        }
        self.widths = List(widths);
        Ok(self)
    }

    /// The same with the corrections that its method does not leave open: only Split-Mix starts anew with the fan-in of the full width,
    /// and layer outputs are divided by the width of corners.
    fn settled(mut self) -> TrainConfig {
        if !self.method.concerns("rescale-init") {
            self.rescale_init = false;
        }
        if !self.method.concerns("rescale-layer") {
            self.rescale_layer = self.trains_corners();
        }
        self
    }

    /// What the batch norms of the bases keep.
    pub fn norms(&self) -> Norms {
        Norms { dual: self.lambda_train > 0.0 && self.lambda_train < 1.0, tracked: self.bn_mode == BnMode::Tracked }
    }

    /// What is allowed, but seldom meant.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.bn_mode == BnMode::Tracked && self.rescale_layer {
            warnings.push(
                "bn-mode = tracked with rescale-layer: training sees layer outputs divided by the base width and evaluation does not, so \
                 the running statistics do not fit; switch rescale-layer off"
                    .into(),
            );
        }
        let network = self.network(2);
        if let Some(layer) = network.as_ref().ok().and_then(Network::rescaled_without_norm).filter(|_| self.rescale_layer) {
            warnings.push(format!(
                "rescale-layer: training divides the output of {layer} by the base width, evaluation does not, and no batch norm after it \
                 makes up for that; switch rescale-layer off (hetero-fl and shetero-fl need a batch norm there)"
            ));
        }
        let unused = "it has no effect";
        let default = TrainConfig::default();
        if self.lambda_train == 0.0 && self.train_attack != default.train_attack {
            warnings.push(format!("train-attack = {}: {unused} while lambda-train is 0", self.train_attack));
        }
        if self.optimizer == OptimizerName::Adam && self.momentum != default.momentum {
            warnings.push(format!("momentum = {}: {unused} with adam", self.momentum));
        }
        warnings.extend(self.unused_dealing());
        warnings.extend(self.unused_by_method());
        warnings
    }

    /// Options that the method does not read and that have other values than by default.
    pub fn unused_by_method(&self) -> Vec<String> {
        let default = TrainConfig { method: self.method, ..TrainConfig::default() }.settled();
        let (Ok(own), Ok(default)) = (self.as_object(), default.as_object()) else { return Vec::new() };
        let unused = own.iter().filter(|(key, value)| !self.method.concerns(key) && default.get(*key) != Some(value));
        unused
            .map(|(key, value)| format!("{key} = {} has no effect with {}: {}", plain(Some(value)), self.method, self.method.why_not(key)))
            .collect()
    }

    /// Options about the images and their clients that have no effect with the others.
    pub fn unused_dealing(&self) -> Vec<String> {
        let (default, csv) = (TrainConfig::default(), self.data == DataSource::Csv);
        let share = self.smallest_share;
        let mut unused = Vec::new();
        if csv && self.clients_per_domain != default.clients_per_domain {
            unused.push(("clients-per-domain", self.clients_per_domain, "the clients file says who has which images"));
        }
        if csv && share != default.smallest_share {
            unused.push(("smallest-share", share, "the clients file says who has which images"));
        } else if share != default.smallest_share && !self.equal_steps() {
            unused.push(("smallest-share", share, "it is for partition = dirichlet or sizes, and for classes with dirichlet"));
        }
        let mut unused: Vec<String> = unused.into_iter().map(|(key, own, why)| format!("{key} = {own} has no effect: {why}")).collect();
        if self.data == DataSource::Embedded && self.test_ratio != default.test_ratio {
            unused.push(format!("test-ratio = {} has no effect: the images inside the program have a test split", self.test_ratio));
        }
        if self.consistent_test_classes && !matches!(self.scheme(), Ok(Scheme::Classes { .. })) {
            unused.push("consistent-test-classes has no effect without partition = classes; test-partition = own is for all".into());
        }
        unused
    }

    /// Random changes to training images, if there are any.
    pub fn augment(&self) -> Option<Augment> {
        let augment =
            Augment { padding: self.crop_padding as u32, flip: self.flip, rotation: self.rotation as f32, seed: self.seed as u32 };
        (augment.padding > 0 || augment.flip || augment.rotation > 0.0).then_some(augment)
    }

    /// The optimiser of local training.
    pub fn optimizer(&self) -> Optimizer {
        match self.optimizer {
            OptimizerName::Sgd => Optimizer::Sgd { momentum: self.momentum as f32 },
            OptimizerName::Adam => Optimizer::Adam,
        }
    }

    /// Where batch norm's parameters and statistics go, for people.
    pub fn norm_rule(&self) -> String {
        let what = match (self.norms().dual, self.bn_mode) {
            (false, BnMode::Tracked) => "γ, β and running statistics",
            (true, BnMode::Tracked) => "γ, β and running statistics of the clean and of the adversarial one",
            (true, _) => "γ and β of the clean and of the adversarial one",
            (false, _) => "γ and β",
        };
        let where_to = if self.local_bn { "stay with each client and are not averaged" } else { "are averaged like weights" };
        let post = if self.bn_mode == BnMode::Post { "; statistics re-estimated by every client before a test" } else { "" };
        format!("batch norm {} ({what} {where_to}{post})", self.bn_mode)
    }

    /// The algorithm with its options.
    pub fn algorithm(&self) -> Arc<dyn Algorithm> {
        (self.method.build)(&self.settings())
    }

    fn settings(&self) -> Settings<'_> {
        let TrainConfig { budgets, base_width, width, count_widths, own, .. } = self;
        Settings { budgets, base_width: *base_width, width: *width, count_widths: *count_widths, own }
    }

    /// Whether clients train corners of one network.
    pub fn trains_corners(&self) -> bool {
        let algorithm = self.algorithm();
        algorithm.full_width().and_then(|width| algorithm.model(width)).is_ok_and(|model| model == Composition::Corner)
    }

    /// The network of the server's bases, with what their batch norms keep.
    ///
    /// # Errors
    /// [`Error::Config`] where there is none of that name, or it has no channels left.
    pub fn network(&self, classes: usize) -> Result<Network> {
        Ok(self.network_of(self.algorithm().base_width(), classes)?.with_norms(self.norms()))
    }

    /// The network of one base of that width, or of one corner, with single batch norms.
    ///
    /// # Errors
    /// As [`TrainConfig::network`].
    pub fn network_of(&self, width: Ratio, classes: usize) -> Result<Network> {
        let architecture = self.network.architecture()?;
        let (numerator, denominator, classes) = (width.numerator(), width.denominator(), classes as u32);
        match self.algorithm().model(width) {
            Ok(Composition::Corner) => architecture.corner(numerator, denominator, classes),
            _ => architecture.base(numerator, denominator, classes),
        }
    }

    /// How the training images of a domain are dealt. Without `partition`, the options that belong to one of the schemes choose it.
    ///
    /// # Errors
    /// [`Error::Config`] for an option that does not belong to the scheme, is missing, or is outside its range.
    pub fn scheme(&self) -> Result<Scheme> {
        let name = self.partition.unwrap_or(match (self.classes_per_client, self.shards_per_client, self.dirichlet) {
            (Some(_), _, _) => PartitionName::Classes,
            (None, Some(_), _) => PartitionName::Shards,
            (None, None, Some(_)) => PartitionName::Sizes,
            (None, None, None) => PartitionName::Iid,
        });
        // An option, whether it is given, the partitions that it belongs to, and a hint.
        let alpha = "partition = dirichlet (by label) or sizes (numbers of images)";
        let dirichlet = match name {
            PartitionName::Dirichlet => "it sets the clients' numbers of images; for label skew write alpha instead",
            _ => "it belongs to partition = sizes or classes; leave one of the two out",
        };
        let belongs = [
            ("alpha", self.alpha.map(|a| a.to_string()), matches!(name, PartitionName::Dirichlet | PartitionName::Sizes), alpha),
            ("dirichlet", self.dirichlet.map(|a| a.to_string()), matches!(name, PartitionName::Sizes | PartitionName::Classes), dirichlet),
            ("self-balancing", self.self_balancing.map(|b| b.to_string()), name == PartitionName::Dirichlet, "partition = dirichlet"),
            ("shards-per-client", self.shards_per_client.map(|n| n.to_string()), name == PartitionName::Shards, "partition = shards"),
            ("classes-per-client", self.classes_per_client.map(|n| n.to_string()), name == PartitionName::Classes, "partition = classes"),
        ];
        for (key, value, fits, hint) in belongs {
            let Some(value) = value.filter(|_| !fits) else { continue };
            let what = match (key, self.partition) {
                ("dirichlet", Some(given)) => format!("the run has partition = {given}, and {hint}"),
                (_, Some(given)) => format!("it belongs to {hint}, but the run has partition = {given}: leave one of the two out"),
                ("alpha", None) => format!("it belongs to {alpha}: add one of these"),
                (_, None) => format!("it belongs to {hint}, but other options say partition = {name}: leave one of the two out"),
            };
            return Err(Error::Config(format!("{key} = {value}: {what}")));
        }
        let concentration = |key: &str, alpha: f64| match alpha > 0.0 && alpha <= LARGEST_ALPHA {
            true => Ok(alpha),
            false => {
                let value = short(alpha);
                Err(Error::Config(format!("{key} = {value}: it must be a number above 0 and at most {LARGEST_ALPHA:e}, for example 0.5")))
            }
        };
        let missing =
            |key: &str, example: &str| Error::Config(format!("partition = {name}: it needs {key}, for example {key} = {example}"));
        Ok(match name {
            PartitionName::Iid => Scheme::Iid,
            PartitionName::Dirichlet => {
                let alpha = concentration("alpha", self.alpha.ok_or_else(|| missing("alpha", "0.5"))?)?;
                Scheme::Dirichlet { alpha, self_balancing: self.self_balancing.unwrap_or(false) }
            }
            PartitionName::Shards => match self.shards_per_client.unwrap_or(2) {
                0 => return Err(Error::Config("shards-per-client = 0: it must be at least 1".into())),
                per_client => Scheme::Shards { per_client },
            },
            PartitionName::Classes => {
                let per_client = self.classes_per_client.ok_or_else(|| missing("classes-per-client", "3"))?;
                Scheme::Classes { per_client, sizes: self.dirichlet.map(|alpha| concentration("dirichlet", alpha)).transpose()? }
            }
            PartitionName::Sizes => match (self.alpha, self.dirichlet) {
                (Some(alpha), Some(dirichlet)) if alpha != dirichlet => {
                    return Err(Error::Config(format!(
                        "alpha = {alpha}: dirichlet = {dirichlet} means the same: leave one of the two out"
                    )));
                }
                (Some(alpha), _) => Scheme::Sizes { alpha: concentration("alpha", alpha)? },
                (None, Some(alpha)) => Scheme::Sizes { alpha: concentration("dirichlet", alpha)? },
                (None, None) => return Err(missing("alpha", "1")),
            },
        })
    }

    fn test_split(&self, scheme: Scheme) -> Result<TestSplit> {
        let classes = matches!(scheme, Scheme::Classes { .. });
        match (self.test_partition, self.consistent_test_classes) {
            (Some(TestPartition::Redrawn), _) if !classes => {
                Err(Error::Config("test-partition = redrawn: classes are drawn with partition = classes only: choose own or global".into()))
            }
            (Some(other @ (TestPartition::Global | TestPartition::Redrawn)), true) => Err(Error::Config(format!(
                "consistent-test-classes = true: it means test-partition = own, but the run has test-partition = {other}: leave one of the \
                 two out"
            ))),
            (Some(TestPartition::Own), _) => Ok(TestSplit::Own),
            (Some(TestPartition::Global), _) => Ok(TestSplit::Global),
            (Some(TestPartition::Redrawn), _) => Ok(TestSplit::Redrawn),
            (None, false) if classes => Ok(TestSplit::Redrawn),
            (None, _) if scheme == Scheme::Iid => Ok(TestSplit::Even),
            (None, _) => Ok(TestSplit::Own),
        }
    }

    /// How training and test images are dealt, in words.
    pub fn partition_rule(&self) -> String {
        if self.data == DataSource::Csv {
            return "as the clients file says".into();
        }
        let Ok((scheme, tests)) = self.scheme().and_then(|scheme| Ok((scheme, self.test_split(scheme)?))) else {
            return "none".into();
        };
        let least = self.smallest_share;
        let how = match scheme {
            Scheme::Iid => "iid (equal numbers of images per client, at random)".to_string(),
            Scheme::Dirichlet { alpha, self_balancing } => {
                let balancing = if self_balancing { ", self-balancing" } else { "" };
                format!("dirichlet (label skew, alpha {alpha}{balancing}, at least {least} images per client)")
            }
            Scheme::Shards { per_client } => format!("shards ({per_client} per client, of the images sorted by class)"),
            Scheme::Classes { per_client, sizes: None } => format!("classes ({per_client} per client)"),
            Scheme::Classes { per_client, sizes: Some(alpha) } => {
                format!("classes ({per_client} per client, sizes by a Dirichlet law of {alpha}, at least {least} images per class)")
            }
            Scheme::Sizes { alpha } => format!("sizes (by a Dirichlet law, alpha {alpha}, at least {least} images per client)"),
        };
        let tail =
            self.imbalance_factor.map_or(String::new(), |factor| format!("; long-tailed training images, imbalance factor {factor}"));
        let test = match (tests, scheme) {
            (TestSplit::Even, _) => "equal numbers per client, at random",
            (TestSplit::Global, _) => "global: every client has the same share of each class",
            (TestSplit::Redrawn, _) => "redrawn: of classes drawn independently of the training classes",
            (TestSplit::Own, Scheme::Sizes { .. }) => "own: by the client's share of the training images",
            (TestSplit::Own, Scheme::Classes { .. }) => "own: of the client's training classes",
            (TestSplit::Own, _) => "own: by the client's own label distribution",
        };
        format!("{how}{tail}; test images {test}")
    }

    /// Whether every client takes the same number of steps in a round, because their numbers of images differ by design: see
    /// [`Scheme::sizes_differ`].
    pub fn equal_steps(&self) -> bool {
        self.scheme().is_ok_and(Scheme::sizes_differ)
    }

    /// How the images are dealt to the clients.
    ///
    /// # Errors
    /// As [`TrainConfig::scheme`].
    pub fn partition_settings(&self) -> Result<PartitionSettings> {
        let scheme = self.scheme()?;
        Ok(PartitionSettings {
            seed: self.seed,
            clients_per_domain: self.clients_per_domain,
            train_per_domain: self.train_per_domain,
            percent: self.percent,
            validation_ratio: self.validation_ratio,
            domain_order: self.domain_order,
            scheme,
            tests: self.test_split(scheme)?,
            imbalance_factor: self.imbalance_factor,
            smallest_share: self.smallest_share,
            batch_size: self.batch_size,
        })
    }

    /// What the plan of (0-based) round `round` depends on.
    pub fn round_settings(&self, round: usize) -> RoundSettings {
        RoundSettings {
            seed: self.seed,
            rounds: self.rounds_planned(round),
            clients_per_round: self.clients_per_round,
            lr: self.lr,
            schedule: self.schedule,
        }
    }

    fn stages(&self) -> &[Stage] {
        self.rounds_before.as_ref().map_or(&[], |stages| &stages.0)
    }

    /// The number of rounds that the learning-rate schedule of (0-based) round `round` spreads over: that of the run when the round
    /// was trained.
    pub fn rounds_planned(&self, round: usize) -> usize {
        self.stages().iter().find(|stage| round < stage.trained).map_or(self.rounds, |stage| stage.planned)
    }

    /// The configuration with which a run of this one, `done` rounds of which are trained, continues to `rounds` rounds in all. The rates of
    /// the rounds already trained stay what they were; from the next round on a cosine spreads over the new number.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer rounds than are trained, or for fewer than planned under a cosine schedule.
    pub fn continued(mut self, rounds: usize, done: usize) -> Result<TrainConfig> {
        if rounds < done {
            return Err(Error::Config(format!(
                "rounds = {rounds}: the run has {done} rounds already: write more than {done} to train on, or leave rounds out"
            )));
        }
        if self.schedule == Schedule::Cos && done > 0 && rounds != self.rounds {
            if rounds < self.rounds {
                return Err(Error::Config(format!(
                    "rounds = {rounds}: the learning rates of the {done} rounds already trained follow a cosine over {} rounds, which can be \
                     raised but not lowered: write more than {}, or leave rounds out",
                    self.rounds, self.rounds
                )));
            }
            let stages = &mut self.rounds_before.get_or_insert_with(|| List(Vec::new())).0;
            // Of a number that was raised before a round was trained with it, nothing is left.
            if stages.last().is_none_or(|last| last.trained < done) {
                stages.push(Stage { trained: done, planned: self.rounds });
            }
        }
        self.rounds = rounds;
        Ok(self)
    }

    /// Whether a run of `saved` was continued to this configuration by [`TrainConfig::continued`], as far as the rounds go.
    fn continues(&self, saved: &TrainConfig) -> bool {
        let (now, then) = (self.stages(), saved.stages());
        match now.split_last() {
            Some((last, before)) => self.rounds > saved.rounds && before == then && last.planned == saved.rounds,
            None => false,
        }
    }

    /// Whether (0-based) round `round` is followed by a validation: by interval, and after the last, also that of before more rounds were
    /// added.
    pub fn validates_after(&self, round: usize) -> bool {
        let last = |stage: &Stage| stage.trained == stage.planned && round + 1 == stage.trained;
        (round + 1).is_multiple_of(self.validate_every) || round + 1 == self.rounds || self.stages().iter().any(last)
    }

    /// Whether (0-based) round `round` is followed by a checkpoint.
    pub fn saves_after(&self, round: usize) -> bool {
        (round + 1).is_multiple_of(self.checkpoint_every) || round + 1 == self.rounds
    }

    /// Checks that a run started with `saved` can continue with this configuration to the same result: only options
    /// that do not touch what is learnt may differ, and the number of rounds: freely where the learning rate does not depend on it, else as
    /// [`TrainConfig::continued`] changes it (the last round of before was validated, and stays so). Both are to be validated
    /// configurations.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first option that differs, with both values.
    pub fn check_resume(&self, saved: &TrainConfig) -> Result<()> {
        let (now, then) = (self.as_object()?, saved.as_object()?);
        let shown = |value: Option<&serde_json::Value>| match value {
            // A described network is long.
            Some(serde_json::Value::Object(network)) => network.get("name").map_or("another".into(), |name| format!("{name} of a file")),
            Some(value) => value.to_string(),
            None => "no value".to_string(),
        };
        for key in TrainConfig::keys() {
            let free = match key.as_str() {
                "rounds" => self.schedule != Schedule::Cos || self.continues(saved),
                "rounds-before" => self.continues(saved),
                key => FREE_ON_RESUME.contains(&key) || MethodOption::of(key).is_some() && !self.method.concerns(key),
            };
            if !free && now.get(&key) != then.get(&key) {
                let (own, before) = (shown(now.get(&key)), shown(then.get(&key)));
                // Other rounds than a resume asks for are those of an edited file.
                let what = match key.as_str() {
                    "rounds" if self.rounds > saved.rounds => {
                        format!("set it back to {before}; to train on, resume with --rounds {own}")
                    }
                    "rounds" => format!("set it back to {before}"),
                    key => format!(
                        "set it back or resume without {key}, or start another run in another folder; only rounds (raised), {} may change",
                        FREE_ON_RESUME[1..].join(", ")
                    ),
                };
                return Err(Error::Config(format!("{key} is {own} but the run was started with {before}: {what}")));
            }
        }
        Ok(())
    }

    /// The same with the checksum of the file that the run of `saved` began with, where it is to begin with that and says no checksum.
    pub fn with_checksum_of(mut self, saved: &TrainConfig) -> TrainConfig {
        if self.init_checksum.is_none() && self.init == saved.init {
            self.init_checksum.clone_from(&saved.init_checksum);
        }
        self
    }

    /// Whether a run with this configuration and one with the other can be trained together. Attacks and augmentation draw by one seed a
    /// program and clients' own batch norms are one table a program, so a run with these is trained alone.
    ///
    /// # Errors
    /// [`Error::Config`] where a configuration cannot be written.
    pub fn trains_together(&self, other: &TrainConfig) -> Result<bool> {
        let (own, others) = (self.as_object()?, other.as_object()?);
        let free = |key: &str| FREE_TOGETHER.contains(&key) || MethodOption::of(key).is_some() && !self.method.concerns(key);
        let same = TrainConfig::keys().iter().all(|key| free(key) || own.get(key) == others.get(key));
        Ok(same && self.lambda_train == 0.0 && self.augment().is_none() && !self.local_bn)
    }

    fn as_object(&self) -> Result<serde_json::Map<String, serde_json::Value>> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(object)) => Ok(object),
            _ => Err(Error::Config("the configuration cannot be written as JSON".into())),
        }
    }
}

#[cfg(feature = "native")]
mod file {
    use super::super::written::{expanded, explained, read_options, read_text};
    use super::*;
    use std::path::Path;

    impl NetworkChoice {
        /// Reads the TOML file that is named; anything else is as it was.
        ///
        /// # Errors
        /// [`Error::Io`] where it cannot be read; [`Error::Config`] naming the file and what in it describes no network.
        pub fn read(self) -> Result<NetworkChoice> {
            match self {
                NetworkChoice::Named(path) if Path::new(&path).extension().is_some_and(|e| e == "toml") => {
                    let file = expanded(path.into()).map_err(|e| Error::Config(format!("network = {e}")))?;
                    let text = read_text(&file, "cannot read the network")?;
                    let described = Architecture::from_toml(&text).map_err(|e| {
                        let message = e.to_string();
                        let between = if message.starts_with("line ") { ", " } else { ": " };
                        Error::Config(format!("{}{between}{message}", file.display()))
                    })?;
                    Ok(NetworkChoice::Described(described))
                }
                other => Ok(other),
            }
        }
    }

    impl TrainConfig {
        /// Reads the TOML text of a configuration file; keys that are not in it have their defaults. `file` is its
        /// name in errors. The values are not validated yet, as flags may still replace some.
        ///
        /// # Errors
        /// [`Error::Config`] naming the file, the line and the key; an unknown key comes with the nearest known one.
        pub fn from_toml(text: &str, file: &Path) -> Result<TrainConfig> {
            toml::from_str(text).map_err(|error| {
                let (line, message) = explained(text, &error);
                Error::Config(format!("{}, line {line}: {message}", file.display()))
            })
        }

        /// The same of options that are read already, as those of a sweep.
        ///
        /// # Errors
        /// [`Error::Config`] naming the key.
        pub fn from_table(options: &toml::Table) -> Result<TrainConfig> {
            let text = options.to_string();
            toml::from_str(&text).map_err(|error| Error::Config(explained(&text, &error).1))
        }

        /// Reads a configuration file, then lets the given flags win. Without a file the flags win over the defaults.
        /// The result is still to be validated.
        ///
        /// # Errors
        /// [`Error::Io`] when the file cannot be read; [`Error::Config`] for what it holds.
        pub fn load(file: Option<&Path>, flags: TrainOverrides) -> Result<TrainConfig> {
            let mut config = match file {
                None => TrainConfig::default(),
                Some(path) => TrainConfig::from_toml(&read_options(path, "cannot read the configuration")?, path)?,
            };
            flags.apply(&mut config);
            config.with_files()
        }

        /// The same with its network read where a file describes it, and with the user's home in the place of `~` in paths.
        ///
        /// # Errors
        /// As [`NetworkChoice::read`], and [`Error::Config`] for another user's home.
        pub fn with_files(mut self) -> Result<TrainConfig> {
            let place = |key: &str, path: PathBuf| match path.to_string_lossy().contains(['\n', '\t', '\r', '\u{8}', '\u{c}']) {
                // What TOML reads in "C:\new".
                true => Err(Error::Config(format!(
                    "{key} = {}: a path has no tab or line break: write backslashes twice, or the path in single quotes",
                    path.display()
                ))),
                false => expanded(path).map_err(|e| Error::Config(format!("{key} = {e}"))),
            };
            self.out = place("out", self.out)?;
            self.data_dir = self.data_dir.map(|path| place("data-dir", path)).transpose()?;
            self.clients_file = self.clients_file.map(|path| place("clients-file", path)).transpose()?;
            self.init = self.init.map(|path| place("init", path)).transpose()?;
            self.network = self.network.read()?;
            Ok(self)
        }

        /// The TOML text that [`TrainConfig::from_toml`] reads back to the same configuration.
        ///
        /// # Errors
        /// [`Error::Config`] when a path is not valid Unicode, which TOML cannot hold.
        pub fn to_toml(&self) -> Result<String> {
            let text = toml::to_string(self);
            text.map_err(|error| Error::Config(format!("the configuration cannot be written as TOML: {error}")))
        }
    }

    /// Adds each option's default to its help, for a command that flattens [`TrainOverrides`].
    pub fn show_defaults(command: clap::Command) -> clap::Command {
        let defaults = TrainConfig::default().as_object().unwrap_or_default();
        command.mut_args(|argument| {
            let key = argument.get_long().unwrap_or_default();
            let own = || Some(serde_json::Value::from(MethodOption::of(key)?.default().to_string()));
            let default = match defaults.get(key).cloned().or_else(own) {
                Some(serde_json::Value::String(text)) => text,
                // An empty list, and what that means, is in the option's own help.
                None | Some(serde_json::Value::Array(_)) => return argument,
                Some(value) => value.to_string(),
            };
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            argument.help(format!("{help} [default: {default}]"))
        })
    }
}

#[cfg(feature = "native")]
pub use file::show_defaults;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_configuration() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("sweep-") {
                continue; // A list of configurations, tested where it is read.
            }
            let flags = TrainOverrides::default();
            let mut config = TrainConfig::load(Some(&path), flags).unwrap_or_else(|e| panic!("{e}"));
            if config.data == DataSource::Directory {
                config.data_dir = Some("somewhere".into());
            }
            let config = config.validate().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(config.warnings(), Vec::<String>::new(), "{}", path.display());
            count += 1;
        }
        assert!(count >= 8, "{count} presets");
    }

    #[test]
    fn a_network_is_a_name_or_a_description() {
        let named = |name: &str| TrainConfig { network: NetworkChoice::Named(name.into()), ..TrainConfig::default() }.validate();
        assert_eq!(named("alexnet").unwrap().network.architecture().unwrap().input, [3, 256, 256]);
        let told = named("lenet").unwrap_err().to_string();
        assert!(told.contains("digits, preact-resnet18, alexnet") && told.contains(".toml"), "{told}");
        let grey = r#"network = { name = "grey", input = [1, 8, 8], layers = [
            { type = "conv2d", name = "a", out-channels = 8, kernel = 3 }, { type = "linear", name = "b" },
        ] }"#;
        let config = TrainConfig::from_toml(grey, std::path::Path::new("grey.toml")).unwrap();
        assert!(config.clone().validate().unwrap_err().to_string().contains("1 channels"));
        // A described network goes through the file and back.
        let described = Architecture::built_in("preact-resnet18").unwrap();
        let config = TrainConfig { network: NetworkChoice::Described(described), ..TrainConfig::default() };
        let text = config.to_toml().unwrap();
        assert_eq!(TrainConfig::from_toml(&text, std::path::Path::new("run.toml")).unwrap(), config);
    }

    fn valid(change: impl FnOnce(&mut TrainConfig)) -> Result<TrainConfig> {
        let mut config = TrainConfig::default();
        change(&mut config);
        config.validate()
    }

    fn refused(change: impl FnOnce(&mut TrainConfig), words: &[&str]) {
        let error = valid(change).unwrap_err();
        assert!(matches!(error, Error::Config(_)));
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message} lacks one of {words:?}");
    }

    #[test]
    fn the_default_is_valid_and_is_the_papers_method() {
        let config = valid(|_| {}).unwrap();
        assert_eq!(config.algorithm().bases().unwrap(), 8);
        let widths: Vec<String> = config.widths.0.iter().map(Ratio::to_string).collect();
        assert_eq!(widths, ["1/8", "1/4", "1/2", "1"]);
        assert_eq!(config.budgets, Budgets::default());
        assert_eq!(config.base_width.to_string(), "1/8");
        assert_eq!((config.lr, config.momentum, config.weight_decay), (0.05, 0.9, 5e-4));
        // Validating again changes nothing.
        assert_eq!(config.clone().validate().unwrap(), config);
    }

    #[test]
    fn values_out_of_range_name_their_key() {
        refused(|c| c.clients_per_domain = 0, &["clients-per-domain = 0"]);
        refused(|c| c.rounds = 0, &["rounds = 0"]);
        refused(|c| c.local_epochs = 0, &["local-epochs"]);
        refused(|c| c.validate_every = 0, &["validate-every"]);
        refused(|c| c.checkpoint_every = 0, &["checkpoint-every"]);
        refused(|c| c.train_per_domain = Some(0), &["train-per-domain"]);
        refused(|c| c.clients_per_round = Some(0), &["clients-per-round"]);
        refused(|c| c.wave_lanes = Some(0), &["wave-lanes"]);
        refused(|c| c.batch_size = 2, &["batch-size = 2", "at least 3"]);
        refused(|c| c.eval_batch_size = 0, &["eval-batch-size"]);
        for percent in [0.0, 1.1, f64::NAN] {
            refused(|c| c.percent = percent, &["percent", "(0, 1]"]);
        }
        refused(|c| c.validation_ratio = 1.0, &["validation-ratio"]);
        refused(|c| c.lr = 0.0, &["lr = 0"]);
        for lr in [f64::INFINITY, f64::NAN, 1e7, 1e-40] {
            refused(|c| c.lr = lr, &["lr = ", ": it must be a number above 0, from 1e-30 to 1e6"]);
        }
        refused(|c| c.proximal = 1e300, &["proximal = 1e300: it must be a number of at least 0 and at most 1e6"]);
        refused(
            |c| (c.partition, c.alpha) = (Some(PartitionName::Dirichlet), Some(1e300)),
            &["alpha = 1e300: it must be a number above 0"],
        );
        refused(|c| c.imbalance_factor = Some(1e30), &["imbalance-factor = 1e30: ", "from 1 to 1e9: write 100"]);
        refused(|c| c.rounds = 4_294_967_296, &["rounds = 4294967296: it must be at most 1000000"]);
        refused(|c| c.crop_padding = 28, &["crop-padding = 28: the images have 28 pixels on their shorter side: it must be at most 27"]);
        refused(|c| c.eval_batch_size = 4_294_967_299, &["eval-batch-size = 4294967299", "at most"]);
        refused(|c| c.local_epochs = usize::MAX, &["local-epochs", "at most"]);
        refused(|c| c.train_attack = Attack::pgd(u32::MAX, 8.0).unwrap(), &["train-attack", "at most"]);
        refused(|c| c.momentum = 1.0, &["momentum"]);
        refused(|c| c.weight_decay = -0.1, &["weight-decay = -0.1"]);
        refused(|c| c.seed = u64::MAX, &["seed"]);
        refused(|c| c.out = PathBuf::new(), &["out"]);
        refused(|c| c.domains = "a,b,a".parse().unwrap(), &["domains = a", "twice"]);
        refused(|c| c.data = DataSource::Directory, &["data-dir"]);
        refused(|c| c.data_dir = Some("x".into()), &["data-dir = x"]);
        refused(|c| c.base_width = "1/4".parse().unwrap(), &["base-width", "1/8"]);
        refused(|c| c.widths = "1/3".parse().unwrap(), &["widths", "1/3"]);
    }

    #[test]
    fn fedavg_has_no_corrections_and_one_width() {
        let config = valid(|c| {
            c.method = "fedavg".parse().unwrap();
            c.width = "1/2".parse().unwrap();
        });
        let config = config.unwrap();
        assert!(!config.rescale_init && !config.rescale_layer);
        assert_eq!(config.widths, "1/2".parse().unwrap());
    }

    #[test]
    fn options_without_effect_are_warned_of() {
        let warned = |change: fn(&mut TrainConfig), word: &str| {
            let warnings = valid(change).unwrap().warnings();
            assert!(warnings.len() == 1 && warnings[0].contains(word), "{warnings:?}");
        };
        warned(|c| c.train_attack = "pgd-20".parse().unwrap(), "train-attack = pgd-20");
        warned(|c| c.width = "1/8".parse().unwrap(), "width = 1/8 has no effect with split-mix: widths says which are tested");
        warned(|c| (c.optimizer, c.momentum) = (OptimizerName::Adam, 0.5), "momentum = 0.5: it has no effect with adam");
        warned(
            |c| (c.method, c.base_width) = ("fedavg".parse().unwrap(), "1/4".parse().unwrap()),
            "base-width = 1/4 has no effect with fedavg: it is for split-mix",
        );
        warned(|c| (c.method, c.budgets) = ("fedavg".parse().unwrap(), "8-2".parse().unwrap()), "budgets = 8-2 has no effect with fedavg");
        warned(|c| c.test_ratio = 0.3, "test-ratio = 0.3 has no effect: the images inside the program have a test split");
        warned(|c| c.smallest_share = 5, "smallest-share = 5 has no effect: it is for partition = dirichlet or sizes");
        let file = |c: &mut TrainConfig| (c.data, c.clients_file) = (DataSource::Csv, Some("c.csv".into()));
        for (change, word) in [
            ((|c| c.smallest_share = 5) as fn(&mut TrainConfig), "smallest-share = 5 has no effect: the clients file says who has"),
            (|c| c.clients_per_domain = 5, "clients-per-domain = 5 has no effect: the clients file says who has"),
        ] {
            let config = valid(|c| {
                file(c);
                change(c);
            });
            let warnings = config.unwrap().warnings();
            assert!(warnings.len() == 1 && warnings[0].contains(word), "{warnings:?}");
        }
        let text = r#"network = { name = "bare", input = [3, 8, 8], layers = [
            { type = "conv2d", name = "a", out-channels = 16, kernel = 3 }, { type = "batch-norm", name = "norm" },
            { type = "linear", name = "hidden", out-features = 16 }, { type = "relu" }, { type = "linear", name = "b" },
        ] }"#;
        let bare = TrainConfig::from_toml(text, std::path::Path::new("bare.toml")).unwrap().validate().unwrap();
        assert!(bare.warnings()[0].contains("hidden") && bare.warnings().len() == 1, "{:?}", bare.warnings());
        assert!(TrainConfig { rescale_layer: false, ..bare }.warnings().is_empty());
    }

    #[test]
    fn the_full_width_is_always_validated() {
        let config = valid(|c| c.widths = "1/8,3/8".parse().unwrap()).unwrap();
        assert_eq!(config.widths, "1/8,3/8,1".parse().unwrap());
    }

    #[test]
    fn adversarial_training_and_batch_norm_modes_fit_each_other() {
        let refused = |change: fn(&mut TrainConfig)| valid(change).unwrap_err().to_string();
        assert!(refused(|c| c.lambda_train = 1.5).contains("lambda-train = 1.5"));
        assert!(refused(|c| c.lambda_train = f64::NAN).contains("lambda-train = NaN"));
        assert!(refused(|c| c.train_attack = "pgd-7-restarts2".parse().unwrap()).contains("train-attack = pgd-7-restarts2"));
        assert!(refused(|c| (c.bn_mode, c.lambda_train) = (BnMode::Post, 0.5)).contains("bn-mode = post"));
        assert!(refused(|c| (c.bn_mode, c.local_bn) = (BnMode::Post, true)).contains("local-bn = true"));
        let norms = |lambda, mode| {
            let config = TrainConfig { lambda_train: lambda, bn_mode: mode, ..TrainConfig::default() }.validate().unwrap();
            (config.norms().dual, config.norms().tracked, config.warnings().len())
        };
        assert_eq!(norms(0.0, BnMode::Batch), (false, false, 0));
        assert_eq!(norms(0.5, BnMode::Batch), (true, false, 0));
        assert_eq!(norms(1.0, BnMode::Tracked), (false, true, 1), "tracked statistics with the layer correction are warned of");
        let rule = valid(|c| (c.bn_mode, c.local_bn, c.lambda_train) = (BnMode::Tracked, true, 0.5)).unwrap().norm_rule();
        assert!(rule.contains("running statistics") && rule.contains("adversarial") && rule.contains("not averaged"), "{rule}");
    }

    #[test]
    fn names_that_are_not_there() {
        let message = "running".parse::<BnMode>().unwrap_err().to_string();
        assert!(message.contains("\"running\"") && message.contains("choose batch"), "{message}");
        let message = "fedprox".parse::<MethodName>().unwrap_err().to_string();
        assert!(message.contains("is not a training method: choose split-mix, fedavg, hetero-fl, shetero-fl"), "{message}");
        for name in ["Split-Mix", "SPLIT-MIX"] {
            assert_eq!(name.parse::<MethodName>().unwrap(), MethodName::default());
        }
    }

    #[test]
    fn amounts_of_memory() {
        let cases = [
            ("2GiB", 2 << 30, "2GiB"),
            ("512MiB", 512 << 20, "512MiB"),
            ("1.5 GiB", 3 << 29, "1536MiB"),
            ("500MB", 500_000_000, "500MB"),
            ("64kb", 64_000, "64kB"),
            ("1000", 1000, "1kB"),
            ("7", 7, "7B"),
        ];
        for (text, bytes, shown) in cases {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown), "{text}");
            assert_eq!(shown.parse::<ByteSize>().unwrap(), size);
        }
        for text in ["", "GiB", "0", "-1GiB", "2 TiB", "1e30GB", "infB", "naNB", "0.1B", "é", "2é"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn it_goes_through_json() {
        let config = valid(|c| {
            c.lr = 0.1 + 0.2;
            c.memory_limit = Some(ByteSize(3));
            c.clients_per_round = Some(5);
        });
        let config = config.unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains("\"clients-per-domain\":4"));
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config);
    }

    #[test]
    fn validation_and_checkpoints_include_the_last_round() {
        let config = valid(|c| {
            c.rounds = 5;
            c.validate_every = 2;
            c.checkpoint_every = 10;
        });
        let config = config.unwrap();
        let rounds = |when: &dyn Fn(usize) -> bool| (0..5).filter(|&round| when(round)).collect::<Vec<_>>();
        assert_eq!(rounds(&|round| config.validates_after(round)), [1, 3, 4]);
        assert_eq!(rounds(&|round| config.saves_after(round)), [4]);
    }

    fn scheme(change: impl FnOnce(&mut TrainConfig)) -> Result<(Scheme, TestSplit)> {
        let settings = valid(change)?.partition_settings()?;
        Ok((settings.scheme, settings.tests))
    }

    #[test]
    fn options_choose_the_partition() {
        let of = |change: fn(&mut TrainConfig)| scheme(change).unwrap();
        assert_eq!(of(|_| {}), (Scheme::Iid, TestSplit::Even));
        let by_label = |self_balancing| Scheme::Dirichlet { alpha: 0.3, self_balancing };
        assert_eq!(of(|c| (c.partition, c.alpha) = (Some(PartitionName::Dirichlet), Some(0.3))), (by_label(false), TestSplit::Own));
        let balanced = of(|c| {
            (c.partition, c.alpha, c.self_balancing) = (Some(PartitionName::Dirichlet), Some(0.3), Some(true));
            c.test_partition = Some(TestPartition::Global);
        });
        assert_eq!(balanced, (by_label(true), TestSplit::Global));
        assert_eq!(of(|c| c.partition = Some(PartitionName::Shards)), (Scheme::Shards { per_client: 2 }, TestSplit::Own));
        assert_eq!(of(|c| c.shards_per_client = Some(5)).0, Scheme::Shards { per_client: 5 });
        // The options of before, alone and together, mean what they meant.
        assert_eq!(of(|c| c.dirichlet = Some(2.0)), (Scheme::Sizes { alpha: 2.0 }, TestSplit::Own));
        assert_eq!(
            of(|c| (c.partition, c.alpha) = (Some(PartitionName::Sizes), Some(2.0))),
            (Scheme::Sizes { alpha: 2.0 }, TestSplit::Own)
        );
        assert_eq!(of(|c| (c.partition, c.dirichlet) = (Some(PartitionName::Sizes), Some(2.0))).0, Scheme::Sizes { alpha: 2.0 });
        let classes = |sizes| Scheme::Classes { per_client: 3, sizes };
        assert_eq!(of(|c| c.classes_per_client = Some(3)), (classes(None), TestSplit::Redrawn));
        assert_eq!(of(|c| (c.classes_per_client, c.dirichlet) = (Some(3), Some(1.0))), (classes(Some(1.0)), TestSplit::Redrawn));
        assert_eq!(of(|c| (c.classes_per_client, c.consistent_test_classes) = (Some(3), true)), (classes(None), TestSplit::Own));
        assert_eq!(of(|c| (c.classes_per_client, c.test_partition) = (Some(3), Some(TestPartition::Own))), (classes(None), TestSplit::Own));
        for (change, equal) in [
            ((|c| c.dirichlet = Some(2.0)) as fn(&mut TrainConfig), true),
            (|c| (c.partition, c.alpha) = (Some(PartitionName::Dirichlet), Some(0.3)), true),
            (|c| c.classes_per_client = Some(3), false),
            (|c| c.shards_per_client = Some(3), false),
            (|_| {}, false),
        ] {
            assert_eq!(valid(change).unwrap().equal_steps(), equal);
        }
        // Files of a run without them are what they were.
        let text = serde_json::to_string(&valid(|_| {}).unwrap()).unwrap();
        for key in ["\"partition", "alpha", "balancing", "shards", "test-partition", "imbalance", "rounds-before", "init"] {
            assert!(!text.contains(key) || key == "init", "{key} in {text}");
        }
        assert!(!text.contains("\"init"));
    }

    #[test]
    fn options_of_another_partition_are_refused() {
        let message = |change: fn(&mut TrainConfig)| {
            let error = valid(change).unwrap_err();
            assert!(matches!(error, Error::Config(_)));
            error.to_string()
        };
        type Case = (fn(&mut TrainConfig), &'static str);
        let cases: [Case; 16] = [
            (
                |c| c.alpha = Some(0.5),
                "alpha = 0.5: it belongs to partition = dirichlet (by label) or sizes (numbers of images): add one of these",
            ),
            (
                |c| (c.partition, c.dirichlet) = (Some(PartitionName::Dirichlet), Some(0.5)),
                "dirichlet = 0.5: the run has partition = dirichlet, and it sets the clients' numbers of images; for label skew write alpha \
                 instead",
            ),
            (|c| c.partition = Some(PartitionName::Dirichlet), "partition = dirichlet: it needs alpha, for example alpha = 0.5"),
            (|c| c.partition = Some(PartitionName::Sizes), "partition = sizes: it needs alpha, for example alpha = 1"),
            (
                |c| c.partition = Some(PartitionName::Classes),
                "partition = classes: it needs classes-per-client, for example classes-per-client = 3",
            ),
            (
                |c| (c.partition, c.alpha) = (Some(PartitionName::Dirichlet), Some(0.0)),
                "alpha = 0: it must be a number above 0 and at most 1e9, for example 0.5",
            ),
            (
                |c| (c.partition, c.alpha) = (Some(PartitionName::Sizes), Some(f64::NAN)),
                "alpha = NaN: it must be a number above 0 and at most 1e9, for example 0.5",
            ),
            (|c| c.dirichlet = Some(-1.0), "dirichlet = -1: it must be a number above 0 and at most 1e9, for example 0.5"),
            (
                |c| (c.partition, c.alpha, c.dirichlet) = (Some(PartitionName::Sizes), Some(1.0), Some(2.0)),
                "alpha = 1: dirichlet = 2 means the same: leave one of the two out",
            ),
            (|c| c.shards_per_client = Some(0), "shards-per-client = 0: it must be at least 1"),
            (
                |c| (c.shards_per_client, c.classes_per_client) = (Some(2), Some(3)),
                "shards-per-client = 2: it belongs to partition = shards, but other options say partition = classes: leave one of the two out",
            ),
            (
                |c| (c.partition, c.classes_per_client) = (Some(PartitionName::Iid), Some(3)),
                "classes-per-client = 3: it belongs to partition = classes, but the run has partition = iid: leave one of the two out",
            ),
            (
                |c| c.self_balancing = Some(true),
                "self-balancing = true: it belongs to partition = dirichlet, but other options say partition = iid: leave one of the two out",
            ),
            (
                |c| c.test_partition = Some(TestPartition::Redrawn),
                "test-partition = redrawn: classes are drawn with partition = classes only: choose own or global",
            ),
            (
                |c| {
                    (c.classes_per_client, c.consistent_test_classes) = (Some(3), true);
                    c.test_partition = Some(TestPartition::Global);
                },
                "consistent-test-classes = true: it means test-partition = own, but the run has test-partition = global: leave one of the two \
                 out",
            ),
            (
                |c| c.imbalance_factor = Some(0.01),
                "imbalance-factor = 0.01: it is the size of the largest class over that of the smallest, from 1 to 1e9: write 100",
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(message(change), expected);
        }
        assert!("label".parse::<PartitionName>().unwrap_err().to_string().contains("choose iid, dirichlet, shards, classes or sizes"));
        let csv = |change: fn(&mut TrainConfig)| {
            valid(|c| {
                (c.data, c.clients_file) = (DataSource::Csv, Some("a.csv".into()));
                change(c);
            })
            .unwrap_err()
            .to_string()
        };
        assert!(csv(|c| c.partition = Some(PartitionName::Iid)).starts_with("partition = iid: the clients file says who has which images"));
        assert!(
            csv(|c| c.test_partition = Some(TestPartition::Own))
                .starts_with("test-partition = own: the clients file says who has which images")
        );
        assert!(csv(|c| c.imbalance_factor = Some(2.0)).starts_with("imbalance-factor = 2.0: the clients file says"));
        let domains = csv(|c| c.domains = "a,b".parse().unwrap());
        assert_eq!(domains, "domains = [\"a\",\"b\"]: the clients file says who has which images: leave it out");
    }

    #[test]
    fn a_run_may_have_more_rounds_whatever_its_schedule() {
        let start = valid(|c| c.rounds = 18).unwrap();
        let rates = |config: &TrainConfig| -> Vec<f64> {
            (0..config.rounds)
                .map(|round| {
                    let settings = config.round_settings(round);
                    settings.schedule.rate(settings.lr, round, settings.rounds)
                })
                .collect()
        };
        let cosine = |round: usize, rounds: usize| 0.5 * 0.05 * (1.0 + libm::cos(std::f64::consts::PI * round as f64 / rounds as f64));
        // After the last round: the rates of before stay, the new ones are those of a run of 36 rounds.
        let more = start.clone().continued(36, 18).unwrap().validate().unwrap();
        assert_eq!(more.rounds_before.as_ref().unwrap().to_string(), "18/18");
        let expected: Vec<f64> = (0..36).map(|round| cosine(round, if round < 18 { 18 } else { 36 })).collect();
        assert_eq!(rates(&more), expected);
        assert!(more.validates_after(17) && more.validates_after(35));
        more.check_resume(&start).unwrap();
        // Before the last one, and once more; a number under which no round was trained leaves nothing.
        let twice = start.clone().continued(30, 10).unwrap().continued(40, 10).unwrap().continued(50, 25).unwrap().validate().unwrap();
        assert_eq!(twice.rounds_before.as_ref().unwrap().to_string(), "10/18,25/40");
        assert_eq!([9, 10, 24, 25].map(|round| twice.rounds_planned(round)), [18, 40, 40, 50]);
        assert!(!twice.validates_after(9));
        assert_eq!(TrainConfig::from_toml(&twice.to_toml().unwrap(), std::path::Path::new("x")).unwrap(), twice);
        // Nothing is trained yet, or the same number: nothing to remember.
        assert_eq!(start.clone().continued(7, 0).unwrap().rounds_before, None);
        assert_eq!(start.clone().continued(18, 18).unwrap(), start);
        let refused = |config: &TrainConfig, rounds, done| config.clone().continued(rounds, done).unwrap_err().to_string();
        assert_eq!(
            refused(&start, 5, 18),
            "rounds = 5: the run has 18 rounds already: write more than 18 to train on, or leave rounds out"
        );
        assert!(refused(&start, 12, 10).contains("can be raised but not lowered: write more than 18"));
        let constant = valid(|c| c.schedule = Schedule::None).unwrap();
        assert_eq!(constant.clone().continued(12, 10).unwrap(), TrainConfig { rounds: 12, ..constant.clone() });
        assert!(refused(&constant, 9, 10).contains("has 10 rounds already"));
        // A hand that edits the file is noticed.
        for (rounds, stages) in [(36, None), (36, Some("18/20")), (18, Some("9/18")), (36, Some("9/12,18/18"))] {
            let edited = TrainConfig { rounds, rounds_before: stages.map(|s| s.parse().unwrap()), ..start.clone() };
            assert!(edited.check_resume(&start).is_err(), "{rounds} {stages:?}");
        }
        refused_stages("18/18", 18);
        refused_stages("20/30,10/40", 50);
        refused_stages("10/30,20/30", 50);
        for text in ["18", "0/3", "4/3", "a/b", ""] {
            assert!(text.parse::<Stage>().is_err(), "{text}");
        }
    }

    fn refused_stages(stages: &str, rounds: usize) {
        refused(|c| (c.rounds, c.rounds_before) = (rounds, Some(stages.parse().unwrap())), &["rounds-before = ", stages]);
    }

    #[test]
    fn resuming_with_another_value() {
        let saved = valid(|_| {}).unwrap();
        let same = valid(|c| {
            c.out = "elsewhere".into();
            c.adapter = Some("llvmpipe".into());
            c.wave_lanes = Some(7);
            c.eval_batch_size = 16;
        });
        same.unwrap().check_resume(&saved).unwrap();
        let message = valid(|c| c.lr = 0.1).unwrap().check_resume(&saved).unwrap_err().to_string();
        assert!(message.contains("lr is 0.1 but the run was started with 0.05: set it back or resume without lr, or start"), "{message}");
        let message = valid(|c| c.rounds = 90).unwrap().check_resume(&saved).unwrap_err().to_string();
        assert_eq!(message, "rounds is 90 but the run was started with 18: set it back to 18; to train on, resume with --rounds 90");
        let described = Architecture::built_in("alexnet").unwrap();
        let message = valid(|c| c.network = NetworkChoice::Described(described)).unwrap().check_resume(&saved).unwrap_err().to_string();
        assert!(message.starts_with("network is \"alexnet\" of a file but the run was started with \"digits\": "), "{message}");
        let message = valid(|c| c.clients_per_round = Some(3)).unwrap().check_resume(&saved).unwrap_err().to_string();
        assert!(message.contains("started with no value"), "{message}");
        // More rounds would stretch the cosine, but not a constant rate.
        assert!(valid(|c| c.rounds = 90).unwrap().check_resume(&saved).is_err());
        let constant = |rounds| {
            valid(|c| {
                c.schedule = Schedule::None;
                c.rounds = rounds;
            })
        };
        constant(90).unwrap().check_resume(&constant(60).unwrap()).unwrap();
    }

    #[cfg(feature = "native")]
    mod native {
        use super::*;
        use clap::Parser;
        use std::path::Path;

        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            train: TrainOverrides,
        }

        fn flags(arguments: &str) -> std::result::Result<TrainOverrides, clap::Error> {
            Command::try_parse_from(std::iter::once("test").chain(arguments.split_whitespace())).map(|all| all.train)
        }

        fn wrong(text: &str) -> String {
            TrainConfig::from_toml(text, Path::new("my.toml")).unwrap_err().to_string()
        }

        #[test]
        fn flags_are_the_keys() {
            use clap::CommandFactory;
            let flags: Vec<String> = Command::command()
                .get_arguments()
                .filter(|argument| argument.get_help().is_some())
                .filter_map(|argument| argument.get_long().map(String::from))
                .filter(|flag| flag != "help")
                .collect();
            assert_eq!(flags, TrainConfig::keys());
        }

        #[test]
        fn help_tells_the_defaults() {
            use clap::CommandFactory;
            let help = show_defaults(Command::command()).render_help().to_string();
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            for shown in ["[default: 8-4-2-1]", "for example 1/8 [default: 1/8]", "[default: embedded]", "[default: 0.0005]"] {
                assert!(help.contains(shown), "{shown} in {help}");
            }
            assert!(!help.contains("[default: []]"));
        }

        #[test]
        fn flags_win_over_the_file() {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("c.toml");
            std::fs::write(&file, "rounds = 7\nlr = 0.5\nwidths = [\"1/8\", 0.25]\nclients-per-round = 3\n").unwrap();
            let flags = flags("--rounds 9 --budgets 8-4-4-1 --rescale-init false --masked-loss --domains a,b").unwrap();
            let config = TrainConfig::load(Some(&file), flags).unwrap().validate().unwrap();
            assert_eq!((config.rounds, config.lr, config.clients_per_round), (9, 0.5, Some(3)));
            assert!(!config.rescale_init && config.rescale_layer && config.masked_loss);
            assert_eq!(config.domains.0, ["a", "b"]);
            assert_eq!(config.budgets.to_string(), "8-4-4-1");
            assert_eq!(config.widths, "1/8,1/4,1".parse().unwrap());
        }

        #[test]
        fn flags_that_cannot_be_read() {
            for arguments in ["--budgets 8-x", "--bn-mode running", "--base-width 2", "--memory-limit lots", "--rounds many"] {
                let message = flags(arguments).unwrap_err().to_string();
                assert!(message.contains(arguments.split(' ').next().unwrap()), "{message}");
            }
        }

        #[test]
        fn a_path_whose_backslashes_were_read_as_tabs_is_refused() {
            let read = |text: &str| TrainConfig::from_toml(text, Path::new("x")).unwrap().with_files();
            let told = read(r#"out = "C:\new""#).unwrap_err().to_string();
            assert_eq!(told, "out = C: ew: a path has no tab or line break: write backslashes twice, or the path in single quotes");
            assert!(read(r"out = 'C:\new'").is_ok() && read(r#"out = "C:\\new""#).is_ok());
        }

        #[test]
        fn what_is_written_is_read_back() {
            let config = valid(|c| {
                c.method = "fedavg".parse().unwrap();
                c.memory_limit = Some(ByteSize(1 << 30));
                c.data = DataSource::Directory;
                c.data_dir = Some("a \"b\"/c".into());
                c.lr = 0.1 + 0.2;
                c.seed = i64::MAX as u64;
            });
            let config = config.unwrap();
            let text = config.to_toml().unwrap();
            assert_eq!(TrainConfig::from_toml(&text, Path::new("x")).unwrap(), config);
            assert_eq!(TrainConfig::from_toml("", Path::new("x")).unwrap(), TrainConfig::default());
        }

        #[test]
        fn file_errors_name_file_line_and_key() {
            let message = wrong("rounds = 5\n\nclients-per-doman = 3\n");
            assert_eq!(message, "my.toml, line 3: unknown key \"clients-per-doman\": did you mean clients-per-domain?");
            assert!(wrong("local_epochs = 3").contains("did you mean local-epochs?"));
            assert!(wrong("xyzzy = 3").ends_with("unknown key \"xyzzy\": splitmix train --help lists the options"));
            let message = wrong("# c\nrounds = \"many\"");
            assert!(message.starts_with("my.toml, line 2: rounds = \"many\": it must be a whole number"), "{message}");
            let message = wrong("budgets = \"8-x\"");
            assert!(message.starts_with("my.toml, line 1: budgets: ") && message.contains("\"x\""), "{message}");
            let message = wrong("rounds = 2\nwidths = [\n  \"1/8\",\n  \"9/8\",\n]");
            assert!(message.contains("widths: ") && message.contains("\"9/8\" is not a width"), "{message}");
            assert!(wrong("bn-mode = \"running\"").contains("choose batch"));
            assert!(wrong("rounds = \n").starts_with("my.toml, line 1: "));
            assert!(wrong("rounds = 1\nrounds = 2").starts_with("my.toml, line 2: "));
            assert!(wrong("rounds = -1").contains("rounds = -1: "));
            assert!(wrong("[train]\nrounds = 1").contains("unknown key \"train\""));
        }

        #[test]
        fn a_missing_file_is_named() {
            let error = TrainConfig::load(Some(Path::new("no/such.toml")), TrainOverrides::default()).unwrap_err();
            assert!(error.to_string().contains("no/such.toml"));
            assert_eq!(error.exit_code(), 2);
        }
    }
}
