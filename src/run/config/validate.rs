//! The rules between options: what is refused, and what has no effect.

use super::about::check;
use super::*;
use std::fmt;
use std::ops::Deref;

/// Options that deal images and that a configuration with a file of clients may have, with a warning: runs of earlier versions may.
const DEALT_BY_FILE: [&str; 2] = ["clients-per-domain", "smallest-share"];

fn each_once<T: PartialEq + fmt::Display>(key: &str, list: &[T], what: &str) -> Result<()> {
    let twice = list.iter().enumerate().find(|(index, item)| list[..*index].contains(item));
    twice.map_or(Ok(()), |(_, item)| check(false, key, item, what))
}

/// A configuration whose values are in their ranges and fit each other: what [`TrainConfig::validate`] returns, and what runs are made of. It
/// is read as a [`TrainConfig`]; to change it, take that out (`TrainConfig::from`) and validate again.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ValidConfig(pub(super) TrainConfig);

impl Deref for ValidConfig {
    type Target = TrainConfig;

    fn deref(&self) -> &TrainConfig {
        &self.0
    }
}

impl From<ValidConfig> for TrainConfig {
    fn from(valid: ValidConfig) -> TrainConfig {
        valid.0
    }
}

impl TrainConfig {
    /// Checks every option and every combination, and makes the configuration say what will be done: FedAvg has
    /// neither of Split-Mix's corrections, HeteroFL has that of the layers, and the full width is among the widths.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key, its value and its range.
    pub fn validate(mut self) -> Result<ValidConfig> {
        self.check_ranges()?;
        check(!self.out.as_os_str().is_empty(), "out", "\"\"", "name the folder of the run")?;
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
            let what = "bn-mode = post re-estimates the statistics of bases that all clients share; choose tracked or batch";
            check(self.personal.0.is_empty(), "personal", &self.personal, what)?;
        }
        if self.scaffold {
            let what = "the control variates of scaffold are the mean gradients of SGD without momentum:";
            check(self.optimizer == OptimizerName::Sgd, "optimizer", self.optimizer, &format!("{what} set sgd, or switch scaffold off"))?;
            check(self.momentum == 0.0, "momentum", self.momentum, &format!("{what} set 0, or switch scaffold off"))?;
            let what = "its pull would count as a gradient in the control variates of scaffold: set 0, or switch scaffold off";
            check(self.proximal == 0.0, "proximal", short(self.proximal), what)?;
            let what = "nothing is shared that scaffold could correct: name less, or switch scaffold off";
            check(!self.keeps_whole(), "personal", &self.personal, what)?;
        }
        each_once("domains", &self.domains.0, "this domain is named twice")?;
        each_once("personal", &self.personal.0, "this name is there twice: leave one out")?;
        each_once("widths", &self.widths.0, "this width is there twice: leave one out")?;
        let places =
            [(DataSource::Directory, "folder", "data-dir", &self.data_dir), (DataSource::Csv, "file", "clients-file", &self.clients_file)];
        for (source, what, key, place) in places {
            match place {
                None if self.data == source => return Err(Error::Config(format!("data = {source}: name the {what} with {key}"))),
                Some(place) if self.data != source => {
                    let what = format!("it is read with data = {source} only: set that, or leave {key} out");
                    check(false, key, place.display(), &what)?;
                }
                _ => {}
            }
        }
        if self.data == DataSource::Csv {
            let (own, default) = (self.as_object()?, TrainConfig::default().as_object()?);
            let dealt = |key: &str| key == "domains" || TrainConfig::about(key).images == Images::Dealt && !DEALT_BY_FILE.contains(&key);
            for key in TrainConfig::keys().iter().filter(|key| dealt(key) && own.get(*key) != default.get(*key)) {
                check(false, key, plain(own.get(key)), "the clients file says who has which images: leave it out")?;
            }
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
        self.check_personal(&self.network_of(algorithm.base_width(), 2)?.with_norms(self.norms()))?;
        self.widths = List(widths);
        Ok(ValidConfig(self))
    }

    /// Whether every name in `personal` is one of the network's.
    fn check_personal(&self, network: &Network) -> Result<()> {
        for name in self.personal.0.iter().filter(|name| *name != "all") {
            let known = |name: &str| network.tensors.iter().any(|tensor| is_named(name, tensor));
            if !known(name) {
                let layers = network.layers.iter().map(|layer| layer.name()).filter(|layer| known(layer));
                return Err(Error::Config(format!(
                    "personal = {name}: the network {} has no layer or tensor of this name: it has {}",
                    network.name,
                    layers.collect::<Vec<_>>().join(", ")
                )));
            }
        }
        Ok(())
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
        let default = TrainConfig::default();
        if self.lambda_train == 0.0 && self.train_attack != default.train_attack {
            warnings.push(format!("train-attack = {}: it has no effect while lambda-train is 0", self.train_attack));
        }
        if self.optimizer == OptimizerName::Adam && self.momentum != default.momentum {
            warnings.push(format!("momentum = {}: it has no effect with adam", self.momentum));
        }
        warnings.extend(self.unused_by_server());
        warnings.extend(self.unused_dealing());
        warnings.extend(self.unused_by_method());
        warnings
    }

    /// Options of the server's optimiser that it does not read.
    fn unused_by_server(&self) -> Vec<String> {
        let (name, default) = (self.server_optimizer, TrainConfig::default());
        let averages = name == ServerOptimizerName::Average;
        let (adaptive, decays) =
            (!averages && name != ServerOptimizerName::Momentum, [ServerOptimizerName::Adam, ServerOptimizerName::Yogi]);
        let given = [
            ("server-lr", self.server_lr.filter(|_| averages)),
            ("server-momentum", Some(self.server_momentum).filter(|v| averages && *v != default.server_momentum)),
            ("server-decay", Some(self.server_decay).filter(|v| !decays.contains(&name) && *v != default.server_decay)),
            ("server-tau", Some(self.server_tau).filter(|v| !adaptive && *v != default.server_tau)),
        ];
        let unused = given.into_iter().filter_map(|(key, value)| Some((key, value?)));
        unused.map(|(key, value)| format!("{key} = {}: it has no effect with server-optimizer = {name}", short(value))).collect()
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
        let mut unused = Vec::new();
        let mut add = |key: &str, own: &dyn fmt::Display, why: &str| unused.push(format!("{key} = {own} has no effect: {why}"));
        let by_file = "the clients file says who has which images";
        if csv && self.clients_per_domain != default.clients_per_domain {
            add("clients-per-domain", &self.clients_per_domain, by_file);
        }
        if self.smallest_share != default.smallest_share && (csv || !self.equal_steps()) {
            let by_partition = "it is for partition = dirichlet or sizes, and for classes with dirichlet";
            add("smallest-share", &self.smallest_share, if csv { by_file } else { by_partition });
        }
        if self.data == DataSource::Embedded && self.test_ratio != default.test_ratio {
            add("test-ratio", &self.test_ratio, "the images inside the program have a test split");
        }
        if self.consistent_test_classes && !matches!(self.scheme(), Ok(Scheme::Classes { .. })) {
            unused.push("consistent-test-classes has no effect without partition = classes; test-partition = own is for all".into());
        }
        unused
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refused, valid};
    use super::*;
    use crate::net::Architecture;

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
        assert_eq!(TrainConfig::from(config.clone()).validate().unwrap(), config);
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
        refused(|c| c.scaffold = true, &["momentum = 0.9", "set 0, or switch scaffold off"]);
        for (key, change) in
            [("proximal", (|c| c.proximal = 0.1) as fn(&mut TrainConfig)), ("personal", |c| c.personal = "all".parse().unwrap())]
        {
            let corrected: fn(&mut TrainConfig) = |c| (c.scaffold, c.momentum) = (true, 0.0);
            assert!(valid(corrected).is_ok());
            refused(|c| [corrected, change].iter().for_each(|f| f(c)), &[key, "scaffold"]);
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
        assert!(TrainConfig { rescale_layer: false, ..bare.into() }.warnings().is_empty());
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
    fn what_is_personal_is_named_as_the_network_names_it() {
        let named = |names: &str| {
            let config = TrainConfig { personal: names.parse().unwrap(), ..TrainConfig::default() }.validate();
            config.map(|c| c.network(10).unwrap().tensors.iter().filter(|t| c.keeps(t)).count())
        };
        assert_eq!(named("fc3").unwrap(), 2);
        assert_eq!(named("fc3.bias,bn1").unwrap(), 3);
        let whole = TrainConfig::default().network(10).unwrap().tensors.len();
        assert_eq!(named("all").unwrap(), whole);
        for (names, said) in [("fc", "personal = fc: the network digits"), ("conv1,fc9.bias", "it has conv1, bn1, "), ("fc1,fc1", "twice")]
        {
            let error = named(names).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let refused = |change: fn(&mut TrainConfig)| valid(change).unwrap_err().to_string();
        for method in ["hetero-fl", "fesem"] {
            let config = TrainConfig { method: method.parse().unwrap(), personal: "fc3".parse().unwrap(), ..TrainConfig::default() };
            assert!(config.validate().unwrap_err().to_string().contains("personal = fc3: "));
        }
        assert!(refused(|c| (c.bn_mode, c.personal) = (BnMode::Post, "fc3".parse().unwrap())).contains("personal = fc3: bn-mode = post"));
    }

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
}
