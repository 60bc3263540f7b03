//! The federation: who trains which base on which images, and how the results are averaged.
//!
//! Nothing here touches a GPU, a file, a clock or a thread: every function is a pure function of its
//! arguments and the run's seed. The one thing that a resumed run has to carry over is the algorithm's own
//! [`State`].
//!
//! Source: Hong, Wang, Wang, Zhou, "Efficient Split-Mix Federated Learning for On-Demand and In-Situ
//! Customization", ICLR 2022 (arXiv 2203.09747), section 3, algorithms 2 and 3.

pub mod algorithms;
pub mod assignment;
pub mod attack;
pub mod batches;
pub mod budget;
pub mod init;
pub mod partition;
pub mod random;
pub mod round;
pub mod sampling;
pub mod schedule;
pub mod selection;

pub use algorithms::fed_avg::FedAvg;
pub use algorithms::hetero_fl::HeteroFl;
pub use algorithms::split_mix::SplitMix;
pub use algorithms::{Algorithm, Assignment, Composition, Found, Round, Stage, State, Task};
pub use assignment::{RoundSettings, plan_round};
pub use attack::Attack;
pub use budget::{Budgets, Ratio};
pub use partition::{Client, DomainLabels, Part, Partition, PartitionSettings, Scheme, TestSplit, Warning, partition};
pub use random::{Purpose, rng};
pub use round::{ClientPlan, Lane, RoundPlan, Submodel};
pub use schedule::Schedule;
pub use selection::{Best, Selection};
