// 2-D max-pooling, forward, for every lane at once:
//
//   y[lane][n][y][x][c] = max over the window of x,   index = its place ky · kernel_width + kx in the window
//
// The first maximum in row-major order wins, as in PyTorch; places outside the image do not count. The four channels'
// indices share one u32, a byte each. One invocation an output row × 4 channels.

const KERNEL_HEIGHT: u32 = 2u;
const KERNEL_WIDTH: u32 = 2u;
const STRIDE: u32 = 2u;

struct Params {
  batch: u32,
  blocks: u32,
  in_height: u32,
  in_width: u32,
  in_row: u32,   // layout of x, in vec4
  in_image: u32,
  in_origin: u32,
  out_height: u32,
  out_width: u32,
  out_row: u32,  // layout of y, in vec4
  out_image: u32,
  out_origin: u32,
  padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> indices: array<u32>; // [lane][n][y][x][block], no border

@compute @workgroup_size(64)
fn max_pool_forward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.blocks;
  let line = (id.x / params.blocks) % params.out_height;
  let n = id.x / (params.blocks * params.out_height);
  if (n >= batch_sizes[lanes[lane].x]) {
    return;
  }
  let sample = lane * params.batch + n;
  let source = sample * params.in_image + params.in_origin + block;
  let target_row = sample * params.out_image + params.out_origin + line * params.out_row + block;
  let index_row = (sample * params.out_height + line) * params.out_width * params.blocks + block;
  for (var column = 0u; column < params.out_width; column++) {
    var best = vec4<f32>(0.0);
    var place = vec4<u32>(0u);
    var empty = true;
    for (var ky = 0u; ky < KERNEL_HEIGHT; ky++) {
      for (var kx = 0u; kx < KERNEL_WIDTH; kx++) {
        // Counted from the padded corner, so that nothing is below zero.
        let py = line * STRIDE + ky;
        let px = column * STRIDE + kx;
        if (py >= params.padding && px >= params.padding && py - params.padding < params.in_height && px - params.padding < params.in_width) {
          let v = x[source + (py - params.padding) * params.in_row + (px - params.padding) * params.blocks];
          let better = (v > best) | vec4<bool>(empty);
          best = select(best, v, better);
          place = select(place, vec4<u32>(ky * KERNEL_WIDTH + kx), better);
          empty = false;
        }
      }
    }
    y[target_row + column * params.blocks] = best;
    indices[index_row + column * params.blocks] = place.x | (place.y << 8u) | (place.z << 16u) | (place.w << 24u);
  }
}
