//! The device, and what is made on it.

use crate::convert::{configuration, fail, give, give_all, read};
use crate::{Data, Federation, Model};
use js_sys::Reflect;
use serde::{Deserialize, Serialize};
use splitmix_fl::Error;
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::run::config::DataSource;
use splitmix_fl::run::{self, Checkpoint, TrainConfig, Trained};
use splitmix_fl::verify;
use std::rc::Rc;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What a rejected promise says, and what is thrown by what does not wait. */
export interface SplitmixError extends Error {
  name: "SplitmixError";
  /** What kind of failure: options, data, the device, training that diverged. */
  kind: "config" | "data" | "gpu" | "training" | "interrupted" | "system";
}
export interface EngineOptions {
  /** Stay within WebGPU's default limits even where the adapter offers more. */
  defaultLimits?: boolean;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript types.
    #[wasm_bindgen(typescript_type = "EngineOptions")]
    pub type EngineOptions;
    /// See the TypeScript types.
    #[wasm_bindgen(typescript_type = "TrainOptions")]
    pub type TrainOptions;
    /// See the TypeScript types.
    #[wasm_bindgen(typescript_type = "(row: SelfTestRow) => void")]
    pub type OnRow;
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Options {
    default_limits: bool,
}

/// What the engine runs on.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct AdapterReport {
    /// One line about the adapter.
    pub name: String,
    /// Whether it is a software driver.
    pub software: bool,
    /// Largest binding of a storage buffer, in bytes.
    pub largest_binding: f64,
    /// Invocations of a workgroup at most.
    pub invocations: u32,
    /// Memory of a workgroup, in bytes.
    pub workgroup_memory: u32,
    /// Storage buffers of a dispatch at most.
    pub storage_buffers: u32,
}

/// What was asked of the device.
#[derive(Serialize, Tsify)]
pub struct DeviceCounts {
    /// Dispatches recorded.
    pub dispatches: f64,
    /// Command buffers submitted.
    pub submits: f64,
    /// Results read back, each of which waits for the device.
    pub readbacks: f64,
}

/// A line of the self-test: one kernel at one shape.
#[derive(Serialize, Tsify)]
pub struct SelfTestRow {
    /// The kernel or property.
    pub op: String,
    /// The shape.
    pub shape: String,
    /// The worst error as a share of the allowed.
    pub worst: f64,
    /// What failed, if it did.
    #[tsify(optional)]
    pub failure: Option<String>,
}

impl From<&verify::Row> for SelfTestRow {
    fn from(row: &verify::Row) -> SelfTestRow {
        SelfTestRow { op: row.op.clone(), shape: row.shape.clone(), worst: row.outcome.worst, failure: row.outcome.failure.clone() }
    }
}

/// A GPU device with its compiled kernels.
#[wasm_bindgen]
pub struct Engine {
    gpu: Gpu,
    /// What the browser says of its adapter beyond what wgpu passes on, such as `google swiftshader`.
    vendor: String,
}

/// Vendor and architecture of the browser's adapter, where it tells them.
async fn vendor() -> Result<String, JsValue> {
    let get = |of: &JsValue, name: &str| Reflect::get(of, &name.into());
    let gpu = get(&get(&js_sys::global(), "navigator")?, "gpu")?;
    let request: js_sys::Function = get(&gpu, "requestAdapter")?.dyn_into()?;
    let adapter = JsFuture::from(request.call0(&gpu)?.dyn_into::<js_sys::Promise>()?).await?;
    let info = get(&adapter, "info")?;
    let words = ["vendor", "architecture"].map(|name| get(&info, name).ok().and_then(|v| v.as_string()).unwrap_or_default());
    Ok(words.join(" ").trim().to_string())
}

#[wasm_bindgen]
impl Engine {
    /// Opens the browser's adapter.
    pub async fn create(options: Option<EngineOptions>) -> Result<Engine, JsValue> {
        let options: Options = read("options", &options.map_or(JsValue::UNDEFINED, Into::into)).map_err(fail)?;
        let gpu = Gpu::open(&GpuOptions { default_limits: options.default_limits, ..GpuOptions::default() }).await.map_err(fail)?;
        Ok(Engine { gpu, vendor: vendor().await.unwrap_or_default() })
    }

    /// What it runs on.
    #[wasm_bindgen(getter)]
    pub fn adapter(&self) -> Result<Ts<AdapterReport>, JsValue> {
        let limits = &self.gpu.limits;
        give(&AdapterReport {
            name: [self.vendor.as_str(), &self.gpu.describe()].iter().filter(|s| !s.is_empty()).copied().collect::<Vec<_>>().join(", "),
            software: self.gpu.is_cpu(),
            largest_binding: self.gpu.largest_binding() as f64,
            invocations: limits.max_compute_invocations_per_workgroup,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
        })
    }

    /// What was asked of the device so far.
    pub fn counts(&self) -> Result<Ts<DeviceCounts>, JsValue> {
        let c = self.gpu.counts();
        give(&DeviceCounts { dispatches: c.dispatches as f64, submits: c.submits as f64, readbacks: c.readbacks as f64 })
    }

    /// Every kernel against its CPU twin on this adapter. `onRow` is told each row as it is done.
    #[wasm_bindgen(js_name = selfTest)]
    pub async fn self_test(&self, on_row: Option<OnRow>) -> Result<Vec<Ts<SelfTestRow>>, JsValue> {
        let told: Option<js_sys::Function> = on_row.map(|f| f.unchecked_into());
        let report = verify::self_test(&self.gpu, |row| {
            if let Some(told) = &told {
                // What the caller's function throws is the caller's.
                let _ = give(&SelfTestRow::from(row)).and_then(|row| told.call1(&JsValue::NULL, &row.into()));
            }
        });
        let report = report.await.map_err(fail)?;
        give_all(report.rows.iter().map(SelfTestRow::from))
    }

    /// A federation before its first round.
    pub async fn federation(&self, data: &Data, options: Option<TrainOptions>) -> Result<Federation, JsValue> {
        let options = options.map_or(JsValue::UNDEFINED, Into::into);
        let (gpu, dataset, source) = (self.gpu.clone(), data.dataset.clone(), data.source);
        let made = async move {
            let config = configuration(&settled(TrainConfig::default(), source), &options)?.validate()?;
            let dataset = chosen(&dataset, &config)?;
            let inner = run::Federation::builder(gpu, &dataset).config(config).build().await?;
            Ok(Federation::new(inner, dataset))
        };
        made.await.map_err(fail)
    }

    /// A federation that goes on where a checkpoint was taken, with the options of then but for those given.
    pub async fn resume(&self, checkpoint: Vec<u8>, data: &Data, options: Option<TrainOptions>) -> Result<Federation, JsValue> {
        let options = options.map_or(JsValue::UNDEFINED, Into::into);
        let (gpu, dataset, source) = (self.gpu.clone(), data.dataset.clone(), data.source);
        let made = async move {
            let checkpoint = Checkpoint::from_bytes(&checkpoint, "checkpoint")?;
            let saved = settled(checkpoint.header.config.clone(), source);
            let mut config = configuration(&saved, &options)?;
            let saved = TrainConfig::from(saved.validate()?).continued(config.rounds, checkpoint.header.rounds_done)?;
            config.rounds_before.clone_from(&saved.rounds_before);
            let config = config.validate()?;
            config.check_resume(&saved)?;
            let dataset = chosen(&dataset, &config)?;
            let inner = run::Federation::builder(gpu, &dataset).config(config).resume(checkpoint, "checkpoint").build().await?;
            Ok(Federation::new(inner, dataset))
        };
        made.await.map_err(fail)
    }

    /// A trained model from a checkpoint, this package's or the command line's, with the data that it is tested on.
    pub async fn load(&self, checkpoint: Vec<u8>, data: &Data) -> Result<Model, JsValue> {
        let (gpu, dataset, source) = (self.gpu.clone(), data.dataset.clone(), data.source);
        let made = async move {
            let checkpoint = Checkpoint::from_bytes(&checkpoint, "checkpoint")?;
            let config = settled(checkpoint.header.config.clone(), source).validate()?;
            let dataset = chosen(&dataset, &config)?;
            Ok(Model::new(Trained::new(gpu, checkpoint.clone(), "checkpoint", dataset, config).await?, checkpoint))
        };
        made.await.map_err(fail)
    }

    /// Closes the device: its memory is free at once, and everything made on it fails from then on.
    pub fn close(&self) {
        self.gpu.close();
    }
}

/// The configuration with the data that is given, and nothing of another machine's.
fn settled(mut config: TrainConfig, source: DataSource) -> TrainConfig {
    config.data = source;
    config.data_dir = (source == DataSource::Directory).then(|| "arrays".into());
    config.clients_file = None;
    config.adapter = None;
    config.memory_limit = None;
    config
}

/// The domains that a configuration names, in its order, at the network's size.
fn chosen(dataset: &Rc<splitmix_fl::data::Dataset>, config: &TrainConfig) -> Result<Rc<splitmix_fl::data::Dataset>, Error> {
    let [_, height, width] = config.network.architecture()?.input;
    let dataset = dataset.as_ref().clone().with_domains(&config.domains.0)?;
    Ok(Rc::new(dataset.resized((height, width))?))
}
