// Projected gradient descent in the L∞ ball on the images of each slot, against the ensemble of the slot's bases:
//
//   start: x = clip(clean + ε · u), u uniform in [−1, 1) from a counter-based generator
//   step:  x ← clip(x + α · sign(Σ_b dx[slot · bases + b])); moved[slot][n] = 1 where any of the sums is not 0
//
// or, where OF_LANE = 1, on the images that each lane attacks for itself, against its own base (bases = 1): then attacked, moved
// and the dispatch's z axis are by lane, and clean images by the lane's slot.
//
//   worst: of the outcomes after each restart, every sample's largest loss and whether it was correct after all
//
// clip keeps |x − clean| ≤ ε and x in [0, 1], exactly: its bounds are computed, not its differences. sign(0) = 0, and so is
// that of a NaN. A value's noise depends on seed, round, step, base (that of an ensemble: none), image, pixel and channel alone:
// neither on the slot nor on the wave. One invocation a pixel (worst: a sample); the dispatch's z axis is the client slot.

const OF_LANE: u32 = 0u;

struct Params {
  batch: u32,
  bases: u32,
  channels: u32,     // 1..=4; the others stay 0
  height: u32,
  width: u32,
  row: u32,          // layout of clean and attacked images, in vec4
  image: u32,
  origin: u32,
  gradient_row: u32, // layout of dx, in vec4
  gradient_image: u32,
  gradient_origin: u32,
  seed: u32,
  round: u32,
  epsilon: f32,      // radius
  alpha: f32,        // step size; below 0 descends, towards a target
  restart: u32,      // 0 forgets the restarts before
  slot_capacity: u32, // row length of the schedule, in slots
  step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> batch_sizes: array<u32>;
@group(0) @binding(2) var<storage, read> clean: array<vec4<f32>>;

fn clip(value: vec4<f32>, original: vec4<f32>) -> vec4<f32> {
  let lower = max(original - params.epsilon, vec4<f32>(0.0));
  let upper = min(original + params.epsilon, vec4<f32>(1.0));
  let used = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.channels);
  return select(vec4<f32>(0.0), clamp(value, lower, upper), used);
}

// import pcg4d

// Place of pixel `p` of sample `n` of a slot or lane.
fn place(z: u32, n: u32, p: u32) -> u32 {
  return (z * params.batch + n) * params.image + params.origin + p / params.width * params.row + p % params.width;
}

@group(0) @binding(3) var<storage, read> schedule: array<u32>; // [step][slot][1 + batch]: a batch's size, then its images
@group(0) @binding(4) var<storage, read_write> attacked: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> moved: array<atomic<u32>>; // [slot or lane][n]
@group(0) @binding(6) var<storage, read> lanes: array<vec4<u32>>; // slot, parameter row, base, row of batch norms

// The slot whose images are attacked at `z`.
fn slot_of(z: u32) -> u32 {
  if (OF_LANE == 1u) {
    return lanes[z].x;
  }
  return z;
}

@compute @workgroup_size(64)
fn start(@builtin(global_invocation_id) id: vec3<u32>) {
  let pixels = params.height * params.width;
  let n = id.x / pixels;
  let slot = slot_of(id.z);
  if (n >= batch_sizes[slot]) {
    return;
  }
  let p = id.x % pixels;
  let image = schedule[(params.step * params.slot_capacity + slot) * (1u + params.batch) + 1u + n];
  var base = 0xffffffffu;
  if (OF_LANE == 1u) {
    base = lanes[id.z].z;
  }
  let key = pcg4d(vec4<u32>(params.seed, params.round, params.step, base));
  let bits = pcg4d(vec4<u32>(key.x ^ image, key.y ^ p, key.z, key.w));
  // 24 bits are all that an f32 in [0, 1) holds evenly.
  let u = vec4<f32>(bits >> vec4<u32>(8u)) * (2.0 / 16777216.0) - 1.0;
  if (p == 0u && params.restart == 0u) {
    atomicStore(&moved[id.z * params.batch + n], 0u);
  }
  let at = place(id.z, n, p);
  let original = clean[place(slot, n, p)];
  attacked[at] = clip(fma(u, vec4<f32>(params.epsilon), original), original);
}

@group(0) @binding(3) var<storage, read> dx: array<vec4<f32>>;

@compute @workgroup_size(64)
fn step(@builtin(global_invocation_id) id: vec3<u32>) {
  let pixels = params.height * params.width;
  let n = id.x / pixels;
  let slot = slot_of(id.z);
  if (n >= batch_sizes[slot]) {
    return;
  }
  let p = id.x % pixels;
  var sum = vec4<f32>(0.0);
  for (var b = 0u; b < params.bases; b++) {
    let first = ((id.z * params.bases + b) * params.batch + n) * params.gradient_image + params.gradient_origin;
    sum += dx[first + p / params.width * params.gradient_row + p % params.width];
  }
  let zero = vec4<f32>(0.0);
  let sign = select(zero, vec4<f32>(1.0), sum > zero) - select(zero, vec4<f32>(1.0), sum < zero);
  if (any(sign != zero)) {
    atomicOr(&moved[id.z * params.batch + n], 1u);
  }
  let at = place(id.z, n, p);
  attacked[at] = clip(fma(sign, vec4<f32>(params.alpha), attacked[at]), clean[place(slot, n, p)]);
}

@group(0) @binding(2) var<storage, read> outcomes: array<vec2<f32>>; // [slot][n] of (loss, 1 or 0 for correct)
@group(0) @binding(3) var<storage, read_write> worst_outcomes: array<vec2<f32>>;

@compute @workgroup_size(64)
fn worst(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= batch_sizes[id.z]) {
    return;
  }
  let at = id.z * params.batch + id.x;
  let now = outcomes[at];
  let before = worst_outcomes[at];
  // Not max: it may drop a NaN.
  let merged = vec2<f32>(select(now.x, before.x, before.x > now.x), min(now.y, before.y));
  worst_outcomes[at] = select(merged, now, params.restart == 0u);
}
