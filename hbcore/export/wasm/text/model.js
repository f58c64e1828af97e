/** The network in WebAssembly. Pictures are bytes, red, green and blue of pixel after pixel, row by row. */
class Model {
  /** facts: {name, size, map, maps, kind}, sides in pixels; kind: "points" or "classes". */
  static async open(bytes, facts) {
    const {instance} = await WebAssembly.instantiate(bytes, {});
    return Object.assign(new Model(), {facts, wasm: instance.exports});
  }

  /** Points as [x, y, score], x and y in pixels of the picture; or the class of every pixel, as bytes. */
  find(picture) {
    this.show(picture);
    this.wasm.find();
    const {size, maps, kind} = this.facts, memory = this.wasm.memory.buffer, at = this.wasm.answer();
    if (kind === "classes") return new Uint8Array(memory, at, size * size).slice();
    const numbers = new Float32Array(memory, at, 3 * maps);
    return Array.from({length: maps}, (_, k) => [...numbers.subarray(3 * k, 3 * k + 3)]);
  }

  /** The maps as the network gives them, (map, map, maps). */
  maps(picture) {
    this.show(picture);
    const {map, maps} = this.facts, at = this.wasm.maps();
    return new Float32Array(this.wasm.memory.buffer, at, map * map * maps).slice();
  }

  /** Whether the maps of a picture of noise are those that were computed where the module was written. */
  same() {
    return this.wasm.selftest() === 0;
  }

  show(picture) {
    const {size} = this.facts;
    if (picture.length !== 3 * size * size) throw new Error(`a picture has ${3 * size * size} bytes here, not ${picture.length}`);
    new Uint8Array(this.wasm.memory.buffer, this.wasm.picture(), picture.length).set(picture);
  }
}
