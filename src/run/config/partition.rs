//! The options that deal the images to the clients.

use super::*;

impl TrainConfig {
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
        let missing =
            |key: &str, example: &str| Error::Config(format!("partition = {name}: it needs {key}, for example {key} = {example}"));
        Ok(match name {
            PartitionName::Iid => Scheme::Iid,
            PartitionName::Dirichlet => {
                let alpha = self.alpha.ok_or_else(|| missing("alpha", "0.5"))?;
                Scheme::Dirichlet { alpha, self_balancing: self.self_balancing.unwrap_or(false) }
            }
            PartitionName::Shards => Scheme::Shards { per_client: self.shards_per_client.unwrap_or(2) },
            PartitionName::Classes => {
                let per_client = self.classes_per_client.ok_or_else(|| missing("classes-per-client", "3"))?;
                Scheme::Classes { per_client, sizes: self.dirichlet }
            }
            PartitionName::Sizes => match (self.alpha, self.dirichlet) {
                (Some(alpha), Some(dirichlet)) if alpha != dirichlet => {
                    return Err(Error::Config(format!(
                        "alpha = {alpha}: dirichlet = {dirichlet} means the same: leave one of the two out"
                    )));
                }
                (Some(alpha), _) | (None, Some(alpha)) => Scheme::Sizes { alpha },
                (None, None) => return Err(missing("alpha", "1")),
            },
        })
    }

    pub(super) fn test_split(&self, scheme: Scheme) -> Result<TestSplit> {
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
                let balancing = if self_balancing { ", self-balancing by numbers of images" } else { "" };
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
}

#[cfg(test)]
mod tests {
    use super::super::testing::valid;
    use super::*;

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
        assert_eq!(domains, "domains = a,b: the clients file says who has which images: leave it out");
    }
}
