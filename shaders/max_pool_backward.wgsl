// 2-D max-pooling, gradient with respect to its input, for every lane at once:
//
//   dx[lane][n][y][x][c] = Σ over the windows whose maximum lay at (y, x) of dy
//
// Windows may overlap; each input pixel gathers from the windows that hold it, in row-major order, so no write collides.
// One invocation an input row × 4 channels.

const KERNEL_HEIGHT: u32 = 2u;
const KERNEL_WIDTH: u32 = 2u;
const STRIDE: u32 = 2u;

struct Params {
  batch: u32,
  blocks: u32,
  in_height: u32,
  in_width: u32,
  in_row: u32,   // layout of dx, in vec4
  in_image: u32,
  in_origin: u32,
  out_height: u32,
  out_width: u32,
  out_row: u32,  // layout of dy, in vec4
  out_image: u32,
  out_origin: u32,
  padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> indices: array<u32>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

// The first window whose reach includes padded coordinate p.
fn first_window(p: u32, kernel: u32) -> u32 {
  if (p < kernel) {
    return 0u;
  }
  return (p - kernel) / STRIDE + 1u;
}

@compute @workgroup_size(64)
fn max_pool_backward(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x % params.blocks;
  let line = (id.x / params.blocks) % params.in_height;
  let n = id.x / (params.blocks * params.in_height);
  if (n >= batch_sizes[lanes[lane].x]) {
    return;
  }
  let sample = lane * params.batch + n;
  let py = line + params.padding;
  let first_y = first_window(py, KERNEL_HEIGHT);
  let last_y = min(py / STRIDE + 1u, params.out_height);
  let source = sample * params.out_image + params.out_origin + block;
  let places = sample * params.out_height * params.out_width * params.blocks + block;
  let target_row = sample * params.in_image + params.in_origin + line * params.in_row + block;
  for (var column = 0u; column < params.in_width; column++) {
    let px = column + params.padding;
    let last_x = min(px / STRIDE + 1u, params.out_width);
    var sum = vec4<f32>(0.0);
    for (var oy = first_y; oy < last_y; oy++) {
      for (var ox = first_window(px, KERNEL_WIDTH); ox < last_x; ox++) {
        let place = (py - oy * STRIDE) * KERNEL_WIDTH + px - ox * STRIDE;
        let packed = indices[places + (oy * params.out_width + ox) * params.blocks];
        let chosen = (vec4<u32>(packed) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
        let g = dy[source + oy * params.out_row + ox * params.blocks];
        sum += select(vec4<f32>(0.0), g, chosen == vec4<u32>(place));
      }
    }
    dx[target_row + column * params.blocks] = sum;
  }
}
