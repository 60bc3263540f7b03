//! The GPU: an adapter and its device, programs made from plans, buffers and the one readback.

mod context;
mod pipelines;
mod program;
mod readback;
mod timing;
#[cfg(feature = "native")]
mod trace;

pub use context::{AdapterReport, Counts, Gpu, GpuOptions, adapters, no_adapter};
pub use program::{Active, Program, ProgramDescriptor};
pub use readback::Staging;
pub use timing::Timestamps;
