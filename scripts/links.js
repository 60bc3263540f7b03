// Checks the pages (*.md) of this repository against its files:
//   - relative links and pictures, with their anchors;
//   - names of files in `code`, by the folder that they begin with;
//   - flags of commands: each must be an option somewhere in the sources of the command line, or of the script that is called;
//   - Rust examples: every line must be a line of the crate's page or of an example, which tests compile.
//
//   node scripts/links.js [PROGRAM]        ends with exit status 1, and a line per fault, if a page is wrong
//
// With a PROGRAM, splitmix itself also reads the arguments of each command, without running it. Commands with a placeholder in capital
// letters, for example NAME, are left out.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = process.argv[2] && resolve(process.argv[2]);
process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'));
const list = (...patterns) => {
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', ...patterns], { encoding: 'utf8' });
  return files.split('\n').filter((file) => file && existsSync(file));
};
const read = (file) => readFileSync(file, 'utf8');
const pages = list('*.md');
const faults = [];
let parsed = 0;

// The anchor that GitHub gives a heading.
const anchor = (heading) =>
  heading.trim().toLowerCase().replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-');

// A page in its lines: text without code, and code blocks with their language ("" for indented ones).
function parts(text) {
  const prose = [];
  const code = [];
  let fence = null;
  for (const [i, line] of text.split('\n').entries()) {
    const opened = line.match(/^\s*```(\w*)/);
    if (opened) {
      fence = fence === null ? opened[1] : null;
    } else if (fence !== null || /^ {4}\s*\S/.test(line)) {
      code.push({ number: i + 1, language: fence ?? '', line });
    } else {
      prose.push({ number: i + 1, line });
    }
  }
  return { prose, code };
}

const anchors = new Map(
  pages.map((page) => [page, parts(read(page)).prose.flatMap(({ line }) => line.match(/^#+ (.*)$/)?.[1] ?? []).map(anchor)]),
);

// Folders whose names begin a path in `code`.
const folders = readdirSync('.', { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
const paths = new RegExp(`^(?:${folders.join('|').replaceAll('.', '\\.')})/[\\w./-]+$`);
// Where builds and runs write, and where a user's own data is.
const made = /^(?:target|runs|data|web\/dist|fuzz\/(?:artifacts|corpus))\b/;

// Whether a path exists from a page's folder or from one above it.
function exists(page, path) {
  for (let folder = dirname(page); ; folder = dirname(folder)) {
    if (existsSync(join(folder, path))) {
      return true;
    }
    if (folder === '.') {
      return false;
    }
  }
}

// What the program says of the arguments of a command, if it refuses them; --help keeps it from running.
function refusal(own) {
  const words = own.replace(/\s*(?:\||&&|;|2>|>).*$/, '').match(/"[^"]*"|\S+/g).map((word) => word.replaceAll('"', ''));
  if (words.some((word) => /^(?:[A-Z]+(?:\.\w+)?|--?[a-z-]+=[A-Z]+)$/.test(word) || word.includes('…'))) {
    return null;
  }
  parsed += 1;
  const { status, stderr } = spawnSync(program, [...words, '--help'], { encoding: 'utf8' });
  return status === 0 ? null : stderr.trim().split('\n')[0] || `exit status ${status}`;
}

// Names of options: of the program's sources and of the scripts.
const sources = list('src/cli/*.rs', 'src/run/config/*.rs', 'src/fl/algorithms/*.rs', 'src/data/*.rs').map(read).join('\n');
const known = (flag) => {
  const field = flag.replaceAll('-', '_');
  return flag === 'help' || new RegExp(`\\b${field}\\s*:|"${flag}"|long = "${flag}"`).test(sources);
};
const scripts = ['test.sh', 'web/build.sh', 'web/test.sh', 'web/bench.sh', 'web/bench/run.js'].map(read).join('\n');
const commands = new Set(readdirSync('src/cli').map((file) => file.replace('.rs', '').replaceAll('_', '-')));

const examples = ['src/lib.rs', 'kernels-tests/src/lib.rs', ...list('examples/*.rs')].flatMap((file) => read(file).split('\n'));
const compiled = new Set(examples.map((line) => line.replace(/^\/\/! ?/, '').trim()));

for (const page of pages) {
  const { prose, code } = parts(read(page));
  const fault = (number, what) => faults.push(`${page}:${number}: ${what}`);
  for (const { number, line } of prose) {
    for (const [, target] of line.replace(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(?:https?|mailto):/.test(target)) {
        continue;
      }
      const [path, part] = target.split('#');
      const file = path ? normalize(join(dirname(page), path)) : page;
      if (!existsSync(file)) {
        fault(number, `link to ${target}: no such file`);
      } else if (part !== undefined && !anchors.get(file)?.includes(part)) {
        fault(number, `link to ${target}: ${file} has no heading of that anchor`);
      }
    }
    for (const [, text] of line.matchAll(/`([^`]+)`/g)) {
      if (paths.test(text) && !/\bNAME\b/.test(text) && !made.test(text) && !exists(page, text)) {
        fault(number, `\`${text}\`: no such file or folder`);
      }
    }
  }
  let command = '';
  for (const { number, language, line } of code) {
    if (language === 'rust' && line.trim() && !compiled.has(line.trim())) {
      fault(number, 'this line is in no example that is compiled: take it from src/lib.rs or examples/');
    }
    if (language === '' || language === 'sh') {
      command = (command + line).replace(/(^|\s)#.*$/, '');
      if (command.endsWith('\\')) {
        command = command.slice(0, -1);
        continue;
      }
      const own = command.match(/(?:^|\s)(?:\.\/splitmix\.sh|splitmix)\s+(\S+)(.*)/);
      const flags = [...command.matchAll(/\s--([\w-]+)/g)].map((flag) => flag[1]);
      if (own && !commands.has(own[1]) && !own[1].startsWith('-')) {
        fault(number, `splitmix ${own[1]}: no such command`);
      }
      if (own) {
        flags.filter((flag) => !known(flag)).forEach((flag) => fault(number, `--${flag}: no such option`));
        const refused = program && refusal(`${own[1]}${own[2]}`);
        if (refused) {
          fault(number, refused);
        }
      } else if (/^\s*(?:\.\/test\.sh|web\/\w+\.sh)/.test(command)) {
        flags.filter((flag) => !scripts.includes(`--${flag}`)).forEach((flag) => fault(number, `--${flag}: no such option`));
      }
      for (const [path] of command.matchAll(/\bpresets\/[\w.-]+/g)) {
        if (!/\*/.test(command) && !existsSync(path)) {
          fault(number, `${path}: no such file`);
        }
      }
      command = '';
    }
  }
}

faults.forEach((fault) => console.error(fault));
console.log(`pages: ${pages.length}, ${program ? `commands: ${parsed}, ` : ''}faults: ${faults.length}`);
process.exit(faults.length > 0 ? 1 : 0);
