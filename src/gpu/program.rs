//! A plan made real on a device: buffers, pipelines and bind groups built once, then recorded as often as needed.

use super::context::what_takes_memory;
use super::{Gpu, Staging, Timestamps};
use crate::kernels::{BufferId, Dispatch, Over, Uniform};
use crate::plan::{Extent, Kept, Labelled, Memory, PhaseId, Plan};
use crate::{Error, Result};

/// Bytes of poison before and after every buffer of a guarded program.
const GUARD: u64 = 256;
/// A NaN, and no index of anything.
const POISON: u8 = 0xff;

/// What a program is made with.
#[derive(Debug, Clone, Default)]
pub struct Materials {
    /// Lanes of the largest wave.
    pub lanes: u32,
    /// Client slots of the largest wave.
    pub slots: u32,
    /// Local steps whose uniforms are kept ready.
    pub steps: u32,
    /// Buffers for [`Extent::External`].
    pub external: Vec<(BufferId, wgpu::Buffer)>,
    /// Surround every buffer of the program's own with poison; see [`Program::check_guards`].
    pub guarded: bool,
}

/// What is at work in one recorded phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Active {
    /// The first so many lanes.
    pub lanes: u32,
    /// The first so many client slots.
    pub slots: u32,
    /// Local step.
    pub step: u32,
}

impl Active {
    /// How many of what a dispatch runs over are at work: its z axis.
    pub fn count(&self, over: Over) -> u32 {
        over.count(u64::from(self.lanes), u64::from(self.slots)) as u32
    }
}

struct Recorded {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    /// Offset of the uniform block of step 0, and between steps (0 where the block does not change).
    offset: u32,
    step_stride: u32,
    /// Workgroups along x and y.
    groups: [u32; 2],
    over: Over,
}

impl Recorded {
    /// Records the dispatch for what is at work. Returns 1, or 0 where nothing is.
    fn play(&self, pass: &mut wgpu::ComputePass, active: Active) -> u64 {
        let z = active.count(self.over);
        if z == 0 {
            return 0;
        }
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[self.offset + active.step * self.step_stride]);
        pass.dispatch_workgroups(self.groups[0], self.groups[1], z);
        1
    }
}

/// Bytes of a dispatch's uniform block, as a binding wants them.
fn block_bytes(dispatch: &Dispatch) -> u64 {
    (dispatch.uniforms.words().len() as u64 * 4).next_multiple_of(16)
}

/// Buffers and bind groups of a plan on one device.
pub struct Program {
    /// The plan it was made from.
    pub plan: Plan,
    materials: Materials,
    memory: Memory,
    /// The blocks of memory and their sizes without guards.
    blocks: Vec<wgpu::Buffer>,
    sizes: Vec<u64>,
    uniforms: wgpu::Buffer,
    recorded: Vec<Vec<Recorded>>,
    /// Bytes of the program's own buffers.
    pub bytes: u64,
}

impl Program {
    /// Allocates the plan's buffers for so many lanes and slots and compiles its kernels.
    ///
    /// # Errors
    /// [`Error::Gpu`] where a layer needs more workgroups than a dispatch may have, or the device refuses a shader or
    /// runs out of memory.
    pub async fn new(gpu: &Gpu, plan: Plan, materials: Materials) -> Result<Program> {
        let memory_scope = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = plan.memory();
        let mut blocks = Vec::new();
        let mut sizes = Vec::new();
        let mut bytes = 0;
        for (block, extent) in memory.blocks.iter().enumerate() {
            let tenants: Vec<usize> = (0..plan.buffers.len()).filter(|i| memory.of[*i] == block).collect();
            let spec = &plan.buffers[tenants[0]];
            let size = match *extent {
                Extent::PerLane(n) => n * u64::from(materials.lanes),
                Extent::PerSlot(n) => n * u64::from(materials.slots),
                Extent::Fixed(n) => n,
                Extent::External => {
                    let buffer = materials.external.iter().find(|(id, _)| id.0 == tenants[0]).map(|(_, b)| b.clone());
                    let buffer = buffer.unwrap_or_else(|| panic!("no external buffer for {}", spec.label));
                    sizes.push(buffer.size());
                    blocks.push(buffer);
                    continue;
                }
            };
            let size = size.next_multiple_of(16).max(16);
            let whole = if materials.guarded { size + 2 * GUARD } else { size };
            let buffer = gpu.storage(&spec.label, whole);
            if materials.guarded {
                let poison = vec![POISON; GUARD as usize];
                gpu.queue.write_buffer(&buffer, 0, &poison);
                gpu.queue.write_buffer(&buffer, GUARD + size, &poison);
                if spec.kept == Kept::Transient {
                    // Whatever is read must have been written since.
                    gpu.queue.write_buffer(&buffer, GUARD, &vec![POISON; size as usize]);
                }
            }
            bytes += whole;
            sizes.push(size);
            blocks.push(buffer);
        }

        let alignment = u64::from(gpu.limits.min_uniform_buffer_offset_alignment);
        let mut offsets = Vec::new();
        let mut end = 0u64;
        for dispatch in plan.phases.iter().flat_map(|(_, d)| d) {
            let stride = block_bytes(dispatch).next_multiple_of(alignment);
            let copies = if dispatch.step.is_some() { u64::from(materials.steps.max(1)) } else { 1 };
            offsets.push((end, stride));
            end += stride * copies;
        }
        let uniforms = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("uniforms"),
            size: end.max(16),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });

        gpu.compile(plan.phases.iter().flat_map(|(_, d)| d).map(|d| &d.kernel));
        let mut program = Program { plan, materials, memory, blocks, sizes, uniforms, recorded: Vec::new(), bytes };
        let mut place = offsets.into_iter();
        for (_, dispatches) in &program.plan.phases {
            let mut phase = Vec::new();
            for dispatch in dispatches {
                let (offset, stride) = place.next().expect("one place a dispatch");
                phase.push(program.record(gpu, dispatch, offset, stride)?);
            }
            program.recorded.push(phase);
        }
        for (p, (_, dispatches)) in program.plan.phases.iter().enumerate() {
            for (i, dispatch) in dispatches.iter().enumerate() {
                program.write_uniforms(gpu, p, i, dispatch);
            }
        }
        // Both end before anything is waited for: in a browser another program may be made meanwhile, and scopes are a stack.
        let (refused, no_memory) = (scope.pop(), memory_scope.pop());
        let (refused, no_memory) = (refused.await, no_memory.await);
        if no_memory.is_some() {
            return Err(Error::Gpu(format!(
                "the GPU has no {:.0} MB for {} lanes: lower {}",
                program.bytes as f64 * 1e-6,
                program.materials.lanes,
                what_takes_memory()
            )));
        }
        if let Some(error) = refused {
            return Err(Error::Gpu(format!("the GPU refused a kernel or buffer: {error}")));
        }
        gpu.check()?;
        Ok(program)
    }

    fn record(&self, gpu: &Gpu, dispatch: &Dispatch, offset: u64, stride: u64) -> Result<Recorded> {
        let pipeline = gpu.pipeline(&dispatch.kernel);
        let row = dispatch.kernel.row().unwrap_or(u32::MAX);
        let rows = dispatch.invocations.div_ceil(row).max(1);
        let groups = dispatch.invocations.min(row).div_ceil(dispatch.workgroup);
        if groups.max(rows) > gpu.limits.max_compute_workgroups_per_dimension {
            return Err(Error::Gpu(format!(
                "{} needs {groups} workgroups a lane, more than this adapter's {}: lower the batch size (--batch-size in training, \
                 --eval-batch-size in tests)",
                dispatch.label, gpu.limits.max_compute_workgroups_per_dimension
            )));
        }
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &self.uniforms,
                offset: 0,
                size: std::num::NonZeroU64::new(block_bytes(dispatch)),
            }),
        }];
        for (id, binding) in dispatch.buffers.iter().zip(1..) {
            let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: self.block(*id),
                // The binding runs on into the guard behind the buffer, so that a stray access finds the poison.
                offset: self.start(*id),
                size: None,
            });
            entries.push(wgpu::BindGroupEntry { binding, resource });
        }
        let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&dispatch.label),
            layout: &pipeline.bind_group_layout,
            entries: &entries,
        });
        Ok(Recorded {
            pipeline: pipeline.pipeline.clone(),
            bind_group,
            offset: offset as u32,
            step_stride: if dispatch.step.is_some() { stride as u32 } else { 0 },
            groups: [groups, rows],
            over: dispatch.over,
        })
    }

    /// The memory that a buffer lies in.
    fn block(&self, id: BufferId) -> &wgpu::Buffer {
        &self.blocks[self.memory.of[id.0]]
    }

    /// Start of a buffer's data.
    fn start(&self, id: BufferId) -> u64 {
        let own = self.plan.buffers[id.0].extent != Extent::External;
        if self.materials.guarded && own { GUARD } else { 0 }
    }

    /// Writes the uniforms of a dispatch, once for each step where they hold it.
    fn write_uniforms(&self, gpu: &Gpu, phase: usize, index: usize, dispatch: &Dispatch) {
        let recorded = &self.recorded[phase][index];
        let mut uniforms = dispatch.uniforms.clone();
        let copies = if dispatch.step.is_some() { self.materials.steps.max(1) } else { 1 };
        for step in 0..copies {
            if let Some(name) = dispatch.step {
                uniforms.set(name, step);
            }
            let mut words = uniforms.words();
            words.resize(words.len().next_multiple_of(4), 0);
            let offset = u64::from(recorded.offset) + u64::from(recorded.step_stride) * u64::from(step);
            gpu.queue.write_buffer(&self.uniforms, offset, bytemuck::cast_slice(&words));
        }
    }

    /// Changes a uniform of some of the plan's dispatches, as the learning rate of a round.
    ///
    /// # Panics
    /// If one of them has no uniform of that name and type: a mistake in this crate.
    pub fn set(&mut self, gpu: &Gpu, dispatches: &Labelled, name: &str, value: impl Into<Uniform>) {
        let value = value.into();
        for (phase, i) in dispatches.places() {
            self.plan.phases[*phase].1[*i].uniforms.set(name, value.clone());
            self.write_uniforms(gpu, *phase, *i, &self.plan.phases[*phase].1[*i]);
        }
    }

    /// Writes a buffer from `offset` bytes on, before the next submit.
    pub fn write(&self, gpu: &Gpu, id: BufferId, offset: u64, bytes: &[u8]) {
        debug_assert!(offset + bytes.len() as u64 <= self.size(id), "{} overruns", self.plan.buffers[id.0].label);
        gpu.queue.write_buffer(self.block(id), self.start(id) + offset, bytes);
    }

    /// Sets a buffer to zero, in the recorded order.
    pub fn clear(&self, encoder: &mut wgpu::CommandEncoder, id: BufferId) {
        encoder.clear_buffer(self.block(id), self.start(id), Some(self.size(id)));
    }

    /// Copies the first bytes of a buffer to a staging buffer.
    pub fn copy_out(&self, encoder: &mut wgpu::CommandEncoder, id: BufferId, bytes: u64, staging: &Staging, offset: u64) {
        encoder.copy_buffer_to_buffer(self.block(id), self.start(id), &staging.buffer, offset, bytes);
    }

    /// Copies the first bytes of a buffer to another.
    pub(crate) fn copy(&self, encoder: &mut wgpu::CommandEncoder, from: BufferId, to: BufferId, bytes: u64) {
        encoder.copy_buffer_to_buffer(self.block(from), self.start(from), self.block(to), self.start(to), bytes);
    }

    /// Copies the first bytes of a buffer to one outside the program.
    pub(crate) fn copy_to(&self, encoder: &mut wgpu::CommandEncoder, from: BufferId, to: &wgpu::Buffer, bytes: u64) {
        encoder.copy_buffer_to_buffer(self.block(from), self.start(from), to, 0, bytes);
    }

    /// Copies a buffer outside the program over the first bytes of one of it.
    pub(crate) fn copy_from(&self, encoder: &mut wgpu::CommandEncoder, from: &wgpu::Buffer, to: BufferId, bytes: u64) {
        encoder.copy_buffer_to_buffer(from, 0, self.block(to), self.start(to), bytes);
    }

    /// Bytes of the memory that a buffer lies in, at least the buffer's own.
    pub fn size(&self, id: BufferId) -> u64 {
        self.sizes[self.memory.of[id.0]]
    }

    /// Records a phase. Where a submit would grow too long for the device, what was recorded is submitted in between; on a device that is
    /// traced it is submitted and the phase run dispatch by dispatch. Returns the number of dispatches.
    pub fn play(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, phase: PhaseId, active: Active) -> u64 {
        #[cfg(feature = "native")]
        if gpu.trace {
            let next = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("trace") });
            gpu.submit(std::mem::replace(encoder, next));
            return super::trace::run(gpu, self, phase, active);
        }
        let (mut dispatches, mut first) = (0, 0);
        for (i, dispatch) in self.plan.phase(phase).iter().enumerate() {
            let work = dispatch.work() * u64::from(active.count(dispatch.over));
            if gpu.is_full_with(work) {
                if i > first {
                    dispatches += self.encode_some(encoder, phase, active, |j| (first..i).contains(&j));
                }
                let next = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(self.plan.name(phase)) });
                gpu.submit(std::mem::replace(encoder, next));
                first = i;
            }
            gpu.take_on(work);
        }
        dispatches += self.encode_some(encoder, phase, active, |j| j >= first);
        gpu.count(dispatches, 0, 0);
        dispatches
    }

    /// Plays phases in one submit of their own, for tests that look between. Returns the number of dispatches.
    pub fn submit(&self, gpu: &Gpu, phases: &[PhaseId], active: Active) -> u64 {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("phases") });
        let count = phases.iter().map(|p| self.play(gpu, &mut encoder, *p, active)).sum();
        gpu.submit(encoder);
        count
    }

    /// Records a phase. Returns the number of dispatches.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, phase: PhaseId, active: Active) -> u64 {
        self.encode_some(encoder, phase, active, |_| true)
    }

    /// Records those dispatches of a phase, by their place, that `wanted` picks. Returns their number.
    pub fn encode_some(&self, encoder: &mut wgpu::CommandEncoder, phase: PhaseId, active: Active, wanted: impl Fn(usize) -> bool) -> u64 {
        let mut pass =
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some(self.plan.name(phase)), timestamp_writes: None });
        let mut count = 0;
        for (_, recorded) in self.recorded[phase.index()].iter().enumerate().filter(|(i, _)| wanted(*i)) {
            count += recorded.play(&mut pass, active);
        }
        count
    }

    /// Records every dispatch of a phase in a pass of its own, between timestamps: dispatch `i` is pass `i` of
    /// `timestamps`, which must have room for them. Returns the number of dispatches.
    pub fn encode_timed(&self, encoder: &mut wgpu::CommandEncoder, phase: PhaseId, active: Active, timestamps: &Timestamps) -> u64 {
        let mut count = 0;
        for (i, recorded) in self.recorded[phase.index()].iter().enumerate() {
            let timestamp_writes = Some(timestamps.writes(i as u32));
            let mut pass =
                encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some(self.plan.name(phase)), timestamp_writes });
            count += recorded.play(&mut pass, active);
        }
        count
    }

    /// Records dispatch `i` of a phase between the first timestamps. Returns 1, or 0 where nothing is at work.
    #[cfg(feature = "native")]
    pub(super) fn encode_one_timed(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        phase: PhaseId,
        i: usize,
        active: Active,
        timestamps: &Timestamps,
    ) -> u64 {
        let timestamp_writes = Some(timestamps.writes(0));
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some(self.plan.name(phase)), timestamp_writes });
        self.recorded[phase.index()][i].play(&mut pass, active)
    }

    /// Reads whole buffers back: for tests and exports, not for a round.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn read(&self, gpu: &Gpu, ids: &[BufferId]) -> Result<Vec<Vec<u8>>> {
        let staging = Staging::new(gpu, ids.iter().map(|id| self.size(*id)).sum());
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("read") });
        let mut offset = 0;
        for id in ids {
            self.copy_out(&mut encoder, *id, self.size(*id), &staging, offset);
            offset += self.size(*id);
        }
        gpu.submit(encoder);
        let bytes = staging.read(gpu).await?;
        let mut rest = bytes.as_slice();
        let mut out = Vec::new();
        for id in ids {
            let (head, tail) = rest.split_at(self.size(*id) as usize);
            out.push(head.to_vec());
            rest = tail;
        }
        Ok(out)
    }

    /// Whether the poison round every buffer of a guarded program is whole; else the label of one that was written past.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost or a guard was overwritten.
    pub async fn check_guards(&self, gpu: &Gpu) -> Result<()> {
        assert!(self.materials.guarded, "the program was made without guards");
        let own: Vec<usize> = (0..self.blocks.len()).filter(|b| self.memory.blocks[*b] != Extent::External).collect();
        let staging = Staging::new(gpu, own.len() as u64 * 2 * GUARD);
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("guards") });
        for (place, block) in own.iter().enumerate() {
            let to = place as u64 * 2 * GUARD;
            encoder.copy_buffer_to_buffer(&self.blocks[*block], 0, &staging.buffer, to, GUARD);
            encoder.copy_buffer_to_buffer(&self.blocks[*block], GUARD + self.sizes[*block], &staging.buffer, to + GUARD, GUARD);
        }
        gpu.submit(encoder);
        let bytes = staging.read(gpu).await?;
        for (place, block) in own.iter().enumerate() {
            let guard = &bytes[place * 2 * GUARD as usize..][..2 * GUARD as usize];
            if let Some(at) = guard.iter().position(|b| *b != POISON) {
                let side = if at < GUARD as usize { "before" } else { "after" };
                let tenants = self.plan.buffers.iter().zip(&self.memory.of).filter(|(_, of)| *of == block);
                let labels: Vec<_> = tenants.map(|(spec, _)| spec.label.as_str()).collect();
                return Err(Error::Gpu(format!("a kernel wrote {side} the buffer {:?}", labels.join(" / "))));
            }
        }
        Ok(())
    }
}
