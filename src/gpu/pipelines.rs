//! Compiled kernels: each variant once a device, natively in parallel, and kept from run to run where the adapter can give
//! its pipelines out.

use super::Gpu;
use crate::kernels::{Access, Kernel};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bind group layout and the pipeline layout over it.
struct Layout {
    bind_group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// A compiled kernel.
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub bind_group_layout: wgpu::BindGroupLayout,
}

/// The pipelines of a device.
pub(super) struct Pipelines {
    made: Mutex<HashMap<Kernel, Arc<Pipeline>>>,
    layouts: Mutex<HashMap<Vec<Access>, Arc<Layout>>>,
    /// The driver's cache and the file that it is kept in.
    cache: Option<(wgpu::PipelineCache, PathBuf)>,
}

impl Pipelines {
    /// No pipelines yet, but what an earlier run left in `folder` for this adapter, if it can be used.
    pub fn new(device: &wgpu::Device, info: &wgpu::AdapterInfo, folder: Option<&Path>) -> Pipelines {
        let cache = folder.filter(|_| device.features().contains(wgpu::Features::PIPELINE_CACHE)).and_then(|folder| {
            let path = folder.join(wgpu::util::pipeline_cache_key(info)?);
            let data = std::fs::read(&path).ok();
            let descriptor = wgpu::PipelineCacheDescriptor { label: Some("splitmix"), data: data.as_deref(), fallback: true };
            // SAFETY: the data is what this call's counterpart wrote, in a folder of the user's own. wgpu checks its header
            // for the adapter and driver version, and starts with an empty cache where it does not fit.
            #[allow(unsafe_code)]
            let cache = unsafe { device.create_pipeline_cache(&descriptor) };
            Some((cache, path))
        });
        Pipelines { made: Mutex::default(), layouts: Mutex::default(), cache }
    }

    /// Writes the driver's cache for the next run: to a file of another name first, so that a reader finds all or nothing.
    #[cfg(feature = "native")]
    fn save(&self) {
        let Some((cache, path)) = &self.cache else { return };
        let write = |data: &[u8]| {
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            std::io::Write::write_all(&mut file, data)?;
            file.persist(path).map_err(|e| e.error)
        };
        if let Some(data) = cache.get_data()
            && let Err(error) = write(&data)
        {
            log::warn!("compiled kernels were not kept in {} ({error}); the next run compiles them again", path.display());
        }
    }

    #[cfg(not(feature = "native"))]
    fn save(&self) {}
}

/// What a lock holds. A thread that ended in a panic leaves whole maps behind: they only grow, by one entry at a time.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// Compiles those of the kernels that have not been yet, natively several at once.
    pub(super) fn compile<'a>(&self, kernels: impl Iterator<Item = &'a Kernel>) {
        let mut missing: Vec<&Kernel> = Vec::new();
        for kernel in kernels {
            if !held(&self.pipelines.made).contains_key(kernel) && !missing.contains(&kernel) {
                missing.push(kernel);
            }
        }
        if missing.is_empty() {
            return;
        }
        let work: Vec<(&Kernel, Arc<Layout>)> = missing.into_iter().map(|k| (k, self.layout(&k.access))).collect();
        let cache = self.pipelines.cache.as_ref().map(|(cache, _)| cache);
        let job = |(kernel, layout): &(&Kernel, Arc<Layout>)| Job {
            device: self.device.clone(),
            kernel: (*kernel).clone(),
            layout: layout.pipeline.clone(),
            checked: self.checked_shaders,
            cache: cache.cloned(),
        };
        let compiled = run(work.iter().map(job).collect());
        for ((kernel, layout), pipeline) in work.iter().zip(compiled) {
            let pipeline = Pipeline { pipeline, bind_group_layout: layout.bind_group.clone() };
            held(&self.pipelines.made).insert((*kernel).clone(), Arc::new(pipeline));
        }
        self.pipelines.save();
    }

    /// The compiled kernel.
    pub(super) fn pipeline(&self, kernel: &Kernel) -> Arc<Pipeline> {
        self.compile(std::iter::once(kernel));
        held(&self.pipelines.made)[kernel].clone()
    }

    /// Binding 0: the uniform block at a dynamic offset; 1, 2, …: storage buffers.
    fn layout(&self, access: &[Access]) -> Arc<Layout> {
        if let Some(found) = held(&self.pipelines.layouts).get(access) {
            return found.clone();
        }
        let entry = |binding, ty, dynamic| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: dynamic, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
        entries.extend(
            access.iter().zip(1..).map(|(a, i)| entry(i, wgpu::BufferBindingType::Storage { read_only: *a == Access::Read }, false)),
        );
        let bind_group =
            self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some("kernel"), entries: &entries });
        let pipeline = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("kernel"),
            bind_group_layouts: &[Some(&bind_group)],
            immediate_size: 0,
        });
        let made = Arc::new(Layout { bind_group, pipeline });
        held(&self.pipelines.layouts).insert(access.to_vec(), made.clone());
        made
    }
}

/// One kernel to compile, with all it takes, so that it can be sent to a thread.
struct Job {
    device: wgpu::Device,
    kernel: Kernel,
    layout: wgpu::PipelineLayout,
    checked: bool,
    cache: Option<wgpu::PipelineCache>,
}

impl Job {
    fn run(&self) -> wgpu::ComputePipeline {
        let label = format!("{}::{}", self.kernel.shader.name, self.kernel.entry);
        let source = wgpu::ShaderSource::Wgsl(self.kernel.source().into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(&label), source };
        let module = if self.checked {
            self.device.create_shader_module(descriptor)
        } else {
            // SAFETY: the source is one of this crate's own shaders. Every loop in them counts to a bound, and the
            // numeric suite runs each between guards that catch a stray read or write.
            #[allow(unsafe_code)]
            unsafe {
                self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
            }
        };
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&self.layout),
            module: &module,
            entry_point: Some(self.kernel.entry),
            // The kernels write everything that they read of workgroup memory.
            compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
            cache: self.cache.as_ref(),
        })
    }
}

/// The pipelines of all jobs, in their order.
#[cfg(feature = "native")]
fn run(jobs: Vec<Job>) -> Vec<wgpu::ComputePipeline> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(jobs.len());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results: Vec<std::sync::OnceLock<wgpu::ComputePipeline>> = jobs.iter().map(|_| Default::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(i) = Some(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).filter(|i| *i < jobs.len()) {
                    results[i].get_or_init(|| jobs[i].run());
                }
            });
        }
    });
    results.into_iter().map(|r| r.into_inner().expect("every job was run")).collect()
}

#[cfg(not(feature = "native"))]
fn run(jobs: Vec<Job>) -> Vec<wgpu::ComputePipeline> {
    jobs.iter().map(Job::run).collect()
}
