// The class multipliers of the masked cross entropy (class-non-iid clients):
//
//   multiplier[slot][class] = 1 where the class occurs in the slot's mini-batch or masking is off, else 0
//
// One invocation a class; the dispatch's z axis is the client slot.

struct Params {
  batch: u32,
  classes: u32,
  masked: u32, // 1: masked loss, 0: plain (all ones)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(2) var<storage, read> batch_labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> multiplier: array<f32>;

@compute @workgroup_size(64)
fn class_presence(@builtin(global_invocation_id) id: vec3<u32>) {
  let slot = id.z;
  let label = id.x;
  if (label >= params.classes) {
    return;
  }
  var present = 1.0;
  if (params.masked == 1u) {
    present = 0.0;
    let valid = batch_sizes[slot];
    for (var n = 0u; n < valid; n++) {
      if (batch_labels[slot * params.batch + n] == label) {
        present = 1.0;
      }
    }
  }
  multiplier[slot * params.classes + label] = present;
}
