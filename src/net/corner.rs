//! Corners: the first channels of every layer are a network of their own (HeteroFL: Diao et al., 2021, section 3).

use super::Network;
use crate::{Error, Result};

/// In a [`Network::corner_table`], of values that pad a narrow row.
pub const NO_PLACE: u32 = u32::MAX;

impl Network {
    /// For each value of a row of `narrow`'s parameters on the GPU, its place in a row of this network's; [`NO_PLACE`] where it
    /// pads.
    ///
    /// # Errors
    /// [`Error::Config`] where `narrow` is not this network with fewer channels.
    pub fn corner_table(&self, narrow: &Network) -> Result<Vec<u32>> {
        let mut table = vec![NO_PLACE; narrow.parameter_blocks as usize * 4];
        let unlike = |what: &str| Error::Config(format!("network {}: {what} is not the same at every width", self.name));
        if self.tensors.len() != narrow.tensors.len() {
            return Err(unlike("the number of parameter tensors"));
        }
        for (wide, narrow) in self.tensors.iter().zip(&narrow.tensors) {
            let (of, own) = (wide.dimensions(), narrow.dimensions());
            if wide.name != narrow.name || of.len() != own.len() || own.iter().zip(&of).any(|(n, w)| n > w) {
                return Err(unlike(&wide.name));
            }
            let mut places = vec![0; wide.len()];
            wide.for_each(|outside, inside| places[outside] = inside as u32);
            narrow.for_each(|outside, inside| {
                let (mut rest, mut at, mut stride) = (outside, 0, 1);
                for (n, w) in own.iter().zip(&of).rev() {
                    at += rest % n * stride;
                    rest /= n;
                    stride *= w;
                }
                table[inside] = places[at];
            });
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Architecture;
    use super::*;

    #[test]
    fn a_corner_has_the_first_channels_of_every_tensor() {
        for name in ["digits", "preact-resnet18"] {
            let architecture = Architecture::built_in(name).unwrap();
            // 1/24 of 64 channels: 2.67, so 3 in a corner and 2 in a base.
            let (wide, narrow) = (architecture.corner(1, 8, 10).unwrap(), architecture.corner(1, 24, 10).unwrap());
            assert_eq!(architecture.base(1, 24, 10).unwrap().shapes[0].channels, 2);
            assert_eq!(narrow.shapes[0].channels, 3);
            let table = wide.corner_table(&narrow).unwrap();
            // Every value of the wide row is a number of its own.
            let row: Vec<f32> = (0..wide.parameter_blocks * 4).map(|i| i as f32).collect();
            let cut: Vec<f32> = table.iter().map(|p| if *p == NO_PLACE { -1.0 } else { row[*p as usize] }).collect();
            for (w, n) in wide.tensors.iter().zip(&narrow.tensors) {
                let (all, own) = (wide.unpack(w, &row), narrow.unpack(n, &cut));
                let want = kernels_tests::corner::corner_places(&w.dimensions(), &n.dimensions());
                assert_eq!(own, want.into_iter().map(|i| all[i]).collect::<Vec<_>>(), "{name}: {}", w.name);
            }
            let used = table.iter().filter(|p| **p != NO_PLACE).count();
            assert_eq!(used, narrow.tensors.iter().map(|t| t.len()).sum::<usize>());
        }
    }

    #[test]
    fn another_network_is_no_corner() {
        let of = |name: &str, n| Architecture::built_in(name).unwrap().base(n, 8, 10).unwrap();
        assert!(of("digits", 1).corner_table(&of("digits", 2)).unwrap_err().to_string().contains("conv1.weight"));
        assert!(of("alexnet", 1).corner_table(&of("digits", 1)).is_err());
    }
}
