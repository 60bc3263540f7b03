// Adaptive average pooling, gradient with respect to its input, for every lane at once:
//
//   dx[lane][n][row][column][c] = Σ over the bins (v, u) that hold the pixel of dy / (pixels of the bin)
//
// Each input pixel gathers from the bins that hold it, in row-major order, so no write collides; the bins are those of
// average_pool_forward. One invocation an input row × 4 channels.

// Constants, so that no division is left to the device.
const IN_HEIGHT: u32 = 7u;
const IN_WIDTH: u32 = 7u;
const OUT_HEIGHT: u32 = 6u;
const OUT_WIDTH: u32 = 6u;

struct Params {
  batch: u32,
  blocks: u32,
  in_row: u32,    // layout of dx, in vec4
  in_image: u32,
  in_origin: u32,
  out_row: u32,   // layout of dy, in vec4
  out_image: u32,
  out_origin: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dx: array<vec4<f32>>;

// Pixels of bin i.
fn size(i: u32, inputs: u32, outputs: u32) -> u32 {
  return ((i + 1u) * inputs + outputs - 1u) / outputs - i * inputs / outputs;
}

// The first bin that holds the pixel, and the first one after it that does not.
fn bins(pixel: u32, inputs: u32, outputs: u32) -> vec2<u32> {
  return vec2<u32>(pixel * outputs / inputs, ((pixel + 1u) * outputs - 1u) / inputs + 1u);
}

@compute @workgroup_size(64)
fn average_pool_backward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.blocks;
  let line = (id.x / params.blocks) % IN_HEIGHT;
  let n = id.x / (params.blocks * IN_HEIGHT);
  if (n >= batch_sizes[lanes[lane].x]) {
    return;
  }
  let sample = lane * params.batch + n;
  let source = sample * params.out_image + params.out_origin + block;
  let target_row = sample * params.in_image + params.in_origin + line * params.in_row + block;
  let rows = bins(line, IN_HEIGHT, OUT_HEIGHT);
  for (var column = 0u; column < IN_WIDTH; column++) {
    let columns = bins(column, IN_WIDTH, OUT_WIDTH);
    var sum = vec4<f32>(0.0);
    for (var v = rows.x; v < rows.y; v++) {
      for (var u = columns.x; u < columns.y; u++) {
        let pixels = size(v, IN_HEIGHT, OUT_HEIGHT) * size(u, IN_WIDTH, OUT_WIDTH);
        sum += dy[source + v * params.out_row + u * params.blocks] / f32(pixels);
      }
    }
    dx[target_row + column * params.blocks] = sum;
  }
}
