//! Start and steps of a projected gradient descent on images; see `shaders/attack.wgsl`.

use super::{Access::*, BufferId, Dispatch, ImageLayout, Kernel, Over, WORKGROUP, shader, uniforms};

/// Whose images are attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Each slot's, against so many bases together: its lanes.
    Slot {
        /// Number of bases.
        bases: u32,
    },
    /// Each lane's own, against its base.
    Lane,
}

/// What the kernels are given.
#[derive(Debug, Clone, Copy)]
pub struct AttackImages {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Whose images are attacked.
    pub by: By,
    /// Layout of the clean and of the attacked images; at most four channels.
    pub images: ImageLayout,
    /// Layout of the gradients, one a lane.
    pub gradient: ImageLayout,
    /// Seed of the start's noise.
    pub seed: u32,
    /// Radius of the start's noise: 0 starts from the clean image.
    pub start: f32,
    /// Radius of the ball, ε.
    pub epsilon: f32,
    /// Step size; below 0 it descends.
    pub alpha: f32,
    /// Row length of the schedule, in slots.
    pub slot_capacity: u32,
}

/// Buffers of both kernels.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// Clean images.
    pub clean: BufferId,
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// `[step][slot][1 + batch]` u32: valid samples, then image indices.
    pub schedule: BufferId,
    /// Gradients with respect to the attacked images, per lane.
    pub dx: BufferId,
    /// Out: attacked images, per slot or lane.
    pub attacked: BufferId,
    /// Out: `[slot or lane][n]` u32, 1 where a gradient was not 0.
    pub moved: BufferId,
    /// `[slot][n]` of (loss, correct) after a restart.
    pub outcomes: BufferId,
    /// Out: the same, the worst of all restarts.
    pub worst: BufferId,
}

impl AttackImages {
    /// The start, over slots or lanes, from the images of the local step. The uniform `round` makes another round start elsewhere, and
    /// `restart` is the number of the try.
    pub fn start(&self, label: &str, b: Buffers) -> Dispatch {
        let buffers = vec![b.batch_sizes, b.clean, b.schedule, b.attacked, b.moved, b.lanes];
        Dispatch { step: Some("step"), ..self.dispatch(label, "start", self.start, 0, buffers) }
    }

    /// The worst of the outcomes so far, over slots; where the uniform `restart` is 0 it forgets those before.
    pub fn worst(&self, label: &str, b: Buffers) -> Dispatch {
        let values = u64::from(self.batch) * 2;
        Dispatch {
            kernel: Kernel { shader: shader::attack, entry: "worst", constants: vec![], access: &[Read, Read, Write] },
            invocations: self.batch,
            flops: values,
            bytes: values * 12,
            over: Over::Slots,
            ..self.dispatch(label, "worst", self.epsilon, 0, vec![b.batch_sizes, b.outcomes, b.worst])
        }
    }

    /// One step, over slots or lanes.
    pub fn step(&self, label: &str, b: Buffers) -> Dispatch {
        let buffers = vec![b.batch_sizes, b.clean, b.dx, b.attacked, b.moved, b.lanes];
        self.dispatch(label, "step", self.epsilon, self.bases(), buffers)
    }

    fn bases(&self) -> u32 {
        match self.by {
            By::Slot { bases } => bases,
            By::Lane => 1,
        }
    }

    fn dispatch(&self, label: &str, entry: &'static str, radius: f32, gradients: u32, buffers: Vec<BufferId>) -> Dispatch {
        let (x, g) = (&self.images, &self.gradient);
        assert!(x.blocks() == 1 && x.shape == g.shape, "attacked images have up to four channels and gradients their shape");
        let bytes = x.payload(self.batch);
        let constants = vec![("OF_LANE", u32::from(self.by == By::Lane))];
        Dispatch {
            label: label.into(),
            kernel: Kernel { shader: shader::attack, entry, constants, access: &[Read, Read, Read, Write, Write, Read] },
            uniforms: uniforms! {
                batch: self.batch,
                bases: self.bases(),
                channels: x.shape.channels,
                height: x.shape.height,
                width: x.shape.width,
                row: x.row(),
                image: x.image(),
                origin: x.origin(0),
                gradient_row: g.row(),
                gradient_image: g.image(),
                gradient_origin: g.origin(0),
                seed: self.seed,
                round: 0,
                epsilon: radius,
                alpha: self.alpha,
                restart: 0,
                slot_capacity: self.slot_capacity,
                step: 0,
            },
            step: None,
            buffers,
            invocations: self.batch * x.shape.height * x.shape.width,
            workgroup: WORKGROUP,
            over: if self.by == By::Lane { Over::Lanes } else { Over::Slots },
            flops: bytes / 4 * u64::from(6 + gradients),
            bytes: bytes * u64::from(2 + gradients + gradients.min(1)),
        }
    }
}
