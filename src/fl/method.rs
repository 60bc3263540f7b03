//! The training methods, seen as ensembles: how many bases, how wide, and how many of them a client trains.

use super::budget::{Budgets, Ratio, bases};
use crate::{Error, Result};

/// What is trained.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// Split-Mix: `⌊R/r⌋` bases of width `r`; a client trains as many as its budget allows.
    SplitMix {
        /// The clients' budgets; the largest is `R`.
        budgets: Budgets,
        /// Width `r` of one base.
        base_width: Ratio,
    },
    /// FedAvg at one width: an ensemble of a single base that every client trains.
    FedAvg {
        /// Width of the network.
        width: Ratio,
    },
}

impl Method {
    /// Number of bases in the ensemble.
    ///
    /// # Errors
    /// [`Error::Config`] when even the largest budget is under the base width.
    pub fn base_count(&self) -> Result<usize> {
        match self {
            Method::SplitMix { budgets, base_width } => budgets.base_count(*base_width),
            Method::FedAvg { .. } => Ok(1),
        }
    }

    /// Width of one base.
    pub fn base_width(&self) -> Ratio {
        match self {
            Method::SplitMix { base_width, .. } => *base_width,
            Method::FedAvg { width } => *width,
        }
    }

    /// Width of all bases mixed, `⌊R/r⌋·r`: what "full width" means in validation.
    ///
    /// # Errors
    /// As [`Method::base_count`].
    pub fn full_width(&self) -> Result<Ratio> {
        self.base_width().times(self.base_count()?)
    }

    /// Budget and number of bases of each of `clients` clients, in client order.
    ///
    /// # Errors
    /// [`Error::Config`] when a client's budget is under the base width.
    pub fn clients(&self, clients: usize) -> Result<Vec<(Ratio, usize)>> {
        match self {
            Method::SplitMix { budgets, base_width } => {
                let ratios = budgets.client_ratios(clients).into_iter();
                ratios.map(|budget| Ok((budget, bases(budget, *base_width)?))).collect()
            }
            Method::FedAvg { width } => Ok(vec![(*width, 1); clients]),
        }
    }

    /// Number of bases that are mixed to a network of width `width`: `width = k·r`.
    ///
    /// # Errors
    /// [`Error::Config`] unless the width is a multiple of the base width and at most the full width.
    pub fn mixed_bases(&self, width: Ratio) -> Result<usize> {
        let (unit, full) = (self.base_width(), self.full_width()?);
        let count = width.floor_div(unit);
        if count == 0 || unit.times(count)? != width || width > full {
            return Err(Error::Config(format!(
                "the width {width} cannot be mixed from bases of width {unit}: choose a multiple of {unit} up to {full}"
            )));
        }
        Ok(count)
    }

    /// The widths that are validated when none are asked for: the distinct budgets, each rounded down to what its
    /// clients really train, and the full width; ascending.
    ///
    /// # Errors
    /// [`Error::Config`] when a budget is under the base width.
    pub fn default_widths(&self) -> Result<Vec<Ratio>> {
        let mut widths = match self {
            Method::SplitMix { budgets, base_width } => {
                let budgets = budgets.widths().into_iter();
                budgets.map(|budget| base_width.times(bases(budget, *base_width)?)).collect::<Result<Vec<Ratio>>>()?
            }
            Method::FedAvg { .. } => Vec::new(),
        };
        widths.push(self.full_width()?);
        widths.sort();
        widths.dedup();
        Ok(widths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_mix(budgets: &str, base_width: &str) -> Method {
        Method::SplitMix { budgets: budgets.parse().unwrap(), base_width: base_width.parse().unwrap() }
    }

    fn shown(widths: Vec<Ratio>) -> Vec<String> {
        widths.iter().map(Ratio::to_string).collect()
    }

    #[test]
    fn split_mix_by_default() {
        let method = split_mix("8-4-2-1", "1/8");
        assert_eq!(method.base_count().unwrap(), 8);
        assert_eq!(method.full_width().unwrap(), Ratio::ONE);
        let bases: Vec<usize> = method.clients(4).unwrap().iter().map(|client| client.1).collect();
        assert_eq!(bases, [1, 2, 4, 8]);
        assert_eq!(shown(method.default_widths().unwrap()), ["1/8", "1/4", "1/2", "1"]);
        assert_eq!(method.mixed_bases("3/8".parse().unwrap()).unwrap(), 3);
    }

    #[test]
    fn widths_that_do_not_divide() {
        // R = 1, r = 3/8: two bases, full width 3/4; a budget of 1/2 trains one base.
        let method = split_mix("2-1", "3/8");
        assert_eq!(method.base_count().unwrap(), 2);
        assert_eq!(shown(vec![method.full_width().unwrap()]), ["3/4"]);
        assert_eq!(shown(method.default_widths().unwrap()), ["3/8", "3/4"]);
        for width in ["1/2", "1", "1/8"] {
            let message = method.mixed_bases(width.parse().unwrap()).unwrap_err().to_string();
            assert!(message.contains("multiple of 3/8 up to 3/4"), "{message}");
        }
    }

    #[test]
    fn half_the_network_is_full_width_when_nobody_trains_more() {
        let method = split_mix("8-4-8d3-2", "1/8");
        assert_eq!(method.base_count().unwrap(), 4);
        assert_eq!(shown(method.default_widths().unwrap()), ["1/8", "1/4", "3/8", "1/2"]);
        assert!(method.mixed_bases(Ratio::ONE).is_err());
    }

    #[test]
    fn a_base_wider_than_a_budget_is_an_error() {
        let method = split_mix("8-4-2-1", "1/4");
        assert!(method.clients(4).is_err());
        assert!(method.default_widths().is_err());
    }

    #[test]
    fn fedavg_is_an_ensemble_of_one() {
        let method = Method::FedAvg { width: "1/2".parse().unwrap() };
        assert_eq!(method.base_count().unwrap(), 1);
        assert_eq!(shown(method.default_widths().unwrap()), ["1/2"]);
        assert!(method.clients(3).unwrap().iter().all(|&(width, bases)| bases == 1 && width.as_f64() == 0.5));
        assert_eq!(method.mixed_bases("1/2".parse().unwrap()).unwrap(), 1);
        assert!(method.mixed_bases(Ratio::ONE).is_err());
    }
}
