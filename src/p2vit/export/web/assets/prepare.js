// Photos to the pixels that a program takes: the resampling of Pillow, number by number, and the centre crop.

const PRECISION_BITS = 22;

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** Filter → [half its width in pixels, its value at x]. */
const FILTERS = {
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  // Pillow's constants have 32 bits.
  hamming: [
    1,
    (x) => {
      const far = Math.abs(x);
      if (far === 0) return 1;
      if (far >= 1) return 0;
      const angle = far * Math.PI;
      return (Math.sin(angle) / angle) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(angle));
    },
  ],
  bicubic: [
    2,
    (x) => {
      const a = -0.5;
      const far = Math.abs(x);
      if (far < 1) return ((a + 2) * far - (a + 3)) * far * far + 1;
      if (far < 2) return (((far - 5) * far + 8) * far - 4) * a;
      return 0;
    },
  ],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

/** First input pixel and weights of every output pixel along one side. */
function weightsOf(from, to, filter) {
  const [half, value] = FILTERS[filter];
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = half * stretch;
  const found = [];
  for (let x = 0; x < to; x++) {
    const centre = (x + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(from, Math.trunc(centre + support + 0.5)) - first;
    const weights = new Float64Array(count);
    let sum = 0;
    for (let i = 0; i < count; i++) {
      weights[i] = value((i + first - centre + 0.5) * (1 / stretch));
      sum += weights[i];
    }
    if (sum !== 0) for (let i = 0; i < count; i++) weights[i] /= sum;
    found.push({ first, weights });
  }
  return found;
}

/** Resample lines of numbers: `count` lines, `along` apart, whose numbers are `step` apart. */
function pass(source, target, { count, from, to, along, step, alongTo, stepTo }, filter, rounded) {
  const one = 2 ** PRECISION_BITS;
  for (const [x, { first, weights }] of weightsOf(from, to, filter).entries()) {
    const scaled = rounded ? weights.map((w) => Math.trunc(w * one + (w < 0 ? -0.5 : 0.5))) : weights;
    for (let line = 0; line < count; line++)
      for (let c = 0; c < 3; c++) {
        let sum = rounded ? one / 2 : 0;
        let at = line * along + first * step + c;
        for (let i = 0; i < scaled.length; i++, at += step) sum += source[at] * scaled[i];
        if (rounded) sum = Math.max(0, Math.min(255, Math.floor(sum / one)));
        target[line * alongTo + x * stepTo + c] = sum;
      }
  }
}

/** Both passes, in Pillow's order: rows of a tall photo are joined first, where the exporting Pillow does so. */
function resampled(rgb, width, height, toWidth, toHeight, pre) {
  const rounded = pre.rounding === "per_pass";
  const Kind = rounded ? Uint8Array : Float32Array;
  let image = rounded ? rgb : Float32Array.from(rgb);
  const horizontal = () => {
    if (width === toWidth) return;
    const next = new Kind(3 * toWidth * height);
    const [lineFrom, lineTo] = [3 * width, 3 * toWidth];
    const shape = { count: height, from: width, to: toWidth, along: lineFrom, step: 3, alongTo: lineTo, stepTo: 3 };
    pass(image, next, shape, pre.interpolation, rounded);
    [image, width] = [next, toWidth];
  };
  const vertical = () => {
    if (height === toHeight) return;
    const next = new Kind(3 * width * toHeight);
    const line = 3 * width;
    const shape = { count: width, from: height, to: toHeight, along: 3, step: line, alongTo: 3, stepTo: line };
    pass(image, next, shape, pre.interpolation, rounded);
    [image, height] = [next, toHeight];
  };
  const tall = toHeight < height && height - toHeight > 2 * (width - toWidth);
  for (const step of pre.tall_first && tall ? [vertical, horizontal] : [horizontal, vertical]) step();
  return rounded ? image : Uint8Array.from(image, (x) => Math.max(0, Math.min(255, toEven(x))));
}

/** Round to nearest, halves to even. */
function toEven(x) {
  const down = Math.floor(x);
  const apart = x - down;
  return apart > 0.5 || (apart === 0.5 && down % 2 !== 0) ? down + 1 : down;
}

/** Positions of the nearest pixels. Pillow adds the step again and again, and so does this. */
function nearest(from, to) {
  const step = from / to;
  const found = [];
  for (let x = 0, at = step * 0.5; x < to; x++, at += step) found.push(Math.min(from - 1, Math.floor(at)));
  return found;
}

function nearestPixels(rgb, width, height, toWidth, toHeight) {
  const columns = nearest(width, toWidth);
  const out = new Uint8Array(3 * toWidth * toHeight);
  let to = 0;
  for (const y of nearest(height, toHeight))
    for (const x of columns) for (let c = 0; c < 3; c++) out[to++] = rgb[3 * (y * width + x) + c];
  return out;
}

/** The smallest [height, width] with the photo's aspect ratio that covers the scaled size. */
function covering(height, width, pre) {
  const [coverHeight, coverWidth] = pre.scaled_size;
  if (pre.convention === "timm" && coverHeight !== coverWidth) {
    const ratio = Math.min(height / coverHeight, width / coverWidth);
    return [toEven(height / ratio), toEven(width / ratio)];
  }
  if (height * coverWidth <= width * coverHeight)
    return [coverHeight, Math.max(coverWidth, Math.floor((coverHeight * width) / height))];
  return [Math.max(coverHeight, Math.floor((coverWidth * height) / width)), coverWidth];
}

function margin(spare, pre) {
  if (pre.convention === "transformers") return Math.floor(spare / 2);
  return spare < 0 ? Math.ceil(spare / 2) : toEven(spare / 2);
}

/** The centre of a photo; pixels outside it are black. */
function centre(rgb, width, height, pre) {
  const [toHeight, toWidth] = pre.image_size;
  if (width === toWidth && height === toHeight) return rgb;
  const top = margin(height - toHeight, pre);
  const left = margin(width - toWidth, pre);
  const out = new Uint8Array(3 * toWidth * toHeight);
  for (let y = Math.max(0, -top); y < toHeight && y + top < height; y++)
    for (let x = Math.max(0, -left); x < toWidth && x + left < width; x++)
      for (let c = 0; c < 3; c++) out[3 * (y * toWidth + x) + c] = rgb[3 * ((y + top) * width + x + left) + c];
  return out;
}

/**
 * Scale and crop a photo as the program's preprocessing says.
 * image: { data, width, height }, RGB or RGBA bytes; alpha is ignored. Returns uint8 RGB [height, width, 3].
 */
export function prepare(image, pre) {
  const { width, height } = image;
  let rgb = image.data;
  if (rgb.length === 4 * width * height) rgb = withoutAlpha(rgb);
  if (rgb.length !== 3 * width * height || rgb.length === 0)
    throw new RangeError(`a photo of ${width} x ${height} pixels has 3 or 4 bytes per pixel, not ${image.data.length} in all`);
  const [toHeight, toWidth] = pre.image_size;
  if (pre.resize === "none" && (width !== toWidth || height !== toHeight))
    throw new RangeError(`the photo has ${width} x ${height} pixels, but must have ${toWidth} x ${toHeight}: it is not resized`);
  if (pre.resize === "none" || pre.resize === "cut") return centre(rgb, width, height, pre);
  const [scaledHeight, scaledWidth] = pre.resize === "squash" ? pre.scaled_size : covering(height, width, pre);
  const scaled =
    pre.interpolation === "nearest"
      ? nearestPixels(rgb, width, height, scaledWidth, scaledHeight)
      : resampled(rgb, width, height, scaledWidth, scaledHeight, pre);
  return centre(scaled, scaledWidth, scaledHeight, pre);
}

function withoutAlpha(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}
