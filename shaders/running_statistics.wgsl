// Batch norm's running statistics of every lane, for all layers at once, from the moments of the batch that a training forward
// has left:
//
//   running ← running + momentum · (batch − running)      for mean and variance, the batch's variance unbiased
//
// as PyTorch's BatchNorm with that momentum; cumulative: momentum = 1 / (step + 1), the mean over all steps so far (PyTorch's
// momentum=None). One invocation a vec4 of channels of any layer.

struct Params {
  blocks: u32,     // of all layers
  stride: u32,     // vec4 of a lane's row
  mean: u32,       // its running means
  variance: u32,
  momentum: f32,   // below 0: cumulative
  step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> moments: array<vec4<f32>>; // [lane][block] of (mean, deviation, unbiased variance)
@group(0) @binding(2) var<storage, read_write> rows: array<vec4<f32>>;

@compute @workgroup_size(64)
fn running_statistics(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.blocks) {
    return;
  }
  let batch = (id.z * params.blocks + id.x) * 3u;
  let row = id.z * params.stride + id.x;
  var momentum = vec4<f32>(params.momentum);
  if (params.momentum < 0.0) {
    momentum = vec4<f32>(1.0 / f32(params.step + 1u));
  }
  let mean = rows[row + params.mean];
  let variance = rows[row + params.variance];
  rows[row + params.mean] = fma(momentum, moments[batch] - mean, mean);
  rows[row + params.variance] = fma(momentum, moments[batch + 2u] - variance, variance);
}
