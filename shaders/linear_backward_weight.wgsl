// Fully connected layer, gradient with respect to weights and bias, for every lane at once:
//
//   dw[lane][i][o] = Σ_n input[n][i] · dz[n][o],   db[lane][o] = Σ_n dz[n][o]
//
// One invocation computes 8 inputs × 8 outputs over the whole batch, in sample order, straight into the gradient. At an
// odd end the second block of a pair repeats the first and is not written.

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
  let pairs = (params.out_blocks + 1u) / 2u;
  let o = id.x % pairs * 2u;
  let i = id.x / pairs * 2u;
  if (i >= params.in_blocks) {
    return;
  }
  let valid = batch_sizes[lanes[lane].x];
  let two_in = i + 1u < params.in_blocks;
  let two_out = o + 1u < params.out_blocks;
  let i2 = select(i, i + 1u, two_in);
  let o2 = select(o, o + 1u, two_out);
  // Rows: the eight inputs. Columns: the two blocks of outputs.
  var acc: array<vec4<f32>, 16>;
  for (var j = 0u; j < 16u; j++) {
    acc[j] = vec4<f32>(0.0);
  }
  var bias = vec4<f32>(0.0);
  var bias2 = vec4<f32>(0.0);
  for (var n = 0u; n < valid; n++) {
    let in_row = (lane * params.batch + n) * params.in_blocks;
    let out_row = (lane * params.batch + n) * params.out_blocks;
    let a = input[in_row + i];
    let b = input[in_row + i2];
    let g = dz[out_row + o];
    let h = dz[out_row + o2];
    for (var j = 0u; j < 4u; j++) {
      acc[j] = fma(vec4<f32>(a[j]), g, acc[j]);
      acc[4u + j] = fma(vec4<f32>(b[j]), g, acc[4u + j]);
      acc[8u + j] = fma(vec4<f32>(a[j]), h, acc[8u + j]);
      acc[12u + j] = fma(vec4<f32>(b[j]), h, acc[12u + j]);
    }
    bias += g;
    bias2 += h;
  }
  let theta = lane * params.parameter_stride;
  for (var j = 0u; j < 4u; j++) {
    let w = theta + params.weight + (i * 4u + j) * params.out_blocks + o;
    let next = 4u * params.out_blocks;
    gradient[w] = acc[j];
    if (two_in) {
      gradient[w + next] = acc[4u + j];
    }
    if (two_out) {
      gradient[w + 1u] = acc[8u + j];
    }
    if (two_in && two_out) {
      gradient[w + next + 1u] = acc[12u + j];
    }
  }
  if (i == 0u) {
    gradient[theta + params.bias + o] = bias;
    if (two_out) {
      gradient[theta + params.bias + o + 1u] = bias2;
    }
  }
}
