//! Dealing the images of the domains to the clients.
//!
//! The uniform split: every client has images of one domain only, and all clients have equally many training
//! images. In each domain the training images are shuffled, the first `train_per_domain` of them are kept, then the
//! share `percent` of those, and all domains are trimmed to the smallest. What is left is dealt in contiguous
//! ranges of `⌊n/clients⌋` images, of which the first part is for training and the last `⌊share·validation_ratio⌋` for
//! validation. The fewer than `clients` images that do not go round stay unused, so that the clients' weights are
//! equal. Test images are shuffled and dealt in ranges that differ by at most one image; none is left out.
//!
//! Class-wise ([`PartitionSettings::classes_per_client`]): each client draws so many cards of a deck of the classes that is
//! shuffled anew when it is used up, so every class is dealt equally often; a client may draw a class twice. The images of a class are
//! split over its cards. Test images follow the same cards or are dealt anew.
//!
//! With Dirichlet sizes ([`PartitionSettings::dirichlet`]) the shares of a domain, or of a class, are not equal: every share has
//! a floor, the rest is divided by proportions drawn from a symmetric Dirichlet law, and what rounding leaves is dealt at random.
//! Domains are then not trimmed to the smallest.
//!
//! Shuffles are keyed by the seed and the domain's place in the list, so a domain's shares are the same in every
//! `domain_order`.

use super::algorithm::{Algorithm, Task};
use super::budget::Ratio;
use super::random::{Purpose, rng};
use crate::{Error, Result};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma};
use std::fmt;
use std::ops::Range;

/// Name and labels of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainLabels<'a> {
    /// Shown in tables and in the clients' names.
    pub name: String,
    /// Class of each training image.
    pub train: &'a [u8],
    /// Class of each test image.
    pub test: &'a [u8],
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
    /// Class-wise split: cards of classes that each client draws.
    pub classes_per_client: Option<usize>,
    /// Whether the test images of a class-wise split follow the training cards; else they are dealt anew.
    pub consistent_test_classes: bool,
    /// Concentration α of Dirichlet sizes; equal sizes where not given.
    pub dirichlet: Option<f64>,
    /// Least images of a share with Dirichlet sizes.
    pub smallest_share: usize,
    /// Images in a batch of training: with Dirichlet sizes, clients that have fewer are told.
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
    /// What it trains in a round.
    pub task: Task,
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
    },
    /// Clients with a single image in a part. Such a client does not train; evaluated by batch statistics, its one
    /// image is predicted without regard to the image (a linear layer's batch norm gives its shift alone).
    Single {
        /// The part.
        part: Part,
        /// Names of the clients.
        clients: Vec<String>,
    },
    /// With Dirichlet sizes, where every client takes the same number of steps: clients with two or more training images, but less
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
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, clients, images) = match self {
            Warning::Untrained { trained, network } => {
                return write!(
                    f,
                    "no client with a budget above {trained} trains: the network, of width {network}, keeps its first values outside the \
                     corner of width {trained}, and models wider than that are not trained whole; more images for clients of larger budgets, \
                     or smaller budgets, avoid this"
                );
            }
            Warning::Empty { part, clients } => (part, clients, "no".to_string()),
            Warning::Single { part, clients } => (part, clients, "only one".into()),
            Warning::LessThanBatch { batch_size, clients } => (&Part::Training, clients, format!("less than a full batch of {batch_size}")),
        };
        let shown = clients.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match clients.len() {
            0..=3 => String::new(),
            all => format!(" and {} more", all - 3),
        };
        let what = match (part, self) {
            (_, Warning::LessThanBatch { .. }) => "all of theirs are in every one of their batches",
            (Part::Training, _) => "they do not train (batch norm needs two images)",
            (_, Warning::Empty { .. }) => "they are left out of its mean accuracy",
            _ => "under batch statistics its prediction does not depend on the image",
        };
        let (s, or) = match self {
            Warning::LessThanBatch { .. } => ("s", ", a larger smallest-share or a smaller batch-size"),
            _ => ("", ""),
        };
        write!(f, "{images} {part} image{s} for {shown}{more}: {what}; more images or fewer clients a domain{or} avoid this")
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

/// The images of a client, where they are given and not dealt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given<'a> {
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

/// The clients that are given, in their order, with their budgets.
///
/// # Errors
/// [`Error::Config`] for a budget under the base width; [`Error::Data`] where no client has two images to train on.
pub fn given(clients: &[Given], settings: &PartitionSettings, algorithm: &dyn Algorithm) -> Result<Partition> {
    let mut all = Vec::with_capacity(clients.len());
    for (id, (client, budget)) in clients.iter().zip(algorithm.budgets(clients.len())).enumerate() {
        let (mut train, mut validation) = (client.train.to_vec(), client.validation.to_vec());
        if validation.is_empty() {
            train.shuffle(&mut rng(settings.seed, Purpose::Shares, client.domain as u64, id as u64, 0));
            validation = train.split_off(train.len() - floor_share(train.len(), settings.validation_ratio));
        }
        let (name, test) = (client.name.to_string(), client.test.to_vec());
        all.push(Client { id, domain: client.domain, name, budget, task: algorithm.task(budget)?, train, validation, test });
    }
    finished(all, Vec::new(), settings, algorithm)
}

fn finished(clients: Vec<Client>, unused_train: Vec<usize>, settings: &PartitionSettings, algorithm: &dyn Algorithm) -> Result<Partition> {
    if !clients.iter().any(Client::can_train) {
        return Err(none_can_train());
    }
    let warnings = warnings(&clients, settings, algorithm);
    Ok(Partition { clients, unused_train, warnings })
}

pub(super) fn none_can_train() -> Error {
    Error::Data("no client has two images to train on: give clients more training images, or lower validation-ratio".into())
}

/// Deals the images of `domains` to `clients_per_domain` clients each, and gives the clients their budgets.
///
/// # Errors
/// [`Error::Config`] for a setting outside its range or a budget under the base width; [`Error::Data`] when a
/// domain has too few images for two training images a client, or for the shares asked for.
pub fn partition(domains: &[DomainLabels], settings: &PartitionSettings, algorithm: &dyn Algorithm) -> Result<Partition> {
    check(domains, settings)?;
    let per_domain = settings.clients_per_domain;
    let usable = |domain: &DomainLabels| {
        let capped = domain.train.len().min(settings.train_per_domain.unwrap_or(usize::MAX));
        floor_share(capped, settings.percent)
    };
    // `check` has made sure that there is a domain.
    let Some((smallest, trimmed)) = domains.iter().map(|domain| (domain, usable(domain))).min_by_key(|pair| pair.1) else {
        return Err(Error::Data("there is no domain to take images from".into()));
    };
    let fewest = trimmed / per_domain;
    let training = fewest - floor_share(fewest, settings.validation_ratio);
    // Class-wise and Dirichlet shares differ: a client that has too few is told of and does not train.
    if training < 2 {
        return Err(Error::Data(format!(
            "domain {}: {trimmed} of its {} training images are used, which gives each of {per_domain} clients {training} \
             to train on and {} to validate on, but a client needs two to train on: lower clients-per-domain or \
             validation-ratio, or raise percent or train-per-domain",
            smallest.name,
            smallest.train.len(),
            fewest - training
        )));
    }

    let budgets = algorithm.budgets(domains.len() * per_domain);
    let mut clients = Vec::with_capacity(budgets.len());
    let mut unused_train = vec![0; domains.len()];
    for place in 0..domains.len() {
        let domain = (settings.domain_order + place) % domains.len();
        let labels = &domains[domain];
        let count = if settings.dirichlet.is_some() { usable(labels) } else { trimmed };
        let train = &shuffled(labels.train.len(), settings.seed, Purpose::PartitionTrain, domain)[..count];
        let test = shuffled(labels.test.len(), settings.seed, Purpose::PartitionTest, domain);
        let (train, test) = match settings.classes_per_client {
            None => by_size(train, &test, settings, domain, &labels.name)?,
            Some(cards) => by_class(train, &test, labels, cards, settings, domain)?,
        };
        unused_train[domain] = labels.train.len() - train.iter().map(Vec::len).sum::<usize>();
        for (number, (mine, test)) in train.into_iter().zip(test).enumerate() {
            let id = clients.len();
            let budget = budgets[id];
            let training = mine.len() - floor_share(mine.len(), settings.validation_ratio);
            clients.push(Client {
                id,
                domain,
                name: format!("{}-{number}", labels.name),
                budget,
                task: algorithm.task(budget)?,
                train: mine[..training].to_vec(),
                validation: mine[training..].to_vec(),
                test,
            });
        }
    }
    finished(clients, unused_train, settings, algorithm)
}

/// Training and test images of each client of a domain.
type Shares = (Vec<Vec<u32>>, Vec<Vec<u32>>);

/// Contiguous ranges of the shuffled images.
fn by_size(train: &[u32], test: &[u32], settings: &PartitionSettings, domain: usize, name: &str) -> Result<Shares> {
    let clients = settings.clients_per_domain;
    let key = |purpose| rng(settings.seed, purpose, domain as u64, 0, 0);
    let Some(alpha) = settings.dirichlet else {
        let share = train.len() / clients;
        let even = |number: usize| test[test.len() * number / clients..test.len() * (number + 1) / clients].to_vec();
        return Ok(((0..clients).map(|n| train[n * share..(n + 1) * share].to_vec()).collect(), (0..clients).map(even).collect()));
    };
    let floor = settings.smallest_share;
    if train.len() < clients.saturating_mul(floor) {
        return Err(Error::Data(format!(
            "domain {name}: {} training images give {clients} clients no {floor} each: lower smallest-share or clients-per-domain",
            train.len()
        )));
    }
    // The same law and the same draw for the test images.
    let sizes = dirichlet_sizes(train.len(), clients, alpha, floor, &mut key(Purpose::Sizes));
    let test_sizes = dirichlet_sizes(test.len(), clients, alpha, 1.min(test.len() / clients), &mut key(Purpose::Sizes));
    Ok((ranges(train, &sizes), ranges(test, &test_sizes)))
}

/// Images by cards of classes.
fn by_class(
    train: &[u32],
    test: &[u32],
    labels: &DomainLabels,
    per_client: usize,
    settings: &PartitionSettings,
    domain: usize,
) -> Result<Shares> {
    let classes: Vec<u8> = {
        let mut all: Vec<u8> = train.iter().map(|i| labels.train[*i as usize]).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
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
    let split = |images: &[u32], of: &[u8], hands: &[Vec<u8>], sizes: Purpose, least: usize| -> Result<Vec<Vec<u32>>> {
        let mut shares = vec![Vec::new(); clients];
        for class in &classes {
            let own: Vec<u32> = images.iter().copied().filter(|i| of[*i as usize] == *class).collect();
            let owners: Vec<usize> =
                hands.iter().enumerate().flat_map(|(c, hand)| hand.iter().filter(|k| *k == class).map(move |_| c)).collect();
            if owners.is_empty() {
                continue;
            }
            let sizes = match settings.dirichlet {
                Some(alpha) if own.len() < owners.len().saturating_mul(least) => {
                    return Err(Error::Data(format!(
                        "domain {}: {} images of class {class} are too few for {} share(s) of at least {least} (Dirichlet law {alpha}): lower \
                         smallest-share, classes-per-client or clients-per-domain",
                        labels.name,
                        own.len(),
                        owners.len()
                    )));
                }
                Some(alpha) => dirichlet_sizes(own.len(), owners.len(), alpha, least, &mut key(sizes, u64::from(*class))),
                None => vec![own.len() / owners.len(); owners.len()],
            };
            for (client, images) in owners.into_iter().zip(ranges(&own, &sizes)) {
                shares[client].extend(images);
            }
        }
        // Classes mixed, so that validation has them in the proportions of training.
        for (client, share) in shares.iter_mut().enumerate() {
            share.shuffle(&mut key(Purpose::Shares, client as u64));
        }
        Ok(shares)
    };
    let hands = deal(Purpose::Classes);
    let test_hands = if settings.consistent_test_classes { hands.clone() } else { deal(Purpose::TestClasses) };
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
    let proportion = |d: f64| if total > 0.0 { d / total } else { 1.0 / shares as f64 };
    let mut sizes: Vec<usize> = draws.iter().map(|d| floor + (free as f64 * proportion(*d)) as usize).collect();
    for _ in 0..count.saturating_sub(sizes.iter().sum()) {
        sizes[rng.random_range(0..shares)] += 1;
    }
    sizes
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
            "domain-order {} starts at a domain that is not there: the {} domains are numbered from 0",
            settings.domain_order,
            domains.len()
        ));
    }
    if let Some(alpha) = settings.dirichlet.filter(|alpha| !(*alpha > 0.0 && alpha.is_finite())) {
        return wrong(format!("dirichlet must be a number above 0, not {alpha}"));
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

/// The warnings for clients however they were dealt their images.
pub fn warnings(clients: &[Client], settings: &PartitionSettings, algorithm: &dyn Algorithm) -> Vec<Warning> {
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
            warnings.push(Warning::Empty { part, clients: empty });
        }
        if !single.is_empty() {
            warnings.push(Warning::Single { part, clients: single });
        }
    }
    let few = named(Part::Training, 2..settings.batch_size);
    if settings.dirichlet.is_some() && !few.is_empty() {
        warnings.push(Warning::LessThanBatch { batch_size: settings.batch_size, clients: few });
    }
    let network = algorithm.base_width();
    let width = |client: &Client| client.task.cut.as_ref().map_or(network, |cut| cut.width);
    let trained = clients.iter().filter(|client| client.can_train()).map(width).max();
    warnings.extend(trained.filter(|trained| *trained < network).map(|trained| Warning::Untrained { trained, network }));
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fl::{HeteroFl, SplitMix};
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
            classes_per_client: None,
            consistent_test_classes: false,
            dirichlet: None,
            smallest_share: 16,
            batch_size: 32,
        }
    }

    fn algorithm() -> SplitMix {
        SplitMix { budgets: "8-4-2-1".parse().unwrap(), base_width: "1/8".parse().unwrap() }
    }

    #[test]
    fn the_papers_digits_split() {
        // 7 430 images a domain, 0.3 of them: 2 229; 10 clients: 222 each, 9 over; half for validation: 111.
        let all = domains(&[(7430, 100), (7430, 107), (7430, 2007), (7430, 11), (7430, 10)]);
        let dealt = partition(&all, &PartitionSettings { percent: 0.3, ..settings() }, &algorithm()).unwrap();
        assert_eq!(dealt.clients.len(), 50);
        assert_eq!(dealt.unused_train, [7430 - 2220; 5]);
        for client in &dealt.clients {
            assert_eq!((client.train.len(), client.validation.len()), (111, 111));
            assert_eq!(super::super::batches::batch_sizes(111, 32).unwrap().len(), 4);
        }
        assert_eq!(dealt.clients.iter().map(|client| client.task.bases).sum::<usize>(), 185);
        let third = &dealt.clients[32];
        assert_eq!((third.id, third.domain, third.name.as_str()), (32, 3, "D3-2"));
        assert_eq!(third.budget.to_string(), "1/2");
    }

    #[test]
    fn no_image_is_dealt_twice_and_no_test_image_is_lost() {
        let all = domains(&[(103, 57), (200, 3)]);
        let dealt = partition(&all, &settings(), &algorithm()).unwrap();
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
        let dealt = partition(&all, &four, &algorithm()).unwrap();
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
        let dealt = partition(&all, &five, &algorithm()).unwrap();
        assert!(dealt.clients.iter().all(|client| client.train.len() == 5 && client.validation.is_empty()));
        assert_eq!(dealt.unused_train, [975, 75, 25]);
        assert_eq!(dealt.warnings.len(), 1);
        assert!(matches!(&dealt.warnings[0], Warning::Empty { part: Part::Validation, clients } if clients.len() == 15));
    }

    #[test]
    fn domain_order_rotates_the_numbering_and_keeps_the_shares() {
        let all = domains(&[(100, 50), (100, 50), (100, 50)]);
        let plain = partition(&all, &settings(), &algorithm()).unwrap();
        let rotated = partition(&all, &PartitionSettings { domain_order: 1, ..settings() }, &algorithm()).unwrap();
        let order: Vec<usize> = rotated.clients.iter().step_by(10).map(|client| client.domain).collect();
        assert_eq!(order, [1, 2, 0]);
        assert_eq!(rotated.clients[0].name, "D1-0");
        assert_eq!(rotated.clients[0].train, plain.clients[10].train);
        assert_eq!(rotated.clients[29].test, plain.clients[9].test);
        // Budgets stay with the number, not with the domain.
        assert_eq!(rotated.clients[0].task.bases, 1);
        assert_eq!(rotated.clients[29].task.bases, 8);
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
        let message = partition(&all, &settings(), &algorithm()).unwrap_err().to_string();
        assert!(message.contains("domain D1: 29 of its 29") && message.contains("clients-per-domain"), "{message}");
        // Two training images each are enough: 29/9 = 3 a client, one of them for validation.
        let nine = PartitionSettings { clients_per_domain: 9, ..settings() };
        assert!(partition(&all, &nine, &algorithm()).is_ok());
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let all = domains(&[(100, 10), (100, 10)]);
        let refused = |settings: PartitionSettings, word: &str| {
            let error = partition(&all, &settings, &algorithm()).unwrap_err();
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
        assert!(partition(&[], &settings(), &algorithm()).is_err());
    }

    #[test]
    fn small_parts_are_told() {
        // 10 clients, 4 validation images of a share of … 1 each; 15 test images: 5 clients with 2, 5 with 1.
        let all = domains(&[(40, 15), (40, 5)]);
        let dealt = partition(&all, &PartitionSettings { validation_ratio: 0.25, ..settings() }, &algorithm()).unwrap();
        let counts: Vec<(bool, Part, usize)> = dealt
            .warnings
            .iter()
            .map(|warning| match warning {
                Warning::Empty { part, clients } => (true, *part, clients.len()),
                Warning::Single { part, clients } => (false, *part, clients.len()),
                Warning::LessThanBatch { .. } | Warning::Untrained { .. } => unreachable!("sizes are equal, and bases are trained whole"),
            })
            .collect();
        assert_eq!(counts, [(false, Part::Validation, 20), (true, Part::Test, 5), (false, Part::Test, 10)]);
        let told = dealt.warnings[1].to_string();
        assert!(told.contains("no test image") && told.contains("and 2 more"), "{told}");
    }

    #[test]
    fn clients_that_cannot_train_are_told() {
        let all = domains(&[(40, 20)]);
        let mut clients = partition(&all, &settings(), &algorithm()).unwrap().clients;
        clients[3].train.truncate(1);
        clients[4].train.clear();
        assert!(!clients[3].can_train() && !clients[4].can_train() && clients[5].can_train());
        let told: Vec<String> = warnings(&clients, &settings(), &algorithm()).iter().map(Warning::to_string).collect();
        assert!(told[0].contains("no training image for D0-4: they do not train"), "{told:?}");
        assert!(told[1].contains("only one training image for D0-3"), "{told:?}");
    }

    #[test]
    fn channels_that_nobody_trains_are_told() {
        let hetero_fl = HeteroFl { budgets: "8-4-2-1".parse().unwrap(), slimmable: false, count_widths: false };
        let dealt = partition(&domains(&[(40, 40)]), &settings(), &hetero_fl).unwrap();
        let untrained = |clients: &[Client], algorithm: &dyn Algorithm| -> Vec<String> {
            let all = warnings(clients, &settings(), algorithm);
            all.iter().filter(|w| matches!(w, Warning::Untrained { .. })).map(Warning::to_string).collect()
        };
        assert!(untrained(&dealt.clients, &hetero_fl).is_empty());
        let mut clients = dealt.clients;
        clients.iter_mut().filter(|client| client.budget == Ratio::ONE).for_each(|client| client.train.truncate(1));
        let told = untrained(&clients, &hetero_fl);
        assert!(told.len() == 1 && told[0].contains("above 1/2 trains") && told[0].contains("of width 1,"), "{told:?}");
        // Bases are trained whole, by whomever.
        clients.iter_mut().for_each(|client| client.task.cut = None);
        assert!(untrained(&clients, &algorithm()).is_empty());
    }

    #[test]
    fn the_seed_decides() {
        let all = domains(&[(100, 50)]);
        let dealt = |seed| partition(&all, &PartitionSettings { seed, ..settings() }, &algorithm()).unwrap();
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
        let three = PartitionSettings { clients_per_domain: 100, classes_per_client: Some(3), validation_ratio: 0.1, ..settings() };
        let dealt = partition(&all, &three, &algorithm()).unwrap();
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
        let consistent = partition(&all, &PartitionSettings { consistent_test_classes: true, ..three }, &algorithm()).unwrap();
        assert_eq!(same(&consistent), 100);
        assert_eq!(consistent.clients[7].train, dealt.clients[7].train);
    }

    #[test]
    fn dirichlet_sizes_keep_the_floor_and_lose_no_image() {
        let all = domains(&[(5000, 1000), (800, 90)]);
        let sizes = PartitionSettings { dirichlet: Some(1.0), validation_ratio: 0.1, ..settings() };
        let dealt = partition(&all, &sizes, &algorithm()).unwrap();
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
        let both = PartitionSettings { classes_per_client: Some(3), ..sizes };
        let dealt = partition(&domains(&[(5000, 1000)]), &both, &algorithm()).unwrap();
        assert_eq!(dealt.unused_train, [0]);
        assert!(dealt.clients.iter().all(|c| c.train.len() + c.validation.len() >= 48 && classes_of(&c.train).len() <= 3));
        // Also where the product of clients and least images is past what a number holds.
        for smallest_share in [501, 1 << 62] {
            for classes_per_client in [None, Some(3)] {
                let many = PartitionSettings { smallest_share, classes_per_client, ..sizes.clone() };
                let told = partition(&domains(&[(5000, 10)]), &many, &algorithm()).unwrap_err();
                assert!(told.to_string().contains("lower smallest-share"), "{told}");
            }
        }
    }

    #[test]
    fn clients_of_less_than_a_batch_are_told_where_sizes_differ() {
        let sizes = PartitionSettings { dirichlet: Some(0.3), smallest_share: 4, ..settings() };
        let dealt = partition(&domains(&[(1000, 400)]), &sizes, &algorithm()).unwrap();
        let few: Vec<String> = dealt.clients.iter().filter(|c| (2..32).contains(&c.train.len())).map(|c| c.name.clone()).collect();
        assert!(!few.is_empty() && few.len() < 10, "{few:?}");
        let warning = Warning::LessThanBatch { batch_size: 32, clients: few };
        assert!(dealt.warnings.contains(&warning), "{:?}", dealt.warnings);
        let told = warning.to_string();
        assert!(told.starts_with("less than a full batch of 32 training images for D0-") && told.contains("smaller batch-size"), "{told}");
        let equal = partition(&domains(&[(100, 40)]), &settings(), &algorithm()).unwrap();
        assert_eq!(equal.warnings, []);
    }

    #[test]
    fn where_no_client_can_train_it_is_told_what_to_do() {
        let none = Given { name: "Ulm", domain: 0, train: &[3, 4], validation: &[], test: &[1] };
        let dealt = |validation_ratio| given(&[none], &PartitionSettings { validation_ratio, ..settings() }, &algorithm());
        let told = dealt(0.5).unwrap_err().to_string();
        assert!(told.contains("more training images") && told.contains("lower validation-ratio"), "{told}");
        assert!(dealt(0.0).is_ok());
    }

    #[test]
    fn class_wise_settings_out_of_range_are_refused() {
        for classes in [0, 11] {
            let wrong = PartitionSettings { classes_per_client: Some(classes), ..settings() };
            let told = partition(&domains(&[(1000, 100)]), &wrong, &algorithm()).unwrap_err().to_string();
            assert!(told.contains("1 to 10"), "{told}");
        }
        for alpha in [0.0, -1.0, f64::NAN] {
            let wrong = PartitionSettings { dirichlet: Some(alpha), ..settings() };
            assert!(partition(&domains(&[(1000, 100)]), &wrong, &algorithm()).unwrap_err().to_string().contains("dirichlet"));
        }
    }
}
