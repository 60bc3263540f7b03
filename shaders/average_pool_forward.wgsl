// Adaptive average pooling, forward, for every lane at once:
//
//   y[lane][n][v][u][c] = mean of x over the rows ⌊v·H/V⌋ … ⌈(v + 1)·H/V⌉ − 1 and the columns ⌊u·W/U⌋ … ⌈(u + 1)·W/U⌉ − 1
//
// where x has H × W pixels and y V × U. Bins may overlap. One invocation an output row × 4 channels.

// Constants, so that no division is left to the device.
const IN_HEIGHT: u32 = 7u;
const IN_WIDTH: u32 = 7u;
const OUT_HEIGHT: u32 = 6u;
const OUT_WIDTH: u32 = 6u;

struct Params {
  batch: u32,
  blocks: u32,
  in_row: u32,    // layout of x, in vec4
  in_image: u32,
  in_origin: u32,
  out_row: u32,   // layout of y, in vec4
  out_image: u32,
  out_origin: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

// First pixel of bin i of `outputs` over `inputs`, and the first one after it.
fn bin(i: u32, inputs: u32, outputs: u32) -> vec2<u32> {
  return vec2<u32>(i * inputs / outputs, ((i + 1u) * inputs + outputs - 1u) / outputs);
}

@compute @workgroup_size(64)
fn average_pool_forward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.blocks;
  let line = (id.x / params.blocks) % OUT_HEIGHT;
  let n = id.x / (params.blocks * OUT_HEIGHT);
  if (n >= batch_sizes[lanes[lane].x]) {
    return;
  }
  let sample = lane * params.batch + n;
  let source = sample * params.in_image + params.in_origin + block;
  let target_row = sample * params.out_image + params.out_origin + line * params.out_row + block;
  let rows = bin(line, IN_HEIGHT, OUT_HEIGHT);
  for (var u = 0u; u < OUT_WIDTH; u++) {
    let columns = bin(u, IN_WIDTH, OUT_WIDTH);
    var sum = vec4<f32>(0.0);
    for (var row = rows.x; row < rows.y; row++) {
      for (var column = columns.x; column < columns.y; column++) {
        sum += x[source + row * params.in_row + column * params.blocks];
      }
    }
    y[target_row + u * params.blocks] = sum / f32((rows.y - rows.x) * (columns.y - columns.x));
  }
}
