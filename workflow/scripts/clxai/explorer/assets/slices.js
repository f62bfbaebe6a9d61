"use strict";
// Slices of the study: text in the page, or beside it in scripts that hand their text over. Each is unpacked once.

const MISSING_CODE = 1024, LEVELS = 1023;

/** Numbers with axes; an array that all explaining heads share has one row along its first axis. */
class Numbers {
  constructor(shape, data) {
    this.shape = shape;
    this.data = data;
  }

  /** The place of the row at these indices of the leading axes. */
  start(indices) {
    let place = 0;
    indices.forEach((index, axis) => {
      place = place * this.shape[axis] + (axis === 0 ? Math.min(index, this.shape[0] - 1) : index);
    });
    for (let axis = indices.length; axis < this.shape.length; axis++) place *= this.shape[axis];
    return place;
  }

  /** What lies at these indices of the leading axes, as one flat array. */
  at(...indices) {
    const start = this.start(indices);
    const length = this.shape.slice(indices.length).reduce((a, b) => a * b, 1);
    return this.data.subarray(start, start + length);
  }

  /** One number. */
  one(...indices) {
    return this.data[this.start(indices)];
  }
}

const slices = (() => {
  const asked = new Map(), handing = new Map(), folder = document.body.dataset.folder;
  const TYPES = { uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array, float32: Float32Array };

  window.explorerSlice = (name, text) => handing.get(name)(text);

  function textOf(name) {
    const inline = document.querySelector(`script[data-slice="${CSS.escape(name)}"]`);
    if (inline) return Promise.resolve(inline.textContent);
    return new Promise((resolve, reject) => {
      handing.set(name, resolve);
      const script = document.createElement("script");
      script.src = `${folder}/${name.replaceAll("/", ".")}.js`;
      script.onerror = () => reject(new Error(
        `This part of the study is not in the page: keep the folder “${folder}” beside it (missing: ${name}).`));
      document.head.append(script);
    });
  }

  async function inflate(text) {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  function restored(buffer, start, told, count) {
    const planes = new Uint8Array(buffer, start, 2 * count), values = new Float32Array(count);
    const row = told.shape[told.shape.length - 1], scale = (told.high - told.low) / LEVELS;
    for (let i = 0, code = 0; i < count; i++) {
      if (i % row === 0) code = 0;
      code = (code + planes[i] + 256 * planes[count + i]) & 65535;
      values[i] = code === MISSING_CODE ? NaN : told.low + code * scale;
    }
    return values;
  }

  function unpacked(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const start = Math.ceil((4 + length) / 4) * 4, arrays = {};
    for (const [name, told] of Object.entries(header.arrays)) {
      const count = told.shape.reduce((a, b) => a * b, 1);
      const data = told.planes ? restored(buffer, start + told.offset, told, count)
        : new TYPES[told.type](buffer, start + told.offset, count);
      arrays[name] = new Numbers(told.shape, data);
    }
    return { values: header.values, arrays };
  }

  /** A slice by its name; it is asked for once. */
  function load(name) {
    if (!asked.has(name)) {
      const found = textOf(name).then(inflate).then(unpacked);
      found.catch(() => asked.delete(name));
      asked.set(name, found);
    }
    return asked.get(name);
  }

  return { load };
})();
