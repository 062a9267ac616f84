// PNG with a palette: pictures of pages have few colours, and take a third of the room so.

import { deflateSync } from 'node:zlib';

const CRCS = Array.from({ length: 256 }, (_, at) => {
  let crc = at;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc >>> 0;
});
const crc = (bytes) => (bytes.reduce((sum, byte) => CRCS[(sum ^ byte) & 255] ^ (sum >>> 8), 0xffffffff) ^ 0xffffffff) >>> 0;

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8 + body.length);
  frame.writeUInt32BE(data.length);
  body.copy(frame, 4);
  frame.writeUInt32BE(crc(body), 4 + body.length);
  return frame;
}

/** 256 colours at most: those that are there most often, and the means of what is left, by halves of the widest box. */
function palette(counts) {
  const all = [...counts].map(([color, count]) => ({ count, parts: [color >> 16, (color >> 8) & 255, color & 255] }));
  all.sort((a, b) => b.count - a.count);
  const kept = all.splice(0, 160).map(({ parts }) => parts);
  const boxes = all.length ? [all] : [];
  const spread = (box, part) => {
    const values = box.map(({ parts }) => parts[part]);
    return Math.max(...values) - Math.min(...values);
  };
  while (boxes.length && boxes.length < 96) {
    const widths = boxes.map((box) => Math.max(...[0, 1, 2].map((part) => spread(box, part))) * Math.sqrt(box.length));
    const at = widths.indexOf(Math.max(...widths));
    const box = boxes[at];
    if (box.length < 2 || widths[at] === 0) break;
    const part = [0, 1, 2].reduce((best, part) => (spread(box, part) > spread(box, best) ? part : best), 0);
    box.sort((a, b) => a.parts[part] - b.parts[part]);
    boxes.splice(at, 1, box.slice(0, box.length >> 1), box.slice(box.length >> 1));
  }
  const mean = (box, part) => {
    const total = box.reduce((sum, { count }) => sum + count, 0);
    return Math.round(box.reduce((sum, { count, parts }) => sum + count * parts[part], 0) / total);
  };
  return [...kept, ...boxes.map((box) => [0, 1, 2].map((part) => mean(box, part)))];
}

/** A PNG of these pixels, four bytes each. @param {{ width: number, height: number, pixels: Uint8Array }} image */
export function encode({ width, height, pixels }) {
  const color = (at) => (pixels[4 * at] << 16) | (pixels[4 * at + 1] << 8) | pixels[4 * at + 2];
  const counts = new Map();
  for (let at = 0; at < width * height; at += 1) counts.set(color(at), (counts.get(color(at)) ?? 0) + 1);
  const colors = palette(counts);
  const nearest = new Map();
  for (const known of counts.keys()) {
    const [r, g, b] = [known >> 16, (known >> 8) & 255, known & 255];
    const far = colors.map((one) => (one[0] - r) ** 2 + (one[1] - g) ** 2 + (one[2] - b) ** 2);
    nearest.set(known, far.indexOf(Math.min(...far)));
  }
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) rows[y * (width + 1) + 1 + x] = nearest.get(color(y * width + x));
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from(colors.flat())),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
