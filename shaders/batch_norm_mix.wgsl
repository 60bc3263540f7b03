// Prepares the batch norms of every lane for evaluation: the λ-mix of the clean and the adversarial one ("deep mix"; paper,
// section 3.3), folded into one batch norm, so that the kernels of a forward and a backward run once and know nothing of it.
//
//   (1 − λ) · BN_clean(z) + λ · BN_adv(z) = γ · (z − mean) · deviation + β
//
// By the batch's own statistics both have the same (z − mean) · deviation: γ and β are mixed. By running statistics the one of
// the larger share gives mean and deviation, and with its share s and the other one's t,
//
//   γ = s · γ₁ + t · γ₂ · deviation₂ / deviation₁,   β = s · β₁ + t · (β₂ + γ₂ · deviation₂ · (mean₁ − mean₂));
//
// so λ = 0 and λ = 1 are the clean and the adversarial batch norm to the bit. One invocation a vec4 of channels of any layer.

struct Params {
  blocks: u32,   // of all layers
  stride: u32,   // vec4 of a source row
  start: u32,    // its batch norms: γ and β, then those of the adversarial one, then mean and variance of either
  dual: u32,
  running: u32,  // 1: moments are made of the running statistics
  own_rows: u32, // 1: the row is lanes.w, else lanes.y
  lambda: f32,
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>; // slot, parameter row, base, row of batch norms
@group(0) @binding(2) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> mixed: array<vec4<f32>>;  // [lane][γ, β][block]
@group(0) @binding(4) var<storage, read_write> moments: array<vec4<f32>>; // [lane][block] of (mean, deviation, variance)

struct Norm {
  weight: vec4<f32>,
  bias: vec4<f32>,
  mean: vec4<f32>,
  deviation: vec4<f32>,
}

fn norm(row: u32, block: u32, branch: u32) -> Norm {
  var n: Norm;
  let affine = row + 2u * branch * params.blocks + block;
  n.weight = source[affine];
  n.bias = source[affine + params.blocks];
  n.deviation = vec4<f32>(1.0);
  if (params.running == 1u) {
    let running = affine + (2u + 2u * params.dual) * params.blocks;
    n.mean = source[running];
    n.deviation = inverseSqrt(source[running + params.blocks] + params.epsilon);
  }
  return n;
}

@compute @workgroup_size(64)
fn batch_norm_mix(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  let block = id.x;
  if (block >= params.blocks) {
    return;
  }
  let row = select(lanes[lane].y, lanes[lane].w, params.own_rows == 1u) * params.stride + params.start;
  var out = norm(row, block, 0u);
  if (params.dual == 1u) {
    var other = norm(row, block, 1u);
    var share = params.lambda; // the other one's
    if (share > 0.5) {
      let adversarial = other;
      other = out;
      out = adversarial;
      share = 1.0 - share;
    }
    let own = vec4<f32>(1.0 - share);
    let factor = share * other.weight * other.deviation;
    // Written so that a share of 0 adds nothing to the bits.
    out.weight = fma(own, out.weight, factor / out.deviation);
    out.bias = fma(own, out.bias, fma(factor, out.mean - other.mean, share * other.bias));
  }
  mixed[lane * 2u * params.blocks + block] = out.weight;
  mixed[(lane * 2u + 1u) * params.blocks + block] = out.bias;
  if (params.running == 1u) {
    let place = (lane * params.blocks + block) * 3u;
    moments[place] = out.mean;
    moments[place + 1u] = out.deviation;
  }
}
