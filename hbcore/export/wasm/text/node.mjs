/* node {{name}}.mjs PICTURE.ppm | --selftest: what {{name}} finds in the largest square in the middle of a picture.
 *
 * import {open} from "./{{name}}.mjs" gives the same to a program. Written by hbcore.
 */
import {readFileSync, realpathSync} from "node:fs";
import {fileURLToPath} from "node:url";

{{model}}
const FACTS = {{facts}};

/** The network, from the module beside this file. */
export function open() {
  return Model.open(readFileSync(new URL("{{name}}.wasm", import.meta.url)), FACTS);
}

/** Width, height and bytes of a PPM picture (P6, 255 levels); null for anything else. */
function readPpm(path) {
  const content = readFileSync(path), space = "(?:\\s|#[^\\n]*\\n)+";
  const header = new RegExp(`^P6${space}(\\d{1,5})${space}(\\d{1,5})${space}255\\s`).exec(content.toString("latin1", 0, 4096));
  if (!header) return null;
  const [width, height] = [+header[1], +header[2]], pixels = content.subarray(header[0].length);
  return width && height && pixels.length >= 3 * width * height ? {width, height, pixels} : null;
}

/** The largest square in the middle, as large as the network's picture: the nearest pixels. */
function square({width, height, pixels}, size) {
  const side = Math.min(width, height), left = (width - side) >> 1, top = (height - side) >> 1;
  const found = new Uint8Array(3 * size * size);
  const from = (at) => Math.floor(((2 * at + 1) * side) / (2 * size));
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const at = 3 * ((top + from(y)) * width + left + from(x));
      found.set(pixels.subarray(at, at + 3), 3 * (y * size + x));
    }
  return {side, left, top, found};
}

async function main(argument) {
  const model = await open();
  if (argument === "--selftest") {
    const same = model.same();
    console.log(same ? "self-test: the same to the last bit" : "self-test: other maps than where this file was written");
    return same ? 0 : 1;
  }
  let picture = null;
  try {
    picture = argument ? readPpm(argument) : null;
  } catch (error) {
    console.error(`${argument}: cannot be read: ${error.code}`);
    return 2;
  }
  if (!picture) {
    console.error("usage: node {{name}}.mjs PICTURE.ppm (P6, 255 levels) | --selftest");
    return 2;
  }
  const {size, kind} = FACTS, {side, left, top, found} = square(picture, size), answer = model.find(found);
  const to = (begin, at) => (begin + ((at + 0.5) * side) / size - 0.5).toFixed(2);
  if (kind === "points")
    answer.forEach(([x, y, score], k) => console.log(`${k} ${to(left, x)} ${to(top, y)} ${score.toFixed(3)}`));
  else
    for (let y = 0; y < size; y += 4) {
      const row = Array.from({length: size / 2}, (_, x) => answer[y * size + 2 * x]);
      console.log(row.map((c) => (c ? String.fromCharCode(97 + ((c - 1) % 26)) : ".")).join(""));
    }
  return 0;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  process.exitCode = await main(process.argv[2]);
