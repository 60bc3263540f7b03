//! Training.

use crate::convert::{check_fields, fail, give, give_all, option_keys, option_name};
use async_lock::Mutex;
use js_sys::{Function, Object, Promise, Reflect};
use serde::Serialize;
use splitmix_fl::Error;
use splitmix_fl::data::Dataset;
use splitmix_fl::run::{self, Checkpoint, RoundOutcome, WidthMetrics};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
export interface TrainCall {
  /** Rounds to train; to the end of the options' rounds when not given. */
  rounds?: number;
  /** Told of every round. A promise is waited for before the next round. */
  onRound?: (round: Round) => void | Promise<void>;
  /** Ends training after the round in progress; the promise is rejected with the signal's reason, unless no round is left. */
  signal?: AbortSignal;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript types.
    #[wasm_bindgen(typescript_type = "TrainCall")]
    pub type TrainCall;
    /// See the TypeScript types.
    #[wasm_bindgen(typescript_type = "Required<TrainOptions>")]
    pub type EffectiveOptions;
}

/// Accuracy on a domain.
#[derive(Serialize, Tsify)]
pub struct DomainAccuracy {
    /// The domain.
    pub name: String,
    /// Mean over its clients, in [0, 1]; none where they have no images.
    #[tsify(optional)]
    pub accuracy: Option<f64>,
}

/// Accuracies of a width.
#[derive(Serialize, Tsify)]
pub struct WidthAccuracy {
    /// The width, as in `3/8`.
    pub width: String,
    /// Unweighted mean over the clients that have images, in [0, 1].
    #[tsify(optional)]
    pub accuracy: Option<f64>,
    /// The same by domain.
    pub domains: Vec<DomainAccuracy>,
}

impl From<&WidthMetrics> for WidthAccuracy {
    fn from(m: &WidthMetrics) -> WidthAccuracy {
        let domain = |(name, accuracy): (&String, &Option<f64>)| DomainAccuracy { name: name.clone(), accuracy: *accuracy };
        WidthAccuracy { width: m.width.to_string(), accuracy: m.accuracy, domains: m.domains.iter().map(domain).collect() }
    }
}

/// What a round did.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct Round {
    /// Its number, from 0.
    pub round: usize,
    /// Learning rate.
    pub lr: f64,
    /// Clients that took part.
    pub clients: usize,
    /// (client, base) pairs trained.
    pub lanes: usize,
    /// Mean cross entropy in training.
    pub loss: f64,
    /// Share of right answers in training, in [0, 1].
    pub accuracy: f64,
    /// The same on attacked images, in adversarial training.
    #[tsify(optional)]
    pub robust_accuracy: Option<f64>,
    /// Validation at each width; empty in a round without.
    pub validation: Vec<WidthAccuracy>,
    /// Validation of attacked images at full width, in adversarial training.
    #[tsify(optional)]
    pub robust_validation: Option<WidthAccuracy>,
    /// Whether this is the best round so far.
    pub best: bool,
    /// The base that answers for each client after the round, with methods that give each its own.
    #[tsify(optional)]
    pub own_bases: Option<Vec<u32>>,
    /// Figures of the method's own, by their names.
    #[tsify(type = "Record<string, number>")]
    pub figures: BTreeMap<String, f64>,
    /// Which client trained which base: pairs of numbers.
    pub trained: Vec<[usize; 2]>,
    /// Groups of lanes that fitted the device together.
    pub waves: usize,
    /// Dispatches of the round.
    pub dispatches: f64,
    /// Command buffers submitted.
    pub submits: f64,
    /// Results read back: 1.
    pub readbacks: f64,
}

/// A client of the federation.
#[derive(Serialize, Tsify)]
pub struct ClientInfo {
    /// Its name.
    pub name: String,
    /// Its domain.
    pub domain: String,
    /// The largest width that it trains, as in `1/2`.
    pub budget: String,
    /// Number of training images.
    pub train: usize,
    /// Number of validation images.
    pub validation: usize,
    /// Number of test images.
    pub test: usize,
}

/// A federation in training. What is asked of it during a round waits for the round's end.
#[wasm_bindgen]
pub struct Federation {
    inner: Rc<Mutex<run::Federation>>,
    dataset: Rc<Dataset>,
    best: RefCell<Option<Checkpoint>>,
}

impl Federation {
    pub(crate) fn new(inner: run::Federation, dataset: Rc<Dataset>) -> Federation {
        Federation { inner: Rc::new(Mutex::new(inner)), dataset, best: RefCell::default() }
    }
}

/// A [`TrainCall`], read.
struct Call {
    most: usize,
    on_round: Option<Function>,
    signal: Option<web_sys::AbortSignal>,
}

impl Call {
    /// # Errors
    /// [`Error::Config`] naming a field that there is not, or whose value is of another kind.
    fn read(call: &JsValue) -> splitmix_fl::Result<Call> {
        let mut read = Call { most: usize::MAX, on_round: None, signal: None };
        if call.is_undefined() || call.is_null() {
            return Ok(read);
        }
        let fields = call.dyn_ref::<Object>().ok_or_else(|| Error::Config("train: its argument must be an object".into()))?;
        check_fields("train", fields, &["rounds", "onRound", "signal"])?;
        let given = |name: &str| Reflect::get(fields, &name.into()).ok().filter(|value| !value.is_undefined());
        let wrong = |name: &str, what: &str| Error::Config(format!("train: {name} must be {what}"));
        if let Some(rounds) = given("rounds") {
            let whole = rounds.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0);
            read.most = whole.ok_or_else(|| wrong("rounds", "a whole number, 0 or more"))? as usize;
        }
        if let Some(told) = given("onRound") {
            read.on_round = Some(told.dyn_into().map_err(|_| wrong("onRound", "a function"))?);
        }
        if let Some(signal) = given("signal") {
            read.signal = Some(signal.dyn_into().map_err(|_| wrong("signal", "an AbortSignal"))?);
        }
        Ok(read)
    }
}

#[wasm_bindgen]
impl Federation {
    /// Trains rounds. Rejected where the call has a field that there is not or of another kind, the device fails, training diverges or
    /// the signal aborts; the checkpoint of the last whole round can still be had.
    pub async fn train(&self, call: Option<TrainCall>) -> Result<(), JsValue> {
        let Call { most, on_round, signal } = Call::read(&call.map_or(JsValue::UNDEFINED, Into::into)).map_err(fail)?;
        for _ in 0..most {
            let mut federation = self.inner.lock().await;
            if federation.run().rounds_done >= federation.run().config.rounds {
                break;
            }
            if let Some(signal) = signal.as_ref().filter(|s| s.aborted()) {
                return Err(signal.reason());
            }
            let before = federation.run().gpu.counts();
            let outcome = federation.round().await.map_err(fail)?;
            let spent = federation.run().gpu.counts() - before;
            if outcome.metrics.best {
                self.best.replace(Some(federation.checkpoint().await.map_err(fail)?));
            }
            drop(federation);
            if let Some(on_round) = &on_round {
                let round = Round {
                    submits: spent.submits as f64,
                    dispatches: spent.dispatches as f64,
                    readbacks: spent.readbacks as f64,
                    ..Round::from(outcome)
                };
                let told = on_round.call1(&JsValue::NULL, &give(&round)?.into())?;
                if let Ok(promise) = told.dyn_into::<Promise>() {
                    JsFuture::from(promise).await?;
                }
            }
        }
        Ok(())
    }

    /// Rounds trained so far.
    #[wasm_bindgen(js_name = roundsDone)]
    pub async fn rounds_done(&self) -> usize {
        self.inner.lock().await.run().rounds_done
    }

    /// The effective options.
    pub async fn options(&self) -> Result<EffectiveOptions, JsValue> {
        let config = self.inner.lock().await.run().config.clone();
        let all = serde_json::to_value(config).map_err(|e| fail(splitmix_fl::Error::Config(e.to_string())))?;
        let named = option_keys().into_iter().filter_map(|key| Some((option_name(&key), all.get(&key)?.clone())));
        let named: serde_json::Map<_, _> = named.collect();
        Ok(named.serialize(&serde_wasm_bindgen::Serializer::json_compatible())?.unchecked_into())
    }

    /// The clients, in their order.
    pub async fn clients(&self) -> Result<Vec<Ts<ClientInfo>>, JsValue> {
        let federation = self.inner.lock().await;
        let info = |c: &splitmix_fl::fl::Client| ClientInfo {
            name: c.name.clone(),
            domain: self.dataset.domains[c.domain].name.clone(),
            budget: c.budget.to_string(),
            train: c.train.len(),
            validation: c.validation.len(),
            test: c.test.len(),
        };
        give_all(federation.run().clients.iter().map(info))
    }

    /// The bases now, as a file to evaluate or to go on from. It came with the last round's readback, so it can be had after a lost device.
    pub async fn checkpoint(&self) -> Result<Vec<u8>, JsValue> {
        let checkpoint = self.inner.lock().await.checkpoint().await.map_err(fail)?;
        checkpoint.to_bytes().map_err(fail)
    }

    /// The bases of the best round so far, as a file; nothing before the first validation.
    #[wasm_bindgen(js_name = bestCheckpoint)]
    pub fn best_checkpoint(&self) -> Result<Option<Vec<u8>>, JsValue> {
        self.best.borrow().as_ref().map(|c| c.to_bytes().map_err(fail)).transpose()
    }
}

impl From<RoundOutcome> for Round {
    fn from(o: RoundOutcome) -> Round {
        let m = o.metrics;
        Round {
            round: m.round,
            lr: m.lr,
            clients: m.clients,
            lanes: m.lanes,
            loss: m.train_loss,
            accuracy: m.train_accuracy,
            robust_accuracy: m.robust_train_accuracy,
            validation: m.validation.iter().map(WidthAccuracy::from).collect(),
            robust_validation: m.robust_validation.as_ref().map(WidthAccuracy::from),
            best: m.best,
            own_bases: m.own_bases,
            figures: m.figures,
            trained: o.trained.iter().map(|(client, base)| [*client, *base]).collect(),
            waves: o.waves,
            dispatches: o.dispatches as f64,
            submits: o.submits as f64,
            readbacks: 0.0,
        }
    }
}
