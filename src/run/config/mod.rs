//! The configuration of a training run: one list of options, shared by the TOML file, the command line and the
//! checkpoint.

mod about;
#[cfg(feature = "native")]
mod file;
#[cfg(feature = "native")]
mod flags;
mod partition;
mod resume;
mod types;
mod validate;

pub use about::{About, Effect, Images};
#[cfg(feature = "native")]
pub use file::show_defaults;
pub use types::{
    BnMode, ByteSize, DataSource, List, Names, NetworkChoice, OptimizerName, PartitionName, ServerOptimizerName, Stage, Stages,
    TestPartition, Widths,
};
pub use validate::ValidConfig;

use crate::engine::{Adaptive, Augment, Optimizer, Rule, ServerOptimizer};
use crate::fl::algorithms::options::{MethodOption, OwnOptions};
use crate::fl::algorithms::registry::{MethodName, Settings};
use crate::fl::{Algorithm, Attack, Budgets, Composition, PartitionSettings, Ratio, RoundSettings, Schedule, Scheme, TestSplit};
use crate::net::{Network, Norms, TensorSpec};
use crate::{Error, Result};
use about::{MACHINE, SOURCE, TEST, TRAINING, batch, concentration, number, positive, weight, whole};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Defines [`TrainConfig`] (every option with its value) and [`TrainOverrides`] (every option perhaps) from one
/// list, so that a file key, a flag, its help and its documentation cannot drift apart.
macro_rules! options {
    (
        required {
            $( $(#[doc = $doc:literal])+ [$heading:literal, $about:expr $(, in $range:expr)? $(; $($arg:tt)+)?]
                $name:ident: $type:ident = $default:expr; )*
        }
        optional {
            $( $(#[doc = $opt_doc:literal])+ [$opt_heading:literal, $opt_about:expr $(, in $opt_range:expr)? $(; $($opt_arg:tt)+)?]
                $opt_name:ident: $opt_type:ident; )*
        }
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

        /// The fields, the names of their types, and what depends on each.
        const FIELDS: &[(&str, &str, About)] =
            &[$( (stringify!($name), stringify!($type), $about), )* $( (stringify!($opt_name), stringify!($opt_type), $opt_about), )*];

        impl TrainConfig {
            /// Checks the range of every option that has one.
            fn check_ranges(&self) -> Result<()> {
                $( $( ($range)(&key(stringify!($name)), self.$name)?; )? )*
                $( $( self.$opt_name.map_or(Ok(()), |value| ($opt_range)(&key(stringify!($opt_name)), value))?; )? )*
                Ok(())
            }
        }
    };
}

options! {
    required {
        /// Where images come from: `embedded` (the data inside the program), `directory` (see data-dir) or `csv` (see clients-file).
        ["Data", TRAINING.reads().native()] data: DataSource = DataSource::Embedded;
        /// Domains to use, by name and in this order, separated by commas. Empty: all that the data has.
        ["Data", TRAINING.reads()] domains: Names = List(Vec::new());
        /// Number clients starting at this domain (from 0). Budgets rise with the client's number, so the first
        /// domain has the smallest.
        ["Data", TRAINING.deals()] domain_order: usize = 0;
        /// Clients of each domain, at least 1.
        ["Data", TRAINING.deals(), in positive()] clients_per_domain: usize = 4;
        /// Share of each domain's training images that is used, in (0, 1].
        ["Data", TRAINING.deals(), in number(|v| v > 0.0 && v <= 1.0, "it is a share in (0, 1]")] percent: f64 = 1.0;
        /// Give each client test images of its training classes, with partition = classes: the same as test-partition = own.
        ["Data", TRAINING.deals(); num_args = 0..=1, default_missing_value = "true"] consistent_test_classes: bool = false;
        /// Fewest images of a client, validation images included, with partition = dirichlet or sizes (Flower's min_partition_size); with
        /// partition = classes and dirichlet, of a client's class.
        ["Data", TRAINING.deals()] smallest_share: usize = 16;
        /// Share of each class's pictures that is for testing where a folder of pictures has no train/ and test/, in (0, 1).
        ["Data", TRAINING.reads().native(), in number(|v| v > 0.0 && v < 1.0, "it is a share in (0, 1)")] test_ratio: f64 = 0.2;
        /// Share of each client's images that is kept for validation, in [0, 1).
        ["Data", TRAINING.holds(), in number(|v| (0.0..1.0).contains(&v), "it is a share in [0, 1)")] validation_ratio: f64 = 0.2;

        /// Network: digits, preact-resnet18, alexnet, or a TOML file that describes one, as those in networks/. Images are
        /// resized to its input.
        ["Method", TRAINING.reads()] network: NetworkChoice = NetworkChoice::Named("digits".into());
        /// Algorithm, by its name in [`METHODS`](crate::fl::algorithms::registry::METHODS).
        ["Method", TRAINING.holds(); help = crate::fl::algorithms::registry::help()] method: MethodName = MethodName::default();
        /// Split-Mix: width of one base as a fraction of the full network, for example 1/8.
        ["Method", TRAINING.holds()] base_width: Ratio = Ratio::EIGHTH;
        /// FedAvg: width of the network as a fraction of the full one.
        ["Method", TRAINING.holds()] width: Ratio = Ratio::ONE;
        /// Largest width that each group of clients can train; not in FedAvg. 8-4-2-1 means 1/8, 1/4, 1/2 and 1; PdQ
        /// means Q/P; lnS_M is log-normal with shape S and scale M.
        ["Method", TRAINING.holds()] budgets: Budgets = Budgets::default();
        /// Split-Mix: start with the fan-in of the full-width layers. Always off in other methods.
        ["Method", TRAINING; num_args = 0..=1, default_missing_value = "true"] rescale_init: bool = true;
        /// Split-Mix: divide layer outputs by the base width while training. Always off in FedAvg; always on in HeteroFL, by the
        /// corner's width.
        ["Method", TRAINING; num_args = 0..=1, default_missing_value = "true"] rescale_layer: bool = true;
        /// SHeteroFL: a client counts in averages once for every width that it trains, as in the authors' program.
        ["Method", TRAINING; num_args = 0..=1, default_missing_value = "true"] count_widths: bool = false;
        /// Batch-norm mode. `batch`: batch statistics in training and in evaluation. `tracked`: running statistics, averaged
        /// like weights, in evaluation. `post`: trained as batch; before a test every client re-estimates statistics.
        ["Method", TRAINING] bn_mode: BnMode = BnMode::Batch;
        /// Every client keeps its batch norms, parameters and running statistics, to itself: the server does not average
        /// them.
        ["Method", TRAINING; num_args = 0..=1, default_missing_value = "true"] local_bn: bool = false;
        /// Layers or tensors that stay with each client and are not averaged, by their names in the network, separated by commas, for
        /// example fc3 or fc3.bias; all: the whole network, so that every client trains alone.
        ["Method", TRAINING] personal: Names = List(Vec::new());
        /// Share of attacked images in the training loss, in [0, 1]. 0: standard training; between 0 and 1: adversarial
        /// training with dual batch norms, mixed at test time (the lambda of eval); 1: attacked images only.
        ["Method", TRAINING, in number(|v| (0.0..=1.0).contains(&v), "it is a share in [0, 1]")] lambda_train: f64 = 0.0;
        /// Attack of the adversarial training and of its validation: pgd-STEPS or fgsm in a ball of 8/255; -epsN: of N/255.
        ["Method", TRAINING] train_attack: Attack = Attack::TRAINING;
        /// Multiply the logits of classes absent from the batch by 0 before the loss (for clients that have few
        /// classes).
        ["Method", TRAINING; num_args = 0..=1, default_missing_value = "true"] masked_loss: bool = false;

        /// Augmentation of training images: random crop after padding with this many zero pixels on every side.
        ["Training", TRAINING] crop_padding: usize = 0;
        /// Augmentation: flip horizontally with probability 1/2.
        ["Training", TRAINING; num_args = 0..=1, default_missing_value = "true"] flip: bool = false;
        /// Augmentation: rotate by up to this many degrees, in [0, 180].
        ["Training", TRAINING, in number(|v| (0.0..=180.0).contains(&v), "it is a number of degrees in [0, 180]")] rotation: f64 = 0.0;
        /// Federated rounds, at least 1.
        ["Training", TRAINING, in whole(1, 1_000_000)] rounds: usize = 18;
        /// Passes over a client's images in a round, at least 1.
        ["Training", TRAINING, in whole(1, 10_000)] local_epochs: usize = 1;
        /// Images in a training batch and in a validation batch, at least 3.
        ["Training", TRAINING.holds(), in batch()] batch_size: usize = 16;
        /// Images in a test batch, at least 3. With batch statistics it is part of the result.
        ["Training", TEST, in batch()] eval_batch_size: usize = 128;
        // The shaders' numbers have 32 bits: a smaller rate would be 0 there.
        /// Initial learning rate, above 0.
        ["Training", TRAINING, in number(|v| (1e-30..=1e6).contains(&v),
            "it must be a number above 0, from 1e-30 to 1e6, for example 0.05")] lr: f64 = 0.05;
        /// How the learning rate falls: none, cos, multi_step, multi_step50 or multi_step100.
        ["Training", TRAINING] schedule: Schedule = Schedule::Cos;
        /// Optimiser of local training, fresh in every round: sgd, or adam with PyTorch's defaults.
        ["Training", TRAINING] optimizer: OptimizerName = OptimizerName::Sgd;
        /// Momentum of SGD, in [0, 1).
        ["Training", TRAINING, in number(|v| (0.0..1.0).contains(&v), "it must be in [0, 1)")] momentum: f64 = 0.9;
        /// Weight decay, at least 0, added to the gradient of every parameter.
        ["Training", TRAINING, in weight()] weight_decay: f64 = 5e-4;
        /// FedProx: weight of a term that holds a client's parameters near the server's, at least 0; 0: there is none.
        ["Training", TRAINING, in weight()] proximal: f64 = 0.0;
        /// SCAFFOLD: control variates correct every local step by how the client's gradients differ from all clients'. It needs plain SGD:
        /// momentum = 0.
        ["Training", TRAINING; num_args = 0..=1, default_missing_value = "true"] scaffold: bool = false;
        /// What the server does with a round's averages: `average`, it takes them over; by the change that they are, `momentum` (FedAvgM),
        /// `adagrad`, `adam` or `yogi` (FedAdagrad, FedAdam, FedYogi).
        ["Training", TRAINING] server_optimizer: ServerOptimizerName = ServerOptimizerName::Average;
        /// Momentum of the server's optimiser, in [0, 1): of its mean change.
        ["Training", TRAINING, in number(|v| (0.0..1.0).contains(&v), "it must be in [0, 1)")] server_momentum: f64 = 0.9;
        /// Decay of the squared changes in server-optimizer = adam and yogi, in [0, 1).
        ["Training", TRAINING, in number(|v| (0.0..1.0).contains(&v), "it must be in [0, 1)")] server_decay: f64 = 0.99;
        /// What server-optimizer = adagrad, adam and yogi add to the root of the squared changes, above 0: how adaptive they are.
        ["Training", TRAINING, in number(|v| (1e-9..=1e3).contains(&v),
            "it must be a number above 0, from 1e-9 to 1000, for example 0.001")] server_tau: f64 = 1e-3;
        /// Seed of every random choice, at most 2^63 − 1.
        ["Training", TRAINING.holds().together(), in whole(0, i64::MAX as u64)] seed: u64 = 1;

        /// Widths to validate, separated by commas. Empty: those of the budgets. The full width is always added.
        ["Run", TRAINING] widths: Widths = List(Vec::new());
        /// Validate every N rounds, and after the last.
        ["Run", TRAINING, in positive()] validate_every: usize = 3;
        /// Write a checkpoint every N rounds, and after the last.
        ["Run", MACHINE.native(), in positive()] checkpoint_every: usize = 1;
        /// Keep the run-time bounds checks in the shaders: slower, and safe with an untrusted driver.
        ["Run", MACHINE.native(); num_args = 0..=1, default_missing_value = "true"] checked_shaders: bool = false;
        /// Folder of the run: configuration, metrics and checkpoints.
        ["Run", MACHINE.native().together()] out: PathBuf = PathBuf::from("runs/train");
    }
    optional {
        /// Folder with the data sets, for data = directory.
        ["Data", MACHINE.reads().native()] data_dir: PathBuf;
        /// CSV file that names each client's pictures, for data = csv: columns client, image (relative to the file) and class; if
        /// wanted, split (train, validation, test) and domain.
        ["Data", MACHINE.reads().native()] clients_file: PathBuf;
        /// Learning rate of the server's optimiser, above 0; when not given, 1 with momentum and 0.1 with the adaptive ones.
        ["Training", TRAINING, in number(|v| (1e-9..=1e3).contains(&v),
            "it must be a number above 0, from 1e-9 to 1000, for example 0.1")] server_lr: f64;
        /// Maximum training images per domain.
        ["Data", TRAINING.deals(), in positive()] train_per_domain: usize;
        /// How a domain's training images are dealt to its clients; iid when not given. `iid`: equal numbers of images, drawn at random and
        /// not balanced by class. `dirichlet`: label skew, each class by a Dirichlet law (alpha, smallest-share; self-balancing evens out the
        /// numbers of images). `shards`: shards of the images sorted by class
        /// (shards-per-client). `classes`: images of a few classes per client (classes-per-client). `sizes`: different numbers of images by a
        /// Dirichlet law (alpha, smallest-share). With dirichlet and sizes every client takes the same number of steps: the mean, over
        /// full batches.
        ["Data", TRAINING.deals()] partition: PartitionName;
        /// Concentration of the Dirichlet law with partition = dirichlet or sizes, above 0: 0.1 is strong skew, 100 nearly none.
        ["Data", TRAINING.deals(), in concentration()] alpha: f64;
        /// Balance the clients by their numbers of images, with partition = dirichlet: a client that has its equal share of the images gets
        /// none of the classes after that; false when not given.
        ["Data", TRAINING.deals(); num_args = 0..=1, default_missing_value = "true"] self_balancing: bool;
        /// Shards of each client with partition = shards; 2 when not given.
        ["Data", TRAINING.deals(), in positive()] shards_per_client: usize;
        /// Classes of each client with partition = classes, drawn from a deck. Without partition it sets partition = classes.
        ["Data", TRAINING.deals()] classes_per_client: usize;
        /// Without classes-per-client: the same as partition = sizes with this alpha. With it: the number of images of each client's
        /// class follows a Dirichlet law of this concentration.
        ["Data", TRAINING.deals(), in concentration()] dirichlet: f64;
        /// Which test images a client has. `own`: as its training images are distributed over the classes (with sizes: as many as its
        /// share). `global`: every client the same share of each class. `redrawn`: of classes drawn anew, with partition = classes only. When
        /// not given: equal numbers at random with iid, redrawn with classes, own with the others.
        ["Data", TRAINING.deals()] test_partition: TestPartition;
        /// Make each domain's training images long-tailed: class c of C keeps n·F^(−c/(C−1)) of the largest class's n images, at least 1; F
        /// is the size of the first class over that of the last. Test images stay.
        ["Data", TRAINING.deals()] imbalance_factor: f64;
        /// Clients drawn for each round; all when not given.
        ["Training", TRAINING.together(), in positive()] clients_per_round: usize;
        /// Written by `train --resume --rounds N`, each time that N is larger: how many rounds were trained of how many, as 18/18. The cosine
        /// of those rounds spreads over the number of rounds of then.
        ["Training", TRAINING.native()] rounds_before: Stages;
        /// Start a new run from the bases of this checkpoint (or of the best round of this run's folder) instead of fresh ones. Network,
        /// method and base-width must be the same; data, seed and all else may differ.
        ["Run", SOURCE.native()] init: PathBuf;
        /// CRC-32 of the file of init, 8 hexadecimal digits: written by `train`, which then takes no other file.
        ["Run", TRAINING.native()] init_checksum: String;
        /// Adapter to run on: a part of its name; the fastest when not given.
        ["Run", MACHINE.native()] adapter: String;
        /// GPU memory to use at most, for example 2GiB or 500MB; 4GiB when not given.
        ["Run", MACHINE] memory_limit: ByteSize;
        /// Lanes trained at once at most; as many as memory allows when not given. It does not change the result.
        ["Run", MACHINE, in positive()] wave_lanes: usize;
    }
}

/// The key of a field.
fn key(field: &str) -> String {
    field.replace('_', "-")
}

/// Whether a name is that of a tensor or of its layer.
fn is_named(name: &str, tensor: &TensorSpec) -> bool {
    tensor.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A value as it is written on the command line, for messages.
fn plain(value: Option<&serde_json::Value>) -> String {
    match value {
        None => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Array(values)) => values.iter().map(|value| plain(Some(value))).collect::<Vec<_>>().join(","),
        Some(value) => value.to_string(),
    }
}

/// A number in few characters, for messages.
fn short(value: f64) -> String {
    let plain = value.to_string();
    if plain.len() <= 12 { plain } else { format!("{value:e}") }
}

impl TrainConfig {
    /// The keys of the file and the flags of the command line, in their order.
    pub fn keys() -> Vec<String> {
        FIELDS.iter().map(|(field, ..)| key(field)).chain(MethodOption::all().map(|option| option.key().to_string())).collect()
    }

    /// What depends on an option; on one of a method's own, what is learnt.
    pub fn about(option: &str) -> About {
        FIELDS.iter().find(|(field, ..)| key(field) == option).map_or(TRAINING, |(.., about)| *about)
    }

    /// The name of the type of an option's value, for messages; nothing for another command's own option.
    #[cfg(feature = "native")]
    pub(super) fn kind(option: &str) -> Option<&'static str> {
        let listed = FIELDS.iter().find(|(field, ..)| key(field) == option).map(|(_, kind, _)| *kind);
        listed.or_else(|| {
            Some(match MethodOption::of(option)? {
                MethodOption::Whole(_) => "usize",
                MethodOption::Number(_) => "f64",
                MethodOption::Choice(_) => "Choice",
                MethodOption::Switch(_) => "bool",
            })
        })
    }

    /// Whether what is learnt or tested depends on an option of that key. What it does not depend on is not compared.
    pub fn depends_on(&self, option: &str) -> bool {
        let used = option != "train-attack" || self.lambda_train > 0.0;
        used && TrainConfig::about(option).is_of_experiment() && self.method.concerns(option)
    }

    /// What the batch norms of the bases keep.
    pub fn norms(&self) -> Norms {
        Norms { dual: self.lambda_train > 0.0 && self.lambda_train < 1.0, tracked: self.bn_mode == BnMode::Tracked }
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

    /// The server's optimiser; none where bases become their averages.
    pub fn server_optimizer(&self) -> Option<ServerOptimizer> {
        let adaptive = |rule| Adaptive { rule, second: self.server_decay as f32, tau: self.server_tau as f32 };
        let adaptive = match self.server_optimizer {
            ServerOptimizerName::Average => return None,
            ServerOptimizerName::Momentum => None,
            ServerOptimizerName::Adagrad => Some(adaptive(Rule::Adagrad)),
            ServerOptimizerName::Adam => Some(adaptive(Rule::Adam)),
            ServerOptimizerName::Yogi => Some(adaptive(Rule::Yogi)),
        };
        let rate = self.server_lr.unwrap_or(if adaptive.is_some() { 0.1 } else { 1.0 });
        Some(ServerOptimizer { learning_rate: rate as f32, first: self.server_momentum as f32, adaptive })
    }

    /// Whether the whole network stays with each client.
    fn keeps_whole(&self) -> bool {
        self.personal.0.iter().any(|name| name == "all")
    }

    /// Whether a tensor stays with each client.
    pub fn keeps(&self, tensor: &TensorSpec) -> bool {
        let named = |name: &String| is_named(name, tensor);
        self.local_bn && tensor.kind.is_norm() || self.keeps_whole() || self.personal.0.iter().any(named)
    }

    /// Whether anything stays with each client.
    pub fn keeps_any(&self) -> bool {
        self.local_bn || !self.personal.0.is_empty()
    }

    /// Where batch norm's parameters and statistics go, for people.
    pub fn norm_rule(&self) -> String {
        let what = match (self.norms().dual, self.bn_mode) {
            (false, BnMode::Tracked) => "γ, β and running statistics",
            (true, BnMode::Tracked) => "γ, β and running statistics of the clean and of the adversarial one",
            (true, _) => "γ and β of the clean and of the adversarial one",
            (false, _) => "γ and β",
        };
        let where_to =
            if self.local_bn || self.keeps_whole() { "stay with each client and are not averaged" } else { "are averaged like weights" };
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

    fn as_object(&self) -> Result<serde_json::Map<String, serde_json::Value>> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(object)) => Ok(object),
            _ => Err(Error::Config("the configuration cannot be written as JSON".into())),
        }
    }
}

/// For the tests of each part.
#[cfg(test)]
mod testing {
    use super::*;

    pub fn valid(change: impl FnOnce(&mut TrainConfig)) -> Result<ValidConfig> {
        let mut config = TrainConfig::default();
        change(&mut config);
        config.validate()
    }

    pub fn refused(change: impl FnOnce(&mut TrainConfig), words: &[&str]) {
        let error = valid(change).unwrap_err();
        assert!(matches!(error, Error::Config(_)));
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message} lacks one of {words:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::testing::valid;
    use super::*;

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
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), *config);
    }
}
