// Fully connected layer, gradient with respect to its input, for every lane at once:
//
//   dx[lane][n][i] = Σ_o dz[n][o] · w[i][o]
//
// dx is stored as the image that was flattened: in row, column, channel order, inside the border that its own layer's
// backward wants. One invocation computes ROWS samples × 4 inputs.

const ROWS: u32 = 8u;

struct Params {
  batch: u32,
  in_blocks: u32,
  out_blocks: u32,
  parameter_stride: u32,
  weight: u32,
  blocks: u32, // of a pixel of dx
  width: u32,
  row: u32,    // layout of dx, in vec4
  image: u32,
  origin: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

@compute @workgroup_size(64)
fn linear_backward_data(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let valid = batch_sizes[lanes[lane].x];
  let block = id.x % params.in_blocks;
  let first = id.x / params.in_blocks * ROWS;
  if (first >= valid) {
    return;
  }
  var acc: array<vec4<f32>, ROWS>;
  var row: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    acc[r] = vec4<f32>(0.0);
    row[r] = (lane * params.batch + min(first + r, valid - 1u)) * params.out_blocks;
  }
  let w = lanes[lane].y * params.parameter_stride + params.weight + block * 4u * params.out_blocks;
  for (var o = 0u; o < params.out_blocks; o++) {
    let a = parameters[w + o];
    let b = parameters[w + params.out_blocks + o];
    let c = parameters[w + 2u * params.out_blocks + o];
    let d = parameters[w + 3u * params.out_blocks + o];
    let w0 = vec4<f32>(a.x, b.x, c.x, d.x);
    let w1 = vec4<f32>(a.y, b.y, c.y, d.y);
    let w2 = vec4<f32>(a.z, b.z, c.z, d.z);
    let w3 = vec4<f32>(a.w, b.w, c.w, d.w);
    for (var r = 0u; r < ROWS; r++) {
      let v = dz[row[r] + o];
      acc[r] = fma(vec4<f32>(v.x), w0, acc[r]);
      acc[r] = fma(vec4<f32>(v.y), w1, acc[r]);
      acc[r] = fma(vec4<f32>(v.z), w2, acc[r]);
      acc[r] = fma(vec4<f32>(v.w), w3, acc[r]);
    }
  }
  let pixel = block / params.blocks;
  let place = params.origin + pixel / params.width * params.row + pixel % params.width * params.blocks + block % params.blocks;
  for (var r = 0u; r < ROWS; r++) {
    if (first + r < valid) {
      dx[(lane * params.batch + first + r) * params.image + place] = acc[r];
    }
  }
}
