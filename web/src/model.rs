//! Trained models.

use crate::convert::{Width, fail, give, give_all, read};
use crate::federation::{DomainAccuracy, WidthAccuracy};
use serde::{Deserialize, Serialize};
use splitmix_fl::fl::{Attack, Composition, Ratio};
use splitmix_fl::run::mix::Choice;
use splitmix_fl::run::model::{Accuracy, Report, TestSettings};
use splitmix_fl::run::trained::Trained;
use splitmix_fl::run::{Checkpoint, onnx};
use splitmix_fl::{Error, Result};
use std::rc::Rc;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A width: a share of the full network such as 0.375, or "3/8". */
export type Width = number | string;
export interface EvaluateCall {
  /** Widths to test; those of training when not given. */
  widths?: Width[];
  /** Share of the adversarial batch norms in [0, 1]; 0 when not given. */
  lambda?: number;
  /** Attack the test images first: "fgsm", "pgd-20", "pgd-20-eps16-restarts5", … */
  attack?: string;
  /** Test images of each client at most. */
  imagesPerClient?: number;
}
export interface PredictCall {
  /** Width; the full one when not given. */
  width?: Width;
  /** Share of the adversarial batch norms in [0, 1]; 0 when not given. */
  lambda?: number;
  /** Test images that the picture is normalised with under batch statistics; 127 when not given. */
  context?: number;
  /** Domain that these are of; of all in turn when not given. */
  domain?: string;
  /** Client whose batch norms or base are used, where clients have their own. */
  client?: string;
}
export interface AttackCall extends PredictCall {
  /** The attack: "fgsm", "pgd-20", "pgd-20-eps16-restarts5", …; pgd-20 when not given. */
  attack?: string;
}
export interface MixCall {
  width: Width;
  lambda?: number;
  /** Client whose batch norms or base are taken, where clients have their own. */
  client?: string;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript types.
    #[wasm_bindgen(typescript_type = "EvaluateCall")]
    pub type EvaluateCall;
    /// See the TypeScript types.
    #[wasm_bindgen(typescript_type = "PredictCall")]
    pub type PredictCall;
    /// See the TypeScript types.
    #[wasm_bindgen(typescript_type = "AttackCall")]
    pub type AttackCall;
    /// See the TypeScript types.
    #[wasm_bindgen(typescript_type = "MixCall")]
    pub type MixCall;
    /// See the TypeScript types.
    #[wasm_bindgen(typescript_type = "Width")]
    pub type JsWidth;
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Evaluate {
    widths: Option<Vec<Width>>,
    lambda: f64,
    attack: Option<String>,
    images_per_client: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Predict {
    width: Option<Width>,
    lambda: f64,
    context: Option<usize>,
    domain: Option<String>,
    client: Option<String>,
    attack: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Mix {
    width: Option<Width>,
    lambda: f64,
    client: Option<String>,
}

/// What a model is.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// Name of the network.
    pub network: String,
    /// The widths that it can be mixed to, ascending, as in `3/8`.
    pub widths: Vec<String>,
    /// Whether λ can be chosen: the batch norms are dual.
    pub dual: bool,
    /// Rounds that it was trained.
    pub rounds: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels, rows and columns of an image.
    pub image: [usize; 3],
    /// What its batch norms normalise by: statistics of the `batch`, `tracked` ones or, in mode `post`, re-estimated ones. By `batch`
    /// alone `context` and `domain` can be given to a prediction.
    pub bn_mode: String,
    /// The domains of its data.
    pub domains: Vec<String>,
    /// The clients, one of which a prediction has to name, where each has batch norms or a base of its own; none where all have the same.
    pub clients: Vec<String>,
}

/// What a width costs.
#[derive(Serialize, Tsify)]
pub struct Cost {
    /// Parameters.
    pub parameters: f64,
    /// Multiply–adds of an image.
    pub macs: f64,
}

/// A picture before and after an attack.
#[derive(Serialize, Tsify)]
pub struct AttackedPicture {
    /// The attacked picture: bytes of red, green and blue, row by row.
    #[serde(with = "serde_bytes")]
    #[tsify(type = "Uint8Array")]
    pub pixels: Vec<u8>,
    /// Probabilities of the classes before.
    pub before: Vec<f32>,
    /// Probabilities after.
    pub after: Vec<f32>,
}

/// A trained ensemble that is mixed to any width and λ in use.
#[wasm_bindgen]
pub struct Model {
    inner: Rc<Trained>,
    checkpoint: Checkpoint,
}

impl Model {
    pub(crate) fn new(inner: Trained, checkpoint: Checkpoint) -> Model {
        Model { inner: Rc::new(inner), checkpoint }
    }

    fn full_width(&self) -> Result<Ratio> {
        match &self.inner.header.mixed {
            Some(mixed) => Ok(mixed.width),
            None => self.inner.config.algorithm().full_width(),
        }
    }

    fn width(&self, width: Option<Width>) -> Result<Ratio> {
        width.map_or_else(|| self.full_width(), |w| w.ratio())
    }

    fn cost_of(&self, width: Ratio) -> Result<Cost> {
        let trained = &self.inner;
        let (bases, network) = match (&trained.header.mixed, trained.model.algorithm.model(width)?) {
            (Some(_), _) => (trained.model.server.count as usize, trained.model.network.clone()),
            (None, Composition::Mix(bases)) => (bases, trained.model.network.clone()),
            (None, Composition::Corner) => (1, trained.config.network_of(width, trained.model.classes)?),
        };
        Ok(Cost { parameters: (bases as u64 * network.parameters()) as f64, macs: (bases as u64 * network.macs()) as f64 })
    }

    async fn test(&self, call: Evaluate) -> Result<Vec<WidthAccuracy>> {
        let t = &self.inner;
        let widths = match call.widths {
            Some(widths) => widths.iter().map(Width::ratio).collect::<Result<_>>()?,
            None => t.widths(),
        };
        let clients = t.clients_with_tests(call.images_per_client);
        let settings =
            TestSettings { widths, lambda: call.lambda, order: Vec::new(), batch: t.config.eval_batch_size, limit: t.config.limit() };
        let report = match call.attack {
            None => t.model.test(&t.gpu, &t.images, &clients, &settings).await?,
            Some(attack) => {
                let attack: Attack = attack.parse()?;
                t.model.attack(&t.gpu, &t.images, &clients, &settings, attack, t.config.seed as u32).await?.report
            }
        };
        Ok(accuracies(&report))
    }
}

fn accuracies(report: &Report) -> Vec<WidthAccuracy> {
    let domain = |(name, accuracy): &(String, Option<f64>)| DomainAccuracy { name: name.clone(), accuracy: *accuracy };
    let of = |a: &Accuracy| WidthAccuracy { width: a.width.to_string(), accuracy: a.mean, domains: a.domains.iter().map(domain).collect() };
    report.widths.iter().map(of).collect()
}

#[wasm_bindgen]
impl Model {
    /// What it is.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> std::result::Result<Ts<ModelInfo>, JsValue> {
        let Trained { header, model, dataset, clients, .. } = &*self.inner;
        let base = header.base_width;
        let widths = match &header.mixed {
            Some(mixed) => vec![mixed.width.to_string()],
            None if header.bases == 1 => self.inner.widths().iter().map(ToString::to_string).collect(),
            None => {
                let of = |k: u32| Ratio::new(base.numerator() * k, base.denominator());
                (1..=header.bases as u32).map(|k| of(k).map(|r| r.to_string())).collect::<Result<_>>().map_err(fail)?
            }
        };
        give(&ModelInfo {
            network: header.network.clone(),
            widths,
            dual: model.network.norms.dual,
            rounds: header.rounds_done,
            classes: header.classes,
            image: header.image,
            bn_mode: model.bn_mode.to_string(),
            domains: dataset.domains.iter().map(|d| d.name.clone()).collect(),
            clients: clients.iter().filter(|_| model.is_personal()).map(|c| c.name.clone()).collect(),
        })
    }

    /// Parameters and multiply–adds of a width.
    pub fn cost(&self, width: JsWidth) -> std::result::Result<Ts<Cost>, JsValue> {
        let width: Option<Width> = read("width", &width).map_err(fail)?;
        give(&self.cost_of(self.width(width).map_err(fail)?).map_err(fail)?)
    }

    /// Accuracy on the clients' test images at each width, after an attack if one is named.
    pub async fn evaluate(&self, call: Option<EvaluateCall>) -> std::result::Result<Vec<Ts<WidthAccuracy>>, JsValue> {
        let call = read("evaluate", &call.map_or(JsValue::UNDEFINED, Into::into)).map_err(fail)?;
        give_all(self.test(call).await.map_err(fail)?)
    }

    /// Probabilities of the classes of a picture: bytes of red, green and blue, row by row, of the network's input size.
    pub async fn predict(&self, pixels: Vec<u8>, call: Option<PredictCall>) -> std::result::Result<Vec<f32>, JsValue> {
        let call = call.map_or(JsValue::UNDEFINED, Into::into);
        let done = async {
            let call: Predict = read("predict", &call)?;
            let t = &self.inner;
            self.check_picture(&pixels)?;
            let (width, context) = (self.width(call.width)?, t.context(call.context, call.domain.as_deref())?);
            let client = t.client_of_norms(call.client.as_deref())?;
            Ok(t.predict(&[pixels], &[width], call.lambda, &context, client).await?.remove(0).remove(0))
        };
        done.await.map_err(fail)
    }

    /// Attacks a picture that shows class `label`, and rounds the result to 8 bits as a picture has them.
    pub async fn attack(&self, pixels: Vec<u8>, label: u8, call: Option<AttackCall>) -> std::result::Result<Ts<AttackedPicture>, JsValue> {
        let call = call.map_or(JsValue::UNDEFINED, Into::into);
        let done = async {
            let call: Predict = read("attack", &call)?;
            let t = &self.inner;
            self.check_picture(&pixels)?;
            let (width, context) = (self.width(call.width)?, t.context(call.context, call.domain.as_deref())?);
            let client = t.client_of_norms(call.client.as_deref())?;
            let attack: Attack = call.attack.as_deref().unwrap_or("pgd-20").parse()?;
            let done = t.attack_picture(&pixels, label, width, call.lambda, attack, &context, client).await?;
            Ok(AttackedPicture { pixels: done.pixels, before: done.before, after: done.after })
        };
        give(&done.await.map_err(fail)?)
    }

    /// One model file of a width and λ, for the command line's `eval` and `predict` and for [`Engine::load`](crate::Engine::load).
    pub async fn mix(&self, call: MixCall) -> std::result::Result<Vec<u8>, JsValue> {
        self.mixed(&call.into()).await.and_then(|c| c.to_bytes()).map_err(fail)
    }

    /// The same as an ONNX file; not of a model that normalises by the statistics of each batch.
    pub async fn onnx(&self, call: MixCall) -> std::result::Result<Vec<u8>, JsValue> {
        let done = async {
            let mixed = self.mixed(&call.into()).await?;
            onnx::to_onnx(&mixed.header.network()?, &mixed)
        };
        done.await.map_err(fail)
    }

    /// The checkpoint that it was loaded from, as a file.
    pub fn checkpoint(&self) -> std::result::Result<Vec<u8>, JsValue> {
        self.checkpoint.to_bytes().map_err(fail)
    }
}

impl Model {
    async fn mixed(&self, call: &JsValue) -> Result<Checkpoint> {
        let call: Mix = read("mix", call)?;
        let t = &self.inner;
        let client = call.client.as_deref().map(|name| t.client_of_norms(Some(name))).transpose()?;
        let choice = Choice { width: self.width(call.width)?, lambda: call.lambda, order: Vec::new(), client: client.zip(call.client) };
        t.model.mix(&t.gpu, &t.header, &choice).await
    }

    fn check_picture(&self, pixels: &[u8]) -> Result<()> {
        let [channels, height, width] = self.inner.header.image;
        let wanted = channels * height * width;
        if pixels.len() == wanted {
            return Ok(());
        }
        Err(Error::Data(format!("the picture has {} bytes; {height}×{width} pixels of red, green and blue are {wanted}", pixels.len())))
    }
}
