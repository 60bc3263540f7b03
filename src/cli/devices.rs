//! `splitmix devices`

use super::{print, table};
use crate::gpu::adapters;
use crate::{Error, Result};

#[derive(clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(_: Args) -> Result<()> {
    let found = adapters().await;
    if found.is_empty() {
        return Err(Error::Gpu(crate::gpu::no_adapter()));
    }
    let head = ["#", "adapter", "largest binding", "storage buffers", "workgroup memory"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for adapter in found {
        let l = &adapter.limits;
        rows.push(vec![
            adapter.index.to_string(),
            adapter.describe(),
            format!("{} MiB", l.max_storage_buffer_binding_size >> 20),
            l.max_storage_buffers_per_shader_stage.to_string(),
            format!("{} KiB", l.max_compute_workgroup_storage_size >> 10),
        ]);
    }
    print(&table(&rows))
}
