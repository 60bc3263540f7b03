// 2-D convolution, gradient with respect to its input, for every lane at once:
//
//   dx[lane][n][y][x][ci] = Σ_{ky,kx,co} dz[n][(y + pad − ky) / S][(x + pad − kx) / S][co] · w[ky][kx][ci][co]
//
// over the taps where the division is exact and the output pixel exists. dz is stored with a zero border of
// kernel − 1 − pad where S = 1, so no load is tested; a strided convolution tests each load instead.
// One invocation computes PIXELS input pixels of a row × 4 input channels.

const KERNEL_WIDTH: u32 = 5u;
const STRIDE: u32 = 1u;
const PIXELS: u32 = 7u;
const SPAN: u32 = PIXELS + KERNEL_WIDTH - 1u;

struct Params {
  batch: u32,
  in_blocks: u32,
  in_height: u32,
  in_width: u32,
  in_row: u32,       // layout of dx, in vec4
  in_image: u32,
  in_origin: u32,
  out_blocks: u32,
  out_height: u32,
  out_width: u32,
  out_row: u32,      // layout of dz, in vec4
  out_image: u32,
  out_origin: u32,   // S = 1: of the tap (ky, kx) = (kernel − 1, kernel − 1) of input pixel (0, 0); S > 1: of dz (0, 0)
  kernel_height: u32,
  padding: u32,
  segments: u32,
  parameter_stride: u32,
  weight: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

// Adds one tap of the kernel row whose first weight is `first`.
fn tap(kx: u32, first: u32, row: ptr<function, array<vec4<f32>, SPAN>>, acc: ptr<function, array<vec4<f32>, PIXELS>>) {
  let w = first + kx * params.in_blocks * 4u * params.out_blocks;
  let a = parameters[w];
  let b = parameters[w + params.out_blocks];
  let c = parameters[w + 2u * params.out_blocks];
  let d = parameters[w + 3u * params.out_blocks];
  let w0 = vec4<f32>(a.x, b.x, c.x, d.x);
  let w1 = vec4<f32>(a.y, b.y, c.y, d.y);
  let w2 = vec4<f32>(a.z, b.z, c.z, d.z);
  let w3 = vec4<f32>(a.w, b.w, c.w, d.w);
  for (var p = 0u; p < PIXELS; p++) {
    let v = (*row)[p + KERNEL_WIDTH - 1u - kx];
    var sum = fma(vec4<f32>(v.x), w0, (*acc)[p]);
    sum = fma(vec4<f32>(v.y), w1, sum);
    sum = fma(vec4<f32>(v.z), w2, sum);
    (*acc)[p] = fma(vec4<f32>(v.w), w3, sum);
  }
}

// dz at output row (ty − ky) / STRIDE and column (tx − back) / STRIDE where both divide and exist, else 0.
// The sums ty and tx hold the padding, so that nothing wraps below zero.
fn strided(first: u32, ty: u32, ky: u32, tx: u32, back: u32) -> vec4<f32> {
  if (ty < ky || tx < back || (ty - ky) % STRIDE != 0u || (tx - back) % STRIDE != 0u) {
    return vec4<f32>(0.0);
  }
  let oy = (ty - ky) / STRIDE;
  let ox = (tx - back) / STRIDE;
  if (oy >= params.out_height || ox >= params.out_width) {
    return vec4<f32>(0.0);
  }
  return dz[first + oy * params.out_row + ox * params.out_blocks];
}

@compute @workgroup_size(64)
fn conv2d_backward_data(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.in_blocks;
  let segment = (id.x / params.in_blocks) % params.segments;
  let row_index = id.x / (params.in_blocks * params.segments);
  let y = row_index % params.in_height;
  let n = row_index / params.in_height;
  if (n >= batch_sizes[lanes[lane].x]) {
    return;
  }
  let x = min(segment * PIXELS, params.in_width - PIXELS);
  let theta = lanes[lane].y * params.parameter_stride + params.weight;
  let image = (lane * params.batch + n) * params.out_image + params.out_origin;
  let in_channels = params.in_blocks * 4u;

  var acc: array<vec4<f32>, PIXELS>;
  for (var p = 0u; p < PIXELS; p++) {
    acc[p] = vec4<f32>(0.0);
  }
  for (var ky = 0u; ky < params.kernel_height; ky++) {
    for (var co = 0u; co < params.out_blocks; co++) {
      let first = theta + (ky * KERNEL_WIDTH * in_channels + block * 4u) * params.out_blocks + co;
      var row: array<vec4<f32>, SPAN>;
      if (STRIDE == 1u) {
        let source_row = image + (y + params.kernel_height - 1u - ky) * params.out_row + x * params.out_blocks + co;
        for (var i = 0u; i < SPAN; i++) {
          row[i] = dz[source_row + i * params.out_blocks];
        }
      } else {
        // Every output pixel that column x + i of the widened gradient stands for, or none.
        for (var i = 0u; i < SPAN; i++) {
          row[i] = strided(image + co, y + params.padding, ky, x + i + params.padding, KERNEL_WIDTH - 1u);
        }
      }
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
  let target_row = (lane * params.batch + n) * params.in_image + params.in_origin + y * params.in_row + block;
  for (var p = 0u; p < PIXELS; p++) {
    dx[target_row + (x + p) * params.in_blocks] = acc[p];
  }
}
