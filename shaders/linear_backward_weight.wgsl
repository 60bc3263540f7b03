// Fully connected layer, gradient with respect to weights and bias, for every lane at once:
//
//   dw[lane][i][o] = Σ_n input[n][i] · dz[n][o],   db[lane][o] = Σ_n dz[n][o]
//
// One invocation computes 4 inputs × 4 outputs over the whole batch, in sample order, straight into the gradient.

struct Params {
  batch: u32,
  in_blocks: u32,
  out_blocks: u32,
  parameter_stride: u32,
  weight: u32,
  bias: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(64)
fn linear_backward_weight(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let o = id.x % params.out_blocks;
  let i = id.x / params.out_blocks;
  if (i >= params.in_blocks) {
    return;
  }
  let valid = batch_sizes[lanes[lane].x];
  var g0 = vec4<f32>(0.0);
  var g1 = vec4<f32>(0.0);
  var g2 = vec4<f32>(0.0);
  var g3 = vec4<f32>(0.0);
  var bias = vec4<f32>(0.0);
  for (var n = 0u; n < valid; n++) {
    let v = input[(lane * params.batch + n) * params.in_blocks + i];
    let g = dz[(lane * params.batch + n) * params.out_blocks + o];
    g0 = fma(vec4<f32>(v.x), g, g0);
    g1 = fma(vec4<f32>(v.y), g, g1);
    g2 = fma(vec4<f32>(v.z), g, g2);
    g3 = fma(vec4<f32>(v.w), g, g3);
    bias += g;
  }
  let theta = lane * params.parameter_stride;
  let w = theta + params.weight + i * 4u * params.out_blocks + o;
  gradient[w] = g0;
  gradient[w + params.out_blocks] = g1;
  gradient[w + 2u * params.out_blocks] = g2;
  gradient[w + 3u * params.out_blocks] = g3;
  if (i == 0u) {
    gradient[theta + params.bias + o] = bias;
  }
}
