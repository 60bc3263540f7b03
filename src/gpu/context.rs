//! Choosing an adapter, opening its device, and keeping its errors until somebody asks.

use super::pipelines::Pipelines;
use crate::error::option_name;
use crate::kernels::{Traits, Tuning};
use crate::{Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How to open a GPU.
#[derive(Debug, Clone, Default)]
pub struct GpuOptions {
    /// Index in [`adapters`], or a part of the name, driver or backend (any case); else the fastest kind found.
    pub adapter: Option<String>,
    /// Stay within WebGPU's default limits even where the adapter offers more.
    pub default_limits: bool,
    /// Compile the kernels with run-time bounds checks and bounded loops. Slower; the default trusts them, for the test
    /// suite runs every kernel both ways between poisoned guards.
    pub checked_shaders: bool,
    /// Folder to keep compiled pipelines in from run to run, where the adapter can give them out. Native only.
    pub pipeline_cache: Option<std::path::PathBuf>,
    /// Tell the time of every dispatch on standard error, one line each, each waited for. Native only.
    pub trace: bool,
}

/// One adapter of this machine.
#[derive(Debug, Clone)]
pub struct AdapterReport {
    /// Index to choose it by.
    pub index: usize,
    /// Name, driver, backend and kind.
    pub info: wgpu::AdapterInfo,
    /// What it offers.
    pub limits: wgpu::Limits,
}

/// What was asked of a device so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Dispatches recorded.
    pub dispatches: u64,
    /// Command buffers submitted.
    pub submits: u64,
    /// Buffers mapped to read results, each of which waits for the device.
    pub readbacks: u64,
}

impl std::ops::Sub for Counts {
    type Output = Counts;
    fn sub(self, before: Counts) -> Counts {
        Counts {
            dispatches: self.dispatches - before.dispatches,
            submits: self.submits - before.submits,
            readbacks: self.readbacks - before.readbacks,
        }
    }
}

/// An open device, its queue, and the pipelines compiled so far. A clone is the same device.
#[derive(Clone)]
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    /// Name, driver, backend and kind of the adapter.
    pub info: wgpu::AdapterInfo,
    /// Limits that the device was opened with.
    pub limits: wgpu::Limits,
    /// Features that the device was opened with.
    pub features: wgpu::Features,
    pub(super) checked_shaders: bool,
    /// Whether every dispatch is timed and printed.
    #[cfg(feature = "native")]
    pub(super) trace: bool,
    failure: Arc<Mutex<Option<String>>>,
    lost: Arc<Mutex<Option<String>>>,
    pub(super) pipelines: Arc<Pipelines>,
    counts: Arc<Mutex<Counts>>,
    /// Work recorded by [`Program::play`](super::Program::play) since the last submit.
    pending: Arc<AtomicU64>,
}

#[cfg(not(target_arch = "wasm32"))]
const NO_ADAPTER: &str = "no GPU adapter found: install a Vulkan driver (a GPU's own, or Debian's software driver: apt-get install \
                          mesa-vulkan-drivers)";
#[cfg(target_arch = "wasm32")]
const NO_ADAPTER: &str = "this browser gives no WebGPU adapter: use a recent Chrome, Edge, Safari or Firefox with graphics acceleration \
                          switched on (Chrome on Linux: chrome://flags/#enable-unsafe-webgpu), on a page of https:// or localhost";

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::BROWSER_WEBGPU;
    // Validation layers print on their own; labels are kept either way.
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

/// The adapters of this machine, in the order that indices choose them by: the fastest kind first.
pub async fn adapters() -> Vec<AdapterReport> {
    let list = enumerate(&instance()).await;
    list.iter().enumerate().map(|(index, a)| AdapterReport { index, info: a.get_info(), limits: a.limits() }).collect()
}

async fn enumerate(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let mut list = instance.enumerate_adapters(wgpu::Backends::all()).await;
    list.sort_by_key(|a| match a.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    list
}

impl AdapterReport {
    /// One line that names the adapter: name, kind, backend, driver.
    pub fn describe(&self) -> String {
        describe_adapter(&self.info)
    }
}

/// What to say where there is no adapter.
pub fn no_adapter() -> String {
    NO_ADAPTER.to_string()
}

/// The options that say how much memory is taken, in words.
pub(super) fn what_takes_memory() -> String {
    format!("{}, {} or {}", option_name("memory-limit"), option_name("wave-lanes"), option_name("batch-size"))
}

/// One line that names an adapter: name, kind, backend, driver.
fn describe_adapter(info: &wgpu::AdapterInfo) -> String {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => "software driver on the CPU",
        wgpu::DeviceType::Other => "other device",
    };
    let backend = match info.backend {
        wgpu::Backend::BrowserWebGpu => "WebGPU".to_string(),
        other => format!("{other:?}"),
    };
    // A browser says nothing of the driver, and not always a name.
    let driver = [info.driver.as_str(), info.driver_info.as_str()].iter().filter(|s| !s.is_empty()).copied().collect::<Vec<_>>().join(" ");
    let parts = [kind, &backend, &driver].iter().filter(|s| !s.is_empty()).copied().collect::<Vec<_>>().join(", ");
    if info.name.is_empty() { parts } else { format!("{} ({parts})", info.name) }
}

/// Most [work](crate::kernels::Dispatch::work) of a submit, so that none runs near a second: systems take a device that works on one
/// longer for hung (Windows after two), and a display that shares it stands still.
fn work_per_submit(kind: wgpu::DeviceType) -> u64 {
    match kind {
        wgpu::DeviceType::Cpu => 5_000_000_000,
        wgpu::DeviceType::DiscreteGpu => 200_000_000_000,
        _ => 50_000_000_000,
    }
}

async fn choose(options: &GpuOptions) -> Result<wgpu::Adapter> {
    let instance = instance();
    let mut list = enumerate(&instance).await;
    if list.is_empty() {
        // A browser does not enumerate; it hands out one adapter.
        let request = wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
        return instance.request_adapter(&request).await.map_err(|_| Error::Gpu(no_adapter()));
    }
    let Some(wanted) = &options.adapter else {
        return Ok(list.remove(0));
    };
    let found = match wanted.parse::<usize>() {
        Ok(index) => (index < list.len()).then_some(index),
        Err(_) => {
            let wanted = wanted.to_lowercase();
            list.iter().position(|a| describe_adapter(&a.get_info()).to_lowercase().contains(&wanted))
        }
    };
    match found {
        Some(index) => Ok(list.remove(index)),
        None => {
            let offered: Vec<_> = list.iter().enumerate().map(|(i, a)| format!("{i}: {}", describe_adapter(&a.get_info()))).collect();
            Err(Error::Config(format!("no adapter matches {wanted:?}; this machine has {}", offered.join("; "))))
        }
    }
}

impl Gpu {
    /// Opens an adapter with the limits and features it offers.
    ///
    /// # Errors
    /// [`Error::Gpu`] where there is no adapter or it gives no device, [`Error::Config`] where none matches the choice.
    pub async fn open(options: &GpuOptions) -> Result<Gpu> {
        let adapter = choose(options).await?;
        let info = adapter.get_info();
        let limits = if options.default_limits { wgpu::Limits::default() } else { adapter.limits() };
        let mut wanted = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP;
        if options.pipeline_cache.is_some() {
            wanted |= wgpu::Features::PIPELINE_CACHE;
        }
        let features = adapter.features() & wanted;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("splitmix"),
                required_features: features,
                required_limits: limits.clone(),
                ..Default::default()
            })
            .await
            .map_err(|error| Error::Gpu(format!("adapter {} gave no device: {error}", describe_adapter(&info))))?;
        let failure = Arc::new(Mutex::new(None));
        let keep = |failure: &Arc<Mutex<Option<String>>>, text: String| {
            let mut slot = failure.lock().expect("no panic while held");
            // The first error explains the rest.
            slot.get_or_insert(text);
        };
        let of_errors = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let text = match error {
                wgpu::Error::OutOfMemory { .. } => {
                    format!("the GPU is out of memory: lower {}", what_takes_memory())
                }
                other => format!("the GPU refused a call: {other}"),
            };
            keep(&of_errors, text);
        }));
        let (lost, of_loss) = (Arc::new(Mutex::new(None)), failure.clone());
        let kept = lost.clone();
        device.set_device_lost_callback(move |reason, message| {
            let text = match reason {
                wgpu::DeviceLostReason::Destroyed => "the GPU device was closed".to_string(),
                _ => format!("the GPU device was lost ({message}): the run can be resumed from its last checkpoint"),
            };
            keep(&kept, text.clone());
            keep(&of_loss, text);
        });
        let pipelines = Arc::new(Pipelines::new(&device, &info, options.pipeline_cache.as_deref()));
        Ok(Gpu {
            device,
            queue,
            info,
            limits,
            features,
            checked_shaders: options.checked_shaders,
            #[cfg(feature = "native")]
            trace: options.trace,
            failure,
            lost,
            pipelines,
            counts: Arc::default(),
            pending: Arc::default(),
        })
    }

    /// One line that names the adapter: name, kind, backend, driver.
    pub fn describe(&self) -> String {
        describe_adapter(&self.info)
    }

    /// Closes the device: its memory is free at once, and whatever is still asked of it fails.
    pub fn close(&self) {
        self.device.destroy();
    }

    /// Whether the adapter is a driver that runs on the CPU.
    pub fn is_cpu(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// What this device's kernels are chosen by.
    pub fn traits(&self) -> Traits {
        let one_size = self.info.subgroup_min_size == self.info.subgroup_max_size;
        Traits {
            is_cpu: self.is_cpu(),
            subgroup: (one_size && self.features.contains(wgpu::Features::SUBGROUP)).then_some(self.info.subgroup_min_size),
            workgroup_memory: self.limits.max_compute_workgroup_storage_size,
        }
    }

    /// The kernels' variants for this device.
    pub fn tuning(&self) -> Tuning {
        Tuning::new(self.traits())
    }

    /// Largest storage buffer that can be bound, in bytes: at most 4 GiB, for kernels count bytes of images in 32 bits.
    pub fn largest_binding(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size).min(u64::from(!15u32))
    }

    /// The first error since the last call of this, if any: refused calls, memory, a lost device.
    ///
    /// # Errors
    /// [`Error::Gpu`] with what the device said.
    pub fn check(&self) -> Result<()> {
        let failed = self.failure.lock().expect("no panic while held").take();
        // A lost device does not come back: after its first error, too, every check fails.
        match failed.or_else(|| self.lost.lock().expect("no panic while held").clone()) {
            Some(text) => Err(Error::Gpu(text)),
            None => Ok(()),
        }
    }

    /// What was asked of the device so far, over all clones.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().expect("no panic while held")
    }

    /// Adds to the counts.
    pub(super) fn count(&self, dispatches: u64, submits: u64, readbacks: u64) {
        let mut c = self.counts.lock().expect("no panic while held");
        *c = Counts { dispatches: c.dispatches + dispatches, submits: c.submits + submits, readbacks: c.readbacks + readbacks };
    }

    /// Whether a submit of what was recorded and of so much more work would grow too long.
    pub(super) fn is_full_with(&self, work: u64) -> bool {
        let pending = self.pending.load(Ordering::Relaxed);
        pending > 0 && pending + work > work_per_submit(self.info.device_type)
    }

    /// Notes work as recorded.
    pub(super) fn take_on(&self, work: u64) {
        self.pending.fetch_add(work, Ordering::Relaxed);
    }

    /// Submits what was recorded.
    pub(crate) fn submit(&self, encoder: wgpu::CommandEncoder) {
        self.count(0, 1, 0);
        self.pending.store(0, Ordering::Relaxed);
        self.queue.submit([encoder.finish()]);
    }

    /// A storage buffer that can be written from the host and copied from and to, zeroed.
    pub(crate) fn storage(&self, label: &str, bytes: u64) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.next_multiple_of(4).max(16),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_and_what_runs_on_it_go_to_another_thread() {
        fn goes<T: Send>() {}
        goes::<Gpu>();
        goes::<crate::gpu::Program>();
        goes::<crate::run::Federation>();
    }

    #[test]
    fn slow_devices_are_given_little_at_a_time() {
        let paper = 37_000_000_000; // 190 lanes × 32 of the Digits base
        let steps = |kind| work_per_submit(kind) / paper;
        assert_eq!(steps(wgpu::DeviceType::Cpu), 0, "a step is submitted in parts");
        assert_eq!(steps(wgpu::DeviceType::IntegratedGpu), 1);
        assert_eq!(steps(wgpu::DeviceType::DiscreteGpu), 5);
    }
}
