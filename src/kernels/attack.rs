//! Start and steps of a projected gradient descent on images; see `shaders/attack.wgsl`.

use super::{BufferId, Dispatch, ImageLayout, Over, shader, uniforms};

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
}

impl AttackImages {
    /// The start, over slots or lanes, from the images of the local step. The uniform `round` makes another round start elsewhere, and
    /// `restart` is the number of the try.
    pub fn start(&self, label: &str, b: Buffers) -> Dispatch {
        self.pixels(label, "start", self.start, 0)
            .step("step")
            .reads([b.batch_sizes, b.clean, b.schedule])
            .writes([b.attacked, b.moved])
            .reads([b.lanes])
    }

    /// The worst of the outcomes so far, `[slot][n]` of (loss, correct), over slots; where the uniform `restart` is 0 it forgets those
    /// before.
    pub fn worst(&self, label: &str, batch_sizes: BufferId, outcomes: BufferId, worst: BufferId) -> Dispatch {
        let values = u64::from(self.batch) * 2;
        self.dispatch(label, "worst", self.epsilon, Over::Slots, self.batch)
            .reads([batch_sizes, outcomes])
            .writes([worst])
            .cost(values, values * 12)
    }

    /// One step, over slots or lanes.
    pub fn step(&self, label: &str, b: Buffers) -> Dispatch {
        self.pixels(label, "step", self.epsilon, self.bases())
            .reads([b.batch_sizes, b.clean, b.dx])
            .writes([b.attacked, b.moved])
            .reads([b.lanes])
    }

    /// An invocation a pixel, which reads so many gradients.
    fn pixels(&self, label: &str, entry: &'static str, radius: f32, gradients: u32) -> Dispatch {
        let shape = self.images.shape;
        let bytes = self.images.payload(self.batch);
        let over = if self.by == By::Lane { Over::Lanes } else { Over::Slots };
        self.dispatch(label, entry, radius, over, self.batch * shape.height * shape.width)
            .constants([("OF_LANE", u32::from(self.by == By::Lane))])
            .cost(bytes / 4 * u64::from(6 + gradients), bytes * u64::from(2 + gradients + gradients.min(1)))
    }

    fn bases(&self) -> u32 {
        match self.by {
            By::Slot { bases } => bases,
            By::Lane => 1,
        }
    }

    fn dispatch(&self, label: &str, entry: &'static str, radius: f32, over: Over, invocations: u32) -> Dispatch {
        let (x, g) = (&self.images, &self.gradient);
        assert!(x.blocks() == 1 && x.shape == g.shape, "attacked images have up to four channels and gradients their shape");
        Dispatch::new(label, shader::attack, entry, over, invocations).uniforms(uniforms! {
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
        })
    }
}
