// The classifier and its loss, for every lane at once, in one dispatch: a linear layer, the softmax cross entropy of its
// logits, their gradient, and the counters of the run.
//
//   logits[lane][n] = bias + Σ_i input[n][i] · w[i]
//   with u_c = logit_c · k_c, where k_c is 0 for the classes absent from the slot's batch under the masked loss, else 1:
//   loss_n  = log Σ_c e^{u_c} − u_label,   dlogits = share · k · (softmax(u) − onehot(label)) / count,
//   count being valid for the gradient of the mean loss, 1 for that of the summed loss; share, that of the loss in a sum of several;
//   totals[lane] += (Σ_n loss_n, number of n whose label is the first maximum of all logits, unmasked, valid, 1)
//
// One workgroup a lane, an invocation a sample, 64 samples at a time; the first invocation adds them in their order.

const CLASSES: u32 = 10u;
const BLOCKS: u32 = (CLASSES + 3u) / 4u;

struct Params {
  batch: u32,
  in_blocks: u32,
  parameter_stride: u32,
  weight: u32,
  bias: u32,
  masked: u32, // 1: masked loss
  summed: u32, // 1: gradient of the summed loss, 0: of the mean
  share: f32,
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
@group(0) @binding(3) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> batch_labels: array<u32>;
@group(0) @binding(6) var<storage, read_write> logits: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> dlogits: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> totals: array<Totals>;

var<workgroup> multiplier: array<f32, CLASSES>;
// (loss, 1 or 0 for correct) of each sample at work.
var<workgroup> outcomes: array<vec2<f32>, 64>;

fn linear(lane: u32, n: u32) {
  let theta = lanes[lane].y * params.parameter_stride;
  let source = (lane * params.batch + n) * params.in_blocks;
  for (var b = 0u; b < BLOCKS; b++) {
    var sum = parameters[theta + params.bias + b];
    var w = theta + params.weight + b;
    for (var i = 0u; i < params.in_blocks; i++) {
      let v = input[source + i];
      sum = fma(vec4<f32>(v.x), parameters[w], sum);
      sum = fma(vec4<f32>(v.y), parameters[w + BLOCKS], sum);
      sum = fma(vec4<f32>(v.z), parameters[w + 2u * BLOCKS], sum);
      sum = fma(vec4<f32>(v.w), parameters[w + 3u * BLOCKS], sum);
      w += 4u * BLOCKS;
    }
    logits[(lane * params.batch + n) * BLOCKS + b] = sum;
  }
}

fn loss(lane: u32, n: u32, label: u32, count: f32) -> vec2<f32> {
  let row = (lane * params.batch + n) * BLOCKS;
  var top = 0.0;       // largest masked logit, for a stable softmax
  var best = 0.0;      // largest logit of all classes
  var best_class = 0u;
  var own = 0.0;
  for (var c = 0u; c < CLASSES; c++) {
    let v = logits[row + c / 4u][c % 4u];
    let u = v * multiplier[c];
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
  for (var c = 0u; c < CLASSES; c++) {
    sum += exp(logits[row + c / 4u][c % 4u] * multiplier[c] - top);
  }
  for (var b = 0u; b < BLOCKS; b++) {
    var g = vec4<f32>(0.0);
    for (var j = 0u; j < 4u; j++) {
      let c = b * 4u + j;
      if (c < CLASSES) {
        let k = multiplier[c];
        let p = exp(logits[row + b][j] * k - top) / sum;
        g[j] = params.share * (k * (p - select(0.0, 1.0, c == label)) / count);
      }
    }
    dlogits[row + b] = g;
  }
  return vec2<f32>(log(sum) + top - own, select(0.0, 1.0, best_class == label));
}

@compute @workgroup_size(64)
fn softmax_cross_entropy(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  let lane = group.z;
  let slot = lanes[lane].x;
  let valid = batch_sizes[slot];
  for (var c = index; c < CLASSES; c += 64u) {
    var present = 1.0;
    if (params.masked == 1u) {
      present = 0.0;
      for (var n = 0u; n < valid; n++) {
        if (batch_labels[slot * params.batch + n] == c) {
          present = 1.0;
        }
      }
    }
    multiplier[c] = present;
  }
  workgroupBarrier();
  let count = select(f32(valid), 1.0, params.summed == 1u);
  var sum = 0.0;
  var correct = 0u;
  for (var start = 0u; start < params.batch; start += 64u) {
    let n = start + index;
    if (n < valid) {
      linear(lane, n);
      outcomes[index] = loss(lane, n, batch_labels[slot * params.batch + n], count);
    }
    workgroupBarrier();
    if (index == 0u && start < valid) {
      for (var i = 0u; i < min(64u, valid - start); i++) {
        sum += outcomes[i].x;
        correct += u32(outcomes[i].y);
      }
    }
    workgroupBarrier();
  }
  if (index == 0u) {
    totals[lane].loss += sum;
    totals[lane].correct += correct;
    totals[lane].samples += valid;
    totals[lane].steps += 1u;
  }
}
