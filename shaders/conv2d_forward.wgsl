// 2-D convolution, forward, for every lane at once:
//
//   z[lane][n][y][x][co] = scale · (bias[co] + Σ_{ky,kx,ci} input[n][y·S + ky − pad][x·S + kx − pad][ci] · w[ky][kx][ci][co])
//
// Activations are channels last in vec4 blocks with a stored zero border at least `pad` wide, so no load is tested.
// Weights are [ky][kx][ci][co / 4] of vec4. One invocation computes PIXELS outputs of a row × 4 channels in registers:
// per (ky, ci block) it loads one input row segment and slides it under the KERNEL_WIDTH taps.
// The last segment of a row is moved back to end at the row's end, so pixels may be computed (identically) twice.

const KERNEL_WIDTH: u32 = 5u;
const STRIDE: u32 = 1u;
const PIXELS: u32 = 7u;
const IN_LANES: u32 = 4u; // input channels in use in each block; below 4 only where there is one block
const SPAN: u32 = (PIXELS - 1u) * STRIDE + KERNEL_WIDTH;

struct Params {
  batch: u32,
  in_blocks: u32,
  in_row: u32,       // stored row length, in vec4
  in_image: u32,     // stored image size, in vec4
  in_origin: u32,    // first tap of output (0, 0), in vec4
  out_blocks: u32,
  out_height: u32,
  out_width: u32,
  out_row: u32,
  out_image: u32,
  out_origin: u32,
  kernel_height: u32,
  segments: u32,     // row segments of PIXELS outputs
  input_per_slot: u32, // 1: the input is indexed by client slot, 0: by lane
  parameter_stride: u32, // parameters of one base, in vec4
  weight: u32,       // offset of the weights, in vec4
  bias: u32,
  has_bias: u32,
  scale: f32,        // the layer correction 1/r in training, else 1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>; // slot, parameter row, 0, 0
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<f32>>;

// Adds one tap of the kernel row whose first weight is `first`.
fn tap(kx: u32, first: u32, row: ptr<function, array<vec4<f32>, SPAN>>, acc: ptr<function, array<vec4<f32>, PIXELS>>) {
  let w = first + kx * params.in_blocks * 4u * params.out_blocks;
  let w0 = parameters[w];
  let w1 = parameters[w + params.out_blocks];
  let w2 = parameters[w + 2u * params.out_blocks];
  let w3 = parameters[w + 3u * params.out_blocks];
  for (var p = 0u; p < PIXELS; p++) {
    let v = (*row)[p * STRIDE + kx];
    var sum = fma(vec4<f32>(v.x), w0, (*acc)[p]);
    if (IN_LANES > 1u) { sum = fma(vec4<f32>(v.y), w1, sum); }
    if (IN_LANES > 2u) { sum = fma(vec4<f32>(v.z), w2, sum); }
    if (IN_LANES > 3u) { sum = fma(vec4<f32>(v.w), w3, sum); }
    (*acc)[p] = sum;
  }
}

@compute @workgroup_size(64)
fn conv2d_forward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let slot = lanes[lane].x;
  let block = id.x % params.out_blocks;
  let segment = (id.x / params.out_blocks) % params.segments;
  let row_index = id.x / (params.out_blocks * params.segments);
  let y = row_index % params.out_height;
  let n = row_index / params.out_height;
  if (n >= batch_sizes[slot]) {
    return;
  }
  let x = min(segment * PIXELS, params.out_width - PIXELS);
  let source = select(lane, slot, params.input_per_slot == 1u);
  let theta = lanes[lane].y * params.parameter_stride;
  let image = (source * params.batch + n) * params.in_image + params.in_origin;
  let in_channels = params.in_blocks * 4u;

  var acc: array<vec4<f32>, PIXELS>;
  for (var p = 0u; p < PIXELS; p++) {
    acc[p] = vec4<f32>(0.0);
  }
  for (var ky = 0u; ky < params.kernel_height; ky++) {
    for (var ci = 0u; ci < params.in_blocks; ci++) {
      let source_row = image + (y * STRIDE + ky) * params.in_row + x * STRIDE * params.in_blocks + ci;
      var row: array<vec4<f32>, SPAN>;
      for (var i = 0u; i < SPAN; i++) {
        row[i] = input[source_row + i * params.in_blocks];
      }
      let first = theta + params.weight + (ky * KERNEL_WIDTH * in_channels + ci * 4u) * params.out_blocks + block;
      // Written out, so that every driver keeps the tiles in registers: some unroll no loop of this size.
      tap(0u, first, &row, &acc);
      if (KERNEL_WIDTH > 1u) { tap(1u, first, &row, &acc); }
      if (KERNEL_WIDTH > 2u) { tap(2u, first, &row, &acc); }
      if (KERNEL_WIDTH > 3u) { tap(3u, first, &row, &acc); }
      if (KERNEL_WIDTH > 4u) { tap(4u, first, &row, &acc); }
      if (KERNEL_WIDTH > 5u) { tap(5u, first, &row, &acc); }
      if (KERNEL_WIDTH > 6u) { tap(6u, first, &row, &acc); }
      for (var kx = 7u; kx < KERNEL_WIDTH; kx++) {
        tap(kx, first, &row, &acc);
      }
    }
  }
  var bias = vec4<f32>(0.0);
  if (params.has_bias == 1u) {
    bias = parameters[theta + params.bias + block];
  }
  let target_row = (lane * params.batch + n) * params.out_image + params.out_origin + y * params.out_row + block;
  for (var p = 0u; p < PIXELS; p++) {
    output[target_row + (x + p) * params.out_blocks] = (acc[p] + bias) * params.scale;
  }
}
