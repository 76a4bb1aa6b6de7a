// Bilinear resizing as Pillow 13 does it (libImaging/Resample.c): along the rows, then along the columns, each with
// weights of 22 bits and rounding to 8 bits between; the columns first where the height shrinks by more than twice as
// many pixels as the width (older ones never do that). Pictures are {width, height, data (H * W * 3) uint8}.

const BITS = 22;

export function resized(picture, width, height, box = [0, 0, picture.width, picture.height]) {
  const across = weights(picture.width, box[0], box[2], width);
  const down = weights(picture.height, box[1], box[3], height);
  const whole = (from, to, given, wanted) => from === 0 && to === given && given === wanted;
  const rows = (found) => (whole(box[0], box[2], picture.width, width) ? found : alongRows(found, across));
  const columns = (found) => (whole(box[1], box[3], picture.height, height) ? found : alongColumns(found, down));
  const [narrower, lower] = [picture.width - width, picture.height - height];
  return lower > 0 && lower > 2 * narrower ? rows(columns(picture)) : columns(rows(picture));
}

// The whole picture inside of a white square
export function padded(picture, size) {
  let inside = picture;
  const least = Math.ceil(Math.max(picture.width, picture.height) / size); // what is narrower than this would vanish
  if (Math.min(picture.width, picture.height) < least) {
    inside = resized(inside, Math.max(inside.width, least), Math.max(inside.height, least));
  }
  const [width, height] = contained(inside, size);
  inside = resized(inside, width, height);
  const data = new Uint8Array(size * size * 3).fill(255);
  const [left, top] = [even((size - width) / 2), even((size - height) / 2)];
  for (let y = 0; y < height; y += 1) {
    data.set(inside.data.subarray(y * width * 3, (y + 1) * width * 3), ((top + y) * size + left) * 3);
  }
  return { width: size, height: size, data };
}

// The middle square of it
export function cropped(picture, size) {
  const { width, height } = picture;
  const [wide, high] = width > height ? [height, height] : [width, width];
  const [left, top] = [(width - wide) * 0.5, (height - high) * 0.5];
  return resized(picture, size, size, [left, top, left + wide, top + high]);
}

function contained({ width, height }, size) {
  if (width === height) return [size, size];
  if (width / height > 1) {
    const made = even((height / width) * size);
    return [size, made];
  }
  return [even((width / height) * size), size];
}

// Python's round: halves to the even neighbour
function even(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}

// For each of the wanted places: where its sources begin, and what each of them weighs
function weights(given, from, to, wanted) {
  const scale = (to - from) / wanted;
  const reach = Math.max(scale, 1);
  return Array.from({ length: wanted }, (_, place) => {
    const middle = from + (place + 0.5) * scale;
    const start = Math.max(Math.trunc(middle - reach + 0.5), 0);
    const end = Math.min(Math.trunc(middle + reach + 0.5), given);
    const each = Array.from({ length: end - start }, (_, n) => Math.max(1 - Math.abs((n + start - middle + 0.5) * (1 / reach)), 0));
    const sum = each.reduce((total, value) => total + value, 0);
    return { start, each: each.map((value) => Math.trunc((sum ? value * (1 / sum) : value) * 2 ** BITS + 0.5)) };
  });
}

function alongRows({ width, height, data }, places) {
  const found = new Uint8Array(places.length * height * 3);
  for (let y = 0, to = 0; y < height; y += 1) {
    for (const { start, each } of places) {
      for (let c = 0; c < 3; c += 1, to += 1) {
        let sum = 2 ** (BITS - 1);
        each.forEach((weight, n) => { sum += data[(y * width + start + n) * 3 + c] * weight; });
        found[to] = clipped(sum);
      }
    }
  }
  return { width: places.length, height, data: found };
}

function alongColumns({ width, data }, places) {
  const found = new Uint8Array(width * places.length * 3);
  let to = 0;
  for (const { start, each } of places) {
    for (let at = 0; at < width * 3; at += 1, to += 1) {
      let sum = 2 ** (BITS - 1);
      each.forEach((weight, n) => { sum += data[(start + n) * width * 3 + at] * weight; });
      found[to] = clipped(sum);
    }
  }
  return { width, height: places.length, data: found };
}

function clipped(sum) {
  return Math.max(0, Math.min(255, Math.floor(sum / 2 ** BITS)));
}
