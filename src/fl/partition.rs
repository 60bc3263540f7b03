//! Dealing the images of the domains to the clients.
//!
//! The uniform split: every client has images of one domain only, and all clients have equally many training
//! images. In each domain the training images are shuffled, the first `train_per_domain` of them are kept, then the
//! share `percent` of those, and all domains are trimmed to the smallest. What is left is dealt in contiguous
//! ranges of `⌊n/clients⌋` images, of which the first part is for training and the last `⌊share·validation_ratio⌋` for
//! validation. The fewer than `clients` images that do not go round stay unused, so that the clients' weights are
//! equal. Test images are shuffled and dealt in ranges that differ by at most one image; none is left out.
//!
//! Shuffles are keyed by the seed and the domain's place in the list, so a domain's shares are the same in every
//! `domain_order`.

use super::budget::Ratio;
use super::method::Method;
use super::random::{Purpose, rng};
use crate::{Error, Result};
use rand::seq::SliceRandom;
use std::fmt;

/// Name and size of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainSizes {
    /// Shown in tables and in the clients' names.
    pub name: String,
    /// Number of training images.
    pub train: usize,
    /// Number of test images.
    pub test: usize,
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
    /// Number of bases it trains in a round.
    pub bases: usize,
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
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, clients, images) = match self {
            Warning::Empty { part, clients } => (part, clients, "no"),
            Warning::Single { part, clients } => (part, clients, "only one"),
        };
        let shown = clients.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match clients.len() {
            0..=3 => String::new(),
            all => format!(" and {} more", all - 3),
        };
        let what = match (part, self) {
            (Part::Training, _) => "they do not train (batch norm needs two images)",
            (_, Warning::Empty { .. }) => "they are left out of its mean accuracy",
            (_, Warning::Single { .. }) => "under batch statistics its prediction does not depend on the image",
        };
        write!(f, "{images} {part} image for {shown}{more}: {what}; more images or fewer clients a domain avoid this")
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

/// Deals the images of `domains` to `clients_per_domain` clients each, and gives the clients their budgets.
///
/// # Errors
/// [`Error::Config`] for a setting outside its range or a budget under the base width; [`Error::Data`] when a
/// domain has too few images for two training images a client.
pub fn partition(domains: &[DomainSizes], settings: &PartitionSettings, method: &Method) -> Result<Partition> {
    check(domains, settings)?;
    let per_domain = settings.clients_per_domain;
    let usable = |domain: &DomainSizes| {
        let capped = domain.train.min(settings.train_per_domain.unwrap_or(usize::MAX));
        floor_share(capped, settings.percent)
    };
    // `check` has made sure that there is a domain.
    let Some((smallest, trimmed)) = domains.iter().map(|domain| (domain, usable(domain))).min_by_key(|pair| pair.1) else {
        return Err(Error::Data("there is no domain to take images from".into()));
    };
    let share = trimmed / per_domain;
    let validation = floor_share(share, settings.validation_ratio);
    let training = share - validation;
    if training < 2 {
        return Err(Error::Data(format!(
            "domain {}: {trimmed} of its {} training images are used, which gives each of {per_domain} clients {training} \
             to train on and {validation} to validate on, but a client needs two to train on: lower clients-per-domain or \
             validation-ratio, or raise percent or train-per-domain",
            smallest.name, smallest.train
        )));
    }

    let budgets = method.clients(domains.len() * per_domain)?;
    let mut clients = Vec::with_capacity(budgets.len());
    for place in 0..domains.len() {
        let domain = (settings.domain_order + place) % domains.len();
        let sizes = &domains[domain];
        let train = shuffled(sizes.train, settings.seed, Purpose::PartitionTrain, domain);
        let test = shuffled(sizes.test, settings.seed, Purpose::PartitionTest, domain);
        for number in 0..per_domain {
            let id = clients.len();
            let (budget, bases) = budgets[id];
            let mine = &train[number * share..(number + 1) * share];
            clients.push(Client {
                id,
                domain,
                name: format!("{}-{number}", sizes.name),
                budget,
                bases,
                train: mine[..training].to_vec(),
                validation: mine[training..].to_vec(),
                test: test[test.len() * number / per_domain..test.len() * (number + 1) / per_domain].to_vec(),
            });
        }
    }
    let unused_train = domains.iter().map(|domain| domain.train - share * per_domain).collect();
    let warnings = warnings(&clients);
    Ok(Partition { clients, unused_train, warnings })
}

fn check(domains: &[DomainSizes], settings: &PartitionSettings) -> Result<()> {
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
    if let Some(domain) = domains.iter().find(|domain| u32::try_from(domain.train.max(domain.test)).is_err()) {
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
pub fn warnings(clients: &[Client]) -> Vec<Warning> {
    let named = |part: Part, images: usize| -> Vec<String> {
        let size = |client: &Client| match part {
            Part::Training => client.train.len(),
            Part::Validation => client.validation.len(),
            Part::Test => client.test.len(),
        };
        clients.iter().filter(|client| size(client) == images).map(|client| client.name.clone()).collect()
    };
    let mut warnings = Vec::new();
    for part in [Part::Training, Part::Validation, Part::Test] {
        let (empty, single) = (named(part, 0), named(part, 1));
        if !empty.is_empty() {
            warnings.push(Warning::Empty { part, clients: empty });
        }
        if !single.is_empty() {
            warnings.push(Warning::Single { part, clients: single });
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn domains(sizes: &[(usize, usize)]) -> Vec<DomainSizes> {
        let named = |(index, &(train, test)): (usize, &(usize, usize))| DomainSizes { name: format!("D{index}"), train, test };
        sizes.iter().enumerate().map(named).collect()
    }

    fn settings() -> PartitionSettings {
        PartitionSettings { seed: 1, clients_per_domain: 10, train_per_domain: None, percent: 1.0, validation_ratio: 0.5, domain_order: 0 }
    }

    fn method() -> Method {
        Method::SplitMix { budgets: "8-4-2-1".parse().unwrap(), base_width: "1/8".parse().unwrap() }
    }

    #[test]
    fn the_papers_digits_split() {
        // 7 430 images a domain, 0.3 of them: 2 229; 10 clients: 222 each, 9 over; half for validation: 111.
        let all = domains(&[(7430, 100), (7430, 107), (7430, 2007), (7430, 11), (7430, 10)]);
        let dealt = partition(&all, &PartitionSettings { percent: 0.3, ..settings() }, &method()).unwrap();
        assert_eq!(dealt.clients.len(), 50);
        assert_eq!(dealt.unused_train, [7430 - 2220; 5]);
        for client in &dealt.clients {
            assert_eq!((client.train.len(), client.validation.len()), (111, 111));
            assert_eq!(super::super::batches::batch_sizes(111, 32).unwrap().len(), 4);
        }
        assert_eq!(dealt.clients.iter().map(|client| client.bases).sum::<usize>(), 185);
        let third = &dealt.clients[32];
        assert_eq!((third.id, third.domain, third.name.as_str()), (32, 3, "D3-2"));
        assert_eq!(third.budget.to_string(), "1/2");
    }

    #[test]
    fn no_image_is_dealt_twice_and_no_test_image_is_lost() {
        let all = domains(&[(103, 57), (200, 3)]);
        let dealt = partition(&all, &settings(), &method()).unwrap();
        for (domain, sizes) in all.iter().enumerate() {
            let mine: Vec<&Client> = dealt.clients.iter().filter(|client| client.domain == domain).collect();
            let train: Vec<u32> = mine.iter().flat_map(|c| c.train.iter().chain(&c.validation)).copied().collect();
            assert_eq!(train.len(), 100);
            assert_eq!(train.iter().collect::<BTreeSet<_>>().len(), 100);
            assert!(train.iter().all(|&index| (index as usize) < sizes.train));
            let mut test: Vec<u32> = mine.iter().flat_map(|client| client.test.clone()).collect();
            test.sort_unstable();
            assert_eq!(test, (0..sizes.test as u32).collect::<Vec<_>>());
            let lengths: Vec<usize> = mine.iter().map(|client| client.test.len()).collect();
            assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1, "{lengths:?}");
        }
        assert_eq!(dealt.unused_train, [3, 100]);
    }

    #[test]
    fn shares_are_contiguous_ranges_of_the_shuffled_domain() {
        let all = domains(&[(40, 0)]);
        let four = PartitionSettings { clients_per_domain: 4, validation_ratio: 0.3, ..settings() };
        let dealt = partition(&all, &four, &method()).unwrap();
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
        let dealt = partition(&all, &five, &method()).unwrap();
        assert!(dealt.clients.iter().all(|client| client.train.len() == 5 && client.validation.is_empty()));
        assert_eq!(dealt.unused_train, [975, 75, 25]);
        assert_eq!(dealt.warnings.len(), 1);
        assert!(matches!(&dealt.warnings[0], Warning::Empty { part: Part::Validation, clients } if clients.len() == 15));
    }

    #[test]
    fn domain_order_rotates_the_numbering_and_keeps_the_shares() {
        let all = domains(&[(100, 50), (100, 50), (100, 50)]);
        let plain = partition(&all, &settings(), &method()).unwrap();
        let rotated = partition(&all, &PartitionSettings { domain_order: 1, ..settings() }, &method()).unwrap();
        let order: Vec<usize> = rotated.clients.iter().step_by(10).map(|client| client.domain).collect();
        assert_eq!(order, [1, 2, 0]);
        assert_eq!(rotated.clients[0].name, "D1-0");
        assert_eq!(rotated.clients[0].train, plain.clients[10].train);
        assert_eq!(rotated.clients[29].test, plain.clients[9].test);
        // Budgets stay with the number, not with the domain.
        assert_eq!(rotated.clients[0].bases, 1);
        assert_eq!(rotated.clients[29].bases, 8);
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
        let message = partition(&all, &settings(), &method()).unwrap_err().to_string();
        assert!(message.contains("domain D1: 29 of its 29") && message.contains("clients-per-domain"), "{message}");
        // Two training images each are enough: 29/9 = 3 a client, one of them for validation.
        let nine = PartitionSettings { clients_per_domain: 9, ..settings() };
        assert!(partition(&all, &nine, &method()).is_ok());
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let all = domains(&[(100, 10), (100, 10)]);
        let refused = |settings: PartitionSettings, word: &str| {
            let error = partition(&all, &settings, &method()).unwrap_err();
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
        assert!(partition(&[], &settings(), &method()).is_err());
    }

    #[test]
    fn small_parts_are_told() {
        // 10 clients, 4 validation images of a share of … 1 each; 15 test images: 5 clients with 2, 5 with 1.
        let all = domains(&[(40, 15), (40, 5)]);
        let dealt = partition(&all, &PartitionSettings { validation_ratio: 0.25, ..settings() }, &method()).unwrap();
        let counts: Vec<(bool, Part, usize)> = dealt
            .warnings
            .iter()
            .map(|warning| match warning {
                Warning::Empty { part, clients } => (true, *part, clients.len()),
                Warning::Single { part, clients } => (false, *part, clients.len()),
            })
            .collect();
        assert_eq!(counts, [(false, Part::Validation, 20), (true, Part::Test, 5), (false, Part::Test, 10)]);
        let told = dealt.warnings[1].to_string();
        assert!(told.contains("no test image") && told.contains("and 2 more"), "{told}");
    }

    #[test]
    fn clients_that_cannot_train_are_told() {
        let all = domains(&[(40, 20)]);
        let mut clients = partition(&all, &settings(), &method()).unwrap().clients;
        clients[3].train.truncate(1);
        clients[4].train.clear();
        assert!(!clients[3].can_train() && !clients[4].can_train() && clients[5].can_train());
        let told: Vec<String> = warnings(&clients).iter().map(Warning::to_string).collect();
        assert!(told[0].contains("no training image for D0-4: they do not train"), "{told:?}");
        assert!(told[1].contains("only one training image for D0-3"), "{told:?}");
    }

    #[test]
    fn the_seed_decides() {
        let all = domains(&[(100, 50)]);
        let dealt = |seed| partition(&all, &PartitionSettings { seed, ..settings() }, &method()).unwrap();
        assert_eq!(dealt(1), dealt(1));
        assert_ne!(dealt(1).clients[0].train, dealt(2).clients[0].train);
        assert_ne!(dealt(1).clients[0].test, dealt(2).clients[0].test);
    }
}
