// Fully connected layer, gradient with respect to its input, for every lane at once:
//
//   dx[lane][n][i] = Σ_o dz[n][o] · w[i][o]
//
// dx is stored as the image that was flattened: in row, column, channel order, inside the border that its own layer's
// backward wants. Tiles and sharing are those of linear_forward: ROWS samples × BLOCKS blocks of inputs.

const ROWS: u32 = 8u;
const BLOCKS: u32 = 1u;
const SUBGROUP: u32 = 1u; // invocations that share their loads of samples
const LOADS: u32 = (ROWS + SUBGROUP - 1u) / SUBGROUP;

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

// import from_invocation

@compute @workgroup_size(64)
fn linear_backward_data(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) rank: u32) {
  let lane = id.z;
  let valid = batch_sizes[lanes[lane].x];
  // Whole subgroups work on the same samples.
  let groups = ((params.in_blocks + BLOCKS - 1u) / BLOCKS + SUBGROUP - 1u) / SUBGROUP * SUBGROUP;
  let block = id.x % groups * BLOCKS;
  let first = id.x / groups * ROWS;
  if (first >= valid) { // the same for a whole subgroup
    return;
  }
  var acc: array<array<vec4<f32>, BLOCKS>, ROWS>;
  var row: array<u32, LOADS>;
  var w: array<u32, BLOCKS>;
  for (var r = 0u; r < ROWS; r++) {
    for (var b = 0u; b < BLOCKS; b++) {
      acc[r][b] = vec4<f32>(0.0);
    }
  }
  for (var j = 0u; j < LOADS; j++) {
    let n = min(first + min(j * SUBGROUP + rank % SUBGROUP, ROWS - 1u), valid - 1u);
    row[j] = (lane * params.batch + n) * params.out_blocks;
  }
  for (var b = 0u; b < BLOCKS; b++) {
    w[b] = lanes[lane].y * params.parameter_stride + params.weight + min(block + b, params.in_blocks - 1u) * 4u * params.out_blocks;
  }
  for (var o = 0u; o < params.out_blocks; o++) {
    var g: array<vec4<f32>, LOADS>;
    for (var j = 0u; j < LOADS; j++) {
      g[j] = dz[row[j] + o];
    }
    var w0: array<vec4<f32>, BLOCKS>;
    var w1: array<vec4<f32>, BLOCKS>;
    var w2: array<vec4<f32>, BLOCKS>;
    var w3: array<vec4<f32>, BLOCKS>;
    for (var b = 0u; b < BLOCKS; b++) {
      let c0 = parameters[w[b] + o];
      let c1 = parameters[w[b] + params.out_blocks + o];
      let c2 = parameters[w[b] + 2u * params.out_blocks + o];
      let c3 = parameters[w[b] + 3u * params.out_blocks + o];
      w0[b] = vec4<f32>(c0.x, c1.x, c2.x, c3.x);
      w1[b] = vec4<f32>(c0.y, c1.y, c2.y, c3.y);
      w2[b] = vec4<f32>(c0.z, c1.z, c2.z, c3.z);
      w3[b] = vec4<f32>(c0.w, c1.w, c2.w, c3.w);
    }
    for (var r = 0u; r < ROWS; r++) {
      let v = from_invocation(g[r / SUBGROUP], r % SUBGROUP);
      for (var b = 0u; b < BLOCKS; b++) {
        var sum = fma(vec4<f32>(v.x), w0[b], acc[r][b]);
        sum = fma(vec4<f32>(v.y), w1[b], sum);
        sum = fma(vec4<f32>(v.z), w2[b], sum);
        acc[r][b] = fma(vec4<f32>(v.w), w3[b], sum);
      }
    }
  }
  for (var b = 0u; b < BLOCKS; b++) {
    let i = block + b;
    if (i < params.in_blocks) {
      let pixel = i / params.blocks;
      let place = params.origin + pixel / params.width * params.row + pixel % params.width * params.blocks + i % params.blocks;
      for (var r = 0u; r < ROWS; r++) {
        if (first + r < valid) {
          dx[(lane * params.batch + first + r) * params.image + place] = acc[r][b];
        }
      }
    }
  }
}
