// Stochastic gradient descent with momentum and weight decay, as PyTorch's SGD without Nesterov or dampening:
//
//   buf ← μ · buf + (g + wd · θ),   θ ← θ − lr · buf
//
// over the trained parameters of every lane, biases and batch norm included, but for a range that linear_backward_weight has
// seen to. The momentum starts at zero each round (a fresh optimiser), which makes the first step's buf the gradient itself. sgd_of_two: g is
// the sum of two losses' gradients, those of clean and of attacked images. One invocation a vec4.

struct Params {
  length: u32, // vec4 of one lane that are trained
  skip: u32, // start and length of the range, in vec4
  skipped: u32,
  learning_rate: f32,
  momentum: f32,
  weight_decay: f32,
  stride: u32, // vec4 of one lane's row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> momentum: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> other: array<vec4<f32>>; // the second loss's gradient

// import index

fn place(id: vec3<u32>) -> u32 {
  return id.z * params.stride + index(id) + select(0u, params.skipped, index(id) >= params.skip);
}

fn descend(i: u32, g: vec4<f32>) {
  let theta = parameters[i];
  let step = fma(vec4<f32>(params.momentum), momentum[i], fma(vec4<f32>(params.weight_decay), theta, g));
  momentum[i] = step;
  parameters[i] = fma(vec4<f32>(-params.learning_rate), step, theta);
}

@compute @workgroup_size(64)
fn sgd(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) < params.length - params.skipped) {
    descend(place(id), gradient[place(id)]);
  }
}

@compute @workgroup_size(64)
fn sgd_of_two(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) < params.length - params.skipped) {
    descend(place(id), gradient[place(id)] + other[place(id)]);
  }
}
