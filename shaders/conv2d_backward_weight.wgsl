// 2-D convolution, gradient with respect to weights and bias, first of two stages, for every lane at once:
//
//   partial[lane][part][ky][kx][ci][co] = Σ_{n in part, y, x} dz[n][y][x][co] · input[n][y·S + ky − pad][x·S + kx − pad][ci]
//   partial[lane][part][bias][co]       = Σ_{n in part, y, x} dz[n][y][x][co]
//
// A part is `samples_per_part` consecutive samples; `sum_partials` adds the parts in order, so the result is the same
// bits in every run. One invocation holds KERNEL_ROWS kernel rows, all or one: KERNEL_ROWS × KERNEL_WIDTH taps × 4 input
// × 4 output channels in registers. Down a column of segments, an input row serves one kernel row after the other.

const KERNEL_WIDTH: u32 = 5u;
const KERNEL_ROWS: u32 = 1u; // the kernel's height or 1
const STRIDE: u32 = 1u;
const PIXELS: u32 = 7u;
const IN_LANES: u32 = 4u; // input channels in use in each block; below 4 only where there is one block
const SPAN: u32 = (PIXELS - 1u) * STRIDE + KERNEL_WIDTH;
alias Tile = array<array<vec4<f32>, KERNEL_WIDTH * 4u>, KERNEL_ROWS>;
alias Window = array<array<vec4<f32>, SPAN>, KERNEL_ROWS>;

struct Params {
  batch: u32,
  in_blocks: u32,
  in_row: u32,
  in_image: u32,
  in_origin: u32,
  out_blocks: u32,
  out_height: u32,
  out_width: u32,
  out_row: u32,
  out_image: u32,
  out_origin: u32,
  kernel_height: u32,
  segments: u32,
  input_per_slot: u32,
  parts: u32,
  samples_per_part: u32,
  partial_stride: u32, // vec4 of one part: the weights, then the bias
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> partial: array<vec4<f32>>;

// Adds one tap's products of a row segment.
fn tap(kx: u32, rows: ptr<function, Window>, gradients: ptr<function, array<vec4<f32>, PIXELS>>, acc: ptr<function, Tile>) {
  for (var r = 0u; r < KERNEL_ROWS; r++) {
    var a = (*acc)[r][kx * 4u];
    var b = (*acc)[r][kx * 4u + 1u];
    var c = (*acc)[r][kx * 4u + 2u];
    var d = (*acc)[r][kx * 4u + 3u];
    for (var p = 0u; p < PIXELS; p++) {
      let v = (*rows)[r][p * STRIDE + kx];
      let g = (*gradients)[p];
      a = fma(vec4<f32>(v.x), g, a);
      if (IN_LANES > 1u) { b = fma(vec4<f32>(v.y), g, b); }
      if (IN_LANES > 2u) { c = fma(vec4<f32>(v.z), g, c); }
      if (IN_LANES > 3u) { d = fma(vec4<f32>(v.w), g, d); }
    }
    (*acc)[r][kx * 4u] = a;
    (*acc)[r][kx * 4u + 1u] = b;
    (*acc)[r][kx * 4u + 2u] = c;
    (*acc)[r][kx * 4u + 3u] = d;
  }
}

@compute @workgroup_size(64)
fn conv2d_backward_weight(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let slot = lanes[lane].x;
  let co = id.x % params.out_blocks;
  let ci = (id.x / params.out_blocks) % params.in_blocks;
  let bands = params.kernel_height / KERNEL_ROWS;
  let ky = (id.x / (params.out_blocks * params.in_blocks)) % bands * KERNEL_ROWS;
  let part = id.x / (params.out_blocks * params.in_blocks * bands);
  if (part >= params.parts) {
    return;
  }
  let source = select(lane, slot, params.input_per_slot == 1u);
  let last = min((part + 1u) * params.samples_per_part, batch_sizes[slot]);

  var acc: Tile;
  for (var r = 0u; r < KERNEL_ROWS; r++) {
    for (var i = 0u; i < KERNEL_WIDTH * 4u; i++) {
      acc[r][i] = vec4<f32>(0.0);
    }
  }
  var bias = vec4<f32>(0.0);
  for (var n = part * params.samples_per_part; n < last; n++) {
    for (var segment = 0u; segment < params.segments; segment++) {
      // The last segment ends at the row's end; pixels an earlier one has counted weigh nothing.
      let fresh = segment * PIXELS;
      let x = min(fresh, params.out_width - PIXELS);
      let corner = (source * params.batch + n) * params.in_image + params.in_origin + ky * params.in_row + x * STRIDE * params.in_blocks + ci;
      var dz_row = (lane * params.batch + n) * params.out_image + params.out_origin + x * params.out_blocks + co;
      // Row r of the window is input row y · S + ky + r: all but the last STRIDE move up, those are loaded.
      var rows: Window;
      for (var r = STRIDE; r < KERNEL_ROWS; r++) {
        for (var i = 0u; i < SPAN; i++) {
          rows[r][i] = input[corner + (r - STRIDE) * params.in_row + i * params.in_blocks];
        }
      }
      for (var y = 0u; y < params.out_height; y++) {
        for (var r = STRIDE; r < KERNEL_ROWS; r++) {
          rows[r - STRIDE] = rows[r];
        }
        for (var r = max(KERNEL_ROWS, STRIDE) - STRIDE; r < KERNEL_ROWS; r++) {
          for (var i = 0u; i < SPAN; i++) {
            rows[r][i] = input[corner + (y * STRIDE + r) * params.in_row + i * params.in_blocks];
          }
        }
        var gradients: array<vec4<f32>, PIXELS>;
        for (var p = 0u; p < PIXELS; p++) {
          gradients[p] = select(dz[dz_row + p * params.out_blocks], vec4<f32>(0.0), x + p < fresh);
          bias += gradients[p];
        }
        dz_row += params.out_row;
        // Written out, so that every driver keeps the tiles in registers: some unroll no loop of this size.
        tap(0u, &rows, &gradients, &acc);
        if (KERNEL_WIDTH > 1u) { tap(1u, &rows, &gradients, &acc); }
        if (KERNEL_WIDTH > 2u) { tap(2u, &rows, &gradients, &acc); }
        if (KERNEL_WIDTH > 3u) { tap(3u, &rows, &gradients, &acc); }
        if (KERNEL_WIDTH > 4u) { tap(4u, &rows, &gradients, &acc); }
        if (KERNEL_WIDTH > 5u) { tap(5u, &rows, &gradients, &acc); }
        if (KERNEL_WIDTH > 6u) { tap(6u, &rows, &gradients, &acc); }
        if (KERNEL_WIDTH > 7u) { tap(7u, &rows, &gradients, &acc); }
        if (KERNEL_WIDTH > 8u) { tap(8u, &rows, &gradients, &acc); }
        if (KERNEL_WIDTH > 9u) { tap(9u, &rows, &gradients, &acc); }
        if (KERNEL_WIDTH > 10u) { tap(10u, &rows, &gradients, &acc); }
        for (var kx = 11u; kx < KERNEL_WIDTH; kx++) {
          tap(kx, &rows, &gradients, &acc);
        }
      }
    }
  }
  let base = (lane * params.parts + part) * params.partial_stride;
  for (var r = 0u; r < KERNEL_ROWS; r++) {
    for (var i = 0u; i < KERNEL_WIDTH * 4u; i++) {
      let tap_row = ((ky + r) * KERNEL_WIDTH + i / 4u) * params.in_blocks * 4u + ci * 4u + i % 4u;
      partial[base + tap_row * params.out_blocks + co] = acc[r][i];
    }
  }
  if (ky == 0u && ci == 0u) {
    partial[base + params.kernel_height * KERNEL_WIDTH * params.in_blocks * 4u * params.out_blocks + co] = bias;
  }
}
