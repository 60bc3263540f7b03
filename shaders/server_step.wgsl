// The server's optimiser (Reddi et al., 2021, Algorithm 2; momentum: Hsu et al., 2019): a base that was trained moves by what its clients
// changed, Δ = average − θ, taken for a gradient:
//
//   momentum:  m ← β₁ · m + Δ,               θ ← θ + η · m
//   adaptive:  m ← β₁ · m + (1 − β₁) · Δ,    θ ← θ + η · m / (√v + τ)
//              rule 0, Adagrad:  v ← v + Δ²
//              rule 1, Adam:     v ← β₂ · v + (1 − β₂) · Δ²
//              rule 2, Yogi:     v ← v − (1 − β₂) · Δ² · sign(v − Δ²)
//
// over `length` vec4 of a row from `start` on. One invocation a vec4; the dispatch's z axis is the base. Bases that nobody trained stay.

struct Params {
  start: u32,
  length: u32,
  stride: u32,        // vec4 of a row
  rule: u32,
  learning_rate: f32, // η
  first: f32,         // β₁
  first_rest: f32,    // 1 − β₁, rounded once
  second: f32,        // β₂
  second_rest: f32,
  tau: f32,           // τ
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> trained: array<u32>; // [base], 1 where somebody trained it
@group(0) @binding(2) var<storage, read> average: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> mean: array<vec4<f32>>; // m
@group(0) @binding(4) var<storage, read_write> parameters: array<vec4<f32>>; // θ
@group(0) @binding(5) var<storage, read_write> square: array<vec4<f32>>; // v

// import index

@compute @workgroup_size(64)
fn momentum(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) >= params.length || trained[id.z] != 1u) {
    return;
  }
  let i = id.z * params.stride + params.start + index(id);
  let theta = parameters[i];
  let m = fma(vec4<f32>(params.first), mean[i], average[i] - theta);
  mean[i] = m;
  parameters[i] = fma(vec4<f32>(params.learning_rate), m, theta);
}

@compute @workgroup_size(64)
fn adaptive(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) >= params.length || trained[id.z] != 1u) {
    return;
  }
  let i = id.z * params.stride + params.start + index(id);
  let theta = parameters[i];
  let delta = average[i] - theta;
  let m = fma(vec4<f32>(params.first), mean[i], params.first_rest * delta);
  let change = delta * delta;
  var v = square[i];
  if (params.rule == 0u) {
    v += change;
  } else if (params.rule == 1u) {
    v = fma(vec4<f32>(params.second), v, params.second_rest * change);
  } else {
    v = fma(vec4<f32>(-params.second_rest), change * sign(v - change), v);
  }
  mean[i] = m;
  square[i] = v;
  parameters[i] = theta + params.learning_rate * m / (sqrt(v) + params.tau);
}
