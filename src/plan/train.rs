//! The local work of a wave of lanes: download the bases, local steps, and the wave's share of the per-base average.
//!
//! Where a part of the loss is on attacked images (paper, Algorithm 4), every lane attacks its own before each step, in evaluation mode,
//! through its adversarial batch norms.

use super::backward::{self, Descent, Wanted};
use super::forward::{self, Activation, NormRows, Setting};
use super::gathered::{self, GATHER, Gathered, Tables};
use super::{Extent, Labelled, PhaseId, Plan};
use crate::kernels::adam::{self, Adam};
use crate::kernels::attack::{self, AttackImages, By};
use crate::kernels::batch_norm::{self, mix::BatchNormMix, running_statistics::RunningStatistics};
use crate::kernels::client_rows::{self, ClientRows};
use crate::kernels::control_variates::{self, ControlVariates};
use crate::kernels::copy_bases::{self, CopyBases};
use crate::kernels::corner::{self, Corner};
use crate::kernels::gather_images::Augment;
use crate::kernels::linear::Linear;
use crate::kernels::proximal::{self, Proximal};
use crate::kernels::row_distance::{self, RowDistance};
use crate::kernels::server_step::{self, ServerOptimizer, ServerStep};
use crate::kernels::sgd::{self, Sgd};
use crate::kernels::weighted_average::{self, WeightedAverage};
use crate::kernels::{BufferId, Dispatch, ImageLayout, Over, Tuning, conv2d};
use crate::net::{Branch, Network, Scope, between};
use std::ops::Range;

/// Training on attacked images, too (paper, Algorithm 4): every lane attacks its own before each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adversarial {
    /// Their share in the loss, λ in (0, 1]; 1 − λ is that of the clean images. Below 1 the network's batch norms must be dual, at 1 single.
    pub lambda: f32,
    /// Seed of the start's noise.
    pub seed: u32,
    /// Radius of the start's noise.
    pub start: f32,
    /// Radius of the ball, ε.
    pub epsilon: f32,
    /// Step size.
    pub alpha: f32,
    /// Steps of the attack.
    pub steps: u32,
}

/// The optimiser of local training, fresh in every round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// SGD, without Nesterov or dampening.
    Sgd {
        /// Momentum μ in [0, 1).
        momentum: f32,
    },
    /// Adam with PyTorch's defaults: β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
    Adam,
}

/// A corner of the network that every lane trains in the same steps (SHeteroFL; slimmable networks: Yu et al., 2019).
#[derive(Debug, Clone)]
pub struct Narrower {
    /// The corner, a network with fewer channels.
    pub network: Network,
    /// Factor on its rescaled layers: 1 over its width with the layer correction, else 1.
    pub scale: f32,
    /// Its width, for labels.
    pub label: String,
}

/// Local training, as it is for all lanes and rounds.
#[derive(Debug, Clone)]
pub struct LocalTraining {
    /// Most images of a mini-batch.
    pub batch: u32,
    /// Most local steps of a client in a round.
    pub steps: u32,
    /// Factor on rescaled layers: 1/r with the layer correction, else 1.
    pub scale: f32,
    /// Whether the loss is the class-masked cross entropy.
    pub masked_loss: bool,
    /// Training on attacked images, too.
    pub adversarial: Option<Adversarial>,
    /// Random changes to the images of every step.
    pub augment: Option<Augment>,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Weight decay, added to every gradient.
    pub weight_decay: f32,
    /// Weight μ of FedProx's proximal term, which holds a client's bases near the server's; 0: there is none.
    pub proximal: f32,
    /// Corners of the network that every lane trains in the same steps: the gradients of all losses are added before the optimiser's one
    /// step.
    pub narrower: Vec<Narrower>,
}

impl Default for LocalTraining {
    /// One step of SGD with momentum 0.9 and weight decay 5e-4 on the cross entropy of 32 images.
    fn default() -> LocalTraining {
        LocalTraining {
            batch: 32,
            steps: 1,
            scale: 1.0,
            masked_loss: false,
            adversarial: None,
            augment: None,
            optimizer: Optimizer::Sgd { momentum: 0.9 },
            weight_decay: 5e-4,
            proximal: 0.0,
            narrower: Vec::new(),
        }
    }
}

/// Squared distances of the lanes' parameters that can be measured between training and average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distances {
    /// Of which values; what stays with the clients is none of them.
    pub scope: Scope,
    /// Whether also between lanes, and not from the server's bases only.
    pub lanes: bool,
}

/// What the plan of local training is built from.
#[derive(Debug, Clone, Copy)]
pub struct TrainSetting<'a> {
    /// The base network.
    pub network: &'a Network,
    /// Number of bases on the server.
    pub bases: u32,
    /// What is trained and how.
    pub training: &'a LocalTraining,
    /// Capacity of a mini-batch, where it is not that of the training.
    pub batch: u32,
    /// The parts of a row, in vec4, that each client keeps to itself; ascending.
    pub personal: &'a [Range<u32>],
    /// Which distances can be measured.
    pub distances: Option<Distances>,
    /// The server's optimiser; none: bases become their averages.
    pub server: Option<ServerOptimizer>,
    /// Whether SCAFFOLD's control variates correct the steps, which are SGD's without momentum.
    pub control: bool,
    /// Images in the first of the two image chunks.
    pub images_per_chunk: u32,
    /// Most slots of a wave: the row length of the schedule.
    pub slot_capacity: u32,
    /// Most lanes of a wave.
    pub lane_capacity: u32,
    /// The kernels' variants.
    pub tuning: Tuning,
    /// Whether every gradient is to be read afterwards; else that of the largest linear layer is spent where it is computed.
    pub keep_gradients: bool,
}

/// The plan and the buffers a caller writes or reads.
#[derive(Debug, Clone)]
pub struct TrainPlan {
    /// Buffers and dispatches.
    pub plan: Plan,
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// `[step][slot][1 + batch]`: a batch's size, then its images.
    pub schedule: BufferId,
    /// u8 images (external).
    pub images: [BufferId; 2],
    /// Labels of all images (external).
    pub labels: BufferId,
    /// The server's bases (external).
    pub server: BufferId,
    /// Running average of every base (external).
    pub average: BufferId,
    /// Table of lanes and weights of each base.
    pub members: BufferId,
    /// What every client keeps of every base, where they keep something (external).
    pub personal: Option<BufferId>,
    /// Counters of each lane, on clean images.
    pub totals: BufferId,
    /// The same on attacked images, where there are any.
    pub adversarial_totals: Option<BufferId>,
    /// Parameters of each lane.
    pub parameters: BufferId,
    /// Gradients of each lane; all of them only where the setting keeps gradients.
    pub gradient: BufferId,
    /// Gradients of the loss on attacked images, where both kinds are trained on.
    pub adversarial_gradient: Option<BufferId>,
    /// Attacked images of each lane, where there are any, and their layout.
    pub attacked: Option<(BufferId, ImageLayout)>,
    /// Tables of the places of narrower corners, each to be filled by [`Network::corner_table`].
    pub places: Vec<BufferId>,
    /// Adam's table of bias corrections, to be filled by [`Adam::corrections`].
    pub corrections: Option<BufferId>,
    /// The dispatches that descend: they have the uniform `learning_rate`.
    pub learning_rates: Labelled,
    /// Those that draw at random: they have the uniform `round`, its number.
    pub rounds: Labelled,
    /// Activations and gradients by name, for the golden tests: images with their layout, per lane.
    pub named: Vec<(String, BufferId, ImageLayout)>,
    /// Once a wave.
    pub start: PhaseId,
    /// Where a part of the loss is on attacked images, before each local step: once, then as often as the attack has steps.
    pub attack: Option<(PhaseId, PhaseId)>,
    /// Once a local step.
    pub step: PhaseId,
    /// Once a wave, after its last step.
    pub finish: PhaseId,
    /// Once a wave, when its lanes are known to be averaged: adds them.
    pub aggregate: PhaseId,
    /// Once a round, after its averages: the server's optimiser.
    pub server_step: Option<ServerPhase>,
    /// What SCAFFOLD's control variates lie in.
    pub control: Option<ControlBuffers>,
    /// Distances from the server's bases.
    pub from_bases: Option<DistancePhase>,
    /// Distances from other lanes, and the buffer that those are to be copied to.
    pub from_lanes: Option<(DistancePhase, BufferId)>,
}

/// The phase of the server's optimiser.
#[derive(Debug, Clone, Copy)]
pub struct ServerPhase {
    /// The phase.
    pub phase: PhaseId,
    /// u32 of each base: 1 where somebody trained it.
    pub trained: BufferId,
    /// Its mean of changes, a row a base (external).
    pub mean: BufferId,
    /// Their squares, a row a base (external).
    pub square: BufferId,
}

/// Buffers of SCAFFOLD's control variates.
#[derive(Debug, Clone, Copy)]
pub struct ControlBuffers {
    /// The server's, a row a base (external).
    pub server: BufferId,
    /// The server's of the next round: the wave's changes are added at its end (external).
    pub sum: BufferId,
    /// The clients' (external).
    pub clients: BufferId,
    /// f32 of each slot: 1 over its number of steps times their learning rate.
    pub scales: BufferId,
    /// Table of lanes, and of their clients' shares among all clients, for each base.
    pub members: BufferId,
}

/// A phase that measures distances of all lanes from some rows.
#[derive(Debug, Clone, Copy)]
pub struct DistancePhase {
    /// The phase.
    pub phase: PhaseId,
    /// Its kernel, which tells what its output is.
    pub kernel: RowDistance,
    /// Its output.
    pub distances: BufferId,
}

/// Bytes of one lane's or one (slot, width)'s counters.
pub const TOTALS_BYTES: u64 = 16;

const ATTACK_START: &str = "attack start";

impl TrainPlan {
    /// Builds the plan. Its memory is per lane and slot; how many there are is settled when the program is made.
    ///
    /// # Panics
    /// Where the network's batch norms are not what the share of attacked images wants.
    pub fn new(s: &TrainSetting) -> TrainPlan {
        let (net, local) = (s.network, s.training);
        let share = local.adversarial.map_or(0.0, |a| a.lambda);
        assert_eq!(net.norms.dual, share > 0.0 && share < 1.0, "dual batch norms are for training on clean and on attacked images");
        let row = u64::from(net.parameter_blocks) * 16;
        let mut b = Builder::new(s);
        let average = b.plan.buffer("average", Extent::External);
        let totals = b.plan.buffer("totals", Extent::PerLane(TOTALS_BYTES));
        let clean = b.setting();

        let mut step = Vec::new();
        if share < 1.0 {
            step.extend(b.pass(&clean, Branch::Clean, totals, 1.0 - share, b.gradient));
        }
        let mut adversarial_totals = None;
        let attack = local.adversarial.map(|adversarial| {
            let attack = Attack::new(&mut b.plan, &clean, &b.g, s.slot_capacity, adversarial);
            let totals = b.plan.buffer("adversarial totals", Extent::PerLane(TOTALS_BYTES));
            adversarial_totals = Some(totals);
            b.adversarial_gradient = net.norms.dual.then(|| b.plan.buffer("adversarial gradient", Extent::PerLane(row)));
            let (input, norms) = (attack.images, b.norms(Branch::Adversarial));
            let setting = Setting { input, input_per_slot: false, prefix: "adversarial ", norms, ..clean };
            step.extend(b.pass(&setting, Branch::Adversarial, totals, share, b.adversarial_gradient.unwrap_or(b.gradient)));
            attack
        });
        let places = local.narrower.iter().map(|narrower| b.narrower(narrower, &clean, &mut step)).collect();
        step.extend(b.proximal());
        let control = s.control.then(|| b.control());
        step.extend(control.map(|control| b.correct(control)).unwrap_or_default());
        let (descent, learning_rates, corrections) = b.descent();
        step.push(descent);

        let (members, personal, [start, aggregate, mut finish]) = b.round(average);
        finish.extend(control.map(|control| b.update(control)).unwrap_or_default());
        let start = b.plan.add_phase("start", start);
        let attacked = attack.as_ref().map(|a| (a.images.buffer, a.images.layout));
        let attack = match attack {
            Some(a) => {
                let mut begin = vec![b.g.dispatch.clone()];
                begin.extend(a.start);
                Some((b.plan.add_phase("attack", begin), b.plan.add_phase("attack step", a.step)))
            }
            None => {
                step.insert(0, b.g.dispatch.clone());
                None
            }
        };
        let (step, finish) = (b.plan.add_phase("step", step), b.plan.add_phase("finish", finish));
        let aggregate = b.plan.add_phase("aggregate", aggregate);
        let server_step = s.server.map(|optimizer| b.server_step(optimizer, average));
        let server = b.g.server;
        let from_bases = s.distances.map(|d| b.distances("distances from bases", d.scope, s.bases, server));
        let from_lanes = s.distances.filter(|d| d.lanes).map(|d| {
            let others = b.plan.buffer("other lanes", Extent::PerLane(row));
            (b.distances("distances from lanes", d.scope, s.lane_capacity, others), others)
        });
        let learning_rates = b.plan.labelled(&learning_rates.iter().map(String::as_str).collect::<Vec<_>>());
        let rounds = b.plan.labelled(if attack.is_some() { &[GATHER, ATTACK_START] } else { &[GATHER] });
        let Builder { plan, g, parameters, gradient, adversarial_gradient, named, .. } = b;
        let Gathered { lanes, schedule, images, labels, server, .. } = g;
        TrainPlan {
            plan,
            lanes,
            schedule,
            images,
            labels,
            server,
            average,
            members,
            personal,
            totals,
            adversarial_totals,
            parameters,
            gradient,
            adversarial_gradient,
            attacked,
            places,
            corrections,
            learning_rates,
            rounds,
            named,
            start,
            attack,
            step,
            finish,
            aggregate,
            server_step,
            control,
            from_bases,
            from_lanes,
        }
    }
}

/// A plan in the making, and what its parts share.
struct Builder<'a> {
    s: &'a TrainSetting<'a>,
    plan: Plan,
    g: Gathered,
    parameters: BufferId,
    gradient: BufferId,
    adversarial_gradient: Option<BufferId>,
    momentum: BufferId,
    moments: BufferId,
    /// The optimiser, where it is SGD.
    sgd: Option<Sgd>,
    /// The linear layer whose gradient is spent where it is computed, and its place among the layers.
    spent: Option<(usize, Linear)>,
    /// As in the plan.
    named: Vec<(String, BufferId, ImageLayout)>,
}

impl<'a> Builder<'a> {
    fn new(s: &'a TrainSetting) -> Builder<'a> {
        let mut plan = Plan::default();
        let (net, local) = (s.network, s.training);
        let tables = Tables {
            batch: s.batch,
            steps: local.steps,
            slot_capacity: s.slot_capacity,
            images_per_chunk: s.images_per_chunk,
            augment: local.augment,
        };
        let g = Gathered::new(&mut plan, net, tables);
        let row = Extent::PerLane(u64::from(net.parameter_blocks) * 16);
        let [parameters, gradient, momentum] = ["parameters", "gradient", "momentum"].map(|what| plan.buffer(what, row));
        let moments = gathered::moments(&mut plan, "", net.norm_row());
        let (length, stride, weight_decay) = (net.trained_blocks, net.parameter_blocks, local.weight_decay);
        let sgd = match local.optimizer {
            Optimizer::Sgd { momentum } => Some(Sgd { length, stride, skip: (0, 0), learning_rate: 0.0, momentum, weight_decay }),
            Optimizer::Adam => None,
        };
        Builder { s, plan, g, parameters, gradient, adversarial_gradient: None, momentum, moments, sgd, spent: None, named: Vec::new() }
    }

    /// The batch norms of a lane's own row.
    fn norms(&self, branch: Branch) -> NormRows {
        let net = self.s.network;
        NormRows {
            buffer: self.parameters,
            stride: net.parameter_blocks,
            start: net.norm_start + net.norm_row().affine(branch),
            moments: self.moments,
            running: false,
        }
    }

    /// The forward of the lanes on the gathered images, through the clean batch norms.
    fn setting(&self) -> Setting<'a> {
        Setting {
            network: self.s.network,
            batch: self.s.batch,
            tuning: self.s.tuning,
            scale: self.s.training.scale,
            input: self.g.input,
            lanes: self.g.lanes,
            batch_sizes: self.g.batch_sizes,
            parameters: self.parameters,
            norms: self.norms(Branch::Clean),
            prefix: "",
            input_per_slot: true,
            with_loss: true,
        }
    }

    /// A forward and a backward with `share` in the loss; the gradient goes to `gradient`.
    fn pass(&mut self, setting: &Setting, branch: Branch, totals: BufferId, share: f32, gradient: BufferId) -> Vec<Dispatch> {
        let (net, local) = (self.s.network, self.s.training);
        let f = forward::build(&mut self.plan, setting);
        let mut step = f.dispatches.clone();
        if net.norms.tracked {
            let row = net.norm_row();
            let (blocks, stride, mean) = (row.blocks, net.parameter_blocks, net.norm_start + row.running(branch));
            let kernel = RunningStatistics { blocks, stride, mean, momentum: Some(batch_norm::running_statistics::MOMENTUM) };
            step.push(kernel.dispatch(&format!("{}running statistics", setting.prefix), self.moments, self.parameters));
        }
        // Only the gradient of the whole loss can be spent where it is computed.
        let spends = !self.s.keep_gradients && !net.norms.dual && local.proximal == 0.0 && !self.s.control && local.narrower.is_empty();
        self.spent = forward::largest_linear(&f).filter(|_| spends && self.sgd.is_some());
        let descent = self.spent.zip(self.sgd).map(|((layer, _), sgd)| Descent { layer, sgd, momentum: self.momentum });
        let loss = backward::Loss::OfLanes { batch_labels: self.g.batch_labels, totals, masked: local.masked_loss, summed: false, share };
        let wanted = Wanted { weights: true, descent, ..Wanted::default() };
        let b = backward::build(&mut self.plan, setting, &f, &loss, gradient, wanted);
        self.named.extend(forward::named(setting.network, &f));
        self.named.extend(b.named);
        step.extend(b.dispatches);
        step
    }

    /// A pass of a narrower corner of every lane, whose gradient is added to the lane's. Returns the table of the corner's places.
    fn narrower(&mut self, n: &Narrower, clean: &Setting, step: &mut Vec<Dispatch>) -> BufferId {
        let net = self.s.network;
        assert!(
            !net.norms.tracked && self.s.training.adversarial.is_none(),
            "corners are trained by batch statistics, on images as they are"
        );
        let (own, row) = (&n.network, u64::from(n.network.parameter_blocks) * 16);
        let prefix = format!("{} ", n.label);
        let table = self.plan.buffer(format!("{prefix}places"), Extent::Fixed(row));
        let totals = self.plan.buffer(format!("{prefix}totals"), Extent::PerLane(TOTALS_BYTES));
        let [narrow, narrow_gradient] =
            ["parameters", "gradient"].map(|what| self.plan.transient(format!("{prefix}{what}"), Extent::PerLane(row)));
        let kernel = Corner { narrow: own.parameter_blocks, wide: net.parameter_blocks, over: Over::Lanes };
        let b = corner::Buffers { places: table, narrow, wide: self.parameters };
        step.push(kernel.take(&format!("{prefix}corner"), b));
        let norms = NormRows {
            buffer: narrow,
            stride: own.parameter_blocks,
            start: own.norm_start + own.norm_row().affine(Branch::Clean),
            moments: gathered::moments(&mut self.plan, &prefix, own.norm_row()),
            running: false,
        };
        let setting = Setting { network: own, scale: n.scale, parameters: narrow, norms, prefix: &prefix, ..*clean };
        step.extend(self.pass(&setting, Branch::Clean, totals, 1.0, narrow_gradient));
        let b = corner::Buffers { places: table, narrow: narrow_gradient, wide: self.gradient };
        step.push(kernel.add(&format!("{prefix}gradient to the network's"), b));
        table
    }

    /// The parts of a row, in vec4, that are trained and shared, each with the buffer of its gradients.
    fn shared(&self) -> Vec<(Range<u32>, BufferId)> {
        let net = self.s.network;
        // Of dual batch norms each pass writes the gradient of its own; what is added elsewhere would add up over the steps.
        let second = net.norm_start + net.norm_row().affine(Branch::Adversarial);
        let split = if net.norms.dual { second } else { net.trained_blocks };
        let of_part = |part: Range<u32>| {
            let (first, rest) = (part.start..part.end.min(split), part.start.max(split)..part.end);
            [(first, self.gradient), (rest, self.adversarial_gradient.unwrap_or(self.gradient))]
        };
        let parts = between(self.s.personal, net.trained_blocks).into_iter().flat_map(of_part);
        parts.filter(|(part, _)| !part.is_empty()).collect()
    }

    /// FedProx's pull of what is shared to the server's bases.
    fn proximal(&self) -> Vec<Dispatch> {
        let (net, mu) = (self.s.network, self.s.training.proximal);
        let term = |(part, gradient): (Range<u32>, BufferId)| {
            let kernel = Proximal { start: part.start, length: part.len() as u32, stride: net.parameter_blocks, mu };
            let b = proximal::Buffers { lanes: self.g.lanes, server: self.g.server, parameters: self.parameters, gradient };
            kernel.dispatch("proximal term", b)
        };
        if mu > 0.0 { self.shared().into_iter().map(term).collect() } else { Vec::new() }
    }

    /// The buffers of SCAFFOLD's control variates.
    fn control(&mut self) -> ControlBuffers {
        let [server, sum, clients] = ["control variates", "sum of control variates", "clients' control variates"]
            .map(|what| self.plan.buffer(what, Extent::External));
        let scales = self.plan.buffer("scales", Extent::PerSlot(4));
        let members = self.plan.buffer("members of control variates", Extent::Fixed(self.weighted_average().member_bytes()));
        ControlBuffers { server, sum, clients, scales, members }
    }

    /// Their kernels, one for each part that has gradients of its own.
    fn control_variates(&self) -> Vec<(ControlVariates, BufferId)> {
        let (parts, gradients): (Vec<_>, Vec<_>) = self.shared().into_iter().unzip();
        ControlVariates::of_parts(&parts, self.s.network.parameter_blocks).into_iter().zip(gradients).collect()
    }

    fn correct(&self, own: ControlBuffers) -> Vec<Dispatch> {
        let b = control_variates::Buffers { lanes: self.g.lanes, server: own.server, clients: own.clients };
        let correct = |(kernel, gradient): (ControlVariates, BufferId)| kernel.correct("control variates", b, gradient);
        self.control_variates().into_iter().map(correct).collect()
    }

    /// The clients' new control variates, and the server's, for which a lane's changes take the place of gradients that are spent.
    fn update(&self, own: ControlBuffers) -> Vec<Dispatch> {
        let b = control_variates::Buffers { lanes: self.g.lanes, server: own.server, clients: own.clients };
        let update = control_variates::UpdateBuffers {
            scales: own.scales,
            bases: self.g.server,
            parameters: self.parameters,
            change: self.gradient,
        };
        let kernels = self.control_variates().into_iter();
        let mut updates: Vec<Dispatch> = kernels.map(|(kernel, _)| kernel.update("update of control variates", b, update)).collect();
        let b = weighted_average::Buffers { members: own.members, parameters: self.gradient, average: own.sum };
        updates.push(self.weighted_average().dispatch("sum of control variates", b));
        updates
    }

    /// The optimiser's step, the labels of the dispatches that descend, and Adam's table.
    fn descent(&mut self) -> (Dispatch, Vec<String>, Option<BufferId>) {
        let (net, local) = (self.s.network, self.s.training);
        let (gradient, other, parameters, momentum) = (self.gradient, self.adversarial_gradient, self.parameters, self.momentum);
        let Some(mut sgd) = self.sgd else {
            let table = self.plan.buffer("adam corrections", Extent::Fixed(u64::from(local.steps.max(1)) * 8));
            let square = self.plan.buffer("mean square", Extent::PerLane(u64::from(net.parameter_blocks) * 16));
            let (length, stride) = (net.trained_blocks, net.parameter_blocks);
            let kernel = Adam { length, stride, learning_rate: 0.0, weight_decay: local.weight_decay };
            let b = adam::Buffers { gradient, other, corrections: table, mean: momentum, square, parameters };
            return (kernel.dispatch("adam", b), vec!["adam".into()], Some(table));
        };
        let mut labels = vec!["sgd".to_string()];
        if let Some((layer, linear)) = self.spent {
            sgd.skip = linear.parameters();
            let prefix = if local.adversarial.is_some() { "adversarial " } else { "" };
            labels.push(backward::descent_label(&format!("{prefix}{}", net.layers[layer].name())));
        }
        (sgd.dispatch("sgd", sgd::Buffers { gradient, other, momentum, parameters }), labels, None)
    }

    /// The sum over lanes, up to the last vec4 that is shared: what lies behind, as local batch norms do, need not be added.
    fn weighted_average(&self) -> WeightedAverage {
        let s = self.s;
        let (length, stride) = (self.shared_length(), s.network.parameter_blocks);
        WeightedAverage { length, stride, bases: s.bases, lane_capacity: s.lane_capacity }
    }

    /// vec4 of a row up to the last one that is shared.
    fn shared_length(&self) -> u32 {
        between(self.s.personal, self.s.network.parameter_blocks).last().map_or(0, |part| part.end)
    }

    /// What lanes begin with, how they are averaged, and how they end; the table of members, and the clients' rows.
    fn round(&mut self, average: BufferId) -> (BufferId, Option<BufferId>, [Vec<Dispatch>; 3]) {
        let (s, stride) = (self.s, self.s.network.parameter_blocks);
        let (lanes, parameters) = (self.g.lanes, self.parameters);
        let download = copy_bases::Buffers { lanes, server: self.g.server, parameters, momentum: self.momentum };
        let mut start = vec![CopyBases { length: stride }.dispatch("download", download)];
        let kernel = self.weighted_average();
        let members = self.plan.buffer("members", Extent::Fixed(kernel.member_bytes()));
        let mut aggregate = Vec::new();
        if kernel.length > 0 {
            aggregate.push(kernel.dispatch("average", weighted_average::Buffers { members, parameters, average }));
        }
        let mut finish = Vec::new();
        let personal = (!s.personal.is_empty()).then(|| self.plan.buffer("rows of clients", Extent::External));
        if let Some(store) = personal {
            let b = client_rows::Buffers { lanes, store, rows: parameters };
            for kernel in ClientRows::of_parts(s.personal, stride) {
                start.push(kernel.take("take what is the client's", b));
                finish.push(kernel.keep("keep what is the client's", b));
            }
        }
        (members, personal, [start, aggregate, finish])
    }

    /// The server's optimiser, on all that is trained and shared.
    fn server_step(&mut self, optimizer: ServerOptimizer, average: BufferId) -> ServerPhase {
        let (s, net) = (self.s, self.s.network);
        let trained = self.plan.buffer("trained bases", Extent::Fixed(u64::from(s.bases) * 4));
        let [mean, square] = ["mean of changes", "squares of changes"].map(|what| self.plan.buffer(what, Extent::External));
        let b = server_step::Buffers { trained, average, mean, square, parameters: self.g.server };
        let of_part = |part: Range<u32>| {
            let (start, length) = (part.start, part.len() as u32);
            let kernel = ServerStep { start, length, stride: net.parameter_blocks, bases: s.bases, optimizer };
            kernel.dispatch("server step", b)
        };
        let steps = between(s.personal, net.trained_blocks).into_iter().map(of_part).collect();
        ServerPhase { phase: self.plan.add_phase("server step", steps), trained, mean, square }
    }

    /// A phase that measures distances from the rows of `others`.
    fn distances(&mut self, label: &'static str, scope: Scope, rows: u32, others: BufferId) -> DistancePhase {
        let (net, shared) = (self.s.network, self.shared_length());
        let (start, blocks) = net.scope(scope);
        assert!(self.s.personal.iter().all(|part| part.start >= shared), "distances are of rows whose shared part has no gap");
        let kernel = RowDistance { start, length: blocks.min(shared - start), stride: net.parameter_blocks, rows };
        let distances = self.plan.buffer(label, Extent::PerLane(kernel.lane_bytes()));
        let dispatch = kernel.dispatch(label, row_distance::Buffers { parameters: self.parameters, rows: others, distances });
        DistancePhase { phase: self.plan.add_phase(label, vec![dispatch]), kernel, distances }
    }
}

/// Every lane's attack on its own images, against its own base as it is at the moment.
struct Attack {
    images: Activation,
    start: Vec<Dispatch>,
    step: Vec<Dispatch>,
}

impl Attack {
    fn new(plan: &mut Plan, training: &Setting, g: &Gathered, slot_capacity: u32, s: Adversarial) -> Attack {
        let net = training.network;
        let layout = training.input.layout;
        let images = Activation { buffer: plan.buffer("attacked images", Extent::PerLane(layout.bytes(training.batch))), layout };
        let mix = BatchNormMix {
            row: net.norm_row(),
            stride: net.parameter_blocks,
            start: net.norm_start,
            own_rows: false,
            running: net.norms.tracked,
            lambda: 1.0,
        };
        let (norms, mix) = gathered::mixed(plan, "attack ", mix, training.lanes, training.parameters);
        let setting = Setting { scale: 1.0, input: images, input_per_slot: false, prefix: "attack ", norms, ..*training };
        let f = forward::build(plan, &setting);
        let totals = plan.buffer("attack totals", Extent::PerLane(TOTALS_BYTES));
        let loss = backward::Loss::OfLanes { batch_labels: g.batch_labels, totals, masked: false, summed: true, share: 1.0 };
        let clean = training.input.buffer;
        let step = conv2d::backward_data::Step { clean, attacked: images, epsilon: s.epsilon, alpha: s.alpha };
        let b = backward::of_input(plan, &setting, &f, &loss, Some(step));
        // Where the last kernel does not step, a dispatch of its own does.
        let dx = b.input_gradient.unwrap_or(images);
        let kernel = AttackImages {
            batch: training.batch,
            by: By::Lane,
            images: layout,
            gradient: dx.layout,
            seed: s.seed,
            start: s.start,
            epsilon: s.epsilon,
            alpha: s.alpha,
            slot_capacity,
        };
        let moved = plan.buffer("moved", Extent::PerLane(u64::from(training.batch) * 4));
        let (lanes, batch_sizes) = (training.lanes, training.batch_sizes);
        let (attacked, schedule) = (images.buffer, g.schedule);
        let buffers = attack::Buffers { batch_sizes, clean, lanes, schedule, dx: dx.buffer, attacked, moved };
        let start = vec![mix, kernel.start(ATTACK_START, buffers)];
        let mut step = f.dispatches;
        step.extend(b.dispatches);
        step.extend(b.input_gradient.map(|_| kernel.step("attack step", buffers)));
        Attack { images, start, step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Norms, digits};

    fn setting<'a>(network: &'a Network, training: &'a LocalTraining) -> TrainSetting<'a> {
        TrainSetting {
            network,
            bases: 8,
            training,
            batch: training.batch,
            personal: &[],
            distances: None,
            server: None,
            control: false,
            images_per_chunk: 1000,
            slot_capacity: 50,
            lane_capacity: 190,
            tuning: Tuning::baseline(),
            keep_gradients: false,
        }
    }

    #[test]
    fn a_digits_step_needs_few_dispatches_and_its_operations_are_the_networks() {
        let network = digits(1, 8, 10).unwrap();
        let training = LocalTraining { steps: 4, scale: 8.0, ..LocalTraining::default() };
        let setting = setting(&network, &training);
        let TrainPlan { plan, step, .. } = TrainPlan::new(&setting);
        let step = plan.phase(step);
        assert!(step.len() < 40, "{} dispatches\n{}", step.len(), plan.describe(190, 50));
        let matmul: u64 = step.iter().filter(|d| d.label.contains("forward") || d.label.contains("backward_")).map(|d| d.flops).sum();
        // Three directions of every layer but the first convolution's backward_data.
        let exact = 32 * 2 * (3 * network.macs() - network.layer_macs(0));
        assert!(matmul >= exact && matmul < exact + exact / 10, "{matmul} against {exact}");
        let own = plan.footprint().bytes(190, 50);
        let mut plan = plan;
        plan.share_memory();
        let shared = plan.footprint().bytes(190, 50);
        assert!(shared < 1_200_000_000 && shared < own, "{}", plan.describe(190, 50));
    }

    #[test]
    fn a_step_of_an_attack_in_training_needs_under_thirty_dispatches() {
        let network = digits(1, 8, 10).unwrap().with_norms(Norms { dual: true, tracked: true });
        let standard = LocalTraining { steps: 4, ..LocalTraining::default() };
        let adversarial = Adversarial { lambda: 0.5, seed: 1, start: 0.1, epsilon: 0.1, alpha: 0.1, steps: 7 };
        let training = LocalTraining { adversarial: Some(adversarial), ..standard.clone() };
        let norms = network.places(|t| t.kind.is_norm());
        let setting = TrainSetting { personal: &norms, ..setting(&network, &training) };
        let TrainPlan { plan, step, attack, .. } = TrainPlan::new(&setting);
        let attack = plan.phase(attack.unwrap().1);
        assert!(attack.len() < 30, "{} dispatches\n{}", attack.len(), plan.describe(190, 50));
        // The largest linear layer's gradient is of two losses, and stored.
        let single = digits(1, 8, 10).unwrap();
        let standard = TrainPlan::new(&TrainSetting { network: &single, training: &standard, personal: &[], ..setting });
        let matmul = |d: &[Dispatch]| -> u64 {
            let is = |d: &&Dispatch| ["forward", "backward_", "classifier"].iter().any(|p| d.label.contains(p));
            d.iter().filter(is).map(|d| d.flops).sum()
        };
        let exact = 7 * matmul(attack) + matmul(plan.phase(step));
        let share = exact as f64 / matmul(standard.plan.phase(standard.step)) as f64;
        assert!((7.0..7.8).contains(&share), "{share} standard steps");
        let mut shared = TrainPlan::new(&setting).plan;
        shared.share_memory();
        let bytes = shared.footprint().bytes(190, 50);
        println!("{bytes} bytes for 190 lanes");
        assert!(bytes < 1_900_000_000, "{bytes} bytes");
    }
}
