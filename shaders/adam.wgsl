// Adam with weight decay in the gradient, as PyTorch's Adam (Kingma and Ba, 2015), for every lane at once:
//
//   g ← g + wd · θ,   m ← β₁ · m + (1 − β₁) · g,   v ← β₂ · v + (1 − β₂) · g²
//   θ ← θ − lr · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε),   t = 1, 2, …
//
// over the trained parameters of every lane, biases and batch norm included. A round begins with a fresh optimiser: in its
// first step, t = 1, what m and v held before counts as 0. adam_of_two: g is the sum of two losses' gradients, those of clean and
// of attacked images. One invocation a vec4.

struct Params {
  length: u32, // vec4 of one lane that are trained
  stride: u32, // vec4 of one lane's row
  step: u32,   // t − 1
  learning_rate: f32,
  first: f32,  // β₁
  first_rest: f32, // 1 − β₁, rounded once
  second: f32, // β₂
  second_rest: f32,
  epsilon: f32,
  weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
// [step] of (1 / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ)): powers of a number so near 1 would lose all digits here.
@group(0) @binding(2) var<storage, read> corrections: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> mean: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> square: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> other: array<vec4<f32>>; // the second loss's gradient

// import index

fn descend(i: u32, loss_gradient: vec4<f32>) {
  let theta = parameters[i];
  let g = fma(vec4<f32>(params.weight_decay), theta, loss_gradient);
  var m = g * params.first_rest;
  var v = g * g * params.second_rest;
  if (params.step > 0u) {
    m = fma(vec4<f32>(params.first), mean[i], m);
    v = fma(vec4<f32>(params.second), square[i], v);
  }
  mean[i] = m;
  square[i] = v;
  let correction = corrections[params.step];
  parameters[i] = theta - params.learning_rate * correction.x * m / (sqrt(v) * correction.y + params.epsilon);
}

@compute @workgroup_size(64)
fn adam(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) < params.length) {
    let i = id.z * params.stride + index(id);
    descend(i, gradient[i]);
  }
}

@compute @workgroup_size(64)
fn adam_of_two(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) < params.length) {
    let i = id.z * params.stride + index(id);
    descend(i, gradient[i] + other[i]);
  }
}
