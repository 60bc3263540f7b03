// 2-D convolution, gradient with respect to weights and bias, first of two stages, with the output channels
// spread over a subgroup, for every lane at once. For drivers that run on a CPU, where a load costs more than the
// arithmetic on what it loads. What it computes and leaves is what conv2d_backward_weight does.
//
// A subgroup takes a part of the batch, IN_HELD input blocks and as many output channels as it has invocations; each
// invocation holds all taps of its own channel, or, of a large kernel, those of the rows that meet the same image rows. Down an image it loads each input row once, a pixel an invocation, and hands
// every pixel to all; the row meets the rows of dz around it, which move up one by one.

const KERNEL_HEIGHT: u32 = 5u;
const KERNEL_WIDTH: u32 = 5u; // at most 11
const KERNEL_ROWS: u32 = 5u; // that an invocation holds: KERNEL_HEIGHT, or UNDER_WAY where PHASES is STRIDE; at most 7
const PHASES: u32 = 1u; // 1, or STRIDE: an invocation holds the rows ky with one ky % STRIDE
const STRIDE: u32 = 1u; // at most 4
const PIXELS: u32 = 7u;
const IN_HELD: u32 = 1u; // a divisor of the input blocks; at most 4
const IN_LANES: u32 = 4u; // input channels in use in each block; below 4 only where there is one block
const SUBGROUP: u32 = 8u; // at least 4
const OVERLAP: u32 = 1u; // 0: PIXELS divides the width, no pixel comes twice
const SPAN: u32 = (PIXELS - 1u) * STRIDE + KERNEL_WIDTH;
const RUNS: u32 = (SPAN + 15u) / 16u; // of 16: Mesa unrolls a loop of up to 32 rounds over the whole of an array, not others
const UNDER_WAY: u32 = 5u; // ⌈KERNEL_HEIGHT / STRIDE⌉: rows of dz that an input row meets at the most
const ROW_STRIDE: u32 = STRIDE / PHASES;
const LOADS: u32 = (SPAN * IN_HELD + SUBGROUP - 1u) / SUBGROUP;
const GROUP: u32 = SUBGROUP / 4u; // blocks of output channels of a subgroup

struct Params {
  batch: u32,
  in_blocks: u32,
  in_height: u32,
  in_row: u32,       // stored row length, in vec4
  in_image: u32,     // stored image size, in vec4
  in_origin: u32,    // first tap of column 0 in row 0 of dz, in vec4
  padding: u32,
  out_blocks: u32,
  out_height: u32,
  out_width: u32,
  out_row: u32,
  out_image: u32,
  out_origin: u32,
  segments: u32,     // of PIXELS columns of a row
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

alias Taps = array<array<array<vec4<f32>, KERNEL_WIDTH>, KERNEL_ROWS>, IN_HELD>; // of four input channels and the invocation's output channel
alias Rows = array<array<f32, PIXELS>, UNDER_WAY>; // of dz, the latest last
alias Loaded = array<vec4<f32>, LOADS>;
alias Window = array<array<vec4<f32>, 16>, RUNS>;

// import from_invocation
// import from_four

// Adds one tap's products for an input block. Written out, here and below, so that the driver keeps the taps in registers.
fn tap(ky: u32, kx: u32, c: u32, window: ptr<function, Window>, rows: ptr<function, Rows>, acc: ptr<function, Taps>) {
  var sum = (*acc)[c][ky][kx];
  for (var p = 0u; p < PIXELS; p++) {
    let v = (*window)[(p * STRIDE + kx) / 16u][(p * STRIDE + kx) % 16u];
    let g = (*rows)[UNDER_WAY - 1u - ky / ROW_STRIDE][p];
    sum.x = fma(v.x, g, sum.x);
    if (IN_LANES > 1u) { sum.y = fma(v.y, g, sum.y); }
    if (IN_LANES > 2u) { sum.z = fma(v.z, g, sum.z); }
    if (IN_LANES > 3u) { sum.w = fma(v.w, g, sum.w); }
  }
  (*acc)[c][ky][kx] = sum;
}

fn kernel_row(ky: u32, c: u32, window: ptr<function, Window>, rows: ptr<function, Rows>, acc: ptr<function, Taps>) {
  tap(ky, 0u, c, window, rows, acc);
  if (KERNEL_WIDTH > 1u) { tap(ky, 1u, c, window, rows, acc); }
  if (KERNEL_WIDTH > 2u) { tap(ky, 2u, c, window, rows, acc); }
  if (KERNEL_WIDTH > 3u) { tap(ky, 3u, c, window, rows, acc); }
  if (KERNEL_WIDTH > 4u) { tap(ky, 4u, c, window, rows, acc); }
  if (KERNEL_WIDTH > 5u) { tap(ky, 5u, c, window, rows, acc); }
  if (KERNEL_WIDTH > 6u) { tap(ky, 6u, c, window, rows, acc); }
  if (KERNEL_WIDTH > 7u) { tap(ky, 7u, c, window, rows, acc); }
  if (KERNEL_WIDTH > 8u) { tap(ky, 8u, c, window, rows, acc); }
  if (KERNEL_WIDTH > 9u) { tap(ky, 9u, c, window, rows, acc); }
  if (KERNEL_WIDTH > 10u) { tap(ky, 10u, c, window, rows, acc); }
}

// Adds the products of one block of an input row that meets kernel rows ky with ky % STRIDE = phase.
fn in_block(c: u32, phase: u32, loaded: ptr<function, Loaded>, rows: ptr<function, Rows>, acc: ptr<function, Taps>) {
  var window: Window;
  for (var i = 0u; i < RUNS; i++) {
    for (var j = 0u; j < 16u; j++) {
      let f = min(i * 16u + j, SPAN - 1u) * IN_HELD + c;
      window[i][j] = from_invocation((*loaded)[f / SUBGROUP], f % SUBGROUP);
    }
  }
  if (phase < KERNEL_ROWS) { kernel_row(phase, c, &window, rows, acc); }
  if (UNDER_WAY > 1u && phase + 1u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 1u * ROW_STRIDE, c, &window, rows, acc); }
  if (UNDER_WAY > 2u && phase + 2u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 2u * ROW_STRIDE, c, &window, rows, acc); }
  if (UNDER_WAY > 3u && phase + 3u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 3u * ROW_STRIDE, c, &window, rows, acc); }
  if (UNDER_WAY > 4u && phase + 4u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 4u * ROW_STRIDE, c, &window, rows, acc); }
  if (UNDER_WAY > 5u && phase + 5u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 5u * ROW_STRIDE, c, &window, rows, acc); }
  if (UNDER_WAY > 6u && phase + 6u * ROW_STRIDE < KERNEL_ROWS) { kernel_row(phase + 6u * ROW_STRIDE, c, &window, rows, acc); }
}

// Adds the products of the input row at `row`, which has this phase.
fn input_row(phase: u32, row: u32, mine: u32, rows: ptr<function, Rows>, acc: ptr<function, Taps>) {
  var loaded: Loaded;
  for (var i = 0u; i < LOADS; i++) {
    let f = min(i * SUBGROUP + mine, SPAN * IN_HELD - 1u);
    loaded[i] = input[row + f / IN_HELD * params.in_blocks + f % IN_HELD];
  }
  in_block(0u, phase, &loaded, rows, acc);
  if (IN_HELD > 1u) { in_block(1u, phase, &loaded, rows, acc); }
  if (IN_HELD > 2u) { in_block(2u, phase, &loaded, rows, acc); }
  if (IN_HELD > 3u) { in_block(3u, phase, &loaded, rows, acc); }
}

// Moves the rows of dz up and loads row y, zeros below the image: an invocation a vec4, of pixel p + rank / GROUP and block
// rank % GROUP, of which each then takes its own channel. The first `counted` pixels have been counted by an earlier segment.
fn next_row(first: u32, y: u32, counted: u32, first_block: u32, rank: u32, rows: ptr<function, Rows>, bias: ptr<function, f32>) {
  for (var j = 1u; j < UNDER_WAY; j++) {
    (*rows)[j - 1u] = (*rows)[j];
  }
  let block = min(first_block + rank % GROUP, params.out_blocks - 1u);
  let row = first + min(y, params.out_height - 1u) * params.out_row + block;
  for (var p = 0u; p < PIXELS; p += 4u) {
    let loaded = dz[row + min(p + rank / GROUP, PIXELS - 1u) * params.out_blocks];
    for (var q = 0u; q < 4u; q++) { // a loop of varying length would not be unrolled
      if (p + q < PIXELS) {
        let v = from_invocation(loaded, q * GROUP + rank / 4u);
        let own = select(select(v.x, v.y, rank % 4u == 1u), select(v.z, v.w, rank % 4u == 3u), rank % 4u > 1u);
        var g = select(0.0, own, y < params.out_height);
        if (OVERLAP == 1u) { g = select(0.0, g, p + q >= counted); }
        (*rows)[UNDER_WAY - 1u][p + q] = g;
        *bias += g;
      }
    }
  }
}

@compute @workgroup_size(64)
fn conv2d_subgroup_backward_weight(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) rank: u32,
) {
  let lane = group.z;
  let slot = lanes[lane].x;
  let place = (group.x * 64u + local.x) / SUBGROUP;
  let groups = (params.out_blocks + GROUP - 1u) / GROUP;
  let first_block = place % groups * GROUP;
  let own_phase = place / groups % PHASES;
  let ci = place / (groups * PHASES) % (params.in_blocks / IN_HELD) * IN_HELD;
  let part = place / (groups * PHASES * (params.in_blocks / IN_HELD));
  if (part >= params.parts) { // the same for a whole subgroup
    return;
  }
  let source = select(lane, slot, params.input_per_slot == 1u);
  let end = min((part + 1u) * params.samples_per_part, batch_sizes[slot]);
  let mine = rank % SUBGROUP;

  var acc: Taps;
  for (var c = 0u; c < IN_HELD; c++) {
    for (var r = 0u; r < KERNEL_ROWS; r++) {
      for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
        acc[c][r][kx] = vec4<f32>(0.0);
      }
    }
  }
  var bias = 0.0;
  for (var n = part * params.samples_per_part; n < end; n++) {
    for (var segment = 0u; segment < params.segments; segment++) {
      // The last segment ends at the row's end; pixels an earlier one has counted weigh nothing.
      let x = min(segment * PIXELS, params.out_width - PIXELS);
      let counted = segment * PIXELS - x;
      let first_in = (source * params.batch + n) * params.in_image + params.in_origin + x * STRIDE * params.in_blocks + ci;
      let first_out = (lane * params.batch + n) * params.out_image + params.out_origin + x * params.out_blocks;
      var rows: Rows;
      for (var j = 0u; j < UNDER_WAY; j++) {
        for (var p = 0u; p < PIXELS; p++) {
          rows[j][p] = 0.0;
        }
      }
      if (STRIDE == 1u) {
        // Above and below the image there is only padding: nothing to add.
        for (var y = 0u; y < params.padding; y++) {
          next_row(first_out, y, counted, first_block, mine, &rows, &bias);
        }
        for (var y = params.padding; y < params.padding + params.in_height; y++) {
          next_row(first_out, y, counted, first_block, mine, &rows, &bias);
          input_row(0u, first_in + y * params.in_row, mine, &rows, &acc);
        }
      } else {
        // Row y · STRIDE + phase of the padded image meets rows y, y − 1, … of dz. After the last row that meets one, it comes again:
        // no test, for what it meets is zero.
        let last = (params.out_height - 1u) * STRIDE + KERNEL_HEIGHT - 1u;
        for (var y = 0u; y < params.out_height + UNDER_WAY - 1u; y++) {
          next_row(first_out, y, counted, first_block, mine, &rows, &bias);
          let t = y * STRIDE + own_phase;
          input_row(0u, first_in + min(t, last) * params.in_row, mine, &rows, &acc);
          if (ROW_STRIDE > 1u) { input_row(1u, first_in + min(t + 1u, last) * params.in_row, mine, &rows, &acc); }
          if (ROW_STRIDE > 2u) { input_row(2u, first_in + min(t + 2u, last) * params.in_row, mine, &rows, &acc); }
          if (ROW_STRIDE > 3u) { input_row(3u, first_in + min(t + 3u, last) * params.in_row, mine, &rows, &acc); }
        }
      }
    }
  }
  // An invocation a vec4: input channel rank % 4 of a block, output block rank / 4.
  let base = (lane * params.parts + part) * params.partial_stride;
  let block = first_block + mine / 4u;
  for (var c = 0u; c < IN_HELD; c++) {
    for (var r = 0u; r < KERNEL_ROWS; r++) {
      let ky = r * PHASES + own_phase;
      for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
        var value = vec4<f32>(0.0);
        for (var j = 0u; j < 4u; j++) {
          value = select(value, from_four(acc[c][r][kx][j], mine / 4u * 4u), mine % 4u == j);
        }
        if (block < params.out_blocks && ky < KERNEL_HEIGHT) {
          let tap = ky * KERNEL_WIDTH + kx;
          partial[base + ((tap * params.in_blocks + ci + c) * 4u + mine % 4u) * params.out_blocks + block] = value;
        }
      }
    }
  }
  let sums = from_four(bias, mine / 4u * 4u);
  if (ci == 0u && own_phase == 0u && mine % 4u == 0u && block < params.out_blocks) {
    partial[base + KERNEL_HEIGHT * KERNEL_WIDTH * params.in_blocks * 4u * params.out_blocks + block] = sums;
  }
}
