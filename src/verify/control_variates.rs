//! Cases of SCAFFOLD's control variates.

use super::{Case, Cases, LANES, SLOTS, Trial, lanes_with_norms, near_where};
use crate::kernels::control_variates::{self, ControlVariates};
use kernels_tests::control_variates as twin;

/// SCAFFOLD's correction of gradients, or its update of the clients' control variates.
#[derive(Debug, Clone, Copy)]
pub struct ControlVariatesCase {
    /// The update, not the correction.
    pub update: bool,
    /// vec4 of a lane that are corrected.
    pub length: u32,
}

impl Case for ControlVariatesCase {
    fn op(&self) -> &'static str {
        if self.update { "control_variates, update" } else { "control_variates, correct" }
    }

    fn fill(&self, t: &mut Trial) {
        let kernel = ControlVariates { start: 2, length: self.length, stride: self.length + 5, place: 3, row: self.length + 4 };
        // Two rows of the store belong to nobody here.
        let of_clients = [4, 0, 5, 2];
        let (length, row, stride) = (self.length as usize * 4, kernel.row as usize * 4, kernel.stride as usize * 4);
        let (start, place) = (kernel.start as usize * 4, kernel.place as usize * 4);
        let [server, bases] = std::array::from_fn(|_| t.noise.values(3 * stride));
        let [parameters, gradient] = std::array::from_fn(|_| t.noise.values(LANES.len() * stride));
        let own = t.noise.values(6 * row);
        let scales = [0.5, 2.0, 1.25];
        let (mut own_after, mut gradient_after) = (own.clone(), gradient.clone());
        for (lane, ([slot, _, base, _], client)) in LANES.into_iter().zip(of_clients).enumerate() {
            let part = |values: &[f64], row: usize| values[row * stride + start..][..length].to_vec();
            let (c, of_lane) = (part(&server, base as usize), lane * stride + start);
            let of_client = client as usize * row + place;
            let after = if self.update {
                let change = twin::change(scales[slot as usize], &c, &part(&bases, base as usize), &part(&parameters, lane));
                own_after[of_client..][..length].iter_mut().zip(&change).for_each(|(own, change)| *own += change);
                change
            } else {
                twin::correct(&c, &own[of_client..][..length], &part(&gradient, lane))
            };
            gradient_after[of_lane..][..length].copy_from_slice(&after);
        }
        let b = control_variates::Buffers {
            lanes: t.words("lanes", lanes_with_norms(of_clients)),
            server: t.values("server", &server),
            clients: match self.update {
                true => t.changed("clients", &own, near_where(&own_after, 8.0, |i| own_after[i] != own[i])),
                false => t.values("clients", &own),
            },
        };
        let reached = start..start + length;
        let near = near_where(&gradient_after, 8.0, |i| reached.contains(&(i % stride)));
        let gradient = t.changed("gradient", &gradient, near);
        let dispatch = if self.update {
            let scales = t.values("scales", &scales[..SLOTS]);
            let (bases, parameters) = (t.values("bases", &bases), t.values("parameters", &parameters));
            kernel.update("case", b, control_variates::UpdateBuffers { scales, bases, parameters, change: gradient })
        } else {
            kernel.correct("case", b, gradient)
        };
        t.dispatches.push(dispatch);
    }
}

pub(super) fn standard(cases: &mut Cases) {
    [false, true].into_iter().for_each(|update| cases.add(440, ControlVariatesCase { update, length: 70 }));
}
