// Two builds of splitmix train the same short runs of every method: tensors, metrics and test must be equal to the bit. For a change that
// is not to change results:
//
//   node scripts/same-bits.js OLD NEW [NAME…]
//
// OLD and NEW are programs, NAMEs the runs to take (default: all). NEW also goes on from a run that OLD began. Headers of checkpoints may
// differ: only tensors are compared. Ends with exit status 1 where something differs or a run fails.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [before, after, ...names] = process.argv.slice(2);
if (!before || !after) {
  console.error('say which programs to compare: node scripts/same-bits.js OLD NEW [NAME…]');
  process.exit(2);
}

const common = [
  '--clients-per-domain=2', '--train-per-domain=64', '--rounds=2', '--validate-every=1', '--schedule=none', '--batch-size=16', '--no-table',
];
const runs = {
  'split-mix': [],
  'split-mix, some clients': ['--clients-per-round=3', '--partition=dirichlet', '--alpha=0.5'],
  'split-mix, adam': ['--optimizer=adam', '--lr=0.001', '--weight-decay=0.001'],
  'split-mix, waves': ['--wave-lanes=5'],
  'fedavg': ['--method=fedavg', '--width=1/4'],
  'fedprox': ['--method=fedavg', '--width=1/4', '--proximal=0.1', '--momentum=0.9'],
  'fedbn': ['--method=fedavg', '--width=1/4', '--local-bn'],
  'hetero-fl': ['--method=hetero-fl', '--budgets=8-4'],
  'shetero-fl': ['--method=shetero-fl', '--budgets=8-4', '--count-widths'],
  'dual batch norm': ['--lambda-train=0.5', '--train-attack=fgsm'],
  'adversarial': ['--lambda-train=1', '--train-attack=pgd-2'],
  'tracked': ['--bn-mode=tracked', '--masked-loss', '--rescale-layer=false'],
  'post': ['--bn-mode=post', '--flip', '--crop-padding=2'],
};

const folder = mkdtempSync(join(tmpdir(), 'same-bits-'));
const run = (program, out, options) => execFileSync(program, ['train', '--out', out, ...options], { stdio: ['ignore', 'ignore', 'pipe'] });

// The tensors of a safetensors file: their list, without the metadata, and their bytes.
function tensors(path) {
  const bytes = readFileSync(path);
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const { __metadata__, ...list } = JSON.parse(bytes.subarray(8, end).toString());
  return JSON.stringify(list) + bytes.subarray(end).toString('base64');
}

const results = {
  'last.safetensors': tensors,
  'best.safetensors': tensors,
  'metrics.jsonl': (path) => readFileSync(path, 'utf8'),
  // The file names the model that was tested by its path.
  'test.json': (path) => readFileSync(path, 'utf8').replaceAll(/"[^"]*\.safetensors"/g, '""'),
};
const differences = (one, other) => Object.entries(results).flatMap(([file, read]) => (read(join(one, file)) === read(join(other, file)) ? [] : [file]));

let failed = 0;
const report = (name, differing) => {
  failed += differing.length > 0;
  console.log(`${differing.length ? 'DIFFERS' : 'same   '} ${name}${differing.length ? `: ${differing.join(', ')}` : ''}`);
};
for (const [name, options] of Object.entries(runs)) {
  if (names.length && !names.includes(name)) continue;
  const [old, now, resumed] = ['old', 'new', 'resumed'].map((which) => join(folder, `${name.replaceAll(/\W+/g, '-')}-${which}`));
  try {
    run(before, old, [...common, ...options]);
    run(after, now, [...common, ...options]);
    report(name, differences(old, now));
    // One round by the old program, the second by the new one.
    const first = common.filter((option) => !option.startsWith('--rounds'));
    run(before, resumed, [...first, '--rounds=1', ...options]);
    run(after, resumed, ['--resume', '--rounds=2', '--no-table']);
    report(`${name}, begun by the old program`, differences(old, resumed));
  } catch (error) {
    report(name, [String(error.stderr ?? error).trim().split('\n').at(-1)]);
  }
}
rmSync(folder, { recursive: true });
process.exit(failed ? 1 : 0);
