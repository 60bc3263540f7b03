//! The types of options' values: how each is written in files and on the command line.

use crate::fl::Ratio;
use crate::net::Architecture;
use crate::text::{names, written_as_text};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Rounds trained until then, at least 1.
    pub trained: usize,
    /// Number of rounds that the run was to have until then.
    pub planned: usize,
}

written_as_text!(Stage);

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
    /// The server's optimisers.
    ServerOptimizerName, "a server optimiser" {
        /// None: bases become their averages.
        Average = "average",
        /// Momentum: FedAvgM.
        Momentum = "momentum",
        /// FedAdagrad.
        Adagrad = "adagrad",
        /// FedAdam.
        Adam = "adam",
        /// FedYogi.
        Yogi = "yogi",
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

written_as_text!(ByteSize);

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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn names_that_are_not_there() {
        let message = "running".parse::<BnMode>().unwrap_err().to_string();
        assert!(message.contains("\"running\"") && message.contains("choose batch"), "{message}");
    }
}
