//! A method for tests: federated averaging with an option of each kind.

use super::fed_avg::FedAvg;
use super::options::{Choice, MethodOption, Number, Switch, Whole};
use super::registry::Method;
use crate::Error;
use crate::fl::budget::Ratio;
use std::sync::Arc;

const PARTS: Whole = Whole { key: "probe-parts", help: "Parts of the probed width.", least: 1, most: 64, default: 4 };
const PULL: Number = Number { key: "probe-pull", help: "How far it pulls.", least: 0.0, most: 1e6, default: 0.5 };
const LAYERS: Choice = Choice { key: "probe-on", help: "Layers that it probes.", names: &["all", "last"], default: "all" };
const HALVES: Switch = Switch { key: "probe-halves", help: "Probe half the width.", default: false };

pub(super) const METHOD: Method = Method {
    name: "probe",
    help: "for tests",
    reads: &["width"],
    options: &[MethodOption::Whole(PARTS), MethodOption::Number(PULL), MethodOption::Choice(LAYERS), MethodOption::Switch(HALVES)],
    refuses: &[("local-bn", "nothing is probed there")],
    hints: &[],
    check: |settings| match settings.own.choice(&LAYERS) == "last" && settings.own.number(&PULL) > 1.0 {
        true => Err(Error::Config("probe-pull = 2: the last layer takes at most 1".into())),
        false => Ok(()),
    },
    build: |settings| {
        let halves = u32::from(settings.own.switch(&HALVES)) + 1;
        Arc::new(FedAvg { width: Ratio::new(1, settings.own.whole(&PARTS) as u32 * halves).unwrap_or(settings.width) })
    },
};
