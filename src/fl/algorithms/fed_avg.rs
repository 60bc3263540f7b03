//! Federated averaging (McMahan et al., AISTATS 2017) at one width: one base that every client trains.

use super::Algorithm;
use super::registry::Method;
use crate::Result;
use crate::fl::budget::Ratio;
use std::sync::Arc;

/// One network of one width. With batch norms that stay with the clients it is FedBN, with the proximal term FedProx.
#[derive(Clone, Debug, PartialEq)]
pub struct FedAvg {
    /// Width of the network.
    pub width: Ratio,
}

impl Algorithm for FedAvg {
    fn bases(&self) -> Result<usize> {
        Ok(1)
    }

    fn base_width(&self) -> Ratio {
        self.width
    }
}

/// Federated averaging.
pub const METHOD: Method = Method {
    name: "fedavg",
    help: "one network of one width, trained by every client",
    reads: &["width"],
    options: &[],
    refuses: &[],
    hints: &[("budgets", "its clients all train one width")],
    check: |_| Ok(()),
    build: |settings| Arc::new(FedAvg { width: settings.width }),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fl::Composition;

    #[test]
    fn it_is_an_ensemble_of_one() {
        let algorithm = FedAvg { width: "1/2".parse().unwrap() };
        assert_eq!((algorithm.bases().unwrap(), algorithm.full_width().unwrap()), (1, algorithm.width));
        assert_eq!(algorithm.widths().unwrap(), [algorithm.width]);
        assert!(algorithm.budgets(3).into_iter().all(|b| b == algorithm.width && algorithm.task(b).unwrap().bases == 1));
        assert_eq!(algorithm.model(algorithm.width).unwrap(), Composition::Mix(1));
        assert!(algorithm.model(Ratio::ONE).unwrap_err().to_string().contains("1/2"));
    }
}
