// Gradient of the summed cross entropy of an ensemble with respect to the logits of each of its bases:
//
//   mean[n][c] = (1/k) Σ_{b < k} logits[slot · k + b][n][c]
//   dlogits[slot · k + b][n][c] = (softmax(mean[n])_c − onehot(class)_c) / k, the same for every base
//
// where the class is the label or, for a targeted attack, the one so many places after it, in a circle.
// Padded classes get 0. One invocation a sample; the dispatch's z axis is the client slot.

struct Params {
  batch: u32,
  classes: u32,
  blocks: u32, // vec4 of one row of logits
  bases: u32,  // k
  shift: u32,  // places from the label to the class
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(2) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> batch_labels: array<u32>;
@group(0) @binding(4) var<storage, read_write> dlogits: array<vec4<f32>>;

fn row(slot: u32, base: u32, n: u32) -> u32 {
  return ((slot * params.bases + base) * params.batch + n) * params.blocks;
}

fn mean(slot: u32, n: u32, block: u32) -> vec4<f32> {
  var sum = vec4<f32>(0.0);
  for (var b = 0u; b < params.bases; b++) {
    sum += logits[row(slot, b, n) + block];
  }
  return sum / f32(params.bases);
}

@compute @workgroup_size(64)
fn ensemble_gradient(@builtin(global_invocation_id) id: vec3<u32>) {
  let slot = id.z;
  let n = id.x;
  if (n >= batch_sizes[slot]) {
    return;
  }
  let label = (batch_labels[slot * params.batch + n] + params.shift) % params.classes;
  // The means are kept in the first base's row of the result until they are needed.
  let first = row(slot, 0u, n);
  var top = 0.0;
  for (var block = 0u; block < params.blocks; block++) {
    let m = mean(slot, n, block);
    dlogits[first + block] = m;
    for (var j = 0u; j < 4u; j++) {
      let c = block * 4u + j;
      if (c < params.classes && (c == 0u || m[j] > top)) {
        top = m[j];
      }
    }
  }
  var sum = 0.0;
  for (var c = 0u; c < params.classes; c++) {
    sum += exp(dlogits[first + c / 4u][c % 4u] - top);
  }
  for (var block = 0u; block < params.blocks; block++) {
    var g = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j++) {
      let c = block * 4u + j;
      if (c < params.classes) {
        let p = exp(dlogits[first + block][j] - top) / sum;
        g[j] = (p - select(0.0, 1.0, c == label)) / f32(params.bases);
      }
    }
    for (var b = 0u; b < params.bases; b++) {
      dlogits[row(slot, b, n) + block] = g;
    }
  }
}
