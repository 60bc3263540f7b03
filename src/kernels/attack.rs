//! Start and steps of a projected gradient descent on images; see `shaders/attack.wgsl`.

use super::{Access::*, BufferId, Dispatch, ImageLayout, Kernel, Over, WORKGROUP, shader};

/// What the kernels are given.
#[derive(Debug, Clone, Copy)]
pub struct AttackImages {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Bases attacked together: lanes of a slot.
    pub bases: u32,
    /// Layout of the clean and of the attacked images, one a slot; at most four channels.
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
}

/// Buffers of both kernels.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// Clean images.
    pub clean: BufferId,
    /// `[slot][1 + batch]` u32: valid samples, then image indices.
    pub schedule: BufferId,
    /// Gradients with respect to the attacked images, per lane.
    pub dx: BufferId,
    /// Out: attacked images.
    pub attacked: BufferId,
    /// Out: `[slot][n]` u32, 1 where a gradient was not 0.
    pub moved: BufferId,
    /// `[slot][n]` of (loss, correct) after a restart.
    pub outcomes: BufferId,
    /// Out: the same, the worst of all restarts.
    pub worst: BufferId,
}

impl AttackImages {
    /// Place of the attack's round in the uniform block of the start: another round starts elsewhere.
    pub const ROUND_WORD: usize = 12;

    /// Place of the number of the restart in the uniform blocks of start and worst.
    pub const RESTART_WORD: usize = 15;

    /// The start, over slots.
    pub fn start(&self, label: &str, b: Buffers) -> Dispatch {
        let buffers = vec![b.batch_sizes, b.clean, b.schedule, b.attacked, b.moved];
        self.dispatch(label, "start", self.start, 0, buffers)
    }

    /// The worst of the outcomes so far, over slots.
    pub fn worst(&self, label: &str, b: Buffers) -> Dispatch {
        let values = u64::from(self.batch) * 2;
        Dispatch {
            kernel: Kernel { shader: shader::attack, entry: "worst", constants: vec![], access: &[Read, Read, Write] },
            invocations: self.batch,
            flops: values,
            bytes: values * 12,
            ..self.dispatch(label, "worst", self.epsilon, 0, vec![b.batch_sizes, b.outcomes, b.worst])
        }
    }

    /// One step, over slots.
    pub fn step(&self, label: &str, b: Buffers) -> Dispatch {
        let buffers = vec![b.batch_sizes, b.clean, b.dx, b.attacked, b.moved];
        self.dispatch(label, "step", self.epsilon, self.bases, buffers)
    }

    fn dispatch(&self, label: &str, entry: &'static str, radius: f32, gradients: u32, buffers: Vec<BufferId>) -> Dispatch {
        let (x, g) = (&self.images, &self.gradient);
        assert!(x.blocks() == 1 && x.shape == g.shape, "attacked images have up to four channels and gradients their shape");
        let bytes = x.payload(self.batch);
        Dispatch {
            label: label.into(),
            kernel: Kernel { shader: shader::attack, entry, constants: vec![], access: &[Read, Read, Read, Write, Write] },
            words: vec![
                self.batch,
                self.bases,
                x.shape.channels,
                x.shape.height,
                x.shape.width,
                x.row(),
                x.image(),
                x.origin(0),
                g.row(),
                g.image(),
                g.origin(0),
                self.seed,
                0,
                radius.to_bits(),
                self.alpha.to_bits(),
                0,
            ],
            step_word: None,
            buffers,
            invocations: self.batch * x.shape.height * x.shape.width,
            workgroup: WORKGROUP,
            over: Over::Slots,
            flops: bytes / 4 * u64::from(6 + gradients),
            bytes: bytes * u64::from(2 + gradients + gradients.min(1)),
        }
    }
}
