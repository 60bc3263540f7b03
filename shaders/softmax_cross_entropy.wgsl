// Softmax cross entropy of every lane's own logits, its gradient, and the counters of the run.
// With u_c = logit_c · multiplier_c (the multipliers are 1 for the plain loss, 0 for absent classes in the masked one):
//
//   loss:  losses[lane][n] = log Σ_c e^{u_c} − u_label,   dlogits = multiplier · (softmax(u) − onehot(label)) / valid,
//          correct[lane][n] = 1 where the label is the first maximum of all logits, unmasked
//   count: totals[lane] += (Σ_n loss, Σ_n correct, valid, 1)
//
// loss: one invocation a sample; count: one a lane, samples in their order.

struct Params {
  batch: u32,
  classes: u32,
  blocks: u32, // vec4 of one row of logits
}

struct Totals {
  loss: f32,
  correct: u32,
  samples: u32,
  steps: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> batch_labels: array<u32>;
@group(0) @binding(5) var<storage, read> multiplier: array<f32>;
@group(0) @binding(6) var<storage, read_write> dlogits: array<vec4<f32>>;
// [lane][n] of (loss, 1 or 0 for correct)
@group(0) @binding(7) var<storage, read_write> outcomes: array<vec2<f32>>;

@compute @workgroup_size(64)
fn loss(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let slot = lanes[lane].x;
  let n = id.x;
  let valid = batch_sizes[slot];
  if (n >= valid) {
    return;
  }
  let row = (lane * params.batch + n) * params.blocks;
  let label = batch_labels[slot * params.batch + n];
  let classes = slot * params.classes;

  var top = 0.0;       // largest masked logit, for a stable softmax
  var best = 0.0;      // largest logit of all classes
  var best_class = 0u;
  var own = 0.0;
  for (var c = 0u; c < params.classes; c++) {
    let v = logits[row + c / 4u][c % 4u];
    let u = v * multiplier[classes + c];
    if (c == 0u || u > top) {
      top = u;
    }
    if (c == 0u || v > best) {
      best = v;
      best_class = c;
    }
    if (c == label) {
      own = u;
    }
  }
  var sum = 0.0;
  for (var c = 0u; c < params.classes; c++) {
    sum += exp(logits[row + c / 4u][c % 4u] * multiplier[classes + c] - top);
  }
  for (var b = 0u; b < params.blocks; b++) {
    var g = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j++) {
      let c = b * 4u + j;
      if (c < params.classes) {
        let k = multiplier[classes + c];
        let p = exp(logits[row + b][j] * k - top) / sum;
        g[j] = k * (p - select(0.0, 1.0, c == label)) / f32(valid);
      }
    }
    dlogits[row + b] = g;
  }
  outcomes[lane * params.batch + n] = vec2<f32>(log(sum) + top - own, select(0.0, 1.0, best_class == label));
}

@group(0) @binding(3) var<storage, read> results: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> totals: array<Totals>;

@compute @workgroup_size(1)
fn count(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let valid = batch_sizes[lanes[lane].x];
  var sum = 0.0;
  var correct = 0u;
  for (var n = 0u; n < valid; n++) {
    let result = results[lane * params.batch + n];
    sum += result.x;
    correct += u32(result.y);
  }
  totals[lane].loss += sum;
  totals[lane].correct += correct;
  totals[lane].samples += valid;
  totals[lane].steps += 1u;
}
