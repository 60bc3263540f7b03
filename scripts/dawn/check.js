// Compiles every kernel in shaders/ with Dawn, the WebGPU implementation of Chromium, and makes a pipeline of each of its
// entry points under WebGPU's default limits. Dawn's compiler is stricter than naga, which the engine itself uses, so
// a file that passes both runs on any WebGPU.
//
//   npm ci --ignore-scripts && node check.js [folder, default ../../shaders]
//
// Ends with "dawn: N passed, N failed", and with exit status 1 if a file failed or there was nothing to compile with.

import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create } from 'webgpu';

const folder = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '../../shaders');

// Dawn's null backend parses, checks and reflects as every other, and needs neither a GPU nor a driver.
const gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
if (!adapter) {
  throw new Error('Dawn offers no adapter: run npm ci --ignore-scripts in this folder again');
}
const device = await adapter.requestDevice();

// What is wrong with a file, one line an error; empty when nothing is.
async function problems(name, code) {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ label: name, code });
  const { messages } = await module.getCompilationInfo();
  const refused = await device.popErrorScope();
  const errors = messages
    .filter((m) => m.type === 'error')
    .map((m) => `${name}:${m.lineNum}:${m.linePos}: ${m.message}`);
  if (errors.length > 0 || refused) {
    return errors.length > 0 ? errors : [`${name}: ${refused.message}`];
  }
  // No kernel has a comment or string that looks like an entry point.
  const entries = [...code.matchAll(/@compute[^{]*?\bfn\s+(\w+)/g)].map((m) => m[1]);
  if (entries.length === 0) {
    return [`${name}: there is no @compute entry point`];
  }
  for (const entryPoint of entries) {
    device.pushErrorScope('validation');
    await device
      .createComputePipelineAsync({ label: name, layout: 'auto', compute: { module, entryPoint } })
      .catch((error) => errors.push(`${name}: ${entryPoint}: ${error.message}`));
    const refused = await device.popErrorScope();
    if (refused) {
      errors.push(`${name}: ${entryPoint}: ${refused.message}`);
    }
  }
  return errors;
}

// A file with the shared functions where it imports them, as Shader::text in src/kernels/mod.rs puts it together.
function composed(file) {
  const text = readFileSync(join(folder, file), 'utf8');
  return text.replace(/^\/\/ import (\w+)$/gm, (_, name) => readFileSync(join(folder, 'shared', `${name}.wgsl`), 'utf8').trimEnd());
}

const files = readdirSync(folder).filter((file) => file.endsWith('.wgsl')).sort();
let failed = 0;
for (const file of files) {
  const errors = await problems(file, composed(file));
  console.log(`${errors.length === 0 ? 'ok  ' : 'FAIL'} ${file}`);
  errors.forEach((error) => console.error(error));
  failed += errors.length > 0 ? 1 : 0;
}
console.log(`dawn: ${files.length - failed} passed, ${failed} failed`);
// Dawn keeps node alive as long as its objects live.
process.exit(failed > 0 || files.length === 0 ? 1 : 0);
