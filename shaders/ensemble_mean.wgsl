// Mixing bases: for every width k asked for, the mean of the first k bases' logits, and how good it is.
// All widths share one forward of the bases; every mean adds the bases in their order.
//
//   logits:  mixed[slot][width][n][c] = (1/k) Σ_{b < k} logits[slot · bases + b][n][c]
//            outcomes[slot][width][n] = (cross entropy, 1 where the label is the first maximum)
//   count:   totals[slot][width] = (Σ_n loss, Σ_n correct, valid, 0)
//
// logits: one invocation a sample; count: one a width. The dispatch's z axis is the client slot.

struct Params {
  batch: u32,
  classes: u32,
  blocks: u32, // vec4 of one row of logits
  bases: u32,
  widths: u32,
}

struct Totals {
  loss: f32,
  correct: u32,
  samples: u32,
  unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(2) var<storage, read> logits_of_bases: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> batch_labels: array<u32>;
@group(0) @binding(4) var<storage, read> widths: array<u32>; // number of bases of each width
@group(0) @binding(5) var<storage, read_write> mixed: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> outcomes: array<vec2<f32>>;

@compute @workgroup_size(64)
fn logits(@builtin(global_invocation_id) id: vec3<u32>) {
  let slot = id.z;
  let n = id.x;
  if (n >= batch_sizes[slot]) {
    return;
  }
  let label = batch_labels[slot * params.batch + n];
  for (var i = 0u; i < params.widths; i++) {
    let k = widths[i];
    let row = ((slot * params.widths + i) * params.batch + n) * params.blocks;
    var top = 0.0;
    var best_class = 0u;
    var own = 0.0;
    for (var block = 0u; block < params.blocks; block++) {
      var sum = vec4<f32>(0.0);
      for (var b = 0u; b < k; b++) {
        sum += logits_of_bases[((slot * params.bases + b) * params.batch + n) * params.blocks + block];
      }
      let mean = sum / f32(k);
      mixed[row + block] = mean;
      for (var j = 0u; j < 4u; j++) {
        let c = block * 4u + j;
        if (c < params.classes) {
          if (c == 0u || mean[j] > top) {
            top = mean[j];
            best_class = c;
          }
          if (c == label) {
            own = mean[j];
          }
        }
      }
    }
    var sum = 0.0;
    for (var c = 0u; c < params.classes; c++) {
      sum += exp(mixed[row + c / 4u][c % 4u] - top);
    }
    outcomes[(slot * params.widths + i) * params.batch + n] =
      vec2<f32>(log(sum) + top - own, select(0.0, 1.0, best_class == label));
  }
}

@group(0) @binding(2) var<storage, read> results: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> totals: array<Totals>;

@compute @workgroup_size(64)
fn count(@builtin(global_invocation_id) id: vec3<u32>) {
  let slot = id.z;
  let i = id.x;
  if (i >= params.widths) {
    return;
  }
  let valid = batch_sizes[slot];
  var sum = 0.0;
  var correct = 0u;
  for (var n = 0u; n < valid; n++) {
    let result = results[(slot * params.widths + i) * params.batch + n];
    sum += result.x;
    correct += u32(result.y);
  }
  totals[slot * params.widths + i].loss = sum;
  totals[slot * params.widths + i].correct = correct;
  totals[slot * params.widths + i].samples = valid;
  totals[slot * params.widths + i].unused = 0u;
}
