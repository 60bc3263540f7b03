//! Dealing the images of the domains to the clients.
//!
//! Every client has images of one domain only. In each domain the training images are shuffled, the first `train_per_domain` of them are
//! kept, then the share `percent` of those, then what [`PartitionSettings::imbalance_factor`] leaves of each class. How the rest is
//! dealt is the [`Scheme`]'s to say:
//!
//! - [`Scheme::Iid`]: contiguous ranges of `⌊n/clients⌋` images.
//! - [`Scheme::Classes`]: each client draws N cards of a deck of the classes that is shuffled anew when it is used up, so every class is
//!   dealt equally often; a client may draw a class twice. The images of a class are split over its cards.
//! - [`Scheme::Shards`]: the images are sorted by class, cut into shards of equal size, and every client gets N shards at random (McMahan et
//!   al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017; Flower's `ShardPartitioner`).
//! - [`Scheme::Dirichlet`]: label skew (Hsu et al., "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
//!   Classification", 2019), dealt class by class as Yurochkin et al. 2019 and Flower's `DirichletPartitioner` do it: the shares of the
//!   clients in each class are drawn from a symmetric Dirichlet law, so sizes differ, too. A client left with fewer than `smallest_share`
//!   images gets what it lacks from the client that has most, of that one's most frequent class. No draw is ever repeated.
//! - [`Scheme::Sizes`]: every share has a floor, the rest is divided by proportions drawn from a symmetric Dirichlet law, and what rounding
//!   leaves is dealt at random. Class-wise shares may have such sizes, too.
//!
//! In the first three, all domains are trimmed to the smallest, and the images that do not go round stay unused, so that the clients' weights
//! are equal. In the others no image stays unused.
//!
//! The last `⌊share·validation_ratio⌋` images of a client are for validation; in a domain that has a validation split of its own
//! ([`DomainLabels::validation`]), that split is dealt instead, by the rule of the test images. Which test images a client has is
//! the [`TestSplit`]'s to say.
//!
//! Shuffles are keyed by the seed and the domain's place in the list, so a domain's shares are the same in every
//! `domain_order`.

use super::budget::Ratio;
use super::random::{Purpose, rng};
use crate::{Error, Result};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma};
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::ops::Range;

/// Name and labels of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainLabels<'a> {
    /// Shown in tables and in the clients' names.
    pub name: String,
    /// Class of each training image, then of each image of the domain's own validation split.
    pub train: &'a [u8],
    /// Class of each test image.
    pub test: &'a [u8],
    /// Images at the end of `train` that are the domain's own validation split; 0 if it has none.
    pub validation: usize,
}

/// How the training images of a domain are dealt to its clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scheme {
    /// Equal numbers of images, drawn at random.
    Iid,
    /// Shares in each class by a Dirichlet law: label skew.
    Dirichlet {
        /// Concentration α, above 0: the smaller, the fewer clients share a class.
        alpha: f64,
        /// Whether a client that has its equal share of the images takes no part in the classes after that.
        self_balancing: bool,
    },
    /// Shards of the images sorted by class.
    Shards {
        /// Shards of a client, at least 1.
        per_client: usize,
    },
    /// Cards of classes.
    Classes {
        /// Cards that each client draws, from 1 to the number of classes.
        per_client: usize,
        /// Concentration α of the sizes of a class's shares; none: equal sizes.
        sizes: Option<f64>,
    },
    /// Numbers of images by a Dirichlet law, whatever their classes.
    Sizes {
        /// Concentration α, above 0: the smaller, the more the sizes differ.
        alpha: f64,
    },
}

impl Scheme {
    /// Whether the law gives clients different numbers of images. All clients then take the same number of steps in a round, and domains
    /// are not trimmed to the smallest.
    pub fn sizes_differ(self) -> bool {
        match self {
            Scheme::Dirichlet { .. } | Scheme::Sizes { .. } => true,
            Scheme::Classes { sizes, .. } => sizes.is_some(),
            Scheme::Iid | Scheme::Shards { .. } => false,
        }
    }
}

/// Which test images a client has. The validation images of a domain with a validation split of its own follow the same rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestSplit {
    /// Ranges of the shuffled images that differ by at most one image.
    Even,
    /// In the proportions of the client's own training images: by class, or by number in [`Scheme::Sizes`]. Test images of a class that
    /// no client trains on have no client.
    Own,
    /// Every client has the same number of images and the same share of every class, to within one image.
    Global,
    /// Of classes that are drawn anew, for [`Scheme::Classes`] only.
    Redrawn,
}

/// How the images are dealt.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionSettings {
    /// The run's seed.
    pub seed: u64,
    /// Clients of each domain, at least 1.
    pub clients_per_domain: usize,
    /// At most so many training images of each domain are used.
    pub train_per_domain: Option<usize>,
    /// Share of each domain's training images (after `train_per_domain`) that is used, in (0, 1].
    pub percent: f64,
    /// Share of each client's images that is for validation, in [0, 1).
    pub validation_ratio: f64,
    /// The clients are numbered domain by domain, starting at this domain of the list. Budgets rise with the
    /// client's number, so it decides which domains have the small ones.
    pub domain_order: usize,
    /// How the training images are dealt.
    pub scheme: Scheme,
    /// Which test images a client has.
    pub tests: TestSplit,
    /// Number of images of a domain's first class over that of its last, at least 1: class `c` of `C` keeps at most
    /// `n_max·F^(−c/(C−1))` training images, rounded down, and at least one, where `n_max` is the number of images of the largest (Cao et
    /// al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019; F is the inverse of their `imb_factor`).
    pub imbalance_factor: Option<f64>,
    /// Fewest images of a client, with validation, in [`Scheme::Dirichlet`] and [`Scheme::Sizes`]; of a share in [`Scheme::Classes`] with
    /// Dirichlet sizes.
    pub smallest_share: usize,
    /// Images in a batch of training: where sizes differ, clients that have fewer are reported.
    pub batch_size: usize,
}

/// One client and its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// 0-based number; clients of one domain follow each other.
    pub id: usize,
    /// Index of its domain in the list given to [`partition`].
    pub domain: usize,
    /// Domain name and number within the domain, `MNIST-0`.
    pub name: String,
    /// The largest width it can train.
    pub budget: Ratio,
    /// Its training images: indices into the domain's training set.
    pub train: Vec<u32>,
    /// Its validation images: indices into the domain's training set, none of them in `train`.
    pub validation: Vec<u32>,
    /// Its test images: indices into the domain's test set.
    pub test: Vec<u32>,
}

impl Client {
    /// Whether the client can train: batch norm needs two images. One that cannot is never drawn for a round and
    /// has no weight.
    pub fn can_train(&self) -> bool {
        self.train.len() >= 2
    }

    /// One with so many training images.
    #[cfg(test)]
    pub(super) fn of(id: usize, budget: Ratio, images: usize) -> Client {
        let train = (0..images as u32).collect();
        Client { id, domain: 0, name: format!("D0-{id}"), budget, train, validation: vec![], test: vec![] }
    }
}

/// The parts of a client's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// For training.
    Training,
    /// For choosing the best round.
    Validation,
    /// For the final figures.
    Test,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Training => "training",
            Part::Validation => "validation",
            Part::Test => "test",
        })
    }
}

/// Something unusual about the clients' images that the user should know; training goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Clients without an image in a part. Without training images they do not train; without validation or test
    /// images they are left out of that mean.
    Empty {
        /// The part.
        part: Part,
        /// Names of the clients.
        clients: Vec<String>,
        /// Whether the user says who has which images.
        listed: bool,
    },
    /// Clients with a single image in a part. Such a client does not train; evaluated by batch statistics, its one
    /// image is predicted without regard to the image (a linear layer's batch norm gives its shift alone).
    Single {
        /// The part.
        part: Part,
        /// Names of the clients.
        clients: Vec<String>,
        /// Whether the user says who has which images.
        listed: bool,
    },
    /// Where sizes differ and every client takes the same number of steps: clients with two or more training images, but less
    /// than a full batch of them. All their images are in each of their batches.
    LessThanBatch {
        /// Images in a full batch.
        batch_size: usize,
        /// Names of the clients.
        clients: Vec<String>,
    },
    /// No client that trains has a corner of the network as wide as the network: the parameters outside it keep their first values.
    Untrained {
        /// Width of the widest corner that is trained.
        trained: Ratio,
        /// Width of the network.
        network: Ratio,
    },
    /// The share of validation images was chosen, but domains have a validation split of their own.
    RatioUnused {
        /// Names of the domains.
        domains: Vec<String>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, clients, images) = match self {
            Warning::RatioUnused { domains } => {
                return write!(
                    f,
                    "validation-ratio has no effect on {}: the data set has a validation split of its own there",
                    domains.join(", ")
                );
            }
            Warning::Untrained { trained, network } => {
                return write!(
                    f,
                    "no client with a budget above {trained} trains: the network, of width {network}, keeps its initial values outside the \
                     corner of width {trained}, and models wider than that are not fully trained; more images for clients of larger budgets, \
                     or smaller budgets, avoid this"
                );
            }
            Warning::Empty { part, clients, .. } => (part, clients, "no".to_string()),
            Warning::Single { part, clients, .. } => (part, clients, "only one".into()),
            Warning::LessThanBatch { batch_size, clients } => (&Part::Training, clients, format!("less than a full batch of {batch_size}")),
        };
        let shown = clients.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match clients.len() {
            0..=3 => String::new(),
            all => format!(" and {} more", all - 3),
        };
        let what = match (part, self) {
            (_, Warning::LessThanBatch { .. }) => "all of their images are in each of their batches",
            (Part::Training, _) => "they do not train (batch norm needs two images)",
            (_, Warning::Empty { .. }) => "they are left out of its mean accuracy",
            _ => "under batch statistics its prediction does not depend on the image",
        };
        let (s, advice) = match self {
            Warning::LessThanBatch { .. } => {
                ("s", "more images or fewer clients per domain, a larger smallest-share or a smaller batch-size avoid this")
            }
            Warning::Empty { listed: true, .. } | Warning::Single { listed: true, .. } => {
                ("", "give them more lines in the clients file, or their lines to other clients")
            }
            _ => ("", "more images or fewer clients per domain avoid this"),
        };
        write!(f, "{images} {part} image{s} for {shown}{more}: {what}; {advice}")
    }
}

/// The clients of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// All clients by number.
    pub clients: Vec<Client>,
    /// For each domain of the list, how many of its training images no client has (left by `train_per_domain`, by
    /// `percent`, by trimming to the smallest domain, or because they do not go round).
    pub unused_train: Vec<usize>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

/// Largest concentration of a Dirichlet law: from there on all shares are equal.
pub const LARGEST_ALPHA: f64 = 1e9;

/// The images of a client, where they are given and not dealt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedClient<'a> {
    /// Its name.
    pub name: &'a str,
    /// Index of its domain.
    pub domain: usize,
    /// Its training images: indices into the domain's training set.
    pub train: &'a [u32],
    /// Its validation images, likewise; empty: the share `validation_ratio` of its training images, drawn at random.
    pub validation: &'a [u32],
    /// Its test images: indices into the domain's test set.
    pub test: &'a [u32],
}

/// The clients that are given, in their order. `budgets` has those of so many clients, in client order.
///
/// # Errors
/// [`Error::Data`] where no client has two images to train on.
pub fn listed(clients: &[ListedClient], settings: &PartitionSettings, budgets: &dyn Fn(usize) -> Vec<Ratio>) -> Result<Partition> {
    let mut all = Vec::with_capacity(clients.len());
    for (id, (client, budget)) in clients.iter().zip(budgets(clients.len())).enumerate() {
        let (mut train, mut validation, mut test) = (client.train.to_vec(), client.validation.to_vec(), client.test.to_vec());
        // Lists are often sorted by class: batches of one class could not be normalised by their statistics.
        let order = |purpose| rng(settings.seed, purpose, client.domain as u64, id as u64, 0);
        test.shuffle(&mut order(Purpose::TestShares));
        if validation.is_empty() {
            train.shuffle(&mut order(Purpose::Shares));
            validation = train.split_off(train.len() - floor_share(train.len(), settings.validation_ratio));
        } else {
            validation.shuffle(&mut order(Purpose::ValidationShares));
        }
        let name = client.name.to_string();
        all.push(Client { id, domain: client.domain, name, budget, train, validation, test });
    }
    finished(all, Vec::new(), settings, true)
}

fn finished(clients: Vec<Client>, unused_train: Vec<usize>, settings: &PartitionSettings, listed: bool) -> Result<Partition> {
    if !clients.iter().any(Client::can_train) {
        return Err(none_can_train());
    }
    let warnings = warnings(&clients, settings, listed);
    Ok(Partition { clients, unused_train, warnings })
}

pub(super) fn none_can_train() -> Error {
    Error::Data("no client has two images to train on: give clients more training images, or lower validation-ratio".into())
}

/// Deals the images of `domains` to `clients_per_domain` clients each. `budgets` has those of so many clients, in client order.
///
/// # Errors
/// [`Error::Config`] for a setting outside its range; [`Error::Data`] when a
/// domain has too few images for two training images a client, or for the shares asked for.
pub fn partition(domains: &[DomainLabels], settings: &PartitionSettings, budgets: &dyn Fn(usize) -> Vec<Ratio>) -> Result<Partition> {
    check(domains, settings)?;
    let per_domain = settings.clients_per_domain;
    let usable: Vec<Vec<u32>> = domains.iter().enumerate().map(|(domain, labels)| usable(labels, settings, domain)).collect();
    // `check` has made sure that there is a domain.
    let Some((smallest, trimmed)) = domains.iter().zip(usable.iter().map(Vec::len)).min_by_key(|pair| pair.1) else {
        return Err(Error::Data("there is no domain to take images from".into()));
    };
    let fewest = trimmed / per_domain;
    let training = fewest - floor_share(fewest, smallest.validation_ratio(settings));
    // Shares may differ: a client that has too few is reported and does not train.
    if training < 2 {
        return Err(Error::Data(format!(
            "domain {}: {trimmed} of its {} training images are used, which gives each of {per_domain} clients {training} \
             to train on and {} to validate on, but a client needs two to train on: lower clients-per-domain or \
             validation-ratio, or raise percent or train-per-domain",
            smallest.name,
            smallest.train.len() - smallest.validation,
            fewest - training
        )));
    }

    let budgets = budgets(domains.len() * per_domain);
    let mut clients = Vec::with_capacity(budgets.len());
    let mut unused_train = vec![0; domains.len()];
    for place in 0..domains.len() {
        let domain = (settings.domain_order + place) % domains.len();
        let labels = &domains[domain];
        let count = if settings.scheme.sizes_differ() { usable[domain].len() } else { trimmed };
        let Shares { train, validation, test } = shares(&usable[domain][..count], labels, settings, domain)?;
        unused_train[domain] = labels.train.len() - labels.validation - train.iter().map(Vec::len).sum::<usize>();
        for (number, ((mine, given), test)) in train.into_iter().zip(validation).zip(test).enumerate() {
            let id = clients.len();
            let training = mine.len() - floor_share(mine.len(), labels.validation_ratio(settings));
            clients.push(Client {
                id,
                domain,
                name: format!("{}-{number}", labels.name),
                budget: budgets[id],
                train: mine[..training].to_vec(),
                validation: [&mine[training..], &given].concat(),
                test,
            });
        }
    }
    finished(clients, unused_train, settings, false)
}

impl DomainLabels<'_> {
    /// The share of a client's training images that is for validation.
    fn validation_ratio(&self, settings: &PartitionSettings) -> f64 {
        if self.validation > 0 { 0.0 } else { settings.validation_ratio }
    }
}

/// The training images of a domain that are dealt, in random order.
fn usable(labels: &DomainLabels, settings: &PartitionSettings, domain: usize) -> Vec<u32> {
    let all = labels.train.len() - labels.validation;
    let capped = all.min(settings.train_per_domain.unwrap_or(usize::MAX));
    let mut images = shuffled(all, settings.seed, Purpose::PartitionTrain, domain);
    images.truncate(floor_share(capped, settings.percent));
    if let Some(factor) = settings.imbalance_factor {
        let own = by_class(&images, labels.train);
        let largest = own.values().map(Vec::len).max().unwrap_or(0);
        let last = own.len().saturating_sub(1).max(1);
        // A billionth of slack keeps 5000/100 at 50.
        let most = |place: usize| (largest as f64 * libm::pow(factor, -(place as f64) / last as f64) + 1e-9) as usize;
        let mut left: BTreeMap<u8, usize> = own.keys().enumerate().map(|(place, class)| (*class, most(place).max(1))).collect();
        images.retain(|image| match left.get_mut(&labels.train[*image as usize]) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        });
    }
    images
}

/// One list of images per client.
type Hands = Vec<Vec<u32>>;

/// Images of each client of a domain.
struct Shares {
    /// To train on, and to validate on where the domain has no validation split of its own.
    train: Vec<Vec<u32>>,
    /// Of the domain's own validation split.
    validation: Vec<Vec<u32>>,
    test: Vec<Vec<u32>>,
}

/// Deals the images of a domain: the training images `train`, the whole validation split and the whole test split.
fn shares(train: &[u32], labels: &DomainLabels, settings: &PartitionSettings, domain: usize) -> Result<Shares> {
    let clients = settings.clients_per_domain;
    let test = shuffled(labels.test.len(), settings.seed, Purpose::PartitionTest, domain);
    // Test images that the scheme deals itself.
    let (train, dealt) = match settings.scheme {
        Scheme::Iid => (ranges(train, &vec![train.len() / clients; clients]), None),
        Scheme::Sizes { alpha } => {
            check_floor(train.len(), labels, settings)?;
            // The same law and the same draw for the test images.
            let sizes = |count: usize, floor| {
                let mut rng = rng(settings.seed, Purpose::Sizes, domain as u64, 0, 0);
                dirichlet_sizes(count, clients, alpha, floor, &mut rng)
            };
            let test = ranges(&test, &sizes(test.len(), 1.min(test.len() / clients)));
            (ranges(train, &sizes(train.len(), settings.smallest_share)), Some(test))
        }
        Scheme::Classes { per_client, sizes } => {
            let (train, test) = by_cards(train, &test, labels, per_client, sizes, settings, domain)?;
            (train, Some(test))
        }
        Scheme::Shards { per_client } => (by_shards(train, labels, per_client, settings, domain)?, None),
        Scheme::Dirichlet { alpha, self_balancing } => (by_label(train, labels, alpha, self_balancing, settings, domain)?, None),
    };
    let held: Vec<BTreeMap<u8, usize>> = train.iter().map(|own| class_counts(own, labels.train)).collect();
    let spread = |images: &[u32], of: &[u8], purpose| {
        let mut shares = match settings.tests {
            TestSplit::Even => return evenly(images, clients),
            TestSplit::Global => evenly_by_class(images, of, clients),
            TestSplit::Own | TestSplit::Redrawn => in_proportion(images, of, &held),
        };
        mix_classes(&mut shares, settings.seed, purpose, domain);
        shares
    };
    let test = match (settings.tests, dealt) {
        (TestSplit::Own | TestSplit::Redrawn, Some(dealt)) => dealt,
        _ => spread(&test, labels.test, Purpose::TestShares),
    };
    let first = labels.train.len() - labels.validation;
    let mut validation: Vec<u32> = (first as u32..labels.train.len() as u32).collect();
    validation.shuffle(&mut rng(settings.seed, Purpose::PartitionValidation, domain as u64, 0, 0));
    Ok(Shares { train, validation: spread(&validation, labels.train, Purpose::ValidationShares), test })
}

/// All images, in ranges that differ by at most one image.
fn evenly(images: &[u32], clients: usize) -> Vec<Vec<u32>> {
    let at = |number: usize| images.len() * number / clients;
    (0..clients).map(|number| images[at(number)..at(number + 1)].to_vec()).collect()
}

/// All images, each class in turn: number and classes of two clients differ by at most one image.
fn evenly_by_class(images: &[u32], of: &[u8], clients: usize) -> Vec<Vec<u32>> {
    let mut shares = vec![Vec::new(); clients];
    for (image, client) in by_class(images, of).into_values().flatten().zip((0..clients).cycle()) {
        shares[client].push(image);
    }
    shares
}

/// The images of each class in the proportions in which clients hold that class, to within one image; what rounding leaves goes to the
/// clients that have had least of what is due to them so far. Images of a class that no client holds are left out.
fn in_proportion(images: &[u32], of: &[u8], held: &[BTreeMap<u8, usize>]) -> Vec<Vec<u32>> {
    let mut shares = vec![Vec::new(); held.len()];
    let mut owed = vec![0.0; held.len()];
    for (class, own) in by_class(images, of) {
        let counts: Vec<u64> = held.iter().map(|counts| counts.get(&class).copied().unwrap_or(0) as u64).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            continue;
        }
        let due: Vec<u64> = counts.iter().map(|count| own.len() as u64 * count).collect();
        let mut sizes: Vec<usize> = due.iter().map(|due| (due / total) as usize).collect();
        owed.iter_mut().zip(&due).for_each(|(owed, due)| *owed += (due % total) as f64 / total as f64);
        let mut waiting: Vec<usize> = (0..held.len()).filter(|client| !due[*client].is_multiple_of(total)).collect();
        waiting.sort_by(|a, b| owed[*b].total_cmp(&owed[*a]));
        let rest = own.len() - sizes.iter().sum::<usize>();
        for client in waiting.into_iter().take(rest) {
            sizes[client] += 1;
            owed[client] -= 1.0;
        }
        shares.iter_mut().zip(ranges(&own, &sizes)).for_each(|(share, more)| share.extend(more));
    }
    shares
}

/// The images of each class, in their order.
fn by_class(images: &[u32], of: &[u8]) -> BTreeMap<u8, Vec<u32>> {
    let mut classes: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
    images.iter().for_each(|image| classes.entry(of[*image as usize]).or_default().push(*image));
    classes
}

fn class_counts(images: &[u32], of: &[u8]) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    images.iter().for_each(|image| *counts.entry(of[*image as usize]).or_default() += 1);
    counts
}

/// Checks that the training images go round with the fewest images of a client.
fn check_floor(count: usize, labels: &DomainLabels, settings: &PartitionSettings) -> Result<()> {
    let (clients, floor) = (settings.clients_per_domain, settings.smallest_share);
    if count < clients.saturating_mul(floor) {
        return Err(Error::Data(format!(
            "domain {}: {count} training images are too few for {clients} clients of at least {floor}: lower smallest-share or \
             clients-per-domain",
            labels.name
        )));
    }
    Ok(())
}

/// Training images by a Dirichlet law in each class.
fn by_label(
    train: &[u32],
    labels: &DomainLabels,
    alpha: f64,
    self_balancing: bool,
    settings: &PartitionSettings,
    domain: usize,
) -> Result<Vec<Vec<u32>>> {
    check_floor(train.len(), labels, settings)?;
    let clients = settings.clients_per_domain;
    let classes = by_class(train, labels.train);
    // How many images of each class every client gets, and of all.
    let mut counts = vec![vec![0; classes.len()]; clients];
    let mut held = vec![0; clients];
    for (place, (class, images)) in classes.iter().enumerate() {
        // Among all clients that have less than their equal share there is always one.
        let open: Vec<usize> = (0..clients).filter(|client| !self_balancing || held[*client] * clients < train.len()).collect();
        let key = &mut rng(settings.seed, Purpose::LabelShares, domain as u64, u64::from(*class), 0);
        let (mut sum, mut given) = (0.0, 0);
        for (client, share) in open.iter().zip(dirichlet(alpha, open.len(), key)) {
            sum += share;
            // Rounding the sum, not the share, loses no image; to the nearest, a client that has next to all gets all.
            let until = ((images.len() as f64 * sum).round() as usize).clamp(given, images.len());
            counts[*client][place] = until - given;
            held[*client] += until - given;
            given = until;
        }
        let last = open[open.len() - 1];
        counts[last][place] += images.len() - given;
        held[last] += images.len() - given;
    }
    fill_up(&mut counts, &mut held, settings.smallest_share);
    let mut shares = vec![Vec::new(); clients];
    for (place, images) in classes.values().enumerate() {
        let sizes: Vec<usize> = counts.iter().map(|own| own[place]).collect();
        shares.iter_mut().zip(ranges(images, &sizes)).for_each(|(share, more)| share.extend(more));
    }
    mix_classes(&mut shares, settings.seed, Purpose::Shares, domain);
    Ok(shares)
}

/// Gives every client that has fewer than `least` images what it lacks, from the client that has most and of that one's most frequent
/// class: as few changes as the floor allows, and none that makes the labels less skewed than needed. There are enough images.
fn fill_up(counts: &mut [Vec<usize>], held: &mut [usize], least: usize) {
    let mut donors: BinaryHeap<(usize, usize)> = held.iter().copied().zip(0..).filter(|(images, _)| *images > least).collect();
    for poor in 0..held.len() {
        while held[poor] < least {
            let Some((images, donor)) = donors.pop() else { return };
            let Some((class, own)) = counts[donor].iter().copied().enumerate().max_by_key(|(_, own)| *own) else { return };
            let moved = (least - held[poor]).min(images - least).min(own);
            counts[donor][class] -= moved;
            counts[poor][class] += moved;
            held[donor] -= moved;
            held[poor] += moved;
            if held[donor] > least {
                donors.push((held[donor], donor));
            }
        }
    }
}

/// Training images by shards of the images sorted by class.
fn by_shards(
    train: &[u32],
    labels: &DomainLabels,
    per_client: usize,
    settings: &PartitionSettings,
    domain: usize,
) -> Result<Vec<Vec<u32>>> {
    let clients = settings.clients_per_domain;
    let shards = clients.saturating_mul(per_client);
    let size = train.len().checked_div(shards).unwrap_or(0);
    if size == 0 {
        return Err(Error::Config(format!(
            "shards-per-client = {per_client}: domain {} has {} training images to deal, so each of its {clients} clients can have 1 to {} \
             shards",
            labels.name,
            train.len(),
            train.len() / clients
        )));
    }
    // The images are in random order: those left over are not of the last class alone.
    let mut sorted = train[..shards * size].to_vec();
    sorted.sort_by_key(|image| labels.train[*image as usize]);
    let mut order: Vec<usize> = (0..shards).collect();
    order.shuffle(&mut rng(settings.seed, Purpose::Shards, domain as u64, 0, 0));
    let shard = |number: &usize| &sorted[number * size..(number + 1) * size];
    let mut shares: Vec<Vec<u32>> = order.chunks(per_client).map(|own| own.iter().flat_map(shard).copied().collect()).collect();
    mix_classes(&mut shares, settings.seed, Purpose::Shares, domain);
    Ok(shares)
}

/// Shuffles each client's images, which come class by class: so validation has the classes in the proportions of training, and the batches
/// of a test have the classes of the client, by whose statistics they are normalised.
fn mix_classes(shares: &mut [Vec<u32>], seed: u64, purpose: Purpose, domain: usize) {
    for (client, share) in shares.iter_mut().enumerate() {
        share.shuffle(&mut rng(seed, purpose, domain as u64, client as u64, 0));
    }
}

/// Training and test images by cards of classes.
fn by_cards(
    train: &[u32],
    test: &[u32],
    labels: &DomainLabels,
    per_client: usize,
    sizes: Option<f64>,
    settings: &PartitionSettings,
    domain: usize,
) -> Result<(Hands, Hands)> {
    let classes: Vec<u8> = class_counts(train, labels.train).into_keys().collect();
    if per_client == 0 || per_client > classes.len() {
        return Err(Error::Config(format!(
            "classes-per-client = {per_client}: domain {} has {} classes, so it must be 1 to {}",
            labels.name,
            classes.len(),
            classes.len()
        )));
    }
    let clients = settings.clients_per_domain;
    let key = |purpose, a: u64| rng(settings.seed, purpose, domain as u64, a, 0);
    let deal = |purpose: Purpose| -> Vec<Vec<u8>> {
        let (mut deck, mut shuffles) = (Vec::new(), 0);
        let mut card = || {
            if deck.is_empty() {
                deck.clone_from(&classes);
                deck.shuffle(&mut key(purpose, shuffles));
                shuffles += 1;
            }
            deck.pop().unwrap_or_default()
        };
        (0..clients).map(|_| (0..per_client).map(|_| card()).collect()).collect()
    };
    // The images of a class, split over its cards in the order of the clients.
    let split = |images: &[u32], of: &[u8], hands: &[Vec<u8>], purpose: Purpose, least: usize| -> Result<Vec<Vec<u32>>> {
        let mut shares = vec![Vec::new(); clients];
        for (class, own) in by_class(images, of) {
            let owners: Vec<usize> =
                hands.iter().enumerate().flat_map(|(c, hand)| hand.iter().filter(|k| **k == class).map(move |_| c)).collect();
            if owners.is_empty() {
                continue;
            }
            let sizes = match sizes {
                Some(alpha) if own.len() < owners.len().saturating_mul(least) => {
                    return Err(Error::Data(format!(
                        "domain {}: {} images of class {class} are too few for {} share(s) of at least {least} (Dirichlet law {alpha}): lower \
                         smallest-share, classes-per-client or clients-per-domain",
                        labels.name,
                        own.len(),
                        owners.len()
                    )));
                }
                Some(alpha) => dirichlet_sizes(own.len(), owners.len(), alpha, least, &mut key(purpose, u64::from(class))),
                None => vec![own.len() / owners.len(); owners.len()],
            };
            for (client, images) in owners.into_iter().zip(ranges(&own, &sizes)) {
                shares[client].extend(images);
            }
        }
        mix_classes(&mut shares, settings.seed, Purpose::Shares, domain);
        Ok(shares)
    };
    let hands = deal(Purpose::Classes);
    let test_hands = if settings.tests == TestSplit::Redrawn { deal(Purpose::TestClasses) } else { hands.clone() };
    let train = split(train, labels.train, &hands, Purpose::Sizes, settings.smallest_share)?;
    Ok((train, split(test, labels.test, &test_hands, Purpose::TestSizes, 0)?))
}

/// Consecutive parts of those lengths; what is left over belongs to none.
fn ranges(all: &[u32], sizes: &[usize]) -> Vec<Vec<u32>> {
    let mut rest = all;
    let take = |size: &usize| {
        let (own, after) = rest.split_at(*size);
        rest = after;
        own.to_vec()
    };
    sizes.iter().map(take).collect()
}

/// `count` images in `shares` shares of at least `floor`: the floor, and of the rest the proportions of a symmetric Dirichlet
/// draw; what rounding down leaves goes to shares drawn at random.
fn dirichlet_sizes(count: usize, shares: usize, alpha: f64, floor: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let free = count - shares * floor;
    let gamma = Gamma::new(alpha, 1.0).expect("α is checked to be above 0");
    let draws: Vec<f64> = (0..shares).map(|_| gamma.sample(rng)).collect();
    let total: f64 = draws.iter().sum();
    // For a tiny α every draw may be 0.
    let draws: Vec<f64> = match total > 0.0 {
        true => draws.iter().map(|draw| draw / total).collect(),
        false => dirichlet(alpha, shares, rng),
    };
    let mut sizes: Vec<usize> = draws.iter().map(|share| floor + (free as f64 * share) as usize).collect();
    for _ in 0..count.saturating_sub(sizes.iter().sum()) {
        sizes[rng.random_range(0..shares)] += 1;
    }
    sizes
}

/// A draw of a symmetric Dirichlet law of concentration `alpha`: `count` shares, at least one, whose sum is 1. For any α above 0: gamma
/// variates are compared by their logarithms, `ln Γ(α) = ln Γ(α + 1) + ln U/α`, as they themselves are below the smallest number for a
/// tiny α (Marsaglia, Tsang: "A simple method for generating gamma variables", 2000, section 6).
fn dirichlet(alpha: f64, count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let gamma = Gamma::new(alpha + 1.0, 1.0).expect("α is checked to be above 0");
    let logarithm = |rng: &mut ChaCha8Rng| {
        // In (0, 1].
        let uniform = 1.0 - rng.random::<f64>();
        libm::log(gamma.sample(rng)) + libm::log(uniform) / alpha
    };
    let draws: Vec<f64> = (0..count).map(|_| logarithm(rng)).collect();
    let largest = draws.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        // As α goes to 0, one of them has it all.
        let all = rng.random_range(0..count);
        return (0..count).map(|i| f64::from(u8::from(i == all))).collect();
    }
    let shares: Vec<f64> = draws.iter().map(|draw| libm::exp(draw - largest)).collect();
    let total: f64 = shares.iter().sum();
    shares.iter().map(|share| share / total).collect()
}

fn check(domains: &[DomainLabels], settings: &PartitionSettings) -> Result<()> {
    let wrong = |what: String| Err(Error::Config(what));
    if domains.is_empty() {
        return Err(Error::Data("there is no domain to take images from".into()));
    }
    if settings.clients_per_domain == 0 {
        return wrong("clients-per-domain must be at least 1".into());
    }
    if !(settings.percent > 0.0 && settings.percent <= 1.0) {
        return wrong(format!("percent is a share in (0, 1], not {}", settings.percent));
    }
    if !(settings.validation_ratio >= 0.0 && settings.validation_ratio < 1.0) {
        return wrong(format!("validation-ratio is a share in [0, 1), not {}", settings.validation_ratio));
    }
    if settings.domain_order >= domains.len() {
        return wrong(format!(
            "domain-order = {}: the {} domains are numbered from 0: choose a smaller number",
            settings.domain_order,
            domains.len()
        ));
    }
    let (key, alpha) = match settings.scheme {
        Scheme::Dirichlet { alpha, .. } | Scheme::Sizes { alpha } => ("alpha", alpha),
        Scheme::Classes { sizes: Some(alpha), .. } => ("dirichlet", alpha),
        _ => ("alpha", 1.0),
    };
    if !(alpha > 0.0 && alpha <= LARGEST_ALPHA) {
        return wrong(format!("{key} = {alpha}: the concentration of a Dirichlet law is a number above 0 and at most {LARGEST_ALPHA:e}"));
    }
    if let Some(factor) = settings.imbalance_factor.filter(|factor| !(*factor >= 1.0 && factor.is_finite())) {
        return wrong(format!("imbalance-factor must be a number of at least 1, not {factor}"));
    }
    if settings.tests == TestSplit::Redrawn && !matches!(settings.scheme, Scheme::Classes { .. }) {
        return wrong("test-partition = redrawn: classes are drawn with partition = classes only: choose own or global".into());
    }
    if let Some(domain) = domains.iter().find(|domain| domain.validation > domain.train.len()) {
        return Err(Error::Data(format!("domain {}: its validation split is larger than its training split", domain.name)));
    }
    if let Some(domain) = domains.iter().find(|domain| u32::try_from(domain.train.len().max(domain.test.len())).is_err()) {
        return Err(Error::Data(format!("domain {}: more than {} images", domain.name, u32::MAX)));
    }
    Ok(())
}

/// `⌊count·share⌋`, where the share is meant as the decimal that was written: a billionth of slack keeps 10·0.7 at 7
/// though the nearest doubles multiply to less.
fn floor_share(count: usize, share: f64) -> usize {
    ((count as f64 * share + 1e-9) as usize).min(count)
}

fn shuffled(count: usize, seed: u64, purpose: Purpose, domain: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    order.shuffle(&mut rng(seed, purpose, domain as u64, 0, 0));
    order
}

/// The warnings for clients however they were dealt their images; `listed`: by the user.
pub fn warnings(clients: &[Client], settings: &PartitionSettings, listed: bool) -> Vec<Warning> {
    let named = |part: Part, images: Range<usize>| -> Vec<String> {
        let size = |client: &Client| match part {
            Part::Training => client.train.len(),
            Part::Validation => client.validation.len(),
            Part::Test => client.test.len(),
        };
        clients.iter().filter(|client| images.contains(&size(client))).map(|client| client.name.clone()).collect()
    };
    let mut warnings = Vec::new();
    for part in [Part::Training, Part::Validation, Part::Test] {
        let (empty, single) = (named(part, 0..1), named(part, 1..2));
        if !empty.is_empty() {
            warnings.push(Warning::Empty { part, clients: empty, listed });
        }
        if !single.is_empty() {
            warnings.push(Warning::Single { part, clients: single, listed });
        }
    }
    let few = named(Part::Training, 2..settings.batch_size);
    if settings.scheme.sizes_differ() && !few.is_empty() {
        warnings.push(Warning::LessThanBatch { batch_size: settings.batch_size, clients: few });
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fl::Budgets;
    use std::collections::BTreeSet;

    /// Labels of ten classes in turn.
    const LABELS: &[u8] = &{
        let mut all = [0u8; 8000];
        let mut i = 0;
        while i < all.len() {
            all[i] = (i % 10) as u8;
            i += 1;
        }
        all
    };

    fn domains(sizes: &[(usize, usize)]) -> Vec<DomainLabels<'static>> {
        let named = |(index, &(train, test)): (usize, &(usize, usize))| DomainLabels {
            name: format!("D{index}"),
            train: &LABELS[..train],
            test: &LABELS[..test],
            validation: 0,
        };
        sizes.iter().enumerate().map(named).collect()
    }

    fn settings() -> PartitionSettings {
        PartitionSettings {
            seed: 1,
            clients_per_domain: 10,
            train_per_domain: None,
            percent: 1.0,
            validation_ratio: 0.5,
            domain_order: 0,
            scheme: Scheme::Iid,
            tests: TestSplit::Even,
            imbalance_factor: None,
            smallest_share: 16,
            batch_size: 32,
        }
    }

    fn budgets(clients: usize) -> Vec<Ratio> {
        "8-4-2-1".parse::<Budgets>().unwrap().client_ratios(clients)
    }

    #[test]
    fn the_papers_digits_split() {
        // 7 430 images a domain, 0.3 of them: 2 229; 10 clients: 222 each, 9 over; half for validation: 111.
        let all = domains(&[(7430, 100), (7430, 107), (7430, 2007), (7430, 11), (7430, 10)]);
        let dealt = partition(&all, &PartitionSettings { percent: 0.3, ..settings() }, &budgets).unwrap();
        assert_eq!(dealt.clients.len(), 50);
        assert_eq!(dealt.unused_train, [7430 - 2220; 5]);
        for client in &dealt.clients {
            assert_eq!((client.train.len(), client.validation.len()), (111, 111));
            assert_eq!(super::super::batches::batch_sizes(111, 32).unwrap().len(), 4);
        }
        assert_eq!(dealt.clients.iter().map(|client| 8.0 * client.budget.as_f64()).sum::<f64>(), 185.0);
        let third = &dealt.clients[32];
        assert_eq!((third.id, third.domain, third.name.as_str()), (32, 3, "D3-2"));
        assert_eq!(third.budget.to_string(), "1/2");
    }

    #[test]
    fn no_image_is_dealt_twice_and_no_test_image_is_lost() {
        let all = domains(&[(103, 57), (200, 3)]);
        let dealt = partition(&all, &settings(), &budgets).unwrap();
        for (domain, sizes) in all.iter().enumerate() {
            let mine: Vec<&Client> = dealt.clients.iter().filter(|client| client.domain == domain).collect();
            let train: Vec<u32> = mine.iter().flat_map(|c| c.train.iter().chain(&c.validation)).copied().collect();
            assert_eq!(train.len(), 100);
            assert_eq!(train.iter().collect::<BTreeSet<_>>().len(), 100);
            assert!(train.iter().all(|&index| (index as usize) < sizes.train.len()));
            let mut test: Vec<u32> = mine.iter().flat_map(|client| client.test.clone()).collect();
            test.sort_unstable();
            assert_eq!(test, (0..sizes.test.len() as u32).collect::<Vec<_>>());
            let lengths: Vec<usize> = mine.iter().map(|client| client.test.len()).collect();
            assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1, "{lengths:?}");
        }
        assert_eq!(dealt.unused_train, [3, 100]);
    }

    #[test]
    fn shares_are_contiguous_ranges_of_the_shuffled_domain() {
        let all = domains(&[(40, 0)]);
        let four = PartitionSettings { clients_per_domain: 4, validation_ratio: 0.3, ..settings() };
        let dealt = partition(&all, &four, &budgets).unwrap();
        let order = shuffled(40, 1, Purpose::PartitionTrain, 0);
        assert_ne!(order, (0..40).collect::<Vec<u32>>());
        for (number, client) in dealt.clients.iter().enumerate() {
            assert_eq!(client.train, order[10 * number..10 * number + 7]);
            assert_eq!(client.validation, order[10 * number + 7..10 * number + 10]);
        }
    }

    #[test]
    fn cap_then_percent_then_trim() {
        // Capped to 100, 100, 50; half of each: 50, 50, 25; all trimmed to 25; 5 clients: 5 each.
        let all = domains(&[(1000, 10), (100, 10), (50, 10)]);
        let five =
            PartitionSettings { clients_per_domain: 5, train_per_domain: Some(100), percent: 0.5, validation_ratio: 0.0, ..settings() };
        let dealt = partition(&all, &five, &budgets).unwrap();
        assert!(dealt.clients.iter().all(|client| client.train.len() == 5 && client.validation.is_empty()));
        assert_eq!(dealt.unused_train, [975, 75, 25]);
        assert_eq!(dealt.warnings.len(), 1);
        assert!(matches!(&dealt.warnings[0], Warning::Empty { part: Part::Validation, clients, .. } if clients.len() == 15));
    }

    #[test]
    fn domain_order_rotates_the_numbering_and_keeps_the_shares() {
        let all = domains(&[(100, 50), (100, 50), (100, 50)]);
        let plain = partition(&all, &settings(), &budgets).unwrap();
        let rotated = partition(&all, &PartitionSettings { domain_order: 1, ..settings() }, &budgets).unwrap();
        let order: Vec<usize> = rotated.clients.iter().step_by(10).map(|client| client.domain).collect();
        assert_eq!(order, [1, 2, 0]);
        assert_eq!(rotated.clients[0].name, "D1-0");
        assert_eq!(rotated.clients[0].train, plain.clients[10].train);
        assert_eq!(rotated.clients[29].test, plain.clients[9].test);
        // Budgets stay with the number, not with the domain.
        assert_eq!(rotated.clients[0].budget, Ratio::EIGHTH);
        assert_eq!(rotated.clients[29].budget, Ratio::ONE);
    }

    #[test]
    fn decimals_are_meant_as_written() {
        assert_eq!(floor_share(7430, 0.3), 2229);
        assert_eq!(floor_share(10, 0.7), 7);
        assert_eq!(floor_share(100, 0.29), 29); // 28.999… in doubles
        assert_eq!(floor_share(3, 1.0), 3);
        assert_eq!(floor_share(9, 0.0), 0);
    }

    #[test]
    fn too_few_images_name_the_domain_and_the_way_out() {
        let all = domains(&[(100, 10), (29, 10)]);
        let message = partition(&all, &settings(), &budgets).unwrap_err().to_string();
        assert!(message.contains("domain D1: 29 of its 29") && message.contains("clients-per-domain"), "{message}");
        // Two training images each are enough: 29/9 = 3 a client, one of them for validation.
        let nine = PartitionSettings { clients_per_domain: 9, ..settings() };
        assert!(partition(&all, &nine, &budgets).is_ok());
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let all = domains(&[(100, 10), (100, 10)]);
        let refused = |settings: PartitionSettings, word: &str| {
            let error = partition(&all, &settings, &budgets).unwrap_err();
            assert!(matches!(&error, Error::Config(message) if message.contains(word)), "{error}");
        };
        refused(PartitionSettings { clients_per_domain: 0, ..settings() }, "clients-per-domain");
        for percent in [0.0, -1.0, 1.5, f64::NAN] {
            refused(PartitionSettings { percent, ..settings() }, "percent");
        }
        for validation_ratio in [-0.1, 1.0, f64::NAN] {
            refused(PartitionSettings { validation_ratio, ..settings() }, "validation-ratio");
        }
        refused(PartitionSettings { domain_order: 2, ..settings() }, "domain-order");
        assert!(partition(&[], &settings(), &budgets).is_err());
    }

    #[test]
    fn small_parts_are_told() {
        // 10 clients, 4 validation images of a share of … 1 each; 15 test images: 5 clients with 2, 5 with 1.
        let all = domains(&[(40, 15), (40, 5)]);
        let dealt = partition(&all, &PartitionSettings { validation_ratio: 0.25, ..settings() }, &budgets).unwrap();
        let counts: Vec<(bool, Part, usize)> = dealt
            .warnings
            .iter()
            .map(|warning| match warning {
                Warning::Empty { part, clients, .. } => (true, *part, clients.len()),
                Warning::Single { part, clients, .. } => (false, *part, clients.len()),
                _ => unreachable!("sizes are equal, and bases are trained whole"),
            })
            .collect();
        assert_eq!(counts, [(false, Part::Validation, 20), (true, Part::Test, 5), (false, Part::Test, 10)]);
        let told = dealt.warnings[1].to_string();
        assert!(told.contains("no test image") && told.contains("and 2 more"), "{told}");
    }

    #[test]
    fn clients_that_cannot_train_are_told() {
        let all = domains(&[(40, 20)]);
        let mut clients = partition(&all, &settings(), &budgets).unwrap().clients;
        clients[3].train.truncate(1);
        clients[4].train.clear();
        assert!(!clients[3].can_train() && !clients[4].can_train() && clients[5].can_train());
        let told = |listed| warnings(&clients, &settings(), listed).iter().map(Warning::to_string).collect::<Vec<_>>();
        let dealt = told(false);
        assert!(dealt[0].contains("no training image for D0-4: they do not train"), "{dealt:?}");
        assert!(dealt[1].contains("only one training image for D0-3"), "{dealt:?}");
        assert!(dealt[1].ends_with("; more images or fewer clients per domain avoid this"), "{dealt:?}");
        // There are no clients per domain where a file names them.
        let advice = "; give them more lines in the clients file, or their lines to other clients";
        assert!(told(true)[..2].iter().all(|told| told.ends_with(advice)), "{:?}", told(true));
    }

    #[test]
    fn the_seed_decides() {
        let all = domains(&[(100, 50)]);
        let dealt = |seed| partition(&all, &PartitionSettings { seed, ..settings() }, &budgets).unwrap();
        assert_eq!(dealt(1), dealt(1));
        assert_ne!(dealt(1).clients[0].train, dealt(2).clients[0].train);
        assert_ne!(dealt(1).clients[0].test, dealt(2).clients[0].test);
    }

    fn classes_of(images: &[u32]) -> BTreeSet<u8> {
        images.iter().map(|i| LABELS[*i as usize]).collect()
    }

    #[test]
    fn classes_are_dealt_equally_and_their_images_split_over_the_owners() {
        let all = domains(&[(5000, 1000)]);
        let (scheme, tests) = (Scheme::Classes { per_client: 3, sizes: None }, TestSplit::Redrawn);
        let three = PartitionSettings { clients_per_domain: 100, scheme, tests, validation_ratio: 0.1, ..settings() };
        let dealt = partition(&all, &three, &budgets).unwrap();
        // 300 cards of 10 classes: 30 each, of ⌊500 / 30⌋ = 16 images; a client has 48, 4 of them for validation.
        for client in &dealt.clients {
            assert_eq!((client.train.len(), client.validation.len()), (44, 4));
            assert!(classes_of(&client.train).len() <= 3);
            assert!(classes_of(&client.validation).is_subset(&classes_of(&client.train)));
            assert_eq!(client.test.len(), 9);
        }
        let used: Vec<u32> = dealt.clients.iter().flat_map(|c| c.train.iter().chain(&c.validation)).copied().collect();
        assert_eq!(used.iter().collect::<BTreeSet<_>>().len(), used.len());
        let mut counts = [0; 10];
        used.iter().for_each(|i| counts[LABELS[*i as usize] as usize] += 1);
        assert_eq!(counts, [480; 10]);
        assert_eq!(dealt.unused_train, [200]);
        let same = |d: &Partition| d.clients.iter().filter(|c| classes_of(&c.test) == classes_of(&c.train)).count();
        assert!(same(&dealt) < 20);
        let consistent = partition(&all, &PartitionSettings { tests: TestSplit::Own, ..three }, &budgets).unwrap();
        assert_eq!(same(&consistent), 100);
        assert_eq!(consistent.clients[7].train, dealt.clients[7].train);
    }

    #[test]
    fn dirichlet_sizes_keep_the_floor_and_lose_no_image() {
        let all = domains(&[(5000, 1000), (800, 90)]);
        let (scheme, tests) = (Scheme::Sizes { alpha: 1.0 }, TestSplit::Own);
        let sizes = PartitionSettings { scheme, tests, validation_ratio: 0.1, ..settings() };
        let dealt = partition(&all, &sizes, &budgets).unwrap();
        assert_eq!(dealt.unused_train, [0, 0]);
        for (domain, labels) in all.iter().enumerate() {
            let own: Vec<usize> = dealt.clients.iter().filter(|c| c.domain == domain).map(|c| c.train.len() + c.validation.len()).collect();
            assert!(own.iter().all(|n| *n >= 16), "{own:?}");
            assert!(own.iter().max() > own.iter().min().map(|n| n * 2).as_ref(), "{own:?}");
            let test: usize = dealt.clients.iter().filter(|c| c.domain == domain).map(|c| c.test.len()).sum();
            assert_eq!(test, labels.test.len());
        }
        // The mean size of many draws is the equal one.
        let mut rng = super::rng(1, Purpose::Sizes, 0, 0, 0);
        let mean: f64 = (0..2000).map(|_| dirichlet_sizes(1000, 10, 1.0, 20, &mut rng)[3] as f64).sum::<f64>() / 2000.0;
        assert!((mean - 100.0).abs() < 5.0, "{mean}");
        // Class-wise, the shares of a class differ.
        let classes = Scheme::Classes { per_client: 3, sizes: Some(1.0) };
        let both = PartitionSettings { scheme: classes, tests: TestSplit::Redrawn, ..sizes.clone() };
        let dealt = partition(&domains(&[(5000, 1000)]), &both, &budgets).unwrap();
        assert_eq!(dealt.unused_train, [0]);
        assert!(dealt.clients.iter().all(|c| c.train.len() + c.validation.len() >= 48 && classes_of(&c.train).len() <= 3));
        // Also where the product of clients and least images is past what a number holds.
        for smallest_share in [501, 1 << 62] {
            for scheme in [scheme, classes] {
                let many = PartitionSettings { smallest_share, scheme, ..sizes.clone() };
                let told = partition(&domains(&[(5000, 10)]), &many, &budgets).unwrap_err();
                assert!(told.to_string().contains("lower smallest-share"), "{told}");
            }
        }
    }

    #[test]
    fn clients_of_less_than_a_batch_are_told_where_sizes_differ() {
        let (scheme, tests) = (Scheme::Sizes { alpha: 0.3 }, TestSplit::Own);
        let sizes = PartitionSettings { scheme, tests, smallest_share: 4, ..settings() };
        let dealt = partition(&domains(&[(1000, 400)]), &sizes, &budgets).unwrap();
        let few: Vec<String> = dealt.clients.iter().filter(|c| (2..32).contains(&c.train.len())).map(|c| c.name.clone()).collect();
        assert!(!few.is_empty() && few.len() < 10, "{few:?}");
        let warning = Warning::LessThanBatch { batch_size: 32, clients: few };
        assert!(dealt.warnings.contains(&warning), "{:?}", dealt.warnings);
        let told = warning.to_string();
        assert!(told.starts_with("less than a full batch of 32 training images for D0-") && told.contains("smaller batch-size"), "{told}");
        let equal = partition(&domains(&[(100, 40)]), &settings(), &budgets).unwrap();
        assert_eq!(equal.warnings, []);
    }

    #[test]
    fn where_no_client_can_train_it_is_told_what_to_do() {
        let none = ListedClient { name: "Ulm", domain: 0, train: &[3, 4], validation: &[], test: &[1] };
        let dealt = |validation_ratio| listed(&[none], &PartitionSettings { validation_ratio, ..settings() }, &budgets);
        let told = dealt(0.5).unwrap_err().to_string();
        assert!(told.contains("more training images") && told.contains("lower validation-ratio"), "{told}");
        assert!(dealt(0.0).is_ok());
    }

    #[test]
    fn class_wise_settings_out_of_range_are_refused() {
        for classes in [0, 11] {
            let scheme = Scheme::Classes { per_client: classes, sizes: None };
            let wrong = PartitionSettings { scheme, ..settings() };
            let told = partition(&domains(&[(1000, 100)]), &wrong, &budgets).unwrap_err().to_string();
            assert!(told.contains("1 to 10"), "{told}");
        }
        for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let schemes = [
                ("alpha", Scheme::Sizes { alpha }),
                ("alpha", Scheme::Dirichlet { alpha, self_balancing: false }),
                ("dirichlet", Scheme::Classes { per_client: 3, sizes: Some(alpha) }),
            ];
            for (key, scheme) in schemes {
                let wrong = PartitionSettings { scheme, ..settings() };
                let message = partition(&domains(&[(1000, 100)]), &wrong, &budgets).unwrap_err().to_string();
                assert!(message.starts_with(&format!("{key} = {alpha}: ")), "{message}");
            }
        }
        let shards = PartitionSettings { scheme: Scheme::Shards { per_client: 101 }, ..settings() };
        let message = partition(&domains(&[(1000, 100)]), &shards, &budgets).unwrap_err().to_string();
        assert_eq!(
            message,
            "shards-per-client = 101: domain D0 has 1000 training images to deal, so each of its 10 clients can have 1 to 100 shards"
        );
        let huge = PartitionSettings { scheme: Scheme::Shards { per_client: usize::MAX }, ..settings() };
        assert!(partition(&domains(&[(1000, 100)]), &huge, &budgets).is_err());
        let redrawn = PartitionSettings { tests: TestSplit::Redrawn, ..settings() };
        assert!(partition(&domains(&[(1000, 100)]), &redrawn, &budgets).unwrap_err().to_string().contains("test-partition = redrawn"));
    }

    /// What the shares of a client look like by an independent generator: bounds and how often a share lies below each, of a million draws
    /// (see `golden/make_dirichlet.py`).
    const REFERENCE: &str = include_str!("golden/dirichlet.csv");

    /// (α, shares, bounds, probabilities) of each line.
    fn reference() -> Vec<(f64, usize, Vec<f64>, Vec<f64>)> {
        let line = |line: &str| {
            let numbers = |text: &str| text.split(' ').map(|n| n.parse().unwrap()).collect::<Vec<f64>>();
            let parts: Vec<&str> = line.split(',').collect();
            (parts[0].parse().unwrap(), parts[1].parse().unwrap(), numbers(parts[2]), numbers(parts[3]))
        };
        REFERENCE.lines().skip(1).map(line).collect()
    }

    /// χ² of values by the intervals between bounds against their probabilities, over its 99.9% quantile (Wilson and Hilferty's
    /// approximation). Intervals in which less than ten are expected join the next.
    fn chi_square(values: &[f64], bounds: &[f64], below: &[f64]) -> f64 {
        let n = values.len() as f64;
        let ends: Vec<(f64, f64)> = bounds.iter().copied().zip(below.iter().copied()).chain([(f64::INFINITY, 1.0)]).collect();
        let (mut from, mut before, mut sum, mut bins) = (f64::NEG_INFINITY, 0.0, 0.0, 0);
        for (i, (bound, probability)) in ends.iter().enumerate() {
            let rest = n * (1.0 - probability);
            if n * (probability - before) < 10.0 || (rest < 10.0 && i + 1 < ends.len()) {
                continue;
            }
            let expected = n * (probability - before);
            let seen = values.iter().filter(|v| from <= **v && **v < *bound).count() as f64;
            sum += (seen - expected).powi(2) / expected;
            (from, before, bins) = (*bound, *probability, bins + 1);
        }
        assert!(bins >= 2 && before == 1.0, "{bins} intervals, up to {before}");
        let freedom = f64::from(bins - 1);
        let spread = 2.0 / (9.0 * freedom);
        sum / (freedom * (1.0 - spread + 3.09 * spread.sqrt()).powi(3))
    }

    #[test]
    fn dirichlet_draws_have_the_reference_law() {
        for (alpha, count, bounds, below) in reference() {
            let mut rng = super::rng(3, Purpose::LabelShares, count as u64, 0, 0);
            let draws: Vec<Vec<f64>> = (0..4000).map(|_| dirichlet(alpha, count, &mut rng)).collect();
            for draw in &draws {
                assert!((draw.iter().sum::<f64>() - 1.0).abs() < 1e-9 && draw.iter().all(|share| (0.0..=1.0).contains(share)), "{draw:?}");
            }
            for client in [0, count - 1] {
                let own: Vec<f64> = draws.iter().map(|draw| draw[client]).collect();
                let ratio = chi_square(&own, &bounds, &below);
                assert!(ratio < 1.0, "α {alpha}, {count} shares, client {client}: χ² is {ratio} of what it may be");
            }
            // The test can fail: it knows this α from half of it.
            let other: Vec<f64> = (0..4000).map(|_| dirichlet(alpha / 2.0, count, &mut rng)[0]).collect();
            assert!(chi_square(&other, &bounds, &below) > 1.0, "α {alpha} is not known from its half");
        }
        // However small or large α is, there is no number that is none.
        for alpha in [f64::MIN_POSITIVE * 1e-10, 1e-300, 1e-3, 1e3, LARGEST_ALPHA] {
            let draw = dirichlet(alpha, 7, &mut super::rng(1, Purpose::LabelShares, 0, 0, 0));
            assert!((draw.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{draw:?}");
            assert!(alpha > 1e-300 || draw.contains(&1.0), "α {alpha}: {draw:?}");
            assert!(alpha < LARGEST_ALPHA || draw.iter().all(|share| (share - 1.0 / 7.0).abs() < 1e-4), "α {alpha}: {draw:?}");
        }
    }

    fn by_labels(alpha: f64) -> PartitionSettings {
        let scheme = Scheme::Dirichlet { alpha, self_balancing: false };
        PartitionSettings { scheme, tests: TestSplit::Own, validation_ratio: 0.0, ..settings() }
    }

    /// Images of each class, of training and validation together.
    fn held(client: &Client) -> [usize; 10] {
        let mut counts = [0; 10];
        client.train.iter().chain(&client.validation).for_each(|i| counts[LABELS[*i as usize] as usize] += 1);
        counts
    }

    #[test]
    fn classes_are_shared_by_the_reference_law() {
        let all = domains(&[(2000, 10)]);
        for (alpha, clients, bounds, below) in reference() {
            // Shares are whole images, 200 in a class: bounds between two numbers of images are compared, but for next to none and
            // next to all, whose numbers depend on the rounding.
            let (bounds, below): (Vec<f64>, Vec<f64>) =
                bounds.into_iter().zip(below).filter(|(b, _)| ((b * 200.0).fract() - 0.5).abs() < 1e-6 && (0.01..0.99).contains(b)).unzip();
            // For a larger α the shares differ by less than an image.
            if clients != 10 || alpha > 10.0 {
                continue;
            }
            let mut shares = Vec::new();
            for seed in 1000..1300 {
                let set = PartitionSettings { seed, smallest_share: 0, ..by_labels(alpha) };
                let dealt = partition(&all, &set, &budgets).unwrap();
                let totals: usize = dealt.clients.iter().map(|client| client.train.len()).sum();
                assert_eq!(totals, 2000);
                shares.extend(held(&dealt.clients[3]).map(|n| n as f64 / 200.0));
            }
            let ratio = chi_square(&shares, &bounds, &below);
            assert!(ratio < 1.0, "α {alpha}: χ² is {ratio} of what it may be");
        }
    }

    #[test]
    fn no_client_is_left_without_images_and_no_image_is_lost() {
        let all = domains(&[(8000, 2000), (3000, 500)]);
        for alpha in [1e-3, 1e-2, 0.1, 1.0, 1e3] {
            for (self_balancing, clients_per_domain) in [(false, 10), (true, 10), (false, 150), (true, 150)] {
                let scheme = Scheme::Dirichlet { alpha, self_balancing };
                let set = PartitionSettings { scheme, clients_per_domain, ..by_labels(alpha) };
                let dealt = partition(&all, &set, &budgets).unwrap();
                assert_eq!(dealt.unused_train, [0, 0]);
                for (domain, labels) in all.iter().enumerate() {
                    let own: Vec<&Client> = dealt.clients.iter().filter(|c| c.domain == domain).collect();
                    let mut images: Vec<u32> = own.iter().flat_map(|c| c.train.clone()).collect();
                    images.sort_unstable();
                    assert_eq!(images, (0..labels.train.len() as u32).collect::<Vec<_>>());
                    assert!(own.iter().all(|c| c.train.len() >= 16), "α {alpha}");
                    let mut tests: Vec<u32> = own.iter().flat_map(|c| c.test.clone()).collect();
                    tests.sort_unstable();
                    assert_eq!(tests, (0..labels.test.len() as u32).collect::<Vec<_>>());
                    // Filled up by one class as a rule, which keeps a strong skew strong.
                    let classes: usize = own.iter().map(|c| held(c).iter().filter(|n| **n > 0).count()).sum();
                    assert!(alpha > 1e-3 || self_balancing || classes <= own.len() + 20, "{classes} classes of {} clients", own.len());
                    // Whoever is full gets no more classes: nobody has more than an equal share and a class.
                    let most = labels.train.len() / clients_per_domain + labels.train.len() / 10;
                    assert!(!self_balancing || own.iter().all(|c| c.train.len() <= most), "α {alpha}");
                }
            }
        }
        // Every image is needed for the floor.
        let exact = PartitionSettings { smallest_share: 800, ..by_labels(0.1) };
        let dealt = partition(&all[..1], &exact, &budgets).unwrap();
        assert!(dealt.clients.iter().all(|c| c.train.len() == 800));
        let message = partition(&all[..1], &PartitionSettings { smallest_share: 801, ..exact }, &budgets).unwrap_err().to_string();
        assert_eq!(
            message,
            "domain D0: 8000 training images are too few for 10 clients of at least 801: lower smallest-share or clients-per-domain"
        );
    }

    #[test]
    fn a_thousand_clients_are_dealt_at_once() {
        let labels: Vec<u8> = (0..60_000).map(|i| (i % 10) as u8).collect();
        let all = [DomainLabels { name: "many".into(), train: &labels, test: &labels[..10_000], validation: 0 }];
        for alpha in [1e-3, 0.5, 1e3] {
            let many = PartitionSettings { clients_per_domain: 1000, ..by_labels(alpha) };
            let dealt = partition(&all, &many, &budgets).unwrap();
            assert_eq!(dealt.clients.iter().map(|c| c.train.len()).sum::<usize>(), 60_000);
            assert!(dealt.clients.iter().all(|c| c.train.len() >= 16));
        }
    }

    #[test]
    fn shards_are_of_the_images_sorted_by_class() {
        let all = domains(&[(5003, 1000)]);
        let two = PartitionSettings {
            clients_per_domain: 50,
            scheme: Scheme::Shards { per_client: 2 },
            tests: TestSplit::Own,
            validation_ratio: 0.1,
            ..settings()
        };
        let dealt = partition(&all, &two, &budgets).unwrap();
        // 100 shards of 50 images: ten of each class, but that leaving out 3 images shifts the cuts. A client has 1 to 4 classes.
        assert_eq!(dealt.unused_train, [3]);
        let mut used: Vec<u32> = dealt.clients.iter().flat_map(|c| c.train.iter().chain(&c.validation)).copied().collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 5000);
        let classes: Vec<usize> = dealt.clients.iter().map(|c| held(c).iter().filter(|n| **n > 0).count()).collect();
        assert!(classes.iter().all(|n| (1..=4).contains(n)) && classes.contains(&2), "{classes:?}");
        for client in &dealt.clients {
            assert_eq!((client.train.len(), client.validation.len(), client.test.len()), (90, 10, 20));
            assert!(classes_of(&client.test).is_subset(&classes_of(&client.train)));
        }
        // The order of the shards is drawn.
        let other = partition(&all, &PartitionSettings { seed: 2, ..two }, &budgets).unwrap();
        assert_ne!(held(&dealt.clients[0]), held(&other.clients[0]));
    }

    #[test]
    fn test_images_follow_the_rule_that_is_chosen() {
        let all = domains(&[(8000, 1003)]);
        let with = |tests, scheme| {
            let dealt = partition(&all, &PartitionSettings { tests, scheme, ..settings() }, &budgets).unwrap();
            let mut images: Vec<u32> = dealt.clients.iter().flat_map(|c| c.test.clone()).collect();
            images.sort_unstable();
            assert_eq!(images, (0..1003).collect::<Vec<_>>(), "{tests:?}, {scheme:?}");
            dealt
        };
        let skewed = Scheme::Dirichlet { alpha: 0.3, self_balancing: false };
        let count = |client: &Client, class: u8| client.test.iter().filter(|i| LABELS[**i as usize] == class).count();
        for scheme in [Scheme::Iid, skewed, Scheme::Shards { per_client: 2 }] {
            let own = with(TestSplit::Own, scheme);
            for class in 0..10u8 {
                let (total, tests) = (800.0, if class < 3 { 101.0 } else { 100.0 });
                for client in &own.clients {
                    let due = held(client)[usize::from(class)] as f64 / total * tests;
                    assert!((count(client, class) as f64 - due).abs() < 1.0, "{due} of class {class} for {client:?}");
                }
            }
            let global = with(TestSplit::Global, scheme);
            for client in &global.clients {
                assert!([100, 101].contains(&client.test.len()));
                assert!((0..10).all(|class| [10, 11].contains(&count(client, class))));
            }
            let train = |dealt: &Partition| dealt.clients.iter().map(|c| c.train.clone()).collect::<Vec<_>>();
            assert_eq!(train(&own), train(&global), "the rule of the test images does not touch the others");
        }
        // Equal claims on fewer images than there are clients: nobody gets them all.
        let few =
            [BTreeMap::from([(0, 5), (1, 5), (2, 5)]), BTreeMap::from([(0, 5), (1, 5), (2, 5)]), BTreeMap::from([(0, 5), (1, 5), (2, 5)])];
        let shares = in_proportion(&[0, 1, 2], &[0, 1, 2], &few);
        assert!(shares.iter().all(|share| share.len() == 1), "{shares:?}");
        // A class that nobody trains on is nobody's test.
        assert_eq!(in_proportion(&[0, 1], &[0, 7], &few[..1]), [[0]]);
    }

    #[test]
    fn a_validation_split_of_the_data_is_dealt_as_such() {
        let mut all = domains(&[(1100, 300), (500, 300)]);
        all[0].validation = 100;
        let schemes = [
            (Scheme::Iid, TestSplit::Even),
            (Scheme::Iid, TestSplit::Global),
            (Scheme::Dirichlet { alpha: 0.5, self_balancing: false }, TestSplit::Own),
            (Scheme::Shards { per_client: 2 }, TestSplit::Own),
            (Scheme::Sizes { alpha: 1.0 }, TestSplit::Own),
            (Scheme::Classes { per_client: 3, sizes: None }, TestSplit::Redrawn),
        ];
        for (scheme, tests) in schemes {
            // Training images alone are capped and shared out.
            let set = PartitionSettings { scheme, tests, train_per_domain: Some(800), percent: 0.5, ..settings() };
            let dealt = partition(&all, &set, &budgets).unwrap();
            let own = &dealt.clients[..10];
            assert!(own.iter().flat_map(|c| &c.train).all(|i| *i < 1000), "{scheme:?}");
            let mut validation: Vec<u32> = own.iter().flat_map(|c| c.validation.clone()).collect();
            validation.sort_unstable();
            assert_eq!(validation, (1000..1100).collect::<Vec<_>>(), "{scheme:?}");
            let trained: usize = own.iter().map(|c| c.train.len()).sum();
            assert_eq!(dealt.unused_train[0], 1000 - trained, "{scheme:?}");
            assert!(trained > 200, "no share of them is for validation: {trained}");
            // The other domain has no such split.
            assert!(dealt.clients[10..].iter().any(|c| !c.validation.is_empty() && c.validation.iter().all(|i| *i < 500)));
        }
        let dealt = partition(&all, &settings(), &budgets).unwrap();
        assert!(dealt.clients[..10].iter().all(|c| c.validation.len() == 10 && c.train.len() == 50));
        all[1].validation = 501;
        assert!(partition(&all, &settings(), &budgets).is_err());
    }

    /// Batches are normalised by the statistics of their images: one of a single class would be judged wrong.
    #[test]
    fn no_test_or_validation_images_come_class_by_class() {
        let mut all = domains(&[(1100, 300)]);
        all[0].validation = 300;
        let (train, test) = (all[0].train, all[0].test);
        let in_turn = |images: &[u32], of: &[u8]| images.windows(2).filter(|pair| of[pair[0] as usize] == of[pair[1] as usize]).count();
        let check = |dealt: &Partition, what: &dyn std::fmt::Debug| {
            for client in &dealt.clients {
                for (images, of) in [(&client.test, test), (&client.validation, train)] {
                    let classes = class_counts(images, of);
                    let sorted = images.len().saturating_sub(classes.len());
                    assert!(classes.len() < 2 || in_turn(images, of) < sorted.max(1), "{what:?}: {images:?} come class by class");
                }
            }
        };
        let schemes = [
            Scheme::Iid,
            Scheme::Dirichlet { alpha: 100.0, self_balancing: false },
            Scheme::Shards { per_client: 8 },
            Scheme::Sizes { alpha: 1.0 },
            Scheme::Classes { per_client: 5, sizes: None },
        ];
        for scheme in schemes {
            for tests in [TestSplit::Even, TestSplit::Global, TestSplit::Own] {
                if tests == TestSplit::Even && !matches!(scheme, Scheme::Iid | Scheme::Sizes { .. }) {
                    continue;
                }
                let set = PartitionSettings { scheme, tests, clients_per_domain: 2, ..settings() };
                check(&partition(&all, &set, &budgets).unwrap(), &(scheme, tests));
            }
        }
        // A file of clients lists them class by class.
        let sorted = |of: &[u8], range: std::ops::Range<u32>| {
            let mut images: Vec<u32> = range.collect();
            images.sort_by_key(|i| of[*i as usize]);
            images
        };
        let (own, held, tested) = (sorted(train, 0..800), sorted(train, 800..1100), sorted(test, 0..300));
        let one = ListedClient { name: "a", domain: 0, train: &own, validation: &held, test: &tested };
        check(&listed(&[one], &settings(), &budgets).unwrap(), &"given");
    }

    #[test]
    fn long_tails_fall_by_the_factor() {
        // Cao et al.'s CIFAR-10-LT: 5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50 images at a factor of 100.
        let labels: Vec<u8> = (0..50_000).map(|i| (i % 10) as u8).collect();
        let all = [DomainLabels { name: "D0".into(), train: &labels, test: &labels[..1000], validation: 0 }];
        let counts = |set: PartitionSettings| {
            let dealt = partition(&all, &PartitionSettings { clients_per_domain: 1, validation_ratio: 0.0, ..set }, &budgets).unwrap();
            assert_eq!(dealt.clients[0].test.len(), 1000, "test images stay");
            assert_eq!(dealt.unused_train[0], 50_000 - dealt.clients[0].train.len());
            class_counts(&dealt.clients[0].train, &labels).into_values().collect::<Vec<_>>()
        };
        let tail = |factor| PartitionSettings { imbalance_factor: Some(factor), ..settings() };
        assert_eq!(counts(tail(100.0)), [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]);
        assert_eq!(counts(tail(1.0)), [5000; 10]);
        // Every class keeps an image, and what a cap leaves is counted.
        assert_eq!(counts(tail(1e9)), [5000, 500, 50, 5, 1, 1, 1, 1, 1, 1]);
        let mut halves = counts(PartitionSettings { percent: 0.5, ..tail(10.0) });
        assert!(halves[0].abs_diff(2500) < 150, "{halves:?}");
        let ratio = halves.remove(0) as f64 / halves.pop().unwrap() as f64;
        assert!((ratio - 10.0).abs() < 0.5, "{ratio}");
        for factor in [0.5, f64::NAN, f64::INFINITY] {
            assert!(partition(&all, &tail(factor), &budgets).unwrap_err().to_string().contains("imbalance-factor"));
        }
        // All clients together, for every scheme.
        for scheme in [Scheme::Dirichlet { alpha: 0.1, self_balancing: false }, Scheme::Sizes { alpha: 1.0 }] {
            let set = PartitionSettings { scheme, tests: TestSplit::Own, ..tail(100.0) };
            let dealt = partition(&all, &set, &budgets).unwrap();
            let own: Vec<u32> = dealt.clients.iter().flat_map(|c| c.train.iter().chain(&c.validation)).copied().collect();
            assert_eq!(class_counts(&own, &labels).into_values().collect::<Vec<_>>(), [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]);
        }
    }
}
